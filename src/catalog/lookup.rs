//! What a name means: the name that a request writes → targets in the order in which they are tried.
//!
//! The forms are read in this order; the first that fits decides.
//!
//! 1. `provider:model`, split at the first colon, the left side an id or alias of a provider, any case. A model that
//!    the provider lists is found by its id, alias or family, exact and then in any case: a rule or a price for `gpt-4o` cannot
//!    be walked round by asking for `GPT-4o`. Any other model goes upstream as it is written.
//! 2. A virtual model.
//! 3. An id or alias of models, or a family, exact and then in any case, virtual models included: every provider that has
//!    it, one target each. First the one whose `default_for` names it; those whose model is removed last (the catalog can
//!    be behind, so it is the provider that says so); ids before aliases before families; then catalog order. A family
//!    means those of its models that are active and no variants, at each provider the one whose id is nearest to it.
//!    Providers that only list the model themselves come behind those of the files, but before removed models.
//! 4. `provider/model`, which means what `provider:model` means.
//! 5. `author/model`: as 3 for what follows the first slash, of the models of that author.
//!
//! A pinned provider narrows all of this to itself. It knows nothing of surfaces, policies, health or credentials.

use std::ops::Deref;

use super::{Catalog, ModelId, ProviderId, Virtual};

/// The longest name that is looked up, in bytes. The longest in use (ids of inference profiles) have some 150; a limit
/// keeps the cost of a look-up, and of what errors and logs repeat of it, bounded.
pub const NAME_MAX: usize = 256;

/// A model at a provider, ready to be tried. Holds for the catalog that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to.
    pub provider: ProviderId,
    what: What,
}

/// What is asked for there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A model of the catalog.
    Model(ModelId),
    /// `Catalog::kept`, at this position.
    Kept(u32),
    /// The name that was looked up, from this byte on.
    Asked(u16),
}

impl Target {
    pub(super) const fn listed(provider: ProviderId, model: ModelId) -> Self {
        Self {
            provider,
            what: What::Model(model),
        }
    }

    /// The model, if it is in the catalog.
    #[must_use]
    pub const fn model(&self) -> Option<ModelId> {
        match self.what {
            What::Model(model) => Some(model),
            What::Kept(_) | What::Asked(_) => None,
        }
    }
}

/// How a name was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `provider:model`.
    Prefixed,
    /// The name of a virtual model.
    Virtual,
    /// The id or alias of a model, exact.
    Exact,
    /// The name of a family, exact, that no model has as its id or alias.
    Family,
    /// The id or alias of a model, virtual model or family in another case.
    AnyCase,
    /// `provider/model`.
    Slashed,
    /// `author/model`.
    Author,
    /// Not at all: the pinned provider is to make sense of it.
    Pinned,
}

/// One target or more, in the order in which they are to be tried; reads as a slice.
#[derive(Clone, Debug)]
pub struct Targets<'c> {
    /// How the name was read.
    pub form: Form,
    list: List<'c>,
}

/// Where the targets are. Nothing is allocated for what requests usually write.
#[derive(Clone, Debug)]
enum List<'c> {
    Stored(&'c [Target]),
    One([Target; 1]),
    Picked(Vec<Target>),
}

impl Deref for Targets<'_> {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
        match &self.list {
            List::Stored(targets) => targets,
            List::One(target) => target,
            List::Picked(targets) => targets,
        }
    }
}

/// Why a name has no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Nothing is called that; [`Catalog::nearest`] may have what was meant.
    Unknown,
    /// A virtual model of that name has no model at the pinned provider.
    NotAtProvider,
    /// Longer than [`NAME_MAX`].
    TooLong,
}

