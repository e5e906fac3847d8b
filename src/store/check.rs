//! Whether the books agree with the rows that they are the sums of.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::money::Credits;

use super::batch::Book;
use super::{Store, StoreError};

/// Disagreements of one kind that are told at the most.
const TOLD_MAX: i64 = 20;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Books, accounts' ones included.
    pub books: i64,
    /// Grants.
    pub grants: i64,
    /// Usage rows.
    pub rows: i64,
    /// Holds that are open.
    pub open: i64,
    /// Everything that does not agree; at most some of each kind.
    pub faults: Vec<String>,
}

/// What each book comes to by the rows.
const BOOKS: &str = "\
    WITH moves(book, amount) AS ( \
      SELECT debit, -amount FROM transfers UNION ALL SELECT credit, amount FROM transfers \
      UNION ALL SELECT account, -(charged + fee) FROM usage WHERE state <> 0 \
      UNION ALL SELECT -3, charged + absorbed FROM usage WHERE state <> 0 \
      UNION ALL SELECT -4, fee FROM usage WHERE state <> 0 \
      UNION ALL SELECT -5, -absorbed FROM usage WHERE state <> 0), \
    sums(book, amount) AS (SELECT book, SUM(amount) FROM moves GROUP BY book) \
    SELECT b.book, b.amount, COALESCE(s.amount, 0) FROM balances b LEFT JOIN sums s ON s.book = b.book \
    WHERE b.amount <> COALESCE(s.amount, 0) \
    UNION ALL SELECT s.book, 0, s.amount FROM sums s WHERE s.amount <> 0 \
      AND NOT EXISTS (SELECT 1 FROM balances b WHERE b.book = s.book) \
    LIMIT ";

/// What is left of the grants of each account is its balance, or nothing where that is below zero.
const LEFT: &str = "\
    SELECT a.id, b.amount, COALESCE((SELECT SUM(g.remaining) FROM grants g WHERE g.account = a.id), 0) AS left_over \
    FROM accounts a JOIN balances b ON b.book = a.id WHERE left_over <> MAX(b.amount, 0) LIMIT ";

/// What each key was charged, by the day on which its requests began.
const SPEND: &str = "\
    WITH rows(day, access_key, amount) AS ( \
      SELECT started / 86400000, access_key, SUM(charged + fee) FROM usage WHERE state <> 0 GROUP BY 1, 2) \
    SELECT s.access_key, s.amount, COALESCE(r.amount, 0) \
    FROM key_spend s LEFT JOIN rows r ON r.day = s.day AND r.access_key = s.access_key \
    WHERE s.amount <> COALESCE(r.amount, 0) LIMIT ";

impl Store {
    /// Looks at all books and rows as they are at one moment. Takes long where there are many.
    ///
    /// # Errors
    /// When the store fails; that something does not agree is no error.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        let mut checked = counted(&mut transaction).await?;
        let faults = &mut checked.faults;
        sum_is_zero(&mut transaction, faults).await?;
        for (book, balance, sum) in three(&mut transaction, BOOKS).await? {
            let (book, [balance, sum]) = (Book(book), [balance, sum].map(Credits::from_nanos));
            faults.push(format!(
                "the book {book} has {balance}, but its rows come to {sum}"
            ));
        }
        for (account, balance, left) in three(&mut transaction, LEFT).await? {
            let [balance, left] = [balance, left].map(Credits::from_nanos);
            faults.push(format!(
                "account {account} has a balance of {balance}, but its grants have {left} left"
            ));
        }
        spend(&mut transaction, faults).await?;
        integrity(&mut transaction, faults).await?;
        Ok(checked)
    }
}

async fn counted(connection: &mut SqliteConnection) -> Result<Checked, StoreError> {
    let (books, grants, rows, open) = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM balances), (SELECT COUNT(*) FROM grants), (SELECT COUNT(*) FROM usage), \
         (SELECT COUNT(*) FROM usage WHERE state = 0)",
    )
    .fetch_one(connection)
    .await?;
    Ok(Checked {
        books,
        grants,
        rows,
        open,
        faults: Vec::new(),
    })
}

/// Added up here, where a sum may be larger than a balance can be.
async fn sum_is_zero(
    connection: &mut SqliteConnection,
    faults: &mut Vec<String>,
) -> Result<(), StoreError> {
    let amounts: Vec<(i64,)> = sqlx::query_as("SELECT amount FROM balances")
        .fetch_all(connection)
        .await?;
    let sum: i128 = amounts.iter().map(|(amount,)| i128::from(*amount)).sum();
    if sum != 0 {
        faults.push(format!(
            "all books together come to {sum} nano-dollars, not to 0"
        ));
    }
    Ok(())
}

