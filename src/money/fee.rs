//! What the operator adds to the price of a model.

use crate::catalog::PicoDollars;

/// The processing fee of a successful request, whoever's key it went on with; nothing unless the operator says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Per million tokens, read and written ones together.
    pub per_million_tokens: PicoDollars,
    /// Per request.
    pub per_request: PicoDollars,
}

impl Fee {
    /// A part of it as people write it: dollars, such as `0.05`, with up to twelve decimals.
    ///
    /// # Errors
    /// What is wrong with the text and what to write.
    pub fn part(text: &str) -> Result<PicoDollars, String> {
        PicoDollars::parse(text)
    }

    /// No fee.
    pub const NONE: Self = Self {
        per_million_tokens: PicoDollars(0),
        per_request: PicoDollars(0),
    };
}

impl Default for Fee {
    fn default() -> Self {
        Self::NONE
    }
}
