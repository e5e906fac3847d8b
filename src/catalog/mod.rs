//! What the gateway serves: providers, their models and prices, and the operator's virtual models. A [`Catalog`] is
//! built whole from [`Files`] by [`resolve`], is never changed afterwards, and knows nothing of requests, keys, health
//! or time. When to build a new one, and who sees which, is decided elsewhere.
//!
//! In the order of the work: `load` reads the texts, `parse` gives them the shape of [`mod@file`], `overlay` lays later
//! ones over earlier ones, `resolve` checks the whole and builds it, `lookup` answers names. Beside them, `origins` tells
//! where each value came from, `schema` what a file may hold, and [`mod@write`] writes one.

mod builtin;
mod check;
mod date;
pub mod diff;
pub mod file;
mod found;
pub mod import;
mod load;
mod lookup;
mod members;
mod model;
mod names;
mod near;
mod origins;
pub mod outline;
mod overlay;
mod parse;
mod paths;
mod place;
mod price;
mod problem;
mod provider;
mod report;
mod resolve;
mod schema;
mod seen;
pub mod show;
mod url;
pub mod write;

use std::sync::Arc;

pub use check::{HealthCheck, HttpCheck};
pub use file::Balance;
pub use found::FoundModel;
pub use load::Files;
pub use lookup::{Form, NAME_MAX, Target, Targets, Unresolved};
pub use model::{Modalities, Model};
pub use origins::{Member, Origins, origins};
pub use price::{Factor, Item, Mode, PicoDollars, Price, Rates, Tier};
pub use problem::Problem;
pub use provider::{Answer, Auth, Discovery, Endpoint, Home, Preset, Provider, Route, Source};
pub use resolve::{Overrides, resolve};
pub use schema::schema;
pub use seen::Seen;
pub use url::Scheme;

use found::Found;
use names::Names;
use near::Near;

use crate::surface::Surface;
use crate::table::Table;

/// A provider's place in its catalog: the order in which providers of a bare name are tried. Holds in one catalog only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(u16);

impl ProviderId {
    /// The position in [`Catalog::providers`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A model's place in its catalog. Holds in one catalog only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(u32);

impl ModelId {
    /// The position in [`Catalog::models`]; those that only their provider lists come behind.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The same model at several providers, whose name leads to each of them.
#[derive(Debug)]
pub struct Family {
    /// The name.
    pub name: Box<str>,
    /// What is the same at all of them; `None` where that is not known.
    pub same: Option<file::Same>,
    /// For people.
    pub note: Option<Box<str>>,
    /// How far it can be trusted that they are the same.
    pub confidence: Option<file::Confidence>,
}

/// An operator's own name for an ordered list of models.
#[derive(Debug)]
pub struct Virtual {
    /// The name.
    pub name: Box<str>,
    targets: Box<[Target]>,
}

/// Everything that is served, checked and immutable. A clone shares all that the files say.
#[derive(Clone, Debug)]
pub struct Catalog {
    version: Box<str>,
    providers: Arc<[Provider]>,
    /// Ids and aliases in ASCII lower case.
    provider_names: Arc<Table<Box<str>, ProviderId>>,
    models: Arc<[Model]>,
    model_names: Arc<Names>,
    /// By name.
    families: Arc<[Family]>,
    virtuals: Arc<[Virtual]>,
    /// Position in `virtuals`, by name.
    virtual_names: Arc<Table<Box<str>, usize>>,
    /// The same by the name in ASCII lower case.
    virtual_folded: Arc<Table<Box<str>, usize>>,
    /// Upstream ids that a virtual model names and no provider lists.
    kept: Arc<[Box<str>]>,
    near: Arc<Near>,
    presets: Arc<[Preset]>,
    /// What providers list themselves.
    found: Arc<Found>,
}

impl Catalog {
    /// Sixteen hexadecimal digits of the SHA-256 of all that the files say: equal content, equal version. What providers
    /// list themselves makes no version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All providers, in catalog order: by `rank`, then by id.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// All providers with their ids, in catalog order.
    pub fn provider_ids(&self) -> impl Iterator<Item = ProviderId> + use<> {
        (0..self.providers.len())
            .filter_map(|index| u16::try_from(index).ok())
            .map(ProviderId)
    }

    /// The provider of that id, which must be of this catalog.
    #[must_use]
    pub fn provider(&self, id: ProviderId) -> &Provider {
        &self.providers[id.index()]
    }

    /// The provider of that id or alias, any case.
    #[must_use]
    pub fn provider_by_name(&self, name: &str) -> Option<ProviderId> {
        let as_written = self.provider_names.get(name);
        let upper = || name.bytes().any(|byte| byte.is_ascii_uppercase());
        if as_written.is_some() || !upper() {
            return as_written.copied();
        }
        names::fold(name, |folded| self.provider_names.get(folded).copied()).flatten()
    }

    /// The models of the files, by provider in catalog order, then by id.
    #[must_use]
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The models that a list of what is on offer shows: all that are not removed, in the order of [`Self::models`], and
    /// then those that only the providers' own lists have.
    pub fn listed(&self) -> impl Iterator<Item = &Model> {
        self.models
            .iter()
            .filter(|model| model.status != file::Status::Removed)
            .chain(self.found.models())
    }

    /// The model of that id, which must be of this catalog.
    #[must_use]
    pub fn model(&self, id: ModelId) -> &Model {
        match id.index().checked_sub(self.models.len()) {
            Some(beyond) => &self.found.models()[beyond],
            None => &self.models[id.index()],
        }
    }

    /// The families that files say something of, by name. A family that only its models name is not here.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// All virtual models, by name.
    #[must_use]
    pub fn virtuals(&self) -> &[Virtual] {
        &self.virtuals
    }

    /// The presets that files may rest on, by name.
    #[must_use]
    pub fn presets(&self) -> &[Preset] {
        &self.presets
    }

    /// Whether `target` can be reached by a request of `surface`: its provider serves the surface, and so does the
    /// model, if it is in the catalog.
    #[must_use]
    pub fn serves(&self, target: &Target, surface: Surface) -> bool {
        match target.model() {
            Some(model) => self.model(model).surfaces.has(surface),
            None => self.provider(target.provider).surfaces.has(surface),
        }
    }
}

impl Virtual {
    /// The models it stands for, in order. At least one, unless it has been asked for at a pinned provider.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

#[cfg(test)]
mod tests;
