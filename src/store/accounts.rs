//! Accounts: made, found and listed by name. Absent: their credit.

use crate::access::{Account, AccountId};
use crate::money::Credits;

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use super::audit::Operation;
use super::error::is_duplicate;
use super::{Billing, Store, StoreError, checked_name};

/// An account as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its number and name.
    pub account: Account,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// How many of its access keys are not revoked.
    pub keys: i64,
}

impl Store {
    /// Makes a prepaid account at the Unix second `now`.
    ///
    /// # Errors
    /// As [`Store::create_account_billed`].
    pub async fn create_account(&self, name: &str, now: i64) -> Result<Account, StoreError> {
        self.create_account_billed(name, Billing::Prepaid, now)
            .await
    }

    /// Makes an account that pays by `billing`, at the Unix second `now`.
    ///
    /// # Errors
    /// [`StoreError::AccountExists`], [`StoreError::BadName`], [`StoreError::NegativeLimit`], or the store fails.
    pub async fn create_account_billed(
        &self,
        name: &str,
        billing: Billing,
        now: i64,
    ) -> Result<Account, StoreError> {
        let (pays, limit) = billing.columns();
        let details =
            json!({"name": name, "billing": pays, "limit": limit.map(Credits::from_nanos)});
        let about = "account".to_owned();
        let mut change = self
            .change(Operation::CreateAccount, about, details)
            .await?;
        let made = insert(change.connection(), name, billing, now).await;
        if let Ok(account) = &made {
            change.object = object(account.id);
        }
        change.end(made).await
    }

    /// The account of this name, made, as a prepaid one, at the Unix second `now` if there was none: then the second
    /// value is true.
    ///
    /// # Errors
    /// [`StoreError::BadName`], or the store fails.
    pub async fn ensure_account(
        &self,
        name: &str,
        now: i64,
    ) -> Result<(Account, bool), StoreError> {
        if let Some(account) = self.named(name).await? {
            return Ok((account, false));
        }
        match self.create_account(name, now).await {
            Ok(account) => Ok((account, true)),
            // Somebody else made it meanwhile.
            Err(error @ StoreError::AccountExists(_)) => {
                let found = self.named(name).await?;
                found.map(|account| (account, false)).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn named(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM accounts WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(|(id,)| account(id, name)))
    }

    /// All accounts by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        let rows: Vec<(i64, String, i64, i64)> = sqlx::query_as(
            "SELECT a.id, a.name, a.created, COUNT(k.id) \
             FROM accounts a LEFT JOIN access_keys k ON k.account = a.id AND k.revoked IS NULL \
             GROUP BY a.id, a.name, a.created ORDER BY a.name",
        )
        .fetch_all(&self.pool)
        .await?;
        let row = |(id, name, created, keys): (i64, String, _, _)| AccountRow {
            account: account(id, &name),
            created,
            keys,
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    name: &str,
    billing: Billing,
    now: i64,
) -> Result<Account, StoreError> {
    let name = checked_name(name)?;
    billing.check()?;
    let (billing, limit) = billing.columns();
    let made = sqlx::query_as(
        "INSERT INTO accounts (name, created, billing, credit_limit) \
         VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(name)
    .bind(now)
    .bind(billing)
    .bind(limit)
    .fetch_one(connection)
    .await;
    let (id,) = made.map_err(|error| {
        if is_duplicate(&error) {
            StoreError::AccountExists(name.into())
        } else {
            error.into()
        }
    })?;
    Ok(account(id, name))
}

/// What the audit calls an account.
pub(super) fn object(account: AccountId) -> String {
    format!("account {}", account.0)
}

fn account(id: i64, name: &str) -> Account {
    Account {
        id: AccountId(id),
        name: name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_are_made_once_and_listed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let zeta = store.create_account("zeta", 5).await.unwrap();
        let acme = store.create_account("acme", 6).await.unwrap();
        assert_ne!(zeta.id, acme.id);
        let error = store.create_account("acme", 7).await.unwrap_err();
        assert_eq!(error.to_string(), r#"there is already an account "acme""#);
        assert_eq!(
            store.ensure_account("acme", 8).await.unwrap(),
            (acme.clone(), false)
        );

        let listed = store.list_accounts().await.unwrap();
        let row = |account, created| AccountRow {
            account,
            created,
            keys: 0,
        };
        assert_eq!(listed, [row(acme, 6), row(zeta, 5)]);
    }

    #[tokio::test]
    async fn names_that_lists_cannot_show_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let long = "é".repeat(super::super::NAME_CHARS_MAX + 1);
        for name in ["", " ", " a", "a ", "a\nb", "a\0", &long] {
            let refused = store.create_account(name, 1).await;
            assert!(matches!(refused, Err(StoreError::BadName)), "{name:?}");
        }
        assert!(
            store
                .create_account("Zoë & Söhne, 2nd floor", 1)
                .await
                .is_ok()
        );
        assert!(
            store
                .create_account(&"é".repeat(super::super::NAME_CHARS_MAX), 1)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn names_are_data_and_not_sql() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let name = "x'); DROP TABLE accounts; --";
        store.create_account(name, 1).await.unwrap();
        assert_eq!(&*store.list_accounts().await.unwrap()[0].account.name, name);
    }
}
