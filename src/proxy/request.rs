//! The header that goes upstream: the client's, less its credentials and what concerns this hop
//! only, plus the provider's path, host and key.
//!
//! Each attempt begins from the client's header: remove, then set.

use std::borrow::Cow;

use http::Uri;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_proxy::Session;
use smallvec::SmallVec;

use super::Gateway;
use super::azure;
use super::charge;
use super::context::{RequestContext, Routed};
use super::edits::Made;
use super::headers_out::{self, Passes};
use super::pass::Passed;
use super::websocket;
use crate::access::presented::{self, SubprotocolEdit};
use crate::catalog;
use crate::credentials::Source;
use crate::live::Live;
use crate::routing::plan::Credential;
use crate::surface::{ModelAt, Surface};
use crate::upstream::{Endpoint, Route};

impl Gateway {
    /// Makes the header that goes upstream out of the client's.
    pub(super) fn rewrite(
        &self,
        session: &Session,
        request: &mut RequestHeader,
        ctx: &RequestContext,
    ) -> Result<()> {
        let Some(routed) = ctx.routed.as_deref() else {
            return Err(Error::explain(
                ErrorType::InternalError,
                "a request without candidates",
            ));
        };
        let live = &ctx.live;
        let (route, described) = routes(routed, live, ctx.surface).ok_or_else(no_route)?;
        let query = session.req_header().uri.query();
        let on_gateway = routed.plan.credential().source == Source::Gateway;
        let also = if on_gateway { OTHER_CREDENTIALS } else { &[] };
        let stripped = query.and_then(|query| presented::strip_query(query, also));
        let query = stripped.as_deref().or(query).unwrap_or_default();
        let named = routed.body.in_path.as_deref();
        let named = named.filter(|it| it.surface.spec().model_at == ModelAt::Query);
        let renamed =
            named.map(|named| websocket::with_model(query, &named.name, routed.model(live)));
        let query = renamed.as_deref().unwrap_or(query);
        let path = session.req_header().uri.path();
        let of_route = described.query.as_deref().unwrap_or_default();
        let passed = routed.passed.as_deref();
        let (of_route, query) = match passed {
            None => azure::queries(path, of_route, query),
            Some(_) => (Cow::Borrowed(""), Cow::Borrowed(query)),
        };
        let to = Upstreamed {
            endpoint: routed.endpoint(live),
            route,
            described,
            model: routed.model(live),
            path: passed.map(|passed| &*passed.path),
            queries: [&of_route, &query],
            credential: routed.plan.credential(),
            length: routed.current.length,
            websocket: routed.tunnel.is_some(),
            plain: routed.current.edits.has(Made::ASKED),
            read: charge::is_held(routed),
        };
        rewrite(request, &to)
    }
}

/// How the candidate is asked, and what the catalog says of that.
fn routes<'l>(
    routed: &Routed,
    live: &'l Live,
    surface: Option<Surface>,
) -> Option<(&'l Route, &'l catalog::Route)> {
    let upstream = routed.upstream(live);
    let provider = live.catalog.provider(routed.plan.candidate().provider);
    match (surface, routed.passed.as_deref()) {
        (_, Some(Passed { at_home, .. })) => {
            let home = upstream.home.as_deref()?;
            Some((home.of(*at_home), provider.home.of(*at_home)))
        }
        (Some(surface), None) => Some((upstream.route(surface)?, provider.route(surface)?)),
        (None, None) => None,
    }
}

// Pingora's `or_err` would make the error of an `Option` first, and throw it away.
fn no_route() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a candidate without a route")
}

fn no_path() -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, "no path for this model")
}

