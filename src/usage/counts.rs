//! The numbers of a usage object by the names that providers give them, and what they come to.
//!
//! Names and rules: OpenAI's OpenAPI document 2.3.0, Anthropic's SDK 0.121.0, google-genai 2.19.0, and the
//! documentation of Groq, DeepSeek, xAI, Perplexity, Moonshot and Inception (November 2026). The counts of one answer
//! may come in several objects (Anthropic's streams): a later one replaces what it names, for counts are cumulative.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Tier, Usage};

/// The highest count that is believed. No model reads or writes a thousandth of it in one request.
pub(super) const COUNT_MAX: u64 = 1 << 40;

/// A count as written: anything may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Is(u64),
    /// No whole number from 0 to [`COUNT_MAX`].
    Absurd,
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
        Ok(if value <= COUNT_MAX {
            Count::Is(value)
        } else {
            Count::Absurd
        })
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
#[derive(Clone, Copy, Debug)]
struct Part<T>(Option<T>);

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
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    prompt_tokens: Option<Count>,
    input_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    output_tokens: Option<Count>,
    total_tokens: Option<Count>,
    prompt_tokens_details: Part<InputDetails>,
    input_tokens_details: Part<InputDetails>,
    input_token_details: Part<InputDetails>,
    completion_tokens_details: Part<OutputDetails>,
    output_tokens_details: Part<OutputDetails>,
    output_token_details: Part<OutputDetails>,
    // Anthropic.
    cache_read_input_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
    cache_creation: Part<CacheCreation>,
    server_tool_use: Part<ServerTools>,
    // DeepSeek.
    prompt_cache_hit_tokens: Option<Count>,
    // Inception and, of old, Moonshot.
    cached_input_tokens: Option<Count>,
    cached_tokens: Option<Count>,
    reasoning_tokens: Option<Count>,
    // xAI and Perplexity.
    num_sources_used: Option<Count>,
    num_search_queries: Option<Count>,
    // Gemini.
    #[serde(rename = "promptTokenCount")]
    gemini_prompt: Option<Count>,
    #[serde(rename = "toolUsePromptTokenCount")]
    gemini_tool_prompt: Option<Count>,
    #[serde(rename = "cachedContentTokenCount")]
    gemini_cached: Option<Count>,
    #[serde(rename = "candidatesTokenCount")]
    gemini_output: Option<Count>,
    #[serde(rename = "thoughtsTokenCount")]
    gemini_thoughts: Option<Count>,
    #[serde(rename = "totalTokenCount")]
    gemini_total: Option<Count>,
    #[serde(rename = "promptTokensDetails")]
    gemini_prompt_details: Option<Vec<OfModality>>,
    #[serde(rename = "candidatesTokensDetails")]
    gemini_output_details: Option<Vec<OfModality>>,
    #[serde(rename = "trafficType")]
    gemini_traffic: Option<IgnoredAny>,
    service_tier: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Option<Count>,
    cache_read_input_tokens: Option<Count>,
    cache_write_tokens: Option<Count>,
    audio_tokens: Option<Count>,
    image_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Option<Count>,
    audio_tokens: Option<Count>,
    image_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<Count>,
    ephemeral_1h_input_tokens: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct ServerTools {
    web_search_requests: Option<Count>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OfModality {
    modality: Option<Box<str>>,
    #[serde(rename = "tokenCount")]
    count: Option<Count>,
}

/// What is known so far of the counts of one answer. Each is as the provider wrote it last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    /// Cached input that is a part of `input`.
    cached: Option<u64>,
    /// Cached input that `input` leaves out.
    cached_beside: Option<u64>,
    written: Option<u64>,
    written_beside: Option<u64>,
    written_beside_1h: Option<u64>,
    audio_input: Option<u64>,
    image_input: Option<u64>,
    /// Thoughts that are a part of `output`, unless the total says otherwise.
    reasoning: Option<u64>,
    /// Thoughts that `output` leaves out.
    reasoning_beside: Option<u64>,
    audio_output: Option<u64>,
    image_output: Option<u64>,
    searches: Option<u64>,
    tier: Option<Tier>,
    /// Some count was no number that can be believed.
    absurd: bool,
    /// Some object could not be read.
    unreadable: bool,
}

impl Counts {
    /// Takes up a usage object.
    pub(super) fn read(&mut self, object: &[u8]) {
        match serde_json::from_slice::<Written>(object) {
            Ok(written) => self.take(&written),
            Err(_) => self.unreadable = true,
        }
    }

    /// Notes that there was an object too large to be read.
    pub(super) fn unreadable(&mut self) {
        self.unreadable = true;
    }

    /// Notes the tier that is named beside the usage object.
    pub(super) fn tier(&mut self, name: &[u8]) {
        self.tier = Some(Tier::named(name));
    }

