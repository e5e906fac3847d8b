//! The files of a catalog as written: serde types, nothing else. What a value may be is checked in `resolve`.
//!
//! One file describes one provider (`"provider": "id"`) or one preset (`"template": "name"`), or only names virtual
//! models. Every member is optional, because a later file may hold nothing but the member it changes. A `null` for an
//! entry of a map (a model, a surface, a header, a price, a virtual model) takes away what earlier files said there.
//! A member that is not described here is a mistake; facts that the gateway does not read stand under `facts` and
//! `other_surfaces`, which take any JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::members::{Decimal, Members};
use super::price::Item;
use super::schema;

/// A whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("not" = {"required": ["provider", "template"]}))]
pub struct File {
    /// Where an editor finds the schema of this file; not read.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Id of the provider that this file describes: lower case letters, digits, `.`, `_`, `-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::PROVIDER_ID), length(max = 64))]
    pub provider: Option<String>,
    /// Instead of `provider`: the name of the preset that this file describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The preset that stands beneath what this file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Further names that mean this provider, any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<Vec<String>>,
    /// Takes the provider out of the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Place in the catalog's order, low first; 1000 when not said. The providers shipped use 10 to 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Who made the models whose entry does not say it and whose id has no `author/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// `http` or `https`, host, port and the prefix of all paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::BASE_URL))]
    pub base_url: Option<String>,
    /// Instead of the host in `base_url`: several that serve the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<EndpointEntry>>,
    /// How requests are spread over the endpoints; `round_robin` when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// Requests under way at the provider at one time; without end when not said. Past it the next candidate is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: Option<u32>,
    /// How the key is sent: `none`, `bearer` or `header:NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::AUTH))]
    pub auth: Option<String>,
    /// Environment variables that usually hold the key; the first that is set counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// How the provider's keys begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_prefixes: Option<Vec<String>>,
    /// Whether requests may go on without a key when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_optional: Option<bool>,
    /// PEM file with the roots to trust instead of the system's; an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Name for SNI and for checking the certificate, where it is not the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_name: Option<String>,
    /// Headers added to each request that does not carry them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = {"pattern": schema::HEADER}))]
    pub headers: Option<Members<String, Option<String>>>,
    /// The surfaces served, by the names of `surface::TABLE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = schema::surface_names()))]
    pub surfaces: Option<Members<String, Option<SurfaceEntry>>>,
    /// What else the provider serves; kept, not routed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_surfaces: Option<Members<String, Value>>,
    /// Whether the provider is asked in the background which models it has. Those that no file lists are added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discover: Option<bool>,
    /// Where the provider lists its models: the first that answers with a list counts. `/models` when not said; none
    /// where what is listed there is not what requests can ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_lists: Option<Vec<ListEntry>>,
    /// What tells whether the provider is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthEntry>,
    /// Answers that speak of the key or its credit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorsEntry>,
    /// Whether an answer that nobody reads any more goes on being made, and being paid for; taken for no when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generates_on: Option<bool>,
    /// Names of models for which this provider comes first, whatever its rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_for: Option<Vec<String>>,
    /// Day on which the file was put together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::DAY))]
    pub as_of: Option<String>,
    /// What `src` of the models refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Members<String, SourceEntry>>,
    /// Anything worth knowing; kept, not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Members<String, Value>>,
    /// The provider's models, by the id that it gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = {"minLength": 1, "maxLength": 191}))]
    pub models: Option<Members<String, Option<Box<ModelEntry>>>>,
    /// What is to be said of families. Which family a model is of stands with the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub families: Option<Members<String, Option<FamilyEntry>>>,
    /// Names of the operator's own for ordered lists of 1 to 10 models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("additionalProperties" = schema::list_of_models()))]
    pub virtual_models: Option<Members<String, Option<Vec<String>>>>,
}

/// How requests are spread over endpoints that are equally well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// They take turns, by weight.
    #[default]
    RoundRobin,
    /// The less loaded of two that are drawn by weight.
    LeastInflight,
    /// Each session stays at one, so that its prompt cache is of use.
    Affinity,
}

