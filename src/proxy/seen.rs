//! Which of the headers that the gateway reads a request has: one look at each name, where asking
//! for each header by itself would be a look-up each. Most requests have two or three of them.

use http::header::{HeaderMap, HeaderName};

use super::affinity;
use super::headers_out::{OWN_PREFIX, STAINLESS};
use crate::access::presented::Places;
use crate::cors::Allowed;

/// The headers of a request, as far as the gateway reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where it may hold a credential.
    pub places: Places,
    /// `Origin`: it comes from a page.
    pub origin: bool,
    /// That page's origin, where it may ask. Not a matter of names: see [`crate::cors`].
    pub page: Option<Allowed>,
    /// `Anthropic-Version`, which only clients of Anthropic's API send.
    pub anthropic_version: bool,
    /// `Anthropic-Beta`: switches, some of which lift limits.
    pub anthropic_beta: bool,
    /// `X-Goog-Api-Key` or `X-Goog-Api-Client`, which only clients of Gemini's API send.
    pub google: bool,
    /// `Expect`.
    pub expect: bool,
    /// `Connection`.
    pub connection: bool,
    /// `Transfer-Encoding`.
    pub transfer_encoding: bool,
    /// `Content-Encoding`: its body comes compressed.
    pub content_encoding: bool,
    /// `Upgrade`: it asks for another protocol.
    pub upgrade: bool,
    /// `X-Client-Request-Id`: the client's own id for the request.
    pub client_request_id: bool,
    /// `Tollgate-Provider`.
    pub provider: bool,
    /// `Tollgate-Failover`.
    pub failover: bool,
    /// A header that names the request's session.
    pub affinity: bool,
    /// `Tollgate-Timeout`.
    pub timeout: bool,
    /// `Tollgate-Max-Cost`.
    pub max_cost: bool,
    /// How many other headers there are in our name: they mean nothing to us.
    pub ignored: u16,
}

impl Seen {
    /// Looks through the names of `headers`.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys().map(HeaderName::as_str) {
            seen.note(name);
        }
        seen
    }

    #[inline]
    fn note(&mut self, name: &str) {
        match name {
            // Half of what SDKs send.
            _ if name.starts_with(STAINLESS) => {}
            "connection" => self.connection = true,
            "transfer-encoding" => self.transfer_encoding = true,
            "content-encoding" => self.content_encoding = true,
            "origin" => self.origin = true,
            "anthropic-version" => self.anthropic_version = true,
            "anthropic-beta" => self.anthropic_beta = true,
            "expect" => self.expect = true,
            "upgrade" => self.upgrade = true,
            "x-client-request-id" => self.client_request_id = true,
            "tollgate-provider" => self.provider = true,
            "tollgate-failover" => self.failover = true,
            "tollgate-timeout" => self.timeout = true,
            "tollgate-max-cost" => self.max_cost = true,
            _ if affinity::is_header(name) => self.affinity = true,
            "x-goog-api-key" | "x-goog-api-client" => {
                self.google = true;
                self.places.note(name);
            }
            _ if self.places.note(name) => {}
            _ => self.ignored += u16::from(name.starts_with(OWN_PREFIX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(names: &[&'static str]) -> Seen {
        let value = HeaderValue::from_static("x");
        let header = |name: &&'static str| (HeaderName::from_static(name), value.clone());
        Seen::of(&names.iter().map(header).collect())
    }

    #[test]
    fn each_header_is_seen_and_no_other() {
        assert_eq!(seen(&["accept", "x-stainless-lang"]), Seen::default());
        assert!(seen(&["accept", "origin"]).origin);
        assert!(seen(&["expect"]).expect && seen(&["anthropic-version"]).anthropic_version);
        assert!(seen(&["upgrade"]).upgrade);
        assert!(seen(&["connection"]).connection);
        assert!(seen(&["transfer-encoding"]).transfer_encoding);
        assert!(seen(&["content-encoding"]).content_encoding);
        assert!(seen(&["anthropic-beta"]).anthropic_beta);
        assert!(seen(&["x-client-request-id"]).client_request_id);
        assert!(seen(&["x-goog-api-key"]).google && seen(&["x-goog-api-client"]).google);
        assert!(seen(&["x-claude-code-session-id"]).affinity && seen(&["session_id"]).affinity);
        let ours = seen(&["tollgate-affinity"]);
        assert!(ours.affinity && ours.ignored == 0);
        let ours = seen(&[
            "tollgate-provider",
            "tollgate-failover",
            "tollgate-timeout",
            "tollgate-max-cost",
            "tollgate-key",
        ]);
        assert!(ours.provider && ours.failover && ours.timeout && ours.ignored == 0);
        assert!(ours.max_cost);
        assert_eq!(seen(&["tollgate-else", "tollgate-keys"]).ignored, 2);
    }
}
