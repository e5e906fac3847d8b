//! The journal: every movement of money, as bookkeepers want it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::csv::Field;
use super::time::Moment;
use crate::money::Credits;
use crate::store::{Book, Moved, Movement};

/// Money that went from one book to another.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Posting {
    /// When.
    pub at: Moment,
    /// From which book: `granted`, `expired`, `cost`, `fees`, `operator`, or `account:` and a number.
    pub debit: String,
    /// To which book.
    pub credit: String,
    /// How much; above zero.
    pub amount: Credits,
    /// The number of the grant because of which.
    pub grant: Option<i64>,
    /// The id of the request because of which.
    pub request: Option<String>,
    /// The number of the usage row because of which.
    pub row: Option<i64>,
}

/// The names of a posting's fields, in the order of [`Posting::fields`].
pub const FIELDS: [&str; 7] = ["at", "debit", "credit", "amount", "grant", "request", "row"];

impl Posting {
    /// Those of a movement.
    #[must_use]
    pub fn of(movement: &Movement) -> Vec<Self> {
        let (grant, request, row) = match &movement.moved {
            Moved::Transfer { grant, .. } => (Some(grant.0), None, None),
            Moved::Usage { id, request, .. } => (None, Some(request.clone()), Some(id.0)),
        };
        let postings = movement.postings().into_iter();
        let posting = |(debit, credit, amount): (Book, Book, Credits)| Self {
            at: Moment(movement.at),
            debit: debit.to_string(),
            credit: credit.to_string(),
            amount,
            grant,
            request: request.clone(),
            row,
        };
        postings.map(posting).collect()
    }

    /// As a record of a table.
    #[must_use]
    pub fn fields(&self) -> [Field; FIELDS.len()] {
        let number = |number: Option<i64>| {
            Field::Value(number.map(|number| number.to_string()).unwrap_or_default())
        };
        [
            Field::Value(self.at.to_string()),
            Field::Value(self.debit.clone()),
            Field::Value(self.credit.clone()),
            Field::Value(self.amount.to_string()),
            number(self.grant),
            Field::Text(self.request.clone().unwrap_or_default()),
            number(self.row),
        ]
    }
}
