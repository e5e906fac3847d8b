//! What is told of a request to a collector, where there is one: its trace at its beginning, a record at its end.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::Gateway;
use super::attempts;
use super::context::{RequestContext, Routed};
use crate::metrics::{AttemptOutcome, Label};
use crate::otel::{Attempt, Finished, TRACEPARENT, TRACESTATE, Telemetry};
use crate::routing::plan::UpstreamModel;
use crate::usage::Report;

/// Nobody is interested in these, and there are many.
const HEALTH: &str = "/healthz";

/// Bytes of a text that a client writes.
const TEXT_MAX: usize = 256;

impl Gateway {
    /// Begins the trace of a request, where it is told.
    pub(super) fn begin_trace(&self, header: &RequestHeader, ctx: &mut RequestContext) {
        if let Some(telemetry) = (**self.telemetry.peek()).as_deref()
            && header.uri.path() != HEALTH
        {
            ctx.trace = telemetry.begin(&header.headers);
        }
    }

    /// Whether providers are told of the trace of this request.
    pub(super) fn propagates(&self, ctx: &RequestContext) -> bool {
        let told = |telemetry: &Arc<Telemetry>| telemetry.propagates();
        ctx.trace.is_some() && self.telemetry.peek().as_ref().as_ref().is_some_and(told)
    }

    /// Puts the trace on the header of an attempt, if it is to be.
    pub(super) fn put_trace(
        &self,
        request: &mut RequestHeader,
        client: &HeaderMap,
        ctx: &RequestContext,
    ) -> Result<()> {
        let Some((trace, routed)) = ctx
            .trace
            .as_deref()
            .zip(ctx.routed.as_deref())
            .filter(|_| self.propagates(ctx))
        else {
            return Ok(());
        };
        let span = trace.attempt(routed.attempts.len());
        let unwritten = || Error::explain(ErrorType::InternalError, "a trace without a header");
        let value = trace.header(span).ok_or_else(unwritten)?;
        request.insert_header(TRACEPARENT, value)?;
        if trace.parent.is_none() && client.contains_key(TRACESTATE) {
            // It was of no trace that anybody could read.
            request.remove_header(&TRACESTATE);
        }
        Ok(())
    }

    /// Leaves the record of a request that has ended.
    pub(super) fn leave_record(
        &self,
        session: &Session,
        ctx: &RequestContext,
        status: u16,
        now: Instant,
        used: Option<&Report>,
    ) {
        let telemetry = self.telemetry.peek();
        let Some(telemetry) = (**telemetry).as_deref() else {
            return;
        };
        if !telemetry.wants(ctx.trace.as_deref()) {
            return;
        }
        let mut told = told(session, ctx, now);
        told.status = status;
        told.usage = used
            .filter(|report| report.flaw.is_none())
            .map(|report| report.usage);
        telemetry.finished(Box::new(told));
    }
}

/// What is known of the request, but for its status and what it used.
fn told(session: &Session, ctx: &RequestContext, now: Instant) -> Finished {
    let routed = ctx.routed.as_deref();
    let caller = ctx.caller.as_deref();
    let attempts = routed.map_or_else(Vec::new, |routed| attempts_of(ctx, routed, now));
    let has_answer = routed.is_some_and(|routed| routed.overhead.is_some());
    let asked = routed.map(|routed| &*routed.asked);
    let charged = routed.and_then(|routed| routed.charged);
    Finished {
        trace: ctx.trace.clone(),
        arrived: ctx.arrived_after_epoch(),
        took: now.saturating_duration_since(ctx.started),
        method: cut(session.req_header().method.as_str()),
        request_id: ctx.id().into(),
        surface: ctx.surface,
        account: caller.map(|caller| caller.account.name.as_ref().into()),
        key_id: caller.map(|caller| caller.key_id.as_str().into()),
        asked: asked.filter(|asked| !asked.is_empty()).map(cut),
        code: ctx.refused.map(super::reject::Code::name),
        streamed: routed.is_some_and(|routed| routed.streamed),
        credential: routed.map(|routed| routed.plan.credential().source.name()),
        cost_nano: charged.map(|charged| charged.cost.nanos()),
        answered: attempts.len().checked_sub(1).filter(|_| has_answer),
        attempts,
        ..Finished::default()
    }
}

/// What of a text that a client writes is told: records wait in memory.
fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_MAX)].into()
}

fn attempts_of(ctx: &RequestContext, routed: &Routed, now: Instant) -> Vec<Attempt> {
    let last = routed.attempts.len().saturating_sub(1);
    let has_answer = routed.overhead.is_some();
    let made = routed.attempts.iter().enumerate();
    let told = made.map(|(place, attempt)| {
        let mut told = one(ctx, routed, attempt)?;
        if has_answer && place == last {
            told.took = now.saturating_duration_since(attempt.began.unwrap_or(now));
            // An answer that broke off.
            if let Some(code) = ctx.refused.filter(|_| told.good) {
                (told.good, told.outcome) = (false, code.name());
            }
        }
        Some(told)
    });
    told.flatten().collect()
}

fn one(ctx: &RequestContext, routed: &Routed, attempt: &attempts::Attempt) -> Option<Attempt> {
    let candidate = routed
        .plan
        .candidates()
        .get(usize::from(attempt.candidate))?;
    let upstream = ctx.live.upstream(candidate.provider);
    let endpoint = attempt
        .endpoint
        .and_then(|place| upstream.endpoints.get(usize::from(place)));
    let (model, known) = match &candidate.model {
        UpstreamModel::Known(id) => (&*ctx.live.catalog.model(*id).id, true),
        UpstreamModel::Written(name) => (&**name, false),
    };
    let began = attempt.began.unwrap_or(ctx.started);
    Some(Attempt {
        provider: upstream.id.clone(),
        model: cut(model),
        known,
        address: endpoint.map(|endpoint| {
            let (host, port) = endpoint.address();
            (host.trim_matches(['[', ']']).into(), port)
        }),
        outcome: attempt.outcome.label(),
        good: attempt.outcome == AttemptOutcome::Ok,
        left: attempt.outcome == AttemptOutcome::Canceled,
        status: attempt.status,
        after: began.saturating_duration_since(ctx.started),
        took: attempt.took,
    })
}
