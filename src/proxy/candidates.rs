//! The names asked for → candidates: what the catalog has under them, filtered by switch, policy
//! and surface, each with its credentials in the order in which they are tried.
//!
//! This is the one place where that is decided. Whoever wants to know why ([`Watch`]) is told while it happens, so that
//! an explanation cannot differ from what a request meets.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;

use super::body::Body;
use super::charge::offers::{Offers, Unpaid, is_charged};
use super::members;
use super::reject::{Code, Rejection};
use super::response;
use super::state;
use super::steps::{self, Barred, Sources, Way};
use crate::access::Caller;
use crate::access::policy::{Judged, Rule, Step, Verdict};
use crate::byok::keys::{AccountKeys, ProviderKeys};
use crate::catalog::{Form, ProviderId, Target, Targets, Unresolved};
use crate::credentials::{Key, KeyHealth, Payer};
use crate::live::Live;
use crate::money::{Asked, Bound, Refused, Why};
use crate::routing::plan::{Candidate, Candidates, Credential, Credentials, UpstreamModel};
use crate::surface::Surface;

/// Candidates of one request at the most. Names that expand to more are cut; ten attempts are made
/// at the most anyway.
const CANDIDATES_MAX: usize = 64;

/// Names in `Tollgate-Rejected-Models` at the most.
const REJECTED_SHOWN: usize = 16;

/// What a request asks for.
pub struct Ask<'a> {
    /// The catalog and the providers.
    pub live: &'a Live,
    /// Who asks.
    pub caller: &'a Caller,
    /// In which API shape.
    pub surface: Surface,
    /// At which provider only.
    pub pinned: Option<ProviderId>,
    /// A provider key that the client sent along.
    pub own_key: Option<&'a str>,
    /// The provider keys that the account has stored.
    pub stored: Option<&'a AccountKeys>,
    /// What it sends.
    pub body: &'a Body,
    /// Whether its account may use models that have no price.
    pub unpriced: bool,
}

