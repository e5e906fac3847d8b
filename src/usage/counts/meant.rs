//! What the names of a usage object mean: several stand for one count, and the first that is there has it.

use super::written::{Count, InputDetails, OfModality, OutputDetails, Part, Written};

/// A usage object, and what it says of the input and of the output in particular: nothing, where no such part is there.
pub(super) struct Meant<'w> {
    written: &'w Written,
    input: InputDetails,
    output: OutputDetails,
}

impl<'w> Meant<'w> {
    pub(super) fn by(written: &'w Written) -> Self {
        Self {
            written,
            input: first_part([
                written.prompt_tokens_details,
                written.input_tokens_details,
                written.input_token_details,
            ]),
            output: first_part([
                written.completion_tokens_details,
                written.output_tokens_details,
                written.output_token_details,
            ]),
        }
    }

    pub(super) fn input(&self) -> Option<Count> {
        let written = self.written;
        let named = written.prompt_tokens.or(written.input_tokens);
        named.or_else(|| gemini_input(written))
    }

    pub(super) fn output(&self) -> Option<Count> {
        let written = self.written;
        let named = written.completion_tokens.or(written.output_tokens);
        named.or(written.gemini_output)
    }

    pub(super) fn total(&self) -> Option<Count> {
        self.written.total_tokens.or(self.written.gemini_total)
    }

    /// A part of the input.
    pub(super) fn cached(&self) -> Option<Count> {
        let written = self.written;
        first([
            self.input.cached_tokens,
            self.input.cache_read_input_tokens,
            written.prompt_cache_hit_tokens,
            written.cached_input_tokens,
            written.cached_tokens,
            written.gemini_cached,
        ])
    }

    pub(super) fn cached_audio(&self) -> Option<Count> {
        let cached = self.input.cached_tokens_details.0;
        cached.unwrap_or_default().audio_tokens
    }

    pub(super) fn cached_image(&self) -> Option<Count> {
        let cached = self.input.cached_tokens_details.0;
        cached.unwrap_or_default().image_tokens
    }

    /// Beside the input.
    pub(super) fn cached_beside(&self) -> Option<Count> {
        self.written.cache_read_input_tokens
    }

    /// A part of the input.
    pub(super) fn cache_written(&self) -> Option<Count> {
        self.input.cache_write_tokens
    }

    /// Beside the input.
    pub(super) fn written_beside(&self) -> Option<Count> {
        self.written.cache_creation_input_tokens
    }

    pub(super) fn written_beside_5m(&self) -> Option<Count> {
        let creation = self.written.cache_creation.0;
        creation.unwrap_or_default().ephemeral_5m_input_tokens
    }

    pub(super) fn written_beside_1h(&self) -> Option<Count> {
        let creation = self.written.cache_creation.0;
        creation.unwrap_or_default().ephemeral_1h_input_tokens
    }

    pub(super) fn audio_input(&self) -> Option<Count> {
        let of_gemini = || of_modality(self.written.gemini_prompt_details.as_deref(), "AUDIO");
        self.input.audio_tokens.or_else(of_gemini)
    }

    pub(super) fn image_input(&self) -> Option<Count> {
        let of_gemini = || of_modality(self.written.gemini_prompt_details.as_deref(), "IMAGE");
        self.input.image_tokens.or_else(of_gemini)
    }

    /// A part of the output, unless the total says otherwise.
    pub(super) fn reasoning(&self) -> Option<Count> {
        first([
            self.output.reasoning_tokens,
            self.output.thinking_tokens,
            self.written.reasoning_tokens,
        ])
    }

    /// Beside the output.
    pub(super) fn reasoning_beside(&self) -> Option<Count> {
        self.written.gemini_thoughts
    }

    pub(super) fn audio_output(&self) -> Option<Count> {
        let of_gemini = || of_modality(self.written.gemini_output_details.as_deref(), "AUDIO");
        self.output.audio_tokens.or_else(of_gemini)
    }

    pub(super) fn image_output(&self) -> Option<Count> {
        let of_gemini = || of_modality(self.written.gemini_output_details.as_deref(), "IMAGE");
        self.output.image_tokens.or_else(of_gemini)
    }

    pub(super) fn searches(&self) -> Option<Count> {
        let written = self.written;
        let tools = written.server_tool_use.0.unwrap_or_default();
        let calls = written.tool_calls_details.0.unwrap_or_default();
        first([
            tools.web_search_requests,
            calls.search_web.0.unwrap_or_default().invocation,
            written.num_search_queries,
            written.num_sources_used,
        ])
    }
}

fn first<const N: usize>(counts: [Option<Count>; N]) -> Option<Count> {
    counts.into_iter().flatten().next()
}

fn first_part<T: Default, const N: usize>(parts: [Part<T>; N]) -> T {
    let first = parts.into_iter().find_map(|part| part.0);
    first.unwrap_or_default()
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
