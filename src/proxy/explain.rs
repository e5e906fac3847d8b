//! Explains a request instead of sending it: the decision that a request would go on with is made by the same function
//! (`decide`), and everything that led to it is written down.

mod words;

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use pingora_proxy::Session;

use super::Gateway;
use super::address;
use super::admit::{self, Next};
use super::body::{self, Body, InPath, Unread};
use super::candidates::{Ask, Dropped, Kept, Watch};
use super::charge::offers::is_charged;
use super::context::RequestContext;
use super::edits::{self, Made};
use super::reject::{Code, Rejection};
use super::{decide, members, models, order, request};
use crate::access::Caller;
use crate::byok::keys::StoredKeys;
use crate::catalog::{Auth, ProviderId, Route, Scheme, Targets, Unresolved};
use crate::credentials::{Aside, Key, Payer, Source};
use crate::explain::{self, Explanation, Prices, Refused};
use crate::live::Live;
use crate::model::splice::Edit;
use crate::routing::failover::Mode;
use crate::routing::plan::{Candidate, Credential, UpstreamModel};
use crate::surface::{Dialect, ModelAt, Surface, TABLE};
use crate::upstream::health::Rank;

/// Bytes of what an edit removes that are shown: its length says the rest. There may be as many edits as candidates, and
/// each may remove most of the body.
const REMOVED_SHOWN: usize = 200;

/// A request to be explained.
pub struct Question<'a> {
    /// The catalog and the providers.
    pub live: &'a Live,
    /// Who asks.
    pub caller: &'a Caller,
    /// Whether the caller is a key that there is; if not, it stands for any without rules.
    pub named: bool,
    /// In which API shape.
    pub surface: Surface,
    /// The model, where it is not the body that names it.
    pub in_path: Option<Box<str>>,
    /// At which provider only.
    pub pinned: Option<ProviderId>,
    /// A provider key that the client sent along.
    pub own_key: Option<&'a str>,
    /// The provider keys that the account has stored.
    pub stored: &'a StoredKeys,
    /// When something else is tried.
    pub mode: Mode,
    /// Whether the caller's account may use models that have no price.
    pub unpriced: bool,
    /// Whether the health of keys is known: only the process that sends requests measures it.
    pub measured: bool,
}

impl Question<'_> {
    /// Explains what would become of a request with this body.
    ///
    /// # Errors
    /// When there is nothing to explain, because the body is not JSON.
    pub fn of_bytes(&self, body: Bytes) -> Result<Explanation, Rejection> {
        Ok(self.explain(Body::of_bytes(body)?))
    }

    fn explain(&self, mut body: Body) -> Explanation {
        body.in_path = self.in_path.clone().map(|name| {
            Box::new(InPath {
                name,
                surface: self.surface,
                plain: true,
            })
        });
        let body = &body;
        let live = self.live;
        let ask = Ask {
            live,
            caller: self.caller,
            surface: self.surface,
            pinned: self.pinned,
            own_key: self.own_key,
            stored: self.stored.of(self.caller.account.id),
            body,
            unpriced: self.unpriced,
        };
        let mut told = Explanation {
            catalog: live.version.to_string(),
            surface: self.surface.name(),
            provider: self
                .pinned
                .map(|provider| live.upstream(provider).id.to_string()),
            key: self.key(),
            failover: self.mode.as_str(),
            attempts_max: live.attempts,
            ..Explanation::default()
        };
        let mut recorder = Recorder {
            question: self,
            body,
            told: &mut told,
        };
        let decided = decide::decide(&ask, &mut recorder);
        if self.measured {
            self.sort(&mut told.candidates);
        }
        told.refused = decided.err().map(|rejection| refused(&rejection));
        told
    }

    /// As a request's candidates are sorted, which may claim a probe on top of it.
    fn sort(&self, candidates: &mut [explain::Candidate]) {
        let first = candidates.first().and_then(|it| it.credentials.first());
        if first.is_none_or(|credential| credential.step == Source::Request.name())
            || self.caller.policy.no_fallback()
        {
            return;
        }
        let (live, now) = (self.live, Instant::now());
        order::ejected_last(candidates, |candidate| {
            let provider = live.catalog.provider_by_name(&candidate.provider);
            provider.map_or(Rank::Ejected, |provider| live.upstream(provider).rank(now))
        });
    }

    fn key(&self) -> explain::Key {
        if !self.named {
            return explain::Key::default();
        }
        explain::Key {
            id: Some(self.caller.key_id.to_string()),
            name: Some(self.caller.key_name.to_string()),
            account: Some(self.caller.account.name.to_string()),
        }
    }
}

/// The refusal as an explanation shows it.
fn refused(rejection: &Rejection) -> Refused {
    Refused {
        status: rejection.code.status(),
        code: rejection.code.name(),
        message: rejection.message.to_string(),
    }
}

