//! The answer of OpenRouter's `GET /api/v1/models`: an array with an object a model, with prices per token, or per
//! piece, as decimal strings. The list is the provider's own, so that 0 means free of charge.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::{Drafts, Found, count};
use super::number::Number;
use super::prices::{Prices, When};
use crate::catalog::price::Item;

/// Whose models they are.
const PROVIDER: &str = "openrouter";

/// Members of `pricing`, what they are for, and by how many digits their unit differs from ours.
const AMOUNTS: &[(&str, Item, i32)] = &[
    ("prompt", Item::Input, 6),
    ("completion", Item::Output, 6),
    ("input_cache_read", Item::CachedInput, 6),
    ("input_cache_write", Item::CacheWrite, 6),
    ("internal_reasoning", Item::Reasoning, 6),
    ("audio", Item::AudioInput, 6),
    ("input_audio_cache", Item::CachedAudioInput, 6),
    ("audio_output", Item::AudioOutput, 6),
    ("request", Item::PerRequest, 0),
    ("web_search", Item::PerWebSearch, 0),
];

#[derive(Deserialize)]
struct List {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    name: Option<String>,
    context_length: Option<Number>,
    #[serde(default)]
    architecture: Architecture,
    #[serde(default)]
    top_provider: TopProvider,
    #[serde(default)]
    pricing: BTreeMap<String, Box<RawValue>>,
    expiration_date: Option<String>,
}

#[derive(Default, Deserialize)]
struct Architecture {
    #[serde(default)]
    input_modalities: Vec<String>,
    #[serde(default)]
    output_modalities: Vec<String>,
}

#[derive(Default, Deserialize)]
struct TopProvider {
    max_completion_tokens: Option<Number>,
}

pub(super) fn read(text: &str, drafts: &mut Drafts<'_>) -> serde_json::Result<()> {
    let list: List = serde_json::from_str(text)?;
    let Some(provider) = drafts.provider(PROVIDER) else {
        drafts.stranger(PROVIDER, list.data.len());
        return Ok(());
    };
    for model in list.data {
        let output = super::modalities(&model.architecture.output_modalities);
        let found = Found {
            name: model.name,
            kind: super::kind(&output),
            input: super::modalities(&model.architecture.input_modalities),
            output,
            context: count(model.context_length.as_ref()),
            max_output: count(model.top_provider.max_completion_tokens.as_ref()),
            retires: model
                .expiration_date
                .filter(|day| crate::catalog::date::unix_seconds(day).is_some()),
            prices: prices(&model.id, &model.pricing, drafts),
            free: true,
            ..Found::default()
        };
        drafts.model(&provider, &model.id, &model.id, found);
    }
    Ok(())
}

fn prices(id: &str, pricing: &BTreeMap<String, Box<RawValue>>, drafts: &mut Drafts<'_>) -> Prices {
    let mut prices = Prices::default();
    for (name, value) in pricing {
        let is_zero = Number::of(value).is_some_and(|number| number.is_zero());
        if is_zero && !matches!(name.as_str(), "prompt" | "completion") {
            continue;
        }
        let Some((_, item, places)) = AMOUNTS.iter().find(|(known, ..)| known == name) else {
            let why = format!("the price `{name}` has no counterpart");
            drafts.left_out.add(why, id);
            continue;
        };
        prices.add(When::default(), *item, Number::price_of(value, *places));
    }
    prices
}
