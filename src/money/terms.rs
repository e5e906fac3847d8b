//! On what terms an installation charges.

use super::Rule;

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
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            charge: true,
            rule: Rule::default(),
            unpriced: false,
            byok_without_store: true,
        }
    }
}
