//! Providers as checked. Nothing is optional here that a request would have to ask about.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

use super::check::HealthCheck;
use super::file::Balance;
use super::url::{self, Scheme};
use crate::surface::{self, Surface, SurfaceSet};

/// An upstream API.
#[derive(Debug)]
pub struct Provider {
    /// Name in model names, configuration, metrics and logs: lower case.
    pub id: Box<str>,
    /// Name for people.
    pub name: Box<str>,
    /// Further names, as written.
    pub aliases: Box<[Box<str>]>,
    /// The base URL that the routes were made from.
    pub base_url: Box<str>,
    /// How each surface is served, by `Surface as usize`; `None` where it is not.
    pub routes: [Option<Route>; surface::COUNT],
    /// Where its API begins, for what is no surface.
    pub home: Home,
    /// The surfaces that have a route.
    pub surfaces: SurfaceSet,
    /// Where it listens; at least one.
    pub endpoints: Box<[Endpoint]>,
    /// How requests are spread over them.
    pub balance: Balance,
    /// Requests under way at one time at the most.
    pub requests: Option<u32>,
    /// Environment variables that usually hold the key; the first that is set counts.
    pub env: Box<[Box<str>]>,
    /// How its keys begin; may be empty.
    pub key_prefixes: Box<[Box<str>]>,
    /// Whether requests may go on without a key: it is not asked for, or no route sends one.
    pub key_optional: bool,
    /// PEM file with the roots to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Name for SNI and for checking the certificate, where it is not the endpoint's host.
    pub tls_name: Option<Box<str>>,
    /// How the models are learned that the provider lists itself; `None` where that is not asked for.
    pub discovery: Option<Discovery>,
    /// How its endpoints are checked, if they are.
    pub health: Option<HealthCheck>,
    /// Answers that mean that the account behind the key has no credit left.
    pub out_of_credit: Box<[Answer]>,
    /// Answers that mean that the key is not accepted.
    pub bad_key: Box<[Answer]>,
    /// Whether an answer that nobody reads any more goes on being made, and being paid for.
    pub generates_on: bool,
    /// The day on which its facts and prices were put together, as `2026-11-23`.
    pub as_of: Option<Box<str>>,
    /// What `Model::sources` points into.
    pub sources: Box<[Source]>,
}

impl Provider {
    /// How `surface` is served, if it is.
    #[must_use]
    pub fn route(&self, surface: Surface) -> Option<&Route> {
        self.routes[surface as usize].as_ref()
    }

    /// Whether a stream of `surface` tells its usage only if `stream_options.include_usage` asks for it, which is
    /// accepted.
    #[must_use]
    pub fn include_usage(&self, surface: Surface) -> bool {
        self.route(surface).is_some_and(|route| route.include_usage)
    }
}

/// Where a provider's API begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Home {
    /// What stands before the paths that clients know, as `/v1` or `/openai/v1`; empty where nothing does.
    pub root: Box<str>,
    /// How it is asked for what is below `root`, which is the route's path.
    pub own: Route,
    /// How it is asked for what is not: another version of its API, below the path of its base URL, which is the route's.
    pub other: Route,
}

impl Home {
    /// How it is asked there.
    #[must_use]
    pub fn of(&self, at_home: bool) -> &Route {
        if at_home { &self.own } else { &self.other }
    }
}

/// How a provider serves one surface.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The whole path, that of the base URL included; may hold `{model}`, see [`Route::path`].
    pub path: Box<str>,
    /// Query that the path needs, without `?`.
    pub query: Option<Box<str>>,
    /// How the key is sent.
    pub auth: Auth,
    /// Headers to add where the client did not send them: lower-case name, value.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// Whether a stream tells its usage only if `stream_options.include_usage` asks for it, which is accepted.
    pub include_usage: bool,
    /// Whether `max_completion_tokens` bounds the output.
    pub max_completion_tokens: bool,
}

impl Route {
    /// Whether the path names the model.
    #[must_use]
    pub fn names_model(&self) -> bool {
        self.path.contains("{model}")
    }

    /// The path for the model of the id `upstream`, percent-encoded where it stands in the path. `None` when the id
    /// cannot stand there (`.`, `..`): there is no such model.
    #[must_use]
    pub fn path(&self, upstream: &str) -> Option<Cow<'_, str>> {
        url::fill(&self.path, upstream)
    }
}

/// How a provider is asked which models it has, and what those are that only it knows of.
#[derive(Debug)]
pub struct Discovery {
    /// Where it lists them: the first that answers with a list counts. At least one.
    pub lists: Box<[Route]>,
    /// The surfaces on which a model for chats is served.
    pub(super) chat: SurfaceSet,
    /// The surfaces on which a model for embeddings is served.
    pub(super) embedding: SurfaceSet,
    /// Who made the models whose id has no `author/`.
    pub(super) author: Option<Box<str>>,
    /// Ids that a file takes away: a list does not bring them back.
    pub(super) hidden: HashSet<Box<str>>,
}

/// How a key is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// In the header of this lower-case name: `x-api-key`, `api-key`, `x-goog-api-key` …
    Header(Box<str>),
}

/// One place where a provider listens.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name in metrics and logs, unique in the provider.
    pub name: Box<str>,
    /// Whether TLS is spoken.
    pub scheme: Scheme,
    /// Name or address, an IPv6 address without brackets.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Share of the requests, 1 to 1000.
    pub weight: u32,
    /// Requests under way there at one time at the most.
    pub requests: Option<u32>,
    /// What the `Host` header says: brackets, and the port where it is not the usual one.
    pub authority: Box<str>,
}

/// An answer that says something about the key rather than the request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Text that the body holds as well.
    pub contains: Option<Box<str>>,
}

/// Where prices and limits come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Short name in the file.
    pub id: Box<str>,
    /// What it is.
    pub title: Box<str>,
    /// Where it is.
    pub url: Box<str>,
    /// Of what day or month it is.
    pub date: Box<str>,
}

/// A description that files may rest on.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// What `preset` in a file says.
    pub name: Box<str>,
    /// Name for people.
    pub title: Box<str>,
    /// The default address; `None` where there is none that is whole.
    pub base_url: Option<Box<str>>,
    /// Whole path, at that address, of the active check.
    pub health: Option<Box<str>>,
}
