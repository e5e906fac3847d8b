//! The ledger's own connection to the store: what it reads when it begins, what it writes, and what of an operator's
//! changes it has not seen.
//!
//! Who claims the ledger becomes its owner; whoever owned it before can write no more.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::access::AccountId;
use crate::access::key::KeyId;

use super::batch::{Batch, Day};
use super::credit::{self, StoredAccount};
use super::row::RowId;
use super::write::{self, Mismatch};
use super::{Store, StoreError};

/// How long a transaction of the ledger waits for another process that is writing. Longer than any write of ours, and
/// below what a client may wait for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// A row of the store that is still held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Its number.
    pub id: RowId,
    /// Whose it is.
    pub account: AccountId,
    /// With which key; `None` where the row names none that can be.
    pub key: Option<KeyId>,
    /// What is held, in nano-dollars.
    pub held: i64,
    /// What it is taken to have cost, in nano-dollars.
    pub estimate: i64,
    /// When it began, in Unix milliseconds.
    pub started: i64,
}

/// What a ledger begins with.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Every account.
    pub accounts: Vec<StoredAccount>,
    /// What keys were charged since the day that was asked for, in nano-dollars.
    pub spend: Vec<(Day, KeyId, i64)>,
    /// The number of the next row.
    pub next_row: i64,
    /// Holds that a process left open.
    pub held: Vec<HeldRow>,
    /// The sum of all books: 0, unless somebody else has written in them.
    pub sum: i128,
}

/// The ledger's connection.
#[derive(Debug)]
pub struct LedgerStore {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    owner: i64,
    /// Batches written.
    batches: i64,
    /// The last revision whose changes were told.
    revision: i64,
}

impl Store {
    /// Makes the process that is known by the random number `owner` the owner of the ledger, and reads what it begins
    /// with; of spend that since the day `since`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn claim_ledger(
        &self,
        owner: i64,
        since: Day,
    ) -> Result<(LedgerStore, Beginning), StoreError> {
        let options = self.options.clone().busy_timeout(BUSY_TIMEOUT);
        let mut connection = options.connect().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE ledger_state SET owner = ?, batch = 0")
            .bind(owner)
            .execute(&mut *transaction)
            .await?;
        let revision = revision(&mut transaction).await?;
        let beginning = beginning(&mut transaction, since).await?;
        transaction.commit().await?;
        let store = LedgerStore {
            options,
            connection: Some(connection),
            owner,
            batches: 0,
            revision,
        };
        Ok((store, beginning))
    }
}

impl LedgerStore {
    /// Writes a batch, and returns when it is on the disk. After a failure it has to be given the same batch again: what
    /// was written all the same is not written twice.
    ///
    /// # Errors
    /// [`StoreError::LedgerLost`] for good; [`StoreError::OutOfStep`] when the store is not as this process left it; or
    /// the store fails, and the next call connects anew.
    pub async fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let written = self.write_on(&mut connection, batch).await;
        if written.is_ok() {
            self.batches += 1;
            self.connection = Some(connection);
        }
        written
    }

    async fn write_on(
        &self,
        connection: &mut SqliteConnection,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let next = self.batches + 1;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let turned = sqlx::query("UPDATE ledger_state SET batch = ? WHERE owner = ? AND batch = ?")
            .bind(next)
            .bind(self.owner)
            .bind(self.batches)
            .execute(&mut *transaction)
            .await?;
        if turned.rows_affected() == 0 {
            let (owner, batch): (i64, i64) =
                sqlx::query_as("SELECT owner, batch FROM ledger_state")
                    .fetch_one(&mut *transaction)
                    .await?;
            return match (owner, batch) == (self.owner, next) {
                // It had been written, though its commit was reported as failed.
                true => Ok(()),
                false => Err(StoreError::LedgerLost),
            };
        }
        match write::write(&mut transaction, batch).await? {
            Ok(()) => Ok(transaction.commit().await?),
            Err(Mismatch::Rows) => Err(StoreError::OutOfStep("rows that were held")),
            Err(Mismatch::Books) => Err(StoreError::OutOfStep("books or grants")),
        }
    }

    /// The accounts that somebody changed since this was last asked. No batch may be half written meanwhile.
    ///
    /// # Errors
    /// When the store fails; the next call connects anew, and tells the same changes.
    pub async fn changed(&mut self) -> Result<Vec<StoredAccount>, StoreError> {
        let mut connection = self.connect().await?;
        let mut transaction = connection.begin().await?;
        let now = revision(&mut transaction).await?;
        let accounts = match now == self.revision {
            true => Vec::new(),
            false => credit::stored_accounts(&mut transaction, self.revision).await?,
        };
        transaction.commit().await?;
        self.revision = now;
        self.connection = Some(connection);
        Ok(accounts)
    }

    /// Closes the connection.
    pub async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // There is nothing to be done about it: what was reported as written is.
            let _ = connection.close().await;
        }
    }

    async fn connect(&mut self) -> Result<SqliteConnection, StoreError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(self.options.connect().await?),
        }
    }
}

async fn revision(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let (revision,) = sqlx::query_as("SELECT revision FROM credit_revision")
        .fetch_one(connection)
        .await?;
    Ok(revision)
}

async fn beginning(connection: &mut SqliteConnection, since: Day) -> Result<Beginning, StoreError> {
    let accounts = credit::stored_accounts(&mut *connection, -1).await?;
    let spend: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT day, access_key, amount FROM key_spend WHERE day >= ?")
            .bind(since.0)
            .fetch_all(&mut *connection)
            .await?;
    let (last,): (Option<i64>,) = sqlx::query_as("SELECT MAX(id) FROM usage")
        .fetch_one(&mut *connection)
        .await?;
    let books: Vec<(i64,)> = sqlx::query_as("SELECT amount FROM balances")
        .fetch_all(&mut *connection)
        .await?;
    let known =
        |(day, key, amount): (i64, String, i64)| Some((Day(day), key.parse().ok()?, amount));
    Ok(Beginning {
        accounts,
        spend: spend.into_iter().filter_map(known).collect(),
        next_row: last.unwrap_or(0) + 1,
        held: held(connection).await?,
        sum: books.iter().map(|(amount,)| i128::from(*amount)).sum(),
    })
}

/// Every row that is still held.
async fn held(connection: &mut SqliteConnection) -> Result<Vec<HeldRow>, StoreError> {
    let rows: Vec<(i64, i64, String, i64, i64, i64)> = sqlx::query_as(
        "SELECT id, account, access_key, held, estimate, started FROM usage WHERE state = 0 ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    let row = |(id, account, key, held, estimate, started): (_, _, String, _, _, _)| HeldRow {
        id: RowId(id),
        account: AccountId(account),
        key: key.parse().ok(),
        held,
        estimate,
        started,
    };
    Ok(rows.into_iter().map(row).collect())
}
