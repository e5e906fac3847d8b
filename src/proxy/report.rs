//! Tells the health of an endpoint what an attempt said of it.

use std::time::Instant;

use pingora::http::ResponseHeader;

use super::blame::{self, Sign};
use super::context::{RequestContext, Routed};
use super::error_answer::{Answer, Form, Watch};
use crate::live::Live;
use crate::routing::failover::Sent;
use crate::upstream::health::Change;
use crate::upstream::{Endpoint, Upstream};

/// The verdict on a response header. Whether a 200 is an answer shows in the first bytes of its body, where those can be
/// read.
pub fn header(routed: &mut Routed, live: &Live, response: &ResponseHeader, now: Instant) {
    let status = response.status.as_u16();
    let form = (status == 200)
        .then(|| Form::of(&response.headers))
        .flatten();
    routed.current.answer = form.map(Watch::new).unwrap_or_default();
    let sign = match form {
        Some(_) => Some(Sign::Alive),
        // A client that sends slowly is to blame for it.
        None if status == 408 && routed.sent() == Sent::Part => Some(Sign::Alive),
        None => blame::of_status(status),
    };
    if let Some(sign) = sign {
        attempt(routed, live, sign, now);
    }
}

/// Looks at bytes of an answer's body on their way to the client. `ended`: they are the last.
pub fn body(ctx: &mut RequestContext, bytes: Option<&[u8]>, ended: bool) {
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return;
    };
    let found = routed.current.answer.look(bytes.unwrap_or_default(), ended);
    let sign = match found {
        Some(Answer::Good) => Sign::Good,
        Some(Answer::Error) => Sign::Bad,
        Some(Answer::Refusal) => {
            routed.current.error_only = true;
            return;
        }
        None => return,
    };
    routed.current.error_only = sign == Sign::Bad;
    attempt(routed, &ctx.live, sign, Instant::now());
}

/// What the attempt under way says of its endpoint.
pub fn attempt(routed: &Routed, live: &Live, sign: Sign, now: Instant) {
    let began = routed.current.began.unwrap_or(now);
    let upstream = routed.upstream(live);
    note(upstream, routed.endpoint(live), sign, began, now);
}

/// No endpoint that is left has an address. The attempt that ends with it tells of one of those that are lost, whose
/// place is returned; the others are told of here. There is none where look-ups are under way still.
pub fn without_address(upstream: &Upstream, now: Instant) -> Option<usize> {
    let lost = || (0..upstream.endpoints.len()).filter(|at| upstream.endpoints[*at].is_lost());
    for at in lost().skip(1) {
        note(upstream, &upstream.endpoints[at], Sign::Bad, now, now);
    }
    lost().next()
}

fn note(upstream: &Upstream, endpoint: &Endpoint, sign: Sign, began: Instant, now: Instant) {
    let (health, settings) = (endpoint.seen().health(), &upstream.health);
    let change = match sign {
        Sign::Good => health.succeeded(settings, began, now),
        Sign::Alive => health.answered(began, now),
        Sign::Bad => health.failed(settings, began, now, chance),
    };
    if let Some(change) = change {
        told(change, &upstream.id, &endpoint.name);
    }
}

#[cold]
fn told(change: Change, provider: &str, endpoint: &str) {
    change.tell(provider, endpoint);
}

/// From 0 to 1. Without a source of chance it is none, and nothing depends on it.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX)
}
