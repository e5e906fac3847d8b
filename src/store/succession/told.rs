//! What is told, heard and answered, as statements.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use std::collections::HashMap;

use super::{Answer, AskedCaps, Between, Generation, HEARD_MAX, Told, ToldRow, Word};
use crate::access::AccountId;
use crate::store::batch::Batch;
use crate::store::ledger::LedgerStore;
use crate::store::row::{Estimated, Flags, RowId};
use crate::store::write::{self, Mismatch, integer};
use crate::store::{HeldRow, StoreError};

const GENERATIONS: &str =
    "SELECT generation, first, last FROM ledger_generations WHERE generation <> ? ORDER BY first";

const TOLD: &str = "SELECT t.serial, t.usage_row, t.what, t.cap_day, t.cap_month, u.account, u.access_key, u.held, \
     u.estimate, u.started, u.state = 0, u.charged, u.fee, u.absorbed, u.estimated, u.flags \
     FROM ledger_told t LEFT JOIN usage u ON u.id = t.usage_row \
     WHERE t.generation = ? AND t.serial > ? AND t.answer IS NULL ORDER BY t.serial LIMIT ?";

const ANSWERS: &str = "SELECT serial, usage_row, answer, number FROM ledger_told \
     WHERE generation = ? AND serial > ? AND answer IS NOT NULL ORDER BY serial";

const TELL: &str = "INSERT INTO ledger_told (generation, serial, usage_row, what, cap_day, cap_month) \
     VALUES (?, ?, ?, ?, ?, ?)";

const SETTLE: &str =
    "UPDATE usage SET state = ?, charged = ?, fee = ?, absorbed = ? WHERE id = ? AND state = 0";

const ANSWER: &str =
    "UPDATE ledger_told SET answer = ?, number = ? WHERE generation = ? AND serial = ?";

const FORGET: &str = "DELETE FROM usage WHERE id = ? AND state = 0";

const TAKEN: &str = "DELETE FROM ledger_told WHERE generation = ? AND serial <= ? AND what <> 0";

const DEPARTED: [&str; 2] = [
    "DELETE FROM ledger_told WHERE generation = ?",
    "DELETE FROM ledger_generations WHERE generation = ?",
];

/// What a process that has left has told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Telling {
    /// Transactions.
    transactions: i64,
    /// The last that it told.
    serial: i64,
    /// The last that was answered, and seen.
    answered: i64,
}

impl LedgerStore {
    /// Gives the ledger up, of which this process keeps the rows up to `last` as its own. Nothing can be written any
    /// more, only told.
    ///
    /// # Errors
    /// [`StoreError::LedgerLost`] when it was lost before; or the store fails, and it may be asked again.
    pub fn leave(&mut self, last: RowId) -> Result<(), StoreError> {
        let connection = self.connect()?;
        let left = connection.execute(
            "UPDATE ledger_generations SET last = ?1 WHERE generation = ?2 \
             AND EXISTS (SELECT 1 FROM ledger_state WHERE owner = ?2)",
            [last.0, self.owner()],
        )?;
        self.keep(connection);
        match left {
            0 => Err(StoreError::LedgerLost),
            _ => Ok(()),
        }
    }

    /// Tells the owner of the rows in `batch`, and returns when that is on the disk: those that began, what is asked of
    /// them, and how rows have ended. What else is in it is the owner's to write. After a failure it has to be given the
    /// same batch again.
    ///
    /// # Errors
    /// [`StoreError::LedgerLost`]: this process is taken for dead, and its rows have ended; or the store fails.
    pub fn tell(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut connection = self.connect()?;
        let before = self.telling;
        let written = tell(&mut connection, self.owner(), before, batch)?;
        self.telling = Telling {
            transactions: before.transactions + 1,
            serial: written,
            ..before
        };
        self.keep(connection);
        Ok(())
    }

