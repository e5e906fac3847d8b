//! Removes what the audit has kept for as long as the configuration says.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::{Complaints, Store};

/// How often old rows are looked for: far more often than anybody means a day by.
const EVERY: Duration = Duration::from_secs(3_600);

/// Removes rows that are older than `kept`, at once and each hour until `shutdown` is ready.
pub(super) async fn run(store: Arc<Store>, kept: Duration, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut complaints = Complaints::new("old rows of the audit");
    let kept = i64::try_from(kept.as_secs()).unwrap_or(i64::MAX);
    loop {
        let before = Timestamp::now().as_second().saturating_sub(kept);
        complaints.note(store.forget_audit(before).await.map(drop));
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
