//! A response as a client has seen it: every field in order, the body, and whether its end was a true one.
//! No error is made of any status.

use bytes::Bytes;

use crate::support::http1::{self, Fields};

/// The head of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub fields: Fields,
    /// The informational responses before it (100, 103 …).
    pub interim: Vec<u16>,
}

impl Head {
    /// The first value of a header field, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        http1::field(&self.fields, name)
    }

    /// Every value of a header field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Whether the connection was announced as closing.
    pub fn closes(&self) -> bool {
        let tokens = self.all("connection").join(",");
        tokens
            .split(',')
            .any(|token| token.trim().eq_ignore_ascii_case("close"))
    }
}

/// How a response body came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its framing says, so that the client knows it has everything.
    Whole,
    /// By the end of the connection, where the framing has no other end.
    UntilClose,
    /// Before its end: a reset, a closed connection, a broken chunk. With the reason.
    Cut(String),
}

/// A response with its body.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub head: Head,
    /// The body as far as it came.
    pub body: Bytes,
    /// Whether it came to its end.
    pub ending: Ending,
}

impl Response {
    /// The first value of a header field, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// The events of an event stream, without the empty lines between them.
    pub fn events(&self) -> Vec<String> {
        let text = self.text();
        text.split("\n\n")
            .filter(|event| !event.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Whether the body came to a true end.
    pub fn is_whole(&self) -> bool {
        self.ending == Ending::Whole
    }
}
