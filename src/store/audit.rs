//! What operators change, written down: who, when, what, and how it ended. A change and its row are one transaction, so that
//! neither is without the other; a change that is refused has a row too. Absent: what is no change of the store's, which
//! whoever makes it tells by [`Store::tell`].

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, QueryBuilder, Row, Sqlite, Transaction};

use super::{Store, StoreError};

/// How a change ended that was made.
pub const DONE: &str = "done";

/// Rows that are kept however old they are: a clock that jumps does not empty the audit.
const KEPT_MIN: i64 = 1_000;

/// Rows that are removed in one transaction, so that nothing waits for long.
const REMOVED_AT_ONCE: i64 = 1_000;

/// Characters of an object or of details that are written.
const TEXT_CHARS_MAX: usize = 2_000;

/// What can be changed, by the names that the admin API has for its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operation {
    CreateAccount,
    ChangeAccount,
    CreateGrant,
    EndGrant,
    CreateKey,
    ChangeKey,
    CreateProviderKey,
    ChangeProviderKey,
    RemoveProviderKey,
    ResealProviderKeys,
}

impl Operation {
    const ALL: [Self; 10] = [
        Self::CreateAccount,
        Self::ChangeAccount,
        Self::CreateGrant,
        Self::EndGrant,
        Self::CreateKey,
        Self::ChangeKey,
        Self::CreateProviderKey,
        Self::ChangeProviderKey,
        Self::RemoveProviderKey,
        Self::ResealProviderKeys,
    ];

    /// Whether the store tells of an operation of this name itself.
    #[must_use]
    pub fn is_one(name: &str) -> bool {
        Self::ALL.iter().any(|operation| operation.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateAccount => "createAccount",
            Self::ChangeAccount => "changeAccount",
            Self::CreateGrant => "createGrant",
            Self::EndGrant => "endGrant",
            Self::CreateKey => "createKey",
            Self::ChangeKey => "changeKey",
            Self::CreateProviderKey => "createProviderKey",
            Self::ChangeProviderKey => "changeProviderKey",
            Self::RemoveProviderKey => "removeProviderKey",
            Self::ResealProviderKeys => "resealProviderKeys",
        }
    }
}

/// Who changes something.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    who: Arc<str>,
    /// In Unix seconds; `None`: by the clock of the store.
    at: Option<i64>,
}

impl Default for Actor {
    /// The program itself.
    fn default() -> Self {
        Self {
            who: "tollgate".into(),
            at: None,
        }
    }
}

/// A change that is about to be made: everything that is written through it is kept with its row, or not at all.
pub(super) struct Change {
    transaction: Transaction<'static, Sqlite>,
    store: Store,
    operation: Operation,
    /// What it is about.
    pub(super) object: String,
    /// What changes.
    pub(super) details: serde_json::Value,
}

impl Change {
    /// Where its statements run.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Keeps what was done with its row; of what was refused, the row alone.
    pub(super) async fn end<T>(mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let name = self.operation.as_str();
        match done {
            Ok(done) => {
                let entry = (name, &*self.object, DONE, &self.details);
                insert(&mut self.transaction, &self.store.actor, entry).await?;
                self.transaction.commit().await?;
                Ok(done)
            }
            Err(refused) => {
                self.transaction.rollback().await?;
                if let Some(outcome) = refused.refusal() {
                    let told = self.store.tell(name, &self.object, outcome, &self.details);
                    if let Err(error) = told.await {
                        log::error!("a refused change is not in the audit: {error}");
                    }
                }
                Err(refused)
            }
        }
    }

    /// Nothing has changed, and nothing is to be told.
    pub(super) async fn drop(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number.
    pub id: i64,
    /// When, in Unix seconds.
    pub at: i64,
    /// Who: `token:` and a part of the digest of the admin token, or `cli:` and a Unix user, or both.
    pub who: String,
    /// What, by the name that the admin API has for it.
    pub operation: String,
    /// What it was about, as `account 1`.
    pub object: String,
    /// `done`, or why it was not.
    pub outcome: String,
    /// What was changed of it, as JSON.
    pub details: String,
}

impl FromRow<'_, SqliteRow> for AuditRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            who: row.try_get("who")?,
            operation: row.try_get("operation")?,
            object: row.try_get("object")?,
            outcome: row.try_get("outcome")?,
            details: row.try_get("details")?,
        })
    }
}

