//! What is sent upstream to prove who pays the provider, and where a request puts it.
//!
//! A key prints as `Key(..)`. Which key a candidate gets is decided in `routing`; that none of the
//! client's own credentials goes along is seen to in `access::presented`.

mod health;
mod payers;
mod spread;

use std::fmt;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

pub use health::{Aside, Change, Reason, Said};
pub use payers::{KeyHealth, Payer};
pub use spread::Keys;

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

impl Scheme {
    /// The header that has the key, if any has.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        static BEARER: HeaderName = http::header::AUTHORIZATION;
        match self {
            Self::None => None,
            Self::Bearer => Some(&BEARER),
            Self::Header(name) => Some(name),
        }
    }
}

/// A provider key, made ready for every scheme when it is loaded.
pub struct Key {
    bearer: HeaderValue,
    plain: HeaderValue,
    health: Arc<KeyHealth>,
    place: u16,
    name: Option<Box<str>>,
    weight: u32,
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
            place: 1,
            name: None,
            weight: 1,
        })
    }

    /// It stands at this place among the keys of its provider, from 1, and has this name.
    #[must_use]
    pub fn at(mut self, place: u16, name: Option<&str>) -> Self {
        self.place = place;
        self.name = name.map(Into::into);
        self
    }

    /// It gets so many shares of the requests.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Its place among the keys of its provider, from 1.
    #[must_use]
    pub fn place(&self) -> u16 {
        self.place
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its share of the requests, where they are spread.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// What is known of its health.
    #[must_use]
    pub fn health(&self) -> &KeyHealth {
        &self.health
    }

    /// The key itself, for the one place that looks for it in answers.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.plain.as_bytes()
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
}
