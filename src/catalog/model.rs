//! Models as checked.

use std::sync::Arc;

use super::ProviderId;
use super::file::{Confidence, Kind, Modality, Status};
use super::price::Price;
use crate::surface::SurfaceSet;

/// A model at one provider.
#[derive(Debug)]
pub struct Model {
    /// The provider's own id for it: what goes upstream.
    pub id: Arc<str>,
    /// Who serves it.
    pub provider: ProviderId,
    /// Further names for it.
    pub aliases: Box<[Arc<str>]>,
    /// Name for people.
    pub name: Option<Box<str>>,
    /// Name shared by the same model at several providers.
    pub family: Option<Box<str>>,
    /// What differs from the plain model of the family.
    pub variant: Option<Box<str>>,
    /// Who made it: what the file says, else what stands before the `/` of its id, else the provider's usual author.
    pub author: Option<Box<str>>,
    /// What it does.
    pub kind: Option<Kind>,
    /// What it reads.
    pub input: Modalities,
    /// What it writes.
    pub output: Modalities,
    /// The surfaces on which it can be asked for: what it allows of what its provider serves.
    pub surfaces: SurfaceSet,
    /// Context window in tokens.
    pub context: Option<u64>,
    /// Most input tokens, where less than `context`.
    pub max_input: Option<u64>,
    /// Most output tokens.
    pub max_output: Option<u64>,
    /// Whether it searches the web by itself, as often as it likes.
    pub searches: bool,
    /// Whether it is offered.
    pub status: Status,
    /// The day of its release where its id says it, in seconds from 1970-01-01 UTC.
    pub created: Option<i64>,
    /// Day of its announced end, `2026-10-23` or `2026-10`.
    pub retires: Option<Box<str>>,
    /// What it costs; `None` where that is not known.
    pub price: Option<Box<Price>>,
    /// Positions in `Provider::sources`.
    pub sources: Box<[u16]>,
    /// How far all this can be trusted.
    pub confidence: Option<Confidence>,
}

/// A set of modalities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modalities(u16);

impl Modalities {
    /// Whether `modality` is in the set.
    #[must_use]
    pub const fn has(self, modality: Modality) -> bool {
        self.0 & (1 << modality as u16) != 0
    }
}

impl FromIterator<Modality> for Modalities {
    fn from_iter<I: IntoIterator<Item = Modality>>(modalities: I) -> Self {
        Self(
            modalities
                .into_iter()
                .fold(0, |set, modality| set | 1 << modality as u16),
        )
    }
}
