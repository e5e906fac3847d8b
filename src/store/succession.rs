//! What passes between the owner of the ledger and those who had it before and have requests under way still. They write
//! down what they have to say, each by its own numbers; the owner takes it over in the transaction in which the money
//! moves, and deletes it there: whoever dies when, it is done once.
//!
//! A leaving process writes only what is not money: rows, and how they have ended. They stay held until the owner has
//! seen it.

mod told;

use std::collections::BTreeMap;

use super::HeldRow;
use super::row::{Estimated, Flags, RowId};
use crate::money::Credits;

pub(super) use told::{Telling, generations, write};

/// What is read at once of what a process has told.
pub const HEARD_MAX: u32 = 1_024;

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

/// What a [`Batch`](super::Batch) has of others' rows.
#[derive(Clone, Debug, Default)]
pub struct Between {
    /// What is asked of the owner. Written by [`LedgerStore::tell`](super::LedgerStore::tell) only; the rest by [`LedgerStore::write`](super::LedgerStore::write).
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

impl Answer {
    pub(super) const fn write(self) -> (i64, Option<i64>) {
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

    pub(super) fn read(answer: i64, number: Option<i64>) -> Self {
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
