//! The table of surfaces: one row for each API shape that clients speak and providers serve.
//! A new surface is a new row (and its variant); no other module asks "which path was it?".

use serde::{Deserialize, Serialize};

/// One API shape. The order is that of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// `POST /v1/chat/completions` (OpenAI).
    Chat,
    /// `POST /v1/completions` (OpenAI, legacy).
    Completions,
    /// `POST /v1/responses` (OpenAI).
    Responses,
    /// `POST /v1/embeddings` (OpenAI).
    Embeddings,
    /// `POST /v1/messages` (Anthropic).
    Messages,
    /// `POST /v1/messages/count_tokens` (Anthropic).
    CountTokens,
    /// `POST /v1/responses/compact` (OpenAI): a conversation made shorter.
    ResponsesCompact,
    /// `POST /v1/responses/input_tokens` (OpenAI): how many there are.
    ResponsesInputTokens,
    /// `POST /v1/images/generations` (OpenAI).
    ImagesGenerations,
    /// `POST /v1/audio/speech` (OpenAI).
    AudioSpeech,
    /// `POST /v1/moderations` (OpenAI).
    Moderations,
    /// `POST /v1/rerank` (Cohere, Jina and others).
    Rerank,
    /// `POST /v1/decisions` (OpenAI, Inception).
    Decisions,
    /// `POST /v1/fim/completions` (Mistral): what stands between two texts.
    Fim,
    /// `POST /v1/audio/transcriptions` (OpenAI).
    AudioTranscriptions,
    /// `POST /v1/audio/translations` (OpenAI).
    AudioTranslations,
    /// `POST /v1/images/edits` (OpenAI).
    ImagesEdits,
    /// `POST /v1/images/variations` (OpenAI).
    ImagesVariations,
    /// `POST /v1beta/models/MODEL:generateContent` (Gemini).
    GenerateContent,
    /// `POST /v1beta/models/MODEL:streamGenerateContent` (Gemini).
    StreamGenerateContent,
    /// `POST /v1beta/models/MODEL:countTokens` (Gemini).
    GeminiCountTokens,
    /// `POST /v1beta/models/MODEL:embedContent` (Gemini).
    EmbedContent,
    /// `POST /v1beta/models/MODEL:batchEmbedContents` (Gemini).
    BatchEmbedContents,
    /// `GET /v1/realtime?model=MODEL` (OpenAI), a WebSocket.
    Realtime,
}

/// How errors, model lists and ids look to the client that uses a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`.
    Anthropic,
    /// `{"error":{"code","message","status"}}`.
    Gemini,
}

/// Where a request of the surface names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelAt {
    /// The top-level member `model` of a JSON body.
    JsonBody,
    /// The field `model` of a form (`multipart/form-data`); as above where a client sends JSON all the same.
    Multipart,
    /// The path, at `{model}`.
    Path,
    /// The parameter `model` of the query.
    Query,
}

/// What a request of a surface uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uses {
    /// Tokens that are read and tokens that are written.
    Tokens,
    /// Tokens that are read.
    Input,
    /// Nothing: it asks about a request.
    Nothing,
    /// As much as is talked: each answer of a conversation says what it used, and is held for by itself.
    Talk,
    /// What answers do not tell, or nobody can bound before: not on the gateway's credential.
    Untold,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The surface the row describes.
    pub surface: Surface,
    /// Its name in the catalog, in metrics and in logs.
    pub name: &'static str,
    /// Path below the API root (`/v1`; Gemini's is `/v1beta`), with its leading slash, and `{model}` where the model stands.
    pub path: &'static str,
    /// Dialect of our own answers.
    pub dialect: Dialect,
    /// Where the model's name is read.
    pub model_at: ModelAt,
    /// Whether the events of a stream bear their type: as `event:`, and as the member `type`.
    pub typed_events: bool,
}

/// Number of surfaces.
pub const COUNT: usize = TABLE.len();

