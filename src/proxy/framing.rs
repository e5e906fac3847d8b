//! Framing that two servers could read in two ways is refused (RFC 9112, sections 6.1, 6.3 and 11.2:
//! request smuggling). Pingora resolves some of these forms by itself; what it lets through is
//! looked for here.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use pingora::protocols::http::ServerSession;

use super::reject::{Code, Rejection};
use super::seen::Seen;

/// Headers that `Connection` may not take away (pingora-proxy, `ConnectionNominations`).
const END_TO_END: [&str; 4] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Options in `Connection` at the most, as Pingora has it.
const OPTIONS_MAX: usize = 9;

/// Fields of a header at the most. Pingora reads 256 over HTTP/1.1, and answers more by an empty 400; SDKs send some 20.
pub const FIELDS_MAX: usize = 200;

/// Bytes of a header at the most: what is told to clients over HTTP/2 (`SETTINGS_MAX_HEADER_LIST_SIZE`), where more is
/// answered by an empty 431. Over HTTP/1.1 Pingora reads 1 MiB.
pub const BYTES_MAX: usize = 64 * 1024;

/// Refuses a header that is too large or ambiguous; `seen` is what it has.
///
/// # Errors
/// [`Code::HeadersTooLarge`] or [`Code::InvalidRequest`]; the connection must then be closed.
pub fn check(session: &ServerSession, seen: Seen) -> Result<(), Rejection> {
    let Some(connection) = session.as_http1() else {
        return check_size(session.req_header().headers.len(), 0);
    };
    let headers = &connection.req_header().headers;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(refused("`Content-Length` occurs twice"));
    }
    if length.is_some_and(|length| !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(refused("`Content-Length` is more than a number"));
    }
    if seen.transfer_encoding && !is_chunked(headers) {
        return Err(refused("`Transfer-Encoding` is more than `chunked`"));
    }
    let raw = connection.get_headers_raw_bytes();
    check_size(headers.len(), raw.len())?;
    if has_bare_line_feed(&raw) {
        return Err(refused("a header line ends in a bare line feed"));
    }
    if seen.transfer_encoding && names_content_length(&raw) {
        return Err(refused(
            "`Content-Length` stands beside `Transfer-Encoding`",
        ));
    }
    if seen.connection && has_bad_option(headers) {
        return Err(refused("`Connection` names what is no header of one hop"));
    }
    Ok(())
}

fn check_size(fields: usize, bytes: usize) -> Result<(), Rejection> {
    if fields <= FIELDS_MAX && bytes <= BYTES_MAX {
        return Ok(());
    }
    Err(Rejection::new(
        Code::HeadersTooLarge,
        format!("A request's header has at most {FIELDS_MAX} fields and {BYTES_MAX} bytes."),
    ))
}

fn refused(what: &str) -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        format!("The request's framing is ambiguous: {what}."),
    )
}

/// Whether `Connection` says what Pingora will not do: it would say so only once an upstream is connected, and close the
/// connection without an answer.
fn has_bad_option(headers: &HeaderMap) -> bool {
    let options = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut options = options
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty());
    let is_bad = |option: &[u8]| {
        !option.iter().all(|byte| is_token_byte(*byte))
            || END_TO_END
                .iter()
                .any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
    };
    options.by_ref().take(OPTIONS_MAX).any(is_bad) || options.next().is_some()
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether the only transfer coding is `chunked`, named once. Others would have to be undone before
/// the body could be read, and what is left of a list is read differently by different servers.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings
        .next()
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    first && codings.next().is_none()
}

fn has_bare_line_feed(raw: &[u8]) -> bool {
    // Every pair is looked at, without stopping at a first one: that is what vectorizes.
    let pairs = raw.iter().zip(raw.iter().skip(1));
    let is_bare = |(before, byte): (&u8, &u8)| (*byte == b'\n') & (*before != b'\r');
    raw.first() == Some(&b'\n') || pairs.fold(false, |any, pair| any | is_bare(pair))
}

/// Pingora takes `Content-Length` out when `Transfer-Encoding` is there too; the raw header has it.
fn names_content_length(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
            && line[NAME.len()..].trim_ascii_start().starts_with(b":")
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_bare_line_feed_is_seen_wherever_it_stands() {
        assert!(!has_bare_line_feed(b"POST / HTTP/1.1\r\nA: b\r\n\r\n"));
        assert!(has_bare_line_feed(b"POST / HTTP/1.1\nA: b\r\n\r\n"));
        assert!(has_bare_line_feed(b"\n"));
    }

    #[test]
    fn connection_may_name_headers_of_one_hop_only() {
        let is_bad = |value: &str| {
            let value = http::HeaderValue::from_str(value).expect("a value");
            has_bad_option(&HeaderMap::from_iter([(CONNECTION, value)]))
        };
        for good in [
            "",
            "close",
            "keep-alive, X-Hop",
            "Upgrade,HTTP2-Settings",
            ", ,",
        ] {
            assert!(!is_bad(good), "{good}");
        }
        for bad in [
            "host",
            "x, Host",
            "\"x\"",
            ":authority",
            "a b",
            "X-Forwarded-For",
        ] {
            assert!(is_bad(bad), "{bad}");
        }
        let many = |count: usize| vec!["x"; count].join(",");
        assert!(!is_bad(&many(OPTIONS_MAX)) && is_bad(&many(OPTIONS_MAX + 1)));
    }

    #[test]
    fn chunked_is_the_only_coding_and_named_once() {
        let is_good = |values: &[&'static str]| {
            let lines = values
                .iter()
                .map(|value| (TRANSFER_ENCODING, HeaderValue::from_static(value)));
            is_chunked(&HeaderMap::from_iter(lines))
        };
        assert!(is_good(&["chunked"]) && is_good(&["Chunked"]));
        for bad in [
            &["gzip, chunked"][..],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["identity"],
            &[""],
            &[],
        ] {
            assert!(!is_good(bad), "{bad:?}");
        }
    }

    #[test]
    fn content_length_is_seen_in_any_case() {
        assert!(names_content_length(
            b"POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\n"
        ));
        assert!(!names_content_length(
            b"POST /content-length: HTTP/1.1\r\nX: y\r\n\r\n"
        ));
    }
}
