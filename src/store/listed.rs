//! Accounts with their credit, and access keys, one by one and in pages, for lists that may be long.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use crate::access::key::KeyId;
use crate::access::{Account, AccountId};
use crate::money::Credits;

use super::keys::{ListedColumns, listed};
use super::{Billing, GrantId, GrantRow, KeyRow, Store, StoreError, grants};

/// An account, as the store has it: a gateway that runs may be some milliseconds ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDetails {
    /// Its number and name.
    pub account: Account,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// When it was closed, in Unix seconds.
    pub closed: Option<i64>,
    /// How it pays.
    pub billing: Billing,
    /// Requests under way at one time at the most, over all its keys; `None`: any number.
    pub in_flight: Option<u32>,
    /// What it has; below zero is what it owes.
    pub balance: Credits,
    /// What is held of it.
    pub held: Credits,
    /// The Unix second at which something of what it has expires.
    pub expires: Option<i64>,
    /// How many of its access keys are not revoked.
    pub keys: i64,
}

impl AccountDetails {
    /// What can be held still; `None`: without end.
    #[must_use]
    pub fn available(&self) -> Option<Credits> {
        let below = match self.billing {
            Billing::Prepaid => 0,
            Billing::Postpaid { limit: Some(limit) } => limit.nanos(),
            Billing::Postpaid { limit: None } => return None,
        };
        let free = self.balance.nanos().saturating_sub(self.held.nanos());
        Some(Credits::from_nanos(free.saturating_add(below)))
    }
}

impl FromRow<'_, SqliteRow> for AccountDetails {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let name: String = row.try_get("name")?;
        let billing: String = row.try_get("billing")?;
        let limit: Option<i64> = row.try_get("credit_limit")?;
        Ok(Self {
            account: Account {
                id: AccountId(row.try_get("id")?),
                name: name.into(),
            },
            created: row.try_get("created")?,
            closed: row.try_get("closed")?,
            billing: Billing::from_columns(&billing, limit.map(Credits::from_nanos)),
            in_flight: row.try_get("in_flight")?,
            balance: Credits::from_nanos(row.try_get("balance")?),
            held: Credits::from_nanos(row.try_get("held")?),
            expires: row.try_get("expires")?,
            keys: row.try_get("keys")?,
        })
    }
}

/// The unary plus keeps SQLite from going through all rows of an account, of which few are held.
const ACCOUNTS: &str = "\
    WITH holds AS (SELECT +account AS account, SUM(held) AS held FROM usage WHERE state = 0 GROUP BY +account) \
    SELECT a.id, a.name, a.created, a.closed, a.billing, a.credit_limit, a.in_flight, b.amount AS balance, \
    COALESCE(h.held, 0) AS held, \
    (SELECT MIN(g.expires) FROM grants g WHERE g.account = a.id AND g.remaining > 0) AS expires, \
    (SELECT COUNT(*) FROM access_keys k WHERE k.account = a.id AND k.revoked IS NULL) AS keys \
    FROM accounts a JOIN balances b ON b.book = a.id LEFT JOIN holds h ON h.account = a.id WHERE ";

