//! Moments as operators write and read them.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A moment in Unix seconds, shown as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub i64);

impl std::fmt::Display for Time {
    /// As it is where no calendar reaches.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(time) => time.fmt(out),
            Err(_) => self.0.fmt(out),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// Why a text is no moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotToCome {
    /// It is neither a length nor a moment.
    Unreadable,
    /// It is over.
    Past,
}

/// The Unix second until which something lasts that is written as a length (`90d`, `12h`) or a moment (`2030-01-31`,
/// which is its first second in UTC, or `2030-01-31T12:00:00Z`).
///
/// # Errors
/// See [`NotToCome`].
pub fn until(text: &str, now: Timestamp) -> Result<i64, NotToCome> {
    let after = |span: Span| now.to_zoned(TimeZone::UTC).checked_add(span).ok();
    let lasting = || text.parse().ok().and_then(after);
    let moment = moment(text).or_else(|| lasting().map(|zoned| zoned.timestamp()));
    let moment = moment.ok_or(NotToCome::Unreadable)?;
    if moment <= now {
        return Err(NotToCome::Past);
    }
    Ok(moment.as_second())
}

/// A moment: `2030-01-31`, which is its first second in UTC, or `2030-01-31T12:00:00Z`.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    /// Characters of `YYYY-MM-DD`; a longer text has a time, which must not be dropped.
    const DATE_LEN: usize = 10;
    let day = |date: Date| date.to_zoned(TimeZone::UTC).ok();
    let of_day = || match text.len() {
        DATE_LEN => text.parse().ok().and_then(day),
        _ => None,
    };
    let precise = text.parse::<Timestamp>().ok();
    precise.or_else(|| of_day().map(|zoned| zoned.timestamp()))
}
