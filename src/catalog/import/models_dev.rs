//! models.dev's `api.json`: an object with a member a provider (its address, its key's variable, the client library it
//! takes), and in it one a model, with prices per million tokens.
//!
//! A provider that the catalog does not know becomes one, where its library says that it speaks a surface of ours.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::{Drafts, Found, count};
use super::number::Number;
use super::prices::{Prices, When};
use crate::catalog::file::{File, Kind, Modality};
use crate::catalog::price::Item;

/// Their name of a provider and ours, where ours has no alias that says so.
const PROVIDERS: &[(&str, &str)] = &[
    ("fireworks-ai", "fireworks"),
    ("inception", "inceptionlabs"),
    ("inference", "inference-net"),
    ("moonshotai", "moonshot"),
    ("togetherai", "together"),
];

/// Client libraries that say which preset a provider needs, and what the preset leaves out of the address.
const LIBRARIES: &[(&str, &str, &str)] = &[
    ("@ai-sdk/openai-compatible", "openai-compatible", ""),
    ("@ai-sdk/anthropic", "anthropic-compatible", "/v1"),
];

/// Prices of long prompts, and what "long" is.
const LONG: &str = "context_over_200k";
const LONG_ABOVE: u64 = 200_000;

/// Members of `cost`, and what they are for.
const AMOUNTS: &[(&str, Item)] = &[
    ("input", Item::Input),
    ("output", Item::Output),
    ("cache_read", Item::CachedInput),
    ("cache_write", Item::CacheWrite),
    ("reasoning", Item::Reasoning),
    ("input_audio", Item::AudioInput),
    ("output_audio", Item::AudioOutput),
];

#[derive(Deserialize)]
struct Provider {
    name: Option<String>,
    npm: Option<String>,
    api: Option<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    name: Option<String>,
    #[serde(default)]
    modalities: Modalities,
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    cost: Option<BTreeMap<String, Box<RawValue>>>,
    status: Option<String>,
    /// Its own library, where it is not that of the provider.
    provider: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct Modalities {
    #[serde(default)]
    input: Vec<String>,
    #[serde(default)]
    output: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Limit {
    context: Option<Number>,
    input: Option<Number>,
    output: Option<Number>,
}

pub(super) fn read(text: &str, drafts: &mut Drafts<'_>) -> serde_json::Result<()> {
    let providers: BTreeMap<String, Provider> = serde_json::from_str(text)?;
    for (theirs, provider) in providers {
        let ours = PROVIDERS
            .iter()
            .find(|(name, _)| *name == theirs)
            .map_or(theirs.as_str(), |(_, ours)| *ours);
        match drafts.provider(ours) {
            Some(id) => models(&theirs, &id, provider.models, false, drafts),
            None => newcomer(&theirs, provider, drafts),
        }
    }
    Ok(())
}

/// A provider that the catalog does not have.
fn newcomer(theirs: &str, provider: Provider, drafts: &mut Drafts<'_>) {
    let described = if drafts.is_taken(theirs) {
        Err("providers of which the catalog has another of that name".to_owned())
    } else {
        describe(theirs, &provider)
    };
    match described {
        Ok(file) => {
            drafts.describe(theirs, file);
            models(theirs, theirs, provider.models, true, drafts);
        }
        Err(why) => {
            let count = provider.models.len();
            drafts
                .left_out
                .add(why, format!("{theirs} ({count} models)"));
        }
    }
}

fn models(
    theirs: &str,
    id: &str,
    models: BTreeMap<String, Model>,
    is_new: bool,
    drafts: &mut Drafts<'_>,
) {
    for (model, entry) in models {
        let told = format!("{theirs}/{model}");
        if is_new && entry.provider.is_some() {
            // The preset would ask for it where it is not served.
            drafts.left_out.add(
                "models that need another library than the rest of their provider",
                told,
            );
            continue;
        }
        let found = found(&model, &told, entry, drafts);
        drafts.model(id, &model, &told, found);
    }
}

/// A provider that is new here. It is asked only where it has a key: nothing is sent to strangers by default.
fn describe(id: &str, provider: &Provider) -> Result<File, String> {
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(letter)
    };
    if id.is_empty() || !id.chars().all(plain) {
        return Err("providers whose id cannot be one here".to_owned());
    }
    let library = provider.npm.as_deref().unwrap_or("none");
    let preset = LIBRARIES.iter().find(|(name, ..)| *name == library);
    let Some((_, preset, beneath)) = preset else {
        return Err(format!(
            "new providers whose library `{library}` has no preset"
        ));
    };
    let url = provider.api.as_deref().unwrap_or_default();
    let url = url.trim_end_matches('/');
    if !url.starts_with("https://") || url.contains(['$', '{', '?']) {
        return Err("new providers without one address for everybody".to_owned());
    }
    let base_url = url.strip_suffix(beneath).unwrap_or(url);
    Ok(File {
        provider: Some(id.to_owned()),
        preset: Some((*preset).to_owned()),
        name: provider.name.clone(),
        base_url: Some(base_url.to_owned()),
        env: (!provider.env.is_empty()).then(|| provider.env.clone()),
        key_optional: Some(false),
        ..File::default()
    })
}

fn found(id: &str, told: &str, model: Model, drafts: &mut Drafts<'_>) -> Found {
    let output = super::modalities(&model.modalities.output);
    Found {
        kind: kind(id, &output),
        name: model.name,
        input: super::modalities(&model.modalities.input),
        context: count(model.limit.context.as_ref()),
        max_input: count(model.limit.input.as_ref()),
        max_output: count(model.limit.output.as_ref()),
        output,
        deprecated: model.status.as_deref() == Some("deprecated"),
        prices: prices(told, model.cost.unwrap_or_default(), drafts),
        ..Found::default()
    }
}

/// The list does not say it; embeddings are listed as text.
fn kind(id: &str, output: &[Modality]) -> Option<Kind> {
    if id.contains("embed") {
        return Some(Kind::Embedding);
    }
    super::kind(output)
}

fn prices(told: &str, cost: BTreeMap<String, Box<RawValue>>, drafts: &mut Drafts<'_>) -> Prices {
    let mut prices = Prices::default();
    for (name, value) in cost {
        if name == LONG {
            let long: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(value.get()).unwrap_or_default();
            for (name, value) in long {
                add(told, &name, &value, LONG_ABOVE, &mut prices, drafts);
            }
        } else {
            add(told, &name, &value, 0, &mut prices, drafts);
        }
    }
    prices
}

fn add(
    told: &str,
    name: &str,
    value: &RawValue,
    above: u64,
    prices: &mut Prices,
    drafts: &mut Drafts<'_>,
) {
    let Some((_, item)) = AMOUNTS.iter().find(|(known, _)| *known == name) else {
        let why = format!("the price `{name}` has no counterpart");
        return drafts.left_out.add(why, told);
    };
    let is_zero = Number::of(value).is_some_and(|number| number.is_zero());
    if is_zero && !matches!(item, Item::Input | Item::Output) {
        return;
    }
    let when = When {
        mode: String::new(),
        above,
    };
    prices.add(when, *item, Number::price_of(value, 0));
}
