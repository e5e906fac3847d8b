//! The ledger's own connection to the store: what it reads when it begins, what it writes, and what of an operator's
//! changes it has not seen. Every call waits for the disk: it is for a thread of its own.
//!
//! Who claims the ledger becomes its owner; whoever owned it before can write no more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::money::Credits;

use super::StoreError;
use super::batch::{Batch, Day, GrantId};
use super::row::{Billing, RowId};
use super::succession::{self, Generation, Telling};
use super::write::{self, Mismatch};

/// How long a transaction of the ledger waits for another process that is writing. Longer than any write of ours, and
/// below what a client may wait for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// But for what was asked for and not answered: nothing is held of that.
const HELD: &str = "SELECT id, account, access_key, held, estimate, started FROM usage WHERE state = 0 \
     AND id NOT IN (SELECT usage_row FROM ledger_told WHERE what = 0 AND answer IS NULL) ORDER BY id";

const LAST: &str = "SELECT MAX(id) FROM usage";

/// A process that has left keeps some numbers for rows to come.
const LAST_KEPT: &str = "SELECT MAX(last) FROM ledger_generations";

const SPEND: &str = "SELECT day, access_key, amount FROM key_spend WHERE day >= ?";

/// What is left of the grants of the accounts that have changed since a revision.
const GRANTS: &str = "SELECT g.account, g.id, g.remaining, g.expires FROM accounts a \
     JOIN grants g ON g.account = a.id AND g.remaining > 0 WHERE a.changed > ?";

/// The accounts that have.
const ACCOUNTS: &str = "SELECT a.id, a.billing, a.credit_limit, a.closed IS NOT NULL, b.amount \
     FROM accounts a JOIN balances b ON b.book = a.id WHERE a.changed > ?";

/// An account as the ledger takes it. Amounts are in nano-dollars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// Its number.
    pub id: AccountId,
    /// How it pays.
    pub billing: Billing,
    /// Whether it is closed.
    pub closed: bool,
    /// What it has; below zero is what it owes.
    pub balance: i64,
    /// Its grants with something left.
    pub grants: Vec<StoredGrant>,
}

/// A grant as the ledger takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredGrant {
    /// Its number.
    pub id: GrantId,
    /// What is neither spent nor expired, in nano-dollars.
    pub remaining: i64,
    /// The Unix second from which on it cannot be spent.
    pub expires: Option<i64>,
}

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
    /// Holds that processes left open.
    pub held: Vec<HeldRow>,
    /// Processes that had the ledger before, by their rows.
    pub generations: Vec<Generation>,
    /// The sum of all books: 0, unless somebody else has written in them.
    pub sum: i128,
}

/// The ledger's connection.
#[derive(Debug)]
pub struct LedgerStore {
    file: PathBuf,
    connection: Option<Connection>,
    owner: i64,
    /// Batches written.
    batches: i64,
    /// The last revision whose changes were told.
    revision: i64,
    /// What this process has told since it has left.
    pub(super) telling: Telling,
    /// By what SQLite says whether others have written; of this connection.
    pub(super) version: Option<i64>,
}

impl LedgerStore {
    /// Makes the process that is known by the random number `owner` the owner of the ledger in the store `file`, which
    /// [`Store`](super::Store) has opened before, and reads what it begins with; of spend that since the day `since`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn claim(file: &Path, owner: i64, since: Day) -> Result<(Self, Beginning), StoreError> {
        let mut connection = connect(file)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("UPDATE ledger_state SET owner = ?, batch = 0", [owner])?;
        let revision = revision(&transaction)?;
        let beginning = beginning(&transaction, owner, since)?;
        transaction.execute(
            "INSERT OR REPLACE INTO ledger_generations (generation, first) VALUES (?, ?)",
            [owner, beginning.next_row],
        )?;
        transaction.commit()?;
        let store = Self {
            file: file.to_owned(),
            connection: Some(connection),
            owner,
            batches: 0,
            revision,
            telling: Telling::default(),
            version: None,
        };
        Ok((store, beginning))
    }

    /// Writes a batch, and returns when it is on the disk. After a failure it has to be given the same batch again: what
    /// was written all the same is not written twice.
    ///
    /// # Errors
    /// [`StoreError::LedgerLost`] for good; [`StoreError::OutOfStep`] when the store is not as this process left it; or
    /// the store fails, and the next call connects anew.
    pub fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut connection = self.connect()?;
        self.write_on(&mut connection, batch)?;
        self.batches += 1;
        self.keep(connection);
        Ok(())
    }

    fn write_on(&self, connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
        let next = self.batches + 1;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let turned = transaction
            .prepare_cached("UPDATE ledger_state SET batch = ? WHERE owner = ? AND batch = ?")?
            .execute([next, self.owner, self.batches])?;
        if turned == 0 {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let found: (i64, i64) =
                transaction.query_row("SELECT owner, batch FROM ledger_state", [], read)?;
            return match found == (self.owner, next) {
                // It had been written, though its commit was reported as failed.
                true => Ok(()),
                false => Err(StoreError::LedgerLost),
            };
        }
        let written = match write::write(&transaction, batch)? {
            Ok(()) => succession::write(&transaction, &batch.between)?,
            mismatch => mismatch,
        };
        match written {
            Ok(()) => Ok(transaction.commit()?),
            Err(Mismatch::Rows) => Err(StoreError::OutOfStep("rows that were held")),
            Err(Mismatch::Books) => Err(StoreError::OutOfStep("books or grants")),
        }
    }

    /// The accounts that somebody changed since this was last asked.
    ///
    /// # Errors
    /// When the store fails; the next call connects anew, and tells the same changes.
    pub fn changed(&mut self) -> Result<Vec<StoredAccount>, StoreError> {
        let mut connection = self.connect()?;
        let transaction = connection.transaction()?;
        let now = revision(&transaction)?;
        let accounts = match now == self.revision {
            true => Vec::new(),
            false => accounts(&transaction, self.revision)?,
        };
        transaction.finish()?;
        self.revision = now;
        self.keep(connection);
        Ok(accounts)
    }

    /// The number by which this process is known.
    pub(super) const fn owner(&self) -> i64 {
        self.owner
    }

    /// The connection, for one call: one that fails does not give it back.
    pub(super) fn connect(&mut self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.version = None;
        connect(&self.file)
    }

    pub(super) fn keep(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }
}