/// Writes down what it is told.
struct Recorder<'a> {
    question: &'a Question<'a>,
    body: &'a Body,
    told: &'a mut Explanation,
}

impl Recorder<'_> {
    fn full(&self, provider: ProviderId, model: &str) -> String {
        format!("{}:{model}", self.question.live.upstream(provider).id)
    }

    /// The name being looked into.
    fn asked_as(&self) -> String {
        let name = self.told.names.last();
        name.map(|name| name.name.clone()).unwrap_or_default()
    }
}

impl Watch for Recorder<'_> {
    fn reckons(&self) -> bool {
        true
    }

    fn read(&mut self, name: &str, found: Result<&Targets<'_>, Unresolved>) {
        let catalog = &self.question.live.catalog;
        let (rule, because) = match found {
            Ok(targets) => words::form(targets.form),
            Err(why) => ("none", words::meaningless(why)),
        };
        let means = found.map_or(Vec::new(), |targets| {
            let full = |target| {
                let id = catalog.upstream_id(target, name);
                self.full(target.provider, id)
            };
            targets.iter().map(full).collect()
        });
        let nearest = match found {
            Err(Unresolved::Unknown) => catalog.nearest(name),
            _ => Vec::new(),
        };
        self.told.names.push(explain::Name {
            name: name.to_owned(),
            rule,
            because,
            means,
            nearest,
        });
    }

    fn dropped(&mut self, provider: ProviderId, model: &str, why: Dropped<'_>) {
        let (reason, because) = words::dropped(why, self.question.surface);
        self.told.dropped.push(explain::Dropped {
            model: self.full(provider, model),
            asked_as: self.asked_as(),
            reason,
            because,
        });
    }

    fn kept(&mut self, model: &str, candidate: &Candidate, why: Kept<'_>) {
        let provider = self.question.live.catalog.provider(candidate.provider);
        let route = provider.route(self.question.surface);
        let in_route = route.is_some_and(Route::names_model);
        let planned = edits::plan(self.body, model, self.asks(candidate), in_route);
        let (planned, body_refused) = match planned {
            Ok(planned) => (planned, None),
            Err(rejection) => (edits::Planned::default(), Some(refused(&rejection))),
        };
        let edits = planned.named(self.body);
        let edits = edits.map(|(edit, made)| self.edit(edit, made)).collect();
        let (endpoints, auth) = self.destination(candidate.provider, model);
        self.told.candidates.push(explain::Candidate {
            model: self.full(candidate.provider, model),
            asked_as: self.asked_as(),
            provider: self
                .question
                .live
                .upstream(candidate.provider)
                .id
                .to_string(),
            upstream_id: model.to_owned(),
            known: matches!(candidate.model, UpstreamModel::Known(_)),
            endpoints,
            auth,
            allowed_by: why.allowed.map(|rule| rule.to_string()),
            steps: why.steps.iter().map(ToString::to_string).collect(),
            steps_by: why.steps_rule.map(|rule| rule.to_string()),
            credentials: self.credentials(&candidate.credentials),
            notes: words::notes(&why),
            price: self.price(&candidate.model),
            edits,
            body_refused,
        });
    }
}

