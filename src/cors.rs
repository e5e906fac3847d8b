//! Which pages of other origins may ask the gateway, and the headers that tell their browsers so (the Fetch standard,
//! section "HTTP extensions"). Knows nothing of requests but their headers.

use std::num::NonZeroU16;
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

const ANY: HeaderValue = HeaderValue::from_static("*");

/// What a page may ask with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// Seconds for which a browser need not ask again; none keeps it for longer than a day, and most for two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// A page of a public address asks a machine in a private network (Private Network Access).
const REQUEST_PRIVATE: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The origins whose pages may ask.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    origins: Arc<[HeaderValue]>,
}

/// The origin of a request, which is one of those that may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed(NonZeroU16);

impl Cors {
    /// As configured: origins as browsers write them, or `*`.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        let values = origins.iter().map(|origin| HeaderValue::from_str(origin));
        Self {
            origins: values.filter_map(Result::ok).collect(),
        }
    }

    /// Whether browsers are told anything.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Whether the page that sends these headers may ask.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> Option<Allowed> {
        let origin = headers.get(ORIGIN)?;
        let is_it = |one: &HeaderValue| *one == ANY || one == origin;
        let place = self.origins.iter().position(is_it)?;
        let place = u16::try_from(place + 1).ok()?;
        NonZeroU16::new(place).map(Allowed)
    }

    /// Says in an answer's headers whether the page may read it, whatever an upstream said.
    pub fn tell(&self, headers: &mut HeaderMap, allowed: Option<Allowed>) {
        if !self.is_on() {
            return;
        }
        headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        let origin =
            allowed.and_then(|Allowed(place)| self.origins.get(usize::from(place.get()) - 1));
        let one = self.origins.iter().all(|origin| *origin == ANY);
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        if !one {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// Whether a request with these headers asks on a page's behalf what it may send.
#[must_use]
pub fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to it, of a page that may: whatever it wants to send, it may.
pub fn answer(answer: &mut HeaderMap, asked: &HeaderMap) {
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        answer.append(
            VARY,
            HeaderValue::from_static("access-control-request-headers"),
        );
    }
    if asked.contains_key(REQUEST_PRIVATE) {
        answer.insert(ALLOW_PRIVATE, HeaderValue::from_static("true"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        of.iter().map(header).collect()
    }

    fn told(cors: &Cors, origin: &'static str) -> (Option<String>, bool) {
        let allowed = cors.allows(&headers(&[("origin", origin)]));
        let mut answer = headers(&[("access-control-allow-origin", "https://upstream")]);
        cors.tell(&mut answer, allowed);
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let origin = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(text);
        (origin, answer.contains_key(VARY))
    }

    #[test]
    fn an_origin_that_may_ask_is_told_so_and_no_other() {
        let two = Cors::new(&["https://a".to_owned(), "https://b".to_owned()]);
        assert_eq!(
            told(&two, "https://b"),
            (Some("https://b".to_owned()), true)
        );
        assert_eq!(told(&two, "https://b.evil"), (None, true));
        let all = Cors::new(&["*".to_owned()]);
        assert_eq!(told(&all, "https://b"), (Some("*".to_owned()), false));
        let none = Cors::default();
        assert_eq!(
            told(&none, "https://b"),
            (Some("https://upstream".to_owned()), false)
        );
    }

    #[test]
    fn a_preflight_has_an_origin_and_a_method() {
        let origin = ("origin", "https://a");
        assert!(!is_preflight(&headers(&[origin])));
        assert!(is_preflight(&headers(&[
            origin,
            ("access-control-request-method", "POST")
        ])));
    }
}
