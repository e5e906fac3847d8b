//! The active check of a provider's endpoints, checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::routes;
use crate::catalog::check::{HealthCheck, HttpCheck};
use crate::catalog::file::{File, HealthEntry, HealthKind};
use crate::catalog::report::Scope;
use crate::catalog::url;

/// More often is a load on the endpoint; less often says little.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// An endpoint that takes longer to say that it is well is not.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Checks in a row.
const IN_A_ROW: RangeInclusive<u32> = 1..=100;
const HEALTHY_DEFAULT: u32 = 1;
const UNHEALTHY_DEFAULT: u32 = 3;
/// Statuses of one that is alive, where none are written.
const STATUSES_DEFAULT: RangeInclusive<u16> = 200..=299;
/// Every status there is (RFC 9110, section 15).
const STATUSES: RangeInclusive<u16> = 100..=599;

/// Headers that belong to the connection, or have a member of their own.
const HEADERS_OWN: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The check that the file asks for, if it does; `prefix` is the path of the base URL.
pub(super) fn check(file: &File, prefix: &str, scope: &mut Scope<'_, '_>) -> Option<HealthCheck> {
    let entry = file.health.as_ref()?;
    let mut scope = scope.within(&["health"]);
    let kind = entry.kind.unwrap_or_default();
    if kind == HealthKind::None {
        return None;
    }
    let http = match kind {
        HealthKind::Http => Some(http(entry, prefix, &mut scope)),
        HealthKind::Tcp | HealthKind::None => None,
    };
    let interval = time("interval", &entry.interval, INTERVAL, &mut scope);
    let timeout = time("timeout", &entry.timeout, TIMEOUT, &mut scope);
    let healthy = count("healthy", entry.healthy, &mut scope);
    let unhealthy = count("unhealthy", entry.unhealthy, &mut scope);
    Some(HealthCheck {
        // A path that is wrong has been told of.
        http: http.map_or(Some(None), |http| http.map(Some))?,
        interval: interval.unwrap_or(INTERVAL_DEFAULT),
        timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
        healthy: healthy.unwrap_or(HEALTHY_DEFAULT),
        unhealthy: unhealthy.unwrap_or(UNHEALTHY_DEFAULT),
    })
}

/// The path that the file asks for, if it asks for one: what a preset shows.
pub(super) fn path(file: &File, prefix: &str, scope: &mut Scope<'_, '_>) -> Option<Box<str>> {
    let path = file.health.as_ref()?.path.as_deref()?;
    let path = scope.check(&["health", "path"], url::join(prefix, path));
    path.map(Into::into)
}

fn http(entry: &HealthEntry, prefix: &str, scope: &mut Scope<'_, '_>) -> Option<HttpCheck> {
    let own = &mut scope.within(&["headers"]);
    let headers = routes::headers(entry.headers.as_ref(), &HEADERS_OWN, own);
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let statuses = entry.statuses.as_ref().map(|written| {
        let mut statuses = Vec::new();
        for (position, text) in written.iter().enumerate() {
            let position = position.to_string();
            statuses.extend(scope.check(&["statuses", &position], self::statuses(text)));
        }
        statuses.into()
    });
    let host = entry.host.as_deref();
    if host.is_some_and(|host| host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        scope.problem(&["host"], "is a host, as \"localhost:11434\"");
    }
    let Some(path) = &entry.path else {
        scope.problem(
            &[],
            "no \"path\": say what is asked for, such as \"/health\", or \"type\": \"tcp\"",
        );
        return None;
    };
    Some(HttpCheck {
        path: scope.check(&["path"], url::join(prefix, path))?.into(),
        host: host.map(Into::into),
        headers,
        statuses: statuses.unwrap_or_else(|| [STATUSES_DEFAULT].into()),
    })
}

fn time(
    name: &str,
    written: &Option<String>,
    bounds: RangeInclusive<Duration>,
    scope: &mut Scope<'_, '_>,
) -> Option<Duration> {
    let text = written.as_deref()?;
    let read = duration(text).filter(|time| bounds.contains(time));
    let read = read.ok_or_else(|| {
        format!(
            "`{text}` is no time from {:?} to {:?}; write it as \"250ms\", \"10s\" or \"1m\"",
            bounds.start(),
            bounds.end()
        )
    });
    scope.check(&[name], read)
}

fn count(name: &str, written: Option<u32>, scope: &mut Scope<'_, '_>) -> Option<u32> {
    let count = Some(written?).filter(|count| IN_A_ROW.contains(count));
    scope.check(
        &[name],
        count.ok_or_else(|| "is a number from 1 to 100".to_owned()),
    )
}

/// A whole number and a unit.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// `204` or `200-299`.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse().ok().zip(last.parse().ok());
    let range = range.map(|(first, last)| first..=last);
    range
        .filter(|it| STATUSES.contains(it.start()) && STATUSES.contains(it.end()) && !it.is_empty())
        .ok_or_else(|| {
            format!("`{text}` is no status and no range of them; write \"204\" or \"200-299\"")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn statuses_are_one_or_a_range() {
        assert_eq!(statuses("401"), Ok(401..=401));
        assert_eq!(statuses("200-299"), Ok(200..=299));
        for text in [
            "",
            "2xx",
            "299-200",
            "99",
            "600",
            "200-",
            "-299",
            "200-299-300",
        ] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }
}
