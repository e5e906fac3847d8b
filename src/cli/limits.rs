//! The limits of an access key as flags of `keys create` and `keys update`.

use std::str::FromStr;

use clap::Args;

use crate::access::limits::{LimitsChange, LimitsEntry};
use crate::money::Credits;

/// A limit as it is written: `none` takes it away.
#[derive(Clone, Copy, Debug)]
pub struct Bound<T>(Option<T>);

impl<T> Bound<T> {
    fn value(self) -> Option<T> {
        self.0
    }
}

fn bound<T: FromStr>(text: &str) -> Result<Bound<T>, String>
where
    T::Err: std::fmt::Display,
{
    match text {
        "none" => Ok(Bound(None)),
        _ => text
            .parse()
            .map(|limit| Bound(Some(limit)))
            .map_err(|fault: T::Err| format!("{fault}; or write none")),
    }
}

/// Limits; what is not said stays as it is.
#[derive(Args, Clone, Debug, Default)]
pub struct LimitFlags {
    /// Requests a minute at the most, or none for no limit
    #[arg(long, value_name = "COUNT", value_parser = bound::<u64>)]
    requests_per_minute: Option<Bound<u64>>,
    /// Tokens a minute at the most, of prompts and answers together
    #[arg(long, value_name = "COUNT", value_parser = bound::<u64>)]
    tokens_per_minute: Option<Bound<u64>>,
    /// Requests under way at one time at the most
    #[arg(long, value_name = "COUNT", value_parser = bound::<u64>)]
    in_flight: Option<Bound<u64>>,
    /// US dollars of credit a day (UTC) at the most, as 12.50
    #[arg(long, value_name = "DOLLARS", value_parser = bound::<Credits>)]
    spend_day: Option<Bound<Credits>>,
    /// US dollars of credit in a calendar month (UTC) at the most
    #[arg(long, value_name = "DOLLARS", value_parser = bound::<Credits>)]
    spend_month: Option<Bound<Credits>>,
    /// US dollars of credit for one request at the most
    #[arg(long, value_name = "DOLLARS", value_parser = bound::<Credits>)]
    max_cost: Option<Bound<Credits>>,
}

impl LimitFlags {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests_per_minute.is_none()
            && self.tokens_per_minute.is_none()
            && self.in_flight.is_none()
            && self.spend_day.is_none()
            && self.spend_month.is_none()
            && self.max_cost.is_none()
    }

    /// Those of a new key.
    #[must_use]
    pub fn of_new(&self) -> LimitsEntry {
        let mut limits = LimitsEntry::default();
        self.change().apply(&mut limits);
        limits
    }

    /// What is said.
    #[must_use]
    pub fn change(&self) -> LimitsChange {
        LimitsChange {
            requests_minute: self.requests_per_minute.map(Bound::value),
            tokens_minute: self.tokens_per_minute.map(Bound::value),
            in_flight: self.in_flight.map(Bound::value),
            spend_day: self.spend_day.map(Bound::value),
            spend_month: self.spend_month.map(Bound::value),
            max_cost: self.max_cost.map(Bound::value),
        }
    }
}
