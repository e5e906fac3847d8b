//! What is kept of an attempt. The same types are what the ledger is told: [`Opening`] when an attempt begins,
//! [`Closing`] when it has ended.

use std::fmt;
use std::sync::Arc;

use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::credentials::Source;
use crate::money::Credits;
use crate::usage::{Tier, Usage};

/// The number of a usage row. Given out by the ledger, in the order in which attempts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub i64);

/// An attempt that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The request's id.
    pub request: Arc<str>,
    /// Which of the request's attempts it is, from 1.
    pub attempt: u32,
    /// Who pays.
    pub account: AccountId,
    /// The access key it came with.
    pub key: KeyId,
    /// The provider's id.
    pub provider: Arc<str>,
    /// The model's id, as its provider calls it.
    pub model: Arc<str>,
    /// The surface's name.
    pub surface: &'static str,
    /// Whose provider key is used.
    pub credential: Source,
    /// The version of the catalog whose prices are used.
    pub catalog: Arc<str>,
    /// What is held; not negative. Ignored for an attempt without a hold.
    pub hold: Credits,
    /// What it is taken to have cost when nobody can say; not negative, at most `hold`.
    pub estimate: Credits,
    /// Whether it is never charged more than what is held: the operator bears the rest. Otherwise it may take the balance
    /// below zero.
    pub strict: bool,
}

/// How an attempt has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// What was used.
    pub usage: Usage,
    /// What the model costs for it; not negative.
    pub model: Credits,
    /// The processing fee; not negative.
    pub fee: Credits,
    /// Who bears the cost of the model.
    pub charge_to: ChargeTo,
    /// Why `usage` is an estimate; `None`: it is the provider's word.
    pub estimated: Option<Estimated>,
    /// What else is to be known.
    pub flags: Flags,
    /// How it ended, as in `Tollgate-Attempts`.
    pub outcome: &'static str,
    /// The status of the provider's answer, if there was one.
    pub status: Option<u16>,
    /// The provider's own id of the request or of its answer, if it told one.
    pub upstream_id: Option<Box<str>>,
}

/// Who bears the cost of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChargeTo {
    /// The account.
    #[default]
    Account,
    /// The operator: the account did not get what was paid for. There is no fee then.
    Operator,
}

/// Why counts are estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimated {
    /// The answer was whole and told no usage.
    Unsent,
    /// What it told could not be read, or cannot be true.
    Unreadable,
    /// The answer broke off.
    Cut,
    /// The client went away.
    Cancelled,
    /// A time of ours ran out.
    Timeout,
    /// The connection was lost after the request was delivered, before any answer.
    Lost,
    /// The gateway was ended by force; settled at its next start.
    Recovered,
    /// The attempt was given up without a word.
    Dropped,
}

impl Estimated {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Unsent,
        Self::Unreadable,
        Self::Cut,
        Self::Cancelled,
        Self::Timeout,
        Self::Lost,
        Self::Recovered,
        Self::Dropped,
    ];

    /// Its name in metrics and rows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Unreadable => "unreadable",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Recovered => "recovered",
            Self::Dropped => "dropped",
        }
    }
}

/// What else is to be known of a charge.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// It cost more than was held; the operator bears the rest.
    pub const BOUNDED: Self = Self(1);
    /// The provider reported counts that cannot be true.
    pub const ABSURD: Self = Self(2);
    /// The model has no price.
    pub const UNPRICED: Self = Self(4);
    /// It was given up after delivery, and another attempt was made.
    pub const GIVEN_UP: Self = Self(8);

    /// All that there are, with their names.
    pub const NAMES: [(Self, &'static str); 4] = [
        (Self::BOUNDED, "bounded"),
        (Self::ABSURD, "absurd"),
        (Self::UNPRICED, "unpriced"),
        (Self::GIVEN_UP, "given_up"),
    ];

    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(flag, _)| self.has(*flag))
            .map(|(_, name)| name)
    }

    /// As a number of the store.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those that the store's number stands for; unknown ones are kept.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.names()).finish()
    }
}

/// How an account pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Billing {
    /// From what it was granted: what is held is never above its balance.
    #[default]
    Prepaid,
    /// Afterwards: its balance may go below zero, down to the limit if there is one.
    Postpaid {
        /// How far; not negative.
        limit: Option<Credits>,
    },
}

/// The name of a service tier in rows.
#[must_use]
pub const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Unsaid | Tier::Standard => "standard",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
        Tier::Fast => "fast",
        Tier::Ultrafast => "ultrafast",
        Tier::Batch => "batch",
        Tier::Other => "other",
    }
}
