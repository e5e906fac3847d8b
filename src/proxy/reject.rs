//! Tollgate's own answers: a code, its status, and the body in the caller's dialect.
//! The only place that picks a status.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::access::allowance::Levels;
use crate::surface::Dialect;

/// Why a request was refused. The names are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// No access key, or one that is unknown, mistyped, disabled or expired.
    InvalidAccessKey,
    /// The account's credit does not cover the request.
    InsufficientCredit,
    /// The access key may not use this model.
    ModelNotAllowed,
    /// The access key may not use this provider.
    ProviderNotAllowed,
    /// The model has no price, so the gateway's credential cannot pay for it.
    ModelNotPriced,
    /// The request cannot be metered or kept apart from other accounts' on the gateway's credential.
    NotOnGatewayCredential,
    /// No provider has a model of this name.
    ModelNotFound,
    /// The account has made no such request.
    UnknownRequest,
    /// The path is none that Tollgate serves.
    UnknownPath,
    /// The path is served, with another method.
    MethodNotAllowed,
    /// There is no WebSocket at this path: the same is asked over plain HTTP.
    WebsocketNotSupported,
    /// The path is served as a WebSocket only, of version 13.
    UpgradeRequired,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The header has more fields, or more bytes, than are read.
    HeadersTooLarge,
    /// The body is encoded in a way that Tollgate cannot read.
    UnsupportedEncoding,
    /// The request is malformed.
    InvalidRequest,
    /// The body names its model more than once, or in a hidden way.
    AmbiguousModel,
    /// No provider of the model speaks this surface.
    SurfaceNotSupported,
    /// Too many requests or tokens.
    RateLimited,
    /// The key's spend cap is used up.
    SpendCapReached,
    /// There is no credential for any provider of the model.
    NoCredential,
    /// The store does not answer.
    StoreUnavailable,
    /// A limit of this process is reached.
    Overloaded,
    /// Every candidate failed without an answer.
    AllCandidatesFailed,
    /// No candidate answered in time.
    UpstreamTimeout,
    /// A defect of Tollgate's own.
    Internal,
}

/// A row of the table of codes.
struct Row {
    code: Code,
    name: &'static str,
    status: u16,
    openai: &'static str,
    anthropic: &'static str,
    gemini: &'static str,
    /// Whether the same request can succeed a little later.
    retry: bool,
}

macro_rules! rows {
    ($($code:ident $name:literal $status:literal $openai:literal $anthropic:literal $gemini:literal $retry:literal)*) => {
        const ROWS: &[Row] = &[$(Row {
            code: Code::$code, name: $name, status: $status, openai: $openai,
            anthropic: $anthropic, gemini: $gemini, retry: $retry,
        }),*];
    };
}

