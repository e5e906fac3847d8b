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
    parse(&text).map_err(|error| malformed(&error))
}

/// JSON does not tell `7` from `7.0`, and some write the latter; serde takes it for no whole number.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text).or_else(|error| {
        let Ok(Plain(value)) = serde_json::from_slice(text) else {
            return Err(error);
        };
        T::deserialize(value).map_err(|_| error)
    })
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

/// Where the mistake is, and which: without the value, which may be a secret.
fn malformed(error: &serde_json::Error) -> Fault {
    let place = format!("line {}, column {}", error.line(), error.column());
    let message = match error.classify() {
        Category::Data => format!("the body does not fit at {place}: {}", without_value(error)),
        Category::Io | Category::Syntax | Category::Eof => {
            format!("the body is not JSON: look at {place}")
        }
    };
    Fault::new(Code::InvalidRequest, message)
}

/// What was expected or is unknown, for serde names the value before that: ``invalid type: string "s3cret", expected a
/// number at line 1 column 2``. Names of members are written in backticks, and are shown.
fn without_value(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words
        .rsplit_once(" at line ")
        .map_or(words.as_str(), |(words, _)| words);
    let valued = ["invalid type", "invalid value", "invalid length"];
    if valued.iter().any(|kind| words.starts_with(kind)) {
        let expected = words.rsplit_once(", expected ");
        return expected.map_or_else(
            || "another value is expected".to_owned(),
            |(_, expected)| format!("expected {expected}"),
        );
    }
    words.to_owned()
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
        let error = serde_json::from_str::<Form>(text).expect_err("a mistake");
        malformed(&error).message
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (text, count) in [("7", 7), ("7.0", 7), ("7e0", 7), ("0.7e1", 7), ("-0.0", 0)] {
            let form: Form =
                parse(format!(r#"{{"key":"k","count":{text}}}"#).as_bytes()).expect(text);
            assert_eq!(form.count, count, "{text}");
        }
        for text in ["7.5", "256.0", "-1.0", "1e30", "\"7\""] {
            let text = format!(r#"{{"key":"k","count":{text}}}"#);
            assert!(parse::<Form>(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            r#"{"key":"k","count":7.0,"count":7.0}"#,
            r#"{"key":"k","count":7.0,"x":1}"#,
        ] {
            assert!(parse::<Form>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_without_the_value() {
        let cases = [
            ("", "the body is not JSON: look at line 1, column 0"),
            ("{\"key\"", "the body is not JSON: look at line 1, column 6"),
            (
                r#"{"key":"s3cret","count":"s3cret, expected x"}"#,
                "the body does not fit at line 1, column 44: expected u8",
            ),
            (
                r#"{"key":{"s3cret":1}}"#,
                "the body does not fit at line 1, column 7: expected a string",
            ),
            (
                r#""s3cret""#,
                "the body does not fit at line 1, column 8: expected struct Form",
            ),
            (
                r#"{"key":"s3cret","kee":1}"#,
                "the body does not fit at line 1, column 21: unknown field `kee`, expected `key` or `count`",
            ),
            (
                r#"{"key":"s3cret","key":""}"#,
                "the body does not fit at line 1, column 21: duplicate field `key`",
            ),
            (
                r#"{"key":"s3cret"}"#,
                "the body does not fit at line 1, column 16: missing field `count`",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(said(text), expected, "{text}");
        }
    }
}
