//! Usage, added up.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::csv::Field;
use super::time::day;
use crate::money::Credits;
use crate::store::{self, By, Sum};

/// Tokens by kind. `input` and `output` are totals, the others parts of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Read.
    pub input: i64,
    /// Of them: from a cache.
    pub cached: i64,
    /// Of them: written to a cache.
    pub cache_write: i64,
    /// Of them: sound.
    pub audio_input: i64,
    /// Of them: images.
    pub image_input: i64,
    /// Written.
    pub output: i64,
    /// Of them: thoughts.
    pub reasoning: i64,
    /// Of them: sound.
    pub audio_output: i64,
    /// Of them: images.
    pub image_output: i64,
    /// Searches of the web, which are no tokens.
    pub searches: i64,
}

impl From<store::Tokens> for Tokens {
    fn from(counts: store::Tokens) -> Self {
        Self {
            input: counts.input,
            cached: counts.cached,
            cache_write: counts.cache_write,
            audio_input: counts.audio_input,
            image_input: counts.image_input,
            output: counts.output,
            reasoning: counts.reasoning,
            audio_output: counts.audio_output,
            image_output: counts.image_output,
            searches: counts.searches,
        }
    }
}

/// Whose provider key an attempt went on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaidWith {
    /// The operator's.
    Gateway,
    /// One that the account has stored.
    Byok,
    /// One that the client sent along.
    Request,
    /// The provider wants none.
    None,
}

impl PaidWith {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Byok => "byok",
            Self::Request => "request",
            Self::None => "none",
        }
    }
}

impl FromStr for PaidWith {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Gateway, Self::Byok, Self::Request, Self::None]
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or("a provider key is of gateway, byok, request or none")
    }
}

/// What one key, account, model, provider or day used.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Which: an access key's id, an account's number, `provider:model`, a provider's id, or a day.
    pub group: String,
    /// The name of the access key or account; null where it has none, or is not known.
    pub name: Option<String>,
    /// Requests.
    pub requests: i64,
    /// Their attempts that went to a provider, those that came to nothing included.
    pub attempts: i64,
    /// Attempts whose counts are estimates.
    pub estimated: i64,
    /// What was used.
    pub tokens: Tokens,
    /// What accounts paid for models.
    #[serde(deserialize_with = "super::amount::signed")]
    pub model: Credits,
    /// What they paid as processing fees.
    #[serde(deserialize_with = "super::amount::signed")]
    pub fee: Credits,
    /// Both.
    #[serde(deserialize_with = "super::amount::signed")]
    pub total: Credits,
    /// What the operator paid in their place.
    #[serde(deserialize_with = "super::amount::signed")]
    pub paid_by_operator: Credits,
}

/// The names of a line's fields, in the order of [`Line::fields`].
pub const FIELDS: [&str; 19] = [
    "group",
    "name",
    "requests",
    "attempts",
    "estimated",
    "input",
    "cached",
    "cache_write",
    "audio_input",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
    "searches",
    "model",
    "fee",
    "total",
    "paid_by_operator",
];

impl Line {
    /// What was added up by `by`.
    #[must_use]
    pub fn new(sum: Sum, by: By) -> Self {
        let of_model = |sum: &Sum| {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}:{}", part(&sum.provider), part(&sum.model))
        };
        let of_day = |sum: &Sum| sum.day.map(day).unwrap_or_default();
        let (group, name) = match by {
            By::Key => (sum.key.unwrap_or_default(), sum.key_name),
            By::Account => {
                let number = sum.account.map(|number| number.to_string());
                (number.unwrap_or_default(), sum.account_name)
            }
            By::Model => (of_model(&sum), None),
            By::Provider => (sum.provider.unwrap_or_default(), None),
            By::Day => (of_day(&sum), None),
            By::DayAndModel => (format!("{} {}", of_day(&sum), of_model(&sum)), None),
        };
        Self {
            group,
            name,
            requests: sum.requests,
            attempts: sum.attempts,
            estimated: sum.estimated,
            tokens: sum.counts.into(),
            model: sum.cost.charged,
            fee: sum.cost.fee,
            total: sum.cost.paid(),
            paid_by_operator: sum.cost.absorbed,
        }
    }

    /// As a record of a table.
    #[must_use]
    pub fn fields(&self) -> [Field; FIELDS.len()] {
        let number = |number: i64| Field::Value(number.to_string());
        let amount = |amount: Credits| Field::Value(amount.to_string());
        [
            Field::Text(self.group.clone()),
            Field::Text(self.name.clone().unwrap_or_default()),
            number(self.requests),
            number(self.attempts),
            number(self.estimated),
            number(self.tokens.input),
            number(self.tokens.cached),
            number(self.tokens.cache_write),
            number(self.tokens.audio_input),
            number(self.tokens.image_input),
            number(self.tokens.output),
            number(self.tokens.reasoning),
            number(self.tokens.audio_output),
            number(self.tokens.image_output),
            number(self.tokens.searches),
            amount(self.model),
            amount(self.fee),
            amount(self.total),
            amount(self.paid_by_operator),
        ]
    }
}