/// One of several hosts that serve the same.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointEntry {
    /// As `base_url`; the path is the same for all endpoints of a provider.
    #[schemars(extend("pattern" = schema::BASE_URL))]
    pub url: String,
    /// Name in metrics and logs; `host:port` when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Share of the requests, 1 to 1000; 1 when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u32>,
    /// Requests under way there at one time; without end when not said. Past it another endpoint is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: Option<u32>,
    /// `Host` header, where it is not that of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// How one surface is served.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SurfaceEntry {
    /// Path below that of `base_url`; each `../` at its start takes one segment of the latter away. `{model}` stands
    /// for the model's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::PATH))]
    pub path: Option<String>,
    /// Query that the path needs, without `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// As `auth` of the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::AUTH))]
    pub auth: Option<String>,
    /// As `headers` of the provider, for this surface.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = {"pattern": schema::HEADER}))]
    pub headers: Option<Members<String, Option<String>>>,
    /// The kinds of models that are served here, where it is not those that usually are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
    /// Whether a stream tells its usage only if `stream_options.include_usage` asks for it, which is accepted; taken
    /// for no when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Whether `max_completion_tokens` bounds the output, thoughts included; taken for no when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<bool>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Anything worth knowing; kept, not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Members<String, Value>>,
    /// A file between took this entry away: what the files before that one say of it does not count.
    #[serde(skip)]
    pub(super) anew: bool,
}

/// Where a provider lists its models, asked with GET: as OpenAI, Anthropic, Ollama or LM Studio do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEntry {
    /// Path, as that of a surface.
    #[schemars(extend("pattern" = schema::PATH))]
    pub path: String,
    /// Query that the path needs, without `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// As `headers` of the provider, for this list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = {"pattern": schema::HEADER}))]
    pub headers: Option<Members<String, Option<String>>>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How each endpoint is checked, without a request: one that fails is asked last until it passes again. No key is sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthEntry {
    /// `http` by default.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<HealthKind>,
    /// Path, as that of a surface; asked for with GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::PATH))]
    pub path: Option<String>,
    /// The statuses of one that is alive, each one or a range; `200-299` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("items" = {"type": "string", "pattern": schema::STATUSES}))]
    pub statuses: Option<Vec<String>>,
    /// Time between two checks, as `10s`, which is the default: from `100ms` to `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::TIME))]
    pub interval: Option<String>,
    /// How long a check may take, as `5s`, which is the default: from `10ms` to `1m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::TIME))]
    pub timeout: Option<String>,
    /// Checks in a row that must pass before a dead endpoint is alive; 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy: Option<u32>,
    /// Checks in a row that must fail before it is dead; 3 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy: Option<u32>,
    /// Headers of the check. Those of the provider and its key are not sent with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = {"pattern": schema::HEADER}))]
    pub headers: Option<Members<String, Option<String>>>,
    /// The `Host` header, where it is not the endpoint's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthKind {
    /// A GET of `path`.
    #[default]
    Http,
    /// A connection; with TLS where the endpoint speaks it.
    Tcp,
    /// No check, where a file before asks for one.
    None,
}

/// Answers that say something about the key rather than the request.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorsEntry {
    /// The account behind the key has no credit left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_credit: Option<Vec<ErrorEntry>>,
    /// The key is not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_key: Option<Vec<ErrorEntry>>,
}

/// One such answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorEntry {
    /// HTTP status, 400 to 599.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// Text that the body holds as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// Where prices and limits come from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// What it is.
    pub title: String,
    /// Where it is.
    pub url: String,
    /// Of what day (or month) it is: `2026-11-10`, `2026-11`.
    #[schemars(extend("pattern" = schema::DAY))]
    pub date: String,
}

