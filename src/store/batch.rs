//! What the ledger has to write down: rows that began and ended, and the money that moved by it.

use std::collections::HashMap;
use std::fmt;

use super::row::{Closing, Opening, RowId};
use super::succession::Between;
use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::money::Credits;

/// The number of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId(pub i64);

/// A day as days since 1970-01-01, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// Seconds of a day: UTC as computers count it has no other days.
    const SECONDS: i64 = 86_400;

    /// That of a Unix second.
    #[must_use]
    pub const fn of(second: i64) -> Self {
        Self(second.div_euclid(Self::SECONDS))
    }

    /// Its first Unix second.
    #[must_use]
    pub const fn begins(self) -> i64 {
        self.0 * Self::SECONDS
    }
}

/// A book: money moves from one to another. Numbered as in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Book(pub(super) i64);

impl Book {
    /// What was given to accounts, below zero.
    pub const GRANTED: Self = Self(-1);
    /// What of it was taken back.
    pub const EXPIRED: Self = Self(-2);
    /// What models cost.
    pub const COST: Self = Self(-3);
    /// What was earned by fees.
    pub const FEES: Self = Self(-4);
    /// What the operator paid in place of an account, below zero.
    pub const OPERATOR: Self = Self(-5);

    /// That of an account.
    #[must_use]
    pub const fn of(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl fmt::Display for Book {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::GRANTED => out.write_str("granted"),
            Self::EXPIRED => out.write_str("expired"),
            Self::COST => out.write_str("cost"),
            Self::FEES => out.write_str("fees"),
            Self::OPERATOR => out.write_str("operator"),
            Self(account) => write!(out, "account:{account}"),
        }
    }
}

/// A row that begins.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its number.
    pub id: RowId,
    /// When, in Unix milliseconds.
    pub started: i64,
    /// What begins.
    pub opening: Opening,
}

/// A row that ends. Amounts are in nano-dollars.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its number.
    pub id: RowId,
    /// When, in Unix milliseconds.
    pub ended: i64,
    /// Whether nothing was served.
    pub void: bool,
    /// What the account was charged for the model.
    pub charged: i64,
    /// What it was charged as a fee.
    pub fee: i64,
    /// What the operator bears.
    pub absorbed: i64,
    /// How it ended.
    pub closing: Closing,
}

/// Credit of a grant that has expired.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Whose it was.
    pub account: AccountId,
    /// The grant.
    pub grant: GrantId,
    /// How much of it, in nano-dollars.
    pub amount: i64,
    /// When it was taken back, in Unix seconds.
    pub at: i64,
}

/// What is written in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Rows that begin, by number.
    pub opened: Vec<Opened>,
    /// What rows that are held are taken to cost from now on, in nano-dollars; those that began in the same batch have it
    /// already.
    pub expected: Vec<(RowId, i64)>,
    /// Rows that end. Some may have begun in the same batch.
    pub ended: Vec<Ended>,
    /// Grants that have expired.
    pub expired: Vec<Expired>,
    /// By how much each book changes, in nano-dollars; together 0.
    pub moves: HashMap<Book, i64>,
    /// What is left in the grants that something was taken from, in nano-dollars.
    pub grants: HashMap<GrantId, i64>,
    /// By how much the spend of each key grows, in nano-dollars.
    pub spend: HashMap<(Day, KeyId), i64>,
    /// What passes between the ledger's owner and those who had it before.
    pub between: Between,
}

/// Rows for which an empty batch has room at the most.
const ROOM_MAX: usize = 1_024;

impl Batch {
    /// An empty one, with room for as many rows: what comes next mostly is as much, and need not be moved while it grows.
    #[must_use]
    pub fn like(&self) -> Self {
        Self {
            opened: Vec::with_capacity(self.opened.len().min(ROOM_MAX)),
            ended: Vec::with_capacity(self.ended.len().min(ROOM_MAX)),
            ..Self::default()
        }
    }

    /// A row that is held is taken to cost so much from now on.
    pub fn expect(&mut self, id: RowId, estimate: Credits) {
        let first = self.opened.first().map_or(i64::MAX, |row| row.id.0);
        let place = usize::try_from(id.0.saturating_sub(first)).ok();
        match place.and_then(|place| self.opened.get_mut(place)) {
            Some(row) => row.opening.estimate = estimate,
            None => self.expected.push((id, estimate.nanos())),
        }
    }

    /// Moves `amount` nano-dollars from one book to another.
    pub fn transfer(&mut self, from: Book, to: Book, amount: i64) {
        if amount != 0 {
            *self.moves.entry(from).or_default() -= amount;
            *self.moves.entry(to).or_default() += amount;
        }
    }

    /// Rows and expiries in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opened.len()
            + self.expected.len()
            + self.ended.len()
            + self.expired.len()
            + self.between.settled.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.grants.is_empty() && self.between.is_empty()
    }
}
