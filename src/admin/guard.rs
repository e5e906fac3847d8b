//! Who may ask the admin listener. A token is asked for where there is one. Where there is none only this machine can
//! connect, and what is left to keep out are web pages in a browser on it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use pingora::http::RequestHeader;

use super::told;
use crate::secret::{Secret, same_bytes};
use crate::snapshot::Snapshot;

/// What a request must show.
pub enum Guard {
    /// `Authorization: Bearer` with this token.
    Token(Secret),
    /// Nothing, on a loopback address. A web page that was let in by its own name (DNS rebinding), or that posts across
    /// origins, is refused.
    Loopback,
    /// Nothing, on a Unix socket: its permissions decide, and no browser reaches it.
    Socket,
}

/// The guard of the admin listener, which a reload replaces.
pub struct Door(Snapshot<Posted>);

/// A guard at its door.
pub(super) struct Posted {
    pub(super) guard: Guard,
    /// Whom it lets in, as the audit calls it.
    pub(super) let_in: String,
}

impl Door {
    /// With this guard.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self(Snapshot::new(Posted::of(guard)))
    }

    /// From now on with this one. Who was let in before stays until what it asked for is answered.
    pub fn post(&self, guard: Guard) {
        self.0.publish(Posted::of(guard));
    }

    pub(super) fn posted(&self) -> Arc<Posted> {
        self.0.pin()
    }
}

impl Posted {
    fn of(guard: Guard) -> Self {
        Self {
            let_in: told::let_in_by(&guard),
            guard,
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is missing or wrong.
    Token,
    /// The request comes from a web page.
    Browser,
}

impl Guard {
    /// Whether the request may be answered.
    pub(super) fn check(&self, request: &RequestHeader) -> Result<(), Refusal> {
        match self {
            Self::Token(token) if !presents(request, token) => Err(Refusal::Token),
            Self::Loopback if !is_of_this_machine(request) => Err(Refusal::Browser),
            Self::Token(_) | Self::Loopback | Self::Socket => Ok(()),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::Loopback => "Loopback",
            Self::Socket => "Socket",
        })
    }
}

/// The scheme's name is read in any case (RFC 9110, section 11.1); the token is compared in constant time.
fn presents(request: &RequestHeader, token: &Secret) -> bool {
    const SCHEME: &[u8] = b"bearer ";
    let presented = request
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked(SCHEME.len()));
    presented.is_some_and(|(scheme, presented)| {
        scheme.eq_ignore_ascii_case(SCHEME)
            && same_bytes(presented.trim_ascii(), token.expose().as_bytes())
    })
}

/// A browser names the site that it means in `Host`, and the site that a page is from in `Origin`.
fn is_of_this_machine(request: &RequestHeader) -> bool {
    let host = request
        .headers
        .get(HOST)
        .map(|host| host.to_str().unwrap_or_default());
    let host = host.or_else(|| request.uri.host());
    host.is_none_or(is_address_or_localhost) && !request.headers.contains_key(ORIGIN)
}

fn is_address_or_localhost(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = without_port.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/metrics", None).expect("a request");
        for (name, value) in headers {
            request.insert_header(*name, *value).expect("a header");
        }
        request
    }

    #[test]
    fn a_token_opens_and_nothing_else_does() {
        let guard = Guard::Token(Secret::new("s3cret"));
        for value in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret"] {
            assert_eq!(
                guard.check(&request(&[("authorization", value)])),
                Ok(()),
                "{value}"
            );
        }
        for value in [
            "Bearer s3cre",
            "Bearer s3cret2",
            "Bearer ",
            "Bearer",
            "s3cret",
            "Basic s3cret",
            "",
        ] {
            assert_eq!(
                guard.check(&request(&[("authorization", value)])),
                Err(Refusal::Token),
                "{value}"
            );
        }
        assert_eq!(
            guard.check(&request(&[("host", "127.0.0.1")])),
            Err(Refusal::Token)
        );
    }

    #[test]
    fn without_a_token_web_pages_are_kept_out() {
        for host in [
            "127.0.0.1:8081",
            "localhost",
            "LOCALHOST:8081",
            "[::1]:8081",
            "[::1]",
            "10.0.0.7",
        ] {
            assert_eq!(
                Guard::Loopback.check(&request(&[("host", host)])),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert_eq!(
                Guard::Loopback.check(&request(&[("host", host)])),
                Err(Refusal::Browser),
                "{host}"
            );
        }
        let crossing = request(&[
            ("host", "127.0.0.1:8081"),
            ("origin", "https://evil.example"),
        ]);
        assert_eq!(Guard::Loopback.check(&crossing), Err(Refusal::Browser));
        assert_eq!(Guard::Loopback.check(&request(&[])), Ok(()));
    }

    #[test]
    fn a_unix_socket_may_be_given_any_name() {
        assert_eq!(
            Guard::Socket.check(&request(&[("host", "tollgate")])),
            Ok(())
        );
    }

    #[test]
    fn the_token_is_never_printed() {
        assert_eq!(
            format!("{:?}", Guard::Token(Secret::new("s3cret"))),
            "Token(..)"
        );
    }
}
