//! Access keys: made, listed, switched off and on, revoked; and all of them as a [`Keyring`].
//! Absent: their form (`access::key`), and any way to see a secret again.

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use crate::access::key::{AccessKey, KeyDigest, KeyId};
use crate::access::policy::{Policy, PolicyEntry};
use crate::access::{Account, AccountId, Caller, Keyring, KeyringEntry};
use crate::secret::Secret;

use super::audit::Operation;
use super::{Store, StoreError, checked_name};

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What lists and logs call it; need not be unique.
    pub name: String,
    /// First Unix second at which it is refused; `None`: never.
    pub expires: Option<i64>,
    /// What it may reach.
    pub policy: PolicyEntry,
}

/// A key that was made, with the secret that is shown this once.
#[derive(Debug)]
pub struct CreatedKey {
    /// Its public name.
    pub id: KeyId,
    /// The whole access key.
    pub shown: Secret,
}

/// A key as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its public id.
    pub id: KeyId,
    /// The name the operator gave it.
    pub name: String,
    /// Who pays.
    pub account: Account,
    /// May it be used?
    pub enabled: bool,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// First Unix second at which it is refused; `None`: never.
    pub expires: Option<i64>,
    /// When it was revoked, in Unix seconds.
    pub revoked: Option<i64>,
    /// What it may reach. `None`: damaged, or of a later version; the key is then refused.
    pub policy: Option<PolicyEntry>,
}

impl NewKey {
    /// Would it be refused, whatever the account?
    ///
    /// # Errors
    /// [`StoreError::BadName`] or [`StoreError::Policy`].
    pub fn check(&self) -> Result<(), StoreError> {
        checked_name(&self.name)?;
        Policy::new(&self.policy)
            .map(drop)
            .map_err(StoreError::Policy)
    }
}

pub(super) type ListedColumns = (
    String,
    String,
    bool,
    i64,
    Option<i64>,
    Option<i64>,
    String,
    i64,
    String,
);
type KeyringColumns = (
    String,
    String,
    Vec<u8>,
    bool,
    Option<i64>,
    String,
    i64,
    String,
    Option<i64>,
);

impl Store {
    /// Makes a key of `account` at the Unix second `now`. What is returned of its secret is all
    /// there will ever be.
    ///
    /// # Errors
    /// [`StoreError::BadName`], [`StoreError::Policy`], [`StoreError::UnknownAccount`],
    /// [`StoreError::Random`], or the store fails.
    pub async fn create_key(
        &self,
        account: AccountId,
        new: &NewKey,
        now: i64,
    ) -> Result<CreatedKey, StoreError> {
        let details = json!({
            "account": account.0, "name": new.name, "expires": new.expires, "policy": new.policy,
        });
        let about = "key".to_owned();
        let mut change = self.change(Operation::CreateKey, about, details).await?;
        let made = insert(change.connection(), account, new, now).await;
        if let Ok(key) = &made {
            change.object = object(key.id);
        }
        change.end(made).await
    }

