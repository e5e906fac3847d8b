//! The header that goes to the client: the upstream's, less what it must not say to a client of
//! Tollgate's, plus the `Tollgate-*` headers.

use std::fmt::Write;
use std::time::Instant;

use http::HeaderValue;
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, ALT_SVC, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderMap, HeaderName, PROXY_AUTHENTICATE, SET_COOKIE, TRANSFER_ENCODING,
};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::context::{RequestContext, Routed};
use super::request::OWN_PREFIX;
use crate::credentials::Source;
use crate::live::Live;
use crate::routing::plan::UpstreamModel;

/// The request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("tollgate-request-id");
const MODEL: HeaderName = HeaderName::from_static("tollgate-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("tollgate-attempts");
const CREDENTIAL: HeaderName = HeaderName::from_static("tollgate-credential");
const EDITS: HeaderName = HeaderName::from_static("tollgate-edits");
const REJECTED: HeaderName = HeaderName::from_static("tollgate-rejected-models");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What a page of another origin may read.
static EXPOSED: HeaderValue = HeaderValue::from_static(
    "tollgate-request-id, tollgate-model, tollgate-attempts, tollgate-credential, \
     tollgate-rejected-models, tollgate-edits, server-timing, x-request-id, request-id, \
     retry-after",
);

/// Sets what every response of Tollgate carries, refusals included.
///
/// # Errors
/// Pingora's, when a header cannot be set.
pub fn identify(response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    response.insert_header(REQUEST_ID, ctx.id.to_header())?;
    if ctx.cross_origin {
        response.append_header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.clone())?;
    }
    Ok(())
}

/// Turns the upstream's header into the client's.
///
/// # Errors
/// Pingora's, when a header cannot be set.
pub fn decorate(response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    let source = ctx
        .routed
        .as_ref()
        .map(|routed| routed.plan.credential().source);
    clean(response, source);
    identify(response, ctx)?;
    if let Some(routed) = &ctx.routed {
        describe(response, ctx, routed)?;
    }
    Ok(())
}

fn clean(response: &mut ResponseHeader, source: Option<Source>) {
    let unwanted = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with(OWN_PREFIX) || (source == Some(Source::Gateway) && speaks_of_limits(name))
    };
    while let Some(name) = response.headers.keys().find(unwanted).cloned() {
        response.remove_header(&name);
    }
    response.remove_header(&ALT_SVC);
    while let Some(name) = of_one_hop(&response.headers) {
        response.remove_header(&name);
    }
    response.remove_header(&KEEP_ALIVE);
    response.remove_header(&PROXY_AUTHENTICATE);
    if source == Some(Source::Gateway) {
        response.remove_header(&SET_COOKIE);
    }
}

/// A header that is there and that `Connection` says is of this hop only (RFC 9110, section 7.6.1). Framing is none of
/// them, and set apart; `close` and `keep-alive` name no header, and are what nearly every upstream says.
fn of_one_hop(headers: &HeaderMap) -> Option<HeaderName> {
    let options = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options
        .map(<[u8]>::trim_ascii)
        .filter(|option| {
            !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
        })
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
        .find(|name| headers.contains_key(name))
}

/// The operator's rate limits at a provider are not its accounts' business.
fn speaks_of_limits(name: &str) -> bool {
    const PREFIXES: [&str; 4] = [
        "x-ratelimit-",
        "anthropic-ratelimit-",
        "x-tokenlimit-",
        "ratelimit",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn describe(response: &mut ResponseHeader, ctx: &RequestContext, routed: &Routed) -> Result<()> {
    response.insert_header(MODEL, text(&model_name(&ctx.live, routed)))?;
    response.insert_header(ATTEMPTS, text(&attempts(&ctx.live, routed)))?;
    response.insert_header(CREDENTIAL, routed.plan.credential().source.name())?;
    if let Some(edits) = &routed.current.edits {
        response.insert_header(EDITS, edits.clone())?;
    }
    if let Some(rejected) = &routed.rejected {
        response.insert_header(REJECTED, rejected.clone())?;
    }
    response.append_header(SERVER_TIMING, text(&timing(ctx, routed)))?;
    Ok(())
}

/// `provider:model` of the candidate being tried.
#[must_use]
pub fn model_name(live: &Live, routed: &Routed) -> String {
    let mut name = String::with_capacity(48);
    write_candidate(live, routed, routed.plan.candidate_index(), &mut name);
    name
}

/// The attempts as they are shown.
#[must_use]
pub fn attempts(live: &Live, routed: &Routed) -> String {
    routed
        .attempts
        .render(|at, text| write_candidate(live, routed, usize::from(at), text))
}

fn write_candidate(live: &Live, routed: &Routed, at: usize, text: &mut String) {
    let Some(candidate) = routed.plan.candidates().get(at) else {
        return;
    };
    text.push_str(&live.upstream(candidate.provider).id);
    text.push(':');
    match &candidate.model {
        UpstreamModel::Known(id) => text.push_str(&live.catalog.model(*id).id),
        UpstreamModel::Written(name) => text.push_str(name),
    }
}

fn timing(ctx: &RequestContext, routed: &Routed) -> String {
    let now = Instant::now();
    let total = now.saturating_duration_since(ctx.started);
    let upstream = routed.upstream_time_at(now);
    let gateway = total.saturating_sub(upstream);
    let mut text = String::with_capacity(48);
    let _ = write!(
        text,
        "gateway;dur={:.3}, upstream;dur={:.3}",
        gateway.as_secs_f64() * 1e3,
        upstream.as_secs_f64() * 1e3
    );
    text
}

/// A header value of what a client may have written: anything but visible ASCII becomes `?`.
#[must_use]
pub fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value)
        .ok()
        .filter(|_| value.is_ascii())
        .unwrap_or_else(|| masked(value))
}

fn masked(value: &str) -> HeaderValue {
    let visible = |letter: char| {
        if letter == ' ' || letter.is_ascii_graphic() {
            letter
        } else {
            '?'
        }
    };
    let value: String = value.chars().map(visible).collect();
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("?"))
}

/// Whether an error event can end this response: an event stream that is not compressed.
#[must_use]
pub fn is_event_stream(response: &ResponseHeader) -> bool {
    let kind = response
        .headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
        && !response.headers.contains_key(CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_is_made_safe_for_a_header() {
        assert_eq!(text("openai:gpt-4o"), "openai:gpt-4o");
        assert_eq!(text("a\r\nb: ü"), "a??b: ?");
    }

    #[test]
    fn an_upstream_cannot_speak_in_tollgates_name() {
        let mut response = ResponseHeader::build(200, None).expect("a header");
        for name in [
            "Tollgate-Model",
            "X-RateLimit-Remaining-Tokens",
            "Alt-Svc",
            "X-Request-Id",
        ] {
            response.append_header(name.to_owned(), "x").expect("set");
        }
        clean(&mut response, Some(Source::Gateway));
        let left: Vec<&str> = response.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-request-id"]);
    }
}
