//! What providers say themselves that they have, beside what the files say: the lowest of all layers. A model that its
//! provider's files list, or take away, is that of the files. Where such a list comes from is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::{Kind, Modality, Status};
use super::lookup::Target;
use super::model::Model;
use super::names;
use super::near::Near;
use super::provider::Discovery;
use super::resolve::{ID_MAX, usual_author};
use super::{Catalog, ModelId, ProviderId};
use crate::table::Table;

/// A model as a provider lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundModel {
    /// The provider's own id for it.
    pub id: Box<str>,
    /// [`Kind::Embedding`] where the list says so, else [`Kind::Chat`].
    pub kind: Kind,
    /// Context window in tokens.
    pub context: Option<u64>,
}

impl FoundModel {
    /// Whether `id` can be the id of a model.
    #[must_use]
    pub fn is_id(id: &str) -> bool {
        !id.is_empty() && id.len() <= ID_MAX && !id.chars().any(char::is_control)
    }
}

/// The models of all lists that no file has, and every name that leads to one of them.
#[derive(Debug, Default)]
pub(super) struct Found {
    models: Box<[Model]>,
    /// All targets of a name, those of the files included.
    exact: Table<Arc<str>, Box<[Target]>>,
    /// The same by the name in ASCII lower case.
    folded: Table<Box<str>, Box<[Target]>>,
    near: Near,
}

impl Found {
    pub(super) fn models(&self) -> &[Model] {
        &self.models
    }

    pub(super) fn exact(&self, name: &str) -> &[Target] {
        self.exact.get(name).map_or(&[], |targets| targets)
    }

    pub(super) fn any_case(&self, name: &str) -> &[Target] {
        if self.folded.is_empty() {
            return &[];
        }
        let targets = names::fold(name, |folded| self.folded.get(folded)).flatten();
        targets.map_or(&[], |targets| targets)
    }

    pub(super) fn near(&self) -> &Near {
        &self.near
    }
}

impl Catalog {
    /// This catalog with these lists in the place of those that it had. Shares all else with it.
    #[must_use]
    pub fn with_found(&self, lists: &[(ProviderId, Arc<[FoundModel]>)]) -> Self {
        let mut models = Vec::new();
        for (provider, list) in lists {
            if let Some(discovery) = &self.provider(*provider).discovery {
                let news = list.iter().filter(|found| self.is_new(*provider, found));
                models.extend(news.map(|found| model(*provider, discovery, found)));
            }
        }
        // In catalog order, as the models of the files are.
        models.sort_by_key(|model| model.provider);
        Self {
            found: Arc::new(self.index(models)),
            ..self.clone()
        }
    }

    /// Whether no file says anything of the model. Also in another case: what holds for `gpt-4o` is not got round by a
    /// list that has `GPT-4o`.
    fn is_new(&self, provider: ProviderId, found: &FoundModel) -> bool {
        let discovery = self.provider(provider).discovery.as_ref();
        if !FoundModel::is_id(&found.id) || discovery.is_none_or(|it| it.hides(&found.id)) {
            return false;
        }
        let names = &self.model_names;
        let is_it = |target: &Target| {
            let model = target.model().map(|model| self.model(model));
            target.provider == provider && model.is_some_and(|model| model.is_called(&found.id))
        };
        !names.exact(&found.id).iter().any(is_it) && !names.any_case(&found.id).iter().any(is_it)
    }

    fn index(&self, models: Vec<Model>) -> Found {
        let mut exact: HashMap<Arc<str>, Vec<Target>> = HashMap::new();
        let mut folded: HashMap<Box<str>, Vec<Target>> = HashMap::new();
        for (position, model) in models.iter().enumerate() {
            let position = u32::try_from(self.models.len() + position).unwrap_or(u32::MAX);
            let target = Target::listed(model.provider, ModelId(position));
            exact.entry(Arc::clone(&model.id)).or_default().push(target);
            let lower = model.id.to_ascii_lowercase().into();
            folded.entry(lower).or_default().push(target);
        }
        let near = Near::new(exact.keys().cloned());
        let exact = exact.into_iter().map(|(name, found)| {
            let all = self.beside(self.model_names.exact(&name), found);
            (name, all)
        });
        let folded = folded.into_iter().map(|(name, found)| {
            let all = self.beside(self.model_names.any_case(&name), found);
            (name, all)
        });
        Found {
            exact: exact.collect(),
            folded: folded.collect(),
            models: models.into(),
            near,
        }
    }

    /// `found` between the targets of the files and those of them that are removed. One target a provider: a model that
    /// only its family leads to gives way to the one that has the name.
    fn beside(&self, of_files: &[Target], mut found: Vec<Target>) -> Box<[Target]> {
        found.dedup_by_key(|target| target.provider);
        let is_removed = |target: &Target| {
            let model = target.model().map(|model| self.model(model));
            model.is_some_and(|model| model.status == Status::Removed)
        };
        let others = of_files
            .iter()
            .filter(|target| !found.iter().any(|found| found.provider == target.provider));
        let (removed, offered): (Vec<_>, Vec<_>) = others.copied().partition(is_removed);
        offered.into_iter().chain(found).chain(removed).collect()
    }
}

impl Discovery {
    /// Whether a file takes the model of that id away.
    fn hides(&self, id: &str) -> bool {
        self.hidden
            .iter()
            .any(|hidden| hidden.eq_ignore_ascii_case(id))
    }
}

impl Model {
    /// Whether `name` is its id or an alias of it, any case.
    fn is_called(&self, name: &str) -> bool {
        let mut names = std::iter::once(&self.id).chain(&self.aliases);
        names.any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn model(provider: ProviderId, discovery: &Discovery, found: &FoundModel) -> Model {
    let (surfaces, output) = match found.kind {
        Kind::Embedding => (discovery.embedding, Modality::Embedding),
        _ => (discovery.chat, Modality::Text),
    };
    Model {
        id: Arc::from(&*found.id),
        provider,
        aliases: Box::default(),
        name: None,
        family: None,
        variant: None,
        author: usual_author(&found.id, discovery.author.as_deref()),
        kind: Some(found.kind),
        input: std::iter::once(Modality::Text).collect(),
        output: std::iter::once(output).collect(),
        surfaces,
        context: found.context,
        max_input: None,
        max_output: None,
        searches: false,
        status: Status::Active,
        created: None,
        retires: None,
        price: None,
        sources: Box::default(),
        confidence: None,
    }
}
