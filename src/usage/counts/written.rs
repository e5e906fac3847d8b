//! A usage object as it is written, with the names of all dialects. Whatever stands where a count is looked for is taken.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The highest count that is believed. No model reads or writes a thousandth of it in one request.
const COUNT_MAX: u64 = 1 << 40;

/// A count as written: anything may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Is(u64),
    /// No whole number from 0 to [`COUNT_MAX`].
    Absurd,
}

impl Count {
    pub(super) fn of(number: u64) -> Self {
        if number <= COUNT_MAX {
            Self::Is(number)
        } else {
            Self::Absurd
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a count")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Count, E> {
        Ok(Count::of(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Count, E> {
        u64::try_from(value).map_or(Ok(Count::Absurd), |value| self.visit_u64(value))
    }

    /// `12.0` is what some write for 12.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Count, E> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative, and below 2^53"
        )]
        let count = (value >= 0.0 && value <= COUNT_MAX as f64 && value.fract() == 0.0)
            .then_some(value as u64);
        Ok(count.map_or(Count::Absurd, Count::Is))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Count, E> {
        Ok(Count::Absurd)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Count, E> {
        Ok(Count::Absurd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::Absurd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count::Absurd)
    }
}

/// A part of an object that is itself an object, or whatever else stands there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part<T>(pub(super) Option<T>);

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self)
    }
}

/// A usage object, with the names of all dialects.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    pub(super) prompt_tokens: Option<Count>,
    pub(super) input_tokens: Option<Count>,
    pub(super) completion_tokens: Option<Count>,
    pub(super) output_tokens: Option<Count>,
    pub(super) total_tokens: Option<Count>,
    pub(super) prompt_tokens_details: Part<InputDetails>,
    pub(super) input_tokens_details: Part<InputDetails>,
    pub(super) input_token_details: Part<InputDetails>,
    pub(super) completion_tokens_details: Part<OutputDetails>,
    pub(super) output_tokens_details: Part<OutputDetails>,
    pub(super) output_token_details: Part<OutputDetails>,
    // Anthropic.
    pub(super) cache_read_input_tokens: Option<Count>,
    pub(super) cache_creation_input_tokens: Option<Count>,
    pub(super) cache_creation: Part<CacheCreation>,
    pub(super) server_tool_use: Part<ServerTools>,
    // Perplexity.
    pub(super) tool_calls_details: Part<ToolCalls>,
    // DeepSeek.
    pub(super) prompt_cache_hit_tokens: Option<Count>,
    // Inception and, of old, Moonshot.
    pub(super) cached_input_tokens: Option<Count>,
    pub(super) cached_tokens: Option<Count>,
    pub(super) reasoning_tokens: Option<Count>,
    // xAI and Perplexity.
    pub(super) num_sources_used: Option<Count>,
    pub(super) num_search_queries: Option<Count>,
    // Gemini.
    #[serde(rename = "promptTokenCount")]
    pub(super) gemini_prompt: Option<Count>,
    #[serde(rename = "toolUsePromptTokenCount")]
    pub(super) gemini_tool_prompt: Option<Count>,
    #[serde(rename = "cachedContentTokenCount")]
    pub(super) gemini_cached: Option<Count>,
    #[serde(rename = "candidatesTokenCount")]
    pub(super) gemini_output: Option<Count>,
    #[serde(rename = "thoughtsTokenCount")]
    pub(super) gemini_thoughts: Option<Count>,
    #[serde(rename = "totalTokenCount")]
    pub(super) gemini_total: Option<Count>,
    #[serde(rename = "promptTokensDetails")]
    pub(super) gemini_prompt_details: Option<Vec<OfModality>>,
    #[serde(rename = "candidatesTokensDetails")]
    pub(super) gemini_output_details: Option<Vec<OfModality>>,
    #[serde(rename = "trafficType")]
    pub(super) gemini_traffic: Option<IgnoredAny>,
    pub(super) service_tier: Option<Box<str>>,
    // Anthropic.
    pub(super) speed: Option<Box<str>>,
    pub(super) inference_geo: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct InputDetails {
    pub(super) cached_tokens: Option<Count>,
    pub(super) cache_read_input_tokens: Option<Count>,
    pub(super) cache_write_tokens: Option<Count>,
    pub(super) audio_tokens: Option<Count>,
    pub(super) image_tokens: Option<Count>,
    // OpenAI's Realtime API.
    pub(super) cached_tokens_details: Part<CachedDetails>,
}

/// Of what was read from a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct CachedDetails {
    pub(super) audio_tokens: Option<Count>,
    pub(super) image_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct OutputDetails {
    pub(super) reasoning_tokens: Option<Count>,
    // Anthropic.
    pub(super) thinking_tokens: Option<Count>,
    pub(super) audio_tokens: Option<Count>,
    pub(super) image_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct CacheCreation {
    pub(super) ephemeral_5m_input_tokens: Option<Count>,
    pub(super) ephemeral_1h_input_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ServerTools {
    pub(super) web_search_requests: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ToolCalls {
    pub(super) search_web: Part<Calls>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Calls {
    pub(super) invocation: Option<Count>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct OfModality {
    pub(super) modality: Option<Box<str>>,
    #[serde(rename = "tokenCount")]
    pub(super) count: Option<Count>,
}
