//! `POST /chat/completions`: one choice, plain or as chunks. Samplers, `stop` and `tool_choice` are not read.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Said, Words};
use super::prompt::{Conversation, Tools};
use super::reply::{Events, Refusal, Reply, Stamp};
use super::sse;

#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Conversation,
    #[serde(default)]
    tools: Tools,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    n: Option<u64>,
}

/// `stream_options` of the chat and completions APIs.
#[derive(Deserialize)]
pub struct StreamOptions {
    include_usage: Option<bool>,
}

impl StreamOptions {
    /// Whether a last chunk with the usage is asked for.
    #[must_use]
    pub fn wants_usage(options: Option<&Self>) -> bool {
        options
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }
}

/// The `usage` of the chat and completions APIs.
#[must_use]
pub fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.input,
        "completion_tokens": answer.output,
        "total_tokens": answer.input + answer.output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// Answers a request of the chat API.
///
/// # Errors
/// 400 when the body is no chat request, or asks for more than one choice.
pub fn answer(body: &[u8], stamp: &Stamp) -> Result<Reply, Refusal> {
    let request: Request = serde_json::from_slice(body)?;
    if request.n.is_some_and(|n| n != 1) {
        return Err(Refusal::member(
            "n",
            "echo gives one choice: leave `n` out, or set it to 1",
        ));
    }
    let cap = request.max_completion_tokens.or(request.max_tokens);
    let answer = Answer::to(request.messages, &request.tools, 0, cap);
    let writer = Writer {
        model: request.model,
        stamp: stamp.clone(),
        answer,
    };
    if request.stream.unwrap_or(false) {
        let with_usage = StreamOptions::wants_usage(request.stream_options.as_ref());
        return Ok(Reply::Events(writer.stream(with_usage)));
    }
    Ok(Reply::Json(writer.completion()))
}

struct Writer {
    model: String,
    stamp: Stamp,
    answer: Answer,
}

