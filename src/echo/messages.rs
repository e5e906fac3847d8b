//! `POST /messages` and `POST /messages/count_tokens`. Samplers, `stop_sequences`, `thinking`, `tool_choice` are not
//! read, and `anthropic-version` is not asked for.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Said, Words};
use super::prompt::{Conversation, Text, Tools};
use super::reply::{Events, Refusal, Reply, Stamp};
use super::{sse, tokens};

#[derive(Deserialize)]
struct Request {
    model: String,
    max_tokens: u64,
    messages: Conversation,
    #[serde(default)]
    system: Text,
    #[serde(default)]
    tools: Tools,
    stream: Option<bool>,
}

#[derive(Deserialize)]
struct Countable {
    #[serde(rename = "model")]
    _model: String,
    messages: Conversation,
    #[serde(default)]
    system: Text,
    #[serde(default)]
    tools: Tools,
}

/// Counts a request's tokens without answering it, by the rule that an answer's usage follows.
///
/// # Errors
/// 400 when the body is no such request.
pub fn count_tokens(body: &[u8]) -> Result<Reply, Refusal> {
    let request: Countable = serde_json::from_slice(body)?;
    let bytes = request.messages.bytes + request.system.bytes + request.tools.bytes;
    Ok(Reply::Json(json!({"input_tokens": tokens::count(bytes)})))
}

/// Answers a request of the messages API.
///
/// # Errors
/// 400 when the body is no such request; `max_tokens` is required, as it is at the vendor.
pub fn answer(body: &[u8], stamp: &Stamp) -> Result<Reply, Refusal> {
    let request: Request = serde_json::from_slice(body)?;
    let answer = Answer::to(
        request.messages,
        &request.tools,
        request.system.bytes,
        Some(request.max_tokens),
    );
    let writer = Writer {
        model: request.model,
        stamp: stamp.clone(),
        answer,
    };
    if request.stream.unwrap_or(false) {
        return Ok(Reply::Events(writer.stream()));
    }
    let blocks = json!([writer.block()]);
    Ok(Reply::Json(writer.message(
        &blocks,
        Some(writer.stop_reason()),
        writer.answer.output,
    )))
}

struct Writer {
    model: String,
    stamp: Stamp,
    answer: Answer,
}

