//! A provider's own report of what was used, held against our rows: what differs, and by how much.
//!
//! Absent: where our rows come from.

mod amount;
mod asked;
mod ours;
mod pages;
mod report;
mod tables;

use std::collections::BTreeSet;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::Credits;
use crate::store::Sum;
use amount::Amount;
use ours::Books;

pub use asked::{LINES_MAX, Percent, Question, Tolerance};
pub use report::{Counts, Report};

/// Bytes of a report at the most.
pub const REPORT_BYTES_MAX: usize = 64 << 20;

/// Reads a report, whatever its form.
///
/// # Errors
/// What is wrong, for people.
pub fn read(text: &str) -> Result<Report, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        pages::read(text)
    } else {
        tables::read(text)
    }
}

/// What is compared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Tokens that were read, cached ones included.
    Input,
    /// Of them: read from a cache.
    Cached,
    /// Of them: written to a cache.
    CacheWrite,
    /// Tokens that were written.
    Output,
    /// What it costs, in dollars.
    Cost,
}

impl Measure {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Cached => "cached",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
            Self::Cost => "cost",
        }
    }
}

/// A pair of values that was compared.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// The day, UTC.
    pub day: String,
    /// The model; null: all of them together.
    pub model: Option<String>,
    /// What was compared.
    pub measure: Measure,
    /// What the provider says: tokens, or dollars.
    pub provider: String,
    /// What our rows say.
    pub ours: String,
    /// Ours less the provider's.
    pub difference: String,
    /// Whether they differ by more than is allowed.
    pub differs: bool,
    /// How many of our attempts are estimates, which would explain it.
    pub estimated: i64,
}

/// What a comparison came to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Whose report it is.
    pub provider: String,
    /// The first day that was compared.
    pub from: String,
    /// The last day that was compared.
    pub to: String,
    /// How many pairs were compared.
    pub compared: usize,
    /// How many differ by more than is allowed.
    pub differing: usize,
    /// The pairs, by day and model.
    pub pairs: Vec<Pair>,
}

/// One side of a pair: tokens, or nano-dollars.
#[derive(Clone, Copy)]
struct Side(i128);

const MEASURES: [Measure; 5] = [
    Measure::Input,
    Measure::Cached,
    Measure::CacheWrite,
    Measure::Output,
    Measure::Cost,
];

/// Holds a report against our rows, which are added up by day and model, for the days of the report.
#[must_use]
pub fn compare(report: &Report, provider: &str, rows: &[Sum], tolerance: Tolerance) -> Outcome {
    let ours = Books::of(rows);
    let told = told(report);
    let whole_days: BTreeSet<Date> = days_only(report);
    let mut keys: BTreeSet<(Date, String)> = report.rows.keys().cloned().collect();
    // What we have and the report does not, unless the report speaks of that day as a whole.
    keys.extend(ours.keys().filter(|(day, _)| !whole_days.contains(day)));
    let mut pairs = Vec::new();
    for (day, model) in &keys {
        let theirs = report.rows.get(&(*day, model.clone()));
        let mine = ours.get(*day, model);
        for (place, measure) in MEASURES.into_iter().enumerate() {
            if !told.contains(&measure) {
                continue;
            }
            let Some(theirs) = side(theirs, measure, model) else {
                continue;
            };
            let name = ours.names.get(model).or_else(|| report.names.get(model));
            let name = name.filter(|name| !name.is_empty());
            let both = (theirs, Side(mine.counts[place]));
            pairs.push(pair(*day, name, measure, both, mine.estimated, tolerance));
        }
    }
    let days = report.days.clone();
    let (from, to) = days.map_or_else(Default::default, |days| {
        (days.start().to_string(), days.end().to_string())
    });
    Outcome {
        provider: provider.to_owned(),
        from,
        to,
        compared: pairs.len(),
        differing: pairs.iter().filter(|pair| pair.differs).count(),
        pairs,
    }
}

/// What the report tells anything of.
fn told(report: &Report) -> BTreeSet<Measure> {
    let told = |measure: &Measure| {
        let mut rows = report.rows.values();
        rows.any(|counts| value(counts, *measure).is_some())
    };
    MEASURES.into_iter().filter(told).collect()
}

/// The days of which the report tells but the whole.
fn days_only(report: &Report) -> BTreeSet<Date> {
    let whole = report.rows.keys().filter(|(_, model)| model.is_empty());
    let whole: BTreeSet<Date> = whole.map(|(day, _)| *day).collect();
    let of_models = report.rows.keys().filter(|(_, model)| !model.is_empty());
    let of_models: BTreeSet<Date> = of_models.map(|(day, _)| *day).collect();
    whole.difference(&of_models).copied().collect()
}

/// What the report says; of a model that it does not name, nothing was used.
fn side(counts: Option<&Counts>, measure: Measure, model: &str) -> Option<Side> {
    match counts {
        Some(counts) => value(counts, measure),
        None if model.is_empty() => None,
        None => Some(Side(0)),
    }
}

fn value(counts: &Counts, measure: Measure) -> Option<Side> {
    let tokens = |count: Option<u64>| count.map(|count| Side(i128::from(count)));
    match measure {
        Measure::Input => tokens(counts.input),
        Measure::Cached => tokens(counts.cached),
        Measure::CacheWrite => tokens(counts.cache_write),
        Measure::Output => tokens(counts.output),
        Measure::Cost => counts
            .cost
            .map(Amount::credits)
            .map(|cost| Side(cost.nanos().into())),
    }
}

fn pair(
    day: Date,
    model: Option<&String>,
    measure: Measure,
    (theirs, ours): (Side, Side),
    estimated: i64,
    tolerance: Tolerance,
) -> Pair {
    let shown = |Side(value): Side| match measure {
        Measure::Cost => {
            let nanos =
                i64::try_from(value).unwrap_or(if value < 0 { -i64::MAX } else { i64::MAX });
            Credits::from_nanos(nanos).to_string()
        }
        _ => value.to_string(),
    };
    let difference = ours.0 - theirs.0;
    let larger = ours.0.abs().max(theirs.0.abs());
    let part = difference.abs().saturating_mul(1_000_000)
        <= larger.saturating_mul(i128::from(tolerance.ppm));
    let little =
        measure == Measure::Cost && difference.abs() <= i128::from(tolerance.dollars.nanos());
    Pair {
        day: day.to_string(),
        model: model.cloned(),
        measure,
        provider: shown(theirs),
        ours: shown(ours),
        difference: shown(Side(difference)),
        differs: !(part || little),
        estimated,
    }
}

#[cfg(test)]
mod tests;
