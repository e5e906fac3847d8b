//! How accounts pay, and what an operator changes of it. A gateway that is running sees each change within a second.
//! Absent: what requests cost, and who reads any of it.

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use crate::access::AccountId;
use crate::money::Credits;

use super::accounts::object;
use super::audit::Operation;
use super::{Billing, Book, Store, StoreError};

impl Billing {
    /// As the two columns of the store.
    pub(super) fn columns(self) -> (&'static str, Option<i64>) {
        match self {
            Self::Prepaid => ("prepaid", None),
            Self::Postpaid { limit } => ("postpaid", limit.map(Credits::nanos)),
        }
    }

    pub(super) fn from_columns(billing: &str, limit: Option<Credits>) -> Self {
        match billing {
            "postpaid" => Self::Postpaid { limit },
            _ => Self::Prepaid,
        }
    }
}

impl Store {
    /// What is in a book, in nano-dollars.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the store fails.
    pub async fn balance(&self, book: Book) -> Result<i64, StoreError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT amount FROM balances WHERE book = $1")
            .bind(book.0)
            .fetch_optional(&self.pool)
            .await?;
        found
            .map(|(amount,)| amount)
            .ok_or(StoreError::UnknownAccount(book.0))
    }

    /// The rows that `sql` selects.
    #[cfg(test)]
    pub(crate) async fn rows(&self, sql: &'static str) -> Vec<sqlx::sqlite::SqliteRow> {
        sqlx::query(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// The only value of the only row that `sql` selects.
    #[cfg(test)]
    pub(crate) async fn scalar<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Changes how an account pays. What it owes it still owes.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], [`StoreError::NegativeLimit`], or the store fails.
    pub async fn set_billing(&self, account: AccountId, to: Billing) -> Result<(), StoreError> {
        let (pays, limit) = to.columns();
        let details = json!({"billing": pays, "limit": limit.map(Credits::from_nanos)});
        let mut change = self
            .change(Operation::ChangeAccount, object(account), details)
            .await?;
        let done = bill(change.connection(), account, to).await;
        change.end(done).await
    }

    /// Closes an account at the Unix second `now`: its keys are refused from then on. What it has or owes stays in the
    /// books. To close it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], [`StoreError::HasHolds`], or the store fails.
    pub async fn close_account(&self, account: AccountId, now: i64) -> Result<(), StoreError> {
        let details = json!({"state": "closed"});
        let mut change = self
            .change(Operation::ChangeAccount, object(account), details)
            .await?;
        let done = close(change.connection(), account, now).await;
        change.end(done).await
    }
}

async fn bill(
    connection: &mut SqliteConnection,
    account: AccountId,
    to: Billing,
) -> Result<(), StoreError> {
    to.check()?;
    let (billing, limit) = to.columns();
    let changed = sqlx::query("UPDATE accounts SET billing = $1, credit_limit = $2 WHERE id = $3")
        .bind(billing)
        .bind(limit)
        .bind(account.0)
        .execute(connection)
        .await?;
    found(changed.rows_affected(), account)
}

async fn close(
    connection: &mut SqliteConnection,
    account: AccountId,
    now: i64,
) -> Result<(), StoreError> {
    let (holds,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM usage WHERE state = 0 AND account = $1")
            .bind(account.0)
            .fetch_one(&mut *connection)
            .await?;
    if holds > 0 {
        return Err(StoreError::HasHolds(holds));
    }
    let changed = sqlx::query("UPDATE accounts SET closed = COALESCE(closed, $1) WHERE id = $2")
        .bind(now)
        .bind(account.0)
        .execute(connection)
        .await?;
    found(changed.rows_affected(), account)
}

impl Billing {
    /// # Errors
    /// [`StoreError::NegativeLimit`].
    pub(super) fn check(self) -> Result<(), StoreError> {
        match self {
            Self::Postpaid { limit: Some(limit) } if limit.is_negative() => {
                Err(StoreError::NegativeLimit)
            }
            _ => Ok(()),
        }
    }
}

fn found(rows: u64, account: AccountId) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::UnknownAccount(account.0)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Day, LedgerStore, StoredAccount};

    const NOW: i64 = 1_800_000_000;

    fn accounts(store: &Store) -> Vec<StoredAccount> {
        let claimed = LedgerStore::claim(store.file(), 1, Day(0));
        let mut accounts = claimed.unwrap().1.accounts;
        accounts.sort_by_key(|account| account.id);
        accounts
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn an_account_is_prepaid_unless_it_is_said_otherwise() {
        let (_folder, store) = store().await;
        let limit = Some(Credits::from_nanos(5));
        let prepaid = store.create_account("a", NOW).await.unwrap();
        let postpaid = Billing::Postpaid { limit };
        let other = store
            .create_account_billed("b", postpaid, NOW)
            .await
            .unwrap();
        let row = |id, billing, closed| StoredAccount {
            id,
            billing,
            closed,
            balance: 0,
            grants: Vec::new(),
        };
        assert_eq!(
            accounts(&store),
            [
                row(prepaid.id, Billing::Prepaid, false),
                row(other.id, postpaid, false)
            ]
        );
        store
            .set_billing(prepaid.id, Billing::Postpaid { limit: None })
            .await
            .unwrap();
        store.set_billing(other.id, Billing::Prepaid).await.unwrap();
        store.close_account(other.id, NOW).await.unwrap();
        assert_eq!(
            accounts(&store),
            [
                row(prepaid.id, Billing::Postpaid { limit: None }, false),
                row(other.id, Billing::Prepaid, true)
            ]
        );
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let (_folder, store) = store().await;
        let account = store.create_account("a", NOW).await.unwrap();
        let below = Billing::Postpaid {
            limit: Some(Credits::from_nanos(-1)),
        };
        for refused in [
            store.set_billing(account.id, below).await,
            store.create_account_billed("b", below, NOW).await.map(drop),
        ] {
            assert!(matches!(refused, Err(StoreError::NegativeLimit)));
        }
        let nobody = AccountId(account.id.0 + 1);
        for refused in [
            store.set_billing(nobody, Billing::Prepaid).await,
            store.close_account(nobody, NOW).await,
        ] {
            assert!(matches!(refused, Err(StoreError::UnknownAccount(_))));
        }
    }

    #[tokio::test]
    async fn an_account_with_holds_is_not_closed() {
        let (_folder, store) = store().await;
        let account = store.create_account("a", NOW).await.unwrap();
        sqlx::query(
            "INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, \
             catalog, held, estimate, started) \
             VALUES (0, 'r', 1, $1, 'k', 'p', 'm', 'chat', 'gateway', 'c', 1, 1, 1)",
        )
        .bind(account.id.0)
        .execute(&store.pool)
        .await
        .unwrap();
        let refused = store.close_account(account.id, NOW).await.unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("the account has 1 open hold(s)"),
            "{refused}"
        );
        sqlx::query("UPDATE usage SET state = 2")
            .execute(&store.pool)
            .await
            .unwrap();
        store.close_account(account.id, NOW).await.unwrap();
    }
}
