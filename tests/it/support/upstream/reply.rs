//! A response as a script gives it: status, fields, pieces with their pace, framing.
//! How it goes onto the wire is in `serve_h1` and `serve_h2`; ready-made bodies are in `payload`.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::gate::Gate;
use crate::support::http1::Fields;

/// How an HTTP/1.1 response says where its body ends; HTTP/2 has one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFraming {
    /// `Content-Length`, the sum of the pieces.
    Length,
    /// `Content-Length` of this many bytes, true or not (on HTTP/2, too).
    Claimed(u64),
    /// Chunked, one chunk a piece.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A part of a response body, sent on its own.
#[derive(Clone)]
pub struct Piece {
    pub(super) bytes: Bytes,
    /// Waited before it is sent.
    pub(super) pause: Duration,
    /// Waited for before it is sent.
    pub(super) gate: Option<Gate>,
}

/// A response.
#[derive(Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) pieces: Vec<Piece>,
    pub(super) framing: ReplyFraming,
}

impl Reply {
    /// A response with `status` and no body (`Content-Length: 0`).
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Fields::new(),
            pieces: Vec::new(),
            framing: ReplyFraming::Length,
        }
    }

    /// A JSON response.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::status(status)
            .header("content-type", "application/json")
            .piece(body)
    }

    /// An event stream: each event is a piece of its own, sent `pace` after the one before.
    pub fn sse(events: impl IntoIterator<Item = Bytes>, pace: Duration) -> Self {
        let mut reply = Self::status(200)
            .header("content-type", "text/event-stream")
            .chunked();
        for bytes in events {
            reply.pieces.push(Piece {
                bytes,
                pause: pace,
                gate: None,
            });
        }
        reply
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a piece to the body.
    pub fn piece(mut self, bytes: impl Into<Bytes>) -> Self {
        self.pieces.push(Piece {
            bytes: bytes.into(),
            pause: Duration::ZERO,
            gate: None,
        });
        self
    }

    /// Holds the piece number `index` (from 0) back until `gate` lets it through.
    ///
    /// # Panics
    /// When there is no such piece.
    pub fn hold_before(mut self, index: usize, gate: &Gate) -> Self {
        self.pieces[index].gate = Some(gate.clone());
        self
    }

    /// Sends the body chunked (HTTP/1.1).
    pub fn chunked(mut self) -> Self {
        self.framing = ReplyFraming::Chunked;
        self
    }

    /// Ends the body by ending the connection (HTTP/1.1).
    pub fn until_close(mut self) -> Self {
        self.framing = ReplyFraming::UntilClose;
        self
    }

    /// Announces a length that need not be the body's.
    pub fn claimed(mut self, bytes: u64) -> Self {
        self.framing = ReplyFraming::Claimed(bytes);
        self
    }

    /// The body, all pieces together.
    pub fn body(&self) -> Bytes {
        let mut body = BytesMut::new();
        self.pieces
            .iter()
            .for_each(|piece| body.extend_from_slice(&piece.bytes));
        body.freeze()
    }

    /// The bytes of the HTTP/1.1 head.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length: u64 = self
            .pieces
            .iter()
            .map(|piece| piece.bytes.len() as u64)
            .sum();
        match self.framing {
            ReplyFraming::Length if matches!(self.status, 204 | 304) => {}
            ReplyFraming::Length => {
                let _ = write!(head, "content-length: {length}\r\n");
            }
            ReplyFraming::Claimed(bytes) => {
                let _ = write!(head, "content-length: {bytes}\r\n");
            }
            ReplyFraming::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            ReplyFraming::UntilClose => head.push_str("connection: close\r\n"),
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}
