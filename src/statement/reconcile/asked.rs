//! Which of our rows a report is about, and how closely the two have to agree.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::report::Report;
use super::{Outcome, compare};
use crate::money::Credits;
use crate::statement::time::OnDay;
use crate::statement::usage::PaidWith;
use crate::store::{Sum, Used};

/// Lines of ours that are compared at the most.
pub const LINES_MAX: u32 = 1_000_000;

/// What our rows are asked for.
pub struct Question<'r> {
    report: &'r Report,
    provider: String,
    credential: PaidWith,
}

impl<'r> Question<'r> {
    /// The rows that a report is about: those with the operator's keys, unless another source is given.
    ///
    /// # Errors
    /// When nobody says whose report it is, or it is about no day.
    pub fn new(
        report: &'r Report,
        provider: Option<String>,
        credential: Option<PaidWith>,
    ) -> Result<Self, String> {
        let provider = match (provider, &report.provider) {
            (Some(said), _) => said,
            (None, Some(known)) => known.clone(),
            (None, None) => {
                return Err("the report does not say of which provider it is; say so".to_owned());
            }
        };
        if report.days.is_none() {
            return Err("the report is about no day".to_owned());
        }
        Ok(Self {
            report,
            provider,
            credential: credential.unwrap_or(PaidWith::Gateway),
        })
    }

    /// The rows.
    #[must_use]
    pub fn used(&self) -> Used {
        let days = self.report.days.as_ref();
        let next = |day: Date| OnDay(day).begins().saturating_add(86_400_000);
        Used {
            from: days.map(|days| OnDay(*days.start()).begins()),
            to: days.map(|days| next(*days.end())),
            provider: Some(self.provider.clone()),
            credential: Some(self.credential.as_str()),
            ..Used::default()
        }
    }

    /// Holds the report against the rows, added up by day and model.
    #[must_use]
    pub fn compare(&self, rows: &[Sum], tolerance: Tolerance) -> Outcome {
        compare(self.report, &self.provider, rows, tolerance)
    }
}

/// A part of a hundred, in a string: at most four decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percent(u64);

impl Percent {
    /// As parts of a million.
    #[must_use]
    pub fn ppm(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let fits = digits(whole) && digits(fraction) && whole.len() <= 3 && fraction.len() <= 4;
        let ppm = format!("{whole}{fraction:0<4}")
            .parse()
            .ok()
            .filter(|_| fits);
        ppm.map(Self)
            .ok_or_else(|| format!("{text:?} is no percentage, as 0.5"))
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,4})?$"})
    }
}

/// By how much the two may differ and still agree: as soon as one of both allows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerance {
    /// Parts per million of the larger of the two.
    pub ppm: u64,
    /// Of a cost: dollars.
    pub dollars: Credits,
}
