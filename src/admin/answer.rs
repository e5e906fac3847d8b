//! Answers of the admin listener: JSON with a line break at its end, or other text.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

/// A whole answer.
pub type Answer = Response<Vec<u8>>;

/// The media type of nearly all of them.
pub const JSON: &str = "application/json";

/// `value` as JSON.
pub fn json(status: u16, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            respond(status, JSON, body)
        }
        Err(_) => respond(500, "text/plain", Vec::new()),
    }
}

/// `body` as it is.
pub fn respond(status: u16, content_type: &'static str, body: Vec<u8>) -> Answer {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(body);
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
