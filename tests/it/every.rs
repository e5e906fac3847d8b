//! Every surface of the table, as a client asks it and as a provider that has all of them is described: for tests that
//! hold for all. No test is in here.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate::surface::{ModelAt, Spec, Surface, TABLE};

use crate::support::client::Request;
use crate::support::gateway::CustomProvider;

/// Between the parts of a form.
const BOUNDARY: &str = "----a-boundary-of-every-form";

/// The surfaces that are asked with `POST` and a body: all but WebSockets.
pub fn surfaces() -> impl Iterator<Item = &'static Spec> {
    TABLE.iter().filter(|spec| !spec.surface.is_websocket())
}

/// Where a provider of every surface is asked for one, with `{model}` where the path names it.
pub fn path(spec: &Spec) -> String {
    let version = match spec.model_at {
        ModelAt::Path => "/v1beta",
        ModelAt::JsonBody | ModelAt::Multipart | ModelAt::Query => "/v1",
    };
    format!("{version}{}", spec.path)
}

/// Makes `provider` speak every surface, at the paths at which clients ask for them.
pub fn speaking_every(provider: CustomProvider) -> CustomProvider {
    let surface = |spec: &Spec| (spec.name.to_owned(), json!({"path": path(spec)}));
    let all: Map<String, Value> = surfaces().map(surface).collect();
    provider
        .preset("openai-compatible", "")
        .set("surfaces", Value::Object(all))
}

/// A request of a surface for `model`, without a key. Its bytes are such as no writer of JSON or of forms would put back.
pub fn request(spec: &Spec, model: &str, streamed: bool) -> Request {
    let (kind, body) = match spec.model_at {
        ModelAt::Multipart => (
            format!("multipart/form-data; boundary={BOUNDARY}"),
            form(model, streamed),
        ),
        ModelAt::JsonBody | ModelAt::Path | ModelAt::Query => (
            "application/json".to_owned(),
            body(spec, model, streamed).into(),
        ),
    };
    let target = target(spec, model, streamed);
    Request::new("POST", &target, Some(body)).header("content-type", &kind)
}

/// Path and query at which `model` is asked for.
pub fn target(spec: &Spec, model: &str, streamed: bool) -> String {
    let path = path(spec).replace("{model}", model);
    let as_events = streamed && spec.surface == Surface::StreamGenerateContent;
    format!("{path}{}", if as_events { "?alt=sse" } else { "" })
}

/// The bytes of such a request.
pub fn bytes(spec: &Spec, model: &str, streamed: bool) -> Bytes {
    match spec.model_at {
        ModelAt::Multipart => form(model, streamed),
        ModelAt::JsonBody | ModelAt::Path | ModelAt::Query => body(spec, model, streamed).into(),
    }
}

fn body(spec: &Spec, model: &str, streamed: bool) -> String {
    let rest = match spec.surface {
        Surface::Chat => {
            r#""messages":[{"role":"user","content":"H\u00e9llo \/ 😀"}],"max_tokens":5"#
        }
        Surface::Messages => {
            r#""max_tokens":5,"messages":[{"role":"user","content":"H\u00e9llo"}]"#
        }
        Surface::CountTokens => r#""messages":[{"role":"user","content":"Hello"}]"#,
        Surface::Completions => r#""prompt":"Hello","max_tokens":5"#,
        Surface::Responses | Surface::ResponsesCompact | Surface::ResponsesInputTokens => {
            r#""input":"Hello","max_output_tokens":5"#
        }
        Surface::GenerateContent | Surface::StreamGenerateContent => {
            r#""contents":[{"parts":[{"text":"Hello"}]}], "generationConfig":{"maxOutputTokens":5}"#
        }
        Surface::GeminiCountTokens => r#""contents":[{"parts":[{"text":"Hello"}]}]"#,
        Surface::EmbedContent => r#""content":{"parts":[{"text":"Hello"}]}"#,
        Surface::BatchEmbedContents => r#""requests":[ {"content":{"parts":[{"text":"Hello"}]}} ]"#,
        Surface::Rerank => r#""query":"a","documents":["b","c"]"#,
        Surface::Fim => r#""prompt":"fn a(","suffix":")","max_tokens":5"#,
        _ => r#""input":"Hello","prompt":"Hello","voice":"alloy""#,
    };
    if spec.model_at == ModelAt::Path {
        return format!("{{ {rest}\n}}\n");
    }
    // Chats that stream and are charged are asked for their usage, which would be an edit of its own.
    let stream = if streamed {
        r#""stream" : true, "stream_options":{"include_usage":true }, "#
    } else {
        ""
    };
    format!("{{ {stream}{rest} ,\t\"x\": 1.50e+0, \"model\" :\"{model}\" }}\n")
}

fn form(model: &str, streamed: bool) -> Bytes {
    let part = |head: &str, value: &[u8]| {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    };
    let file: Vec<u8> = (0..=255_u8).cycle().take(3_000).collect();
    let stream = if streamed {
        part(r#"name="stream""#, b"true")
    } else {
        Vec::new()
    };
    Bytes::from(
        [
            part(r#"name="file"; filename="a.bin""#, &file),
            stream,
            part(r#"name="model""#, model.as_bytes()),
            part(r#"name="prompt""#, "é".as_bytes()),
            format!("--{BOUNDARY}--\r\n").into_bytes(),
        ]
        .concat(),
    )
}
