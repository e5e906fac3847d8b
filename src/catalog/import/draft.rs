//! The files in the making: where a model of a list belongs, and what of it is written.

use std::collections::BTreeMap;

use super::number::Number;
use super::prices::{NoPrice, Prices};
use super::{Imported, LeftOut, List};
use crate::catalog::file::{File, Kind, Members, Modality, ModelEntry, SourceEntry, Status};
use crate::catalog::{Catalog, ProviderId, write};

/// What a list says of one model.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) name: Option<String>,
    pub(super) kind: Option<Kind>,
    pub(super) input: Vec<Modality>,
    pub(super) output: Vec<Modality>,
    pub(super) context: Option<u64>,
    pub(super) max_input: Option<u64>,
    pub(super) max_output: Option<u64>,
    /// Surfaces, where it is not those that usually serve its kind.
    pub(super) surfaces: Option<Vec<&'static str>>,
    pub(super) deprecated: bool,
    pub(super) retires: Option<String>,
    pub(super) prices: Prices,
    /// Whether a price of 0 means that it is free of charge.
    pub(super) free: bool,
}

/// The files in the making.
pub(super) struct Drafts<'a> {
    list: List,
    date: &'a str,
    known: &'a Catalog,
    files: BTreeMap<String, File>,
    /// Models of providers that the catalog does not have, by provider.
    strangers: BTreeMap<String, usize>,
    pub(super) left_out: LeftOut,
}

impl<'a> Drafts<'a> {
    pub(super) fn new(list: List, date: &'a str, known: &'a Catalog) -> Self {
        Self {
            list,
            date,
            known,
            files: BTreeMap::new(),
            strangers: BTreeMap::new(),
            left_out: LeftOut::default(),
        }
    }

    /// The id of the provider of that id, which may be written with `_` for `-`. Aliases do not count: what a list
    /// calls by one is often another offer, with other prices.
    pub(super) fn provider(&self, name: &str) -> Option<String> {
        let of_id = |name: &str| {
            let found = self.known.provider_by_name(name)?;
            let id = &*self.known.provider(found).id;
            (id == name).then(|| id.to_owned())
        };
        of_id(name).or_else(|| of_id(&name.replace('_', "-")))
    }

