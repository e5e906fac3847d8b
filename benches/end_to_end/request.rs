//! The one request of a case, as the stock Python SDK of OpenAI writes it.

use std::net::SocketAddr;

use bytes::Bytes;

/// Where the member `model` stands in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelAt {
    First,
    /// After `messages`, as the stock Python SDKs put it.
    Last,
}

/// What the client writes; the upstream's own name for the model has no prefix.
pub const MODEL: &str = "openai:gpt-4o-mini";
/// Bytes by which a body shrinks when the gateway puts the upstream's name in place.
pub const PREFIX: u64 = "openai:".len() as u64;

/// A line of the prompt as it stands in a JSON string: prose with an escape at about every 40 bytes.
const LINE: &str = concat!(
    r"The quick brown fox said “hello” to the lazy dog, who did not answer.\n",
    r#"It went on: \"a gateway reads as little as it can, and writes back what it read.\"\n"#,
);

/// A body of exactly `length` bytes (at least 400).
pub fn body(length: usize, model_at: ModelAt, stream: bool) -> String {
    body_for(MODEL, length, model_at, stream)
}

/// As [`body`], for another model.
pub fn body_for(model: &str, length: usize, model_at: ModelAt, stream: bool) -> String {
    let model = format!(r#""model":"{model}""#);
    let streamed = if stream {
        r#","stream":true,"stream_options":{"include_usage":true}"#
    } else {
        ""
    };
    let rest = format!(r#""max_tokens":256,"temperature":0.2{streamed}"#);
    let before = r#""messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":""#;
    let after = r#""}]"#;
    let (open, close) = match model_at {
        ModelAt::First => (format!("{{{model},{before}"), format!("{after},{rest}}}")),
        ModelAt::Last => (format!("{{{before}"), format!("{after},{model},{rest}}}")),
    };
    let room = length.saturating_sub(open.len() + close.len());
    let mut prompt = LINE.repeat(room / LINE.len());
    prompt.push_str(&"x".repeat(room - prompt.len()));
    format!("{open}{prompt}{close}")
}

/// Head and body in one piece. The head has the headers that the SDK sends.
pub fn request(host: SocketAddr, key: &str, body: &str) -> Bytes {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\n\
         Host: {host}\r\n\
         Accept-Encoding: gzip, deflate\r\n\
         Connection: keep-alive\r\n\
         Accept: application/json\r\n\
         Content-Type: application/json\r\n\
         User-Agent: OpenAI/Python 1.109.1\r\n\
         X-Stainless-Lang: python\r\n\
         X-Stainless-Package-Version: 1.109.1\r\n\
         X-Stainless-OS: Linux\r\n\
         X-Stainless-Arch: x64\r\n\
         X-Stainless-Runtime: CPython\r\n\
         X-Stainless-Runtime-Version: 3.12.3\r\n\
         X-Stainless-Async: false\r\n\
         x-stainless-retry-count: 0\r\n\
         x-stainless-read-timeout: 600\r\n\
         Authorization: Bearer {key}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    Bytes::from([head.as_bytes(), body.as_bytes()].concat())
}
