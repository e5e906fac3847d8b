//! On what terms an installation charges.

use super::{Fee, Rule};

/// What an operator decides of credit, beside the prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether anything is charged at all.
    pub charge: bool,
    /// By what rule money is held, and the fee.
    pub rule: Rule,
    /// Whether a model without a price is served on the gateway's credential to accounts that pay afterwards, without
    /// limit.
    pub unpriced: bool,
    /// Whether what costs the operator nothing goes on while the ledger cannot be written.
    pub byok_without_store: bool,
    /// Which attempts are written down.
    pub rows: Rows,
}

/// Which attempts leave a usage row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// All that are sent.
    #[default]
    All,
    /// Those that an account is charged for, or might have been.
    Charged,
}

impl Terms {
    /// Whether an attempt is written down for which nothing is held: one on a key that the operator does not pay for, or of a
    /// model without a price at a provider that wants none.
    #[must_use]
    pub fn writes_unheld(&self) -> bool {
        self.rows == Rows::All || self.asks_a_fee()
    }

    /// Whether requests that succeed cost something beside their model.
    #[must_use]
    pub fn asks_a_fee(&self) -> bool {
        self.charge && self.rule.fee != Fee::NONE
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            charge: true,
            rule: Rule::default(),
            unpriced: false,
            byok_without_store: true,
            rows: Rows::All,
        }
    }
}
