//! The times that an access key, or a request, has of its own, and how a duration is written there.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a time may be: as in the configuration.
const BOUNDS: RangeInclusive<u64> = 1..=24 * 3_600_000;

/// Bounds on the times of requests, in milliseconds; where there is none, what the configuration says holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimesEntry {
    /// A connection, TCP and TLS together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub connect_ms: Option<u64>,
    /// Until the response header of a request that is not streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub first_byte_ms: Option<u64>,
    /// The same of one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub first_byte_stream_ms: Option<u64>,
    /// Silence within a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub idle_ms: Option<u64>,
    /// The whole request with all its attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub total_ms: Option<u64>,
}

impl TimesEntry {
    /// Whether it bounds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each bound with its name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("connect", self.connect_ms),
            ("first_byte", self.first_byte_ms),
            ("first_byte_stream", self.first_byte_stream_ms),
            ("idle", self.idle_ms),
            ("total", self.total_ms),
        ]
    }

    /// Sets the bound of that name; false where there is none of it.
    pub fn set(&mut self, name: &str, time: Duration) -> bool {
        let place = match name {
            "connect" => &mut self.connect_ms,
            "first_byte" => &mut self.first_byte_ms,
            "first_byte_stream" => &mut self.first_byte_stream_ms,
            "idle" => &mut self.idle_ms,
            "total" => &mut self.total_ms,
            _ => return false,
        };
        *place = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        true
    }

    /// The name of a bound that is out of its range, 1 ms to a day.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let wrong = |(_, time): &(&str, Option<u64>)| time.is_some_and(|ms| !BOUNDS.contains(&ms));
        self.named().into_iter().find(wrong).map(|(name, _)| name)
    }
}

/// The narrower of a time and a bound in milliseconds.
#[must_use]
pub fn narrowed(time: Duration, bound: Option<u64>) -> Duration {
    bound.map_or(time, |ms| time.min(Duration::from_millis(ms)))
}

/// Reads `30`, `2.5` (seconds), `500ms`, `30s`, `2m`, `1h`; more than none, and at most a day, which longer ones are
/// taken for.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let is_digit = |letter: char| letter.is_ascii_digit() || letter == '.';
    let unit = text.find(|letter| !is_digit(letter)).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let millis = match unit.trim_start_matches(' ') {
        "" | "s" => 1e3,
        "ms" => 1.0,
        "m" | "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    let written = number.starts_with(|digit: char| digit.is_ascii_digit());
    let seconds = written.then(|| number.parse::<f64>().ok()).flatten()? * millis / 1e3;
    let longest = Duration::from_millis(*BOUNDS.end());
    let time = Duration::try_from_secs_f64(seconds).map_or(longest, |time| time.min(longest));
    (time >= Duration::from_millis(*BOUNDS.start())).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        for (text, millis) in [
            ("30", 30_000),
            ("2.5", 2_500),
            ("0.001", 1),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("2d", 86_400_000),
            ("99999999999999999999999", 86_400_000),
        ] {
            let expected = Some(Duration::from_millis(millis));
            assert_eq!(duration(text), expected, "{text}");
        }
        for text in [
            "", "0", "0s", "0.0001", "-1", "+1", "s", ".5", "1.2.3", "1x", "1S", "1e3", "1h30m",
            "soon", "1,5", "NaN", "inf", "½",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn each_bound_has_a_name_and_a_range() {
        let mut entry = TimesEntry::default();
        assert!(entry.is_empty() && entry.fault().is_none());
        for (name, _) in TimesEntry::default().named() {
            assert!(entry.set(name, Duration::from_secs(1)));
        }
        assert!(!entry.set("nothing", Duration::from_secs(1)));
        assert!(entry.named().iter().all(|(_, time)| *time == Some(1_000)));
        entry.set("idle", Duration::ZERO);
        assert_eq!(entry.fault(), Some("idle"));
    }

    #[test]
    fn the_narrower_one_holds() {
        let second = Duration::from_secs(1);
        assert_eq!(narrowed(second, None), second);
        assert_eq!(narrowed(second, Some(5_000)), second);
        assert_eq!(narrowed(second, Some(5)), Duration::from_millis(5));
    }
}