impl Writer {
    fn finish_reason(&self) -> &'static str {
        match self.answer.said {
            Said::Call(_) => "tool_calls",
            Said::Text(_) if self.answer.cut => "length",
            Said::Text(_) => "stop",
        }
    }

    fn call_id(&self) -> String {
        format!("call_{}", self.stamp.id)
    }

    fn message(&self) -> Value {
        let mut message =
            json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
        match &self.answer.said {
            Said::Text(text) => message["content"] = text.as_str().into(),
            Said::Call(call) => {
                let function = json!({"name": call.name, "arguments": call.arguments_text()});
                message["tool_calls"] =
                    json!([{"id": self.call_id(), "type": "function", "function": function}]);
            }
        }
        message
    }

    fn document(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": format!("chatcmpl-{}", self.stamp.id),
            "object": object,
            "created": self.stamp.created,
            "model": self.model,
            "choices": choices,
            "service_tier": "default",
            "system_fingerprint": "fp_echo",
        })
    }

    fn completion(&self) -> Value {
        let choice = json!({"index": 0, "message": self.message(), "logprobs": null, "finish_reason": self.finish_reason()});
        let mut completion = self.document("chat.completion", &json!([choice]));
        completion["usage"] = usage(&self.answer);
        completion
    }

    /// The role, the words (or the call in two pieces), the reason of the end, the usage if asked for, and `[DONE]`.
    fn stream(self, with_usage: bool) -> Events {
        let (first, rest) = self.deltas();
        let last = (json!({}), Some(self.finish_reason()));
        let deltas = std::iter::once(first)
            .chain(rest)
            .map(|delta| (delta, None))
            .chain([last]);
        let usage = with_usage.then(|| {
            let mut chunk = self.document("chat.completion.chunk", &json!([]));
            chunk["usage"] = usage(&self.answer);
            sse::data(&chunk)
        });
        let chunks =
            deltas.map(move |(delta, reason)| sse::data(&self.chunk(&delta, reason, with_usage)));
        Box::new(chunks.chain(usage).chain([sse::DONE]))
    }

    fn chunk(&self, delta: &Value, finish_reason: Option<&str>, with_usage: bool) -> Value {
        let choice =
            json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        let mut chunk = self.document("chat.completion.chunk", &json!([choice]));
        if with_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn deltas(&self) -> (Value, Box<dyn Iterator<Item = Value> + Send>) {
        match &self.answer.said {
            Said::Text(text) => {
                let words = Words::of(text).map(|word| json!({"content": word}));
                (
                    json!({"role": "assistant", "content": "", "refusal": null}),
                    Box::new(words),
                )
            }
            Said::Call(call) => {
                let function = json!({"name": call.name, "arguments": ""});
                let opened = json!([{"index": 0, "id": self.call_id(), "type": "function", "function": function}]);
                let filled =
                    json!([{"index": 0, "function": {"arguments": call.arguments_text()}}]);
                (
                    json!({"role": "assistant", "content": null, "tool_calls": opened}),
                    Box::new(std::iter::once(json!({"tool_calls": filled}))),
                )
            }
        }
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

    fn request(text: &str, more: &Value) -> Value {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    }

    #[test]
    fn a_completion_echoes_and_counts() {
        let reply = reply(&request("hello there", &json!({}))).unwrap().json();
        assert_eq!(reply["object"], "chat.completion");
        assert_eq!(reply["model"], "m");
        assert_eq!(reply["choices"][0]["message"]["content"], "hello there");
        assert_eq!(reply["choices"][0]["finish_reason"], "stop");
        assert_eq!(reply["usage"]["prompt_tokens"], 3);
        assert_eq!(reply["usage"]["total_tokens"], 6);
    }

    #[test]
    fn a_cap_ends_with_length_and_the_newer_cap_wins() {
        let more = json!({"max_tokens": 9, "max_completion_tokens": 1});
        let reply = reply(&request("hello there", &more)).unwrap().json();
        assert_eq!(reply["choices"][0]["message"]["content"], "hell");
        assert_eq!(reply["choices"][0]["finish_reason"], "length");
        assert_eq!(reply["usage"]["completion_tokens"], 1);
    }

    #[test]
    fn a_stream_has_role_words_reason_and_no_usage_unless_asked() {
        let events = reply(&request("one two three", &json!({"stream": true})))
            .unwrap()
            .events();
        let delta = |event: &Value| event["choices"][0]["delta"].clone();
        assert_eq!(
            delta(&events[0]),
            json!({"role": "assistant", "content": "", "refusal": null})
        );
        let words: Vec<&str> = events[1..4]
            .iter()
            .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap())
            .collect();
        assert_eq!(words, ["one ", "two ", "three"]);
        assert_eq!(events[4]["choices"][0]["finish_reason"], "stop");
        assert_eq!(events.len(), 5);
        assert!(events.iter().all(|event| event.get("usage").is_none()));
    }

    #[test]
    fn asked_for_usage_comes_in_a_last_chunk_without_choices_and_is_null_before() {
        let more = json!({"stream": true, "stream_options": {"include_usage": true}});
        let events = reply(&request("one two", &more)).unwrap().events();
        let (last, before) = events.split_last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], 2);
        assert!(
            before
                .iter()
                .all(|event| event["usage"].is_null() && event.get("usage").is_some())
        );
    }

    #[test]
    fn a_stream_ends_with_done() {
        let Ok(Reply::Events(events)) = reply(&request("x", &json!({"stream": true}))) else {
            panic!("no stream")
        };
        assert_eq!(events.last().unwrap(), sse::DONE);
    }

    #[test]
    fn a_tool_is_called_plain_and_streamed() {
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
        let plain = reply(&request(r#"call f {"a":1}"#, &json!({"tools": tools})))
            .unwrap()
            .json();
        let choice = &plain["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], Value::Null);
        assert_eq!(
            choice["message"]["tool_calls"][0]["function"],
            json!({"name": "f", "arguments": r#"{"a":1}"#})
        );

        let streamed = request("call f", &json!({"tools": tools, "stream": true}));
        let events = reply(&streamed).unwrap().events();
        let call =
            |at: usize| events[at]["choices"][0]["delta"]["tool_calls"][0]["function"].clone();
        assert_eq!(
            (call(0), call(1)),
            (
                json!({"name": "f", "arguments": ""}),
                json!({"arguments": "{}"})
            )
        );
        assert_eq!(events[2]["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn what_cannot_be_served_is_refused_and_named() {
        let Err(refusal) = reply(&request("x", &json!({"n": 2}))) else {
            panic!("two choices")
        };
        assert_eq!((refusal.status.as_u16(), refusal.param), (400, Some("n")));
        for body in [
            json!({}),
            json!([]),
            json!({"model": "m"}),
            json!({"model": 1, "messages": []}),
        ] {
            assert!(
                reply(&body).is_err_and(|refusal| refusal.status == 400),
                "{body}"
            );
        }
    }
}
