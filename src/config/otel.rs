//! `[otel]`: traces and measures for a collector, as written → as checked.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::uri::{Scheme, Uri};

use super::file::{Section, Value};
use crate::secret::SecretRef;

/// The share of requests.
const SHARE: RangeInclusive<f64> = 0.0..=1.0;

/// More often, a collector has more to do with the measures than with what is measured.
const PERIOD: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Longer than a minute, the collector is down.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

/// A record has about a KiB.
const QUEUE: RangeInclusive<usize> = 16..=1_000_000;

/// `[otel]`
#[derive(Clone, Debug, PartialEq)]
pub struct Otel {
    /// The collector; none: nothing is told.
    pub endpoint: Option<Endpoint>,
    /// Whether traces are told.
    pub traces: bool,
    /// Whether measures are.
    pub metrics: bool,
    /// The share of requests without a trace of their client's that begin one, from 0 to 1.
    pub sample: f64,
    /// Whether providers are sent a `traceparent` of ours.
    pub propagate: bool,
    /// `service.name`.
    pub service: String,
    /// Headers for the collector, whose values are secrets.
    pub headers: Vec<(HeaderName, SecretRef)>,
    /// Roots of trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Time between two messages with measures.
    pub period: Duration,
    /// How long one message may take.
    pub timeout: Duration,
    /// Requests that wait to be told, at the most.
    pub queue: usize,
}

// A share is never NaN.
impl Eq for Otel {}

/// A base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is `https`.
    pub tls: bool,
    /// Host and port as written.
    pub authority: String,
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, without a slash at its end.
    pub prefix: String,
}

impl Default for Otel {
    fn default() -> Self {
        Self {
            endpoint: None,
            traces: true,
            metrics: true,
            sample: 1.0,
            propagate: false,
            service: "tollgate".to_owned(),
            headers: Vec::new(),
            ca_file: None,
            period: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            queue: 8_192,
        }
    }
}

/// Reads the section. `secret` reads a reference to a secret, `path` one to certificates.
pub(super) fn otel(
    section: Section<'_>,
    secret: impl Fn(&Value<'_>) -> Option<SecretRef>,
    path: impl Fn(Value<'_>) -> Option<PathBuf>,
) -> Otel {
    let default = Otel::default();
    let text = |key| {
        section
            .get(key)
            .and_then(|value| value.text().map(str::to_owned))
    };
    let otel = Otel {
        endpoint: section.get("endpoint").and_then(|value| endpoint(&value)),
        traces: section.flag("traces").unwrap_or(default.traces),
        metrics: section.flag("metrics").unwrap_or(default.metrics),
        sample: section.share("sample", SHARE).unwrap_or(default.sample),
        propagate: section.flag("propagate").unwrap_or(default.propagate),
        service: text("service").unwrap_or(default.service),
        headers: section
            .section("headers")
            .map_or(default.headers, |section| headers(&section, secret)),
        ca_file: section.get("ca_file").and_then(path),
        period: section.duration("period", PERIOD).unwrap_or(default.period),
        timeout: section
            .duration("timeout", TIMEOUT)
            .unwrap_or(default.timeout),
        queue: section.number("queue", QUEUE).unwrap_or(default.queue),
    };
    section.finish();
    otel
}

fn endpoint(value: &Value<'_>) -> Option<Endpoint> {
    let found = parse(value.text()?);
    if found.is_none() {
        value.wrong(
            "must be the base URL of a collector that takes OTLP over HTTP, as \"http://127.0.0.1:4318\"",
        );
    }
    found
}

fn parse(text: &str) -> Option<Endpoint> {
    let uri: Uri = text.parse().ok()?;
    let tls = *uri.scheme()? == Scheme::HTTPS;
    if !tls && *uri.scheme()? != Scheme::HTTP {
        return None;
    }
    let authority = uri.authority()?;
    if uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let port = match authority.port() {
        Some(port) => Some(port.as_u16()).filter(|port| *port != 0)?,
        None if authority.as_str() != authority.host() => return None,
        None if tls => 443,
        None => 80,
    };
    Some(Endpoint {
        tls,
        authority: authority.to_string(),
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        port,
        prefix: uri.path().trim_end_matches('/').to_owned(),
    })
}

fn headers(
    section: &Section<'_>,
    secret: impl Fn(&Value<'_>) -> Option<SecretRef>,
) -> Vec<(HeaderName, SecretRef)> {
    let header = |(name, value): (&str, Value<'_>)| match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => Some((name, secret(&value)?)),
        Err(_) => {
            value.wrong("is no name of a header");
            None
        }
    };
    section.entries().filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_url() {
        let of = |text| {
            let found = parse(text)?;
            Some((found.tls, found.host, found.port, found.prefix))
        };
        let own = |tls, host: &str, port, prefix: &str| {
            Some((tls, host.to_owned(), port, prefix.to_owned()))
        };
        assert_eq!(
            of("http://127.0.0.1:4318"),
            own(false, "127.0.0.1", 4_318, "")
        );
        assert_eq!(
            of("https://otel.example.com/otlp/"),
            own(true, "otel.example.com", 443, "/otlp")
        );
        assert_eq!(of("http://[::1]:4318/"), own(false, "::1", 4_318, ""));
        assert_eq!(of("http://collector"), own(false, "collector", 80, ""));
        for wrong in [
            "",
            "collector:4318",
            "/v1",
            "grpc://collector:4317",
            "http://user@collector",
            "http://collector?x",
            "http://collector:",
            "http://collector:0",
            "http://:4318",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
