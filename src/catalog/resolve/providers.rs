//! Checks and builds providers, all but their models.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::gather::Described;
use super::routes::{self, Kinds};
use super::{Overrides, check, families, home, models, site};
use crate::catalog::ProviderId;
use crate::catalog::file::{self, ErrorEntry, File, Kind, Members, ModelEntry};
use crate::catalog::model::Model;
use crate::catalog::problem::Problem;
use crate::catalog::provider::{Answer, Auth, Discovery, Preset, Provider, Source};
use crate::catalog::report::{Reports, Scope};
use crate::catalog::url;
use crate::surface;
use crate::table::Table;

/// The longest id or alias of a provider, in bytes.
pub(super) const NAME_MAX: usize = 64;

/// Providers that a catalog can have: a [`ProviderId`] has sixteen bits.
const PROVIDERS_MAX: usize = 1 << 16;

/// Place in the order of a provider that does not say: after those shipped.
const RANK_DEFAULT: u32 = 1_000;

/// First segments of the public listener's own paths, beside those of the surfaces: a base URL `/{provider}/v1` must
/// not be confused with them.
const RESERVED: [&str; 6] = ["v1", "v1alpha", "v1beta", "models", "tollgate", "healthz"];

/// A provider that still lacks its models.
pub(super) struct Draft {
    pub(super) provider: Provider,
    pub(super) layers: Vec<usize>,
    pub(super) models: Members<String, Option<Box<ModelEntry>>>,
    /// Who made the models that do not say it.
    pub(super) author: Option<Box<str>>,
    /// The kinds of models that a surface serves, where the file says it.
    pub(super) kinds: Kinds,
    default_for: Vec<String>,
    rank: u32,
}

/// All providers in catalog order.
pub(super) fn drafts(
    described: BTreeMap<String, Described>,
    overrides: &Overrides,
    reports: &mut Reports<'_>,
) -> Vec<Draft> {
    let build = |(id, described): (String, Described)| {
        let layers = described.layers;
        let mut scope = reports.scope(&layers);
        let (provider, kinds) = provider(&id, &described.file, overrides, &mut scope);
        let file = described.file;
        Draft {
            provider,
            layers,
            models: file.models.unwrap_or_default(),
            author: file.author.map(Into::into),
            kinds,
            default_for: file.default_for.unwrap_or_default(),
            rank: file.rank.unwrap_or(RANK_DEFAULT),
        }
    };
    let mut drafts: Vec<_> = described.into_iter().map(build).collect();
    drafts.sort_by_key(|draft| draft.rank);
    if drafts.len() > PROVIDERS_MAX {
        let message =
            format!("more than {PROVIDERS_MAX} providers; several can be endpoints of one");
        reports.list().push(Problem::of_file("catalog", message));
        drafts.truncate(PROVIDERS_MAX);
    }
    drafts
}

