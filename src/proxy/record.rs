//! What a request leaves behind when it ends: counters, histograms and one line in the access log.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::Gateway;
use super::attempts::Attempt;
use super::charge::{self, Charged};
use super::context::{RequestContext, Routed};
use super::{meter, quota, response};
use crate::credentials::Source;
use crate::ledger::Estimated;
use crate::log::access::{Cost, Entry};
use crate::metrics::CredentialLabel;
use crate::money::Credits;
use crate::usage::Report;

/// A client's own id for its request, logged beside ours.
const CLIENT_REQUEST_ID: &str = "x-client-request-id";

/// Stands for no response: the client was gone before one.
const NO_RESPONSE: u16 = 0;

impl Gateway {
    /// Notes that the answer is on its way.
    pub(super) fn answering(
        &self,
        response: &ResponseHeader,
        ctx: &mut RequestContext,
        now: Instant,
    ) {
        let live = &*ctx.live;
        let Some(routed) = ctx.routed.as_deref_mut() else {
            return;
        };
        routed.events = response::is_event_stream(response);
        let estimates = charge::estimates(routed, &live.terms);
        let status = response.status.as_u16();
        routed.meter = meter::of(ctx.surface, status, &response.headers, estimates);
        if routed.events || status == 101 {
            routed.stream_open = Some(self.metrics.stream_begins());
        }
        let provider = live.provider_metrics(routed.plan.candidate().provider);
        if let Some(began) = routed.current.began {
            let waited = now.saturating_duration_since(began);
            provider.first_byte(waited);
            let gateway = now
                .saturating_duration_since(ctx.started)
                .saturating_sub(routed.upstream_time + waited);
            routed.overhead = Some(gateway);
            routed.first_byte = Some(waited);
            self.metrics.overhead(gateway);
        }
    }

    /// Writes the request down. `told`: what its answer has said of its usage, where it was asked for that already.
    pub(super) fn record(&self, session: &Session, ctx: &mut RequestContext, told: Option<Report>) {
        let status = session
            .response_written()
            .map_or(NO_RESPONSE, |header| header.status.as_u16());
        let now = Instant::now();
        let took = now.saturating_duration_since(ctx.started);
        let asked = || ctx.routed.as_ref()?.report();
        let used = told.or_else(|| asked().map(|(report, _)| report));
        self.count(ctx, status, took, used.as_ref());
        quota::settle(ctx.routed.as_deref_mut(), status, used.as_ref());
        if self.access_log.is_on() {
            self.log(session, ctx, status, now, used.as_ref());
        }
        self.leave_record(session, ctx, status, now, used.as_ref());
    }

    fn count(&self, ctx: &RequestContext, status: u16, took: Duration, used: Option<&Report>) {
        let routed = ctx.routed.as_deref();
        let provider =
            routed.map(|routed| ctx.live.provider_metrics(routed.plan.candidate().provider));
        let source = routed.map(|routed| routed.plan.credential().source);
        let series = provider.unwrap_or(self.metrics.no_provider());
        series.request(ctx.surface, status, label(source), took);
        if let Some(used) = used {
            series.tokens(&used.usage);
        }
    }

    fn log(
        &self,
        session: &Session,
        ctx: &RequestContext,
        status: u16,
        now: Instant,
        used: Option<&Report>,
    ) {
        let took = now.saturating_duration_since(ctx.started);
        let header = session.req_header();
        let own_id = ctx.seen.client_request_id.then(|| {
            let id = header.headers.get(CLIENT_REQUEST_ID)?;
            id.to_str().ok()
        });
        let own_id = own_id.flatten();
        let routed = ctx.routed.as_deref();
        let attempts = routed.map(|routed| attempts(ctx, routed));
        let caller = ctx.caller.as_deref();
        let kept_back = routed.map_or(0, |routed| routed.replay.kept_back());
        self.access_log.record(&Entry {
            time_ms: i64::try_from(ctx.arrived_after_epoch().as_millis()).unwrap_or(i64::MAX),
            request_id: ctx.id(),
            client_request_id: own_id,
            client: address(session),
            key_id: caller.map(|caller| caller.key_id.as_str()),
            account: caller.map(|caller| &*caller.account.name),
            method: header.method.as_str(),
            path: header.uri.path(),
            surface: ctx.surface.map(crate::surface::Surface::name),
            model: routed.map(|routed| &*routed.asked),
            provider: routed.map(|routed| &*routed.upstream(&ctx.live).id),
            endpoint: routed.and_then(|routed| endpoint(ctx, routed)),
            upstream_model: routed.map(|routed| routed.model(&ctx.live)),
            credential: routed.map(|routed| routed.plan.credential().source.name()),
            status,
            code: ctx.refused.map(super::reject::Code::name),
            attempts: attempts.as_deref(),
            edits: routed.and_then(edits),
            stream: routed.is_some_and(|routed| routed.streamed),
            bytes_in: routed.map_or(0, Routed::length),
            bytes_out: ctx.sent.saturating_sub(kept_back),
            usage: used.map(|used| (meter::word(used), used.usage)),
            cost: routed.and_then(|routed| routed.charged).map(cost),
            duration: took,
            queue: routed.map(|routed| routed.queued),
            upstream: routed.map(|routed| routed.upstream_time_at(now)),
            first_byte: routed.and_then(|routed| routed.first_byte),
            overhead: routed.and_then(|routed| routed.overhead),
            catalog: Some(&ctx.live.version),
            trace: ctx.trace.as_ref().map(|trace| trace.id),
        });
    }
}

fn cost(charged: Charged) -> Cost {
    Cost {
        charged: charged.cost.nanos(),
        held: charged.held.map(Credits::nanos),
        estimated: charged.estimated.map(Estimated::name),
    }
}

/// The attempts, as the client was shown them or would have been.
fn attempts<'a>(ctx: &RequestContext, routed: &'a Routed) -> Cow<'a, str> {
    let shown = routed.shown.as_ref().and_then(|shown| shown.to_str().ok());
    match shown {
        Some(shown) => Cow::Borrowed(shown),
        None => Cow::Owned(response::attempts(&ctx.live, routed)),
    }
}

/// The endpoint that answered, or was tried last, of the candidate that the request is told of.
fn endpoint<'a>(ctx: &'a RequestContext, routed: &Routed) -> Option<&'a str> {
    let candidate = routed.plan.candidate_index();
    let of_it = |attempt: &&Attempt| usize::from(attempt.candidate) == candidate;
    let asked = routed.attempts.iter().filter(of_it);
    let place = asked.filter_map(|attempt| attempt.endpoint).last()?;
    let endpoints = &routed.upstream(&ctx.live).endpoints;
    let endpoint = endpoints.get(usize::from(place))?;
    Some(&endpoint.name)
}

fn edits(routed: &Routed) -> Option<&'static str> {
    Some(routed.current.edits.names()).filter(|names| !names.is_empty())
}

fn label(source: Option<Source>) -> CredentialLabel {
    match source {
        Some(Source::Gateway) => CredentialLabel::Gateway,
        Some(Source::Byok) => CredentialLabel::Byok,
        Some(Source::Request) => CredentialLabel::Request,
        Some(Source::None) | None => CredentialLabel::None,
    }
}

fn address(session: &Session) -> Option<IpAddr> {
    session
        .client_addr()?
        .as_inet()
        .map(std::net::SocketAddr::ip)
}
