//! The record of a decision: how each name was read, what is tried in which order, what is not tried and why, and what
//! would be changed in the body. It is data and its two renderings, JSON and text for people (`text`); nothing is
//! decided here, and it is filled in where the decision is made.

mod text;

use serde::{Serialize, Serializer};

/// Why a request goes where it goes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    /// Version of the catalog that was asked.
    pub catalog: String,
    /// The API shape.
    pub surface: &'static str,
    /// The one provider that was asked for by path or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Who asks.
    pub key: Key,
    /// When something else is tried after a failure: `on`, `safe`, `off`.
    pub failover: &'static str,
    /// Attempts at the most.
    pub attempts_max: u8,
    /// The names asked for, in order, and how each was read.
    pub names: Vec<Name>,
    /// What is tried, in order.
    pub candidates: Vec<Candidate>,
    /// What the names mean as well, and why it is not tried.
    pub dropped: Vec<Dropped>,
    /// What the client would be told instead, if the request were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// Whose access key decides.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Key {
    /// Its public id; none: any key without rules.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Who pays.
    pub account: Option<String>,
}

/// A name and what it means.
#[derive(Clone, Debug, Serialize)]
pub struct Name {
    /// As it was written.
    pub name: String,
    /// Which rule read it: `prefix`, `virtual`, `exact`, `family`, `any_case`, `slash`, `author`, `pinned`; `none` if it
    /// has no meaning.
    pub rule: &'static str,
    /// The rule in words.
    pub because: &'static str,
    /// `provider:model` of all that it means, in order.
    pub means: Vec<String>,
    /// Names that are like it, where it means nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<String>,
}

/// One thing that is tried.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// `provider:model`.
    pub model: String,
    /// The name that led to it.
    pub asked_as: String,
    /// The provider.
    pub provider: String,
    /// The model's id there.
    pub upstream_id: String,
    /// Whether the catalog knows the model.
    pub known: bool,
    /// Where it goes; several take turns.
    pub endpoints: Vec<Endpoint>,
    /// How the provider wants its key: `none`, `bearer`, or the name of a header.
    pub auth: String,
    /// The rule of the access key that allows it, where not everything is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<String>,
    /// Whose credentials it may go on with, in order.
    pub steps: Vec<String>,
    /// The rule of the access key that says so; none: its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_by: Option<String>,
    /// The credentials, in the order in which they are used.
    pub credentials: Vec<Credential>,
    /// What else there is to say of them: stored keys that cannot be opened, why the operator's are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// US dollars: by million tokens, and per piece for items that begin with `per_`. None: not known.
    pub price: Option<Prices>,
    /// What would be changed in the body.
    pub edits: Vec<Edit>,
    /// Why the body cannot be sent, where that shows only when it is edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_refused: Option<Refused>,
}

/// A place that is asked.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoint {
    /// Its name in metrics and logs.
    pub name: String,
    /// The whole URL that is posted to.
    pub url: String,
    /// `ready`, `ejected`, `probing`, or `unknown` where nobody has measured.
    pub state: &'static str,
    /// How soon a request may probe it, where it is not ready; none where a check has to pass first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_in_seconds: Option<u64>,
}

/// One key.
#[derive(Clone, Debug, Serialize)]
pub struct Credential {
    /// `gateway`, `byok`, `request`, or `none` where the provider wants no key.
    pub step: &'static str,
    /// Which one of that step, from 1: its place in the configuration.
    pub number: usize,
    /// The operator's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `ready`, `set_aside`, or `unknown` where nobody has measured.
    pub state: &'static str,
    /// Why it is set aside: `refused`, `out_of_credit`, `rate_limited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// For how long it is set aside still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Amounts by what is paid for, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(pub Vec<(String, String)>);

impl Serialize for Prices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(what, amount)| (what, amount)))
    }
}

/// Bytes of the body that are replaced.
#[derive(Clone, Debug, Serialize)]
pub struct Edit {
    /// The published name: `E1`, `E2`, `E3`; two where `models` makes way for a `model`.
    pub name: &'static str,
    /// The first byte that goes, counted from the first of the body.
    pub offset: usize,
    /// How many bytes go.
    pub length: usize,
    /// What they are.
    pub removed: String,
    /// What comes in their place.
    pub inserted: String,
}

/// What is not tried.
#[derive(Clone, Debug, Serialize)]
pub struct Dropped {
    /// `provider:model`.
    pub model: String,
    /// The name that led to it.
    pub asked_as: String,
    /// `provider_disabled`, `surface`, `policy`, `repeated`, `no_credential`, `not_on_credit`, `too_many`.
    pub reason: &'static str,
    /// The reason in words.
    pub because: String,
}

/// A refusal, as the client would get it.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}
