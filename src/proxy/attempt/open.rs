//! Opens an attempt: waits if it must, picks an address, lays the body out, and starts the clocks.

use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::{Ended, end};
use crate::access::times::{TimesEntry, narrowed};
use crate::catalog::Route;
use crate::model::splice::Pieces;
use crate::proxy::Gateway;
use crate::proxy::charge::{self, Asker, How};
use crate::proxy::context::{Current, Hurry, RequestContext, Routed};
use crate::proxy::edits::Made;
use crate::proxy::replay::Deadlines;
use crate::proxy::{edits, form, packed, report, way};
use crate::upstream::pick::Nowhere;
use crate::upstream::{Times, peer};

/// Opens the next attempt: waits if it must, picks an address, and lays the body out with the
/// candidate's edits.
///
/// # Errors
/// When the provider has no address; the error says whether there is something else to try.
pub async fn open(
    session: &mut Session,
    ctx: &mut RequestContext,
    gateway: &Gateway,
) -> Result<Box<HttpPeer>> {
    let live = ctx.live.clone();
    let metrics = &*gateway.metrics;
    let surface = ctx.surface;
    let told_upstream = gateway.propagates(ctx);
    let (Some(routed), Some(caller)) = (ctx.routed.as_deref_mut(), ctx.caller.as_deref()) else {
        return Err(failed("a request without candidates"));
    };
    let asker = Asker {
        caller,
        surface,
        request: ctx.id.as_str(),
    };
    let mut began = Instant::now();
    if let Some(wait) = routed.current.wait.take() {
        pause(session, routed, wait, began).await?;
        let now = Instant::now();
        routed.queued += now.saturating_duration_since(began);
        began = now;
    }
    if routed.deadline <= began {
        return Err(routed.replay.out_of_time());
    }
    routed.current = Current {
        began: Some(began),
        ..Current::default()
    };
    let mut now = began;
    let (upstream, picked) = loop {
        let upstream = routed.upstream(&live);
        let candidate = routed.plan.candidate_index();
        match routed.way.next(candidate, upstream, now).await {
            Ok(picked) => {
                let ledger = &gateway.ledger;
                match charge::begin(routed, &live, ledger, asker, picked.now).await {
                    Ok(kept) => {
                        now = kept;
                        break (upstream, picked);
                    }
                    Err(why) => {
                        if !charge::pass_over(routed, &live, metrics, why) {
                            return Err(failed("nothing is left that can be paid for"));
                        }
                        now = Instant::now();
                    }
                }
            }
            // An address may have been waited for before.
            Err(Nowhere::Full) if way::pass_over(routed, &live, metrics) => now = Instant::now(),
            Err(Nowhere::Full) => return Err(failed("every limit is reached")),
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
    let provider = live.catalog.provider(routed.plan.candidate().provider);
    let charged = charge::is_held(routed);
    let asks = surface
        .is_some_and(|surface| edits::asks_for_usage(provider, surface, charged, routed.streamed));
    let in_route = routed.body.in_path.is_some()
        && surface
            .and_then(|surface| provider.route(surface))
            .is_some_and(Route::names_model);
    let laid = if let Some(upload) = &routed.body.upload {
        form::lay_out(upload, &routed.body, routed.model(&live))
    } else if routed.body.packed.is_none() {
        edits::lay_out(&routed.body, routed.model(&live), asks, in_route)
    } else {
        let model = routed.model(&live).to_owned();
        let laid = Box::pin(packed::lay_out(&mut routed.body, &model, asks, in_route)).await;
        now = Instant::now();
        laid
    };
    let laid = match laid {
        Ok(laid) => laid,
        Err(fault) => {
            routed.fault = Some(fault);
            charge::close(routed, &live, surface, How::Unseen, false);
            return Err(failed("the body cannot be edited"));
        }
    };
    // Of what is passed on without a body, nothing is said of one.
    let bare = routed.passed.is_some() || routed.tunnel.is_some();
    routed.current.length = laid.length.filter(|_| !bare || !routed.body.whole);
    routed.current.edits = laid
        .made
        .and(edits::of_query(&routed.body, routed.model(&live)));
    if told_upstream {
        routed.current.edits = routed.current.edits.and(Made::TRACED);
    }
    let own = caller.policy.times();
    let waits = Waits::of(&upstream.times, Some(own), routed.streamed);
    let seen = picked.endpoint.seen();
    if !seen.connects_freely() {
        let left = routed.deadline.saturating_duration_since(now);
        routed.current.permit = seen.leave_to_connect(waits.connect.min(left)).await;
        let asked = std::mem::replace(&mut now, Instant::now());
        routed.queued += now.saturating_duration_since(asked);
    }
    let left = routed.deadline.saturating_duration_since(now);
    routed.current.hurry = waits.hurry(&Waits::of(&upstream.times, None, routed.streamed), left);
    set_out(routed, &waits, laid.pieces, &mut peer, now);
    if routed.tunnel.is_some() {
        peer::for_websocket(&mut peer, waits.first_byte.max(waits.idle));
    }
    if charge::reads_on(routed, &live) {
        routed.replay.read_on();
    }
    Ok(peer)
}

fn failed(message: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, message)
}

/// Waits before the next attempt, unless the client goes away meanwhile.
async fn pause(session: &mut Session, routed: &Routed, wait: Duration, now: Instant) -> Result<()> {
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
fn set_out(routed: &mut Routed, times: &Waits, pieces: Pieces, peer: &mut HttpPeer, now: Instant) {
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