    /// Whether another provider goes by `name`.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.known.provider_by_name(name).is_some()
    }

    /// Counts models of a provider that the catalog does not have.
    pub(super) fn stranger(&mut self, provider: &str, models: usize) {
        *self.strangers.entry(provider.to_owned()).or_default() += models;
    }

    /// Adds a provider that the catalog does not know; `file` describes it.
    pub(super) fn describe(&mut self, id: &str, file: File) {
        self.files.insert(id.to_owned(), file);
    }

    /// Adds a model of `provider`; `told` is how the list calls it.
    pub(super) fn model(&mut self, provider: &str, id: &str, told: &str, found: Found) {
        let at = self.known.provider_by_name(provider);
        let (id, is_known) = match self.identify(at, id) {
            Ok(identified) => identified,
            Err(why) => return self.left_out.add(why, told),
        };
        let mut entry = if is_known {
            ModelEntry::default()
        } else {
            self.facts(&found)
        };
        (entry.context, entry.max_input) = self.input(at, is_known.then_some(&id), &found);
        entry.max_output = found.max_output;
        entry.retires = found.retires.map(Into::into);
        entry.src = Some([self.list.name().into()].into());
        if let Err(NoPrice { why, detail }) = found.prices.write(found.free, &mut entry) {
            let detail = detail.map_or(String::new(), |detail| format!(" ({detail})"));
            let why = format!("taken over without a price: {why}");
            self.left_out.add(why, format!("{told}{detail}"));
        }
        let file = self.file(provider);
        let models = file.models.get_or_insert_default();
        if models.0.insert(id, Some(Box::new(entry))).is_some() {
            self.left_out
                .add("listed twice, the later one is taken", told);
        }
    }

    /// The id that the catalog has for it, and whether it has it.
    fn identify(&self, at: Option<ProviderId>, id: &str) -> Result<(String, bool), String> {
        let target = at.and_then(|at| self.known.lookup(id, Some(at)).ok()?.first().copied());
        let Some(model) = target.and_then(|target| target.model()) else {
            return Ok((id.to_owned(), false));
        };
        let own = &*self.known.model(model).id;
        if own.eq_ignore_ascii_case(id) {
            return Ok((own.to_owned(), true));
        }
        Err("an alias of another model in the catalog".to_owned())
    }

    /// Context window and most input. A list that has only the latter means the window, where that is not known to be
    /// larger: some models take less input than fits with their output.
    fn input(
        &self,
        at: Option<ProviderId>,
        known: Option<&String>,
        found: &Found,
    ) -> (Option<u64>, Option<u64>) {
        if found.context.is_some() {
            return (found.context, found.max_input);
        }
        let target = known.and_then(|id| self.known.lookup(id, at).ok()?.first().copied());
        let model = target.and_then(|target| target.model());
        let window = model.and_then(|model| self.known.model(model).context);
        match (window, found.max_input) {
            (Some(window), Some(input)) if input < window => (None, Some(input)),
            _ => (found.max_input, None),
        }
    }

    /// What is only written of models that the catalog does not have.
    fn facts(&self, found: &Found) -> ModelEntry {
        let modalities = |list: &[Modality]| (!list.is_empty()).then(|| list.into());
        let over = found.retires.as_deref().is_some_and(|day| day <= self.date);
        let status = match (over, found.deprecated || found.retires.is_some()) {
            (true, _) => Some(Status::Removed),
            (false, true) => Some(Status::Deprecated),
            (false, false) => None,
        };
        ModelEntry {
            name: found.name.as_deref().map(Into::into),
            kind: found.kind,
            input: modalities(&found.input),
            output: modalities(&found.output),
            surfaces: found.surfaces.as_ref().map(|names| {
                let names = names.iter().map(|name| Box::from(*name));
                names.collect()
            }),
            status,
            ..ModelEntry::default()
        }
    }

    fn file(&mut self, provider: &str) -> &mut File {
        let file = self.files.entry(provider.to_owned()).or_default();
        file.provider.get_or_insert_with(|| provider.to_owned());
        let source = || (self.list.name().to_owned(), source(self.list, self.date));
        file.sources
            .get_or_insert_with(|| Members(BTreeMap::from([source()])));
        file
    }

    pub(super) fn finish(mut self) -> Imported {
        let mut strangers: Vec<(String, usize)> = self.strangers.into_iter().collect();
        strangers.sort_by_key(|(_, models)| std::cmp::Reverse(*models));
        for (provider, models) in strangers {
            let told = format!("{provider} ({models} models)");
            self.left_out
                .add("providers that the catalog does not have", told);
        }
        let mut imported = Imported {
            files: Vec::new(),
            models: 0,
            priced: 0,
            left_out: self.left_out,
        };
        for (id, file) in self.files {
            let models = file.models.iter().flat_map(|models| models.0.values());
            let priced = models.flatten().map(|model| model.price.is_some());
            let priced: Vec<bool> = priced.collect();
            if !priced.is_empty() {
                imported.models += priced.len();
                imported.priced += priced.iter().filter(|priced| **priced).count();
                imported.files.push((id, write::render(&file)));
            }
        }
        imported
    }
}

fn source(list: List, date: &str) -> SourceEntry {
    let (title, url) = match list {
        List::LiteLlm => (
            "LiteLLM model_prices_and_context_window.json",
            "https://github.com/BerriAI/litellm",
        ),
        List::ModelsDev => ("models.dev api.json", "https://models.dev"),
        List::OpenRouter => (
            "OpenRouter list of models",
            "https://openrouter.ai/api/v1/models",
        ),
    };
    SourceEntry {
        title: title.to_owned(),
        url: url.to_owned(),
        date: date.to_owned(),
    }
}

/// A count in a list: absent where it is none, or 0, which lists write for what they do not know.
pub(super) fn count(number: Option<&Number>) -> Option<u64> {
    number.and_then(Number::count).filter(|count| *count > 0)
}
