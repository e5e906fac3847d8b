//! Framing that two servers could read in two ways is refused (RFC 9112, sections 6.1, 6.3 and 11.2:
//! request smuggling). Pingora resolves some of these forms by itself; what it lets through is
//! looked for here.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::protocols::http::ServerSession;

use super::reject::{Code, Rejection};

/// Refuses an ambiguous header.
///
/// # Errors
/// [`Code::InvalidRequest`]; the connection must then be closed.
pub fn check(session: &ServerSession) -> Result<(), Rejection> {
    let Some(connection) = session.as_http1() else {
        return Ok(());
    };
    let headers = &connection.req_header().headers;
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(refused("`Content-Length` occurs twice"));
    }
    let raw = connection.get_headers_raw_bytes();
    if has_bare_line_feed(&raw) {
        return Err(refused("a header line ends in a bare line feed"));
    }
    if headers.contains_key(TRANSFER_ENCODING) && names_content_length(&raw) {
        return Err(refused("`Content-Length` stands beside `Transfer-Encoding`"));
    }
    Ok(())
}

fn refused(what: &str) -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        format!("The request's framing is ambiguous: {what}."),
    )
}

fn has_bare_line_feed(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', raw).any(|at| at == 0 || raw[at - 1] != b'\r')
}

/// Pingora takes `Content-Length` out when `Transfer-Encoding` is there too; the raw header has it.
fn names_content_length(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
            && line[NAME.len()..].trim_ascii_start().starts_with(b":")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_feed_is_seen_wherever_it_stands() {
        assert!(!has_bare_line_feed(b"POST / HTTP/1.1\r\nA: b\r\n\r\n"));
        assert!(has_bare_line_feed(b"POST / HTTP/1.1\nA: b\r\n\r\n"));
        assert!(has_bare_line_feed(b"\n"));
    }

    #[test]
    fn content_length_is_seen_in_any_case() {
        assert!(names_content_length(b"POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\n"));
        assert!(!names_content_length(b"POST /content-length: HTTP/1.1\r\nX: y\r\n\r\n"));
    }
}
