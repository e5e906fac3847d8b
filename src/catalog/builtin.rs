//! The catalog inside the binary, so that it serves from any folder. The files are those of `catalog/`.

/// Name below `catalog/`, and text. In the order in which a folder is read.
pub(super) const FILES: &[(&str, &str)] = &[
    (
        "anthropic.json",
        include_str!("../../catalog/anthropic.json"),
    ),
    ("cerebras.json", include_str!("../../catalog/cerebras.json")),
    ("cohere.json", include_str!("../../catalog/cohere.json")),
    (
        "deepinfra.json",
        include_str!("../../catalog/deepinfra.json"),
    ),
    ("deepseek.json", include_str!("../../catalog/deepseek.json")),
    ("families.json", include_str!("../../catalog/families.json")),
    (
        "fireworks.json",
        include_str!("../../catalog/fireworks.json"),
    ),
    ("google.json", include_str!("../../catalog/google.json")),
    ("groq.json", include_str!("../../catalog/groq.json")),
    (
        "hyperbolic.json",
        include_str!("../../catalog/hyperbolic.json"),
    ),
    (
        "inceptionlabs.json",
        include_str!("../../catalog/inceptionlabs.json"),
    ),
    (
        "inference-net.json",
        include_str!("../../catalog/inference-net.json"),
    ),
    ("mistral.json", include_str!("../../catalog/mistral.json")),
    ("moonshot.json", include_str!("../../catalog/moonshot.json")),
    ("openai.json", include_str!("../../catalog/openai.json")),
    (
        "openrouter.json",
        include_str!("../../catalog/openrouter.json"),
    ),
    (
        "perplexity.json",
        include_str!("../../catalog/perplexity.json"),
    ),
    ("together.json", include_str!("../../catalog/together.json")),
    ("xai.json", include_str!("../../catalog/xai.json")),
    ("zai.json", include_str!("../../catalog/zai.json")),
    (
        "presets/anthropic-compatible.json",
        include_str!("../../catalog/presets/anthropic-compatible.json"),
    ),
    (
        "presets/azure-anthropic.json",
        include_str!("../../catalog/presets/azure-anthropic.json"),
    ),
    (
        "presets/azure-openai-dated.json",
        include_str!("../../catalog/presets/azure-openai-dated.json"),
    ),
    (
        "presets/azure-openai.json",
        include_str!("../../catalog/presets/azure-openai.json"),
    ),
    (
        "presets/bedrock.json",
        include_str!("../../catalog/presets/bedrock.json"),
    ),
    (
        "presets/lmstudio.json",
        include_str!("../../catalog/presets/lmstudio.json"),
    ),
    (
        "presets/ollama.json",
        include_str!("../../catalog/presets/ollama.json"),
    ),
    (
        "presets/openai-compatible.json",
        include_str!("../../catalog/presets/openai-compatible.json"),
    ),
    (
        "presets/vertex.json",
        include_str!("../../catalog/presets/vertex.json"),
    ),
    (
        "presets/vllm.json",
        include_str!("../../catalog/presets/vllm.json"),
    ),
];
