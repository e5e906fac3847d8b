//! A request that has ended as spans: one of the gateway, and one in it for each attempt.

use std::time::Duration;

use super::context::Trace;
use super::names;
use super::proto::{self, KeyValue, Span, Status, attribute};
use super::told::{Attempt, Finished};

/// Flag of a trace that is told (W3C).
const SAMPLED: u32 = 1;

/// Whether the parent of a span is of another process is known, and whether it is (OTLP's `SpanFlags`).
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;

/// The spans of a request; none where it has no trace.
pub(super) fn of(told: &Finished) -> Vec<Span> {
    let Some(trace) = told.trace.as_deref() else {
        return Vec::new();
    };
    let mut spans = vec![request(told, trace)];
    let attempts = told.attempts.iter().enumerate();
    spans.extend(attempts.map(|(place, attempt)| of_attempt(told, trace, place, attempt)));
    spans
}

fn request(told: &Finished, trace: &Trace) -> Span {
    let route = told.surface.map(|surface| {
        let spec = surface.spec();
        let root = match spec.dialect {
            crate::surface::Dialect::Gemini => "/v1beta",
            _ => "/v1",
        };
        format!("{root}{}", spec.path)
    });
    let mut attributes = vec![
        attribute("http.request.method", &*told.method),
        attribute("tollgate.request.id", &*told.request_id),
    ];
    let mut add = |key, value: Option<&str>| attributes.extend(value.map(|it| attribute(key, it)));
    add("http.route", route.as_deref());
    add("gen_ai.request.model", told.asked.as_deref());
    add("tollgate.account", told.account.as_deref());
    add("tollgate.key", told.key_id.as_deref());
    add("tollgate.credential", told.credential);
    add("tollgate.code", told.code);
    if told.status != 0 {
        attributes.push(attribute(
            "http.response.status_code",
            u64::from(told.status),
        ));
    }
    if told.surface.is_some() {
        let operation = names::operation(told.surface);
        attributes.push(attribute("gen_ai.operation.name", operation));
        attributes.push(attribute("tollgate.stream", told.streamed));
    }
    if let Some(cost) = told.cost_nano.and_then(|cost| u64::try_from(cost).ok()) {
        attributes.push(attribute("tollgate.cost_nano", cost));
    }
    let error = error_of(told);
    attributes.extend(error.as_deref().map(|why| attribute("error.type", why)));
    let (start, end) = (told.arrived, told.arrived + told.took);
    let name = match &route {
        Some(route) => format!("{} {route}", told.method),
        None => told.method.clone().into_string(),
    };
    let mut span = span(trace, trace.span, trace.parent, name, start, end);
    span.kind = proto::KIND_SERVER;
    span.attributes = attributes;
    span.status = error.map(failed);
    span.flags |= PARENT_KNOWN
        | if trace.parent.is_some() {
            PARENT_REMOTE
        } else {
            0
        };
    span
}

/// `error.type` of the whole: a 5xx, or an answer that broke off. A 4xx is the client's.
fn error_of(told: &Finished) -> Option<String> {
    match (told.status, told.code) {
        (500.., Some(code)) | (200..300, Some(code)) => Some(code.to_owned()),
        (500.., None) => Some(told.status.to_string()),
        _ => None,
    }
}

fn of_attempt(told: &Finished, trace: &Trace, place: usize, attempt: &Attempt) -> Span {
    let operation = names::operation(told.surface);
    let mut attributes = vec![
        attribute("gen_ai.operation.name", operation),
        attribute("gen_ai.provider.name", names::provider(&attempt.provider)),
        attribute("tollgate.provider", &*attempt.provider),
        attribute("tollgate.outcome", attempt.outcome),
    ];
    if !attempt.model.is_empty() {
        attributes.push(attribute("gen_ai.request.model", &*attempt.model));
    }
    if let Some((host, port)) = &attempt.address {
        attributes.push(attribute("server.address", &**host));
        attributes.push(attribute("server.port", u64::from(*port)));
    }
    if attempt.status != 0 {
        let status = u64::from(attempt.status);
        attributes.push(attribute("http.response.status_code", status));
    }
    if told.answered == Some(place) {
        attributes.extend(usage(told));
    }
    let error = attempt.error();
    attributes.extend(error.as_deref().map(|why| attribute("error.type", why)));
    let name = match &*attempt.model {
        "" => operation.to_owned(),
        model => format!("{operation} {model}"),
    };
    let start = told.arrived + attempt.after;
    let own = trace.attempt(place);
    let mut span = span(
        trace,
        own,
        Some(trace.span),
        name,
        start,
        start + attempt.took,
    );
    span.kind = proto::KIND_CLIENT;
    span.attributes = attributes;
    span.status = error.map(failed);
    span.flags |= PARENT_KNOWN;
    span
}

fn usage(told: &Finished) -> Vec<KeyValue> {
    let Some(usage) = &told.usage else {
        return Vec::new();
    };
    let mut attributes = vec![
        attribute("gen_ai.usage.input_tokens", usage.input),
        attribute("gen_ai.usage.output_tokens", usage.output),
    ];
    let written = usage.cache_write + usage.cache_write_1h + usage.cache_write_12h;
    for (key, count) in [
        ("gen_ai.usage.cache_read.input_tokens", usage.cached),
        ("gen_ai.usage.cache_creation.input_tokens", written),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
    ] {
        if count > 0 {
            attributes.push(attribute(key, count));
        }
    }
    attributes
}

fn span(
    trace: &Trace,
    own: u64,
    parent: Option<u64>,
    name: String,
    start: Duration,
    end: Duration,
) -> Span {
    Span {
        trace_id: trace.id.to_vec(),
        span_id: own.to_be_bytes().to_vec(),
        trace_state: trace.state.clone().into_string(),
        parent_span_id: parent.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name,
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(end),
        flags: SAMPLED,
        ..Span::default()
    }
}

/// The status of a span that failed for this reason.
fn failed(message: String) -> Status {
    Status {
        message,
        code: proto::STATUS_ERROR,
    }
}

/// Good until the year 2554.
pub(super) fn nanos(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}