async fn three(
    connection: &mut SqliteConnection,
    sql: &str,
) -> Result<Vec<(i64, i64, i64)>, StoreError> {
    let query = AssertSqlSafe(format!("{sql}{TOLD_MAX}"));
    Ok(sqlx::query_as(query).fetch_all(connection).await?)
}

async fn spend(
    connection: &mut SqliteConnection,
    faults: &mut Vec<String>,
) -> Result<(), StoreError> {
    let query = AssertSqlSafe(format!("{SPEND}{TOLD_MAX}"));
    let wrong: Vec<(String, i64, i64)> = sqlx::query_as(query).fetch_all(connection).await?;
    for (key, spend, rows) in wrong {
        let [spend, rows] = [spend, rows].map(Credits::from_nanos);
        faults.push(format!(
            "the spend of the access key {key} on a day is {spend}, but its rows come to {rows}"
        ));
    }
    Ok(())
}

/// What SQLite itself finds wrong with its file.
async fn integrity(
    connection: &mut SqliteConnection,
    faults: &mut Vec<String>,
) -> Result<(), StoreError> {
    let found: Vec<(String,)> = sqlx::query_as("PRAGMA integrity_check(20)")
        .fetch_all(connection)
        .await?;
    let wrong = found.into_iter().filter(|(said,)| said != "ok");
    faults.extend(wrong.map(|(said,)| format!("the file is damaged: {said}")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NewGrant;

    const NOW: i64 = 1_800_000_000;

    /// Books that agree: a grant of $10, of which an attempt used $1 and $0.1 of fees, and the operator $0.5.
    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = store.create_account("acme", NOW).await.unwrap().id;
        let grant = NewGrant {
            account,
            amount: "10".parse().unwrap(),
            expires: None,
            note: String::new(),
            idempotency: None,
        };
        store.grant(&grant, NOW).await.unwrap();
        change(
            &store,
            "INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, \
             catalog, held, estimate, started, ended, charged, fee, absorbed) VALUES \
             (1, 'r', 1, 1, 'k', 'p', 'm', 'chat', 'gateway', 'c', 9, 1, 1, 2, 1000000000, 100000000, 500000000), \
             (0, 's', 1, 1, 'k', 'p', 'm', 'chat', 'gateway', 'c', 9, 1, 1, NULL, 0, 0, 0)",
        )
        .await;
        for sql in [
            "UPDATE balances SET amount = amount - 1100000000 WHERE book = 1",
            "UPDATE balances SET amount = amount + 1500000000 WHERE book = -3",
            "UPDATE balances SET amount = amount + 100000000 WHERE book = -4",
            "UPDATE balances SET amount = amount - 500000000 WHERE book = -5",
            "UPDATE grants SET remaining = 8900000000",
            "INSERT INTO key_spend (day, access_key, amount) VALUES (0, 'k', 1100000000)",
        ] {
            change(&store, sql).await;
        }
        (folder, store)
    }

    async fn change(store: &Store, sql: &'static str) {
        sqlx::query(sql).execute(&store.pool).await.unwrap();
    }

    #[tokio::test]
    async fn books_that_agree_have_no_fault() {
        let (_folder, store) = store().await;
        let expected = Checked {
            books: 6,
            grants: 1,
            rows: 2,
            open: 1,
            faults: Vec::new(),
        };
        assert_eq!(store.check().await.unwrap(), expected);
    }

    #[tokio::test]
    async fn each_disagreement_is_told() {
        for (sql, expected) in [
            (
                "UPDATE balances SET amount = amount + 1 WHERE book = -4",
                &[
                    "not to 0",
                    "the book fees has 0.100000001, but its rows come to 0.1",
                ][..],
            ),
            (
                "UPDATE usage SET charged = charged + 5 WHERE id = 1",
                &[
                    "the book account:1 has 8.9",
                    "the book cost has",
                    "the spend of the access key k",
                ],
            ),
            (
                "UPDATE grants SET remaining = remaining - 1",
                &["account 1 has a balance of 8.9, but its grants have 8.899999999 left"],
            ),
            (
                "UPDATE transfers SET amount = amount + 1",
                &[
                    "the book granted has -10, but its rows come to -10.000000001",
                    "the book account:1",
                ],
            ),
            (
                "INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, \
                 catalog, held, estimate, started, ended, charged) VALUES \
                 (1, 'r', 1, 77, 'k2', 'p', 'm', 'chat', 'gateway', 'c', 9, 1, 1, 2, 7)",
                &["the book account:77 has 0, but its rows come to -0.000000007"],
            ),
        ] {
            let (_folder, store) = store().await;
            change(&store, sql).await;
            let faults = store.check().await.unwrap().faults;
            for words in expected {
                let told = faults.iter().any(|fault| fault.contains(words));
                assert!(told, "{sql}: {words}: {faults:?}");
            }
        }
    }
}