impl Catalog {
    /// The targets of `name`, at `pinned` only if there is one. Allocates nothing for a prefixed, virtual or bare name.
    ///
    /// # Errors
    /// When it has none.
    pub fn lookup(
        &self,
        name: &str,
        pinned: Option<ProviderId>,
    ) -> Result<Targets<'_>, Unresolved> {
        if name.len() > NAME_MAX {
            return Err(Unresolved::TooLong);
        }
        match pinned {
            Some(provider) => self.at_pinned(provider, name),
            None => self.anywhere(name),
        }
    }

    /// The id that goes upstream for `target`, which a look-up of `name` gave.
    #[must_use]
    pub fn upstream_id<'a>(&'a self, target: &Target, name: &'a str) -> &'a str {
        match target.what {
            What::Model(model) => &self.model(model).id,
            What::Kept(position) => self.kept.get(position as usize).map_or("", |id| id),
            What::Asked(from) => name.get(usize::from(from)..).unwrap_or(name),
        }
    }

    fn anywhere(&self, name: &str) -> Result<Targets<'_>, Unresolved> {
        if let Some((provider, rest)) = self.split(name, ':') {
            return self.at_provider(provider, name, rest, Form::Prefixed);
        }
        if let Some(found) = self.virtual_exact(name) {
            return Ok(stored(Form::Virtual, found.targets()));
        }
        match self.exact(name) {
            ([], _) => {}
            (found, false) => return Ok(stored(Form::Exact, found)),
            (found, true) => return Ok(stored(Form::Family, found)),
        }
        if let Some(found) = self.virtual_any_case(name) {
            return Ok(stored(Form::AnyCase, found.targets()));
        }
        match self.any_case(name) {
            [] => {}
            found => return Ok(stored(Form::AnyCase, found)),
        }
        if let Some((provider, rest)) = self.split(name, '/') {
            return self.at_provider(provider, name, rest, Form::Slashed);
        }
        self.by_author(name).ok_or(Unresolved::Unknown)
    }

    /// The targets of exactly this name, and whether it is a family's alone. Where providers list the name themselves,
    /// that table has all of them.
    fn exact(&self, name: &str) -> (&[Target], bool) {
        match self.found.exact(name) {
            [] => self.model_names.exact_or_family(name),
            found => (found, false),
        }
    }

    /// The targets of this name written in any case.
    fn any_case(&self, name: &str) -> &[Target] {
        match self.found.any_case(name) {
            [] => self.model_names.any_case(name),
            found => found,
        }
    }

    /// The provider before the first `separator`, and what follows it.
    fn split<'n>(&self, name: &'n str, separator: char) -> Option<(ProviderId, &'n str)> {
        let (left, rest) = name.split_once(separator)?;
        Some((self.provider_by_name(left)?, rest))
    }

    /// `rest`, which `name` ends with, at one provider.
    fn at_provider(
        &self,
        provider: ProviderId,
        name: &str,
        rest: &str,
        form: Form,
    ) -> Result<Targets<'_>, Unresolved> {
        if rest.is_empty() {
            return Err(Unresolved::Unknown);
        }
        let target = self
            .own(provider, rest)
            .unwrap_or_else(|| asked(provider, name, rest));
        Ok(Targets {
            form,
            list: List::One([target]),
        })
    }

    /// The model of the provider that is called `name`.
    fn own(&self, provider: ProviderId, name: &str) -> Option<Target> {
        let here = |targets: &[Target]| {
            targets
                .iter()
                .find(|target| target.provider == provider)
                .copied()
        };
        here(self.exact(name).0).or_else(|| here(self.any_case(name)))
    }

    fn by_author(&self, name: &str) -> Option<Targets<'_>> {
        let (author, rest) = name.split_once('/')?;
        let of_author = |target: &&Target| {
            let model = target
                .model()
                .and_then(|model| self.model(model).author.as_deref());
            model.is_some_and(|model| model.eq_ignore_ascii_case(author))
        };
        let pick = |targets: &[Target]| {
            targets
                .iter()
                .filter(of_author)
                .copied()
                .collect::<Vec<_>>()
        };
        let mut picked = pick(self.exact(rest).0);
        if picked.is_empty() {
            picked = pick(self.any_case(rest));
        }
        (!picked.is_empty()).then_some(Targets {
            form: Form::Author,
            list: List::Picked(picked),
        })
    }

    /// The name as the pinned provider understands it. Its own names come before prefixes: `mistral:7b` is a model of
    /// an Ollama even where `mistral` is another provider.
    fn at_pinned(&self, provider: ProviderId, name: &str) -> Result<Targets<'_>, Unresolved> {
        let one = |form, target| {
            Ok(Targets {
                form,
                list: List::One([target]),
            })
        };
        let named = self.virtual_exact(name);
        if let Some(found) = named {
            let here: Vec<_> = found
                .targets()
                .iter()
                .filter(|target| target.provider == provider)
                .copied()
                .collect();
            if !here.is_empty() {
                return Ok(Targets {
                    form: Form::Virtual,
                    list: List::Picked(here),
                });
            }
        }
        if let Some(target) = self.own(provider, name) {
            return one(Form::Exact, target);
        }
        for (separator, form) in [(':', Form::Prefixed), ('/', Form::Slashed)] {
            match self.split(name, separator) {
                Some((left, rest)) if left == provider => {
                    return self.at_provider(provider, name, rest, form);
                }
                _ => {}
            }
        }
        if named.is_some() {
            return Err(Unresolved::NotAtProvider);
        }
        if name.is_empty() {
            return Err(Unresolved::Unknown);
        }
        one(Form::Pinned, asked(provider, name, name))
    }

    fn virtual_exact(&self, name: &str) -> Option<&Virtual> {
        self.virtual_names
            .get(name)
            .and_then(|position| self.virtuals.get(*position))
    }

    fn virtual_any_case(&self, name: &str) -> Option<&Virtual> {
        if self.virtuals.is_empty() {
            return None;
        }
        let position = super::names::fold(name, |folded| self.virtual_folded.get(folded).copied())
            .flatten()?;
        self.virtuals.get(position)
    }

    /// `target`, given by a look-up of `name`, so that it can be kept without the name.
    pub(super) fn keep(&self, target: Target, name: &str, kept: &mut Vec<Box<str>>) -> Target {
        if !matches!(target.what, What::Asked(_)) {
            return target;
        }
        let upstream = self.upstream_id(&target, name);
        let position = kept
            .iter()
            .position(|id| **id == *upstream)
            .unwrap_or_else(|| {
                kept.push(upstream.into());
                kept.len() - 1
            });
        Target {
            provider: target.provider,
            what: What::Kept(u32::try_from(position).unwrap_or(u32::MAX)),
        }
    }
}

fn stored(form: Form, targets: &[Target]) -> Targets<'_> {
    Targets {
        form,
        list: List::Stored(targets),
    }
}

/// `rest`, which `name` ends with, as it is written.
fn asked(provider: ProviderId, name: &str, rest: &str) -> Target {
    let from = u16::try_from(name.len() - rest.len()).unwrap_or(0);
    Target {
        provider,
        what: What::Asked(from),
    }
}
