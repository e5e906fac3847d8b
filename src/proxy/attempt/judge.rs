//! Judges the header of a response: whether it is the answer, or something else is tried.

use std::time::{Instant, SystemTime};

use http::{HeaderName, HeaderValue};
use pingora::http::ResponseHeader;

use super::{decided, note, outcome_of, record};
use crate::credentials::Said;
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Metrics};
use crate::proxy::context::{RequestContext, Routed};
use crate::proxy::look::{self, Look};
use crate::proxy::{charge, keys, limited, masked, report};
use crate::routing::failover::{self, Happened, Verdict};

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
    routed.current.judged = Some(now);
    routed.current.status = Some(status);
    if let Some(open) = &mut routed.current.open {
        // Of ours, the header has none by now.
        let credential = routed.plan.credential();
        let key = credential.key.as_ref();
        let key = key.filter(|_| !credential.source.is_ours());
        let secret = |id: &HeaderValue| key.is_some_and(|key| masked::tells(id, key));
        open.upstream_id = upstream_id(response).filter(|id| !secret(id));
    }
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

/// When the answer at hand was judged, if it has not been waited for anything since.
#[must_use]
pub fn judged(ctx: &RequestContext) -> Option<Instant> {
    let routed = ctx.routed.as_deref()?;
    // What is held is written to the disk before the answer goes on.
    routed.current.judged.filter(|_| !charge::is_held(routed))
}

/// The headers that have the provider's own id of the request, or of what it generates.
static UPSTREAM_ID: [HeaderName; 3] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-generation-id"),
];

fn upstream_id(response: &ResponseHeader) -> Option<HeaderValue> {
    UPSTREAM_ID
        .iter()
        .find_map(|name| response.headers.get(name))
        .cloned()
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
