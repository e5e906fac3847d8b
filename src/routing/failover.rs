//! Failover: from what happened to what is tried next. One pure function of what happened, what was
//! sent, what is left, the mode and the time; the table of `docs/failover.md` is made by calling it.
//!
//! Not here: carrying a verdict out (`proxy/attempt.rs`) and the order of candidates (`plan.rs`).

use std::time::Duration;

/// When a request may be tried elsewhere.
pub use crate::access::policy::FailoverMode as Mode;

/// How often a request waits for a `Retry-After`.
pub const WAITS_MAX: u8 = 2;

/// What a request may do when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When it may be tried elsewhere.
    pub mode: Mode,
    /// The longest `Retry-After` that is waited for.
    pub retry_after_max: Duration,
}

/// What became of an attempt that did not simply succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The host's name has no address, no connection came about, or TLS failed.
    NotConnected,
    /// The upstream refused the stream before it looked at it: `REFUSED_STREAM`, or a `GOAWAY`
    /// below our stream on a connection that was opened for it (RFC 9113, sections 6.8 and 8.7).
    Refused,
    /// A connection that other requests had used before was at its end: a `GOAWAY` below our stream,
    /// or a kept-alive connection that was reset before any byte of an answer. It says nothing of
    /// this request.
    Stale,
    /// The upstream answered with this status.
    Answered {
        /// The HTTP status.
        status: u16,
        /// How long the upstream asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// No response header came in time.
    FirstByteTimeout,
    /// The connection was lost before a response header came.
    Lost,
}

/// How much of the request the upstream may have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// None of the body.
    Nothing,
    /// A part of the body: no upstream acts on that.
    Part,
    /// All of it: the upstream may be acting on it.
    All,
}

/// What can still be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Another address of this endpoint or endpoint of this provider.
    pub address: bool,
    /// Another endpoint of this provider that is well and has room.
    pub endpoint: bool,
    /// Another key of this step.
    pub key: bool,
    /// Another step of this candidate.
    pub step: bool,
    /// Another candidate.
    pub candidate: bool,
    /// Another attempt of any kind, under the cap.
    pub attempt: bool,
    /// The time until the deadline over all attempts.
    pub time: Duration,
    /// Whether the body can be sent again.
    pub replay: bool,
    /// How many waits this request has had.
    pub waits: u8,
    /// Whether this candidate's upstream has refused the stream before.
    pub refused: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This is the answer.
    Answer,
    /// The same again, over a fresh connection.
    Resend,
    /// The same candidate and key at the next address; at the next endpoint, where this one failed as a whole.
    NextAddress,
    /// The next key of the same step.
    NextKey,
    /// The first key of the next step of the same candidate.
    NextStep,
    /// The next candidate.
    NextCandidate,
    /// The same again after this time.
    Wait(Duration),
    /// Nothing is left to try.
    Fail,
}

/// Whether a status lets anything else be tried.
#[must_use]
pub fn is_failure(status: u16) -> bool {
    is_credential(status) || is_upstream(status)
}

/// Statuses that speak of the credential.
fn is_credential(status: u16) -> bool {
    matches!(status, 401 | 402 | 403 | 429)
}

/// Statuses that speak of the upstream.
fn is_upstream(status: u16) -> bool {
    matches!(status, 408 | 500 | 502 | 503 | 504 | 520..=529)
}

impl Left {
    /// Whether anything more may be sent: there is an attempt left, the time for it, and the body.
    fn may_send(self, sent: Sent) -> bool {
        self.attempt && !self.time.is_zero() && (sent == Sent::Nothing || self.replay)
    }
}

/// Decides what follows an attempt. `own` says that the credential was not one that the client sent
/// along: what a provider says of the client's own is for the client to hear, not for the gateway
/// to pay for elsewhere.
#[must_use]
pub fn decide(happened: Happened, sent: Sent, left: Left, rules: Rules, own: bool) -> Verdict {
    match happened {
        Happened::Answered {
            status,
            retry_after,
        } => answered(status, retry_after, left, rules, own),
        Happened::Stale if left.may_send(sent) => Verdict::Resend,
        Happened::Refused if left.may_send(sent) && !left.refused => Verdict::Resend,
        Happened::NotConnected | Happened::Refused | Happened::Stale => {
            unsent(sent, left, rules.mode)
        }
        Happened::Lost if sent == Sent::Nothing => unsent(sent, left, rules.mode),
        Happened::FirstByteTimeout | Happened::Lost => match sent {
            Sent::All if rules.mode != Mode::On => Verdict::Fail,
            _ => elsewhere(sent, left, rules.mode),
        },
    }
}

/// What follows where the endpoint failed as a whole: another of the provider that is well, else the next candidate.
fn elsewhere(sent: Sent, left: Left, mode: Mode) -> Verdict {
    if mode != Mode::Off && left.may_send(sent) && left.endpoint {
        return Verdict::NextAddress;
    }
    next_candidate(sent, left, mode)
}

