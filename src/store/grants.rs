//! Grants: the only way for credit to come into the books. Each is written with its transfer and the two balances that
//! it changes, in one transaction.

use serde_json::json;
use sqlx::sqlite::SqliteConnection;

use crate::access::AccountId;
use crate::money::Credits;

use super::audit::Operation;
use super::{Book, GrantId, Store, StoreError};

/// Characters of a note or an idempotency key at the most.
pub const GRANT_TEXT_CHARS_MAX: usize = 200;

/// Credit to be given to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// To whom.
    pub account: AccountId,
    /// How much; above zero.
    pub amount: Credits,
    /// The Unix second from which on it cannot be spent; `None`: never.
    pub expires: Option<i64>,
    /// What for; up to [`GRANT_TEXT_CHARS_MAX`] characters, may be empty.
    pub note: String,
    /// By this the same grant is recognised when it is asked for again; unique among all grants.
    pub idempotency: Option<String>,
}

/// A grant as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRow {
    /// Its number.
    pub id: GrantId,
    /// What was asked for.
    pub grant: NewGrant,
    /// What is neither spent nor expired.
    pub remaining: Credits,
    /// When it was made, in Unix seconds.
    pub created: i64,
}

pub(super) type Columns = (i64, i64, i64, i64, i64, Option<i64>, String, Option<String>);

pub(super) const SELECT: &str =
    "SELECT id, account, amount, remaining, created, expires, note, idempotency FROM grants";

impl NewGrant {
    /// Would it be refused, whatever the account?
    ///
    /// # Errors
    /// [`StoreError::BadAmount`], [`StoreError::ExpiresInThePast`] or [`StoreError::BadGrantText`].
    pub fn check(&self, now: i64) -> Result<(), StoreError> {
        if self.amount <= Credits::ZERO {
            return Err(StoreError::BadAmount);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(StoreError::ExpiresInThePast);
        }
        let key = self.idempotency.as_deref();
        let shown = |text: &str| {
            text.chars().count() <= GRANT_TEXT_CHARS_MAX && !text.contains(char::is_control)
        };
        if !shown(&self.note) || !key.is_none_or(|key| !key.is_empty() && shown(key)) {
            return Err(StoreError::BadGrantText);
        }
        Ok(())
    }
}

impl Store {
    /// Gives credit to an account at the Unix second `now`. With an idempotency key that a grant has, nothing is given:
    /// the grant that has it is returned, and the second value is false.
    ///
    /// # Errors
    /// As [`NewGrant::check`], and [`StoreError::UnknownAccount`], [`StoreError::AccountClosed`],
    /// [`StoreError::OtherGrant`] when the key is that of a grant with another content, [`StoreError::TooMuch`]; or the
    /// store fails.
    pub async fn grant(&self, new: &NewGrant, now: i64) -> Result<(GrantRow, bool), StoreError> {
        let details = json!({
            "account": new.account.0, "amount": new.amount, "expires": new.expires, "note": new.note,
            "idempotency_key": new.idempotency,
        });
        let about = "grant".to_owned();
        let mut change = self.change(Operation::CreateGrant, about, details).await?;
        let made = give(change.connection(), new, now).await;
        match made {
            Ok((row, false)) => change.drop().await.map(|()| (row, false)),
            made => {
                if let Ok((row, _)) = &made {
                    change.object = object(row.id);
                }
                change.end(made).await
            }
        }
    }

    /// Ends a grant at the Unix second `now`: what is neither spent nor held of it expires. One that has ended stays as
    /// it is.
    ///
    /// # Errors
    /// [`StoreError::UnknownGrant`], or the store fails.
    pub async fn end_grant(&self, grant: GrantId, now: i64) -> Result<(), StoreError> {
        let details = json!({"state": "ended"});
        let mut change = self
            .change(Operation::EndGrant, object(grant), details)
            .await?;
        let done = end(change.connection(), grant, now).await;
        change.end(done).await
    }

    /// The grants of an account, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn grants(&self, account: AccountId) -> Result<Vec<GrantRow>, StoreError> {
        let rows: Vec<Columns> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE account = $1 ORDER BY id"
        )))
        .bind(account.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(row).collect())
    }
}

/// What the audit calls a grant.
fn object(id: GrantId) -> String {
    format!("grant {}", id.0)
}

