//! What is sent upstream to prove who pays the provider, and where a request puts it.
//!
//! A key prints as `Key(..)`. Which key a candidate gets is decided in `routing`; that none of the
//! client's own credentials goes along is seen to in `access::presented`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

/// The longest time for which a key is set aside by one answer.
const ASIDE_MAX: Duration = Duration::from_secs(3600);

/// Where a credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The operator's: model cost is charged to the account's credit.
    Gateway,
    /// The account's stored provider key.
    Byok,
    /// A provider key that the client sent along.
    Request,
    /// The upstream wants none.
    None,
}

impl Source {
    /// Its name in headers, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Byok => "byok",
            Self::Request => "request",
            Self::None => "none",
        }
    }

    /// Whether it is Tollgate's to replace by another.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Gateway | Self::Byok)
    }
}

// As text: Pingora copies what it is given as a `HeaderName`.
const AUTHORIZATION: &str = "authorization";

/// How a provider wants its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// It wants none.
    None,
    /// `Authorization: Bearer KEY` (RFC 6750).
    Bearer,
    /// The bare key in a header of this name.
    Header(HeaderName),
}

/// A provider key, made ready for every scheme when it is loaded.
pub struct Key {
    bearer: HeaderValue,
    plain: HeaderValue,
    health: Arc<KeyHealth>,
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(..)")
    }
}

/// The text holds a byte that no header value may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAHeaderValue;

impl Key {
    /// The key `secret`, with what is known of its health.
    ///
    /// # Errors
    /// [`NotAHeaderValue`] when it holds control characters or the like.
    pub fn new(secret: &str, health: Arc<KeyHealth>) -> Result<Self, NotAHeaderValue> {
        let value = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| NotAHeaderValue)?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(Self {
            bearer: value(&format!("Bearer {secret}"))?,
            plain: value(secret)?,
            health,
        })
    }

    /// Whether the key may be used at this moment.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.health.is_ready()
    }

    /// What is known of its health.
    #[must_use]
    pub fn health(&self) -> &KeyHealth {
        &self.health
    }

    /// Puts the key on a request.
    ///
    /// # Errors
    /// Pingora's, when a header cannot be set.
    pub fn put_on(&self, request: &mut RequestHeader, scheme: &Scheme) -> pingora::Result<()> {
        match scheme {
            Scheme::None => Ok(()),
            Scheme::Bearer => request.insert_header(AUTHORIZATION, self.bearer.clone()),
            Scheme::Header(name) => request.insert_header(name.clone(), self.plain.clone()),
        }
    }
}

/// Until when a key is set aside. Measured, so it outlives a reload of the files.
#[derive(Debug)]
pub struct KeyHealth {
    epoch: Instant,
    /// Milliseconds after `epoch`; 0: not set aside.
    aside_until: AtomicU64,
}

impl Default for KeyHealth {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            aside_until: AtomicU64::new(0),
        }
    }
}

impl KeyHealth {
    /// Sets the key aside for a while, at most an hour.
    pub fn set_aside(&self, time: Duration) {
        let until = self.epoch.elapsed() + time.min(ASIDE_MAX);
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.aside_until.fetch_max(millis, Ordering::Relaxed);
    }

    /// For how long it is set aside still; `None` when it may be used.
    #[must_use]
    pub fn aside_for(&self) -> Option<Duration> {
        let until = Duration::from_millis(self.aside_until.load(Ordering::Relaxed));
        until
            .checked_sub(self.epoch.elapsed())
            .filter(|left| !left.is_zero())
    }

    /// Whether the key may be used.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let until = self.aside_until.load(Ordering::Relaxed);
        until == 0 || self.epoch.elapsed().as_millis() >= u128::from(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("sk-hidden", Arc::default()).expect("a header value")
    }

    #[test]
    fn a_key_never_prints() {
        let key = key();
        assert_eq!(format!("{key:?}"), "Key(..)");
        let mut request = RequestHeader::build("POST", b"/", None).expect("a header");
        key.put_on(&mut request, &Scheme::Bearer).expect("set");
        assert!(!format!("{request:?}").contains("hidden"));
    }

    #[test]
    fn each_scheme_puts_the_key_in_its_place() {
        let name = HeaderName::from_static("x-api-key");
        let mut request = RequestHeader::build("POST", b"/", None).expect("a header");
        key()
            .put_on(&mut request, &Scheme::Header(name.clone()))
            .expect("set");
        assert_eq!(request.headers[&name], "sk-hidden");
        key().put_on(&mut request, &Scheme::Bearer).expect("set");
        assert_eq!(request.headers[AUTHORIZATION], "Bearer sk-hidden");
    }

    #[test]
    fn a_key_that_was_set_aside_comes_back() {
        let health = KeyHealth::default();
        assert!(health.is_ready());
        health.set_aside(Duration::from_millis(20));
        assert!(!health.is_ready());
        std::thread::sleep(Duration::from_millis(40));
        assert!(health.is_ready());
    }
}
