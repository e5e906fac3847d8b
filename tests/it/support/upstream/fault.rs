//! The ways in which an upstream fails, by name: one constructor a fault, each a [`Behaviour`].
//! Faults of whole connections (refused, silent, reset on connect) are in `Greeting` and in this folder's `mod`.

use bytes::Bytes;

use super::frame;
use super::reply::Reply;
use super::script::{Behaviour, Upto, behave};

/// Resets the connection before any of the body is read.
pub fn reset_before_body() -> Behaviour {
    behave().reset()
}

/// Resets the connection once `bytes` of the body have been read.
pub fn reset_in_body(bytes: u64) -> Behaviour {
    behave().read_until(bytes).reset()
}

/// Resets the connection when the body has been read, before any byte of an answer.
pub fn reset_after_body() -> Behaviour {
    behave().read().reset()
}

/// Closes the connection in order when the body has been read, before any byte of an answer.
pub fn close_after_body() -> Behaviour {
    behave().read().close()
}

/// Closes the connection in order before any of the body is read.
pub fn close_before_body() -> Behaviour {
    behave().abandon()
}

/// Sends half of a response head, then resets.
pub fn reset_in_head() -> Behaviour {
    behave()
        .read()
        .send_upto(Reply::json(200, "{}"), Upto::HalfHead)
        .reset()
}

/// Sends the head of `reply`, then resets.
pub fn reset_after_head(reply: Reply) -> Behaviour {
    behave().read().send_upto(reply, Upto::Bytes(0)).reset()
}

/// Sends `reply` as far as `bytes` of its body, then resets.
pub fn reset_in_answer(reply: Reply, bytes: usize) -> Behaviour {
    behave().read().send_upto(reply, Upto::Bytes(bytes)).reset()
}

/// Sends `reply` as far as `bytes` of its body, then closes in order: a truncated answer.
pub fn truncated(reply: Reply, bytes: usize) -> Behaviour {
    behave().read().send_upto(reply, Upto::Bytes(bytes)).close()
}

/// Sends `reply` as far as `bytes` of its body, then nothing, for ever.
pub fn stalled(reply: Reply, bytes: usize) -> Behaviour {
    behave()
        .read()
        .send_upto(reply, Upto::Bytes(bytes))
        .silence()
}

/// Never reads the body, never answers.
pub fn silent_before_body() -> Behaviour {
    behave().silence()
}

/// Reads the body, never answers.
pub fn silent_after_body() -> Behaviour {
    behave().read().silence()
}

/// Answers without having read any of the body. Goes on reading it afterwards; add `silence()` for an upstream that
/// never does (HTTP/2: grants no more window credit), `close()`, `abandon()`, `reset()`, or `reset_stream(NO_ERROR)`.
pub fn early(reply: Reply) -> Behaviour {
    behave().send(reply)
}

/// Reads the body and answers with bytes that are no HTTP response.
pub fn malformed(bytes: impl Into<Bytes>) -> Behaviour {
    behave().read().raw(bytes).close()
}

/// HTTP/2: refuses the stream with `REFUSED_STREAM` (it was not processed).
pub fn refused_stream() -> Behaviour {
    behave().reset_stream(frame::REFUSED_STREAM)
}

/// HTTP/2: a GOAWAY whose last stream is below this one (it was not processed), then the end of the connection.
pub fn goaway_below() -> Behaviour {
    behave()
        .frames(|stream| frame::goaway(stream.saturating_sub(2), frame::NO_ERROR))
        .close()
}

/// HTTP/2: a GOAWAY that includes this stream, which is then answered.
pub fn goaway_then(reply: Reply) -> Behaviour {
    behave()
        .read()
        .frames(|stream| frame::goaway(stream, frame::NO_ERROR))
        .send(reply)
}

/// HTTP/2: a frame that breaks the protocol (DATA on stream 0) when the body has been read.
pub fn invalid_frame() -> Behaviour {
    behave()
        .read()
        .frames(|_| frame::frame(frame::DATA, 0, 0, b"x"))
        .close()
}