    /// All keys, revoked ones included, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        let rows: Vec<ListedColumns> = sqlx::query_as(
            "SELECT k.id, k.name, k.enabled, k.created, k.expires, k.revoked, k.policy, \
             a.id, a.name \
             FROM access_keys k JOIN accounts a ON a.id = k.account ORDER BY k.created, k.id",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(listed).collect())
    }

    /// Switches a key off or on again.
    ///
    /// # Errors
    /// [`StoreError::UnknownKey`], [`StoreError::Revoked`], or the store fails.
    pub async fn set_enabled(&self, id: KeyId, enabled: bool) -> Result<(), StoreError> {
        let state = if enabled { "active" } else { "disabled" };
        let details = json!({"state": state});
        let mut change = self
            .change(Operation::ChangeKey, object(id), details)
            .await?;
        let done = enable(change.connection(), id, enabled).await;
        change.end(done).await
    }

    /// Ends a key for good, at the Unix second `now`. To revoke it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::UnknownKey`], or the store fails.
    pub async fn revoke(&self, id: KeyId, now: i64) -> Result<(), StoreError> {
        let details = json!({"state": "revoked"});
        let mut change = self
            .change(Operation::ChangeKey, object(id), details)
            .await?;
        match end(change.connection(), id, now).await {
            Ok(false) => change.drop().await,
            done => change.end(done.map(drop)).await,
        }
    }

    /// Every key that is not revoked. The keys of a closed account are disabled. A key whose policy cannot be read is on the ring as disabled,
    /// and logged.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load_keyring(&self) -> Result<Keyring, StoreError> {
        self.load_keyring_after(&Keyring::default()).await
    }

    /// As [`Store::load_keyring`]; keys that were on the ring `before` keep what is counted of their requests.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load_keyring_after(&self, before: &Keyring) -> Result<Keyring, StoreError> {
        let rows: Vec<KeyringColumns> = sqlx::query_as(
            "SELECT k.id, k.name, k.digest, k.enabled AND a.closed IS NULL, k.expires, k.policy, a.id, a.name, a.in_flight \
             FROM access_keys k JOIN accounts a ON a.id = k.account WHERE k.revoked IS NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(before.followed_by(rows.into_iter().filter_map(keyring_entry)))
    }
}

/// What the audit calls a key.
pub(super) fn object(id: KeyId) -> String {
    format!("key {id}")
}

async fn insert(
    connection: &mut SqliteConnection,
    account: AccountId,
    new: &NewKey,
    now: i64,
) -> Result<CreatedKey, StoreError> {
    new.check()?;
    let policy = serde_json::to_string(&new.policy)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))?;
    let key = AccessKey::generate().map_err(StoreError::Random)?;
    sqlx::query(
        "INSERT INTO access_keys \
         (id, account, name, digest, enabled, created, expires, policy) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.id.as_str())
    .bind(account.0)
    .bind(&new.name)
    .bind(&key.digest.as_bytes()[..])
    .bind(true)
    .bind(now)
    .bind(new.expires)
    .bind(policy)
    .execute(connection)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(cause) if cause.is_foreign_key_violation() => {
            StoreError::UnknownAccount(account.0)
        }
        _ => error.into(),
    })?;
    Ok(CreatedKey {
        id: key.id,
        shown: key.shown,
    })
}

async fn enable(
    connection: &mut SqliteConnection,
    id: KeyId,
    enabled: bool,
) -> Result<(), StoreError> {
    let changed =
        sqlx::query("UPDATE access_keys SET enabled = $1 WHERE id = $2 AND revoked IS NULL")
            .bind(enabled)
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    match changed.rows_affected() {
        0 => must_exist(connection, id)
            .await
            .and(Err(StoreError::Revoked(id))),
        _ => Ok(()),
    }
}

/// Whether it was not revoked before.
async fn end(connection: &mut SqliteConnection, id: KeyId, now: i64) -> Result<bool, StoreError> {
    let changed =
        sqlx::query("UPDATE access_keys SET revoked = $1 WHERE id = $2 AND revoked IS NULL")
            .bind(now)
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    match changed.rows_affected() {
        0 => must_exist(connection, id).await.map(|()| false),
        _ => Ok(true),
    }
}