/// Every surface, in the order of [`Surface`]'s variants.
pub const TABLE: &[Spec] = &[
    Spec {
        surface: Surface::Chat,
        name: "chat",
        path: "/chat/completions",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Completions,
        name: "completions",
        path: "/completions",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Responses,
        name: "responses",
        path: "/responses",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: true,
    },
    Spec {
        surface: Surface::Embeddings,
        name: "embeddings",
        path: "/embeddings",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Messages,
        name: "messages",
        path: "/messages",
        dialect: Dialect::Anthropic,
        model_at: ModelAt::JsonBody,
        typed_events: true,
    },
    Spec {
        surface: Surface::CountTokens,
        name: "count_tokens",
        path: "/messages/count_tokens",
        dialect: Dialect::Anthropic,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::ResponsesCompact,
        name: "responses_compact",
        path: "/responses/compact",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: true,
    },
    Spec {
        surface: Surface::ResponsesInputTokens,
        name: "responses_input_tokens",
        path: "/responses/input_tokens",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: true,
    },
    Spec {
        surface: Surface::ImagesGenerations,
        name: "images_generations",
        path: "/images/generations",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: true,
    },
    Spec {
        surface: Surface::AudioSpeech,
        name: "audio_speech",
        path: "/audio/speech",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Moderations,
        name: "moderations",
        path: "/moderations",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Rerank,
        name: "rerank",
        path: "/rerank",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Decisions,
        name: "decisions",
        path: "/decisions",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::Fim,
        name: "fim",
        path: "/fim/completions",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::JsonBody,
        typed_events: false,
    },
    Spec {
        surface: Surface::AudioTranscriptions,
        name: "audio_transcriptions",
        path: "/audio/transcriptions",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::Multipart,
        typed_events: true,
    },
    Spec {
        surface: Surface::AudioTranslations,
        name: "audio_translations",
        path: "/audio/translations",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::Multipart,
        typed_events: false,
    },
    Spec {
        surface: Surface::ImagesEdits,
        name: "images_edits",
        path: "/images/edits",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::Multipart,
        typed_events: true,
    },
    Spec {
        surface: Surface::ImagesVariations,
        name: "images_variations",
        path: "/images/variations",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::Multipart,
        typed_events: false,
    },
    Spec {
        surface: Surface::GenerateContent,
        name: "generate_content",
        path: "/models/{model}:generateContent",
        dialect: Dialect::Gemini,
        model_at: ModelAt::Path,
        typed_events: false,
    },
    Spec {
        surface: Surface::StreamGenerateContent,
        name: "stream_generate_content",
        path: "/models/{model}:streamGenerateContent",
        dialect: Dialect::Gemini,
        model_at: ModelAt::Path,
        typed_events: false,
    },
    Spec {
        surface: Surface::GeminiCountTokens,
        name: "gemini_count_tokens",
        path: "/models/{model}:countTokens",
        dialect: Dialect::Gemini,
        model_at: ModelAt::Path,
        typed_events: false,
    },
    Spec {
        surface: Surface::EmbedContent,
        name: "embed_content",
        path: "/models/{model}:embedContent",
        dialect: Dialect::Gemini,
        model_at: ModelAt::Path,
        typed_events: false,
    },
    Spec {
        surface: Surface::BatchEmbedContents,
        name: "batch_embed_contents",
        path: "/models/{model}:batchEmbedContents",
        dialect: Dialect::Gemini,
        model_at: ModelAt::Path,
        typed_events: false,
    },
    Spec {
        surface: Surface::Realtime,
        name: "realtime",
        path: "/realtime",
        dialect: Dialect::OpenAi,
        model_at: ModelAt::Query,
        typed_events: true,
    },
];

impl Surface {
    /// The row of this surface.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        &TABLE[self as usize]
    }

    /// The name used in the catalog, in metrics and in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// What a request of it uses.
    #[must_use]
    pub fn uses(self) -> Uses {
        match self {
            Self::Chat
            | Self::Completions
            | Self::Responses
            | Self::ResponsesCompact
            | Self::Messages
            | Self::Decisions
            | Self::Fim
            | Self::GenerateContent
            | Self::StreamGenerateContent => Uses::Tokens,
            Self::Embeddings
            | Self::Moderations
            | Self::EmbedContent
            | Self::BatchEmbedContents => Uses::Input,
            Self::CountTokens | Self::ResponsesInputTokens | Self::GeminiCountTokens => {
                Uses::Nothing
            }
            // Of `rerank` providers count searches, or the question once for each document.
            Self::ImagesGenerations
            | Self::AudioSpeech
            | Self::Rerank
            | Self::AudioTranscriptions
            | Self::AudioTranslations
            | Self::ImagesEdits
            | Self::ImagesVariations => Uses::Untold,
            Self::Realtime => Uses::Talk,
        }
    }

    /// Whether it may refer to what a provider keeps of earlier requests.
    #[must_use]
    pub fn has_state(self) -> bool {
        matches!(
            self,
            Self::Responses | Self::ResponsesCompact | Self::ResponsesInputTokens
        )
    }

    /// Whether what a conversation says may bring tools with it, wherever in the body.
    #[must_use]
    pub fn has_tools_within(self) -> bool {
        matches!(
            self,
            Self::Responses | Self::ResponsesCompact | Self::Messages
        )
    }

    /// Whether a request may leave the model to its provider: a usual one, or that of a stored prompt.
    #[must_use]
    pub fn may_name_no_model(self) -> bool {
        self.has_state()
            || matches!(
                self,
                Self::ImagesGenerations | Self::Moderations | Self::Realtime
            )
    }

    /// Whether it is a WebSocket, and nothing else.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Realtime)
    }

    /// Whether its answers are streams without the request's body saying so.
    #[must_use]
    pub const fn always_streams(self) -> bool {
        matches!(self, Self::StreamGenerateContent)
    }

    /// The surface of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.surface)
    }
}

/// A set of surfaces, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurfaceSet(u32);

impl SurfaceSet {
    /// No surface.
    pub const EMPTY: Self = Self(0);

    /// The set with `surface` added.
    #[must_use]
    pub const fn with(self, surface: Surface) -> Self {
        Self(self.0 | 1 << surface as u32)
    }

    /// Whether `surface` is in the set.
    #[must_use]
    pub const fn has(self, surface: Surface) -> bool {
        self.0 & (1 << surface as u32) != 0
    }

    /// The surfaces in the set, in table order.
    pub fn iter(self) -> impl Iterator<Item = Surface> {
        TABLE
            .iter()
            .map(|row| row.surface)
            .filter(move |s| self.has(*s))
    }
}

impl FromIterator<Surface> for SurfaceSet {
    fn from_iter<I: IntoIterator<Item = Surface>>(surfaces: I) -> Self {
        surfaces.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_at_its_own_index_and_has_its_own_name() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.surface as usize, index, "{}", row.name);
            assert_eq!(Surface::from_name(row.name), Some(row.surface));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set: SurfaceSet = [Surface::Chat, Surface::Messages].into_iter().collect();
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Surface::Chat, Surface::Messages]
        );
        assert!(!set.has(Surface::Embeddings));
    }
}