impl Writer {
    fn stop_reason(&self) -> &'static str {
        match self.answer.said {
            Said::Call(_) => "tool_use",
            Said::Text(_) if self.answer.cut => "max_tokens",
            Said::Text(_) => "end_turn",
        }
    }

    fn message(&self, content: &Value, stop_reason: Option<&str>, output: u64) -> Value {
        json!({
            "id": format!("msg_{}", self.stamp.id),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": {
                "input_tokens": self.answer.input,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": output,
                "service_tier": "standard",
            },
        })
    }

    fn block(&self) -> Value {
        match &self.answer.said {
            Said::Text(text) => json!({"type": "text", "text": text}),
            Said::Call(call) => self.tool_use(&call.name, &Value::Object(call.arguments.clone())),
        }
    }

    fn tool_use(&self, name: &str, input: &Value) -> Value {
        json!({"type": "tool_use", "id": format!("toolu_{}", self.stamp.id), "name": name, "input": input})
    }

    /// The message without content, one block opened, filled and closed, and the end with the usage.
    fn stream(self) -> Events {
        let (block, deltas) = self.pieces();
        let head = [
            json!({"type": "message_start", "message": self.message(&json!([]), None, 0)}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "ping"}),
        ];
        let deltas =
            deltas.map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta}));
        let tail = [
            json!({"type": "content_block_stop", "index": 0}),
            self.message_delta(),
            json!({"type": "message_stop"}),
        ];
        Box::new(
            head.into_iter()
                .chain(deltas)
                .chain(tail)
                .map(|event| sse::named(&event)),
        )
    }

    /// The block as it is opened, and the deltas that fill it.
    fn pieces(&self) -> (Value, Box<dyn Iterator<Item = Value> + Send>) {
        match &self.answer.said {
            Said::Text(text) => {
                let words = Words::of(text).map(|word| json!({"type": "text_delta", "text": word}));
                (json!({"type": "text", "text": ""}), Box::new(words))
            }
            Said::Call(call) => {
                let pieces = [String::new(), call.arguments_text()];
                let deltas =
                    pieces.map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
                (
                    self.tool_use(&call.name, &json!({})),
                    Box::new(deltas.into_iter()),
                )
            }
        }
    }

    fn message_delta(&self) -> Value {
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
            "usage": {
                "input_tokens": self.answer.input,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": self.answer.output,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &Value) -> Result<Reply, Refusal> {
        answer(
            body.to_string().as_bytes(),
            &Stamp {
                id: "01".into(),
                created: 7,
            },
        )
    }

    fn request(text: &str) -> Value {
        json!({"model": "m", "max_tokens": 100, "system": [{"type": "text", "text": "be kind!"}],
               "messages": [{"role": "user", "content": text}]})
    }

    fn types(events: &[Value]) -> Vec<&str> {
        events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn a_message_echoes_and_counts_the_system_prompt_too() {
        let reply = reply(&request("hello there")).unwrap().json();
        assert_eq!(
            reply["content"],
            json!([{"type": "text", "text": "hello there"}])
        );
        assert_eq!(reply["stop_reason"], "end_turn");
        assert_eq!(
            (
                &reply["usage"]["input_tokens"],
                &reply["usage"]["output_tokens"]
            ),
            (&json!(5), &json!(3))
        );
    }

    #[test]
    fn counting_agrees_with_the_usage_of_an_answer() {
        let mut body = request("hello there");
        body["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        let counted = count_tokens(body.to_string().as_bytes()).unwrap().json();
        assert_eq!(
            counted["input_tokens"],
            reply(&body).unwrap().json()["usage"]["input_tokens"]
        );
    }

    #[test]
    fn a_stream_has_the_vendors_order_of_events() {
        let mut body = request("one two");
        body["stream"] = true.into();
        let events = reply(&body).unwrap().events();
        let order = [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(types(&events), order);
        assert_eq!(events[0]["message"]["usage"]["output_tokens"], 0);
        assert_eq!(
            events[3]["delta"],
            json!({"type": "text_delta", "text": "one "})
        );
        assert_eq!(events[6]["delta"]["stop_reason"], "end_turn");
        assert_eq!(events[6]["usage"]["output_tokens"], 2);
    }

    #[test]
    fn a_tool_is_called_plain_and_streamed() {
        let mut body = request(r#"call f {"a":1}"#);
        body["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        let plain = reply(&body).unwrap().json();
        assert_eq!(plain["stop_reason"], "tool_use");
        assert_eq!(
            plain["content"],
            json!([{"type": "tool_use", "id": "toolu_01", "name": "f", "input": {"a": 1}}])
        );

        body["stream"] = true.into();
        let events = reply(&body).unwrap().events();
        assert_eq!(events[1]["content_block"]["input"], json!({}));
        assert_eq!(
            events[4]["delta"],
            json!({"type": "input_json_delta", "partial_json": r#"{"a":1}"#})
        );
        assert_eq!(events[6]["delta"]["stop_reason"], "tool_use");
    }

    #[test]
    fn a_cap_is_required_and_honoured() {
        let mut body = request("hello there");
        body["max_tokens"] = 1.into();
        let capped = reply(&body).unwrap().json();
        assert_eq!(
            (&capped["stop_reason"], &capped["content"][0]["text"]),
            (&json!("max_tokens"), &json!("hell"))
        );
        body.as_object_mut().unwrap().remove("max_tokens");
        assert!(reply(&body).is_err_and(|refusal| refusal.message.contains("max_tokens")));
    }
}
