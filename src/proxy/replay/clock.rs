//! When an attempt is given up, and why: the request's clock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::{Error, ErrorType, Result};

use super::shared::{Shared, State};
use crate::proxy::flow;
use crate::upstream::peer;

/// How long a piece may be on its way to the upstream. Pingora gives each of them
/// [`peer::WRITE_TIMEOUT`]; when that is over it sends no more of the body, and only an answer that is
/// already on its way can still come. It is given the rest of this time. A last piece that was let go
/// of looks like one that was written: there, an answer is waited for as long as for any request,
/// rather than sending elsewhere what may have been delivered.
const GIVEN_UP: Duration = Duration::from_secs(4);
const _: () = assert!(
    GIVEN_UP.as_millis() > flow::PIECES_UNWRITTEN as u128 * peer::WRITE_TIMEOUT.as_millis()
);

/// Why the replay session ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client closed its connection or reset its stream.
    ClientGone,
    /// No response header came in time, or the upstream took no more of the body.
    FirstByte,
    /// The response stood still for too long.
    Idle,
    /// The deadline over all attempts has passed.
    Total,
    /// The upstream answered with a status that lets a next candidate be tried.
    Answered,
    /// The rest of the body broke a rule that its beginning kept.
    BadTail,
    /// The answer has cost as much as the request may.
    Capped,
    /// An answer was held back for as long as may be. This ends no attempt.
    Due,
}

/// The points in time at which an attempt is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// How long the response header may take once the body was sent.
    pub first_byte: Duration,
    /// How long a response, or the sending of the body, may stand still.
    pub idle: Duration,
    /// The end of all attempts.
    pub total: Instant,
}

impl State {
    /// When something last happened.
    pub(super) fn activity(&self) -> Instant {
        let written = self.flow.as_ref().map(|flow| flow.last_written());
        written.map_or(self.last_activity, |written| {
            written.max(self.last_activity)
        })
    }
}

impl Shared {
    /// The deadline has passed before an attempt could begin.
    pub fn out_of_time(&self) -> Box<Error> {
        self.end(Cause::Total, "no time is left for an attempt")
    }

    /// The next point in time at which this attempt ends, and why.
    pub(super) fn deadline(&self) -> (Instant, Cause) {
        let state = self.lock();
        if let Some(until) = state.withhold_until {
            return (until, Cause::Answered);
        }
        let due = state.held.as_ref().and_then(|held| held.until());
        if let Some(due) = due.filter(|due| *due < state.deadlines.total) {
            return (due, Cause::Due);
        }
        let (silence, cause) = if state.answering {
            (state.last_activity + state.deadlines.idle, Cause::Idle)
        } else if state.flow.as_ref().is_some_and(|flow| flow.unwritten() > 0) {
            let silence = state.deadlines.idle.min(GIVEN_UP);
            (state.activity() + silence, Cause::FirstByte)
        } else if state.handed_over() {
            (
                state.activity() + state.deadlines.first_byte,
                Cause::FirstByte,
            )
        } else {
            // It is the client that is waited for.
            (state.deadlines.total, Cause::Total)
        };
        if silence < state.deadlines.total {
            (silence, cause)
        } else {
            (state.deadlines.total, Cause::Total)
        }
    }

    pub(super) fn end(&self, cause: Cause, message: &'static str) -> Box<Error> {
        self.lock().cause.get_or_insert(cause);
        let kind = match cause {
            Cause::ClientGone => ErrorType::ConnectionClosed,
            Cause::FirstByte | Cause::Idle | Cause::Total => ErrorType::ReadTimedout,
            Cause::Answered | Cause::BadTail | Cause::Capped | Cause::Due => {
                ErrorType::InternalError
            }
        };
        Error::explain(kind, message)
    }

    /// From here on it is the client that is waited for; what the upstream took to make room was
    /// not the client's time.
    pub(super) fn wait_for_client(&self) {
        let mut state = self.lock();
        let stalled = std::mem::take(&mut state.stalled);
        if let Some(tail) = state.tail.as_mut().filter(|_| stalled) {
            tail.wait();
        }
    }

    /// How long the client may take for the next piece of the body's tail.
    pub(super) fn client_patience(&self) -> Option<Duration> {
        self.lock().tail.as_mut().map(|tail| tail.patience())
    }

    /// Looks whether the client is too slow, now that its time is over.
    pub(super) fn judge_client(&self) -> Result<()> {
        if self
            .lock()
            .tail
            .as_mut()
            .is_none_or(|tail| tail.keeps_pace())
        {
            return Ok(());
        }
        Err(self.end(
            Cause::BadTail,
            "the rest of the body did not arrive in time",
        ))
    }

    pub(super) fn gone(&self, error: Box<Error>) -> Box<Error> {
        self.lock().cause.get_or_insert(Cause::ClientGone);
        error
    }

    /// The attempt's time is over, or that of an answer that was held back: then Pingora is given an empty piece, so
    /// that it looks at the request, and lets the answer go.
    pub(super) fn expired(&self, cause: Cause) -> Result<Option<Bytes>> {
        if cause != Cause::Due {
            return Err(self.end(cause, "the attempt's time is over"));
        }
        if let Some(held) = self.lock().held.as_mut() {
            held.overdue();
        }
        Ok(Some(Bytes::new()))
    }
}