async fn give(
    connection: &mut SqliteConnection,
    new: &NewGrant,
    now: i64,
) -> Result<(GrantRow, bool), StoreError> {
    if let Some(key) = &new.idempotency
        && let Some(known) = by_key(connection, key).await?
    {
        return match known.grant == *new {
            true => Ok((known, false)),
            false => Err(StoreError::OtherGrant(known.id)),
        };
    }
    new.check(now)?;
    let balance = open_balance(connection, new.account).await?;
    let granted = balance_of(connection, Book::GRANTED).await?;
    let amount = new.amount.nanos();
    if balance.checked_add(amount).is_none() || granted.checked_sub(amount).is_none() {
        return Err(StoreError::TooMuch);
    }
    // It pays first what is owed.
    let remaining = amount - amount.min(balance.min(0).saturating_neg());
    let row = insert(connection, new, remaining, now).await?;
    Ok((row, true))
}

async fn end(
    connection: &mut SqliteConnection,
    grant: GrantId,
    now: i64,
) -> Result<(), StoreError> {
    let changed =
        sqlx::query("UPDATE grants SET expires = MIN(COALESCE(expires, $1), $1) WHERE id = $2")
            .bind(now)
            .bind(grant.0)
            .execute(connection)
            .await?;
    match changed.rows_affected() {
        0 => Err(StoreError::UnknownGrant(grant)),
        _ => Ok(()),
    }
}

async fn by_key(
    connection: &mut SqliteConnection,
    key: &str,
) -> Result<Option<GrantRow>, StoreError> {
    let found: Option<Columns> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE idempotency = $1"
    )))
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(row))
}

/// The balance of an account that is open.
async fn open_balance(
    connection: &mut SqliteConnection,
    account: AccountId,
) -> Result<i64, StoreError> {
    let closed: Option<(Option<i64>,)> =
        sqlx::query_as("SELECT closed FROM accounts WHERE id = $1")
            .bind(account.0)
            .fetch_optional(&mut *connection)
            .await?;
    match closed {
        None => Err(StoreError::UnknownAccount(account.0)),
        Some((Some(_),)) => Err(StoreError::AccountClosed),
        Some((None,)) => balance_of(connection, Book::of(account)).await,
    }
}

async fn balance_of(connection: &mut SqliteConnection, book: Book) -> Result<i64, StoreError> {
    let (amount,) = sqlx::query_as("SELECT amount FROM balances WHERE book = $1")
        .bind(book.0)
        .fetch_one(connection)
        .await?;
    Ok(amount)
}

