//! The numbers of a usage object by the names that providers give them, and what they come to.
//!
//! Names and rules: OpenAI's OpenAPI document 2.3.0, Anthropic's SDK 0.121.0, google-genai 2.19.0, and the
//! documentation of Groq, DeepSeek, xAI, Perplexity, Moonshot and Inception (November 2026). The counts of one answer
//! may come in several objects (Anthropic's streams): a later one replaces what it names, for counts are cumulative.

mod meant;
mod names;
mod plain;
mod written;

use super::{Tier, Usage};
use meant::Meant;
use written::{Count, Written};

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
    /// Cache writes that `input` leaves out: all of them, and by how long they last. The last events of a stream tell the
    /// first only.
    written_beside: Option<u64>,
    written_beside_5m: Option<u64>,
    written_beside_1h: Option<u64>,
    cached_audio: Option<u64>,
    cached_image: Option<u64>,
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
    /// Whether it was served in Anthropic's fast mode.
    fast: Option<bool>,
    us: Option<bool>,
    /// Some count was no number that can be believed.
    absurd: bool,
    /// Some object could not be read.
    unreadable: bool,
}

impl Counts {
    /// Takes up a usage object.
    #[allow(
        clippy::disallowed_methods,
        reason = "no tree: the counts of an object of at most 16 KiB"
    )]
    pub(super) fn read(&mut self, object: &[u8]) {
        let mut written = Written::default();
        if plain::read(object, &mut written) {
            self.take(&written);
            return;
        }
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
        let meant = Meant::by(written);
        let read = [
            (&mut self.input, meant.input()),
            (&mut self.output, meant.output()),
            (&mut self.total, meant.total()),
            (&mut self.cached, meant.cached()),
            (&mut self.cached_audio, meant.cached_audio()),
            (&mut self.cached_image, meant.cached_image()),
            (&mut self.cached_beside, meant.cached_beside()),
            (&mut self.written, meant.cache_written()),
            (&mut self.written_beside, meant.written_beside()),
            (&mut self.written_beside_5m, meant.written_beside_5m()),
            (&mut self.written_beside_1h, meant.written_beside_1h()),
            (&mut self.audio_input, meant.audio_input()),
            (&mut self.image_input, meant.image_input()),
            (&mut self.reasoning, meant.reasoning()),
            (&mut self.reasoning_beside, meant.reasoning_beside()),
            (&mut self.audio_output, meant.audio_output()),
            (&mut self.image_output, meant.image_output()),
            (&mut self.searches, meant.searches()),
        ];
        for (place, count) in read {
            match count {
                Some(Count::Is(count)) => *place = Some(count),
                Some(Count::Absurd) => self.absurd = true,
                None => {}
            }
        }
        if let Some(name) = &written.service_tier {
            self.tier(name.as_bytes());
        }
        if let Some(speed) = &written.speed {
            self.fast = Some(&**speed == "fast");
        }
        if let Some(geo) = &written.inference_geo {
            self.us = Some(&**geo == "us");
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
        self.input.unwrap_or(0) + self.cached_beside.unwrap_or(0) + self.all_written_beside()
    }

    /// All cache writes that `input` leaves out.
    fn all_written_beside(&self) -> u64 {
        let by_time = self.written_beside_5m.unwrap_or(0) + self.written_beside_1h.unwrap_or(0);
        self.written_beside.unwrap_or(0).max(by_time)
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
        let cached_audio = self.cached_audio.unwrap_or(0).min(cached);
        let cached_image = self.cached_image.unwrap_or(0);
        let hour = self.written_beside_1h.unwrap_or(0).min(input - cached);
        let beside = self.all_written_beside();
        let write = self.written.unwrap_or(beside - hour.min(beside));
        let reasoning = self.reasoning.or(self.reasoning_beside).unwrap_or(0);
        Usage {
            input,
            cached,
            cached_audio,
            cached_image: cached_image.min(cached - cached_audio),
            cache_write: write.min(input - cached - hour),
            cache_write_1h: hour,
            cache_write_12h: 0,
            audio_input: self.audio_input.unwrap_or(0).min(input),
            image_input: self.image_input.unwrap_or(0).min(input),
            output,
            reasoning: reasoning.min(output),
            audio_output: self.audio_output.unwrap_or(0).min(output),
            image_output: self.image_output.unwrap_or(0).min(output),
            searches: self.searches.unwrap_or(0),
            tier: if self.fast == Some(true) {
                Tier::Fast
            } else {
                self.tier.unwrap_or_default()
            },
            us: self.us.unwrap_or(false),
        }
    }
}
