//! What a request can cost at each of its candidates, where it goes on with the gateway's credential; and what is not
//! sent on it, because nobody could say.

use crate::catalog::{Item, ProviderId};
use crate::credentials::Source;
use crate::live::Live;
use crate::money::{Asked, Bound, Offer, Refused, Unbounded, Why};
use crate::proxy::body::Body;
use crate::proxy::reject::{Code, Rejection};
use crate::routing::plan::UpstreamModel;
use crate::surface::{ModelAt, Surface, Uses};

/// Why the gateway's credential is not used for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpaid {
    /// Something in the request.
    Request(Refused),
    /// Something of the model.
    Model(Unbounded),
    /// The catalog has no such model at its provider, and so no price.
    Unknown,
}

impl Unpaid {
    /// The refusal, of `model` as clients name it, with its provider.
    #[must_use]
    pub fn rejection(&self, live: &Live, model: &str) -> Rejection {
        match self {
            Self::Unknown => unknown(live, model),
            Self::Request(refused) if refused.is_malformed() => {
                Rejection::new(Code::InvalidRequest, refused.to_string())
            }
            Self::Request(refused) => {
                Rejection::new(Code::NotOnGatewayCredential, refused.to_string())
            }
            Self::Model(why @ Unbounded::NoPrice(_)) => Rejection::new(
                Code::ModelNotPriced,
                format!(
                    "`{model}` is not served on the gateway's credential: {why}. Its operator can add it, or use a provider key of your own."
                ),
            ),
            Self::Model(why) => Rejection::new(
                Code::NotOnGatewayCredential,
                format!(
                    "`{model}` is not served on the gateway's credential: {why}. Use a provider key of your own."
                ),
            ),
        }
    }

    /// Why, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Request(refused) => refused.to_string(),
            Self::Model(why) => why.to_string(),
            Self::Unknown => "the catalog has no such model at this provider".to_owned(),
        }
    }
}

/// Says of each model what is held for a request. The body is looked into once, and only if a model asks for it.
pub struct Offers<'a> {
    live: &'a Live,
    surface: Surface,
    body: &'a Body,
    /// Whether models without a price are served too.
    unpriced: bool,
    asked: Option<Result<Asked, Refused>>,
}

impl<'a> Offers<'a> {
    /// For a request of `surface` with this body; `unpriced`: its account may use what has no price.
    #[must_use]
    pub fn new(live: &'a Live, surface: Surface, body: &'a Body, unpriced: bool) -> Self {
        Self {
            live,
            surface,
            body,
            unpriced,
            asked: None,
        }
    }

    /// What is held for the model; none where nothing is charged for it.
    ///
    /// # Errors
    /// Why it is not served on the gateway's credential.
    pub fn bound(
        &mut self,
        provider: ProviderId,
        model: &UpstreamModel,
    ) -> Result<Option<Bound>, Unpaid> {
        match self.surface.uses() {
            _ if !self.live.terms.charge => return Ok(None),
            Uses::Nothing => return Ok(None),
            Uses::Untold => return Err(Unpaid::Model(Unbounded::Untold(self.surface))),
            Uses::Talk => return self.talk(provider, model).map(Some),
            Uses::Tokens | Uses::Input => {}
        }
        let asked = self.asked()?;
        match of(self.live, provider, model, &asked) {
            Err(Unbounded::NoPrice(_)) if self.unpriced => Ok(Some(free(&asked))),
            bound => bound.map(Some).map_err(|why| of_model(model, why)),
        }
    }

    /// What is held for an answer of a conversation. Nothing but the model may stand in the query: `intent` makes another
    /// kind of session of it, `call_id` is one that somebody else has begun.
    fn talk(&mut self, provider: ProviderId, model: &UpstreamModel) -> Result<Bound, Unpaid> {
        if !self.body.in_path.as_ref().is_some_and(|query| query.plain) {
            return Err(Unpaid::Request(Refused {
                member: "A parameter of the query beside `model`",
                why: Why::Unknown,
            }));
        }
        self.asked = Some(Ok(Asked::talk(None)));
        let offer = offer(self.live, provider, model)
            .ok_or_else(|| of_model(model, Unbounded::NoPrice(Item::Input)))?;
        offer
            .hold_talk(&self.live.terms.rule, None)
            .map_err(Unpaid::Model)
    }

