//! How long a provider asks to be left alone, in every way in which providers say so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use jiff::Timestamp;

/// What `x-ratelimit-remaining-*` and `x-ratelimit-reset-*` are about (OpenAI, and those who follow it).
const OPENAI: [(&str, &str); 2] = [
    (
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

/// The same of Anthropic (API reference, "Rate limits").
const ANTHROPIC: [(&str, &str); 4] = [
    (
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    (
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
];

/// `retry-after-ms`, else `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Some(millis) = text(headers, "retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1e3).ok();
    }
    let value = text(headers, "retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// How long a key that is over its limits is to be left alone: what [`retry_after`] reads, else until the last of the
/// limits that are used up begins anew.
#[must_use]
pub fn time(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let asked = retry_after(headers, now);
    asked.or_else(|| {
        let openai = used_up(headers, &OPENAI).filter_map(duration);
        let anthropic = used_up(headers, &ANTHROPIC).filter_map(|text| until(text, now));
        openai.chain(anthropic).max()
    })
}

/// When those limits begin anew of which nothing remains.
fn used_up<'h>(
    headers: &'h HeaderMap,
    limits: &'static [(&'static str, &'static str)],
) -> impl Iterator<Item = &'h str> {
    let left = |name| text(headers, name).and_then(|left| left.parse::<f64>().ok());
    limits
        .iter()
        .filter(move |(remaining, _)| left(remaining).is_some_and(|left| left <= 0.0))
        .filter_map(|(_, reset)| text(headers, reset))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `1s`, `6m0s`, `120ms`, `1h0m12.5s`: Go's way of writing durations. A bare number is taken for seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let (number, behind) = rest.split_at(digits.unwrap_or(rest.len()));
        let unit = behind.find(|letter: char| letter.is_ascii_digit());
        let (unit, behind) = behind.split_at(unit.unwrap_or(behind.len()));
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            "" if number.len() == text.len() => 1.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = behind;
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// The time that is left until a moment in RFC 3339.
fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let moment: Timestamp = text.parse().ok()?;
    let moment = Duration::try_from(moment.as_duration()).ok()?;
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    Some(moment.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            let value = value.parse().expect("a value");
            (http::HeaderName::from_static(name), value)
        };
        fields.iter().map(field).collect()
    }

    fn millis(fields: &[(&'static str, &str)]) -> Option<u128> {
        time(&headers(fields), now()).map(|time| time.as_millis())
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let later = httpdate::fmt_http_date(now() + Duration::from_secs(30));
        let past = httpdate::fmt_http_date(now() - Duration::from_secs(30));
        let rows = [
            ("retry-after", "3", Some(3_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after", &*later, Some(30_000)),
            ("retry-after", &*past, Some(0)),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
            ("retry-after", "1e400", None),
            ("x", "1", None),
        ];
        for (name, value, expected) in rows {
            assert_eq!(millis(&[(name, value)]), expected, "{name}: {value}");
            let asked = retry_after(&headers(&[(name, value)]), now());
            assert_eq!(asked.map(|time| time.as_millis()), expected);
        }
        let both = [("retry-after", "60"), ("retry-after-ms", "20")];
        assert_eq!(millis(&both), Some(20));
    }

    #[test]
    fn a_limit_counts_when_nothing_of_it_remains() {
        let requests = ("x-ratelimit-remaining-requests", "0");
        let rows: &[(&[_], _)] = &[
            (
                &[requests, ("x-ratelimit-reset-requests", "120ms")],
                Some(120),
            ),
            (&[requests, ("x-ratelimit-reset-tokens", "6m0s")], None),
            (
                &[
                    ("x-ratelimit-remaining-requests", "59"),
                    ("x-ratelimit-reset-requests", "1s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "6m0s"),
                ],
                Some(360_000),
            ),
            (
                &[
                    requests,
                    ("x-ratelimit-reset-requests", "1s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "20ms"),
                ],
                Some(1_000),
            ),
            (&[("x-ratelimit-reset-requests", "1s")], None),
            // What is asked for counts before what can be reckoned.
            (
                &[
                    requests,
                    ("x-ratelimit-reset-requests", "9s"),
                    ("retry-after", "2"),
                ],
                Some(2_000),
            ),
            (
                &[
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                    (
                        "anthropic-ratelimit-input-tokens-reset",
                        "2027-01-15T08:00:12Z",
                    ),
                    ("anthropic-ratelimit-requests-remaining", "7"),
                    ("anthropic-ratelimit-requests-reset", "2027-01-15T08:01:00Z"),
                ],
                Some(12_000),
            ),
            (
                &[
                    ("anthropic-ratelimit-requests-remaining", "0"),
                    (
                        "anthropic-ratelimit-requests-reset",
                        "2027-01-15T10:00:01+02:00",
                    ),
                ],
                Some(1_000),
            ),
            (
                &[
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "2027-01-15T07:00:00Z"),
                ],
                Some(0),
            ),
        ];
        for (fields, expected) in rows {
            assert_eq!(millis(fields), *expected, "{fields:?}");
        }
    }

    #[test]
    fn durations_are_read_as_providers_write_them() {
        for (text, expected) in [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("2m59.56s", Some(179_560)),
            ("1h0m12.5s", Some(3_612_500)),
            ("7.66", Some(7_660)),
            ("17", Some(17_000)),
            ("500us", Some(0)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("1m30", None),
            ("-1s", None),
            ("1..5s", None),
            ("1e9s", None),
        ] {
            let read = duration(text).map(|time| time.as_millis());
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
