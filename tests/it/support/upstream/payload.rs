//! Bodies shaped like the providers' own: chat completions and messages, whole and streamed, with usage.
//! Only the members that a gateway or an SDK looks at.

use bytes::Bytes;
use serde_json::{Value, json};

/// What a response says was used, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

/// Some usage, where the numbers do not matter.
pub const USAGE: Usage = Usage {
    input: 9,
    output: 12,
};

/// An OpenAI chat completion.
pub fn chat_json(model: &str, usage: Usage) -> Bytes {
    whole(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello."},
        }],
        "usage": openai_usage(usage),
    }))
}

/// The events of a streamed OpenAI chat completion: `content_events` pieces of text, the finish, the usage if any, `[DONE]`.
pub fn chat_sse(model: &str, content_events: usize, usage: Option<Usage>) -> Vec<Bytes> {
    let chunk = |choices: Value, usage: Value| {
        data(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": model, "choices": choices, "usage": usage,
        }))
    };
    let mut events = Vec::with_capacity(content_events + 3);
    for index in 0..content_events {
        let delta = json!([{"index": 0, "delta": {"content": format!("word{index} ")}}]);
        events.push(chunk(delta, Value::Null));
    }
    let finish = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    events.push(chunk(finish, Value::Null));
    if let Some(usage) = usage {
        events.push(chunk(json!([]), openai_usage(usage)));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// An Anthropic message.
pub fn messages_json(model: &str, usage: Usage) -> Bytes {
    whole(&json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": model,
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": usage.input, "output_tokens": usage.output},
    }))
}

/// The events of a streamed Anthropic message with `content_events` pieces of text.
pub fn messages_sse(model: &str, content_events: usize, usage: Usage) -> Vec<Bytes> {
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": usage.input, "output_tokens": 1},
    }});
    let block = json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "text", "text": ""}});
    let mut events = vec![
        named("message_start", &start),
        named("content_block_start", &block),
    ];
    for index in 0..content_events {
        let delta = json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": format!("word{index} ")}});
        events.push(named("content_block_delta", &delta));
    }
    let stop = json!({"type": "content_block_stop", "index": 0});
    events.push(named("content_block_stop", &stop));
    let end = json!({"type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": null},
        "usage": {"output_tokens": usage.output}});
    events.push(named("message_delta", &end));
    events.push(named("message_stop", &json!({"type": "message_stop"})));
    events
}

/// An OpenAI response object (`/v1/responses`).
pub fn responses_json(model: &str, usage: Usage) -> Bytes {
    whole(&json!({
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "completed",
        "model": model,
        "output": [{
            "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
        }],
        "usage": {
            "input_tokens": usage.input, "output_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
        },
    }))
}

/// An OpenAI embedding list with one short vector.
pub fn embeddings_json(model: &str, input: u64) -> Bytes {
    whole(&json!({
        "object": "list", "model": model,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
        "usage": {"prompt_tokens": input, "total_tokens": input},
    }))
}

/// An OpenAI error body.
pub fn openai_error(message: &str, kind: &str, code: &str) -> Bytes {
    whole(&json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
}

/// An Anthropic error body.
pub fn anthropic_error(kind: &str, message: &str) -> Bytes {
    whole(&json!({"type": "error", "error": {"type": kind, "message": message}}))
}

fn openai_usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    })
}

fn whole(tree: &Value) -> Bytes {
    Bytes::from(tree.to_string())
}

fn data(tree: &Value) -> Bytes {
    Bytes::from(format!("data: {tree}\n\n"))
}

fn named(name: &str, tree: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {tree}\n\n"))
}
