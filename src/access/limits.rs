//! What the owner of an access key may use of the gateway in a time, as written in its policy. Requests, tokens and
//! requests under way are counted by [`super::allowance`], in memory; money is the ledger's matter.

use std::fmt;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::Credits;

/// Requests a minute: from none that is worth a key, to more than any machine takes.
const REQUESTS: RangeInclusive<u64> = 1..=1_000_000_000;

/// Tokens a minute.
const TOKENS: RangeInclusive<u64> = 1..=1_000_000_000_000;

/// Requests under way at one time: as many as the process may have.
const IN_FLIGHT: RangeInclusive<u64> = 1..=1_000_000;

/// The most that an amount may be: a dollar less than a billion and its fractions, in nano-dollars.
const DOLLARS_MAX: i64 = 999_999_999_999_999_999;

/// Limits of one access key; where there is none, there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsEntry {
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests_minute: Option<u64>,
    /// Tokens a minute, those of the prompts and of the answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub tokens_minute: Option<u64>,
    /// Requests under way at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub in_flight: Option<u64>,
    /// US dollars charged to the account's credit a day (UTC), for what is served on the gateway's credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_day: Option<Credits>,
    /// The same in a calendar month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_month: Option<Credits>,
    /// The most that one request may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Credits>,
}

impl LimitsEntry {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything of it is counted in memory.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.requests_minute.is_some() || self.tokens_minute.is_some() || self.in_flight.is_some()
    }

    /// The first limit that is out of its range.
    ///
    /// # Errors
    /// Which, and its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let counts = [
            ("requests_minute", self.requests_minute, REQUESTS),
            ("tokens_minute", self.tokens_minute, TOKENS),
            ("in_flight", self.in_flight, IN_FLIGHT),
        ];
        for (limit, value, range) in counts {
            if value.is_some_and(|value| !range.contains(&value)) {
                return Err(OutOfRange::Count { limit, range });
            }
        }
        let amounts = [
            ("spend_day", self.spend_day),
            ("spend_month", self.spend_month),
            ("max_cost", self.max_cost),
        ];
        let beyond = |(_, amount): &(_, Option<Credits>)| {
            amount.is_some_and(|amount| !(0..=DOLLARS_MAX).contains(&amount.nanos()))
        };
        match amounts.into_iter().find(beyond) {
            Some((limit, _)) => Err(OutOfRange::Amount { limit }),
            None => Ok(()),
        }
    }

    /// Each limit by its name, as people write it.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<String>); 6] {
        let count = |value: Option<u64>| value.map(|value| value.to_string());
        let amount = |value: Option<Credits>| value.map(|value| format!("${value}"));
        [
            ("requests a minute", count(self.requests_minute)),
            ("tokens a minute", count(self.tokens_minute)),
            ("in flight", count(self.in_flight)),
            ("a day", amount(self.spend_day)),
            ("a month", amount(self.spend_month)),
            ("a request", amount(self.max_cost)),
        ]
    }
}

/// What changes of the limits of a key: a member that is absent stays as it is, null takes the limit away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsChange {
    /// Requests a minute.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000))]
    pub requests_minute: Option<Option<u64>>,
    /// Tokens a minute, those of the prompts and of the answers together.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000_000_000_u64))]
    pub tokens_minute: Option<Option<u64>>,
    /// Requests under way at one time.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>", range(min = 1, max = 1_000_000))]
    pub in_flight: Option<Option<u64>>,
    /// US dollars charged to the account's credit a day (UTC), for what is served on the gateway's credential.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Credits>")]
    pub spend_day: Option<Option<Credits>>,
    /// The same in a calendar month (UTC).
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Credits>")]
    pub spend_month: Option<Option<Credits>>,
    /// The most that one request may cost.
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Credits>")]
    pub max_cost: Option<Option<Credits>>,
}

/// A member that is there, be it null.
fn said<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl LimitsChange {
    /// Changes what is said.
    pub fn apply(&self, limits: &mut LimitsEntry) {
        fn set<T>(limit: &mut Option<T>, said: Option<Option<T>>) {
            if let Some(said) = said {
                *limit = said;
            }
        }
        set(&mut limits.requests_minute, self.requests_minute);
        set(&mut limits.tokens_minute, self.tokens_minute);
        set(&mut limits.in_flight, self.in_flight);
        set(&mut limits.spend_day, self.spend_day);
        set(&mut limits.spend_month, self.spend_month);
        set(&mut limits.max_cost, self.max_cost);
    }
}

/// A limit that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// A count.
    Count {
        /// Which.
        limit: &'static str,
        /// What it may be.
        range: RangeInclusive<u64>,
    },
    /// An amount.
    Amount {
        /// Which.
        limit: &'static str,
    },
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { limit, range } => {
                write!(
                    out,
                    "limits: {limit} must be from {} to {}",
                    range.start(),
                    range.end()
                )
            }
            Self::Amount { limit } => write!(
                out,
                "limits: {limit} must be from 0 to {} dollars",
                Credits::from_nanos(DOLLARS_MAX)
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LimitsEntry, String> {
        let entry: LimitsEntry = serde_json::from_str(text).map_err(|error| error.to_string())?;
        entry.check().map_err(|fault| fault.to_string())?;
        Ok(entry)
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        let text = r#"{"requests_minute":60,"tokens_minute":100000,"in_flight":4,"spend_day":"5","spend_month":"99.5","max_cost":"0.000000001"}"#;
        let entry = read(text).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        assert!(entry.is_counted() && !entry.is_empty());
        let none = read("{}").unwrap();
        assert!(none.is_empty() && !none.is_counted());
        // Nothing may be spent: only what is not charged is served.
        let money = read(r#"{"spend_day":"0"}"#).unwrap();
        assert!(!money.is_counted() && !money.is_empty());
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (text, expected) in [
            (
                r#"{"requests_minute":0}"#,
                "limits: requests_minute must be from 1 to 1000000000",
            ),
            (
                r#"{"tokens_minute":1000000000001}"#,
                "limits: tokens_minute must be",
            ),
            (
                r#"{"in_flight":0}"#,
                "limits: in_flight must be from 1 to 1000000",
            ),
            (r#"{"requests_minute":-1}"#, "invalid value"),
            (r#"{"requests_minute":1.5}"#, "invalid type"),
            (r#"{"spend_day":"-1"}"#, "below zero"),
            (r#"{"spend_day":"1.0000000001"}"#, "too many decimals"),
            (r#"{"spend_day":1.5}"#, "an amount of dollars as a string"),
            (r#"{"spend_month":"99999999999999"}"#, "too large"),
            (
                r#"{"spend_month":"1000000000"}"#,
                "spend_month must be from 0 to 999999999.999999999 dollars",
            ),
            (r#"{"spend_year":"1"}"#, "unknown field"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
