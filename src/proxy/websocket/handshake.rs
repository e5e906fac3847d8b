//! The opening handshake of a WebSocket (RFC 6455, section 4.2.1), as far as the gateway has to understand it. One that
//! lies is refused here: two servers in a row that disagree whether a connection has become a WebSocket can be made to
//! take one client's bytes for another's requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Version};
use pingora::http::RequestHeader;

use crate::proxy::reject::{Code, Rejection};

/// The only version that there is (RFC 6455, section 11.6).
pub const VERSION: &str = "13";

/// Bytes of a key, once it is decoded.
const KEY_BYTES: usize = 16;

/// Whether a request that has `Upgrade` asks for a WebSocket. Other protocols are not known here, and a server may go on
/// as if nobody had asked for them (RFC 9110, section 7.8).
#[must_use]
pub fn is_asked(header: &RequestHeader) -> bool {
    lists(&header.headers, &UPGRADE, "websocket")
}

/// Checks a handshake that asks for a WebSocket.
///
/// # Errors
/// What is wrong with it.
pub fn check(header: &RequestHeader) -> Result<(), Rejection> {
    if header.method != Method::GET {
        return Err(refused("is asked for with GET, without a body"));
    }
    if header.version != Version::HTTP_11 {
        return Err(refused("is asked for over HTTP/1.1"));
    }
    let headers = &header.headers;
    if !lists(headers, &CONNECTION, "upgrade") {
        return Err(refused(
            "needs `Connection: Upgrade` beside `Upgrade: websocket`; a proxy on the way may have taken it out",
        ));
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    if length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(refused("is asked for without a body"));
    }
    if sole(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION.as_bytes()) {
        return Err(Rejection::new(
            Code::UpgradeRequired,
            "Sec-WebSocket-Version must be 13.",
        ));
    }
    let key = sole(headers, &SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != KEY_BYTES) {
        return Err(refused(
            "needs one Sec-WebSocket-Key, the base64 of 16 bytes",
        ));
    }
    Ok(())
}

fn refused(what: &'static str) -> Rejection {
    Rejection::new(Code::InvalidRequest, format!("A WebSocket {what}."))
}

/// Whether a header that is a list has `wanted` in it, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut listed = values.flat_map(|value| value.split(|byte| *byte == b','));
    listed.any(|one| one.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

/// The value of a header that occurs once.
fn sole<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.as_bytes().trim_ascii();
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A good handshake in which `change` has been made.
    fn code(change: impl FnOnce(&mut RequestHeader)) -> Option<Code> {
        let mut header = RequestHeader::build("GET", b"/v1/realtime", None).expect("a header");
        for (name, value) in [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            header.insert_header(name, value).expect("set");
        }
        change(&mut header);
        assert!(is_asked(&header));
        check(&header).err().map(|refused| refused.code)
    }

    fn with(name: &'static str, value: &'static str) -> Option<Code> {
        code(|header| header.insert_header(name, value).expect("set"))
    }

    #[test]
    fn good_handshakes_are_let_through_however_they_are_written() {
        assert_eq!(code(|_| {}), None);
        assert_eq!(with("Connection", "keep-alive, upgrade"), None);
        assert_eq!(with("Upgrade", "WebSocket"), None);
        assert_eq!(with("Upgrade", "h2c, websocket"), None);
        assert_eq!(with("Content-Length", "0"), None);
    }

    #[test]
    fn what_lies_is_refused() {
        use Code::{InvalidRequest, UpgradeRequired};
        for (name, value, expected) in [
            ("Connection", "keep-alive", InvalidRequest),
            ("Connection", "x-upgrade", InvalidRequest),
            ("Content-Length", "3", InvalidRequest),
            ("Transfer-Encoding", "chunked", InvalidRequest),
            ("Sec-WebSocket-Version", "8", UpgradeRequired),
            ("Sec-WebSocket-Version", "13, 8", UpgradeRequired),
            ("Sec-WebSocket-Key", "", InvalidRequest),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZQ==", InvalidRequest),
            (
                "Sec-WebSocket-Key",
                "not base64 at all!!!!!!!",
                InvalidRequest,
            ),
        ] {
            assert_eq!(with(name, value), Some(expected), "{name}: {value}");
        }
        for (name, expected) in [
            ("Sec-WebSocket-Version", UpgradeRequired),
            ("Sec-WebSocket-Key", InvalidRequest),
            ("Connection", InvalidRequest),
        ] {
            let without = code(|header| drop(header.remove_header(name)));
            assert_eq!(without, Some(expected), "no {name}");
        }
        let twice = code(|header| {
            let again = "AAAAAAAAAAAAAAAAAAAAAA==";
            header
                .append_header("Sec-WebSocket-Key", again)
                .expect("set");
        });
        assert_eq!(twice, Some(InvalidRequest));
        let posted = code(|header| header.set_method(Method::POST));
        assert_eq!(posted, Some(InvalidRequest));
        let old = code(|header| header.set_version(Version::HTTP_10));
        assert_eq!(old, Some(InvalidRequest));
    }

    #[test]
    fn other_protocols_are_not_asked_for_here() {
        for value in ["h2c", "websocket2", "TLS/1.0, h2c"] {
            let mut header = RequestHeader::build("GET", b"/", None).expect("a header");
            header.insert_header("Upgrade", value).expect("set");
            assert!(!is_asked(&header), "{value}");
        }
    }
}
