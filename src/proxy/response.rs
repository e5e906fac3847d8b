//! The header that goes to the client: the upstream's, less what it must not say to a client of
//! Tollgate's, plus the `Tollgate-*` headers.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::response;
use pingora::Result;
use pingora::http::ResponseHeader;

use super::context::{RequestContext, Routed};
use super::edits::Made;
use super::headers_out::OWN_PREFIX;
use super::quota;
use super::websocket;
use crate::access::allowance::Levels;
use crate::cors;
use crate::credentials::Source;
use crate::live::Live;
use crate::routing::plan::UpstreamModel;
use crate::surface::Dialect;

const REQUEST_ID: HeaderName = HeaderName::from_static("tollgate-request-id");
const MODEL: HeaderName = HeaderName::from_static("tollgate-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("tollgate-attempts");
const CREDENTIAL: HeaderName = HeaderName::from_static("tollgate-credential");
const EDITS: HeaderName = HeaderName::from_static("tollgate-edits");
const REJECTED: HeaderName = HeaderName::from_static("tollgate-rejected-models");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The headers that nearly every answer is given: most of those above, and the two that Pingora adds. Room is made for
/// them at once.
const GIVEN: usize = 8;

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
    edited(response, |headers| name_request(headers, ctx))
}

/// The answer to a browser that asks what the page of these headers may send.
///
/// # Errors
/// Pingora's, when the header cannot be made.
pub fn preflight(ctx: &RequestContext, asked: &HeaderMap) -> Result<ResponseHeader> {
    let mut response = ResponseHeader::build_no_case(204, Some(8))?;
    edited(&mut response, |headers| {
        name_request(headers, ctx);
        cors::answer(headers, asked);
    })?;
    Ok(response)
}

/// Tells how the limits of a minute stand, as providers of the dialect do.
///
/// # Errors
/// Pingora's, when a header cannot be set.
pub fn limits(response: &mut ResponseHeader, levels: &Levels, dialect: Dialect) -> Result<()> {
    edited(response, |headers| {
        quota::write(headers, levels, dialect, SystemTime::now())
    })
}

/// Turns the upstream's header into the client's.
///
/// # Errors
/// Pingora's, when the reason phrase cannot be kept.
pub fn decorate(
    response: &mut ResponseHeader,
    ctx: &mut RequestContext,
    now: Instant,
) -> Result<()> {
    let usage_out = takes_usage_out(response, ctx);
    // What it says of this hop is what the client has asked for.
    let opened = websocket::is_opened(ctx, response);
    edited(response, |headers| {
        if usage_out {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let source = ctx
            .routed
            .as_ref()
            .map(|routed| routed.plan.credential().source);
        clean(headers, source);
        if !opened {
            drop_of_one_hop(headers);
        }
        quota::tell(headers, ctx, now);
        name_request(headers, ctx);
        if let Some(routed) = ctx.routed.as_deref_mut() {
            let took = now.saturating_duration_since(ctx.started);
            describe(headers, &ctx.live, routed, took, now);
        }
    })
}

/// Sees to it that the usage which the body was made to ask for is not told to the client (E4). What is compressed goes
/// on as it is.
fn takes_usage_out(response: &ResponseHeader, ctx: &mut RequestContext) -> bool {
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return false;
    };
    let edits = &mut routed.current.edits;
    let takes = edits.has(Made::ASKED) && response.status == 200 && is_event_stream(response);
    if takes {
        *edits = edits.and(Made::USAGE_OUT);
        routed.replay.take_usage_out();
    }
    takes
}

/// Edits the headers of a response as a plain map.
///
/// Pingora keeps a second map beside it, of the names as an HTTP/1.1 upstream wrote them, and pays
/// for both with every header. That one is let go: names go out in lower case, as over HTTP/2 (they
/// mean the same in any case: RFC 9110, section 5.1).
fn edited(response: &mut ResponseHeader, edit: impl FnOnce(&mut HeaderMap)) -> Result<()> {
    let usual = response.status.canonical_reason();
    let phrase = response.get_reason_phrase();
    let phrase = phrase.filter(|_| phrase != usual).map(str::to_owned);
    let blank = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(std::mem::replace(response, blank));
    parts.headers.reserve(GIVEN);
    edit(&mut parts.headers);
    *response = ResponseHeader::from(parts);
    if phrase.is_some() {
        response.set_reason_phrase(phrase.as_deref())?;
    }
    Ok(())
}

fn name_request(headers: &mut HeaderMap, ctx: &RequestContext) {
    headers.insert(REQUEST_ID, ctx.id.to_header());
    if ctx.seen.origin {
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.clone());
        ctx.live.cors.tell(headers, ctx.seen.page);
    }
}

fn clean(headers: &mut HeaderMap, source: Option<Source>) {
    let on_gateway = source == Some(Source::Gateway);
    let unwanted = |name: &&HeaderName| is_unwanted(name.as_str(), on_gateway);
    while let Some(name) = headers.keys().find(unwanted).cloned() {
        headers.remove(&name);
    }
}

fn drop_of_one_hop(headers: &mut HeaderMap) {
    while let Some(name) = of_one_hop(headers) {
        headers.remove(&name);
    }
}

