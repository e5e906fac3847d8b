//! Our names of things by the semantic conventions for GenAI (1.38). What has no name there keeps ours.

use crate::surface::Surface;

/// `gen_ai.operation.name`.
pub(super) fn operation(surface: Option<Surface>) -> &'static str {
    match surface {
        Some(Surface::Chat | Surface::Responses | Surface::Messages) => "chat",
        Some(Surface::Completions | Surface::Fim) => "text_completion",
        Some(Surface::Embeddings | Surface::EmbedContent | Surface::BatchEmbedContents) => {
            "embeddings"
        }
        Some(Surface::GenerateContent | Surface::StreamGenerateContent) => "generate_content",
        Some(other) => other.name(),
        None => "passed_on",
    }
}

/// `gen_ai.provider.name`, of the id of a provider of ours.
pub(super) fn provider(id: &str) -> &str {
    match id {
        "google" => "gcp.gemini",
        "vertex" | "vertex-ai" => "gcp.vertex_ai",
        "azure" | "azure-openai" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_conventions_where_there_are_some() {
        for (surface, name) in [
            (Surface::Messages, "chat"),
            (Surface::StreamGenerateContent, "generate_content"),
            (Surface::Embeddings, "embeddings"),
            (Surface::Completions, "text_completion"),
            (Surface::Rerank, "rerank"),
        ] {
            assert_eq!(operation(Some(surface)), name);
        }
        for (id, name) in [
            ("openai", "openai"),
            ("google", "gcp.gemini"),
            ("my-own", "my-own"),
        ] {
            assert_eq!(provider(id), name);
        }
    }
}
