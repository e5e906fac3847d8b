//! Bodies of requests to the admin API: JSON, read whole and within bounds, and taken for what it says or not at all.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::answer::JSON;
use super::fault::{Code, Fault};
use super::plain::Plain;
use super::strict;

/// Bytes of a body at the most: the longest policy of a key fits in it several times.
pub const BODY_MAX: usize = 64 << 10;

/// How long all of a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body of at most `max` bytes and makes a `T` of it; what `T` does not know is a mistake.
///
/// # Errors
/// [`Code::UnsupportedMediaType`], [`Code::BodyTooLarge`] or [`Code::InvalidRequest`].
pub async fn read<T: DeserializeOwned>(
    session: &mut ServerSession,
    max: usize,
) -> Result<T, Fault> {
    check_media(session.req_header())?;
    let text = match tokio::time::timeout(PATIENCE, bytes(session, max)).await {
        Ok(read) => read?,
        Err(_) => {
            let message = format!("the body did not arrive within {} s", PATIENCE.as_secs());
            return Err(Fault::new(Code::InvalidRequest, message));
        }
    };
    parse(&text)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    let wrong = |message: String| Fault::new(Code::InvalidRequest, message);
    let Plain(document) = serde_json::from_slice(text).map_err(|error| wrong(not_json(&error)))?;
    strict::read(document).map_err(|words| wrong(format!("the body does not fit: {words}")))
}

/// A web page can send other types than this without asking first whether it may.
fn check_media(header: &RequestHeader) -> Result<(), Fault> {
    let value = |name| header.headers.get(name).map(|value| value.as_bytes());
    let media = value(CONTENT_TYPE).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    if !media.trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()) {
        let message = "send the body with `Content-Type: application/json`";
        return Err(Fault::new(Code::UnsupportedMediaType, message));
    }
    let coding = value(CONTENT_ENCODING).unwrap_or(b"identity");
    if !coding.eq_ignore_ascii_case(b"identity") {
        let message = "send the body without Content-Encoding";
        return Err(Fault::new(Code::UnsupportedMediaType, message));
    }
    Ok(())
}

async fn bytes(session: &mut ServerSession, max: usize) -> Result<Vec<u8>, Fault> {
    let expects = session.req_header().headers.contains_key(EXPECT);
    if expects && session.write_continue_response().await.is_err() {
        return Err(gone());
    }
    let mut text = Vec::new();
    while let Some(piece) = session.read_request_body().await.map_err(|_| gone())? {
        if text.len() + piece.len() > max {
            let message = format!("the body has more than {max} bytes");
            return Err(Fault::new(Code::BodyTooLarge, message));
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

fn gone() -> Fault {
    Fault::new(Code::InvalidRequest, "the body broke off")
}

/// Where the mistake is; what stands there may be a secret.
fn not_json(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        // The only thing that a document by itself can have wrong.
        Category::Data => "the body has a member twice",
        Category::Io | Category::Syntax | Category::Eof => "the body is not JSON",
    };
    format!(
        "{what}: look at line {}, column {}",
        error.line(),
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[allow(dead_code, reason = "read by serde only")]
        key: String,
        count: u8,
    }

    fn said(text: &str) -> String {
        parse::<Form>(text.as_bytes())
            .expect_err("a mistake")
            .message
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, count) in [("7", 7), ("7.0", 7), ("7e0", 7), ("0.7e1", 7), ("-0.0", 0)] {
            let form = format!(r#"{{"key":"k","count":{text}}}"#);
            let form: Form = parse(form.as_bytes()).expect(text);
            assert_eq!(form.count, count, "{text}");
        }
        for text in ["7.5", "256.0", "-1.0", "1e30", "\"7\""] {
            let form = format!(r#"{{"key":"k","count":{text}}}"#);
            assert!(parse::<Form>(form.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_without_the_value() {
        let cases = [
            ("", "the body is not JSON: look at line 1, column 0"),
            ("{\"key\"", "the body is not JSON: look at line 1, column 6"),
            (
                r#"{"key":"s3cret","count":1} x"#,
                "the body is not JSON: look at line 1, column 28",
            ),
            (
                r#"{"key":"s3cret","key":""}"#,
                "the body has a member twice: look at line 1, column 25",
            ),
            (
                r#"{"key":"k","count":"s3cret"}"#,
                "the body does not fit: count: expected u8",
            ),
            (
                r#"{"key":"k","kee":"s3cret"}"#,
                "the body does not fit: unknown field `kee`, expected `key` or `count`",
            ),
            (
                r#"["s3cret",1]"#,
                "the body does not fit: expected an object",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(said(text), expected, "{text}");
        }
    }
}
