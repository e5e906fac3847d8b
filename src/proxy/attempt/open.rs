//! Opens an attempt: waits if it must, picks an address, lays the body out, and starts the clocks.

use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::{Ended, end};
use crate::access::times::{TimesEntry, narrowed};
use crate::catalog::Route;
use crate::live::Live;
use crate::model::splice::Pieces;
use crate::proxy::Gateway;
use crate::proxy::charge::{self, Asker, How};
use crate::proxy::context::{Current, Hurry, RequestContext, Routed};
use crate::proxy::edits::Made;
use crate::proxy::replay::Deadlines;
use crate::proxy::{edits, form, packed, report, way};
use crate::surface::Surface;
use crate::upstream::measured::Seen;
use crate::upstream::pick::{Nowhere, Picked};
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
    let began = begin(session, routed).await?;
    let (picked, now) = match pick(routed, &live, gateway, asker, began).await {
        Ok(picked) => picked,
        Err(Unpicked::Nothing(message)) => return Err(failed(message)),
        Err(Unpicked::NoAddress) => {
            let message = "the provider's name has no address";
            return Err(end(ctx, &gateway.metrics, Ended::NotConnected, message));
        }
    };
    routed.plan.begin();
    routed.current.endpoint = picked.index;
    let (pieces, now) = lay_out(routed, &live, surface, now).await?;
    if told_upstream {
        routed.current.edits = routed.current.edits.and(Made::TRACED);
    }
    let times = &routed.upstream(&live).times;
    let waits = Waits::of(times, Some(caller.policy.times()), routed.streamed);
    let now = leave_to_connect(routed, picked.endpoint.seen(), &waits, now).await;
    let left = routed.deadline.saturating_duration_since(now);
    routed.current.hurry = waits.hurry(&Waits::of(times, None, routed.streamed), left);
    let mut peer = picked.peer;
    set_out(routed, &waits, pieces, &mut peer, now);
    if routed.tunnel.is_some() {
        peer::for_websocket(&mut peer, waits.first_byte.max(waits.idle));
    }
    if charge::reads_on(routed, &live) {
        routed.replay.read_on();
    }
    Ok(peer)
}

/// Begins an attempt, where there is still time for it: waits before it if it must. When it began.
async fn begin(session: &mut Session, routed: &mut Routed) -> Result<Instant> {
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
    Ok(began)
}

/// Why there is no address to go to.
enum Unpicked {
    /// No candidate that is left can be had.
    Nothing(&'static str),
    /// The candidate's host has none.
    NoAddress,
}

/// Picks an address, and has the ledger hold what the attempt may cost; what time it is then. Candidates without room, and
/// those that cannot be paid for, are passed over.
async fn pick<'a>(
    routed: &mut Routed,
    live: &'a Live,
    gateway: &Gateway,
    asker: Asker<'_>,
    mut now: Instant,
) -> Result<(Picked<'a>, Instant), Unpicked> {
    let metrics = &*gateway.metrics;
    loop {
        let upstream = routed.upstream(live);
        let candidate = routed.plan.candidate_index();
        match routed.way.next(candidate, upstream, now).await {
            Ok(picked) => {
                match charge::begin(routed, live, &gateway.ledger, asker, picked.now).await {
                    Ok(now) => return Ok((picked, now)),
                    Err(why) => {
                        if !charge::pass_over(routed, live, metrics, why) {
                            let message = "nothing is left that can be paid for";
                            return Err(Unpicked::Nothing(message));
                        }
                    }
                }
            }
            Err(Nowhere::Full) => {
                if !way::pass_over(routed, live, metrics) {
                    return Err(Unpicked::Nothing("every limit is reached"));
                }
            }
            Err(Nowhere::NoAddress) => {
                routed.plan.begin();
                let lost = report::without_address(upstream, Instant::now());
                routed.current.endpoint = lost.unwrap_or_default();
                routed.current.blameless = lost.is_none();
                return Err(Unpicked::NoAddress);
            }
        }
        // An address may have been waited for before.
        now = Instant::now();
    }
}

/// Lays the body out with the candidate's edits, and notes them: its pieces, and what time it is then. Where it cannot be laid
/// out, what is held for the attempt is given back.
async fn lay_out(
    routed: &mut Routed,
    live: &Live,
    surface: Option<Surface>,
    mut now: Instant,
) -> Result<(Pieces, Instant)> {
    let provider = live.catalog.provider(routed.plan.candidate().provider);
    let charged = charge::is_held(routed);
    let asks = surface
        .is_some_and(|surface| edits::asks_for_usage(provider, surface, charged, routed.streamed));
    let in_route = routed.body.in_path.is_some()
        && surface
            .and_then(|surface| provider.route(surface))
            .is_some_and(Route::names_model);
    let laid = if let Some(upload) = &routed.body.upload {
        form::lay_out(upload, &routed.body, routed.model(live))
    } else if routed.body.packed.is_none() {
        edits::lay_out(&routed.body, routed.model(live), asks, in_route)
    } else {
        let model = routed.model(live).to_owned();
        let laid = Box::pin(packed::lay_out(&mut routed.body, &model, asks, in_route)).await;
        now = Instant::now();
        laid
    };
    let laid = match laid {
        Ok(laid) => laid,
        Err(fault) => {
            routed.fault = Some(fault);
            charge::close(routed, live, surface, How::Unseen, false);
            return Err(failed("the body cannot be edited"));
        }
    };
    // Of what is passed on without a body, nothing is said of one.
    let bare = routed.passed.is_some() || routed.tunnel.is_some();
    routed.current.length = laid.length.filter(|_| !bare || !routed.body.whole);
    let of_query = edits::of_query(&routed.body, routed.model(live));
    routed.current.edits = laid.made.and(of_query);
    Ok((laid.pieces, now))
}

/// Waits for leave to connect, where an endpoint is not connected to by all at once; what time it is then.
async fn leave_to_connect(
    routed: &mut Routed,
    seen: &Seen,
    waits: &Waits,
    now: Instant,
) -> Instant {
    if seen.connects_freely() {
        return now;
    }
    let left = routed.deadline.saturating_duration_since(now);
    routed.current.permit = seen.leave_to_connect(waits.connect.min(left)).await;
    let waited = Instant::now();
    routed.queued += waited.saturating_duration_since(now);
    waited
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
