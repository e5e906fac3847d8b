//! One attempt after another: opening it, judging how it ended, and moving the plan on. What
//! follows what is decided in `routing::failover`; this carries it out.

mod ended;
mod judge;
mod open;

use std::time::{Duration, Instant};

use log::debug;
use pingora::{Error, ErrorType};

pub use ended::{Ended, ended, ended_unconnected};
pub use judge::{after_refused_key, judge, judged};
pub use open::open;

use super::attempts::Attempt;
use super::blame::{self, End};
use super::charge::{self, How};
use super::context::{RequestContext, Routed};
use super::reject::{Code, Rejection};
use super::replay::Cause;
use super::report;
use super::way::Failed;
use crate::credentials::Source;
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Metrics};
use crate::routing::failover::{self, Happened, Left, Sent, Verdict};
use crate::upstream::joined::Announced;
use crate::upstream::{Endpoint, Upstream};
use ended::outcome_without;

impl Routed {
    /// The provider being tried.
    pub fn upstream<'a>(&self, live: &'a Live) -> &'a Upstream {
        live.upstream(self.plan.candidate().provider)
    }

    /// The endpoint that the attempt went to.
    pub fn endpoint<'a>(&self, live: &'a Live) -> &'a Endpoint {
        &self.upstream(live).endpoints[self.current.endpoint]
    }

    /// What is left to try at this point in time.
    fn left(&self, live: &Live, now: Instant) -> Left {
        let time = self.deadline.saturating_duration_since(now);
        let left = self.plan.left(time, self.replay.replayable());
        self.way.left(self.upstream(live), left)
    }

    /// How much of the request the upstream may have got.
    pub(super) fn sent(&self) -> Sent {
        let by_header = self.passed.is_some() || self.tunnel.is_some();
        if by_header && self.current.connected && self.current.written {
            // With a body or without: its header may be all there is to act on.
            return Sent::All;
        }
        let announced = self.current.announced.as_deref();
        let waits = announced.is_some_and(Announced::waits);
        if !self.current.connected || waits || !self.replay.body_begun() {
            Sent::Nothing
        } else if self.replay.body_handed_over() {
            Sent::All
        } else {
            Sent::Part
        }
    }
}

/// Whether the answer at hand is kept from the client, because something else is tried.
#[must_use]
pub fn is_withheld(ctx: &RequestContext) -> bool {
    ctx.routed
        .as_ref()
        .is_some_and(|routed| routed.current.verdict.is_some())
}

/// What follows where this happened, now that so much of the request was sent.
fn decided(routed: &Routed, live: &Live, happened: Happened, now: Instant) -> Verdict {
    let left = routed.left(live, now);
    let ours = routed.plan.credential().source != Source::Request;
    failover::decide(happened, routed.sent(), left, routed.rules, ours)
}

/// Ends an attempt that brought no answer, and moves the plan on. The error's retry mark says
/// whether there is another attempt.
pub fn end(
    ctx: &mut RequestContext,
    metrics: &Metrics,
    ended: Ended,
    message: &'static str,
) -> Box<Error> {
    let mut error = Error::explain(ErrorType::InternalError, message);
    let again = next(ctx, metrics, ended);
    error.set_retry(again);
    error
}

/// Decides what follows an attempt that Pingora reports as failed; true: another attempt.
pub fn next(ctx: &mut RequestContext, metrics: &Metrics, ended: Ended) -> bool {
    let live = ctx.live.clone();
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return false;
    };
    routed.current.permit = None;
    let cause = routed.replay.cause();
    // Nobody is left to hear of another attempt.
    let gone = cause == Some(Cause::ClientGone) || routed.replay.has_left();
    let now = Instant::now();
    if let Some(verdict) = routed.current.verdict.take() {
        // A failure, which costs nothing.
        charge::close(routed, &live, ctx.surface, How::Cut, false);
        close(routed, now);
        return !gone && advance(routed, verdict, Failed::Endpoint);
    }
    let happened = match (cause, ended) {
        (Some(Cause::BadTail | Cause::Capped | Cause::Total | Cause::Idle), _) => None,
        _ if gone => None,
        _ if routed.current.answered || routed.current.is_unwritten() => None,
        (Some(Cause::FirstByte), _) => Some(Happened::FirstByteTimeout),
        (_, Ended::NotConnected) => Some(Happened::NotConnected),
        (_, Ended::Refused) => Some(Happened::Refused),
        (_, Ended::Stale) => Some(Happened::Stale),
        (_, Ended::TimedOut) => Some(Happened::FirstByteTimeout),
        (_, Ended::Downstream) => None,
        (_, Ended::Lost) => Some(Happened::Lost),
    };
    if !routed.current.answered {
        record(routed, &live, outcome_without(cause, ended), 0, now);
    }
    let Some(happened) = happened else {
        let how = how(cause, ended);
        charge::close(routed, &live, ctx.surface, how, false);
        close(routed, now);
        return false;
    };
    let left = routed.left(&live, now);
    let ours = routed.plan.credential().source != Source::Request;
    let verdict = failover::decide(happened, routed.sent(), left, routed.rules, ours);
    let failed = match happened {
        Happened::Lost | Happened::FirstByteTimeout if routed.sent() != Sent::Nothing => {
            Failed::Endpoint
        }
        _ => Failed::Address,
    };
    let end = End {
        happened,
        sent: routed.sent(),
        verdict,
        same_endpoint: failed == Failed::Address
            && routed.way.has_address_left(routed.upstream(&live)),
        refused: left.refused,
        late: now >= routed.deadline || is_hurried(routed, happened, now),
    };
    if let Some(sign) = blame::of_end(end).filter(|_| !routed.current.blameless) {
        report::attempt(routed, &live, sign, now);
    }
    let again = !matches!(verdict, Verdict::Answer | Verdict::Fail);
    charge::close(routed, &live, ctx.surface, how(cause, ended), again);
    close(routed, now);
    debug!("{happened:?} with {left:?}: {verdict:?}");
    if happened == Happened::Refused {
        routed.plan.refused();
    }
    let again = advance(routed, verdict, failed);
    if again {
        metrics.failover(outcome_without(cause, ended));
    }
    again
}