/// What follows where the upstream has not looked at the request, or got none of it.
fn unsent(sent: Sent, left: Left, mode: Mode) -> Verdict {
    if mode != Mode::Off && left.may_send(sent) && left.address {
        return Verdict::NextAddress;
    }
    next_candidate(sent, left, mode)
}

fn next_candidate(sent: Sent, left: Left, mode: Mode) -> Verdict {
    if mode != Mode::Off && left.may_send(sent) && left.candidate {
        Verdict::NextCandidate
    } else {
        Verdict::Fail
    }
}

fn answered(
    status: u16,
    retry_after: Option<Duration>,
    left: Left,
    rules: Rules,
    own: bool,
) -> Verdict {
    // Whoever has answered may have got all of it, however much was sent.
    if !is_failure(status) || rules.mode == Mode::Off || !left.may_send(Sent::All) {
        return Verdict::Answer;
    }
    if is_credential(status) {
        return of_credential(status, retry_after, left, rules, own);
    }
    if left.endpoint {
        return Verdict::NextAddress;
    }
    if left.candidate {
        return Verdict::NextCandidate;
    }
    Verdict::Answer
}

/// What follows an answer that speaks of the credential.
fn of_credential(
    status: u16,
    retry_after: Option<Duration>,
    left: Left,
    rules: Rules,
    own: bool,
) -> Verdict {
    // A wait that ends with the deadline is of no use.
    let may_wait = |wait: &Duration| {
        status == 429
            && *wait <= rules.retry_after_max
            && *wait < left.time
            && left.waits < WAITS_MAX
    };
    match retry_after.filter(may_wait) {
        _ if !own => Verdict::Answer,
        _ if left.key => Verdict::NextKey,
        _ if left.step => Verdict::NextStep,
        _ if left.candidate => Verdict::NextCandidate,
        Some(wait) => Verdict::Wait(wait),
        None => Verdict::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Left = Left {
        address: true,
        endpoint: false,
        key: true,
        step: true,
        candidate: true,
        attempt: true,
        time: Duration::from_secs(60),
        replay: true,
        waits: 0,
        refused: false,
    };
    const NONE: Left = Left {
        address: false,
        endpoint: false,
        key: false,
        step: false,
        candidate: false,
        ..ALL
    };

    fn status(status: u16) -> Happened {
        Happened::Answered {
            status,
            retry_after: None,
        }
    }

    fn decide(happened: Happened, sent: Sent, left: Left, mode: Mode, own: bool) -> Verdict {
        let rules = Rules {
            mode,
            retry_after_max: Duration::from_secs(5),
        };
        super::decide(happened, sent, left, rules, own)
    }

    fn on(happened: Happened, left: Left) -> Verdict {
        decide(happened, Sent::All, left, Mode::On, true)
    }

    #[test]
    fn each_status_has_its_row() {
        for code in [401, 402, 403, 429] {
            assert_eq!(on(status(code), ALL), Verdict::NextKey, "{code}");
        }
        for code in [408, 500, 502, 503, 504, 520, 525, 529] {
            assert_eq!(on(status(code), ALL), Verdict::NextCandidate, "{code}");
        }
        for code in [200, 201, 400, 404, 409, 413, 422, 501, 505, 530] {
            assert_eq!(on(status(code), ALL), Verdict::Answer, "{code}");
        }
    }

    #[test]
    fn a_clients_own_credential_is_not_replaced() {
        for code in [401, 402, 403, 429] {
            assert_eq!(
                decide(status(code), Sent::All, ALL, Mode::On, false),
                Verdict::Answer,
                "{code}"
            );
        }
        assert_eq!(
            decide(status(503), Sent::All, ALL, Mode::On, false),
            Verdict::NextCandidate
        );
    }

    #[test]
    fn the_last_answer_is_the_answer() {
        for code in [401, 429, 503] {
            assert_eq!(on(status(code), NONE), Verdict::Answer, "{code}");
        }
    }

    #[test]
    fn keys_come_before_steps_and_steps_before_candidates() {
        let keyless = Left { key: false, ..ALL };
        assert_eq!(on(status(401), keyless), Verdict::NextStep);
        let stepless = Left {
            step: false,
            ..keyless
        };
        assert_eq!(on(status(401), stepless), Verdict::NextCandidate);
    }

    #[test]
    fn a_short_retry_after_is_waited_for_twice_when_nothing_else_is_left() {
        let asks = |seconds| Happened::Answered {
            status: 429,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(on(asks(5), NONE), Verdict::Wait(Duration::from_secs(5)));
        assert_eq!(on(asks(5), Left { waits: 2, ..NONE }), Verdict::Answer);
        assert_eq!(on(asks(6), NONE), Verdict::Answer);
        assert_eq!(on(asks(1), ALL), Verdict::NextKey);
        let short = Left {
            time: Duration::from_secs(5),
            ..NONE
        };
        assert_eq!(on(asks(5), short), Verdict::Answer);
        assert_eq!(on(asks(4), short), Verdict::Wait(Duration::from_secs(4)));
    }

    #[test]
    fn safe_never_resends_what_was_delivered_without_an_answer() {
        for happened in [Happened::Lost, Happened::FirstByteTimeout] {
            assert_eq!(
                decide(happened, Sent::All, ALL, Mode::Safe, true),
                Verdict::Fail
            );
            assert_eq!(
                decide(happened, Sent::Part, ALL, Mode::Safe, true),
                Verdict::NextCandidate
            );
            assert_eq!(
                decide(happened, Sent::All, ALL, Mode::On, true),
                Verdict::NextCandidate
            );
        }
        assert_eq!(
            decide(status(503), Sent::All, ALL, Mode::Safe, true),
            Verdict::NextCandidate
        );
    }

    #[test]
    fn a_connection_that_took_nothing_leads_to_the_next_address() {
        let lost = decide(Happened::Lost, Sent::Nothing, ALL, Mode::Safe, true);
        assert_eq!(lost, Verdict::NextAddress);
    }

    #[test]
    fn off_tries_nothing_else_but_a_fresh_connection_for_what_was_not_processed() {
        for happened in [status(503), status(401)] {
            assert_eq!(
                decide(happened, Sent::All, ALL, Mode::Off, true),
                Verdict::Answer
            );
        }
        assert_eq!(
            decide(Happened::NotConnected, Sent::Nothing, ALL, Mode::Off, true),
            Verdict::Fail
        );
        for happened in [Happened::Refused, Happened::Stale] {
            assert_eq!(
                decide(happened, Sent::All, ALL, Mode::Off, true),
                Verdict::Resend
            );
        }
    }

    #[test]
    fn a_second_refusal_is_the_providers_failure_and_a_stale_connection_is_no_refusal() {
        let refused = Left {
            refused: true,
            ..ALL
        };
        for (mode, then) in [
            (Mode::On, Verdict::NextAddress),
            (Mode::Safe, Verdict::NextAddress),
            (Mode::Off, Verdict::Fail),
        ] {
            let again = decide(Happened::Refused, Sent::All, refused, mode, true);
            assert_eq!(again, then);
            let stale = decide(Happened::Stale, Sent::All, refused, mode, true);
            assert_eq!(stale, Verdict::Resend);
        }
    }

    #[test]
    fn a_body_that_was_not_kept_is_not_sent_twice() {
        let left = Left {
            replay: false,
            ..ALL
        };
        assert_eq!(
            decide(Happened::NotConnected, Sent::Nothing, left, Mode::On, true),
            Verdict::NextAddress
        );
        assert_eq!(
            decide(Happened::Lost, Sent::Part, left, Mode::On, true),
            Verdict::Fail
        );
        assert_eq!(on(status(503), left), Verdict::Answer);
    }

    #[test]
    fn another_replica_comes_before_another_provider() {
        let left = Left {
            endpoint: true,
            ..ALL
        };
        let last = Left {
            endpoint: true,
            ..NONE
        };
        for left in [left, last] {
            assert_eq!(on(status(503), left), Verdict::NextAddress);
            for happened in [Happened::Lost, Happened::FirstByteTimeout] {
                assert_eq!(on(happened, left), Verdict::NextAddress);
                let safe = decide(happened, Sent::All, left, Mode::Safe, true);
                assert_eq!(safe, Verdict::Fail);
                let off = decide(happened, Sent::Part, left, Mode::Off, true);
                assert_eq!(off, Verdict::Fail);
            }
            let kept = Left {
                replay: false,
                ..left
            };
            assert_eq!(on(status(503), kept), Verdict::Answer);
            assert_eq!(on(Happened::Lost, kept), Verdict::Fail);
            let off = decide(status(503), Sent::All, left, Mode::Off, true);
            assert_eq!(off, Verdict::Answer);
        }
        // What speaks of the credential would be said by each of them.
        assert_eq!(on(status(429), last), Verdict::Answer);
        assert_eq!(on(status(429), left), Verdict::NextKey);
    }

    #[test]
    fn nothing_is_tried_past_the_cap_or_the_deadline() {
        let capped = Left {
            attempt: false,
            ..ALL
        };
        let late = Left {
            time: Duration::ZERO,
            ..ALL
        };
        for left in [capped, late] {
            for happened in [Happened::NotConnected, Happened::Refused, Happened::Stale] {
                assert_eq!(on(happened, left), Verdict::Fail);
            }
            for code in [401, 429, 503] {
                assert_eq!(on(status(code), left), Verdict::Answer);
            }
        }
    }
}