    /// What the owner has answered since this was last asked.
    ///
    /// # Errors
    /// When the store fails.
    pub fn answers(&mut self) -> Result<Vec<(RowId, Answer)>, StoreError> {
        let connection = self.connect()?;
        let mut last = self.telling.answered;
        let answers = connection
            .prepare_cached(ANSWERS)?
            .query_map([self.owner(), last], |row| {
                last = row.get(0)?;
                Ok((RowId(row.get(1)?), Answer::read(row.get(2)?, row.get(3)?)))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        self.telling.answered = last;
        self.keep(connection);
        Ok(answers)
    }

    /// What the process `generation` has told behind `serial`, in its order; [`HEARD_MAX`] at the most.
    ///
    /// # Errors
    /// When the store fails.
    pub fn told(&mut self, generation: i64, serial: i64) -> Result<Vec<Told>, StoreError> {
        let connection = self.connect()?;
        let told = connection
            .prepare_cached(TOLD)?
            .query_map(params![generation, serial, HEARD_MAX], told)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        self.keep(connection);
        Ok(told)
    }

    /// What every row that is held is taken to cost, in nano-dollars.
    ///
    /// # Errors
    /// When the store fails.
    pub fn estimates(&mut self) -> Result<HashMap<RowId, i64>, StoreError> {
        let connection = self.connect()?;
        let estimates = connection
            .prepare_cached("SELECT id, estimate FROM usage WHERE state = 0")?
            .query_map([], |row| Ok((RowId(row.get(0)?), row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        self.keep(connection);
        Ok(estimates)
    }

    /// Whether another process has written since this was last asked, as far as is known. Reads nothing from the disk.
    ///
    /// # Errors
    /// When the store fails.
    pub fn was_changed(&mut self) -> Result<bool, StoreError> {
        let before = self.version;
        let connection = self.connect()?;
        let version = connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        self.version = Some(version);
        self.keep(connection);
        Ok(before != Some(version))
    }
}

/// Every process but `owner` that has had the ledger and is not known to be gone.
pub(in crate::store) fn generations(
    connection: &Connection,
    owner: i64,
) -> rusqlite::Result<Vec<Generation>> {
    connection
        .prepare(GENERATIONS)?
        .query_map([owner], |row| {
            Ok(Generation {
                id: row.get(0)?,
                first: RowId(row.get(1)?),
                last: row.get::<_, Option<i64>>(2)?.map(RowId),
            })
        })?
        .collect()
}

fn told(row: &Row<'_>) -> rusqlite::Result<Told> {
    let id = RowId(row.get(1)?);
    let what = match row.get(2)? {
        0 => Word::Asked(AskedCaps {
            day: row.get(3)?,
            month: row.get(4)?,
        }),
        what => Word::Ended { void: what == 2 },
    };
    let is_held: Option<bool> = row.get(10)?;
    Ok(Told {
        serial: row.get(0)?,
        row: id,
        what,
        stands: match is_held {
            Some(true) => Some(stands(id, row)?),
            _ => None,
        },
    })
}

fn stands(id: RowId, row: &Row<'_>) -> rusqlite::Result<ToldRow> {
    let reason: Option<String> = row.get(14)?;
    Ok(ToldRow {
        held: HeldRow {
            id,
            account: AccountId(row.get(5)?),
            key: row.get_ref(6)?.as_str()?.parse().ok(),
            held: row.get(7)?,
            estimate: row.get(8)?,
            started: row.get(9)?,
        },
        charged: row.get(11)?,
        fee: row.get(12)?,
        absorbed: row.get(13)?,
        estimated: Estimated::ALL
            .into_iter()
            .find(|known| Some(known.name()) == reason.as_deref()),
        flags: Flags::from_bits(row.get(15)?),
    })
}

/// Returns the number of the last thing told.
fn tell(
    connection: &mut Connection,
    generation: i64,
    before: Telling,
    batch: &Batch,
) -> Result<i64, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let next = before.transactions + 1;
    let turned = transaction
        .prepare_cached("UPDATE ledger_generations SET told = ? WHERE generation = ? AND told = ?")?
        .execute([next, generation, before.transactions])?;
    let told = batch.between.asked.len() + batch.ended.len();
    let last = before.serial + i64::try_from(told).unwrap_or(0);
    if turned == 0 {
        let found: Option<i64> = transaction
            .prepare_cached("SELECT told FROM ledger_generations WHERE generation = ?")?
            .query_row([generation], |row| row.get(0))
            .optional()?;
        return match found == Some(next) {
            // It had been written, though its commit was reported as failed.
            true => Ok(last),
            false => Err(StoreError::LedgerLost),
        };
    }
    write::tell(&transaction, batch)?;
    let mut statement = transaction.prepare_cached(TELL)?;
    let mut serial = before.serial;
    let mut say = |row: RowId, what: i64, caps: AskedCaps| {
        serial += 1;
        statement.execute(params![
            generation, serial, row.0, what, caps.day, caps.month
        ])
    };
    for asked in &batch.between.asked {
        say(asked.row, 0, asked.caps)?;
    }
    for ended in &batch.ended {
        say(
            ended.id,
            if ended.void { 2 } else { 1 },
            AskedCaps::default(),
        )?;
    }
    drop(statement);
    transaction.commit()?;
    Ok(last)
}

/// Writes what the owner has of others' rows.
///
/// # Errors
/// As [`write::write`].
pub(in crate::store) fn write(
    connection: &Connection,
    between: &Between,
) -> rusqlite::Result<Result<(), Mismatch>> {
    if between.is_empty() {
        return Ok(Ok(()));
    }
    let settled = write::run(connection, SETTLE, &between.settled, |row, values| {
        let state = if row.void { 2 } else { 1 };
        values.extend([state, row.charged, row.fee, row.absorbed, row.row.0].map(integer));
    })?;
    if settled != between.settled.len() {
        return Ok(Err(Mismatch::Rows));
    }
    write::run(connection, ANSWER, &between.answers, |row, values| {
        let (answer, number) = row.answer.write();
        let number = number.map_or(ValueRef::Null, integer);
        values.extend([integer(answer), number]);
        values.extend([row.generation, row.serial].map(integer));
    })?;
    let refused = between.answers.iter();
    let refused = refused.filter(|row| row.answer != Answer::Held);
    write::run(connection, FORGET, refused, |row, values| {
        values.push(integer(row.row.0));
    })?;
    write::run(
        connection,
        TAKEN,
        &between.heard,
        |(generation, serial), values| {
            values.extend([*generation, *serial].map(integer));
        },
    )?;
    for sql in DEPARTED {
        write::run(connection, sql, &between.departed, |generation, values| {
            values.push(integer(*generation));
        })?;
    }
    Ok(Ok(()))
}