/// What an upstream's header is made from.
pub struct Upstreamed<'a> {
    /// Where it goes.
    pub endpoint: &'a Endpoint,
    /// How the surface is asked there.
    pub route: &'a Route,
    /// What the catalog says of that.
    pub described: &'a catalog::Route,
    /// The model's id there, for paths that name it.
    pub model: &'a str,
    /// The path that it is asked at, where that is not the surface's.
    pub path: Option<&'a str>,
    /// The route's query and the client's without its credentials, as they go together.
    pub queries: [&'a str; 2],
    /// What proves who pays.
    pub credential: &'a Credential,
    /// The length of the body, where it is known, in bytes.
    pub length: Option<u64>,
    /// Whether it asks for a WebSocket.
    pub websocket: bool,
    /// Whether both sides of a WebSocket are read: it has no extensions then.
    pub read: bool,
    /// Whether the answer must come as it is, uncompressed: an event is to be taken out of it.
    pub plain: bool,
}

/// Turns the client's header into the upstream's.
///
/// # Errors
/// When a header or the path cannot be set.
pub fn rewrite(request: &mut RequestHeader, to: &Upstreamed<'_>) -> Result<()> {
    let source = to.credential.source;
    // A client that has its key in a subprotocol may be one whose provider takes it there only.
    let in_place = to.websocket
        && source == Source::Request
        && presented::has_own_subprotocol_key(&request.headers);
    // Before others are removed: what is set in the place of the client's need not be taken out first.
    let key = to.credential.key.as_ref().filter(|_| !in_place);
    if let Some(key) = key {
        key.put_on(request, &to.route.scheme)?;
    }
    let anew = Anew {
        key: key.and(to.route.scheme.header()),
        length: to.length.is_some(),
    };
    remove(request, source, in_place, &anew)?;
    request.set_uri(uri(to)?);
    request.insert_header(HOST, to.endpoint.authority.clone())?;
    for (name, value) in &to.route.defaults {
        if !request.headers.contains_key(name) {
            request.insert_header(name.clone(), value.clone())?;
        }
    }
    if to.websocket && to.read {
        request.remove_header(&SEC_WEBSOCKET_EXTENSIONS);
    }
    if to.websocket {
        request.insert_header(CONNECTION, "Upgrade")?;
        request.insert_header(UPGRADE, "websocket")?;
    }
    if to.plain {
        request.insert_header(ACCEPT_ENCODING, "identity")?;
    }
    if let Some(length) = to.length {
        request.insert_header(CONTENT_LENGTH, number(length))?;
    }
    Ok(())
}

/// As `HeaderValue::from`, with one allocation less.
fn number(number: u64) -> HeaderValue {
    let digits = HeaderValue::from_str(itoa::Buffer::new().format(number));
    digits.unwrap_or_else(|_| HeaderValue::from(number))
}

/// What has been said anew, or will be.
#[derive(Default)]
struct Anew<'a> {
    /// The header that its key is in already.
    key: Option<&'a HeaderName>,
    /// Whether the body has a length, and so no transfer coding.
    length: bool,
}

/// Takes out what does not go on. `in_place`: the client's own provider key stays in the subprotocol that has it.
fn remove(
    request: &mut RequestHeader,
    source: Source,
    in_place: bool,
    anew: &Anew<'_>,
) -> Result<()> {
    let on_gateway = source == Source::Gateway;
    let goes = |name: &HeaderName| match headers_out::passes(name.as_str()) {
        Passes::Never => anew.key != Some(name),
        Passes::OnOwn => on_gateway && anew.key != Some(name),
        Passes::Always => anew.length && *name == TRANSFER_ENCODING,
    };
    let mut unwanted = SmallVec::<[HeaderName; 8]>::new();
    let mut subprotocols = false;
    for name in request.headers.keys() {
        if goes(name) {
            unwanted.push(name.clone());
        }
        subprotocols |= *name == SEC_WEBSOCKET_PROTOCOL;
    }
    for name in &unwanted {
        request.remove_header(name);
    }
    if !subprotocols {
        return Ok(());
    }
    match presented::subprotocols(&request.headers, on_gateway, in_place) {
        SubprotocolEdit::Keep => {}
        SubprotocolEdit::Remove => drop(request.remove_header(&SEC_WEBSOCKET_PROTOCOL)),
        SubprotocolEdit::Replace(rest) => request.insert_header(SEC_WEBSOCKET_PROTOCOL, rest)?,
    }
    Ok(())
}

