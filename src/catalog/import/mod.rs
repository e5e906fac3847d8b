//! Other people's price lists → catalog files, one a provider, with what could not be taken over. Text in, files out;
//! nothing is fetched. Amounts are never rounded: what a price cannot hold exactly is left out and said.
//!
//! Of a model that the catalog has already only what the list is about is taken: prices, limits and its end. What it is
//! and where it is served are facts that these lists know less well.

mod draft;
mod litellm;
mod models_dev;
mod number;
mod openrouter;
mod prices;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::Catalog;
use super::file::{Kind, Modality};
use draft::Drafts;

/// A list whose format is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `model_prices_and_context_window.json` of LiteLLM.
    LiteLlm,
    /// `api.json` of models.dev.
    ModelsDev,
    /// The answer of OpenRouter's `/models`.
    OpenRouter,
}

impl List {
    /// Every list, by the name that it is asked for.
    pub const ALL: [(&'static str, Self); 3] = [
        ("litellm", Self::LiteLlm),
        ("models-dev", Self::ModelsDev),
        ("openrouter", Self::OpenRouter),
    ];

    /// The name by which it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, list)| *list == self);
        found.map_or("", |(name, _)| name)
    }
}

/// What came of a list.
#[derive(Debug)]
pub struct Imported {
    /// The provider's id and the text of its file.
    pub files: Vec<(String, String)>,
    /// Models in all files together.
    pub models: usize,
    /// Those of them that have a price.
    pub priced: usize,
    /// What was left out.
    pub left_out: LeftOut,
}

/// Why things were left out, and which.
#[derive(Debug, Default)]
pub struct LeftOut(BTreeMap<String, Vec<String>>);

impl LeftOut {
    fn add(&mut self, why: impl Into<String>, what: impl Into<String>) {
        self.0.entry(why.into()).or_default().push(what.into());
    }

    /// The reasons, and what was left out for each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(why, what)| (why.as_str(), &**what))
    }
}

/// Why a list could not be read at all.
#[derive(Debug)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Takes `text` over as files that are to be laid over `known`. `date` is the day of the list.
///
/// # Errors
/// When the text is not such a list.
pub fn import(list: List, text: &str, date: &str, known: &Catalog) -> Result<Imported, Unreadable> {
    if super::date::unix_seconds(date).is_none() {
        return Err(Unreadable(format!(
            "`{date}` is no day; write it as 2026-11-10"
        )));
    }
    let mut drafts = Drafts::new(list, date, known);
    let read = match list {
        List::LiteLlm => litellm::read(text, &mut drafts),
        List::ModelsDev => models_dev::read(text, &mut drafts),
        List::OpenRouter => openrouter::read(text, &mut drafts),
    };
    read.map_err(|error| Unreadable(format!("not a list of {}: {error}", list.name())))?;
    Ok(drafts.finish())
}

/// What a model does, by what it writes, where a list does not say it.
fn kind(output: &[Modality]) -> Option<Kind> {
    let kinds = [
        (Modality::Text, Kind::Chat),
        (Modality::Embedding, Kind::Embedding),
        (Modality::Image, Kind::Image),
        (Modality::Video, Kind::Video),
        (Modality::Audio, Kind::Speech),
    ];
    let found = kinds
        .into_iter()
        .find(|(modality, _)| output.contains(modality));
    found.map(|(_, kind)| kind)
}

/// The modalities of these names; what is none is passed over.
fn modalities(names: &[String]) -> Vec<Modality> {
    names.iter().filter_map(|name| modality(name)).collect()
}

fn modality(name: &str) -> Option<Modality> {
    Some(match name {
        "text" => Modality::Text,
        "image" => Modality::Image,
        "audio" => Modality::Audio,
        "video" => Modality::Video,
        "pdf" => Modality::Pdf,
        "file" => Modality::File,
        "embedding" | "embeddings" => Modality::Embedding,
        _ => return None,
    })
}
