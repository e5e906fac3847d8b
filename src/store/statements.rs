//! Statements for many rows at once. One call of the database's thread costs more than a row, so rows are written in
//! groups of 64, 32, and so on down to 1: each a text that is prepared once.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

/// log2 of the largest group. Its statements have fewer variables than SQLite's limit of 32,766.
const LARGEST: usize = 6;

/// A query with its arguments bound as far as they are known.
pub(super) type Query = sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments>;

/// One statement for groups of rows.
pub(super) struct Grouped {
    /// For 1, 2, 4 … rows.
    texts: [Arc<str>; LARGEST + 1],
}

impl Grouped {
    /// `head`, and behind it the values of all rows: `columns` of them a row. `tail` may be empty.
    pub(super) fn values(head: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        Self::new(|rows| format!("{head} VALUES {} {tail}", vec![&*row; rows].join(", ")))
    }

    /// `statement` once for each row.
    pub(super) fn repeated(statement: &str) -> Self {
        Self::new(|rows| vec![statement; rows].join("; "))
    }

    fn new(text: impl Fn(usize) -> String) -> Self {
        Self {
            texts: std::array::from_fn(|size| text(1 << size).into()),
        }
    }

    /// Runs it for all `rows`, whose values `bind` adds in the order of the statement. Returns how many rows of tables
    /// it changed.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn run<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl Fn(Query, &T) -> Query,
    ) -> sqlx::Result<u64> {
        let mut changed = 0;
        for size in (0..=LARGEST).rev() {
            while let Some((group, rest)) = rows.split_at_checked(1 << size) {
                let text = AssertSqlSafe(Arc::clone(&self.texts[size]));
                let query = group.iter().fold(sqlx::query(text), &bind);
                changed += query.execute(&mut *connection).await?.rows_affected();
                rows = rest;
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection;

    #[tokio::test]
    async fn any_number_of_rows_is_written_once_each() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, value INTEGER) STRICT")
            .execute(&mut connection)
            .await
            .unwrap();
        let insert = Grouped::values("INSERT INTO t (id, value)", 2, "");
        let update = Grouped::repeated("UPDATE t SET value = value + ? WHERE id = ?");
        let mut first = 0;
        for count in [0, 1, 2, 63, 64, 65, 200] {
            let rows: Vec<i64> = (first..first + count).collect();
            first += count;
            let inserted = insert
                .run(&mut connection, &rows, |query, id| query.bind(*id).bind(7))
                .await;
            let updated = update
                .run(&mut connection, &rows, |query, id| {
                    query.bind(*id).bind(*id)
                })
                .await;
            let count = count.unsigned_abs();
            assert_eq!((inserted.unwrap(), updated.unwrap()), (count, count));
        }
        let (rows, sum): (i64, i64) = sqlx::query_as("SELECT COUNT(*), SUM(value - id) FROM t")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!((rows, sum), (first, 7 * first));
    }
}
