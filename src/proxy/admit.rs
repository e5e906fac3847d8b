//! From a request's first byte to its plan: who asks, for what, and what can be tried.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use pingora_proxy::Session;

use super::Gateway;
use super::address::{self, Address};
use super::body::{self, Body, Bounds, InPath, Unread};
use super::candidates::{Ask, Found};
use super::context::{Current, RequestContext, Routed};
use super::decide::{self, Decision};
use super::members;
use super::models::{self, Page};
use super::pass::Passed;
use super::reject::{Code, Rejection};
use super::replay::{self, Deadlines, Shared};
use super::seen::Seen;
use super::tail::Tail;
use super::way::Way;
use super::websocket;
use super::{affinity, attempts, azure, form, framing, order, pass, path_model, preflight, quota};
use crate::access::{Caller, presented, times};
use crate::byok::keys::StoredKeys;
use crate::catalog::ProviderId;
use crate::credentials::Payer;
use crate::ledger::Billing;
use crate::live::Live;
use crate::money::{Betas, Credits, NotAnAmount};
use crate::routing::failover::{Mode, Rules};
use crate::routing::plan::{Candidate, Candidates, Plan};
use crate::surface::{Dialect, ModelAt, Surface};

/// Pins the provider without touching the body.
const PROVIDER: HeaderName = HeaderName::from_static("tollgate-provider");
/// Overrides the failover mode.
const FAILOVER: HeaderName = HeaderName::from_static("tollgate-failover");

/// Bounds the whole request with all its attempts.
const TIMEOUT: HeaderName = HeaderName::from_static("tollgate-timeout");

/// Bounds what it may cost.
const MAX_COST: HeaderName = HeaderName::from_static("tollgate-max-cost");

/// What follows the admission.
pub enum Next {
    /// The request goes upstream.
    Proxy,
    /// It has been answered.
    Answered,
}

/// What the client said in headers about how it wants to be served.
pub(super) struct Controls {
    pub(super) pinned: Option<ProviderId>,
    pub(super) rules: Rules,
    /// The longest that the request may take.
    pub(super) total: Option<Duration>,
    /// The most that the request may cost.
    pub(super) max_cost: Option<Credits>,
    pub(super) own_key: Option<String>,
    /// Whether models that have no price are served too.
    pub(super) unpriced: bool,
}