fn provider(
    id: &str,
    file: &File,
    overrides: &Overrides,
    scope: &mut Scope<'_, '_>,
) -> (Provider, Kinds) {
    let aliases = file.aliases.as_deref().unwrap_or_default();
    check_id(id, scope);
    for (position, alias) in aliases.iter().enumerate() {
        check_alias(alias, &position.to_string(), scope);
    }
    let site = site::site(id, file, overrides, scope);
    let (routes, kinds) = routes::routes(file, &site.prefix, scope);
    let surfaces = surface::TABLE
        .iter()
        .map(|row| row.surface)
        .filter(|s| routes[*s as usize].is_some())
        .collect();
    let keyless = routes
        .iter()
        .flatten()
        .all(|route| route.auth == Auth::None);
    let health = check::check(file, &site.prefix, scope);
    let errors = |scope: &mut Scope<'_, '_>, name| answers(file, name, scope);
    let lists = routes::model_lists(file, &site.prefix, scope);
    let home = home::home(file, &site.prefix, &routes);
    let discovery = (file.discover == Some(true)).then(|| Discovery {
        lists,
        chat: models::fitting(surfaces, &kinds, Kind::Chat),
        embedding: models::fitting(surfaces, &kinds, Kind::Embedding),
        author: file.author.as_deref().map(Into::into),
        hidden: hidden(file),
    });
    let provider = Provider {
        id: id.into(),
        name: file.name.as_deref().unwrap_or(id).into(),
        aliases: boxed(aliases),
        base_url: site.base_url,
        routes,
        home,
        surfaces,
        endpoints: site.endpoints,
        balance: file.balance.unwrap_or_default(),
        requests: site::requests(file.requests, scope),
        env: boxed(file.env.as_deref().unwrap_or_default()),
        key_prefixes: boxed(file.key_prefixes.as_deref().unwrap_or_default()),
        key_optional: keyless || file.key_optional == Some(true),
        ca_file: site::ca_file(file, scope),
        tls_name: site::tls_name(file, scope),
        discovery,
        health,
        out_of_credit: errors(scope, "out_of_credit"),
        bad_key: errors(scope, "bad_key"),
        generates_on: file.generates_on == Some(true),
        as_of: file.as_of.as_deref().map(Into::into),
        sources: sources(file, scope),
    };
    (provider, kinds)
}

/// The models that are taken out of the catalog.
fn hidden(file: &File) -> HashSet<Box<str>> {
    let models = file.models.iter().flat_map(|models| &models.0);
    models
        .filter(|(_, entry)| entry.as_ref().is_none_or(|e| e.disabled == Some(true)))
        .map(|(id, _)| id.as_str().into())
        .collect()
}

fn boxed(texts: &[String]) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