async fn must_exist(connection: &mut SqliteConnection, id: KeyId) -> Result<(), StoreError> {
    let found: Option<(String,)> = sqlx::query_as("SELECT id FROM access_keys WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    found.map(drop).ok_or(StoreError::UnknownKey(id))
}

/// `None` only for a row that was written by hand, with an id that no key can have.
pub(super) fn listed(columns: ListedColumns) -> Option<KeyRow> {
    let (id, name, enabled, created, expires, revoked, policy, account_id, account_name) = columns;
    Some(KeyRow {
        id: id.parse().ok()?,
        name,
        account: account(account_id, account_name),
        enabled,
        created,
        expires,
        revoked,
        policy: read_policy(&policy).map(|(entry, _)| entry).ok(),
    })
}

/// `None` as in [`listed`].
fn keyring_entry(columns: KeyringColumns) -> Option<KeyringEntry> {
    let (id, name, digest, enabled, expires, policy, account_id, account_name, in_flight) = columns;
    let key_id: KeyId = id.parse().ok()?;
    let policy = read_policy(&policy).map(|(_, policy)| policy);
    if let Err(fault) = &policy {
        log::error!(
            "access key {key_id} is refused: its policy cannot be read ({fault}); revoke it and \
             create another"
        );
    }
    Some(KeyringEntry {
        digest: KeyDigest::from_bytes(&digest)?,
        enabled: enabled && policy.is_ok(),
        expires,
        account_in_flight: in_flight.and_then(|limit| u64::try_from(limit).ok()),
        caller: Caller {
            key_id,
            key_name: name.into(),
            account: account(account_id, account_name),
            policy: policy.unwrap_or_default(),
            allowance: None,
        },
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "off the request path, and what we wrote ourselves"
)]
pub(super) fn read_policy(text: &str) -> Result<(PolicyEntry, Policy), String> {
    let entry: PolicyEntry = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let policy = Policy::new(&entry).map_err(|error| error.to_string())?;
    Ok((entry, policy))
}

fn account(id: i64, name: String) -> Account {
    Account {
        id: AccountId(id),
        name: name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Refusal;
    use crate::access::policy::{FailoverMode, Verdict};

    const NOW: i64 = 1_800_000_000;

    async fn store_with_account() -> (tempfile::TempDir, Store, Account) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = store.create_account("acme", NOW).await.unwrap();
        (folder, store, account)
    }

    fn new_key() -> NewKey {
        NewKey {
            name: "ci".into(),
            expires: None,
            policy: PolicyEntry::default(),
        }
    }

    #[tokio::test]
    async fn a_key_survives_a_restart_with_all_that_was_said_of_it() {
        let (folder, store, account) = store_with_account().await;
        let new = NewKey {
            expires: Some(NOW + 60),
            policy: PolicyEntry {
                allow_models: vec!["gpt-*".into()],
                failover: Some(FailoverMode::Off),
                ..PolicyEntry::default()
            },
            ..new_key()
        };
        let created = store.create_key(account.id, &new, NOW).await.unwrap();
        store.close().await;

        let store = Store::open(folder.path()).await.unwrap();
        let expected = KeyRow {
            id: created.id,
            name: "ci".into(),
            account: account.clone(),
            enabled: true,
            created: NOW,
            expires: Some(NOW + 60),
            revoked: None,
            policy: Some(new.policy),
        };
        assert_eq!(store.list_keys().await.unwrap(), [expected]);
        let keyring = store.load_keyring().await.unwrap();
        let caller = keyring.authenticate(created.shown.expose(), NOW).unwrap();
        assert_eq!((caller.key_id, &caller.account), (created.id, &account));
        assert_eq!(caller.policy.permits("groq", "llama"), Verdict::ModelDenied);
        assert_eq!(caller.policy.failover(), Some(FailoverMode::Off));
        assert_eq!(
            keyring.authenticate(created.shown.expose(), NOW + 60),
            Err(Refusal::Expired)
        );
    }

    #[tokio::test]
    async fn the_secret_is_nowhere_in_the_files() {
        let (folder, store, account) = store_with_account().await;
        let created = store.create_key(account.id, &new_key(), NOW).await.unwrap();
        let secret = &created.shown.expose().as_bytes()[15..58];
        let id = created.id.as_str().as_bytes();
        let holds = |needle: &[u8]| {
            std::fs::read_dir(folder.path()).unwrap().any(|entry| {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                bytes.windows(needle.len()).any(|window| window == needle)
            })
        };
        assert!(holds(id) && !holds(secret));
    }

    #[tokio::test]
    async fn keys_are_disabled_enabled_and_revoked() {
        let (_folder, store, account) = store_with_account().await;
        let created = store.create_key(account.id, &new_key(), NOW).await.unwrap();
        let ask = async || {
            let keyring = store.load_keyring().await.unwrap();
            keyring
                .authenticate(created.shown.expose(), NOW)
                .map(|caller| caller.key_id)
        };
        assert_eq!(ask().await, Ok(created.id));
        store.set_enabled(created.id, false).await.unwrap();
        assert_eq!(ask().await, Err(Refusal::Disabled));
        store.set_enabled(created.id, true).await.unwrap();
        assert_eq!(ask().await, Ok(created.id));
        store.revoke(created.id, NOW + 1).await.unwrap();
        assert_eq!(ask().await, Err(Refusal::Unknown));

        store.revoke(created.id, NOW + 2).await.unwrap();
        assert_eq!(store.list_keys().await.unwrap()[0].revoked, Some(NOW + 1));
        let enabled = store.set_enabled(created.id, true).await;
        assert!(matches!(enabled, Err(StoreError::Revoked(id)) if id == created.id));
        assert_eq!(store.list_accounts().await.unwrap()[0].keys, 0);
    }

    #[tokio::test]
    async fn the_keys_of_a_closed_account_are_disabled() {
        let (_folder, store, account) = store_with_account().await;
        let created = store.create_key(account.id, &new_key(), NOW).await.unwrap();
        let mut changes = store.changes();
        changes.changed().await.unwrap();
        store.close_account(account.id, NOW).await.unwrap();
        assert!(changes.changed().await.unwrap());
        let keyring = store.load_keyring().await.unwrap();
        assert_eq!(
            keyring.authenticate(created.shown.expose(), NOW),
            Err(Refusal::Disabled)
        );
    }

    #[tokio::test]
    async fn what_is_not_there_cannot_be_changed() {
        let (_folder, store, account) = store_with_account().await;
        let id: KeyId = "0123456789AB".parse().unwrap();
        assert!(matches!(
            store.set_enabled(id, true).await,
            Err(StoreError::UnknownKey(_))
        ));
        let error = store.revoke(id, NOW).await.unwrap_err();
        assert!(
            error.to_string().contains("`tollgate keys list`"),
            "{error}"
        );
        let nobody = AccountId(account.id.0 + 1);
        assert!(matches!(
            store.create_key(nobody, &new_key(), NOW).await,
            Err(StoreError::UnknownAccount(_))
        ));
    }

    #[tokio::test]
    async fn a_key_with_a_mistake_is_not_made() {
        let (_folder, store, account) = store_with_account().await;
        let policy = PolicyEntry {
            allow_models: vec![String::new()],
            ..PolicyEntry::default()
        };
        let bad = [
            NewKey {
                policy,
                ..new_key()
            },
            NewKey {
                name: String::new(),
                ..new_key()
            },
        ];
        for new in bad {
            store.create_key(account.id, &new, NOW).await.unwrap_err();
        }
        assert_eq!(store.list_keys().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_policy_that_cannot_be_read_permits_nothing() {
        let (_folder, store, account) = store_with_account().await;
        let [odd, sound] = [
            store.create_key(account.id, &new_key(), NOW).await.unwrap(),
            store
                .create_key(account.id, &new_key(), NOW + 1)
                .await
                .unwrap(),
        ];
        for text in [
            r#"{"deny_regions":["eu"]}"#,
            r#"{"allow_models":[""]}"#,
            "",
            "null",
        ] {
            sqlx::query("UPDATE access_keys SET policy = $1 WHERE id = $2")
                .bind(text)
                .bind(odd.id.as_str())
                .execute(&store.pool)
                .await
                .unwrap();
            let keyring = store.load_keyring().await.unwrap();
            assert_eq!(
                keyring.authenticate(odd.shown.expose(), NOW),
                Err(Refusal::Disabled),
                "{text}"
            );
            assert!(
                keyring.authenticate(sound.shown.expose(), NOW).is_ok(),
                "{text}"
            );
            let listed = store.list_keys().await.unwrap();
            assert!(
                listed[0].policy.is_none() && listed[1].policy.is_some(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_store_serves_other_runtimes_than_the_one_that_opened_it() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let opener = runtime();
        let store = opener.block_on(Store::open(folder.path())).unwrap();
        drop(opener);
        runtime()
            .block_on(store.create_account("acme", NOW))
            .unwrap();
        assert_eq!(runtime().block_on(store.list_accounts()).unwrap().len(), 1);
    }
}