impl Gateway {
    /// Admits a request: answers it, refuses it, or makes its plan.
    pub(super) async fn admit(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Next, Unread> {
        let header = session.req_header();
        ctx.seen = Seen::of(&header.headers);
        let live = ctx.live.clone();
        // Shares its bytes, as does the header that goes upstream.
        let uri = header.uri.clone();
        let path = azure::below(uri.path(), uri.query());
        let address = address::parse(path, &*live.catalog);
        ctx.dialect = dialect(&address, ctx.seen);
        if ctx.seen.origin {
            ctx.seen.page = live.cors.allows(&session.req_header().headers);
        }
        if let Err(ambiguous) = framing::check(session, ctx.seen) {
            session.set_keepalive(None);
            return Err(ambiguous.into());
        }
        if ctx.seen.page.is_some() && preflight::is(session.req_header()) {
            return self.preflight(session, ctx).await;
        }
        if ctx.seen.upgrade && websocket::is_asked(session.req_header()) {
            let answered = self.websocket(session, ctx, address);
            // Boxed, so that the usual way does not become larger.
            return Box::pin(answered).await;
        }
        match address {
            Address::Health => self.healthy(session, ctx).await,
            // A method of a model, in Gemini's way (`/v1beta/models/ID:METHOD`), that is no surface.
            Address::Model { provider, id, .. }
                if id.contains(':') && session.req_header().method == Method::POST =>
            {
                self.pass(session, ctx, provider).await
            }
            Address::Models { provider, .. } | Address::Model { provider, .. }
                if pass::is_passed(session, ctx, provider) && !reads(session) =>
            {
                self.pass(session, ctx, provider).await
            }
            Address::Models { provider, .. } => self.models(session, ctx, provider, None).await,
            Address::Model { provider, id, .. } => {
                self.models(session, ctx, provider, Some(id)).await
            }
            Address::Base => {
                if !matches!(session.req_header().method, Method::GET | Method::HEAD) {
                    return Err(base_only().into());
                }
                self.healthy(session, ctx).await
            }
            Address::Explain => self.explain(session, ctx).await,
            Address::Credit => self.credit(session, ctx).await,
            Address::Request { id } => self.request(session, ctx, id).await,
            Address::Surface { surface, provider }
                if !surface.is_websocket() && pass::is_passed(session, ctx, provider) =>
            {
                self.pass(session, ctx, provider).await
            }
            Address::Surface { surface, provider } => {
                ctx.surface = Some(surface);
                self.plan(session, ctx, surface, provider, None).await?;
                Ok(Next::Proxy)
            }
            Address::InPath {
                surface,
                provider,
                model,
            } => {
                ctx.surface = Some(surface);
                let planned = self.plan(session, ctx, surface, provider, Some(model));
                // Boxed, so that the usual way does not become larger.
                Box::pin(planned).await?;
                Ok(Next::Proxy)
            }
            Address::Unknown { provider } => self.pass(session, ctx, provider).await,
        }
    }

    async fn healthy(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Next, Unread> {
        let body = bytes::Bytes::from_static(br#"{"status":"ok"}"#);
        let sent = self.answer_json(session, ctx, body).await;
        sent.map(|()| Next::Answered).map_err(|_| Unread::Gone)
    }

    async fn models(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        provider: Option<&str>,
        id: Option<&str>,
    ) -> Result<Next, Unread> {
        allow(session, &[Method::GET, Method::HEAD])?;
        let controls = self.identify(session, ctx, provider)?;
        let Some(caller) = ctx.caller.clone() else {
            return Err(Unread::Gone);
        };
        let live = ctx.live.clone();
        let body = match id {
            Some(id) => {
                let id = models::decoded(id);
                models::one(&live, &caller, controls.pinned, ctx.dialect, &id)?
            }
            None => {
                let page = Page::of_query(session.req_header().uri.query(), ctx.dialect)?;
                models::list(&live, &caller, controls.pinned, ctx.dialect, &page)?
            }
        };
        let sent = self.answer_json(session, ctx, body).await;
        sent.map(|()| Next::Answered).map_err(|_| Unread::Gone)
    }

    async fn plan(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        surface: Surface,
        provider: Option<&str>,
        in_path: Option<&str>,
    ) -> Result<(), Unread> {
        if surface.is_websocket() {
            return Err(websocket::only(&session.req_header().method).into());
        }
        allow(session, &[Method::POST])?;
        if ctx.live.terms.unpriced {
            // How the account pays is the ledger's to say.
            self.ledger.ready().await;
        }
        let controls = self.identify(session, ctx, provider)?;
        let query = session.req_header().uri.query();
        let in_path = in_path
            .map(|written| named(written, surface, query))
            .transpose()?;
        self.check_load(ctx)?;
        let admitted = quota::enter(ctx.caller.as_ref())?;
        let mut bounds = bounds(&ctx.live);
        bounds.named = surface.spec().model_at == ModelAt::Path;
        session.set_write_timeout(Some(bounds.client));
        let mut body = match form::of(session, surface)? {
            None => body::read(session.as_mut(), ctx.seen, &self.memory, &bounds).await?,
            Some(form) => {
                let (session, seen) = (session.as_mut(), ctx.seen);
                Box::pin(form::read(session, seen, &self.memory, &bounds, form)).await?
            }
        };
        if in_path.is_some() {
            path_model::is_readable(surface, &body, bounds.replay)?;
            body.in_path = in_path;
        }
        let lost = body.lost;
        let headers = &session.req_header().headers;
        if ctx.seen.anthropic_beta {
            let lines = headers.get_all("anthropic-beta").iter();
            body.betas = Betas::of(lines.map(HeaderValue::as_bytes));
        }
        let stored = self.stored.pin();
        let mut routed = route(ctx, surface, &controls, &stored, headers, body, &bounds)?;
        quota::reserve(admitted, Some(surface), &mut routed)?;
        if let Some(reason) = lost {
            self.metrics.replay_lost(reason);
        }
        replay::install(session, routed.replay.clone());
        ctx.routed = Some(routed);
        Ok(())
    }

    /// Whether the caller may use models that have no price.
    fn serves_unpriced(&self, live: &Live, caller: &Caller) -> bool {
        if !live.terms.unpriced {
            return false;
        }
        let standing = self.ledger.standing(caller.account.id);
        standing.is_some_and(|standing| standing.billing == Billing::Postpaid { limit: None })
    }

    /// Refuses when as many requests are under way as may be.
    pub(super) fn check_load(&self, ctx: &RequestContext) -> Result<(), Rejection> {
        if self.metrics.in_flight() > ctx.live.requests_max {
            return Err(overloaded());
        }
        Ok(())
    }

    /// Who asks, and how it wants to be served.
    pub(super) fn identify(
        &self,
        session: &Session,
        ctx: &mut RequestContext,
        in_path: Option<&str>,
    ) -> Result<Controls, Rejection> {
        let header = session.req_header();
        let presented = presented::find(&header.headers, ctx.seen.places, header.uri.query())
            .map_err(refused)?;
        let now = i64::try_from(ctx.arrived_after_epoch().as_secs()).unwrap_or(i64::MAX);
        let caller = self
            .keys
            .pin()
            .authenticate(&presented.access_key, now)
            .map_err(refused)?;
        let caller = ctx.caller.insert(caller);
        let own_key = presented.request_credential.map(Cow::into_owned);
        (0..ctx.seen.ignored).for_each(|_| self.metrics.ignored_header());
        let live = ctx.live.clone();
        Ok(Controls {
            pinned: pinned(&live, header, ctx.seen, in_path)?,
            rules: Rules {
                mode: failover(header, ctx.seen)?
                    .or(caller.policy.failover())
                    .unwrap_or(live.rules.mode),
                ..live.rules
            },
            total: timeout(header, ctx.seen)?,
            max_cost: narrower(max_cost(header, ctx.seen)?, caller.policy.limits().max_cost),
            own_key,
            unpriced: self.serves_unpriced(&live, caller),
        })
    }
}

/// The model that a path names.
fn named(written: &str, surface: Surface, query: Option<&str>) -> Result<Box<InPath>, Rejection> {
    let name = address::name(written, surface.spec().dialect)?;
    Ok(Box::new(InPath {
        name: name.into(),
        surface,
        plain: path_model::is_plain(query),
    }))
}

/// What a request may send.
pub(super) fn bounds(live: &Live) -> Bounds {
    Bounds {
        body: live.body_max,
        replay: live.replay_max,
        client: live.client_patience,
        named: false,
    }
}

/// Names, candidates and plan of a request whose body has been read.
pub(super) fn route(
    ctx: &RequestContext,
    surface: Surface,
    controls: &Controls,
    stored: &StoredKeys,
    headers: &HeaderMap,
    body: Body,
    bounds: &Bounds,
) -> Result<Box<Routed>, Rejection> {
    let live = &*ctx.live;
    let Some(caller) = ctx.caller.as_deref() else {
        return Err(refused(crate::access::Refusal::NoKey));
    };
    let ask = Ask {
        live,
        caller,
        surface,
        pinned: controls.pinned,
        own_key: controls.own_key.as_deref(),
        stored: stored.of(caller.account.id),
        body: &body,
        unpriced: controls.unpriced,
    };
    if let Some(provider) = pass::unnamed(surface, controls.pinned, &body)? {
        let asker = pass::Asker {
            live,
            caller,
            own_key: ask.own_key,
            stored: ask.stored,
        };
        let candidate = asker.unnamed(provider, surface)?;
        let streamed = members::streamed(body.scanner.members());
        let chosen = Chosen::sole(candidate, streamed);
        return assemble(ctx, controls, headers, body, bounds, chosen);
    }
    let Decision { names, found } = decide::decide(&ask, &mut ())?;
    let chosen = Chosen {
        asked: names[0].as_ref().into(),
        streamed: surface.always_streams() || members::streamed(body.scanner.members()),
        found,
        passed: None,
    };
    drop(names);
    assemble(ctx, controls, headers, body, bounds, chosen)
}

/// What a request asks for, and what is tried for it.
pub(super) struct Chosen {
    /// The name it asked for first; empty where it names none.
    pub(super) asked: Box<str>,
    /// Whether it asked for a stream.
    pub(super) streamed: bool,
    /// The candidates.
    pub(super) found: Found,
    /// Where it goes, if it is passed on as it is.
    pub(super) passed: Option<Box<Passed>>,
}

impl Chosen {
    /// Nothing but `candidate`, without a model.
    pub(super) fn sole(candidate: Candidate, streamed: bool) -> Self {
        Self {
            asked: Box::default(),
            streamed,
            found: Found {
                candidates: Candidates::from_iter([candidate]),
                rejected: None,
                asked: None,
            },
            passed: None,
        }
    }
}

/// All that a request is sent with, at its beginning.
pub(super) fn assemble(
    ctx: &RequestContext,
    controls: &Controls,
    headers: &HeaderMap,
    body: Body,
    bounds: &Bounds,
    chosen: Chosen,
) -> Result<Box<Routed>, Rejection> {
    let live = &*ctx.live;
    let Some(caller) = ctx.caller.as_deref() else {
        return Err(refused(crate::access::Refusal::NoKey));
    };
    let Chosen {
        asked,
        streamed,
        found,
        passed,
    } = chosen;
    let Found {
        mut candidates,
        rejected,
        asked: shape,
    } = found;
    let now = Instant::now();
    let probe = order::by_health(&mut candidates, live, caller, now);
    let total = times::narrowed(
        live.total(candidates[0].provider),
        caller.policy.times().total_ms,
    );
    let deadline = ctx.started + controls.total.map_or(total, |asked| asked.min(total));
    let Some(plan) = Plan::new(candidates, live.attempts) else {
        return Err(Rejection::new(
            Code::Internal,
            "The gateway found no candidate.",
        ));
    };
    let affinity = session_hash(live, &plan, caller, ctx.seen, headers, &body);
    let charged = shape.is_some();
    let tail = (!body.whole).then(|| {
        Box::new(match passed {
            Some(_) => Tail::unread(body.declared, bounds),
            None => Tail::of(&body, bounds, charged),
        })
    });
    let deadlines = Deadlines {
        first_byte: bounds.client,
        idle: bounds.client,
        total: deadline,
    };
    Ok(Box::new(Routed {
        payer: Payer(caller.account.id.0),
        asked,
        streamed,
        plan,
        passed,
        tunnel: None,
        replay: Shared::new(tail, deadlines, now),
        rules: controls.rules,
        deadline,
        attempts: attempts::Attempts::default(),
        current: Current::default(),
        way: Way::new(affinity, ctx.id.chance(), probe),
        rejected,
        upstream_time: Duration::ZERO,
        events: false,
        shown: None,
        look: None,
        withheld_at: None,
        fault: None,
        overhead: None,
        first_byte: None,
        queued: Duration::ZERO,
        shape,
        charged: None,
        meter: None,
        stream_open: None,
        quota: None,
        max_cost: controls.max_cost,
        unpriced: controls.unpriced,
        body,
    }))
}

/// The hash of the request's session, where a candidate's endpoints are chosen by it.
fn session_hash(
    live: &Live,
    plan: &Plan,
    caller: &Caller,
    seen: Seen,
    headers: &HeaderMap,
    body: &Body,
) -> u64 {
    let asks = |candidate: &Candidate| live.upstream(candidate.provider).keeps_sessions();
    if !plan.candidates().iter().any(asks) {
        return 0;
    }
    affinity::of(
        &caller.account.name,
        seen,
        headers,
        body,
        live.affinity_body,
    )
}

fn dialect(address: &Address<'_>, seen: Seen) -> Dialect {
    match address {
        Address::Surface { surface, .. } | Address::InPath { surface, .. } => {
            surface.spec().dialect
        }
        Address::Models { gemini: true, .. } | Address::Model { gemini: true, .. } => {
            Dialect::Gemini
        }
        _ if seen.anthropic_version => Dialect::Anthropic,
        _ if seen.google => Dialect::Gemini,
        _ => Dialect::OpenAi,
    }
}

pub(super) fn allow(session: &Session, methods: &[Method]) -> Result<(), Rejection> {
    if methods.contains(&session.req_header().method) {
        return Ok(());
    }
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    Err(Rejection::new(
        Code::MethodNotAllowed,
        format!("This path takes {} only.", names.join(" and ")),
    ))
}

pub(super) fn refused(refusal: crate::access::Refusal) -> Rejection {
    use crate::access::Refusal::{SeveralCredentials, TwoKeys};
    let code = match refusal {
        TwoKeys | SeveralCredentials => Code::InvalidRequest,
        _ => Code::InvalidAccessKey,
    };
    Rejection::new(code, refusal.to_string())
}

/// The provider that the path or `Tollgate-Provider` names; the two must agree.
fn pinned(
    live: &Live,
    header: &pingora::http::RequestHeader,
    seen: Seen,
    in_path: Option<&str>,
) -> Result<Option<ProviderId>, Rejection> {
    let by_path = in_path.and_then(|name| live.catalog.provider_by_name(name));
    let value = seen.provider.then(|| sole(header, &PROVIDER)).transpose()?;
    let Some(value) = value.flatten() else {
        return Ok(by_path);
    };
    let by_header = value
        .to_str()
        .ok()
        .and_then(|name| live.catalog.provider_by_name(name.trim()));
    match (by_header, by_path) {
        (Some(by_header), Some(by_path)) if by_header != by_path => Err(Rejection::new(
            Code::InvalidRequest,
            "Tollgate-Provider and the path name different providers. Name one.",
        )),
        (Some(by_header), _) => Ok(Some(by_header)),
        (None, _) => Err(Rejection::new(
            Code::InvalidRequest,
            "Tollgate-Provider names no provider of this gateway.",
        )),
    }
}

/// The value of a header of ours that may be sent once: of two, nobody could say which counts.
fn sole<'a>(
    header: &'a pingora::http::RequestHeader,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Rejection> {
    let mut values = header.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        let name = if *name == PROVIDER {
            "Tollgate-Provider"
        } else if *name == FAILOVER {
            "Tollgate-Failover"
        } else if *name == MAX_COST {
            "Tollgate-Max-Cost"
        } else {
            "Tollgate-Timeout"
        };
        return Err(Rejection::new(
            Code::InvalidRequest,
            format!("{name} occurs twice. Send it once."),
        ));
    }
    Ok(first)
}

fn failover(header: &pingora::http::RequestHeader, seen: Seen) -> Result<Option<Mode>, Rejection> {
    let value = seen.failover.then(|| sole(header, &FAILOVER)).transpose()?;
    let Some(value) = value.flatten() else {
        return Ok(None);
    };
    let mode = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    mode.map(Some).ok_or_else(|| {
        Rejection::new(
            Code::InvalidRequest,
            "Tollgate-Failover must be on, safe or off.",
        )
    })
}

fn timeout(
    header: &pingora::http::RequestHeader,
    seen: Seen,
) -> Result<Option<Duration>, Rejection> {
    let value = seen.timeout.then(|| sole(header, &TIMEOUT)).transpose()?;
    let Some(value) = value.flatten() else {
        return Ok(None);
    };
    let time = value
        .to_str()
        .ok()
        .and_then(|text| times::duration(text.trim()));
    time.map(Some).ok_or_else(|| {
        Rejection::new(
            Code::InvalidRequest,
            "Tollgate-Timeout must be a number of seconds, or have a unit: 30, 2.5, 500ms, 30s, 10m or 1h.",
        )
    })
}

fn max_cost(
    header: &pingora::http::RequestHeader,
    seen: Seen,
) -> Result<Option<Credits>, Rejection> {
    let value = seen.max_cost.then(|| sole(header, &MAX_COST)).transpose()?;
    let Some(value) = value.flatten() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| NotAnAmount::NotANumber);
    let amount = text.and_then(|text| text.trim().parse());
    amount.map(Some).map_err(|fault| {
        Rejection::new(
            Code::InvalidRequest,
            format!("Tollgate-Max-Cost is the most that the request may cost in US dollars, as 0.05: {fault}."),
        )
    })
}

/// The smaller of two bounds.
fn narrower<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The refusal of a path that nobody serves.
pub(super) fn unknown_path(path: &str) -> Rejection {
    let nearest = address::nearest(path);
    Rejection::new(
        Code::UnknownPath,
        format!(
            "There is nothing at this path. The nearest is {nearest}. A path of one provider only is reached below /{{provider}}/v1, or with Tollgate-Provider."
        ),
    )
}

/// Whether a request asks for something, and changes nothing.
fn reads(session: &Session) -> bool {
    matches!(session.req_header().method, Method::GET | Method::HEAD)
}

fn base_only() -> Rejection {
    Rejection::new(
        Code::UnknownPath,
        "This is a base URL: there is nothing to send to. Ask a path below it, as /v1/chat/completions.",
    )
}

fn overloaded() -> Rejection {
    Rejection::new(
        Code::Overloaded,
        "The gateway has as many requests under way as it may (limits.requests). Try again shortly.",
    )
}