/// Is told of a decision while it is made. Nothing of it changes what is decided.
pub trait Watch {
    /// A name was looked up.
    fn read(&mut self, _name: &str, _found: Result<&Targets<'_>, Unresolved>) {}
    /// A model that a name means is not tried.
    fn dropped(&mut self, _provider: ProviderId, _model: &str, _why: Dropped<'_>) {}
    /// A model that a name means is tried.
    fn kept(&mut self, _model: &str, _candidate: &Candidate, _why: Kept<'_>) {}
    /// Whether it is told what a model may cost also where that is of no matter before a customer's own key has failed.
    fn reckons(&self) -> bool {
        false
    }
}

/// A request does not ask why.
impl Watch for () {}

/// Why a model is not tried.
#[derive(Clone, Copy, Debug)]
pub enum Dropped<'a> {
    /// The operator has switched the provider off.
    SwitchedOff,
    /// It is not served on the surface asked for.
    Surface,
    /// The access key may not use it.
    Policy(Judged<'a>),
    /// It is a candidate already.
    Repeated,
    /// None of these steps has a credential for it, or one that may be used.
    NoCredential(&'a [Step], Option<Barred>),
    /// Only the operator's keys are left for it, and they do not pay for this.
    Unpaid(Unpaid),
    /// The request refers to what another provider keeps, which is tried first.
    Elsewhere(&'static str),
    /// There are as many candidates as there may be.
    TooMany,
}

/// Why a model is tried in the way it is.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The rule that allows it, where not everything is allowed.
    pub allowed: Option<Rule<'a>>,
    /// Whose credentials it may go on with.
    pub steps: &'a [Step],
    /// The rule that says so; none: the key's default.
    pub steps_rule: Option<Rule<'a>>,
    /// What the account has stored for the provider.
    pub stored: Option<&'a ProviderKeys>,
    /// Why the operator's keys are not among the credentials, although a step names them.
    pub barred: Option<Barred>,
    /// The same, where they do not pay for this.
    pub unpaid: Option<Unpaid>,
}

/// What came of it: candidates, and what the caller may not use.
#[derive(Debug)]
pub struct Found {
    /// In the order in which they are tried; at least one.
    pub candidates: Candidates,
    /// `Tollgate-Rejected-Models`.
    pub rejected: Option<HeaderValue>,
    /// What the request asks for, where any of it may be charged.
    pub asked: Option<Asked>,
}

/// Finds the candidates for `names`.
///
/// # Errors
/// When there is none: the nearest reason.
pub fn find(
    ask: &Ask<'_>,
    names: &[Cow<'_, str>],
    watch: &mut impl Watch,
) -> Result<Found, Rejection> {
    let mut search = Search {
        ask,
        watch,
        own_key: None,
        way: Way {
            no_fallback: ask.caller.policy.no_fallback(),
            own_key: false,
        },
        candidates: Candidates::new(),
        rejected: Vec::new(),
        denied: None,
        mute: Vec::new(),
        keyless: None,
        state: state::of(ask.surface, ask.body),
        offers: Offers::new(ask.live, ask.surface, ask.body, ask.unpriced),
        ambiguous: None,
        unpaid: None,
        unknown: None,
    };
    for name in names {
        search.add(name)?;
    }
    search.finish()
}

struct Search<'a, W> {
    ask: &'a Ask<'a>,
    watch: &'a mut W,
    /// The client's own key and the one provider it is bound to.
    own_key: Option<(ProviderId, Arc<Key>)>,
    way: Way,
    candidates: Candidates,
    rejected: Vec<String>,
    /// The last refusal by policy.
    denied: Option<(Verdict, String)>,
    /// Providers that have the model and do not speak the surface.
    mute: Vec<ProviderId>,
    /// A provider without a key.
    keyless: Option<ProviderId>,
    /// What it has of earlier requests: it keeps to one provider and one key.
    state: Option<&'static str>,
    offers: Offers<'a>,
    /// Whether what is charged by is said in one way only, where that was looked at.
    ambiguous: Option<Result<(), Rejection>>,
    /// The first refusal to pay, and of which model.
    unpaid: Option<(Unpaid, String)>,
    /// A name that means nothing.
    unknown: Option<String>,
}

impl<W: Watch> Search<'_, W> {
    fn add(&mut self, name: &str) -> Result<(), Rejection> {
        let catalog = &self.ask.live.catalog;
        let found = catalog.lookup(name, self.ask.pinned);
        self.watch.read(name, found.as_ref().map_err(|why| *why));
        match found {
            Ok(targets) => {
                if let (Form::Prefixed | Form::Slashed, Some(target)) =
                    (targets.form, targets.first())
                {
                    // Bound to the provider that the name says, even where that one drops out below.
                    self.own_key(target.provider)?;
                }
                for target in targets.iter() {
                    self.add_target(target, catalog.upstream_id(target, name))?;
                }
            }
            Err(Unresolved::TooLong) => {
                let limit = crate::catalog::NAME_MAX;
                return Err(Rejection::new(
                    Code::InvalidRequest,
                    format!("A model's name has at most {limit} bytes."),
                ));
            }
            Err(Unresolved::Unknown | Unresolved::NotAtProvider) => {
                self.unknown.get_or_insert_with(|| name.to_owned());
            }
        }
        Ok(())
    }

    fn add_target(&mut self, target: &Target, id: &str) -> Result<(), Rejection> {
        let ask = self.ask;
        let (live, provider) = (ask.live, target.provider);
        if !live.is_enabled(provider) {
            self.watch.dropped(provider, id, Dropped::SwitchedOff);
            return Ok(());
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            self.watch.dropped(provider, id, Dropped::TooMany);
            return Ok(());
        }
        let elsewhere = |first: &Candidate| first.provider != provider;
        if let Some(member) = self.state
            && self.candidates.first().is_some_and(elsewhere)
        {
            self.watch.dropped(provider, id, Dropped::Elsewhere(member));
            return Ok(());
        }
        let name = &live.upstream(provider).id;
        if !live.catalog.serves(target, ask.surface) {
            self.watch.dropped(provider, id, Dropped::Surface);
            self.mute.push(provider);
            return Ok(());
        }
        let judged = ask.caller.policy.judge(name, &[id]);
        if judged.verdict != Verdict::Allowed {
            self.watch.dropped(provider, id, Dropped::Policy(judged));
            let full = format!("{name}:{id}");
            self.rejected.push(full.clone());
            self.denied = Some((judged.verdict, full));
            return Ok(());
        }
        let model = match target.model() {
            Some(model) => UpstreamModel::Known(model),
            None => UpstreamModel::Written(id.into()),
        };
        if self.has(provider, &model) {
            self.watch.dropped(provider, id, Dropped::Repeated);
            return Ok(());
        }
        let (steps, steps_rule) = ask.caller.policy.steps_by_rule(name, &[id]);
        let stored = ask.stored.and_then(|own| own.provider(name));
        let own = self.own_key(provider)?;
        let sources = Sources {
            own: own.as_ref(),
            stored,
            gateway: &live.upstream(provider).keys,
            keyless: live.upstream(provider).keyless,
            payer: Payer(ask.caller.account.id.0),
        };
        let (mut credentials, barred) = steps::walk(steps, &sources, &mut self.way, Instant::now());
        if credentials.is_empty() {
            self.watch
                .dropped(provider, id, Dropped::NoCredential(steps, barred));
            self.keyless.get_or_insert(provider);
            return Ok(());
        }
        let (bound, unpaid) = self.bound(provider, &model, &mut credentials);
        if let Some(why) = unpaid.filter(|_| credentials.is_empty()) {
            self.leave_out(provider, id, why);
            return Ok(());
        }
        if let Some(member) = self.state {
            let Some(sole) = steps::sole(steps, &sources) else {
                // Whoever has the operator's key has what the provider keeps under it, charged or not.
                let why = Why::Kept;
                self.leave_out(provider, id, Unpaid::Request(Refused { member, why }));
                return Ok(());
            };
            if !sole.certain {
                return Err(state::uncertain(member, name));
            }
            credentials = Credentials::from_iter([sole.credential]);
        }
        let candidate = Candidate {
            provider,
            model,
            credentials,
            bound,
        };
        let why = Kept {
            allowed: judged.rule,
            steps,
            steps_rule,
            stored,
            barred,
            unpaid,
        };
        self.watch.kept(id, &candidate, why);
        self.candidates.push(candidate);
        Ok(())
    }

    /// The operator's keys are all that is left for a model, and they do not pay for this.
    fn leave_out(&mut self, provider: ProviderId, id: &str, why: Unpaid) {
        self.watch.dropped(provider, id, Dropped::Unpaid(why));
        let name = &self.ask.live.upstream(provider).id;
        self.unpaid.get_or_insert((why, format!("{name}:{id}")));
    }

    /// What is held for a model where it is charged with any of its credentials. Those are taken out where they do not pay
    /// for it.
    fn bound(
        &mut self,
        provider: ProviderId,
        model: &UpstreamModel,
        credentials: &mut Credentials,
    ) -> (Option<Bound>, Option<Unpaid>) {
        let live = self.ask.live;
        let is_ours =
            |credential: &Credential| is_charged(live, provider, model, credential.source);
        if !credentials.iter().any(is_ours) {
            return (None, None);
        }
        // Takes two looks at the whole body. `charge::begin` has them when it comes to that.
        let later = credentials.first().is_some_and(|first| !is_ours(first));
        if later && self.ask.body.whole && !self.watch.reckons() {
            return (None, None);
        }
        // A body that can be read in two ways is refused as a whole, once everything is looked at.
        if self.ambiguous.is_none() {
            self.ambiguous = Some(members::chargeable(
                self.ask.body.scanner.members(),
                &self.ask.body.bytes,
            ));
        }
        if self.ambiguous.as_ref().is_some_and(Result::is_err) {
            return (None, None);
        }
        match self.offers.bound(provider, model) {
            Ok(bound) => (bound, None),
            Err(why) => {
                credentials.retain(|credential| !is_ours(credential));
                (None, Some(why))
            }
        }
    }

    fn has(&self, provider: ProviderId, model: &UpstreamModel) -> bool {
        let same =
            |candidate: &Candidate| candidate.provider == provider && candidate.model == *model;
        self.candidates.iter().any(same)
    }

    /// The client's own key, for the first provider that this is asked for and for no other.
    fn own_key(&mut self, provider: ProviderId) -> Result<Option<Arc<Key>>, Rejection> {
        let Some(text) = self.ask.own_key else {
            return Ok(None);
        };
        if self.own_key.is_none() {
            self.own_key = Some((provider, own_key(text)?));
        }
        let bound = self
            .own_key
            .as_ref()
            .filter(|(bound, _)| *bound == provider);
        Ok(bound.map(|(_, key)| Arc::clone(key)))
    }

    fn finish(mut self) -> Result<Found, Rejection> {
        if let Some(Err(ambiguous)) = self.ambiguous.take() {
            return Err(ambiguous);
        }
        if self.candidates.is_empty() {
            return Err(self.reason());
        }
        let rejected = (!self.rejected.is_empty()).then(|| {
            let shown = &self.rejected[..self.rejected.len().min(REJECTED_SHOWN)];
            response::text(&shown.join(", "))
        });
        Ok(Found {
            candidates: self.candidates,
            rejected,
            asked: self.offers.into_asked(),
        })
    }

    fn reason(self) -> Rejection {
        let live = self.ask.live;
        if let Some((verdict, name)) = self.denied {
            return denied(verdict, &name);
        }
        if let Some((why, model)) = self.unpaid {
            return why.rejection(live, &model);
        }
        if let Some(provider) = self.keyless {
            return no_credential(&live.upstream(provider).id);
        }
        if !self.mute.is_empty() {
            return not_spoken(live, self.ask.surface, &self.mute);
        }
        unknown(live, self.unknown.as_deref().unwrap_or_default())
    }
}

/// A provider key that a client sent along.
///
/// # Errors
/// [`Code::InvalidRequest`] when it can be none.
pub fn own_key(text: &str) -> Result<Arc<Key>, Rejection> {
    let key = Key::new(text, Arc::new(KeyHealth::default())).map_err(|_| {
        Rejection::new(
            Code::InvalidRequest,
            "The provider key beside Tollgate-Key holds bytes that no key has.",
        )
    })?;
    Ok(Arc::new(key))
}

fn denied(verdict: Verdict, name: &str) -> Rejection {
    match verdict {
        Verdict::ProviderDenied => Rejection::new(
            Code::ProviderNotAllowed,
            format!(
                "This access key may not use the provider of `{name}`. GET /v1/models lists what it may use."
            ),
        ),
        Verdict::ModelDenied | Verdict::Allowed => Rejection::new(
            Code::ModelNotAllowed,
            format!("This access key may not use `{name}`. GET /v1/models lists what it may use."),
        ),
    }
}

/// The refusal where there is no key for a provider.
#[must_use]
pub fn no_credential(provider: &str) -> Rejection {
    Rejection::new(
        Code::NoCredential,
        format!(
            "The gateway has no key for `{provider}` that this access key may use. Its operator can add one under [providers.{provider}], or store one of yours (`tollgate provider-keys add`); or send your own provider key beside Tollgate-Key."
        ),
    )
}

/// The refusal where none of these providers serves the surface.
#[must_use]
pub fn not_spoken(live: &Live, surface: Surface, mute: &[ProviderId]) -> Rejection {
    let mut names: Vec<&str> = mute.iter().map(|id| &*live.upstream(*id).id).collect();
    names.dedup();
    let speakers = live
        .catalog
        .providers()
        .iter()
        .filter(|provider| provider.surfaces.has(surface));
    let speakers: Vec<&str> = speakers.map(|provider| &*provider.id).collect();
    Rejection::new(
        Code::SurfaceNotSupported,
        format!(
            "{} cannot serve this model on `{}`. Providers that serve `{}`: {}.",
            names.join(", "),
            surface.name(),
            surface.name(),
            speakers.join(", ")
        ),
    )
}

fn unknown(live: &Live, name: &str) -> Rejection {
    let near = live.catalog.nearest(name);
    let hint = if near.is_empty() {
        "Name it with its provider, as in `openai:gpt-4o`, to pass it on as it is.".to_owned()
    } else {
        let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
        format!("Did you mean {}?", near.join(", "))
    };
    Rejection::new(
        Code::ModelNotFound,
        format!("No provider has a model `{name}`. {hint}"),
    )
}