/// Query parameters in which providers take a credential beside their own header: Google's APIs, Azure API Management. One
/// of a client's beside the operator's would speak in the operator's name, or have its key refused.
const OTHER_CREDENTIALS: &[&str] = &["access_token", "oauth_token", "subscription-key"];

fn uri(to: &Upstreamed<'_>) -> Result<Uri> {
    if let Some(path) = to.path {
        return target(path, to.queries)
            .parse()
            .or_err(ErrorType::InvalidHTTPHeader, "upstream path");
    }
    let [_, query] = to.queries;
    if let Some(fixed) = to.route.fixed.as_ref().filter(|_| query.is_empty()) {
        return Ok(Uri::from(fixed.clone()));
    }
    let path = to.described.path(to.model).ok_or_else(no_path)?;
    target(&path, to.queries)
        .parse()
        .or_err(ErrorType::InvalidHTTPHeader, "upstream path")
}

/// Path and queries as one request target.
pub fn target<const N: usize>(path: &str, queries: [&str; N]) -> String {
    let mut target = path.to_owned();
    let mut separator = '?';
    for query in queries.into_iter().filter(|query| !query.is_empty()) {
        target.push(separator);
        target.push_str(query);
        separator = '&';
    }
    target
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::credentials::{Key, Scheme};

    #[test]
    fn what_concerns_the_client_or_this_hop_is_removed() {
        let mut request = RequestHeader::build("POST", b"/", None).expect("a header");
        for name in presented::CLIENT_AUTH.iter().map(HeaderName::as_str) {
            request.append_header(name.to_owned(), "x").expect("set");
        }
        for name in [
            "Tollgate-Provider",
            "Tollgate-Anything",
            "Connection",
            "TE",
            "Expect",
            "Cookie",
            "OpenAI-Project",
        ] {
            request.append_header(name.to_owned(), "x").expect("set");
        }
        for name in ["X-Stainless-Lang", "Anthropic-Beta"] {
            request.append_header(name.to_owned(), "y").expect("set");
        }
        request
            .append_header("Sec-WebSocket-Protocol", "openai-insecure-api-key.x")
            .expect("set");
        request
            .append_header("Transfer-Encoding", "chunked")
            .expect("set");
        remove(&mut request, Source::Gateway, false, &Anew::default()).expect("removed");
        let goes_on = ["anthropic-beta", "transfer-encoding", "x-stainless-lang"];
        assert_eq!(names(&request), goes_on);
        let anew = Anew {
            key: None,
            length: true,
        };
        remove(&mut request, Source::Gateway, false, &anew).expect("removed");
        assert_eq!(names(&request), ["anthropic-beta", "x-stainless-lang"]);
    }

    #[test]
    fn of_all_credentials_only_ours_is_left() {
        let key = Key::new("ours", Arc::default()).expect("a header value");
        let schemes = [Scheme::Bearer]
            .into_iter()
            .chain(presented::CLIENT_AUTH.iter().cloned().map(Scheme::Header));
        for scheme in schemes {
            let mut request = RequestHeader::build("POST", b"/", None).expect("a header");
            for name in presented::CLIENT_AUTH.iter().map(HeaderName::as_str) {
                for value in ["theirs", "Bearer theirs"] {
                    request.append_header(name.to_owned(), value).expect("set");
                }
            }
            key.put_on(&mut request, &scheme).expect("set");
            let anew = Anew {
                key: scheme.header(),
                length: false,
            };
            remove(&mut request, Source::Gateway, false, &anew).expect("removed");
            let left: Vec<&HeaderValue> = request.headers.values().collect();
            let expected = if let Scheme::Bearer = scheme {
                "Bearer ours"
            } else {
                "ours"
            };
            assert_eq!(left, [expected], "{scheme:?}");
        }
    }

    fn names(request: &RequestHeader) -> Vec<&str> {
        let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }
}