async fn insert(
    connection: &mut SqliteConnection,
    new: &NewGrant,
    remaining: i64,
    now: i64,
) -> Result<GrantRow, StoreError> {
    let amount = new.amount.nanos();
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO grants (account, amount, remaining, created, expires, note, idempotency) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(new.account.0)
    .bind(amount)
    .bind(remaining)
    .bind(now)
    .bind(new.expires)
    .bind(&new.note)
    .bind(&new.idempotency)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO transfers (debit, credit, amount, of_grant, at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(Book::GRANTED.0)
    .bind(new.account.0)
    .bind(amount)
    .bind(id)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    for (book, change) in [(Book::GRANTED, -amount), (Book::of(new.account), amount)] {
        sqlx::query("UPDATE balances SET amount = amount + $1 WHERE book = $2")
            .bind(change)
            .bind(book.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(GrantRow {
        id: GrantId(id),
        grant: new.clone(),
        remaining: Credits::from_nanos(remaining),
        created: now,
    })
}

pub(super) fn row(columns: Columns) -> GrantRow {
    let (id, account, amount, remaining, created, expires, note, idempotency) = columns;
    GrantRow {
        id: GrantId(id),
        grant: NewGrant {
            account: AccountId(account),
            amount: Credits::from_nanos(amount),
            expires,
            note,
            idempotency,
        },
        remaining: Credits::from_nanos(remaining),
        created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    async fn store() -> (tempfile::TempDir, Store, AccountId) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = store.create_account("acme", NOW).await.unwrap().id;
        (folder, store, account)
    }

    fn of(account: AccountId, amount: &str) -> NewGrant {
        NewGrant {
            account,
            amount: amount.parse().unwrap(),
            expires: None,
            note: String::new(),
            idempotency: None,
        }
    }

    /// The balances of `granted` and of the account, in nano-dollars.
    async fn balances(store: &Store, account: AccountId) -> [i64; 2] {
        let mut connection = store.pool.acquire().await.unwrap();
        [
            balance_of(&mut connection, Book::GRANTED).await.unwrap(),
            balance_of(&mut connection, Book::of(account))
                .await
                .unwrap(),
        ]
    }

    #[tokio::test]
    async fn a_grant_has_two_sides() {
        let (_folder, store, account) = store().await;
        let (made, new) = store.grant(&of(account, "12.5"), NOW).await.unwrap();
        assert!(new);
        assert_eq!(made.remaining, made.grant.amount);
        store.grant(&of(account, "0.000000001"), NOW).await.unwrap();
        assert_eq!(
            balances(&store, account).await,
            [-12_500_000_001, 12_500_000_001]
        );
        assert_eq!(store.grants(account).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn asking_twice_with_one_key_grants_once() {
        let (_folder, store, account) = store().await;
        let new = NewGrant {
            expires: Some(NOW + 9),
            note: "March".into(),
            idempotency: Some("invoice 7".into()),
            ..of(account, "5")
        };
        let (first, made) = store.grant(&new, NOW).await.unwrap();
        assert!(made);
        // Also after it has expired: what was asked for has been done.
        assert_eq!(
            store.grant(&new, NOW + 60).await.unwrap(),
            (first.clone(), false)
        );
        let other = store.create_account("other", NOW).await.unwrap().id;
        for differs in [
            NewGrant {
                amount: "6".parse().unwrap(),
                ..new.clone()
            },
            NewGrant {
                account: other,
                ..new.clone()
            },
            NewGrant {
                expires: None,
                ..new.clone()
            },
            NewGrant {
                note: "April".into(),
                ..new.clone()
            },
        ] {
            let refused = store.grant(&differs, NOW).await;
            assert!(matches!(refused, Err(StoreError::OtherGrant(id)) if id == first.id));
        }
        assert_eq!(balances(&store, account).await[1], 5_000_000_000);
    }

    #[tokio::test]
    async fn what_is_no_grant_changes_nothing() {
        let (_folder, store, account) = store().await;
        let good = of(account, "1");
        let long = "x".repeat(GRANT_TEXT_CHARS_MAX + 1);
        let text = |note: &str, key: Option<&str>| NewGrant {
            note: note.into(),
            idempotency: key.map(Into::into),
            ..good.clone()
        };
        let amount = |nanos| NewGrant {
            amount: Credits::from_nanos(nanos),
            ..good.clone()
        };
        let bad = [
            amount(0),
            amount(-1),
            amount(i64::MIN),
            NewGrant {
                expires: Some(NOW),
                ..good.clone()
            },
            NewGrant {
                account: AccountId(account.0 + 1),
                ..good.clone()
            },
            text(&long, None),
            text("a\nb", None),
            text("", Some("")),
            text("", Some(&long)),
        ];
        for new in bad {
            assert!(store.grant(&new, NOW).await.is_err(), "{new:?}");
        }
        store.grant(&amount(i64::MAX), NOW).await.unwrap();
        let above = store.grant(&good, NOW).await;
        assert!(matches!(above, Err(StoreError::TooMuch)));
        assert_eq!(balances(&store, account).await, [-i64::MAX, i64::MAX]);
        store.close_account(account, NOW).await.unwrap();
        let closed = store.grant(&good, NOW).await;
        assert!(matches!(closed, Err(StoreError::AccountClosed)));
    }

    #[tokio::test]
    async fn a_grant_pays_first_what_is_owed() {
        let (_folder, store, account) = store().await;
        sqlx::query(
            "UPDATE balances SET amount = CASE book WHEN -3 THEN 3 WHEN $1 THEN -3 ELSE 0 END",
        )
        .bind(account.0)
        .execute(&store.pool)
        .await
        .unwrap();
        let nanos = |amount| NewGrant {
            amount: Credits::from_nanos(amount),
            ..of(account, "1")
        };
        let (two, _) = store.grant(&nanos(2), NOW).await.unwrap();
        let (five, _) = store.grant(&nanos(5), NOW).await.unwrap();
        assert_eq!([two.remaining.nanos(), five.remaining.nanos()], [0, 4]);
        assert_eq!(balances(&store, account).await[1], 4);
    }

    #[tokio::test]
    async fn a_grant_is_ended_early_and_not_late() {
        let (_folder, store, account) = store().await;
        let (made, _) = store.grant(&of(account, "1"), NOW).await.unwrap();
        store.end_grant(made.id, NOW + 5).await.unwrap();
        store.end_grant(made.id, NOW + 9).await.unwrap();
        let rows = store.grants(account).await.unwrap();
        assert_eq!(rows[0].grant.expires, Some(NOW + 5));
        let unknown = store.end_grant(GrantId(made.id.0 + 1), NOW).await;
        assert!(matches!(unknown, Err(StoreError::UnknownGrant(_))));
    }
}
