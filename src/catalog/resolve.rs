//! As written → as checked: [`Files`] → [`Catalog`], or all that is wrong with them. Reads no file and no environment.

mod check;
mod families;
mod gather;
mod home;
mod models;
mod providers;
mod routes;
mod site;
mod virtuals;

pub(super) use self::models::{ID_MAX, usual_author};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use self::gather::Layered;
use self::providers::Draft;
use super::file::Status;
use super::load::Files;
use super::lookup::Target;
use super::model::Model;
use super::names::{Calls, Likeness, Named, Names, Order};
use super::near::Near;
use super::problem::Problem;
use super::provider::Preset;
use super::report::Reports;
use super::{Catalog, ModelId, ProviderId};
use crate::give_way::give_way;

/// Models that a catalog can have: a hundred times the largest list there is. Bounds what one file can cost.
const MODELS_MAX: usize = 1 << 22;

/// What the caller says in the place of the files.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Base URLs by provider id or alias in lower case; `_` and `-` are the same. They replace the base URL and all
    /// endpoints of the provider. A name that no provider has is left alone.
    pub base_urls: BTreeMap<String, String>,
}

impl Overrides {
    /// What `variables` (names and values of the environment) say: `OPENAI_BASE_URL`, `INFERENCE_NET_BASE_URL` …
    #[must_use]
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let base_url = |(name, url): (String, String)| {
            let provider = name.strip_suffix("_BASE_URL")?;
            (!url.is_empty()).then(|| (provider.to_ascii_lowercase().replace('_', "-"), url))
        };
        Self {
            base_urls: variables.into_iter().filter_map(base_url).collect(),
        }
    }

    /// The name under which one is given for a provider that goes by `names`, and what it says.
    #[must_use]
    pub fn base_url(&self, names: &[&str]) -> Option<(&str, &str)> {
        let key = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        let found = |name: &&str| {
            self.base_urls
                .iter()
                .find(|(given, _)| key(given) == key(name))
        };
        names
            .iter()
            .find_map(found)
            .map(|(name, url)| (name.as_str(), url.as_str()))
    }
}

/// Builds the catalog.
///
/// # Errors
/// Every problem of every file, by file and line.
pub fn resolve(files: &Files, overrides: &Overrides) -> Result<Catalog, Vec<Problem>> {
    let mut reports = Reports::new(files);
    let layered = gather::gather(files, &mut reports);
    let mut digest = layered.digest();
    let Layered {
        providers,
        presets,
        families,
        family_layers,
        virtuals,
        virtual_layers,
        complete,
    } = layered;

    let presets = providers::presets(&presets, &mut reports);
    let drafts = providers::drafts(providers, overrides, &mut reports);
    // What the caller said in the place of the files is in these.
    for draft in &drafts {
        digest.add(&draft.provider.base_url);
    }
    let disabled = families::disabled(&families);
    let (mut catalog, names) = assemble(digest.finish(), drafts, presets, &disabled, &mut reports);
    let mut scope = reports.scope(&family_layers);
    catalog.families = families::families(&families, &catalog.models, complete, &mut scope).into();
    if !virtuals.is_empty() {
        let mut scope = reports.scope(&virtual_layers);
        virtuals::add(&mut catalog, &virtuals, complete, &mut scope);
        let virtual_names = catalog.virtuals.iter().map(|found| Arc::from(&*found.name));
        catalog.near = Arc::new(Near::new(names.into_iter().chain(virtual_names)));
    }
    let problems = reports.finish();
    if problems.is_empty() {
        Ok(catalog)
    } else {
        Err(problems)
    }
}

/// The catalog without virtual models, and the names of all models.
fn assemble(
    version: Box<str>,
    mut drafts: Vec<Draft>,
    presets: Box<[Preset]>,
    disabled: &HashSet<&str>,
    reports: &mut Reports<'_>,
) -> (Catalog, Vec<Arc<str>>) {
    let provider_names = providers::names(&drafts, reports);
    let (models, mut named) = all_models(&mut drafts, disabled, reports);
    let model_names = Names::new(&mut named);
    let all_names: Vec<_> = named.into_iter().map(|named| named.name).collect();
    let catalog = Catalog {
        version,
        providers: drafts.into_iter().map(|draft| draft.provider).collect(),
        provider_names: Arc::new(provider_names),
        models: models.into(),
        model_names: Arc::new(model_names),
        families: Arc::default(),
        virtuals: Arc::default(),
        virtual_names: Arc::default(),
        virtual_folded: Arc::default(),
        kept: Arc::default(),
        near: Arc::new(Near::new(all_names.iter().cloned())),
        presets: presets.into(),
        found: Arc::default(),
    };
    (catalog, all_names)
}

/// The models of all providers, which are in catalog order, and every name that one of them has: those of families too,
/// but for the `disabled`.
fn all_models(
    drafts: &mut [Draft],
    disabled: &HashSet<&str>,
    reports: &mut Reports<'_>,
) -> (Vec<Model>, Vec<Named>) {
    let mut all = Vec::new();
    let mut named = Vec::new();
    let mut default_for = HashMap::new();
    for (position, draft) in drafts.iter_mut().enumerate() {
        let provider = ProviderId(u16::try_from(position).unwrap_or(u16::MAX));
        give_way();
        let models = models::models(draft, provider, reports);
        if all.len() + models.len() > MODELS_MAX {
            reports
                .scope(&draft.layers)
                .problem(&["models"], format!("more than {MODELS_MAX} models in all"));
            break;
        }
        let chosen = providers::default_for(draft, &models, &mut default_for, reports);
        let stand_ins = families::stand_ins(&models, disabled);
        for (model, stands_for) in models.into_iter().zip(stand_ins) {
            let id = ModelId(u32::try_from(all.len()).unwrap_or(u32::MAX));
            let removed = model.status == Status::Removed;
            let mut add = |name: Arc<str>, calls, likeness| {
                let order = Order {
                    not_default: !chosen.contains(&*name),
                    removed,
                    calls,
                    provider,
                    likeness,
                };
                let family = model.family.as_deref();
                named.push(Named {
                    of_another_family: family.is_some_and(|is| !is.eq_ignore_ascii_case(&name)),
                    name,
                    order,
                    target: Target::listed(provider, id),
                });
            };
            add(Arc::clone(&model.id), Calls::Id, Likeness::Same);
            for alias in &model.aliases {
                add(Arc::clone(alias), Calls::Alias, Likeness::Same);
            }
            if let (Some(likeness), Some(family)) = (stands_for, &model.family) {
                add(Arc::from(&**family), Calls::Family, likeness);
            }
            all.push(model);
        }
    }
    (all, named)
}
