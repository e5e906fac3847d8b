//! Where the value under each name of a usage object goes: the names are those that serde is told of in
//! [`written`](super::written).

use super::written::{
    CacheCreation, CachedDetails, Calls, Count, InputDetails, OfModality, OutputDetails, Part,
    ServerTools, ToolCalls, Written,
};

/// Where a value goes.
pub(super) enum Place<'w> {
    Count(&'w mut Option<Count>),
    Name(&'w mut Option<Box<str>>),
    Part(&'w mut dyn Opened),
    Modalities(&'w mut Option<Vec<OfModality>>),
    /// It is one that this reader does not know how to read.
    Unread,
}

/// An object with names that mean something.
pub(super) trait Members {
    /// Where the value under a name goes; none: the name means nothing.
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>>;
}

/// An object that may be there.
pub(super) trait Opened {
    /// Its members, where it begins; none where it has been there already.
    fn open(&mut self) -> Option<&mut dyn Members>;
}

impl<T: Members + Default> Opened for Part<T> {
    fn open(&mut self) -> Option<&mut dyn Members> {
        match self.0 {
            Some(_) => None,
            None => Some(self.0.insert(T::default())),
        }
    }
}

impl Members for Written {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        Some(match name {
            b"prompt_tokens" => Place::Count(&mut self.prompt_tokens),
            b"completion_tokens" => Place::Count(&mut self.completion_tokens),
            b"total_tokens" => Place::Count(&mut self.total_tokens),
            b"prompt_tokens_details" => Place::Part(&mut self.prompt_tokens_details),
            b"completion_tokens_details" => Place::Part(&mut self.completion_tokens_details),
            b"input_tokens" => Place::Count(&mut self.input_tokens),
            b"output_tokens" => Place::Count(&mut self.output_tokens),
            b"input_tokens_details" => Place::Part(&mut self.input_tokens_details),
            b"output_tokens_details" => Place::Part(&mut self.output_tokens_details),
            b"input_token_details" => Place::Part(&mut self.input_token_details),
            b"output_token_details" => Place::Part(&mut self.output_token_details),
            b"cache_creation_input_tokens" => Place::Count(&mut self.cache_creation_input_tokens),
            b"cache_read_input_tokens" => Place::Count(&mut self.cache_read_input_tokens),
            b"cache_creation" => Place::Part(&mut self.cache_creation),
            b"server_tool_use" => Place::Part(&mut self.server_tool_use),
            b"service_tier" => Place::Name(&mut self.service_tier),
            b"speed" => Place::Name(&mut self.speed),
            b"inference_geo" => Place::Name(&mut self.inference_geo),
            b"promptTokenCount" => Place::Count(&mut self.gemini_prompt),
            b"candidatesTokenCount" => Place::Count(&mut self.gemini_output),
            b"totalTokenCount" => Place::Count(&mut self.gemini_total),
            b"thoughtsTokenCount" => Place::Count(&mut self.gemini_thoughts),
            b"cachedContentTokenCount" => Place::Count(&mut self.gemini_cached),
            b"toolUsePromptTokenCount" => Place::Count(&mut self.gemini_tool_prompt),
            b"promptTokensDetails" => Place::Modalities(&mut self.gemini_prompt_details),
            b"candidatesTokensDetails" => Place::Modalities(&mut self.gemini_output_details),
            b"trafficType" => Place::Unread,
            b"tool_calls_details" => Place::Part(&mut self.tool_calls_details),
            b"prompt_cache_hit_tokens" => Place::Count(&mut self.prompt_cache_hit_tokens),
            b"cached_input_tokens" => Place::Count(&mut self.cached_input_tokens),
            b"cached_tokens" => Place::Count(&mut self.cached_tokens),
            b"reasoning_tokens" => Place::Count(&mut self.reasoning_tokens),
            b"num_sources_used" => Place::Count(&mut self.num_sources_used),
            b"num_search_queries" => Place::Count(&mut self.num_search_queries),
            _ => return None,
        })
    }
}

impl Members for InputDetails {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        Some(match name {
            b"cached_tokens" => Place::Count(&mut self.cached_tokens),
            b"audio_tokens" => Place::Count(&mut self.audio_tokens),
            b"image_tokens" => Place::Count(&mut self.image_tokens),
            b"cache_read_input_tokens" => Place::Count(&mut self.cache_read_input_tokens),
            b"cache_write_tokens" => Place::Count(&mut self.cache_write_tokens),
            b"cached_tokens_details" => Place::Part(&mut self.cached_tokens_details),
            _ => return None,
        })
    }
}

impl Members for CachedDetails {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        Some(match name {
            b"audio_tokens" => Place::Count(&mut self.audio_tokens),
            b"image_tokens" => Place::Count(&mut self.image_tokens),
            _ => return None,
        })
    }
}

impl Members for OutputDetails {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        Some(match name {
            b"reasoning_tokens" => Place::Count(&mut self.reasoning_tokens),
            b"thinking_tokens" => Place::Count(&mut self.thinking_tokens),
            b"audio_tokens" => Place::Count(&mut self.audio_tokens),
            b"image_tokens" => Place::Count(&mut self.image_tokens),
            _ => return None,
        })
    }
}

impl Members for CacheCreation {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        Some(match name {
            b"ephemeral_5m_input_tokens" => Place::Count(&mut self.ephemeral_5m_input_tokens),
            b"ephemeral_1h_input_tokens" => Place::Count(&mut self.ephemeral_1h_input_tokens),
            _ => return None,
        })
    }
}

impl Members for ServerTools {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        (name == b"web_search_requests").then_some(Place::Count(&mut self.web_search_requests))
    }
}

impl Members for ToolCalls {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        (name == b"search_web").then_some(Place::Part(&mut self.search_web))
    }
}

impl Members for Calls {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        (name == b"invocation").then_some(Place::Count(&mut self.invocation))
    }
}

impl Members for OfModality {
    fn place(&mut self, name: &[u8]) -> Option<Place<'_>> {
        Some(match name {
            b"modality" => Place::Name(&mut self.modality),
            b"tokenCount" => Place::Count(&mut self.count),
            _ => return None,
        })
    }
}

/// An object in which no name means anything.
pub(super) struct Unknown;

impl Members for Unknown {
    fn place(&mut self, _: &[u8]) -> Option<Place<'_>> {
        None
    }
}
