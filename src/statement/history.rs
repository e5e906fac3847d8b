//! The history of an account: grants, what expired, and what each day cost, with the balance after each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::{Time, day};
use crate::money::Credits;
use crate::store;

/// An account over some time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// The balance before the first line.
    #[serde(deserialize_with = "super::amount::signed")]
    pub opening: Credits,
    /// What happened, oldest first. Usage is added up by day, and stands at the day's end.
    pub lines: Vec<Line>,
    /// The balance after the last line.
    #[serde(deserialize_with = "super::amount::signed")]
    pub closing: Credits,
}

/// What changed a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Credit was given.
    Grant,
    /// Credit expired.
    Expiry,
    /// Attempts that ended on a day were charged.
    Usage,
}

impl What {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Expiry => "expiry",
            Self::Usage => "usage",
        }
    }
}

/// A change of a balance.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// When; of usage the day.
    pub at: String,
    /// What it was.
    pub what: What,
    /// By how much the balance changed.
    #[serde(deserialize_with = "super::amount::signed")]
    pub change: Credits,
    /// The balance after it.
    #[serde(deserialize_with = "super::amount::signed")]
    pub balance: Credits,
    /// The number of the grant.
    pub grant: Option<i64>,
    /// What the grant was for.
    pub note: Option<String>,
    /// Of usage: attempts that were charged.
    pub attempts: Option<i64>,
    /// Of usage: what of it are processing fees.
    pub fee: Option<Credits>,
}

impl From<store::History> for History {
    fn from(history: store::History) -> Self {
        let mut balance = history.opening.nanos();
        let line = |line: store::Line| {
            balance = balance.saturating_add(line.change());
            Line::new(line, Credits::from_nanos(balance))
        };
        Self {
            opening: history.opening,
            lines: history.lines.into_iter().map(line).collect(),
            closing: history.closing,
        }
    }
}

impl Line {
    fn new(line: store::Line, balance: Credits) -> Self {
        let change = Credits::from_nanos(line.change());
        let of_grant = |what, at, grant: store::GrantId, note| Self {
            at: Time(at).to_string(),
            what,
            change,
            balance,
            grant: Some(grant.0),
            note,
            attempts: None,
            fee: None,
        };
        match line {
            store::Line::Granted {
                at, grant, note, ..
            } => of_grant(What::Grant, at, grant, Some(note)),
            store::Line::Expired { at, grant, .. } => of_grant(What::Expiry, at, grant, None),
            store::Line::Used {
                day: of,
                attempts,
                fee,
                ..
            } => Self {
                at: day(of.0),
                what: What::Usage,
                change,
                balance,
                grant: None,
                note: None,
                attempts: Some(attempts),
                fee: Some(fee),
            },
        }
    }
}
