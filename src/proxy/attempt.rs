//! One attempt after another: opening it, judging how it ended, and moving the plan on. What
//! follows what is decided in `routing::failover`; this carries it out.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use log::debug;
use pingora::http::ResponseHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use super::attempts::Attempt;
use super::blame::{self, End};
use super::context::{Current, Hurry, RequestContext, Routed};
use super::look::{self, Look};
use super::reject::{Code, Rejection};
use super::replay::{Cause, Deadlines};
use super::way::{self, Failed};
use super::{edits, keys, limited, report};
use crate::access::times::{TimesEntry, narrowed};
use crate::credentials::{Said, Source};
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Metrics};
use crate::model::splice::Pieces;
use crate::routing::failover::{self, Happened, Left, Sent, Verdict};
use crate::upstream::pick::Nowhere;
use crate::upstream::{Endpoint, Times, Upstream, peer};

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
        if !self.current.connected || !self.replay.body_begun() {
            Sent::Nothing
        } else if self.replay.body_handed_over() {
            Sent::All
        } else {
            Sent::Part
        }
    }
}

/// Opens the next attempt: waits if it must, picks an address, and lays the body out with the
/// candidate's edits.
///
/// # Errors
/// When the provider has no address; the error says whether there is something else to try.
pub async fn open(
    session: &mut Session,
    ctx: &mut RequestContext,
    metrics: &Metrics,
) -> Result<Box<HttpPeer>> {
    let live = ctx.live.clone();
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return Err(Error::explain(
            ErrorType::InternalError,
            "a request without candidates",
        ));
    };
    if let Some(wait) = routed.current.wait.take() {
        pause(session, routed, wait).await?;
    }
    if routed.deadline <= Instant::now() {
        return Err(routed.replay.out_of_time());
    }
    routed.current = Current {
        began: Some(Instant::now()),
        ..Current::default()
    };
    let (upstream, picked) = loop {
        let upstream = routed.upstream(&live);
        let candidate = routed.plan.candidate_index();
        match routed.way.next(candidate, upstream).await {
            Ok(picked) => break (upstream, picked),
            Err(Nowhere::Full) if way::pass_over(routed, &live, metrics) => {}
            Err(Nowhere::Full) => {
                let message = "every limit is reached";
                return Err(Error::explain(ErrorType::InternalError, message));
            }
            Err(Nowhere::NoAddress) => {
                routed.plan.begin();
                let lost = report::without_address(upstream, Instant::now());
                routed.current.endpoint = lost.unwrap_or_default();
                routed.current.blameless = lost.is_none();
                let message = "the provider's name has no address";
                return Err(end(ctx, metrics, Ended::NotConnected, message));
            }
        }
    };
    routed.plan.begin();
    let mut peer = picked.peer;
    routed.current.endpoint = picked.index;
    let laid = match edits::lay_out(&routed.body, routed.model(&live)) {
        Ok(laid) => laid,
        Err(fault) => {
            routed.fault = Some(fault);
            return Err(Error::explain(
                ErrorType::InternalError,
                "the body cannot be edited",
            ));
        }
    };
    routed.current.length = laid.length;
    routed.current.edits = laid.names;
    let own = ctx.caller.as_deref().map(|caller| caller.policy.times());
    let waits = Waits::of(&upstream.times, own, routed.streamed);
    let left = routed.deadline.saturating_duration_since(Instant::now());
    let limit = waits.connect.min(left);
    routed.current.permit = picked.endpoint.seen().leave_to_connect(limit).await;
    let left = routed.deadline.saturating_duration_since(Instant::now());
    routed.current.hurry = waits.hurry(&Waits::of(&upstream.times, None, routed.streamed), left);
    set_out(routed, &waits, laid.pieces, &mut peer);
    Ok(peer)
}

/// Waits before the next attempt, unless the client goes away meanwhile.
async fn pause(session: &mut Session, routed: &Routed, wait: Duration) -> Result<()> {
    let now = Instant::now();
    let left = routed.deadline.saturating_duration_since(now);
    let deadlines = Deadlines {
        first_byte: left,
        idle: left,
        total: routed.deadline,
    };
    routed.replay.rewind(Pieces::default(), deadlines, now);
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        read = session.downstream_session.read_body_or_idle(true) => read.map(drop),
    }
}

