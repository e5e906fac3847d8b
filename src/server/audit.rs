//! Removes what the audit has kept for as long as the configuration says.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::store::{Complaints, Store};

/// How often old rows are looked for: far more often than anybody means a day by.
const EVERY: Duration = Duration::from_secs(3_600);

/// Removes rows that are older than `kept`, at once, when that changes and each hour until `shutdown` is ready.
pub(super) async fn run(
    store: Arc<Store>,
    mut kept: watch::Receiver<Duration>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut complaints = Complaints::new("old rows of the audit");
    loop {
        let seconds = kept.borrow_and_update().as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let before = Timestamp::now().as_second().saturating_sub(seconds);
        complaints.note(store.forget_audit(before).await.map(drop));
        tokio::select! {
            () = &mut shutdown => return,
            Ok(()) = kept.changed() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn a_shorter_time_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).await.unwrap());
        let direct = rusqlite::Connection::open(store.file()).unwrap();
        let old = Timestamp::now().as_second() - 10 * 86_400;
        // More than are kept of whatever age.
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
             INSERT INTO audit (at, who, operation, object, outcome, details) \
             SELECT ?1, 'w', 'o', 'x', 'done', '{}' FROM n";
        direct.execute(insert, [old]).unwrap();
        let rows = || {
            let count = direct.query_row("SELECT COUNT(*) FROM audit", [], |row| row.get(0));
            count.unwrap_or(0_i64)
        };
        let (kept, keeping) = watch::channel(DAY * 30);
        let running = tokio::spawn(run(store, keeping, std::future::pending()));
        kept.send_modify(|kept| *kept = DAY);
        while rows() >= 20_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.abort();
    }
}
