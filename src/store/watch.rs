//! Keeps the pinned [`Keyring`] up to date with the store, whoever changes it: this process,
//! another, or a hand.
//!
//! Each [`POLL`] one counter is read, on a connection of its own, so that no load on the others
//! delays a revocation; the keys are read only when it moved. While the store fails, the last
//! keyring stays.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::access::Keyring;
use crate::snapshot::Snapshot;

use super::{Store, StoreError};

/// Pause between two looks: a quarter of the second within which a revocation has to work.
pub const POLL: Duration = Duration::from_millis(250);

/// A store that goes on failing is logged once in this many looks: each minute.
const LOOKS_PER_COMPLAINT: u32 = 240;

/// Tells cheaply whether something changed since it was last asked.
#[derive(Debug)]
pub struct Changes {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// Reads the counter that moves with each change.
    revision: &'static str,
    seen: Option<i64>,
}

impl Store {
    /// A watch on accounts and access keys that has not looked yet; its first answer is that there is something new.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.watching("SELECT revision FROM keyring_revision")
    }

    /// As [`Store::changes`], of stored provider keys.
    #[must_use]
    pub fn provider_key_changes(&self) -> Changes {
        self.watching("SELECT revision FROM provider_keys_revision")
    }

    fn watching(&self, revision: &'static str) -> Changes {
        Changes {
            options: self.options.clone(),
            connection: None,
            revision,
            seen: None,
        }
    }
}

impl Changes {
    /// Did anything change, in whichever process, since this was last asked?
    ///
    /// # Errors
    /// When the store fails; the next call connects anew.
    pub async fn changed(&mut self) -> Result<bool, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        let (revision,) = sqlx::query_as(self.revision)
            .fetch_one(&mut connection)
            .await?;
        self.connection = Some(connection);
        Ok(self.seen.replace(revision) != Some(revision))
    }

    /// What was seen last could not be used: the next answer is that there is something new.
    pub fn forget(&mut self) {
        self.seen = None;
    }
}

/// Publishes a new keyring within a second of each change, until `shutdown` is ready.
pub async fn watch(
    store: Arc<Store>,
    keyring: Arc<Snapshot<Keyring>>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut changes = store.changes();
    let mut complaints = Complaints::new("access keys");
    loop {
        let look = async {
            complaints.note(follow(&store, &mut changes, &keyring).await);
            keyring.tidy();
            tokio::time::sleep(POLL).await;
        };
        tokio::select! {
            () = &mut shutdown => return,
            () = look => {}
        }
    }
}

/// The revision is read before the keys: a change in between is found by the next look.
async fn follow(
    store: &Store,
    changes: &mut Changes,
    keyring: &Snapshot<Keyring>,
) -> Result<(), StoreError> {
    if changes.changed().await? {
        match store.load_keyring_after(&keyring.pin()).await {
            Ok(next) => keyring.publish(next),
            Err(error) => {
                changes.forget();
                return Err(error);
            }
        }
    }
    Ok(())
}

/// What is logged of looks that fail: when it begins, each minute while it lasts, and when it is over.
#[derive(Debug)]
pub struct Complaints {
    what: &'static str,
    /// Failures in a row.
    failures: u32,
}

