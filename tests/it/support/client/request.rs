//! A request as a test writes it, for HTTP/1.1 and HTTP/2 alike.
//! How it goes onto the wire is in `h1` and `h2`.

use std::time::Duration;

use bytes::Bytes;

use crate::support::http1::Fields;

/// A request under construction.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) fields: Fields,
    pub(super) body: Option<Bytes>,
    /// Whether the body's length is announced.
    pub(super) announced: bool,
    /// The most bytes of the body in one chunk, frame or write.
    pub(super) piece: usize,
    /// Waited between two pieces.
    pub(super) pause: Duration,
    /// Whether the body waits for `100 Continue` (HTTP/1.1).
    pub(super) expect: bool,
}

/// A request without a body.
pub fn get(target: &str) -> Request {
    Request::new("GET", target, None)
}

/// A `POST` of a JSON body.
pub fn post(target: &str, body: impl Into<Bytes>) -> Request {
    Request::new("POST", target, Some(body.into())).header("content-type", "application/json")
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, target: &str, body: Option<Bytes>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Fields::new(),
            body,
            announced: true,
            piece: 256 * 1024,
            pause: Duration::ZERO,
            expect: false,
        }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds header fields.
    pub fn headers(mut self, fields: &[(&str, &str)]) -> Self {
        for (name, value) in fields {
            self = self.header(name, value);
        }
        self
    }

    /// Adds `Authorization: Bearer KEY`.
    pub fn bearer(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Does not say how long the body is: chunked on HTTP/1.1, no `content-length` on HTTP/2.
    pub fn unannounced(mut self) -> Self {
        self.announced = false;
        self
    }

    /// Sends the body in pieces (chunks, DATA frames, writes) of at most `bytes`.
    pub fn pieces(mut self, bytes: usize) -> Self {
        self.piece = bytes.max(1);
        self
    }

    /// Waits between two pieces.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sends `Expect: 100-continue` and waits for the answer before the body (HTTP/1.1).
    pub fn expect_continue(mut self) -> Self {
        self.expect = true;
        self.header("expect", "100-continue")
    }

    /// The body in its pieces.
    pub(super) fn body_pieces(&self) -> impl Iterator<Item = Bytes> + use<> {
        let mut rest = self.body.clone().unwrap_or_default();
        let piece = self.piece;
        std::iter::from_fn(move || (!rest.is_empty()).then(|| rest.split_to(rest.len().min(piece))))
    }
}
