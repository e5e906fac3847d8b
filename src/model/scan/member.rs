//! The members that are looked for, and where they were found.

use std::ops::Range;

use super::key::{Key, Name};

/// A top-level member of a request body that the gateway reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Member {
    /// `model`
    Model,
    /// `models`
    Models,
    /// `stream`
    Stream,
    /// `stream_options`
    StreamOptions,
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
    /// `max_output_tokens`
    MaxOutputTokens,
    /// `prompt_cache_key`
    PromptCacheKey,
    /// `session_id`
    SessionId,
    /// `n`
    N,
    /// `best_of`
    BestOf,
    /// `service_tier`
    ServiceTier,
    /// `speed`
    Speed,
    /// `inference_geo`
    InferenceGeo,
    /// `tools`
    Tools,
    /// `modalities`
    Modalities,
    /// `audio`
    Audio,
    /// `prediction`
    Prediction,
    /// `web_search_options`
    WebSearchOptions,
    /// `search_parameters`
    SearchParameters,
    /// `plugins`
    Plugins,
    /// `provider`
    Provider,
    /// `preset`
    Preset,
    /// `background`
    Background,
    /// `deferred`
    Deferred,
    /// `previous_response_id`
    PreviousResponseId,
    /// `conversation`
    Conversation,
    /// `prompt`
    Prompt,
    /// `fallbacks`
    Fallbacks,
    /// `mcp_servers`
    McpServers,
    /// `container`
    Container,
    /// `context_management`
    ContextManagement,
    /// `prompt_cache_options`
    PromptCacheOptions,
}

impl Member {
    /// Every member, at the index of its discriminant.
    pub const ALL: [Self; 33] = [
        Self::Model,
        Self::Models,
        Self::Stream,
        Self::StreamOptions,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::MaxOutputTokens,
        Self::PromptCacheKey,
        Self::SessionId,
        Self::N,
        Self::BestOf,
        Self::ServiceTier,
        Self::Speed,
        Self::InferenceGeo,
        Self::Tools,
        Self::Modalities,
        Self::Audio,
        Self::Prediction,
        Self::WebSearchOptions,
        Self::SearchParameters,
        Self::Plugins,
        Self::Provider,
        Self::Preset,
        Self::Background,
        Self::Deferred,
        Self::PreviousResponseId,
        Self::Conversation,
        Self::Prompt,
        Self::Fallbacks,
        Self::McpServers,
        Self::Container,
        Self::ContextManagement,
        Self::PromptCacheOptions,
    ];

    /// The name, as its key is decoded.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Models => "models",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::PromptCacheKey => "prompt_cache_key",
            Self::SessionId => "session_id",
            Self::N => "n",
            Self::BestOf => "best_of",
            Self::ServiceTier => "service_tier",
            Self::Speed => "speed",
            Self::InferenceGeo => "inference_geo",
            Self::Tools => "tools",
            Self::Modalities => "modalities",
            Self::Audio => "audio",
            Self::Prediction => "prediction",
            Self::WebSearchOptions => "web_search_options",
            Self::SearchParameters => "search_parameters",
            Self::Plugins => "plugins",
            Self::Provider => "provider",
            Self::Preset => "preset",
            Self::Background => "background",
            Self::Deferred => "deferred",
            Self::PreviousResponseId => "previous_response_id",
            Self::Conversation => "conversation",
            Self::Prompt => "prompt",
            Self::Fallbacks => "fallbacks",
            Self::McpServers => "mcp_servers",
            Self::Container => "container",
            Self::ContextManagement => "context_management",
            Self::PromptCacheOptions => "prompt_cache_options",
        }
    }

    /// The member of that name. Written out, so that it is found by its length and a comparison or two of whole words.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"model" => Self::Model,
            b"models" => Self::Models,
            b"stream" => Self::Stream,
            b"stream_options" => Self::StreamOptions,
            b"max_tokens" => Self::MaxTokens,
            b"max_completion_tokens" => Self::MaxCompletionTokens,
            b"max_output_tokens" => Self::MaxOutputTokens,
            b"prompt_cache_key" => Self::PromptCacheKey,
            b"session_id" => Self::SessionId,
            b"n" => Self::N,
            b"best_of" => Self::BestOf,
            b"service_tier" => Self::ServiceTier,
            b"speed" => Self::Speed,
            b"inference_geo" => Self::InferenceGeo,
            b"tools" => Self::Tools,
            b"modalities" => Self::Modalities,
            b"audio" => Self::Audio,
            b"prediction" => Self::Prediction,
            b"web_search_options" => Self::WebSearchOptions,
            b"search_parameters" => Self::SearchParameters,
            b"plugins" => Self::Plugins,
            b"provider" => Self::Provider,
            b"preset" => Self::Preset,
            b"background" => Self::Background,
            b"deferred" => Self::Deferred,
            b"previous_response_id" => Self::PreviousResponseId,
            b"conversation" => Self::Conversation,
            b"prompt" => Self::Prompt,
            b"fallbacks" => Self::Fallbacks,
            b"mcp_servers" => Self::McpServers,
            b"container" => Self::Container,
            b"context_management" => Self::ContextManagement,
            b"prompt_cache_options" => Self::PromptCacheOptions,
            _ => return None,
        })
    }

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// What kind of value a member has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string that stands for itself between its quotes.
    String,
    /// A string written with at least one escape.
    EscapedString,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
    /// An object.
    Object,
    /// An array.
    Array,
}

