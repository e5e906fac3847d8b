//! Reads from Pingora's errors how an attempt ended.

use std::io;

use pingora::{Error, ErrorSource, ErrorType};

use crate::metrics::AttemptOutcome;
use crate::proxy::replay::Cause;

/// How an attempt ended without an answer for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No connection came about.
    NotConnected,
    /// The upstream refused the stream unseen.
    Refused,
    /// A connection that had been used before was at its end, and the upstream took nothing.
    Stale,
    /// The client's connection failed, not the upstream's.
    Downstream,
    /// The connection was lost before a response header came, or what came is no valid HTTP.
    Lost,
    /// Nothing came for so long that Pingora gave up. Our own clock is earlier, but it stands still
    /// while an HTTP/2 upstream grants no window credit.
    TimedOut,
}

/// Reads from Pingora's error why there was no connection. `fresh`: it was to be one of its own.
///
/// A request that is put on a shared HTTP/2 connection finds here that it is closing. Pingora does not
/// say whether it was shared, so that a new one is asked for once where it may have been.
#[must_use]
pub fn ended_unconnected(error: &Error, fresh: bool) -> Ended {
    let of_http2 = error.root_cause().is::<h2::Error>();
    if of_http2 && !fresh {
        Ended::Stale
    } else {
        Ended::NotConnected
    }
}

/// Reads from Pingora's error how the attempt ended. Its own opinion on a retry is not asked: it
/// would run some requests twice.
#[must_use]
pub fn ended(error: &Error, reused: bool) -> Ended {
    if let Some(http2) = error.root_cause().downcast_ref::<h2::Error>() {
        // A stream above the last one of a GOAWAY was not processed either (RFC 9113, section 6.8).
        let refused = http2.reason() == Some(h2::Reason::REFUSED_STREAM);
        return match http2.is_remote() {
            true if http2.is_go_away() && reused => Ended::Stale,
            true if http2.is_go_away() || refused => Ended::Refused,
            _ => Ended::Lost,
        };
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, _) => return Ended::Downstream,
        (ErrorSource::Upstream, ErrorType::ReadTimedout) => return Ended::TimedOut,
        _ => {}
    }
    let kind = error
        .root_cause()
        .downcast_ref::<io::Error>()
        .map(io::Error::kind);
    match kind {
        // A kept-alive connection that the upstream had closed before our request came.
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            if reused && !has_begun_to_answer(error) =>
        {
            Ended::Stale
        }
        _ => Ended::Lost,
    }
}

/// Whether a part of a response header had come. Pingora says so in words only.
fn has_begun_to_answer(error: &Error) -> bool {
    let words = error
        .context
        .as_ref()
        .and_then(|words| words.as_str().rsplit_once("bytes already read: "));
    words.is_some_and(|(_, count)| count != "0")
}

/// How an attempt is written down that ended so.
pub(super) fn outcome_without(cause: Option<Cause>, ended: Ended) -> AttemptOutcome {
    match (cause, ended) {
        (Some(Cause::ClientGone | Cause::BadTail), _) => AttemptOutcome::Canceled,
        (Some(Cause::FirstByte | Cause::Idle | Cause::Total), _) => AttemptOutcome::Timeout,
        // It was answered, and has been written down with its header.
        (Some(Cause::Capped), _) => AttemptOutcome::Ok,
        (_, Ended::NotConnected) => AttemptOutcome::ConnectFailed,
        (_, Ended::TimedOut) => AttemptOutcome::Timeout,
        (_, Ended::Downstream) => AttemptOutcome::Canceled,
        (_, Ended::Refused | Ended::Stale | Ended::Lost) => AttemptOutcome::Broken,
    }
}
