//! A path that is passed on must not lead out of the provider's API: the base URL may be a boundary, and some servers
//! resolve `..` however it is written.

use std::borrow::Cow;

use crate::proxy::reject::{Code, Rejection};

/// How often a path is decoded: proxies in a row may each do it once.
const ROUNDS: usize = 4;

/// Refuses a path with a segment `.` or `..`, or with control characters, in whatever writing.
///
/// # Errors
/// [`Code::InvalidRequest`].
pub fn check(path: &str) -> Result<(), Rejection> {
    let mut text = Cow::Borrowed(path.as_bytes());
    for _ in 0..ROUNDS {
        if leads_away(&text) {
            return Err(refused());
        }
        match decoded(&text) {
            Some(next) => text = Cow::Owned(next),
            None => return Ok(()),
        }
    }
    // Nobody writes a name that way.
    Err(refused())
}

fn refused() -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        "The path has a segment `.` or `..`, or a control character, plain or encoded. Write the path as the provider's documentation does.",
    )
}

fn leads_away(text: &[u8]) -> bool {
    let is_dots = |segment: &[u8]| {
        // What some servers take for parameters of the segment.
        let name = segment.split(|byte| *byte == b';').next();
        matches!(name, Some(b"." | b".."))
    };
    text.iter().any(|byte| byte.is_ascii_control())
        || text.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots)
}

/// Percent-decoded; none where there is nothing to decode.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut any = false;
    while let Some((first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match byte {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &after[2..];
                any = true;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    any.then_some(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|it| u8::try_from(it).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_the_api_is_refused_in_every_writing() {
        for path in [
            "..",
            "files/../models",
            "files/..",
            "./files",
            "files/%2e%2e/x",
            "files/%2E./x",
            "files/%252e%252e/x",
            "files/%25252e./x",
            "files/..%2f..%2fadmin",
            "files/..%5cadmin",
            "files/..;a=b/admin",
            "files/..%3b/admin",
            "files/a%00b",
            "files/a%0d%0ab",
            "files/%2500",
            "files/%2525252525",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }

    #[test]
    fn names_may_have_what_names_have() {
        for path in [
            "files",
            "files/file-abc.jsonl/content",
            "files/a..b",
            "files/...",
            "files/a%2Fb",
            "models/ft:gpt-4o:x",
            "files/100%",
            "files/%zz",
            "files/%C3%BC",
            "responses/resp_1/input_items",
        ] {
            assert!(check(path).is_ok(), "{path}");
        }
    }
}