fn check_id(id: &str, scope: &mut Scope<'_, '_>) {
    let valid =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if id.len() > NAME_MAX || !id.bytes().all(valid) || !id.as_bytes().first().is_some_and(first) {
        let message = format!(
            "`{id}` is no provider id: lower-case letters, digits, `.`, `_` and `-`, at most {NAME_MAX}"
        );
        scope.problem(&["provider"], message);
    }
    if is_reserved(id) {
        scope.problem(
            &["provider"],
            format!("`{id}` begins a path of the gateway itself; choose another id"),
        );
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || surface::TABLE
            .iter()
            .any(|row| row.path.split('/').nth(1) == Some(name))
}

fn check_alias(alias: &str, position: &str, scope: &mut Scope<'_, '_>) {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if alias.is_empty() || alias.len() > NAME_MAX || !alias.bytes().all(valid) {
        let message =
            format!("`{alias}` is no alias: letters, digits, `.`, `_` and `-`, at most {NAME_MAX}");
        scope.problem(&["aliases", position], message);
    }
    if is_reserved(&alias.to_ascii_lowercase()) {
        scope.problem(
            &["aliases", position],
            format!("`{alias}` begins a path of the gateway itself; choose another"),
        );
    }
}

fn answers(file: &File, name: &str, scope: &mut Scope<'_, '_>) -> Box<[Answer]> {
    let Some(errors) = &file.errors else {
        return Box::default();
    };
    let written = if name == "bad_key" {
        &errors.bad_key
    } else {
        &errors.out_of_credit
    };
    let mut check = |(position, entry): (usize, &ErrorEntry)| {
        if !(400..600).contains(&entry.status) {
            let path = ["errors", name, &position.to_string(), "status"];
            scope.problem(
                &path,
                format!(
                    "{} is no status of an error; it is 400 to 599",
                    entry.status
                ),
            );
        }
        if entry.contains.as_deref() == Some("") {
            let path = ["errors", name, &position.to_string(), "contains"];
            scope.problem(&path, "every body contains the empty text; leave it out");
        }
        Answer {
            status: entry.status,
            contains: entry.contains.as_deref().map(Into::into),
        }
    };
    written
        .iter()
        .flatten()
        .enumerate()
        .map(&mut check)
        .collect()
}

fn sources(file: &File, scope: &mut Scope<'_, '_>) -> Box<[Source]> {
    let mut source = |(id, entry): (&String, &file::SourceEntry)| {
        scope.check(&["sources", id, "date"], models::seconds(&entry.date));
        Source {
            id: id.as_str().into(),
            title: entry.title.as_str().into(),
            url: entry.url.as_str().into(),
            date: entry.date.as_str().into(),
        }
    };
    file.sources
        .iter()
        .flat_map(|sources| &sources.0)
        .map(&mut source)
        .collect()
}

/// Ids and aliases of all providers in lower case.
pub(super) fn names(drafts: &[Draft], reports: &mut Reports<'_>) -> Table<Box<str>, ProviderId> {
    let mut names = Table::<Box<str>, ProviderId>::default();
    let id = |position| ProviderId(u16::try_from(position).unwrap_or(u16::MAX));
    for (position, draft) in drafts.iter().enumerate() {
        // Ids are unique: they are the names under which files are laid over one another.
        names.insert(draft.provider.id.clone(), id(position));
    }
    for (position, draft) in drafts.iter().enumerate() {
        for (nth, alias) in draft.provider.aliases.iter().enumerate() {
            let lower: Box<str> = alias.to_ascii_lowercase().into();
            if let Some(other) = names.get(&lower) {
                let other = &drafts[other.index()].provider.id;
                let message = format!(
                    "`{alias}` already means provider `{other}`; take it from one of the two"
                );
                reports
                    .scope(&draft.layers)
                    .problem(&["aliases", &nth.to_string()], message);
            } else {
                names.insert(lower, id(position));
            }
        }
    }
    names
}

/// The names for which the provider of `draft` comes first; `taken` has those of the providers before it.
pub(super) fn default_for(
    draft: &Draft,
    own: &[Model],
    taken: &mut HashMap<String, Box<str>>,
    reports: &mut Reports<'_>,
) -> HashSet<String> {
    let mut names = HashSet::new();
    for (position, name) in draft.default_for.iter().enumerate() {
        let position = position.to_string();
        let mut scope = reports.scope(&draft.layers);
        let called = |model: &Model| {
            *model.id == **name
                || model.aliases.iter().any(|alias| **alias == **name)
                || families::stands_for(model) == Some(name)
        };
        let here = own.iter().any(called);
        if !here {
            scope.problem(
                &["default_for", &position],
                format!("the provider has no model called `{name}`; add it to `models`"),
            );
        }
        if let Some(other) = taken.insert(name.clone(), draft.provider.id.clone()) {
            let message = format!(
                "provider `{other}` is the default for `{name}` already; take it from one of the two"
            );
            scope.problem(&["default_for", &position], message);
        }
        names.insert(name.clone());
    }
    names
}

/// What the presets offer to those who look for a provider that is not described.
pub(super) fn presets(
    described: &BTreeMap<String, Described>,
    reports: &mut Reports<'_>,
) -> Box<[Preset]> {
    let preset = |(name, described): (&String, &Described)| {
        let file = &described.file;
        let mut scope = reports.scope(&described.layers);
        if file.preset.is_some() {
            scope.problem(&["preset"], "a preset cannot rest on another");
        }
        if file.endpoints.is_some() {
            scope.problem(
                &["endpoints"],
                "a preset has no endpoints; they are said where it is used",
            );
        }
        // A base URL with a placeholder is for people to fill in.
        let base = file
            .base_url
            .as_deref()
            .and_then(|text| Some((text, url::parse(text).ok()?)));
        let prefix = base.as_ref().map(|(_, base)| base.prefix);
        let health = prefix.and_then(|prefix| check::path(file, prefix, &mut scope));
        Preset {
            name: name.as_str().into(),
            title: file.name.as_deref().unwrap_or(name).into(),
            base_url: base.map(|(text, _)| text.into()),
            health,
        }
    };
    described.iter().map(preset).collect()
}