/// Which rows; what is `None` narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// From this Unix second on.
    pub from: Option<i64>,
    /// Before this Unix second.
    pub to: Option<i64>,
    /// By whom, in full or as one of the words of it.
    pub who: Option<String>,
    /// What.
    pub operation: Option<String>,
    /// About what.
    pub object: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
}

impl Store {
    /// The same store, for changes that `who` makes at the Unix second `at`.
    #[must_use]
    pub fn by(&self, who: &str, at: i64) -> Self {
        let actor = Actor {
            who: who.into(),
            at: Some(at),
        };
        Self {
            actor,
            ..self.clone()
        }
    }

    /// Begins a change of `object`.
    pub(super) async fn change(
        &self,
        operation: Operation,
        object: String,
        details: serde_json::Value,
    ) -> Result<Change, StoreError> {
        // From the first statement on: what is read is what is changed.
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Change {
            transaction,
            store: self.clone(),
            operation,
            object,
            details,
        })
    }

    /// Writes down what was changed, or refused, outside the store: `outcome` is [`DONE`], or why not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tell(
        &self,
        operation: &str,
        object: &str,
        outcome: &str,
        details: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let entry = (operation, object, outcome, details);
        insert(&mut connection, &self.actor, entry).await
    }

    /// At most `limit` rows, newest first, behind the row `before`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_page(
        &self,
        which: &Audited,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, at, who, operation, object, outcome, details FROM audit WHERE id < ",
        );
        query.push_bind(before.unwrap_or(i64::MAX));
        if let Some(from) = which.from {
            query.push(" AND at >= ").push_bind(from);
        }
        if let Some(to) = which.to {
            query.push(" AND at < ").push_bind(to);
        }
        if let Some(who) = &which.who {
            query.push(" AND instr(' ' || who || ' ', ' ' || ");
            query.push_bind(who).push(" || ' ') > 0");
        }
        let words = [
            (" AND operation = ", &which.operation),
            (" AND object = ", &which.object),
            (" AND outcome = ", &which.outcome),
        ];
        for (clause, word) in words {
            if let Some(word) = word {
                query.push(clause).push_bind(word);
            }
        }
        query.push(" ORDER BY id DESC LIMIT ");
        query.push_bind(i64::from(limit));
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    /// Removes rows from before the Unix second `before`, but for the newest thousand, and says how many.
    ///
    /// # Errors
    /// When the store fails; what was removed until then is gone.
    pub async fn forget_audit(&self, before: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let some = sqlx::query(
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 \
                 AND id <= (SELECT MAX(id) FROM audit) - $2 ORDER BY id LIMIT $3)",
            )
            .bind(before)
            .bind(KEPT_MIN)
            .bind(REMOVED_AT_ONCE)
            .execute(&self.pool)
            .await?
            .rows_affected();
            removed += some;
            if some == 0 {
                return Ok(removed);
            }
        }
    }
}

type Entry<'a> = (&'a str, &'a str, &'a str, &'a serde_json::Value);

async fn insert(
    connection: &mut SqliteConnection,
    actor: &Actor,
    (operation, object, outcome, details): Entry<'_>,
) -> Result<(), StoreError> {
    let details = match details.to_string() {
        long if long.chars().count() > TEXT_CHARS_MAX => r#"{"cut":true}"#.to_owned(),
        details => details,
    };
    let object: String = object.chars().take(TEXT_CHARS_MAX).collect();
    sqlx::query(
        "INSERT INTO audit (at, who, operation, object, outcome, details) \
         VALUES (COALESCE($1, CAST(strftime('%s', 'now') AS INTEGER)), $2, $3, $4, $5, $6)",
    )
    .bind(actor.at)
    .bind(&*actor.who)
    .bind(operation)
    .bind(object)
    .bind(outcome)
    .bind(details)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
