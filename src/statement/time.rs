//! Moments as operators write and read them.

use std::borrow::Cow;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        let moment = text.parse::<Timestamp>().map(|at| at.as_second());
        moment
            .or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| D::Error::custom("not a moment"))
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

/// A moment in Unix milliseconds, shown as RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

impl std::fmt::Display for Moment {
    /// With three decimals; as it is where no calendar reaches.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(out, "{time:.3}"),
            Err(_) => self.0.fmt(out),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        let moment = text.parse::<Timestamp>().map(|at| at.as_millisecond());
        moment
            .or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| D::Error::custom("not a moment"))
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A day, given as days since 1970-01-01, as `2030-01-31`; as it is where no calendar reaches.
#[must_use]
pub fn day(days: i64) -> String {
    let second = days.checked_mul(86_400);
    let moment = second.and_then(|second| Timestamp::from_second(second).ok());
    let date = moment.map(|moment| moment.to_zoned(TimeZone::UTC).date().to_string());
    date.unwrap_or_else(|| days.to_string())
}

/// A moment that is given: a day (`2030-01-31`), which is its beginning in UTC, or a moment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct When(pub Timestamp);

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = moment(text).map(Self);
        moment.ok_or_else(|| {
            "write a day as 2030-01-31, or a moment as 2030-01-31T12:00:00Z".to_owned()
        })
    }
}

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]})
    }
}

/// A day that is given: `2030-01-31`, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OnDay(pub Date);

impl OnDay {
    /// As days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> i64 {
        let since = self.0 - Date::constant(1970, 1, 1);
        i64::from(since.get_days())
    }

    /// Its first Unix millisecond.
    #[must_use]
    pub fn begins(self) -> i64 {
        self.days().saturating_mul(86_400_000)
    }
}

impl TryFrom<String> for OnDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for OnDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// Characters of `YYYY-MM-DD`; a longer text has a time, which must not be dropped.
        const DATE_LEN: usize = 10;
        let date = text.parse().ok().filter(|_| text.len() == DATE_LEN);
        date.map(Self)
            .ok_or_else(|| "write a day as 2030-01-31".to_owned())
    }
}

impl JsonSchema for OnDay {
    fn schema_name() -> Cow<'static, str> {
        "OnDay".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date"})
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_and_read_in_utc() {
        assert_eq!(Time(1_800_000_000).to_string(), "2027-01-15T08:00:00Z");
        assert_eq!(
            Moment(1_800_000_000_007).to_string(),
            "2027-01-15T08:00:00.007Z"
        );
        assert_eq!(
            Moment(1_800_000_000_000).to_string(),
            "2027-01-15T08:00:00.000Z"
        );
        assert_eq!(
            [day(0), day(-1), day(20_833)],
            ["1970-01-01", "1969-12-31", "2027-01-15"]
        );
        assert_eq!(
            [day(i64::MAX), Time(i64::MAX).to_string()],
            [i64::MAX.to_string(), i64::MAX.to_string()]
        );
        let read = |text| moment(text).map(|moment| moment.to_string());
        assert_eq!(read("2027-01-15").as_deref(), Some("2027-01-15T00:00:00Z"));
        assert_eq!(
            read("2027-01-15T09:00:00+01:00").as_deref(),
            Some("2027-01-15T08:00:00Z")
        );
        let day = |text: &str| text.parse::<OnDay>().map(|day| (day.days(), day.begins()));
        assert_eq!(day("1970-01-02"), Ok((1, 86_400_000)));
        assert_eq!(day("1969-12-31"), Ok((-1, -86_400_000)));
        assert!(day("1970-01-02T00:00:00Z").is_err() && day("2027-02-30").is_err());
        for text in ["", "2027-01-15T08:00:00", "2027-13-01", "15.1.2027", "90d"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
