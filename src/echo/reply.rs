//! What a surface hands back: a JSON document, a stream of events, or a refusal in the vendor's words and shape.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

/// The events of a stream, made one by one as they are written.
pub type Events = Box<dyn Iterator<Item = Bytes> + Send>;

/// An answer with status 200.
pub enum Reply {
    /// A whole JSON document.
    Json(Value),
    /// A stream of server-sent events.
    Events(Events),
}

/// Whose error shapes, headers and model lists a request expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// `{"error":{"message","type","param","code"}}`, `x-request-id`.
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`, `request-id`.
    Anthropic,
}

/// What makes one answer different from the next; an argument, so that answers can be compared in tests.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Part of every id in the answer, and of its request id: 16 hexadecimal digits.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its status, 400 to 599.
    pub status: StatusCode,
    /// Words for the caller.
    pub message: String,
    /// The request's member that is at fault, where one is.
    pub param: Option<&'static str>,
}

impl Refusal {
    /// A refusal with that status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
        }
    }

    /// 400: the request cannot be understood or served.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400: the member `param` of the request cannot be served.
    pub fn member(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::invalid(message)
        }
    }

    /// The body, in the vendor's shape.
    pub fn body(&self, vendor: Vendor, request_id: &str) -> Value {
        match vendor {
            Vendor::OpenAi => {
                let (kind, code) = openai_kind(self.status);
                json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": code}})
            }
            Vendor::Anthropic => json!({
                "type": "error",
                "error": {"type": anthropic_kind(self.status), "message": self.message},
                "request_id": request_id,
            }),
        }
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(format!(
            "the body is not a request that echo understands: {error}"
        ))
    }
}

/// `type` and `code` of an OpenAI error.
fn openai_kind(status: StatusCode) -> (&'static str, Option<&'static str>) {
    match status.as_u16() {
        401 => ("authentication_error", Some("invalid_api_key")),
        402 => ("insufficient_quota", Some("insufficient_quota")),
        403 => ("permission_error", None),
        404 => ("not_found_error", None),
        429 => ("rate_limit_error", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

/// `error.type` of an Anthropic error.
fn anthropic_kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
impl Reply {
    /// The JSON document; a stream fails the test.
    pub fn json(self) -> Value {
        match self {
            Self::Json(value) => value,
            Self::Events(_) => panic!("a stream where a document was expected"),
        }
    }

    /// The `data:` of every event that is JSON, after the framing has been checked.
    pub fn events(self) -> Vec<Value> {
        let Self::Events(events) = self else {
            panic!("a document where a stream was expected")
        };
        let frames: Vec<String> = events
            .map(|event| String::from_utf8(event.to_vec()).unwrap())
            .collect();
        frames
            .iter()
            .filter(|frame| frame.as_bytes() != DONE_FRAME)
            .map(|frame| unframed(frame))
            .collect()
    }
}

#[cfg(test)]
const DONE_FRAME: &[u8] = b"data: [DONE]\n\n";

#[cfg(test)]
fn unframed(frame: &str) -> Value {
    let (name, data) = match frame.strip_prefix("event: ") {
        Some(rest) => rest
            .split_once('\n')
            .map(|(name, data)| (Some(name), data))
            .unwrap(),
        None => (None, frame),
    };
    let data = data
        .strip_prefix("data: ")
        .and_then(|data| data.strip_suffix("\n\n"))
        .unwrap();
    let value: Value = serde_json::from_str(data).unwrap();
    assert!(name.is_none_or(|name| value["type"] == name), "{frame}");
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_shape_and_the_type_of_its_vendor() {
        let refusal = Refusal::member("n", "no");
        assert_eq!(
            refusal.body(Vendor::OpenAi, "req_1"),
            json!({"error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": null}})
        );
        let overloaded = Refusal::new(StatusCode::from_u16(529).unwrap(), "busy");
        assert_eq!(
            overloaded.body(Vendor::Anthropic, "req_1"),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}, "request_id": "req_1"})
        );
    }
}
