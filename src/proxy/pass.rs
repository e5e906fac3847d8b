//! Requests that one provider is to answer as they are: paths below `/{provider}` (or with `Tollgate-Provider`) that are no
//! surface, as files, batches, stored responses; and those of a surface that leave the model to its provider.
//!
//! They go on with a key of the caller's own, always the same one, because they are about what the provider keeps under it;
//! never with the operator's, which accounts share. Of the former nothing of the body is read, kept or edited.

mod path;

use std::sync::Arc;

use http::Method;
use pingora_proxy::Session;
use smallvec::smallvec;

use super::admit::{self, Chosen, Controls, Next};
use super::body::{self, Body, Unread};
use super::candidates;
use super::context::RequestContext;
use super::reject::{Code, Rejection};
use super::steps::{self, Sources};
use super::{Gateway, address, members, quota, replay, websocket};
use crate::access::Caller;
use crate::access::policy::{Step, Verdict};
use crate::byok::keys::AccountKeys;
use crate::catalog::ProviderId;
use crate::credentials::{Key, Payer, Source};
use crate::live::Live;
use crate::model::scan::Member;
use crate::routing::failover::Mode;
use crate::routing::plan::{Candidate, UpstreamModel};
use crate::surface::Surface;

/// What is passed on, beside `POST`; `OPTIONS` is a browser's, and the rest nobody's.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// Where a request goes that is passed on.
#[derive(Debug)]
pub struct Passed {
    /// The whole path there.
    pub path: Box<str>,
    /// Whether it is where the provider's API begins, rather than another version of it.
    pub at_home: bool,
}

/// Whether a request that is not posted goes to one provider, and which the path names.
#[must_use]
pub fn is_passed(session: &Session, ctx: &RequestContext, in_path: Option<&str>) -> bool {
    (in_path.is_some() || ctx.seen.provider) && METHODS.contains(&session.req_header().method)
}

impl Gateway {
    /// Makes the plan of a request whose path is no surface.
    pub(super) async fn pass(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        in_path: Option<&str>,
    ) -> Result<Next, Unread> {
        let header = session.req_header();
        let (method, uri) = (header.method.clone(), header.uri.clone());
        if !is_passed(session, ctx, in_path)
            && (method != Method::POST || !(in_path.is_some() || ctx.seen.provider))
        {
            return Err(admit::unknown_path(uri.path()).into());
        }
        let mut controls = self.identify(session, ctx, in_path)?;
        let Some(provider) = controls.pinned else {
            return Err(admit::unknown_path(uri.path()).into());
        };
        let live = ctx.live.clone();
        let passed = of(&live, provider, uri.path())?;
        self.check_load(ctx)?;
        let admitted = quota::enter(ctx.caller.as_ref())?;
        let upgrades = ctx.seen.upgrade && websocket::is_asked(session.req_header());
        let makes = upgrades || !matches!(method, Method::GET | Method::HEAD | Method::DELETE);
        let candidate = self.passed_to(ctx, &controls, provider, (makes, uri.path()))?;
        let bounds = admit::bounds(&live);
        session.set_write_timeout(Some(bounds.client));
        let body = body::unread(session.as_mut(), ctx.seen.expect, &bounds).await?;
        // Nobody but its provider knows what it does: what was delivered is not sent again.
        if controls.rules.mode == Mode::On {
            controls.rules.mode = Mode::Safe;
        }
        let chosen = Chosen {
            passed: Some(Box::new(passed)),
            ..Chosen::sole(candidate, false)
        };
        let headers = &session.req_header().headers;
        let mut routed = admit::assemble(ctx, &controls, headers, body, &bounds, chosen)?;
        quota::reserve(admitted, None, &mut routed)?;
        replay::install(session, routed.replay.clone());
        ctx.routed = Some(routed);
        Ok(Next::Proxy)
    }

    fn passed_to(
        &self,
        ctx: &RequestContext,
        controls: &Controls,
        provider: ProviderId,
        (makes, path): (bool, &str),
    ) -> Result<Candidate, Rejection> {
        let Some(caller) = ctx.caller.as_deref() else {
            return Err(admit::refused(crate::access::Refusal::NoKey));
        };
        let stored = self.stored.pin();
        let asker = Asker {
            live: &ctx.live,
            caller,
            own_key: controls.own_key.as_deref(),
            stored: stored.of(caller.account.id),
        };
        asker.candidate(provider, makes, || {
            let nearest = address::nearest(path);
            format!(
                "This path is no surface (the nearest is {nearest}), and what it does is nothing that the gateway can meter"
            )
        })
    }
}

/// Who asks, with what.
pub struct Asker<'a> {
    /// The catalog and the providers.
    pub live: &'a Live,
    /// Who.
    pub caller: &'a Caller,
    /// A provider key that the client sent along.
    pub own_key: Option<&'a str>,
    /// The provider keys that the account has stored.
    pub stored: Option<&'a AccountKeys>,
}