    fn take(&mut self, written: &Written) {
        let mut absurd = false;
        let mut set = |place: &mut Option<u64>, names: &[Option<Count>]| match names
            .iter()
            .flatten()
            .next()
        {
            Some(Count::Is(count)) => *place = Some(*count),
            Some(Count::Absurd) => absurd = true,
            None => {}
        };
        let details = [
            written.prompt_tokens_details,
            written.input_tokens_details,
            written.input_token_details,
        ];
        let input = details
            .into_iter()
            .find_map(|part| part.0)
            .unwrap_or_default();
        let details = [
            written.completion_tokens_details,
            written.output_tokens_details,
            written.output_token_details,
        ];
        let output = details
            .into_iter()
            .find_map(|part| part.0)
            .unwrap_or_default();
        let creation = written.cache_creation.0.unwrap_or_default();
        let tools = written.server_tool_use.0.unwrap_or_default();
        let of_input = |name| of_modality(written.gemini_prompt_details.as_deref(), name);
        let of_output = |name| of_modality(written.gemini_output_details.as_deref(), name);

        set(
            &mut self.input,
            &[
                written.prompt_tokens,
                written.input_tokens,
                gemini_input(written),
            ],
        );
        set(
            &mut self.output,
            &[
                written.completion_tokens,
                written.output_tokens,
                written.gemini_output,
            ],
        );
        set(
            &mut self.total,
            &[written.total_tokens, written.gemini_total],
        );
        set(
            &mut self.cached,
            &[
                input.cached_tokens,
                input.cache_read_input_tokens,
                written.prompt_cache_hit_tokens,
                written.cached_input_tokens,
                written.cached_tokens,
                written.gemini_cached,
            ],
        );
        set(&mut self.cached_beside, &[written.cache_read_input_tokens]);
        set(&mut self.written, &[input.cache_write_tokens]);
        set(
            &mut self.written_beside,
            &[
                creation.ephemeral_5m_input_tokens,
                written.cache_creation_input_tokens,
            ],
        );
        set(
            &mut self.written_beside_1h,
            &[creation.ephemeral_1h_input_tokens],
        );
        set(
            &mut self.audio_input,
            &[input.audio_tokens, of_input("AUDIO")],
        );
        set(
            &mut self.image_input,
            &[input.image_tokens, of_input("IMAGE")],
        );
        set(
            &mut self.reasoning,
            &[output.reasoning_tokens, written.reasoning_tokens],
        );
        set(&mut self.reasoning_beside, &[written.gemini_thoughts]);
        set(
            &mut self.audio_output,
            &[output.audio_tokens, of_output("AUDIO")],
        );
        set(
            &mut self.image_output,
            &[output.image_tokens, of_output("IMAGE")],
        );
        set(
            &mut self.searches,
            &[
                tools.web_search_requests,
                written.num_search_queries,
                written.num_sources_used,
            ],
        );
        self.absurd |= absurd;
        if let Some(name) = &written.service_tier {
            self.tier(name.as_bytes());
        }
    }

    /// Whether anything was counted.
    pub(super) fn is_any(&self) -> bool {
        self.input.is_some() || self.output.is_some() || self.total.is_some()
    }

    /// Whether something in them cannot be believed.
    pub(super) fn is_absurd(&self) -> bool {
        self.absurd || self.exceeds()
    }

    /// Whether something could not be read.
    pub(super) fn is_unreadable(&self) -> bool {
        self.unreadable
    }

    /// Whether the parts are more than the whole.
    fn exceeds(&self) -> bool {
        let part = |part: Option<u64>| part.unwrap_or(0);
        let input = part(self.cached) + part(self.written);
        input > self.input.unwrap_or(u64::MAX)
            || part(self.audio_input) + part(self.image_input) > self.input_total()
    }

    fn input_total(&self) -> u64 {
        let beside = [
            self.cached_beside,
            self.written_beside,
            self.written_beside_1h,
        ];
        let beside: u64 = beside.into_iter().flatten().sum();
        self.input.unwrap_or(0) + beside
    }

    /// What was written, thoughts included. A total that is more than input and output says that the output leaves the
    /// thoughts out.
    fn output_total(&self) -> u64 {
        let said = self.output.unwrap_or(0) + self.reasoning_beside.unwrap_or(0);
        let by_total = self.total.unwrap_or(0).saturating_sub(self.input_total());
        // An answer that has not said its output (an embedding) has none, whatever its total.
        if self.output.is_some() || self.reasoning_beside.is_some() {
            said.max(by_total)
        } else {
            said
        }
    }

    /// What they come to. Parts are never more than the whole.
    pub(super) fn usage(&self) -> Usage {
        let input = match self.input {
            Some(_) => self.input_total(),
            // Only the total is known: better read than free.
            None => self.input_total().max(
                self.total
                    .unwrap_or(0)
                    .saturating_sub(self.output.unwrap_or(0)),
            ),
        };
        let output = self.output_total();
        let cached = self.cached.or(self.cached_beside).unwrap_or(0).min(input);
        let hour = self.written_beside_1h.unwrap_or(0).min(input - cached);
        let write = self.written.or(self.written_beside).unwrap_or(0);
        let reasoning = self.reasoning.or(self.reasoning_beside).unwrap_or(0);
        Usage {
            input,
            cached,
            cache_write: write.min(input - cached - hour),
            cache_write_1h: hour,
            audio_input: self.audio_input.unwrap_or(0).min(input),
            image_input: self.image_input.unwrap_or(0).min(input),
            output,
            reasoning: reasoning.min(output),
            audio_output: self.audio_output.unwrap_or(0).min(output),
            image_output: self.image_output.unwrap_or(0).min(output),
            searches: self.searches.unwrap_or(0),
            tier: self.tier.unwrap_or_default(),
        }
    }
}

/// Gemini counts what tools have read beside the prompt.
fn gemini_input(written: &Written) -> Option<Count> {
    match (written.gemini_prompt?, written.gemini_tool_prompt) {
        (Count::Is(prompt), Some(Count::Is(tools))) => Some(Count::Is(prompt + tools)),
        (Count::Is(prompt), None) => Some(Count::Is(prompt)),
        _ => Some(Count::Absurd),
    }
}

fn of_modality(details: Option<&[OfModality]>, name: &str) -> Option<Count> {
    let mut details = details?.iter();
    details
        .find(|detail| detail.modality.as_deref() == Some(name))
        .and_then(|detail| detail.count)
}
