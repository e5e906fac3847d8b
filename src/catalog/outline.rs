//! What users see of a catalog, as plain data that can be sent and compared: which names mean what, where each model is
//! served, what it costs. How providers are reached and how keys go along is not in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::file::Status;
use super::{Catalog, Model, Provider, ProviderId, Target};
use crate::surface::SurfaceSet;

/// A catalog as its users see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// The catalog's version.
    pub version: String,
    /// The providers, by id.
    pub providers: BTreeMap<String, ProviderOutline>,
    /// What each id, alias and family of models means when it is written alone: `provider:model`, in the order of the
    /// attempts.
    pub names: BTreeMap<String, Vec<String>>,
    /// The operator's lists, by name.
    pub virtual_models: BTreeMap<String, Vec<String>>,
}

/// A provider as users see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderOutline {
    /// Whether the configuration has it switched on.
    pub enabled: bool,
    /// Further names for it, in lower case.
    pub aliases: BTreeSet<String>,
    /// Where it is.
    pub base_url: String,
    /// What it speaks.
    pub surfaces: BTreeSet<String>,
    /// Its models, by id.
    pub models: BTreeMap<String, ModelOutline>,
}

/// A model as users see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOutline {
    /// On which it can be asked for.
    pub surfaces: BTreeSet<String>,
    /// Whether it is offered.
    pub status: Status,
    /// Day of its announced end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<String>,
    /// Context window in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u64>,
    /// Most output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    /// Decimal amounts by what is paid for; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<BTreeMap<String, String>>,
}

impl Outline {
    /// The outline of `catalog`, of whose providers those are switched on for which `enabled` says so.
    #[must_use]
    pub fn of(catalog: &Catalog, enabled: impl Fn(ProviderId) -> bool) -> Self {
        let mut outline = Self {
            version: catalog.version().to_owned(),
            ..Self::default()
        };
        for id in catalog.provider_ids() {
            let provider = catalog.provider(id);
            let described = of_provider(provider, enabled(id));
            outline.providers.insert(provider.id.to_string(), described);
        }
        for model in catalog.models() {
            let provider = &catalog.provider(model.provider).id;
            if let Some(provider) = outline.providers.get_mut(&**provider) {
                provider
                    .models
                    .insert(model.id.to_string(), of_model(model));
            }
            let aliases = model.aliases.iter().map(|alias| &**alias);
            let names = std::iter::once(&*model.id).chain(aliases);
            for name in names.chain(model.family.as_deref()) {
                if !outline.names.contains_key(name) {
                    outline
                        .names
                        .insert(name.to_owned(), meaning(catalog, name));
                }
            }
        }
        for found in catalog.virtuals() {
            let means = meaning(catalog, &found.name);
            outline.virtual_models.insert(found.name.to_string(), means);
        }
        outline
    }
}

/// `provider:model` of what a name means.
fn meaning(catalog: &Catalog, name: &str) -> Vec<String> {
    let Ok(targets) = catalog.lookup(name, None) else {
        return Vec::new();
    };
    let full = |target: &Target| {
        let id = catalog.upstream_id(target, name);
        format!("{}:{id}", catalog.provider(target.provider).id)
    };
    targets.iter().map(full).collect()
}

fn of_provider(provider: &Provider, enabled: bool) -> ProviderOutline {
    let aliases = provider.aliases.iter();
    ProviderOutline {
        enabled,
        aliases: aliases.map(|alias| alias.to_ascii_lowercase()).collect(),
        base_url: provider.base_url.to_string(),
        surfaces: names(provider.surfaces),
        models: BTreeMap::new(),
    }
}

fn of_model(model: &Model) -> ModelOutline {
    let price = model.price.as_deref();
    ModelOutline {
        surfaces: names(model.surfaces),
        status: model.status,
        retires: model.retires.as_deref().map(str::to_owned),
        context: model.context,
        max_output: model.max_output,
        price: price.map(|price| price.shown().into_iter().collect()),
    }
}

fn names(surfaces: SurfaceSet) -> BTreeSet<String> {
    surfaces
        .iter()
        .map(|surface| surface.name().to_owned())
        .collect()
}
