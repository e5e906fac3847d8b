//! `[health]`: when an endpoint of a provider is ejected for its failures, and for how long.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::file::Section;

/// A thousand failures in a row are seen long before by their share.
const FAILURES: RangeInclusive<u32> = 1..=1_000;
/// Longer than an hour, the window tells of another day's trouble.
const WINDOW: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
/// In percent.
const FAILURE_RATE: RangeInclusive<u8> = 1..=100;
/// More than that in one window is not rare.
const SAMPLES: RangeInclusive<u32> = 1..=100_000;
/// Shorter, every request is a probe; longer, the operator is quicker.
const BACKOFF: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);

/// `[health]`, or what a provider has instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether failures of requests eject an endpoint.
    pub passive: bool,
    /// Failures in a row that eject; at least 1.
    pub failures: u32,
    /// The time over which the share of failures is measured.
    pub window: Duration,
    /// The share of failures that ejects, in percent: 1 to 100.
    pub failure_rate: u8,
    /// Attempts within the window below which no share is looked at; at least 1.
    pub samples: u32,
    /// For how long an endpoint is ejected the first time; twice as long each further time.
    pub backoff: Duration,
    /// For how long at the most; at least `backoff`.
    pub backoff_max: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            passive: true,
            failures: 5,
            window: Duration::from_mins(1),
            failure_rate: 50,
            samples: 10,
            backoff: Duration::from_secs(5),
            backoff_max: Duration::from_mins(5),
        }
    }
}

/// Reads a section; what it leaves out is as in `default`.
pub(super) fn health(section: Section<'_>, default: &Health) -> Health {
    let backoff = section
        .duration("backoff", BACKOFF)
        .unwrap_or(default.backoff);
    let backoff_max = section.duration("backoff_max", BACKOFF);
    if backoff_max.is_some_and(|longest| longest < backoff)
        && let Some(value) = section.get("backoff_max")
    {
        value.wrong("must not be shorter than `backoff`");
    }
    let health = Health {
        passive: section.flag("passive").unwrap_or(default.passive),
        failures: section
            .number("failures", FAILURES)
            .unwrap_or(default.failures),
        window: section.duration("window", WINDOW).unwrap_or(default.window),
        failure_rate: section
            .number("failure_rate", FAILURE_RATE)
            .unwrap_or(default.failure_rate),
        samples: section
            .number("samples", SAMPLES)
            .unwrap_or(default.samples),
        backoff,
        backoff_max: backoff_max.unwrap_or(default.backoff_max).max(backoff),
    };
    section.finish();
    health
}