/// One model. There may be a hundred thousand, so that what it holds is kept small.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Name shared by the same model at several providers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Box<str>>,
    /// Who made it, as in `author/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Box<str>>,
    /// What differs from the plain model of the family: `free`, `batch`, `thinking` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<Box<str>>,
    /// Day inside the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::DAY))]
    pub snapshot: Option<Box<str>>,
    /// Further names for this model; the id is what goes upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<Box<[Box<str>]>>,
    /// Ids that sources call the same model, but that have an entry of their own or are another offer; not routed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<Box<[Box<str>]>>,
    /// Takes the model out of the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<[Modality]>>,
    /// What it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<[Modality]>>,
    /// Context window in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
    /// Most input tokens, where less than `context`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input: Option<u64>,
    /// Most output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    /// The surfaces that serve it; those that fit its kind when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("items" = schema::surface_names()))]
    pub surfaces: Option<Box<[Box<str>]>>,
    /// What else serves it; kept, not routed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_surfaces: Option<Box<[Box<str>]>>,
    /// Lists of other formats that carry the id as well; kept, not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formats: Option<Box<[Box<str>]>>,
    /// What it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Rates>,
    /// Price of one image by quality and size, an alternative to `image_output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_price: Option<Members<String, Decimal>>,
    /// Prices of long requests, ascending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Box<[TierEntry]>>,
    /// Prices of other service tiers: `batch`, `flex`, `priority`, `off_peak` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modes: Option<Members<String, Option<ModeEntry>>>,
    /// Whether it searches the web by itself, as often as it likes; taken for no when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<bool>,
    /// Least tokens that are cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_cache_tokens: Option<u64>,
    /// Length of an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dim: Option<u64>,
    /// Whether it is offered; `active` when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Whether its end has been announced; not known when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<bool>,
    /// Day of its announced end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::DAY))]
    pub retires: Option<Box<str>>,
    /// Day on which a list says the entry ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::DAY))]
    pub expires: Option<Box<str>>,
    /// Day of the newest list that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = schema::DAY))]
    pub last_seen: Option<Box<str>>,
    /// Its id at Hugging Face.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hf: Option<Box<str>>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<str>>,
    /// Entries of `sources` that carry the model or its price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<Box<[Box<str>]>>,
    /// How far the entry can be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conf: Option<Confidence>,
    /// Prices of sources that differ by more than 2 %, by item and source; kept, not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Members<Item, Members<String, Decimal>>>,
    /// A file between took this entry away: what the files before that one say of it does not count.
    #[serde(skip)]
    pub(super) anew: bool,
}

/// A family: the same model at several providers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FamilyEntry {
    /// What is the same at all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same: Option<Same>,
    /// Its name no longer leads from one provider to another; its models stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<str>>,
    /// How far it can be trusted that they are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conf: Option<Confidence>,
    /// As that of a model.
    #[serde(skip)]
    pub(super) anew: bool,
}

/// What the models of a family have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// The maker's own closed model, resold.
    Model,
    /// Open weights: quantisation, context, template and tool parsing can differ between hosts.
    Weights,
}

/// Prices by what is counted.
pub type Rates = Members<Item, Option<Decimal>>;

/// Prices that hold for the whole of a request whose prompt is longer than `above`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierEntry {
    /// Tokens of prompt, cached ones included.
    #[schemars(range(min = 1))]
    pub above: u64,
    /// Prices that differ from the model's.
    pub price: Rates,
}

/// Prices of another service tier of the same model.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeEntry {
    /// Factor on every price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<Decimal>,
    /// Prices that differ from the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Rates>,
    /// As those of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<TierEntry>>,
    /// A file between took this entry away: what the files before that one say of it does not count.
    #[serde(skip)]
    pub(super) anew: bool,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Chat,
    Completion,
    Embedding,
    Image,
    Video,
    Speech,
    Transcription,
    Realtime,
    Music,
    Rerank,
    Moderation,
    Classifier,
    Decisions,
}

/// What a model reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Modality {
    Text,
    Image,
    Audio,
    Video,
    Pdf,
    File,
    Embedding,
    Scores,
    Decision,
}

/// Whether a model is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In the newest lists.
    #[default]
    Active,
    /// In a list that is older than the newest.
    Listed,
    /// Its end has been announced.
    Deprecated,
    /// No longer offered, as far as the sources know.
    Removed,
    /// In some list, confirmed by none.
    Unverified,
}

/// How far an entry can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Two or more fresh sources agree.
    High,
    /// One fresh source, or several that are older.
    Medium,
    /// Hearsay.
    Low,
}