impl Kind {
    /// The kind of the value that begins with `byte`.
    pub(super) const fn begun_by(byte: u8) -> Self {
        match byte {
            b'"' => Self::String,
            b'{' => Self::Object,
            b'[' => Self::Array,
            b't' => Self::True,
            b'f' => Self::False,
            b'n' => Self::Null,
            _ => Self::Number,
        }
    }
}

/// One place where a member stands. Offsets count from the first byte of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub(super) key_start: u32,
    pub(super) value_start: u32,
    pub(super) value_end: u32,
    pub(super) kind: Kind,
    pub(super) key_escaped: bool,
}

impl Occurrence {
    pub(super) const fn new() -> Self {
        Self {
            key_start: 0,
            value_start: 0,
            value_end: 0,
            kind: Kind::Null,
            key_escaped: false,
        }
    }

    /// From the opening quote of the key to the end of the value.
    #[must_use]
    pub fn member(&self) -> Range<usize> {
        self.key_start as usize..self.value_end as usize
    }

    /// The value, with the quotes or brackets it has.
    #[must_use]
    pub fn value(&self) -> Range<usize> {
        self.value_start as usize..self.value_end as usize
    }

    /// What kind of value it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the key is written with an escape, as `mod\u0065l`.
    #[must_use]
    pub fn key_escaped(&self) -> bool {
        self.key_escaped
    }
}

/// Where a member was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub(super) first: Occurrence,
    pub(super) last: Occurrence,
}

impl Found {
    const NONE: Self = Self {
        first: Occurrence::new(),
        last: Occurrence::new(),
    };

    /// Where it stands first.
    #[must_use]
    pub fn first(&self) -> &Occurrence {
        &self.first
    }

    /// Where it stands last: what most parsers take. The same as the first unless the member is
    /// repeated.
    #[must_use]
    pub fn last(&self) -> &Occurrence {
        &self.last
    }
}

/// The members found in a body, with what makes a body ambiguous: one parser could read it
/// otherwise than another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    found: [Found; Member::ALL.len()],
    // A bit for each member.
    present: u64,
    repeated: u64,
    escaped: u64,
    look_alike: u64,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self {
            found: [Found::NONE; Member::ALL.len()],
            present: 0,
            repeated: 0,
            escaped: 0,
            look_alike: 0,
        }
    }

    /// Where `member` was found; `None` if it was not.
    #[must_use]
    pub fn get(&self, member: Member) -> Option<&Found> {
        (self.present & member.bit() != 0).then(|| &self.found[member as usize])
    }

    /// Whether `member` occurs more than once.
    #[must_use]
    pub fn is_repeated(&self, member: Member) -> bool {
        self.repeated & member.bit() != 0
    }

    /// Whether any key of `member` is written with an escape.
    #[must_use]
    pub fn is_escaped(&self, member: Member) -> bool {
        self.escaped & member.bit() != 0
    }

    /// Whether a key differs from the name of `member` in letter case only. Such a member is not
    /// `member` (it is not what [`Members::get`] gives), but parsers that ignore case, as Go's
    /// `encoding/json` does, take it for that.
    #[must_use]
    pub fn has_look_alike(&self, member: Member) -> bool {
        self.look_alike & member.bit() != 0
    }

    /// Takes down a complete member, if it is one that is looked for.
    pub(super) fn note(&mut self, key: &Key, here: Occurrence) {
        let member = match key.name() {
            None => return,
            Some(Name::LookAlike(member)) => {
                self.look_alike |= member.bit();
                return;
            }
            Some(Name::Exact(member)) => member,
        };
        if here.key_escaped {
            self.escaped |= member.bit();
        }
        let found = &mut self.found[member as usize];
        if self.present & member.bit() == 0 {
            found.first = here;
        } else {
            self.repeated |= member.bit();
        }
        found.last = here;
        self.present |= member.bit();
    }
}