    fn asked(&mut self) -> Result<Asked, Unpaid> {
        let asked = self
            .asked
            .get_or_insert_with(|| read(self.live, self.surface, self.body));
        (*asked).map_err(Unpaid::Request)
    }

    /// What the request asks for, if that was looked into.
    #[must_use]
    pub fn into_asked(self) -> Option<Asked> {
        self.asked?.ok()
    }
}

/// What has no price because nobody knows it is told as that.
fn of_model(model: &UpstreamModel, why: Unbounded) -> Unpaid {
    match (model, why) {
        (UpstreamModel::Written(_), Unbounded::NoPrice(_)) => Unpaid::Unknown,
        _ => Unpaid::Model(why),
    }
}

/// The refusal of a model that the catalog does not have at its provider.
fn unknown(live: &Live, model: &str) -> Rejection {
    let id = model.split_once(':').map_or(model, |(_, id)| id);
    let near: Vec<_> = live.catalog.nearest(id);
    let near: Vec<_> = near.iter().map(|name| format!("`{name}`")).collect();
    let hint = match near.is_empty() {
        true => String::new(),
        false => format!(" Did you mean {}?", near.join(", ")),
    };
    Rejection::new(
        Code::ModelNotFound,
        format!(
            "The catalog has no model `{model}`, and the gateway's credential pays for no other.{hint} Its operator can add it with a price, or use a provider key of your own."
        ),
    )
}

fn of(
    live: &Live,
    provider: ProviderId,
    model: &UpstreamModel,
    asked: &Asked,
) -> Result<Bound, Unbounded> {
    let offer = offer(live, provider, model).ok_or(Unbounded::NoPrice(Item::Input))?;
    offer.hold(asked, &live.terms.rule)
}

/// Whether what a model costs is charged when it goes on with a credential of this source: the operator's keys, and no key
/// at all, where the operator has set a price for what needs none.
#[must_use]
pub fn is_charged(
    live: &Live,
    provider: ProviderId,
    model: &UpstreamModel,
    source: Source,
) -> bool {
    live.terms.charge
        && match source {
            Source::Gateway => true,
            Source::None => offer(live, provider, model).is_some(),
            Source::Byok | Source::Request => false,
        }
}

/// What is offered at a price; none where there is no price.
#[must_use]
pub fn offer<'l>(live: &'l Live, provider: ProviderId, model: &UpstreamModel) -> Option<Offer<'l>> {
    let UpstreamModel::Known(model) = model else {
        return None;
    };
    let model = live.catalog.model(*model);
    Some(Offer {
        provider: live.catalog.provider(provider),
        model,
        price: model.price.as_deref()?,
    })
}

/// Nothing is held for what has no price.
fn free(asked: &Asked) -> Bound {
    Bound {
        hold: crate::money::Credits::ZERO,
        estimate: crate::money::Credits::ZERO,
        input_estimate: asked.estimate,
        input_most: u64::MAX,
        output_most: u64::MAX,
        worst: crate::money::Credits::ZERO,
    }
}

/// What a body asks for. Of one that is not kept only the beginning is known: the rest may hold anything that is no
/// member of weight (see `Tail`), pictures and files too.
///
/// # Errors
/// What cannot be charged for.
pub(super) fn read(live: &Live, surface: Surface, body: &Body) -> Result<Asked, Refused> {
    if body.in_path.as_ref().is_some_and(|path| !path.plain)
        && surface.spec().model_at == ModelAt::Path
    {
        return Err(Refused {
            member: "The query",
            why: Why::Unsaid,
        });
    }
    if !body.whole && surface.spec().model_at == ModelAt::Path {
        return Err(Refused {
            member: "contents",
            why: Why::Unread,
        });
    }
    if !body.whole && surface.has_tools_within() {
        return Err(Refused {
            member: "The conversation",
            why: Why::Unread,
        });
    }
    let mut asked = Asked::read(surface, body.scanner.members(), &body.bytes)?;
    asked.betas = body.betas;
    if !body.whole {
        let known = body.bytes.len().max(1) as u64;
        let bytes = body.declared.unwrap_or(live.body_max);
        asked.bytes = bytes;
        asked.marks.refers = true;
        asked.marks.cache = true;
        asked.marks.hour = true;
        asked.estimate = asked.estimate.saturating_mul(bytes.div_ceil(known).max(1));
    }
    Ok(asked)
}