/// With the settings of [`Store`](super::Store)'s own connections.
fn connect(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn revision(transaction: &Transaction<'_>) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("SELECT revision FROM credit_revision")?
        .query_row([], |row| row.get(0))
}

fn beginning(transaction: &Transaction<'_>, owner: i64, since: Day) -> rusqlite::Result<Beginning> {
    let sum = transaction
        .prepare("SELECT amount FROM balances")?
        .query_map([], |row| row.get::<_, i64>(0))?
        .map(|amount| amount.map(i128::from))
        .sum::<rusqlite::Result<i128>>()?;
    let last = |sql| transaction.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let last = last(LAST)?.max(last(LAST_KEPT)?);
    Ok(Beginning {
        accounts: accounts(transaction, -1)?,
        spend: spend(transaction, since)?,
        next_row: last.unwrap_or(0) + 1,
        held: held(transaction)?,
        generations: succession::generations(transaction, owner)?,
        sum,
    })
}

/// The accounts that have changed since a revision (all since -1), with what is left of their grants.
fn accounts(transaction: &Transaction<'_>, since: i64) -> rusqlite::Result<Vec<StoredAccount>> {
    let mut left: HashMap<i64, Vec<StoredGrant>> = HashMap::new();
    let mut grants = transaction.prepare(GRANTS)?;
    let mut rows = grants.query([since])?;
    while let Some(row) = rows.next()? {
        left.entry(row.get(0)?).or_default().push(StoredGrant {
            id: GrantId(row.get(1)?),
            remaining: row.get(2)?,
            expires: row.get(3)?,
        });
    }
    transaction
        .prepare(ACCOUNTS)?
        .query_map([since], |row| {
            let id = row.get(0)?;
            let limit: Option<i64> = row.get(2)?;
            Ok(StoredAccount {
                id: AccountId(id),
                billing: Billing::from_columns(
                    row.get_ref(1)?.as_str()?,
                    limit.map(Credits::from_nanos),
                ),
                closed: row.get(3)?,
                balance: row.get(4)?,
                grants: left.remove(&id).unwrap_or_default(),
            })
        })?
        .collect()
}

fn spend(transaction: &Transaction<'_>, since: Day) -> rusqlite::Result<Vec<(Day, KeyId, i64)>> {
    let mut statement = transaction.prepare(SPEND)?;
    let mut rows = statement.query(params![since.0])?;
    let mut spend = Vec::new();
    while let Some(row) = rows.next()? {
        // Written by hand, if it is no key's: it is in nobody's way.
        if let Ok(key) = row.get_ref(1)?.as_str()?.parse() {
            spend.push((Day(row.get(0)?), key, row.get(2)?));
        }
    }
    Ok(spend)
}

/// Every row that is still held.
fn held(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<HeldRow>> {
    transaction
        .prepare(HELD)?
        .query_map([], |row| {
            Ok(HeldRow {
                id: RowId(row.get(0)?),
                account: AccountId(row.get(1)?),
                key: row.get_ref(2)?.as_str()?.parse().ok(),
                held: row.get(3)?,
                estimate: row.get(4)?,
                started: row.get(5)?,
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests;