/// The times of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waits {
    connect: Duration,
    first_byte: Duration,
    idle: Duration,
}

impl Waits {
    /// Those of the provider, within those that the access key has of its own.
    fn of(times: &Times, own: Option<&TimesEntry>, streamed: bool) -> Self {
        let own = own.copied().unwrap_or_default();
        let (first_byte, bound) = if streamed {
            (times.first_byte_stream, own.first_byte_stream_ms)
        } else {
            (times.first_byte, own.first_byte_ms)
        };
        Self {
            connect: narrowed(times.connect, own.connect_ms),
            first_byte: narrowed(first_byte, bound),
            idle: narrowed(times.idle, own.idle_ms),
        }
    }

    /// What of them is shorter than `usual`, with so much `left` for the whole request.
    fn hurry(&self, usual: &Self, left: Duration) -> Hurry {
        let connect = self.connect.min(left);
        Hurry {
            connect: (connect < usual.connect).then_some(connect),
            // Both clocks may end the wait for an answer.
            first_byte: self.first_byte < usual.first_byte || self.idle < usual.idle,
        }
    }
}

/// Starts the attempt's clock.
fn set_out(routed: &mut Routed, times: &Waits, pieces: Pieces, peer: &mut HttpPeer) {
    let now = Instant::now();
    let left = routed
        .deadline
        .saturating_duration_since(now)
        .max(Duration::from_millis(1));
    if routed.plan.fresh() {
        peer::keep_apart(peer);
    }
    peer::set_times(
        peer,
        times.connect.min(left),
        times.first_byte.max(times.idle).min(left),
    );
    let deadlines = Deadlines {
        first_byte: times.first_byte,
        idle: times.idle,
        total: routed.deadline,
    };
    routed.replay.rewind(pieces, deadlines, now);
}

/// Whether the answer at hand is kept from the client, because something else is tried.
#[must_use]
pub fn is_withheld(ctx: &RequestContext) -> bool {
    ctx.routed
        .as_ref()
        .is_some_and(|routed| routed.current.verdict.is_some())
}

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

/// Judges a response header. `true`: it is the answer. `false`: it is kept from the client, and
/// something else is tried.
pub fn judge(ctx: &mut RequestContext, metrics: &Metrics, response: &ResponseHeader) -> bool {
    let live = ctx.live.clone();
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return true;
    };
    let status = response.status.as_u16();
    let now = Instant::now();
    routed.current.answered = true;
    let known = Known::of(routed, &live, response);
    let verdict = match known {
        Known::Said(said) => {
            keys::heed(routed, &live, said, now);
            after_refused_key(routed, &live, now)
        }
        Known::Nothing => {
            keys::heed_status(routed, &live, status, &response.headers, now);
            after_status(routed, &live, response, now)
        }
        Known::InBody(_) => after_status(routed, &live, response, now),
    };
    let outcome = match known {
        Known::Said(_) => AttemptOutcome::Auth,
        _ => outcome_of(status),
    };
    let mut held = false;
    if let Known::InBody(mut look) = known {
        held = verdict == Verdict::Answer
            && !failover::is_failure(status)
            && after_refused_key(routed, &live, now) != Verdict::Answer;
        if held {
            look.hold();
        }
        routed.look = Some(look);
    }
    report::header(routed, &live, response, now);
    if held {
        note(routed, outcome, status, now);
        routed.replay.answering(now);
        routed.replay.hold(now);
        return true;
    }
    record(routed, &live, outcome, status, now);
    if verdict == Verdict::Answer {
        routed.replay.answering(now);
        return true;
    }
    routed.current.verdict = Some(verdict);
    let may_be_the_end = matches!(verdict, Verdict::Wait(_)) && routed.look.is_some();
    if !may_be_the_end {
        metrics.failover(outcome);
    }
    routed.withheld_at = Some(routed.plan.place());
    routed.replay.withhold(Box::new(response.clone()));
    false
}

