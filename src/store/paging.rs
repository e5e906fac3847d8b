//! Accounts and access keys one by one and in pages, for lists that may be long.

use crate::access::key::KeyId;
use crate::access::{Account, AccountId};

use super::keys::{ListedColumns, listed};
use super::{AccountRow, KeyRow, Store, StoreError};

/// Number, name, when made, keys.
type AccountColumns = (i64, String, i64, i64);

impl Store {
    /// The account of this number.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the store fails.
    pub async fn account(&self, id: AccountId) -> Result<AccountRow, StoreError> {
        let row: Option<AccountColumns> = sqlx::query_as(
            "SELECT a.id, a.name, a.created, \
             (SELECT COUNT(*) FROM access_keys k WHERE k.account = a.id AND k.revoked IS NULL) \
             FROM accounts a WHERE a.id = $1",
        )
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await?;
        row.map(account_row).ok_or(StoreError::UnknownAccount(id.0))
    }

    /// At most `limit` accounts in the order of their numbers, behind the number `after`; only the one of `name` where
    /// that is given.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accounts_page(
        &self,
        name: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AccountRow>, StoreError> {
        let rows: Vec<AccountColumns> = sqlx::query_as(
            "SELECT a.id, a.name, a.created, \
             (SELECT COUNT(*) FROM access_keys k WHERE k.account = a.id AND k.revoked IS NULL) \
             FROM accounts a \
             WHERE a.id > $1 AND ($2 IS NULL OR a.name = $2) ORDER BY a.id LIMIT $3",
        )
        .bind(after)
        .bind(name)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(account_row).collect())
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`StoreError::UnknownKey`], or the store fails.
    pub async fn key(&self, id: KeyId) -> Result<KeyRow, StoreError> {
        let row: Option<ListedColumns> = sqlx::query_as(
            "SELECT k.id, k.name, k.enabled, k.created, k.expires, k.revoked, k.policy, \
             a.id, a.name \
             FROM access_keys k JOIN accounts a ON a.id = k.account WHERE k.id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.and_then(listed).ok_or(StoreError::UnknownKey(id))
    }

    /// At most `limit` keys, revoked ones included, in the order of their ids, behind the id `after`; of one account where
    /// one is given.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keys_page(
        &self,
        account: Option<AccountId>,
        after: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let rows: Vec<ListedColumns> = sqlx::query_as(
            "SELECT k.id, k.name, k.enabled, k.created, k.expires, k.revoked, k.policy, \
             a.id, a.name \
             FROM access_keys k JOIN accounts a ON a.id = k.account \
             WHERE k.id > $1 AND ($2 IS NULL OR k.account = $2) ORDER BY k.id LIMIT $3",
        )
        .bind(after.as_ref().map_or("", KeyId::as_str))
        .bind(account.map(|account| account.0))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().filter_map(listed).collect())
    }
}

fn account_row((id, name, created, keys): AccountColumns) -> AccountRow {
    AccountRow {
        account: Account {
            id: AccountId(id),
            name: name.into(),
        },
        created,
        keys,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::PolicyEntry;
    use crate::store::NewKey;

    #[tokio::test]
    async fn keys_are_told_one_by_one_and_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut ids = Vec::new();
        let accounts = [
            store.create_account("acme", 1).await.unwrap(),
            store.create_account("zeta", 1).await.unwrap(),
        ];
        for account in [&accounts[0], &accounts[1], &accounts[0]] {
            let new = NewKey {
                name: "ci".to_owned(),
                expires: None,
                policy: PolicyEntry::default(),
            };
            ids.push(store.create_key(account.id, &new, 2).await.unwrap().id);
        }
        let acme: Vec<KeyId> = [ids[0], ids[2]].into();
        let (unknown, known) = ("0".repeat(12).parse().unwrap(), ids[1]);
        assert_eq!(store.key(known).await.unwrap().account, accounts[1]);
        let refused = store.key(unknown).await.unwrap_err();
        assert!(matches!(refused, StoreError::UnknownKey(id) if id == unknown));

        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = store.keys_page(None, after, 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            all.extend(page.iter().map(|key| key.id));
        }
        let mut expected = ids.clone();
        expected.sort();
        assert_eq!(all, expected);
        let of_acme = store
            .keys_page(Some(accounts[0].id), None, 9)
            .await
            .unwrap();
        let mut of_acme: Vec<KeyId> = of_acme.iter().map(|key| key.id).collect();
        of_acme.sort_by_key(|id| ids.iter().position(|it| it == id));
        assert_eq!(of_acme, acme);
    }
}
