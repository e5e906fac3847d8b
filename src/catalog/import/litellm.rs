//! LiteLLM's `model_prices_and_context_window.json`: an object with a member a model, whose key is the model's id, with
//! the provider's name before it for most providers, and whose members are prices per token (or per what their name
//! says), limits and abilities.

mod price;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::{Drafts, Found, count};
use super::number::Number;
use crate::catalog::file::{Kind, Modality};

/// The entry that explains the format.
const SAMPLE: &str = "sample_spec";

/// LiteLLM's name of a provider, ours, and the prefix that its models have in the list.
const PROVIDERS: &[(&str, &str, &str)] = &[
    ("anthropic", "anthropic", ""),
    ("cerebras", "cerebras", "cerebras/"),
    ("codestral", "mistral", "codestral/"),
    ("cohere", "cohere", ""),
    ("cohere_chat", "cohere", ""),
    ("deepinfra", "deepinfra", "deepinfra/"),
    ("deepseek", "deepseek", ""),
    ("fireworks_ai", "fireworks", "fireworks_ai/"),
    (
        "fireworks_ai-embedding-models",
        "fireworks",
        "fireworks_ai/",
    ),
    ("gemini", "google", "gemini/"),
    ("groq", "groq", "groq/"),
    ("hyperbolic", "hyperbolic", "hyperbolic/"),
    ("inception", "inceptionlabs", "inception/"),
    ("mistral", "mistral", "mistral/"),
    ("moonshot", "moonshot", "moonshot/"),
    ("openai", "openai", ""),
    ("openrouter", "openrouter", "openrouter/"),
    ("perplexity", "perplexity", "perplexity/"),
    ("text-completion-openai", "openai", ""),
    ("together_ai", "together", "together_ai/"),
    ("xai", "xai", "xai/"),
    ("zai", "zai", "zai/"),
];

/// What is read of a model beside its prices. Everything else says what it can do, and is not for prices or routing.
struct Entry {
    litellm_provider: Option<String>,
    mode: Option<String>,
    max_input_tokens: Option<Box<RawValue>>,
    max_output_tokens: Option<Box<RawValue>>,
    deprecation_date: Option<String>,
    supported_modalities: Vec<String>,
    supported_output_modalities: Vec<String>,
    supports_vision: Option<bool>,
    supports_audio_input: Option<bool>,
    supports_pdf_input: Option<bool>,
    alias_of: Option<String>,
}

pub(super) fn read(text: &str, drafts: &mut Drafts<'_>) -> serde_json::Result<()> {
    let models: BTreeMap<String, BTreeMap<String, Box<RawValue>>> = serde_json::from_str(text)?;
    for (key, members) in &models {
        if key != SAMPLE {
            model(key, members, drafts);
        }
    }
    Ok(())
}

type Raw = BTreeMap<String, Box<RawValue>>;

fn model(key: &str, members: &Raw, drafts: &mut Drafts<'_>) {
    let entry = entry(members);
    if entry.alias_of.is_some() {
        return drafts.left_out.add("another name of a listed model", key);
    }
    let theirs = entry.litellm_provider.as_deref().unwrap_or_default();
    let Some((provider, prefix)) = provider(theirs, drafts) else {
        return drafts.stranger(theirs, 1);
    };
    let Some(kind) = kind(entry.mode.as_deref()) else {
        let mode = entry.mode.as_deref().unwrap_or("none");
        return drafts
            .left_out
            .add(format!("the mode `{mode}` is no kind of model here"), key);
    };
    let Some(id) = id(key, theirs, &prefix) else {
        return drafts
            .left_out
            .add("a price class or a size of picture, not a model", key);
    };
    let prices = price::prices(key, kind, members, &mut drafts.left_out);
    let number = |raw: &Option<Box<RawValue>>| raw.as_deref().and_then(Number::of);
    let found = Found {
        kind: Some(kind),
        input: input(&entry),
        output: super::modalities(&entry.supported_output_modalities),
        max_input: count(number(&entry.max_input_tokens).as_ref()),
        max_output: count(number(&entry.max_output_tokens).as_ref()),
        surfaces: (entry.mode.as_deref() == Some("responses")).then(|| vec!["responses"]),
        retires: entry
            .deprecation_date
            .filter(|day| crate::catalog::date::unix_seconds(day).is_some()),
        prices,
        free: key.ends_with(":free"),
        ..Found::default()
    };
    drafts.model(&provider, id, key, found);
}

/// A member that is not of the kind that it should be counts as absent.
fn entry(members: &Raw) -> Entry {
    fn member<'a, T: Deserialize<'a>>(members: &'a Raw, name: &str) -> Option<T> {
        serde_json::from_str(members.get(name)?.get()).ok()
    }
    Entry {
        litellm_provider: member(members, "litellm_provider"),
        mode: member(members, "mode"),
        max_input_tokens: member(members, "max_input_tokens"),
        max_output_tokens: member(members, "max_output_tokens"),
        deprecation_date: member(members, "deprecation_date"),
        supported_modalities: member(members, "supported_modalities").unwrap_or_default(),
        supported_output_modalities: member(members, "supported_output_modalities")
            .unwrap_or_default(),
        supports_vision: member(members, "supports_vision"),
        supports_audio_input: member(members, "supports_audio_input"),
        supports_pdf_input: member(members, "supports_pdf_input"),
        alias_of: member(members, "alias_of"),
    }
}

/// Our provider and the prefix of its models. One that the operator has added is known by its own name.
fn provider(theirs: &str, drafts: &Drafts<'_>) -> Option<(String, String)> {
    let listed = PROVIDERS.iter().find(|(name, ..)| *name == theirs);
    match listed {
        Some((_, ours, prefix)) => Some((drafts.provider(ours)?, (*prefix).to_owned())),
        None => Some((drafts.provider(theirs)?, format!("{theirs}/"))),
    }
}

/// The provider's own id of a model: `None` where the key is not one. Where models have a prefix, a key without it is a
/// class of prices (`together-ai-4.1b-8b`); where they need none, one with a slash is a size of picture
/// (`high/1024-x-1024/gpt-image-1`), and `ft:` stands for models that only their owner has.
fn id<'a>(key: &'a str, theirs: &str, prefix: &str) -> Option<&'a str> {
    if !prefix.is_empty() {
        return key.strip_prefix(prefix);
    }
    let own = key
        .strip_prefix(theirs)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(key);
    (!own.contains('/') && !own.starts_with("ft:")).then_some(own)
}

fn kind(mode: Option<&str>) -> Option<Kind> {
    Some(match mode? {
        "chat" | "responses" => Kind::Chat,
        "completion" => Kind::Completion,
        "embedding" => Kind::Embedding,
        "image_generation" => Kind::Image,
        "video_generation" => Kind::Video,
        "audio_speech" => Kind::Speech,
        "audio_transcription" => Kind::Transcription,
        "realtime" => Kind::Realtime,
        "rerank" => Kind::Rerank,
        "moderation" => Kind::Moderation,
        _ => return None,
    })
}

fn input(entry: &Entry) -> Vec<Modality> {
    let mut input = super::modalities(&entry.supported_modalities);
    for (is, modality) in [
        (entry.supports_vision, Modality::Image),
        (entry.supports_audio_input, Modality::Audio),
        (entry.supports_pdf_input, Modality::Pdf),
    ] {
        if is == Some(true) && !input.contains(&modality) {
            if input.is_empty() {
                input.push(Modality::Text);
            }
            input.push(modality);
        }
    }
    input
}