/// How an attempt that was given up ended, for what it costs.
fn how(cause: Option<Cause>, ended: Ended) -> How {
    match (cause, ended) {
        (Some(Cause::ClientGone | Cause::BadTail), _) => How::ClientGone,
        (Some(Cause::FirstByte | Cause::Idle | Cause::Total), _) => How::TimedOut,
        (Some(Cause::Capped), _) => How::Capped,
        (_, Ended::NotConnected | Ended::Refused | Ended::Stale) => How::Unseen,
        (_, Ended::Downstream) => How::ClientGone,
        (_, Ended::TimedOut) => How::TimedOut,
        (_, Ended::Lost) => How::Cut,
    }
}

/// Whether an attempt that ended so says that its address cannot be reached.
pub fn is_unreachable(routed: &Routed, ended: Ended) -> bool {
    let now = Instant::now();
    ended == Ended::NotConnected
        && now < routed.deadline
        && !is_hurried(routed, Happened::NotConnected, now)
}

/// Notes whether the request could be written as the upstream takes it. If not, that is the request's own fault: its
/// model makes no path, or its target has become too long.
pub fn note_written(routed: &mut Routed, live: &Live, written: bool) {
    routed.current.written = written;
    if !written {
        let provider = &routed.upstream(live).id;
        let words = format!(
            "The request cannot be written as {provider} takes it: its model's name makes no path there, or its query is too long."
        );
        routed.fault = Some(Rejection::new(Code::InvalidRequest, words));
    }
}

/// Whether the upstream might have done it in the time that its provider usually has.
fn is_hurried(routed: &Routed, happened: Happened, now: Instant) -> bool {
    let hurry = routed.current.hurry;
    let began = routed.current.began.unwrap_or(now);
    match happened {
        Happened::NotConnected => hurry
            .connect
            .is_some_and(|time| now.saturating_duration_since(began) >= time),
        Happened::FirstByteTimeout => hurry.first_byte,
        _ => false,
    }
}

/// Writes down that a candidate was passed over, for this reason.
pub fn note_unmade(routed: &mut Routed, live: &Live, why: AttemptOutcome) {
    add(routed, why, 0, Instant::now(), None);
    let provider = routed.plan.candidate().provider;
    live.provider_metrics(provider).attempt(why);
}

/// Adds the attempt's time to that of all attempts, and gives back what it took.
fn close(routed: &mut Routed, now: Instant) {
    routed.way.end();
    if let Some(began) = routed.current.began.take() {
        routed.upstream_time += now.saturating_duration_since(began);
    }
}

/// Moves on as the verdict says; true when there is another attempt.
fn advance(routed: &mut Routed, verdict: Verdict, failed: Failed) -> bool {
    if let Verdict::Wait(wait) = verdict {
        routed.current.wait = Some(wait);
    }
    routed.way.advance(verdict, failed);
    routed.plan.advance(verdict)
}

fn record(routed: &mut Routed, live: &Live, outcome: AttemptOutcome, status: u16, now: Instant) {
    note(routed, outcome, status, now);
    let provider = routed.plan.candidate().provider;
    live.provider_metrics(provider).attempt(outcome);
}

/// As [`record`], where it is not certain yet how the attempt has ended, and it is not counted.
fn note(routed: &mut Routed, outcome: AttemptOutcome, status: u16, now: Instant) {
    let endpoint = u16::try_from(routed.current.endpoint).ok();
    add(routed, outcome, status, now, endpoint);
}

fn add(
    routed: &mut Routed,
    outcome: AttemptOutcome,
    status: u16,
    now: Instant,
    endpoint: Option<u16>,
) {
    let candidate = u8::try_from(routed.plan.candidate_index()).unwrap_or(u8::MAX);
    let began = routed.current.began;
    let took = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
    routed.attempts.add(Attempt {
        candidate,
        endpoint,
        began,
        outcome,
        status,
        took,
    });
}

/// How an attempt ended that was answered with this status.
#[must_use]
pub fn outcome_of(status: u16) -> AttemptOutcome {
    match status {
        401..=403 => AttemptOutcome::Auth,
        429 => AttemptOutcome::RateLimited,
        408 | 500..=599 => AttemptOutcome::ServerError,
        400..=499 => AttemptOutcome::ClientError,
        _ => AttemptOutcome::Ok,
    }
}