// Types: what the SDKs know (OpenAI and Anthropic API references; google.rpc.Code).
rows! {
    InvalidAccessKey "invalid_access_key" 401 "authentication_error" "authentication_error" "UNAUTHENTICATED" false
    InsufficientCredit "insufficient_credit" 402 "insufficient_quota" "billing_error" "FAILED_PRECONDITION" false
    ModelNotAllowed "model_not_allowed" 403 "permission_error" "permission_error" "PERMISSION_DENIED" false
    ProviderNotAllowed "provider_not_allowed" 403 "permission_error" "permission_error" "PERMISSION_DENIED" false
    ModelNotPriced "model_not_priced" 403 "permission_error" "permission_error" "PERMISSION_DENIED" false
    NotOnGatewayCredential "not_on_gateway_credential" 403 "permission_error" "permission_error" "PERMISSION_DENIED" false
    ModelNotFound "model_not_found" 404 "not_found_error" "not_found_error" "NOT_FOUND" false
    UnknownRequest "unknown_request" 404 "not_found_error" "not_found_error" "NOT_FOUND" false
    UnknownPath "unknown_path" 404 "not_found_error" "not_found_error" "NOT_FOUND" false
    MethodNotAllowed "method_not_allowed" 405 "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" false
    WebsocketNotSupported "websocket_not_supported" 426 "invalid_request_error" "invalid_request_error" "FAILED_PRECONDITION" false
    UpgradeRequired "upgrade_required" 426 "invalid_request_error" "invalid_request_error" "FAILED_PRECONDITION" false
    BodyTooLarge "body_too_large" 413 "invalid_request_error" "request_too_large" "INVALID_ARGUMENT" false
    HeadersTooLarge "headers_too_large" 431 "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" false
    UnsupportedEncoding "unsupported_encoding" 415 "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" false
    InvalidRequest "invalid_request" 400 "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" false
    AmbiguousModel "ambiguous_model" 400 "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" false
    SurfaceNotSupported "surface_not_supported" 400 "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" false
    RateLimited "rate_limited" 429 "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" true
    SpendCapReached "spend_cap_reached" 429 "insufficient_quota" "rate_limit_error" "RESOURCE_EXHAUSTED" false
    NoCredential "no_credential" 503 "server_error" "api_error" "UNAVAILABLE" false
    StoreUnavailable "store_unavailable" 503 "server_error" "overloaded_error" "UNAVAILABLE" true
    Overloaded "overloaded" 503 "server_error" "overloaded_error" "UNAVAILABLE" true
    AllCandidatesFailed "all_candidates_failed" 502 "server_error" "api_error" "UNAVAILABLE" false
    UpstreamTimeout "upstream_timeout" 504 "server_error" "timeout_error" "DEADLINE_EXCEEDED" false
    Internal "internal" 500 "server_error" "api_error" "INTERNAL" false
}

// Every row stands at its code's place.
const _: () = {
    let mut at = 0;
    while at < ROWS.len() {
        assert!(ROWS[at].code as usize == at);
        at += 1;
    }
};

/// The names of all codes, in the order of [`Code`]'s variants.
#[must_use]
pub fn code_names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

impl Code {
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// Its place among all codes.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether the same request can succeed a little later.
    #[must_use]
    pub fn worth_a_retry(self) -> bool {
        self.row().retry
    }

    /// Seconds for `Retry-After`, which every 429 and 503 carries.
    #[must_use]
    pub fn retry_after(self) -> Option<u32> {
        let row = self.row();
        matches!(row.status, 429 | 503).then_some(if row.retry { 1 } else { 60 })
    }
}

/// A refusal: what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stable code.
    pub code: Code,
    /// What is wrong and what to do, for people.
    pub message: Cow<'static, str>,
    /// When to ask again, where that is known.
    pub wait: Option<Box<Wait>>,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// In this time.
    pub time: Duration,
    /// How the limits of a minute stand, for the headers that tell it.
    pub levels: Levels,
}