/// What the catalog knows of an answer, beside what its status means everywhere.
enum Known {
    /// Nothing.
    Nothing,
    /// This, of the key.
    Said(Said),
    /// Its body has to be looked into.
    InBody(Box<Look>),
}

impl Known {
    fn of(routed: &Routed, live: &Live, response: &ResponseHeader) -> Self {
        let credential = routed.plan.credential();
        if credential.key.is_none() || !credential.source.is_ours() || response.status.is_success()
        {
            return Self::Nothing;
        }
        let provider = live.catalog.provider(routed.plan.candidate().provider);
        let status = response.status.as_u16();
        if let Some(said) = look::by_status(provider, status) {
            return Self::Said(said);
        }
        let look = look::is_wanted(provider, status).then(|| Look::new(response));
        look.flatten().map_or(Self::Nothing, Self::InBody)
    }
}

/// What follows an answer with this header.
fn after_status(routed: &Routed, live: &Live, response: &ResponseHeader, now: Instant) -> Verdict {
    let status = response.status.as_u16();
    if !failover::is_failure(status) {
        return Verdict::Answer;
    }
    let happened = Happened::Answered {
        status,
        retry_after: limited::retry_after(&response.headers, SystemTime::now()),
    };
    decided(routed, live, happened, now)
}

/// What follows an answer that speaks of the key, whatever its status: the same as after 402.
pub fn after_refused_key(routed: &Routed, live: &Live, now: Instant) -> Verdict {
    let happened = Happened::Answered {
        status: 402,
        retry_after: None,
    };
    decided(routed, live, happened, now)
}

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
    if let Some(verdict) = routed.current.verdict.take() {
        close(routed);
        // Nobody is left to hear of another attempt.
        return cause != Some(Cause::ClientGone) && advance(routed, verdict, Failed::Endpoint);
    }
    let happened = match (cause, ended) {
        (Some(Cause::ClientGone | Cause::BadTail | Cause::Total | Cause::Idle), _) => None,
        _ if routed.current.answered || routed.current.is_unwritten() => None,
        (Some(Cause::FirstByte), _) => Some(Happened::FirstByteTimeout),
        (_, Ended::NotConnected) => Some(Happened::NotConnected),
        (_, Ended::Refused) => Some(Happened::Refused),
        (_, Ended::Stale) => Some(Happened::Stale),
        (_, Ended::TimedOut) => Some(Happened::FirstByteTimeout),
        (_, Ended::Downstream) => None,
        (_, Ended::Lost) => Some(Happened::Lost),
    };
    let now = Instant::now();
    if !routed.current.answered {
        record(routed, &live, outcome_without(cause, ended), 0, now);
    }
    let Some(happened) = happened else {
        close(routed);
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
    close(routed);
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

/// Writes down that a candidate was passed over, because it has as many requests under way as it may.
pub fn note_full(routed: &mut Routed, live: &Live) {
    record(routed, live, AttemptOutcome::Full, 0, Instant::now());
}

/// Adds the attempt's time to that of all attempts, and gives back what it took.
fn close(routed: &mut Routed) {
    routed.way.end();
    if let Some(began) = routed.current.began.take() {
        routed.upstream_time += began.elapsed();
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
    let candidate = u8::try_from(routed.plan.candidate_index()).unwrap_or(u8::MAX);
    let began = routed.current.began;
    let took = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
    routed.attempts.add(Attempt {
        candidate,
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

fn outcome_without(cause: Option<Cause>, ended: Ended) -> AttemptOutcome {
    match (cause, ended) {
        (Some(Cause::ClientGone | Cause::BadTail), _) => AttemptOutcome::Canceled,
        (Some(Cause::FirstByte | Cause::Idle | Cause::Total), _) => AttemptOutcome::Timeout,
        (_, Ended::NotConnected) => AttemptOutcome::ConnectFailed,
        (_, Ended::TimedOut) => AttemptOutcome::Timeout,
        (_, Ended::Downstream) => AttemptOutcome::Canceled,
        (_, Ended::Refused | Ended::Stale | Ended::Lost) => AttemptOutcome::Broken,
    }
}