impl Store {
    /// The account of this number.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the store fails.
    pub async fn account(&self, id: AccountId) -> Result<AccountDetails, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ACCOUNTS);
        query.push("a.id = ").push_bind(id.0);
        let found = query.build_query_as().fetch_optional(&self.pool).await?;
        found.ok_or(StoreError::UnknownAccount(id.0))
    }

    /// The account of this name.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], or the store fails.
    pub async fn account_named(&self, name: &str) -> Result<AccountDetails, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ACCOUNTS);
        query.push("a.name = ").push_bind(name);
        let found = query.build_query_as().fetch_optional(&self.pool).await?;
        found.ok_or_else(|| StoreError::NoAccount(name.into()))
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountDetails>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ACCOUNTS);
        query.push("1 = 1 ORDER BY a.name");
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
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
    ) -> Result<Vec<AccountDetails>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ACCOUNTS);
        query.push("a.id > ").push_bind(after);
        if let Some(name) = name {
            query.push(" AND a.name = ").push_bind(name);
        }
        query
            .push(" ORDER BY a.id LIMIT ")
            .push_bind(i64::from(limit));
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    /// At most `limit` grants of an account in the order of their numbers, behind the number `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn grants_page(
        &self,
        account: AccountId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<GrantRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(grants::SELECT);
        query.push(" WHERE account = ").push_bind(account.0);
        query.push(" AND id > ").push_bind(after);
        query
            .push(" ORDER BY id LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<grants::Columns> = query.build_query_as().fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(grants::row).collect())
    }

    /// The grant of this number.
    ///
    /// # Errors
    /// [`StoreError::UnknownGrant`], or the store fails.
    pub async fn grant_numbered(&self, id: GrantId) -> Result<GrantRow, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(grants::SELECT);
        query.push(" WHERE id = ").push_bind(id.0);
        let row: Option<grants::Columns> =
            query.build_query_as().fetch_optional(&self.pool).await?;
        row.map(grants::row).ok_or(StoreError::UnknownGrant(id))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::policy::PolicyEntry;
    use crate::store::{NewGrant, NewKey};

    const NOW: i64 = 1_800_000_000;

    async fn open() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn an_account_is_told_with_its_credit() {
        let (_folder, store) = open().await;
        let acme = store.create_account("acme", NOW).await.unwrap();
        let limit = Some("20".parse().unwrap());
        let billing = Billing::Postpaid { limit };
        let zeta = store
            .create_account_billed("zeta", billing, NOW)
            .await
            .unwrap();
        let grant = |amount: &str, expires| NewGrant {
            account: acme.id,
            amount: amount.parse().unwrap(),
            expires,
            note: String::new(),
            idempotency: None,
        };
        for (amount, expires) in [("5", None), ("1", Some(NOW + 9)), ("2", Some(NOW + 7))] {
            store.grant(&grant(amount, expires), NOW).await.unwrap();
        }
        sqlx::query(
            "INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, \
             catalog, held, estimate, started) \
             VALUES (0, 'r', 1, $1, 'k', 'p', 'm', 'chat', 'gateway', 'c', 1500000000, 1, 1), \
             (1, 'r', 1, $1, 'k', 'p', 'm', 'chat', 'gateway', 'c', 1500000000, 1, 1)",
        )
        .bind(acme.id.0)
        .execute(&store.pool)
        .await
        .unwrap();
        let page = store.grants_page(acme.id, 1, 1).await.unwrap();
        assert_eq!(page, [store.grant_numbered(GrantId(2)).await.unwrap()]);
        assert_eq!(page[0].grant.amount.to_string(), "1");
        assert!(store.grant_numbered(GrantId(9)).await.is_err());
        let told = store.account(acme.id).await.unwrap();
        let amount = |text: &str| text.parse::<Credits>().unwrap();
        assert_eq!((told.balance, told.held), (amount("8"), amount("1.5")));
        assert_eq!(told.available(), Some(amount("6.5")));
        assert_eq!(
            (told.expires, told.keys, told.closed),
            (Some(NOW + 7), 0, None)
        );
        let told = store.account_named("zeta").await.unwrap();
        assert_eq!((told.account, told.billing), (zeta.clone(), billing));
        assert_eq!(told.balance, Credits::ZERO);
        store
            .set_billing(zeta.id, Billing::Postpaid { limit: None })
            .await
            .unwrap();
        let all = store.accounts().await.unwrap();
        let names: Vec<&str> = all.iter().map(|it| &*it.account.name).collect();
        assert_eq!(names, ["acme", "zeta"]);
        assert_eq!(all[1].available(), None);
        let refused = store.account_named("nobody").await.unwrap_err();
        assert!(
            refused.to_string().contains("no account \"nobody\""),
            "{refused}"
        );
        assert!(store.account(AccountId(9)).await.is_err());
    }

    #[tokio::test]
    async fn keys_are_told_one_by_one_and_in_pages() {
        let (_folder, store) = open().await;
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