impl Complaints {
    /// None yet; `what` is read from the store.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, failures: 0 }
    }

    /// Notes what a look has come to.
    pub fn note(&mut self, outcome: Result<(), StoreError>) {
        let what = self.what;
        match outcome {
            Ok(()) if self.failures > 0 => {
                log::info!("{what} are read from the store again");
                self.failures = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.failures.is_multiple_of(LOOKS_PER_COMPLAINT) {
                    log::error!("{what} cannot be read, the last known stay in use: {error}");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::PolicyEntry;
    use crate::access::{Account, Refusal};
    use crate::store::{CreatedKey, FILE, NewKey};
    use std::time::Instant;
    use tokio::sync::oneshot;

    const NOW: i64 = 1_800_000_000;

    async fn create(store: &Store, account: &Account) -> CreatedKey {
        let new = NewKey {
            name: "ci".into(),
            expires: None,
            policy: PolicyEntry::default(),
        };
        store.create_key(account.id, &new, NOW).await.unwrap()
    }

    /// Waits until `keyring` answers `expected`, for two seconds at the most, and says how long it
    /// took.
    async fn until(
        keyring: &Snapshot<Keyring>,
        key: &CreatedKey,
        expected: Result<(), Refusal>,
    ) -> Duration {
        let start = Instant::now();
        while keyring
            .pin()
            .authenticate(key.shown.expose(), NOW)
            .map(drop)
            != expected
        {
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "still not {expected:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    }

    #[tokio::test]
    async fn changes_are_seen_once_and_by_every_watch() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let other = Store::open(folder.path()).await.unwrap();
        let (mut ours, mut theirs) = (store.changes(), other.changes());
        for watch in [&mut ours, &mut theirs] {
            assert!(watch.changed().await.unwrap());
            assert!(!watch.changed().await.unwrap());
        }
        let account = store.create_account("acme", NOW).await.unwrap();
        let key = create(&store, &account).await;
        store.set_enabled(key.id, false).await.unwrap();
        for watch in [&mut ours, &mut theirs] {
            assert!(watch.changed().await.unwrap());
            assert!(!watch.changed().await.unwrap());
        }
    }

    #[tokio::test]
    async fn another_process_makes_and_revokes_a_key_and_both_work_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let server = Arc::new(Store::open(folder.path()).await.unwrap());
        let operator = Store::open(folder.path()).await.unwrap();
        let keyring = Arc::new(Snapshot::new(server.load_keyring().await.unwrap()));
        let (stop, stopped) = oneshot::channel::<()>();
        let watching = tokio::spawn(watch(Arc::clone(&server), Arc::clone(&keyring), async {
            drop(stopped.await);
        }));

        let account = operator.create_account("acme", NOW).await.unwrap();
        let key = create(&operator, &account).await;
        let made = until(&keyring, &key, Ok(())).await;
        let pinned = keyring.pin();
        operator.revoke(key.id, NOW).await.unwrap();
        let revoked = until(&keyring, &key, Err(Refusal::Unknown)).await;
        assert!(
            made < Duration::from_secs(1) && revoked < Duration::from_secs(1),
            "{made:?} {revoked:?}"
        );
        assert!(
            pinned.authenticate(key.shown.expose(), NOW).is_ok(),
            "a request under way keeps its keyring"
        );

        drop(stop);
        watching.await.unwrap();
    }

    #[tokio::test]
    async fn the_last_keyring_stays_while_the_store_fails_and_catches_up_after() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = store.create_account("acme", NOW).await.unwrap();
        let key = create(&store, &account).await;
        let keyring = Snapshot::default();
        let mut changes = store.changes();
        follow(&store, &mut changes, &keyring).await.unwrap();

        let broken = |sql: &'static str| sqlx::raw_sql(sql).execute(&store.pool);
        store.revoke(key.id, NOW).await.unwrap();
        broken("ALTER TABLE accounts RENAME TO hidden")
            .await
            .unwrap();
        follow(&store, &mut changes, &keyring).await.unwrap_err();
        follow(&store, &mut changes, &keyring).await.unwrap_err();
        assert!(keyring.pin().authenticate(key.shown.expose(), NOW).is_ok());

        broken("ALTER TABLE hidden RENAME TO accounts")
            .await
            .unwrap();
        follow(&store, &mut changes, &keyring).await.unwrap();
        assert_eq!(
            keyring.pin().authenticate(key.shown.expose(), NOW),
            Err(Refusal::Unknown)
        );
    }

    #[tokio::test]
    async fn a_watch_connects_anew_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut changes = store.changes();
        let (file, away) = (folder.path().join(FILE), folder.path().join("away"));
        std::fs::rename(&file, &away).unwrap();
        changes.changed().await.unwrap_err();
        std::fs::rename(&away, &file).unwrap();
        assert!(changes.changed().await.unwrap());
    }

    #[test]
    fn a_failing_store_is_logged_once_a_minute() {
        let mut complaints = Complaints::new("access keys");
        for _ in 0..3 {
            complaints.note(Err(StoreError::Busy));
        }
        assert_eq!(complaints.failures, 3);
        complaints.note(Ok(()));
        assert_eq!(complaints.failures, 0);
    }
}