impl Asker<'_> {
    /// The one thing that is tried. `makes`: the request may have a model do something, whichever that is. `why` it is not
    /// sent on the gateway's credential.
    ///
    /// # Errors
    /// When the caller may not, or there is no key for it.
    pub fn candidate(
        &self,
        provider: ProviderId,
        makes: bool,
        why: impl Fn() -> String,
    ) -> Result<Candidate, Rejection> {
        let upstream = self.live.upstream(provider);
        let name = &*upstream.id;
        self.may(provider, makes)?;
        let own = self.own_key.map(candidates::own_key);
        let own: Option<Arc<Key>> = own.transpose()?;
        let sources = Sources {
            own: own.as_ref(),
            stored: self.stored.and_then(|own| own.provider(name)),
            gateway: &upstream.keys,
            keyless: upstream.keyless,
            payer: Payer(self.caller.account.id.0),
        };
        let steps = self.caller.policy.steps_for_named(name, &[]);
        let Some(sole) = steps::sole(steps, &sources) else {
            let on_gateway = steps.contains(&Step::Gateway) && !upstream.keys.is_empty();
            return Err(match on_gateway {
                true => not_on_gateway(&why(), name),
                false => candidates::no_credential(name),
            });
        };
        if sole.credential.source == Source::None && self.is_priced(provider) {
            return Err(not_on_gateway(&why(), name));
        }
        Ok(Candidate {
            provider,
            model: UpstreamModel::Written("".into()),
            credentials: smallvec![sole.credential],
            bound: None,
        })
    }

    /// The same for a request of `surface` that leaves the model to the provider.
    ///
    /// # Errors
    /// When the caller may not, there is no key for it, or the provider does not serve the surface.
    pub fn unnamed(&self, provider: ProviderId, surface: Surface) -> Result<Candidate, Rejection> {
        let Some(route) = self.live.catalog.provider(provider).route(surface) else {
            return Err(candidates::not_spoken(self.live, surface, &[provider]));
        };
        if route.names_model() {
            return Err(Rejection::new(
                Code::InvalidRequest,
                "The request body names no model, and this provider is told the model in the path. Add a top-level `model`.",
            ));
        }
        self.candidate(provider, true, || {
            "The request names no `model`: what it costs is nothing that the gateway can know"
                .to_owned()
        })
    }

    /// Whether requests to a provider are charged for: then not on its key, where it wants none, but all the same.
    fn is_priced(&self, provider: ProviderId) -> bool {
        let mut models = self.live.catalog.models().iter();
        self.live.terms.charge
            && models.any(|model| model.provider == provider && model.price.is_some())
    }

    fn may(&self, provider: ProviderId, makes: bool) -> Result<(), Rejection> {
        let name = &*self.live.upstream(provider).id;
        let policy = &self.caller.policy;
        if !self.live.is_enabled(provider) {
            return Err(Rejection::new(
                Code::ProviderNotAllowed,
                format!("The gateway's operator has switched `{name}` off."),
            ));
        }
        if policy.judge(name, &[]).verdict == Verdict::ProviderDenied {
            return Err(Rejection::new(
                Code::ProviderNotAllowed,
                format!("This access key may not use `{name}`."),
            ));
        }
        if makes && policy.rules_models() {
            return Err(Rejection::new(
                Code::ModelNotAllowed,
                "This access key has rules about models, and the request names none that they could be held against. Use a key without such rules.",
            ));
        }
        Ok(())
    }
}

fn not_on_gateway(why: &str, provider: &str) -> Rejection {
    Rejection::new(
        Code::NotOnGatewayCredential,
        format!(
            "{why}, or keep apart between the accounts that share its key. It goes to `{provider}` on a key of your own: store one (`tollgate provider-keys add`), or send it beside Tollgate-Key."
        ),
    )
}

/// The provider that is to pick the model, where a request names none and may do so.
///
/// # Errors
/// When no provider is named either.
pub fn unnamed(
    surface: Surface,
    pinned: Option<ProviderId>,
    body: &Body,
) -> Result<Option<ProviderId>, Rejection> {
    let members = body.scanner.members();
    let named = |member: &Member| members.get(*member).is_some();
    let is_named = body.in_path.is_some() || [Member::Model, Member::Models].iter().any(named);
    if is_named || !surface.may_name_no_model() {
        return Ok(None);
    }
    members::unambiguous(members)?;
    pinned.map(Some).ok_or_else(|| {
        if surface.is_websocket() {
            return Rejection::new(
                Code::InvalidRequest,
                "The query names no model. Add one, as in `?model=openai:gpt-realtime`; or name the provider that is to pick one, by the path (/{provider}/v1) or with Tollgate-Provider.",
            );
        }
        Rejection::new(
            Code::InvalidRequest,
            "The request body names no model. Add a top-level `model`, for example \"openai:gpt-4o\"; or name the provider that is to pick one, by the path (/{provider}/v1) or with Tollgate-Provider.",
        )
    })
}

/// Where `path` is at the provider.
fn of(live: &Live, provider: ProviderId, path: &str) -> Result<Passed, Rejection> {
    let below = address::below(path, &*live.catalog);
    path::check(below.path)?;
    let home = &live.catalog.provider(provider).home;
    let start = if below.at_home {
        &home.own
    } else {
        &home.other
    };
    Ok(Passed {
        path: format!("{}/{}", start.path, below.path).into(),
        at_home: below.at_home,
    })
}
