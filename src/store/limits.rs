//! Limits of access keys and accounts, changed. What is used of them is not in the store.

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::accounts;
use super::audit::Operation;
use super::keys::{self, read_policy};
use super::{Store, StoreError};
use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::access::policy::{Policy, PolicyEntry};

impl Store {
    /// Changes the policy of a key, as it is at that moment, and returns what it is now.
    ///
    /// # Errors
    /// [`StoreError::UnknownKey`], [`StoreError::Revoked`], [`StoreError::Policy`], or the store fails; nothing has
    /// changed then.
    pub async fn change_policy(
        &self,
        id: KeyId,
        change: impl Fn(&mut PolicyEntry),
    ) -> Result<PolicyEntry, StoreError> {
        let about = keys::object(id);
        let mut changing = self.change(Operation::ChangeKey, about, json!({})).await?;
        let done = replace(changing.connection(), id, change).await;
        if let Ok(policy) = &done {
            changing.details = json!({"policy": policy});
        }
        changing.end(done).await
    }

    /// Limits the requests of an account that may be under way at one time, over all its access keys; `None`: any number.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the store fails, as it does for a limit that is not from 1 to 1,000,000.
    pub async fn limit_account(
        &self,
        id: AccountId,
        in_flight: Option<u32>,
    ) -> Result<(), StoreError> {
        let (about, details) = (accounts::object(id), json!({"in_flight": in_flight}));
        let mut change = self
            .change(Operation::ChangeAccount, about, details)
            .await?;
        let done = limit(change.connection(), id, in_flight).await;
        change.end(done).await
    }
}

async fn limit(
    connection: &mut SqliteConnection,
    id: AccountId,
    in_flight: Option<u32>,
) -> Result<(), StoreError> {
    let changed = sqlx::query("UPDATE accounts SET in_flight = $1 WHERE id = $2")
        .bind(in_flight)
        .bind(id.0)
        .execute(connection)
        .await?;
    match changed.rows_affected() {
        0 => Err(StoreError::UnknownAccount(id.0)),
        _ => Ok(()),
    }
}

async fn replace(
    connection: &mut SqliteConnection,
    id: KeyId,
    change: impl Fn(&mut PolicyEntry),
) -> Result<PolicyEntry, StoreError> {
    let row: Option<(String, Option<i64>)> =
        sqlx::query_as("SELECT policy, revoked FROM access_keys WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *connection)
            .await?;
    let (before, revoked) = row.ok_or(StoreError::UnknownKey(id))?;
    if revoked.is_some() {
        return Err(StoreError::Revoked(id));
    }
    let read = read_policy(&before);
    let (mut policy, _) = read.map_err(|_| StoreError::UnreadablePolicy(id))?;
    change(&mut policy);
    Policy::new(&policy).map_err(StoreError::Policy)?;
    sqlx::query("UPDATE access_keys SET policy = $1 WHERE id = $2")
        .bind(written(&policy)?)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(policy)
}

fn written(policy: &PolicyEntry) -> Result<String, StoreError> {
    serde_json::to_string(policy)
        .map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::FailoverMode;
    use crate::store::{CreatedKey, NewKey};

    const NOW: i64 = 1_800_000_000;

    async fn with_key(folder: &tempfile::TempDir) -> (Store, CreatedKey) {
        let store = Store::open(folder.path()).await.unwrap();
        let account = store.create_account("acme", NOW).await.unwrap();
        let new = NewKey {
            name: "ci".into(),
            expires: None,
            policy: PolicyEntry {
                failover: Some(FailoverMode::Safe),
                ..PolicyEntry::default()
            },
        };
        let key = store.create_key(account.id, &new, NOW).await.unwrap();
        (store, key)
    }

    #[tokio::test]
    async fn a_policy_is_changed_in_part_and_seen_by_those_who_watch() {
        let folder = tempfile::tempdir().unwrap();
        let (store, key) = with_key(&folder).await;
        let mut changes = store.changes();
        changes.changed().await.unwrap();
        let changed = store
            .change_policy(key.id, |policy| policy.limits.requests_minute = Some(60))
            .await
            .unwrap();
        assert!(changes.changed().await.unwrap());
        let policy = store.list_keys().await.unwrap().remove(0).policy.unwrap();
        assert_eq!(policy.limits.requests_minute, Some(60));
        assert_eq!(policy.failover, Some(FailoverMode::Safe));
        assert_eq!(changed, policy);

        let wrong = store
            .change_policy(key.id, |policy| policy.limits.in_flight = Some(0))
            .await;
        assert!(matches!(wrong, Err(StoreError::Policy(_))));
        let unknown = "0".repeat(12).parse().unwrap();
        let wrong = store.change_policy(unknown, |_| {}).await;
        assert!(matches!(wrong, Err(StoreError::UnknownKey(_))));
        store.revoke(key.id, NOW).await.unwrap();
        let wrong = store.change_policy(key.id, |_| {}).await;
        assert!(matches!(wrong, Err(StoreError::Revoked(_))));
    }

    #[tokio::test]
    async fn of_many_changes_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (store, key) = with_key(&folder).await;
        let add = |policy: &mut PolicyEntry| {
            let limit = policy.limits.requests_minute.unwrap_or_default();
            policy.limits.requests_minute = Some(limit + 1);
        };
        let (one, two, three) = tokio::join!(
            store.change_policy(key.id, add),
            store.change_policy(key.id, add),
            store.change_policy(key.id, add),
        );
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let policy = store.list_keys().await.unwrap().remove(0).policy.unwrap();
        assert_eq!(policy.limits.requests_minute, Some(3));
    }

    #[tokio::test]
    async fn an_account_is_limited_and_those_who_watch_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, key) = with_key(&folder).await;
        let account = store.list_accounts().await.unwrap().remove(0).account;
        let mut changes = store.changes();
        changes.changed().await.unwrap();
        for (limit, is_limited) in [(Some(3), true), (None, false)] {
            store.limit_account(account.id, limit).await.unwrap();
            assert!(changes.changed().await.unwrap());
            let keyring = store.load_keyring().await.unwrap();
            let caller = keyring.authenticate(key.shown.expose(), NOW).unwrap();
            assert_eq!(caller.allowance.is_some(), is_limited);
        }
        let unknown = store.limit_account(AccountId(99), None).await;
        assert!(matches!(unknown, Err(StoreError::UnknownAccount(99))));
        assert!(store.limit_account(account.id, Some(0)).await.is_err());
    }
}