impl Recorder<'_> {
    /// Where the model is asked for, and how the key goes along.
    fn destination(&self, provider: ProviderId, model: &str) -> (Vec<explain::Endpoint>, String) {
        let described = self.question.live.catalog.provider(provider);
        let upstream = self.question.live.upstream(provider);
        let Some(route) = described.route(self.question.surface) else {
            return (Vec::new(), String::new());
        };
        let path = route.path(model).unwrap_or_default();
        let target = request::target(&path, [route.query.as_deref().unwrap_or_default()]);
        let endpoint = |endpoint: &crate::catalog::Endpoint| explain::Endpoint {
            name: endpoint.name.to_string(),
            state: "unknown",
            probe_in_seconds: None,
            url: format!(
                "{}://{}{target}",
                if endpoint.scheme == Scheme::Https {
                    "https"
                } else {
                    "http"
                },
                endpoint.authority
            ),
        };
        let auth = match &route.auth {
            Auth::None => "none".to_owned(),
            Auth::Bearer => "bearer".to_owned(),
            Auth::Header(name) => name.to_string(),
        };
        let mut endpoints: Vec<_> = described.endpoints.iter().map(endpoint).collect();
        if self.question.measured {
            let now = Instant::now();
            for (told, endpoint) in endpoints.iter_mut().zip(&upstream.endpoints) {
                let health = endpoint.seen().health();
                told.state = health.state().name();
                // Whole seconds, and none only when it is due.
                let wait = health.probe_in(now);
                told.probe_in_seconds = wait.map(|wait| wait.as_millis().div_ceil(1_000) as u64);
            }
        }
        (endpoints, auth)
    }

    fn credentials(&self, credentials: &[Credential]) -> Vec<explain::Credential> {
        let (payer, now) = (Payer(self.question.caller.account.id.0), Instant::now());
        let credential = |credential: &Credential| {
            let key = credential.key.as_deref();
            let aside = key
                .filter(|_| self.question.measured)
                .and_then(|key| key.health().aside(payer, now));
            let state = match aside {
                _ if !self.question.measured => "unknown",
                Some(_) => "set_aside",
                None => "ready",
            };
            let left = |aside: Aside| aside.until.saturating_duration_since(now).as_secs().max(1);
            explain::Credential {
                step: credential.source.name(),
                number: key.map_or(1, |key| usize::from(key.place())),
                name: key.and_then(Key::name).map(str::to_owned),
                state,
                reason: aside.map(|aside| aside.reason.name()),
                seconds: aside.map(left),
            }
        };
        credentials.iter().map(credential).collect()
    }

    fn price(&self, model: &UpstreamModel) -> Option<Prices> {
        let UpstreamModel::Known(model) = model else {
            return None;
        };
        let price = self.question.live.catalog.model(*model).price.as_deref()?;
        Some(Prices(price.shown()))
    }

    /// Whether the body is made to ask for its usage, with the credential that is used first.
    fn asks(&self, candidate: &Candidate) -> bool {
        let question = self.question;
        let first = candidate.credentials.first();
        first.is_some_and(|credential| {
            let (live, provider) = (question.live, candidate.provider);
            edits::asks_for_usage(
                live.catalog.provider(provider),
                question.surface,
                is_charged(live, provider, &candidate.model, credential.source),
                members::streamed(self.body.scanner.members()),
            )
        })
    }

    fn edit(&self, edit: &Edit, made: Made) -> explain::Edit {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let removed = self.body.bytes.get(edit.range.clone()).unwrap_or_default();
        explain::Edit {
            name: made.names(),
            offset: edit.range.start,
            length: edit.range.len(),
            removed: text(&removed[..removed.len().min(REMOVED_SHOWN)]),
            inserted: text(&edit.with),
        }
    }
}

impl Gateway {
    /// Answers `POST /tollgate/v1/explain`.
    pub(super) async fn explain(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Next, Unread> {
        admit::allow(session, &[Method::POST])?;
        let controls = self.identify(session, ctx, None)?;
        let query = session.req_header().uri.query();
        let surface = surface(query, ctx.dialect)?;
        let in_path = model(query, surface)?;
        self.check_load(ctx)?;
        let mut bounds = admit::bounds(&ctx.live);
        bounds.named = in_path.is_some();
        let body = body::read(session.as_mut(), ctx.seen, &self.memory, &bounds).await?;
        let (live, stored) = (ctx.live.clone(), self.stored.pin());
        let Some(caller) = ctx.caller.clone() else {
            return Err(Unread::Gone);
        };
        let question = Question {
            live: &live,
            caller: &caller,
            named: true,
            surface,
            in_path,
            pinned: controls.pinned,
            own_key: controls.own_key.as_deref(),
            stored: &stored,
            mode: controls.rules.mode,
            unpriced: controls.unpriced,
            measured: true,
        };
        let told = serde_json::to_vec(&question.explain(body));
        let told = told.map_err(|_| {
            Rejection::new(Code::Internal, "The explanation could not be written down.")
        })?;
        let sent = self.answer_json(session, ctx, told.into()).await;
        sent.map(|()| Next::Answered).map_err(|_| Unread::Gone)
    }
}

fn parameter(query: Option<&str>, wanted: &str) -> Option<String> {
    let mut pairs = query.into_iter().flat_map(models::pairs);
    pairs
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

/// The model of `?model=`, for a surface that has it in the path or there.
fn model(query: Option<&str>, surface: Surface) -> Result<Option<Box<str>>, Rejection> {
    let outside = matches!(surface.spec().model_at, ModelAt::Path | ModelAt::Query);
    let asked = parameter(query, "model").filter(|_| outside);
    let name = |asked: String| Ok(address::checked(asked.into(), surface.spec().dialect)?.into());
    asked.map(name).transpose()
}

/// The surface of `?surface=`; without it that of the client's dialect.
fn surface(query: Option<&str>, dialect: Dialect) -> Result<Surface, Rejection> {
    let Some(name) = parameter(query, "surface") else {
        return Ok(match dialect {
            Dialect::Anthropic => Surface::Messages,
            Dialect::OpenAi | Dialect::Gemini => Surface::Chat,
        });
    };
    Surface::from_name(&name).ok_or_else(|| {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        Rejection::new(
            Code::InvalidRequest,
            format!("`surface` must be one of {}.", names.join(", ")),
        )
    })
}