impl Rejection {
    /// A refusal with this code and these words.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            wait: None,
        }
    }

    /// With the time after which to ask again, and how the limits of a minute stand.
    #[must_use]
    pub fn waiting(mut self, time: Duration, levels: Levels) -> Self {
        self.wait = Some(Box::new(Wait { time, levels }));
        self
    }

    /// The time for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let usual = || {
            self.code
                .retry_after()
                .map(u64::from)
                .map(Duration::from_secs)
        };
        self.wait.as_ref().map(|wait| wait.time).or_else(usual)
    }

    /// The body, in the caller's dialect.
    #[must_use]
    pub fn body(&self, dialect: Dialect, request_id: &str) -> Bytes {
        let row = self.code.row();
        let message = json_string(&self.message);
        let text = match dialect {
            Dialect::OpenAi => format!(
                r#"{{"error":{{"message":{message},"type":"{}","param":null,"code":"{}"}}}}"#,
                row.openai, row.name
            ),
            // `error_code` is where Anthropic's clients read a code.
            Dialect::Anthropic => format!(
                r#"{{"type":"error","error":{{"type":"{}","message":{message},"code":"{name}","details":{{"error_code":"{name}"}}}},"request_id":"{request_id}"}}"#,
                row.anthropic,
                name = row.name
            ),
            Dialect::Gemini => format!(
                r#"{{"error":{{"code":{},"message":{message},"status":"{}","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{}","domain":"tollgate"}},{{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"{request_id}"}}]}}}}"#,
                row.status, row.gemini, row.name
            ),
        };
        Bytes::from(text)
    }

    /// The event that ends a broken stream, in the caller's dialect; `typed` where its events bear
    /// their type. It begins with a blank line, so that it stands apart from an event that was cut in
    /// the middle.
    #[must_use]
    pub fn event(&self, dialect: Dialect, typed: bool, request_id: &str) -> Bytes {
        let data = match dialect {
            Dialect::OpenAi => self.within(typed, request_id),
            _ => self.body(dialect, request_id),
        };
        let mut event = Vec::with_capacity(data.len() + 32);
        event.extend_from_slice(match typed {
            true => b"\n\nevent: error\ndata: ".as_slice(),
            false => b"\n\ndata: ".as_slice(),
        });
        event.extend_from_slice(&data);
        event.extend_from_slice(b"\n\n");
        Bytes::from(event)
    }

    /// An error within a stream of OpenAI's. Its clients raise the object `error` and nothing else, so that the
    /// request's id is in it. In the Responses API the reference has its members side by side; the API itself sends
    /// them in the object, too.
    fn within(&self, typed: bool, request_id: &str) -> Bytes {
        let row = self.code.row();
        let (message, code, kind) = (json_string(&self.message), row.name, row.openai);
        let error = format!(
            r#""error":{{"message":{message},"type":"{kind}","param":null,"code":"{code}","request_id":"{request_id}"}}"#
        );
        Bytes::from(match typed {
            true => format!(
                r#"{{"type":"error","code":"{code}","message":{message},"param":null,{error}}}"#
            ),
            false => format!("{{{error}}}"),
        })
    }
}

/// `text` as a JSON string, quotes included.
fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_is_json_with_the_code_in_it() {
        let rejection = Rejection::new(Code::ModelNotFound, "no \"x\"\n here");
        for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
            let body = rejection.body(dialect, "req_1");
            let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(value["error"]["message"], "no \"x\"\n here");
            assert!(String::from_utf8_lossy(&body).contains("model_not_found"));
            if dialect == Dialect::Anthropic {
                assert_eq!(value["error"]["details"]["error_code"], "model_not_found");
            }
        }
    }

    #[test]
    fn an_error_event_bears_its_type_where_events_do() {
        let rejection = Rejection::new(Code::AllCandidatesFailed, "broke \"off\"");
        for (dialect, typed) in [
            (Dialect::OpenAi, false),
            (Dialect::OpenAi, true),
            (Dialect::Anthropic, true),
            (Dialect::Gemini, false),
        ] {
            let event = rejection.event(dialect, typed, "req_1");
            let text = std::str::from_utf8(&event).expect("text");
            let data = text.strip_prefix(match typed {
                true => "\n\nevent: error\ndata: ",
                false => "\n\ndata: ",
            });
            let data = data.and_then(|data| data.strip_suffix("\n\n"));
            let value: serde_json::Value =
                serde_json::from_str(data.expect("one event")).expect("JSON");
            assert_eq!(value["error"]["message"], "broke \"off\"");
            assert_eq!(value["type"] == "error", typed);
            assert!(data.is_some_and(|data| data.contains("req_1")), "{text}");
        }
    }

    #[test]
    fn what_asks_to_wait_says_how_long() {
        for row in ROWS {
            let asks = matches!(row.status, 429 | 503);
            assert_eq!(row.code.retry_after().is_some(), asks, "{}", row.name);
        }
    }
}
