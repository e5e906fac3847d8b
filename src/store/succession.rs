//! What passes between the owner of the ledger and those who had it before and have requests under way still. They write
//! down what they have to say, each by its own numbers; the owner takes it over in the transaction in which the money
//! moves, and deletes it there: whoever dies when, it is done once.
//!
//! A leaving process writes only what is not money: rows, and how they have ended. They stay held until the owner has
//! seen it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::batch::Batch;
use super::ledger::LedgerStore;
use super::row::{Estimated, Flags, RowId};
use super::write::{self, Mismatch};
use super::{HeldRow, StoreError};
use crate::access::AccountId;
use crate::money::Credits;

/// What is read at once of what a process has told.
pub const HEARD_MAX: u32 = 1_024;

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

/// A process that has had the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its random number.
    pub id: i64,
    /// The first row that is its own.
    pub first: RowId,
    /// The last; `None`: it did not hand the ledger over.
    pub last: Option<RowId>,
}

/// What an access key may be charged, in nano-dollars; `None`: without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedCaps {
    /// In a day.
    pub day: Option<i64>,
    /// In a calendar month.
    pub month: Option<i64>,
}

/// Something that a leaving process has told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which of all that it told.
    pub serial: i64,
    /// Of which row.
    pub row: RowId,
    /// What.
    pub what: Word,
    /// The row as it stands; `None`: there is none any more, or it has ended.
    pub stands: Option<ToldRow>,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is to be held, within these caps.
    Asked(AskedCaps),
    /// It has ended.
    Ended {
        /// Whether nothing was served.
        void: bool,
    },
}

/// A row that something was told of.
#[derive(Clone, Debug)]
pub struct ToldRow {
    /// As it began.
    pub held: HeldRow,
    /// What the account is to be charged for the model, in nano-dollars.
    pub charged: i64,
    /// As a fee.
    pub fee: i64,
    /// What the operator bears.
    pub absorbed: i64,
    /// Why its counts are estimates.
    pub estimated: Option<Estimated>,
    /// What else is to be known of it.
    pub flags: Flags,
}

/// Whether a row that was asked for is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is.
    Held,
    /// The account has not as much.
    Insufficient {
        /// What it has, in nano-dollars.
        available: i64,
    },
    /// The access key would go above its cap.
    CapReached {
        /// Of the month, not the day.
        month: bool,
        /// The Unix second at which the next one begins.
        resets: i64,
    },
    /// The account is closed.
    Closed,
    /// The owner does not know the account, or cannot write.
    Unknown,
}

/// A row that a leaving process asks the owner to hold.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Which.
    pub row: RowId,
    /// Within which caps.
    pub caps: AskedCaps,
}

/// A row that another process has ended. Amounts are in nano-dollars.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Which.
    pub row: RowId,
    /// Whether nothing was served.
    pub void: bool,
    /// What the account was charged for the model.
    pub charged: i64,
    /// What it was charged as a fee.
    pub fee: i64,
    /// What the operator bears.
    pub absorbed: i64,
}

/// An answer, and to what.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Who asked.
    pub generation: i64,
    /// Which of all that it told.
    pub serial: i64,
    /// The row; it is deleted where the answer is not [`Answer::Held`].
    pub row: RowId,
    /// The answer.
    pub answer: Answer,
}

/// What a [`Batch`] has of others' rows.
#[derive(Clone, Debug, Default)]
pub struct Between {
    /// What is asked of the owner. Written by [`LedgerStore::tell`] only; the rest by [`LedgerStore::write`].
    pub asked: Vec<Asked>,
    /// Rows that have ended elsewhere.
    pub settled: Vec<Settled>,
    /// What was answered.
    pub answers: Vec<Answered>,
    /// Up to which of all that it told each process was heard.
    pub heard: BTreeMap<i64, i64>,
    /// Processes of which nothing more comes, and nothing is open.
    pub departed: Vec<i64>,
}

impl Between {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
            && self.settled.is_empty()
            && self.answers.is_empty()
            && self.heard.is_empty()
            && self.departed.is_empty()
    }
}

/// What a process that has left has told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Telling {
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
pub(super) fn generations(
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
pub(super) fn write(
    connection: &Connection,
    between: &Between,
) -> rusqlite::Result<Result<(), Mismatch>> {
    if between.is_empty() {
        return Ok(Ok(()));
    }
    let settled = write::run(connection, SETTLE, &between.settled, |run, row| {
        let state = if row.void { 2 } else { 1 };
        run(params![
            state,
            row.charged,
            row.fee,
            row.absorbed,
            row.row.0
        ])
    })?;
    if settled != between.settled.len() {
        return Ok(Err(Mismatch::Rows));
    }
    write::run(connection, ANSWER, &between.answers, |run, row| {
        let (answer, number) = row.answer.write();
        run(params![answer, number, row.generation, row.serial])
    })?;
    let refused = between.answers.iter();
    let refused = refused.filter(|row| row.answer != Answer::Held);
    write::run(connection, FORGET, refused, |run, row| {
        run(params![row.row.0])
    })?;
    write::run(
        connection,
        TAKEN,
        &between.heard,
        |run, (generation, serial)| run(params![generation, serial]),
    )?;
    for sql in DEPARTED {
        write::run(connection, sql, &between.departed, |run, generation| {
            run(params![generation])
        })?;
    }
    Ok(Ok(()))
}

impl Answer {
    const fn write(self) -> (i64, Option<i64>) {
        match self {
            Self::Held => (0, None),
            Self::Insufficient { available } => (1, Some(available)),
            Self::CapReached {
                month: false,
                resets,
            } => (2, Some(resets)),
            Self::CapReached {
                month: true,
                resets,
            } => (3, Some(resets)),
            Self::Closed => (4, None),
            Self::Unknown => (5, None),
        }
    }

    fn read(answer: i64, number: Option<i64>) -> Self {
        let number = number.unwrap_or_default();
        match answer {
            0 => Self::Held,
            1 => Self::Insufficient { available: number },
            2 | 3 => Self::CapReached {
                month: answer == 3,
                resets: number,
            },
            4 => Self::Closed,
            _ => Self::Unknown,
        }
    }
}

impl AskedCaps {
    /// Caps in the ledger's own terms.
    #[must_use]
    pub fn of(day: Option<Credits>, month: Option<Credits>) -> Self {
        Self {
            day: day.map(Credits::nanos),
            month: month.map(Credits::nanos),
        }
    }
}