/// What no client is told: what is said in Tollgate's name, what concerns the upstream's hop, and on
/// the gateway's own credential what concerns its holder.
fn is_unwanted(name: &str, on_gateway: bool) -> bool {
    match name {
        "alt-svc" | "keep-alive" | "proxy-authenticate" => true,
        "set-cookie" => on_gateway,
        _ => name.starts_with(OWN_PREFIX) || (on_gateway && speaks_of_limits(name)),
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

fn describe(
    headers: &mut HeaderMap,
    live: &Live,
    routed: &mut Routed,
    took: Duration,
    now: Instant,
) {
    // One allocation for all three values: each is a part of the same bytes.
    let mut words = String::with_capacity(256);
    write_candidate(live, routed, routed.plan.candidate_index(), &mut words);
    let model = words.len();
    write_attempts(live, routed, &mut words);
    let attempts = words.len();
    write_timing(took, routed.upstream_time_at(now), &mut words);
    let words = Bytes::from(words);
    let shown = value(words.slice(model..attempts));
    headers.insert(MODEL, value(words.slice(..model)));
    headers.insert(ATTEMPTS, shown.clone());
    let credential = HeaderValue::from_static(routed.plan.credential().source.name());
    headers.insert(CREDENTIAL, credential);
    if let Some(edits) = routed.current.edits.header() {
        headers.insert(EDITS, edits);
    }
    if let Some(rejected) = &routed.rejected {
        headers.insert(REJECTED, rejected.clone());
    }
    headers.append(SERVER_TIMING, value(words.slice(attempts..)));
    routed.shown = Some(shown);
}

/// The attempts as they are shown.
#[must_use]
pub fn attempts(live: &Live, routed: &Routed) -> String {
    let mut text = String::new();
    write_attempts(live, routed, &mut text);
    text
}

fn write_attempts(live: &Live, routed: &Routed, text: &mut String) {
    let name = |at, text: &mut String| write_candidate(live, routed, usize::from(at), text);
    routed.attempts.render(text, name);
}

fn write_candidate(live: &Live, routed: &Routed, at: usize, text: &mut String) {
    let Some(candidate) = routed.plan.candidates().get(at) else {
        return;
    };
    text.push_str(&live.upstream(candidate.provider).id);
    if !matches!(&candidate.model, UpstreamModel::Written(name) if name.is_empty()) {
        text.push(':');
    }
    match &candidate.model {
        UpstreamModel::Known(id) => text.push_str(&live.catalog.model(*id).id),
        UpstreamModel::Written(name) => text.push_str(name),
    }
}

/// What the gateway took, and what the upstreams (the Server-Timing recommendation of the W3C).
fn write_timing(total: Duration, upstream: Duration, text: &mut String) {
    text.push_str("gateway;dur=");
    write_millis(total.saturating_sub(upstream), text);
    text.push_str(", upstream;dur=");
    write_millis(upstream, text);
}

/// Milliseconds with three decimals.
fn write_millis(time: Duration, text: &mut String) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut number = itoa::Buffer::new();
    text.push_str(number.format(micros / 1_000));
    text.push('.');
    // With a digit in front that keeps the zeros, and is left out.
    text.push_str(&number.format(1_000 + micros % 1_000)[1..]);
}

/// A header value of what a client may have written: anything but visible ASCII becomes `?`.
#[must_use]
pub fn text(value: &str) -> HeaderValue {
    let plain = value.is_ascii().then(|| HeaderValue::from_str(value).ok());
    plain.flatten().unwrap_or_else(|| masked(value))
}

/// As [`text`], of bytes that are UTF-8 and are shared rather than copied.
fn value(bytes: Bytes) -> HeaderValue {
    let plain = bytes
        .is_ascii()
        .then(|| HeaderValue::from_maybe_shared(bytes.clone()).ok());
    plain
        .flatten()
        .unwrap_or_else(|| masked(&String::from_utf8_lossy(&bytes)))
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
        assert_eq!(value(Bytes::from("openai:gpt-4o")), "openai:gpt-4o");
        assert_eq!(value(Bytes::from("a\r\nb: ü")), "a??b: ?");
    }

    #[test]
    fn times_are_milliseconds_with_three_decimals() {
        let mut text = String::new();
        let (total, upstream) = (Duration::from_micros(1_234_067), Duration::from_micros(67));
        write_timing(total, upstream, &mut text);
        assert_eq!(text, "gateway;dur=1234.000, upstream;dur=0.067");
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
        edited(&mut response, |headers| {
            clean(headers, Some(Source::Gateway))
        })
        .expect("edited");
        let left: Vec<&str> = response.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-request-id"]);
    }

    #[test]
    fn status_and_reason_stay_as_the_upstream_said() {
        let mut response = ResponseHeader::build(404, None).expect("a header");
        response
            .set_reason_phrase(Some("Nothing here"))
            .expect("set");
        edited(&mut response, |_| {}).expect("edited");
        assert_eq!(response.status, 404);
        assert_eq!(response.get_reason_phrase(), Some("Nothing here"));
    }
}
