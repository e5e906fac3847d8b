//! `POST /responses`, stateless: nothing is stored, so what needs a stored response is refused. Samplers,
//! `tool_choice`, `text.format` and `reasoning` are not read.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::answer::{Answer, Said, Words};
use super::prompt::{Input, Text, Tools};
use super::reply::{Events, Refusal, Reply, Stamp};
use super::sse;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    model: String,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    instructions: Text,
    #[serde(default)]
    tools: Tools,
    stream: Option<bool>,
    max_output_tokens: Option<u64>,
    previous_response_id: Option<IgnoredAny>,
    conversation: Option<IgnoredAny>,
    background: Option<bool>,
}

impl Request {
    fn refused(&self) -> Option<Refusal> {
        let stored = "echo stores no responses: send the whole conversation in `input`";
        if self.previous_response_id.is_some() {
            return Some(Refusal::member("previous_response_id", stored));
        }
        if self.conversation.is_some() {
            return Some(Refusal::member("conversation", stored));
        }
        let background = self.background.unwrap_or(false);
        background
            .then(|| Refusal::member("background", "echo answers at once, not in the background"))
    }
}

/// Answers a request of the responses API.
///
/// # Errors
/// 400 when the body is no such request, or needs a stored response.
pub fn answer(body: &[u8], stamp: &Stamp) -> Result<Reply, Refusal> {
    let request: Request = serde_json::from_slice(body)?;
    if let Some(refusal) = request.refused() {
        return Err(refusal);
    }
    let cap = request.max_output_tokens;
    let answer = Answer::to(
        request.input.0,
        &request.tools,
        request.instructions.bytes,
        cap,
    );
    let writer = Writer {
        model: request.model,
        instructions: (request.instructions.bytes > 0).then_some(request.instructions.joined),
        cap,
        stamp: stamp.clone(),
        answer,
    };
    if request.stream.unwrap_or(false) {
        return Ok(Reply::Events(Arc::new(writer).stream()));
    }
    Ok(Reply::Json(writer.ended()))
}

struct Writer {
    model: String,
    instructions: Option<String>,
    cap: Option<u64>,
    stamp: Stamp,
    answer: Answer,
}

impl Writer {
    fn item_id(&self) -> String {
        let prefix = match self.answer.said {
            Said::Text(_) => "msg",
            Said::Call(_) => "fc",
        };
        format!("{prefix}_{}", self.stamp.id)
    }

    fn status(&self) -> &'static str {
        if self.answer.cut {
            "incomplete"
        } else {
            "completed"
        }
    }

    /// The response with what is the same at every moment of it; `output` and `usage` are filled in at the end.
    fn response(&self, status: &str) -> Value {
        json!({
            "id": format!("resp_{}", self.stamp.id),
            "object": "response",
            "created_at": self.stamp.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "instructions": self.instructions,
            "max_output_tokens": self.cap,
            "metadata": {},
            "model": self.model,
            "output": [],
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "service_tier": "default",
            "store": false,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": null,
        })
    }

    fn ended(&self) -> Value {
        let mut response = self.response(self.status());
        response["output"] = json!([self.item(self.status(), true)]);
        if self.answer.cut {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        } else {
            response["completed_at"] = self.stamp.created.into();
        }
        response["usage"] = json!({
            "input_tokens": self.answer.input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self.answer.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.answer.input + self.answer.output,
        });
        response
    }

    /// The one item of the output, before (`filled` false) or after its content was sent.
    fn item(&self, status: &str, filled: bool) -> Value {
        match &self.answer.said {
            Said::Text(_) => {
                let content = if filled {
                    json!([self.part(true)])
                } else {
                    json!([])
                };
                let id = self.item_id();
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Said::Call(call) => json!({
                "id": self.item_id(),
                "type": "function_call",
                "status": status,
                "call_id": format!("call_{}", self.stamp.id),
                "name": call.name,
                "arguments": if filled { call.arguments_text() } else { String::new() },
            }),
        }
    }

    fn part(&self, filled: bool) -> Value {
        let text = if filled { self.answer.text() } else { "" };
        json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
    }

    /// The response and its item opened, the words or the arguments, then everything closed in turn. The later
    /// events repeat the whole text, so they are made only when they are sent.
    fn stream(self: Arc<Self>) -> Events {
        let is_text = matches!(self.answer.said, Said::Text(_));
        let (head, tail): (&[Step], &[Step]) = if is_text {
            (
                &[
                    Step::Created,
                    Step::InProgress,
                    Step::ItemAdded,
                    Step::PartAdded,
                ],
                &[Step::TextDone, Step::PartDone, Step::ItemDone, Step::Ended],
            )
        } else {
            (
                &[Step::Created, Step::InProgress, Step::ItemAdded],
                &[
                    Step::ArgumentsDelta,
                    Step::ArgumentsDone,
                    Step::ItemDone,
                    Step::Ended,
                ],
            )
        };
        let words = Words::of(self.answer.text()).map(Step::Word);
        let steps = head
            .iter()
            .cloned()
            .chain(words)
            .chain(tail.iter().cloned());
        Box::new(
            steps
                .zip(0_u64..)
                .map(move |(step, number)| self.event(&step, number)),
        )
    }

    fn event(&self, step: &Step, number: u64) -> Bytes {
        let mut event = match step {
            Step::Created => {
                json!({"type": "response.created", "response": self.response("in_progress")})
            }
            Step::InProgress => {
                json!({"type": "response.in_progress", "response": self.response("in_progress")})
            }
            Step::ItemAdded => {
                json!({"type": "response.output_item.added", "item": self.item("in_progress", false)})
            }
            Step::PartAdded => {
                json!({"type": "response.content_part.added", "part": self.part(false)})
            }
            Step::Word(word) => {
                json!({"type": "response.output_text.delta", "delta": word, "logprobs": []})
            }
            Step::TextDone => {
                json!({"type": "response.output_text.done", "text": self.answer.text(), "logprobs": []})
            }
            Step::PartDone => {
                json!({"type": "response.content_part.done", "part": self.part(true)})
            }
            Step::ArgumentsDelta => {
                json!({"type": "response.function_call_arguments.delta", "delta": self.arguments()})
            }
            Step::ArgumentsDone => {
                json!({"type": "response.function_call_arguments.done", "arguments": self.arguments()})
            }
            Step::ItemDone => {
                json!({"type": "response.output_item.done", "item": self.item(self.status(), true)})
            }
            Step::Ended => {
                json!({"type": format!("response.{}", self.status()), "response": self.ended()})
            }
        };
        self.place(step, &mut event);
        event["sequence_number"] = number.into();
        sse::named(&event)
    }

    /// Where in the output an event belongs: item events name the output, content events the item and its part too.
    fn place(&self, step: &Step, event: &mut Value) {
        match step {
            Step::Created | Step::InProgress | Step::Ended => return,
            Step::ItemAdded | Step::ItemDone => {}
            Step::ArgumentsDelta => event["item_id"] = self.item_id().into(),
            Step::ArgumentsDone => {
                event["item_id"] = self.item_id().into();
                if let Said::Call(call) = &self.answer.said {
                    event["name"] = call.name.as_str().into();
                }
            }
            Step::PartAdded | Step::Word(_) | Step::TextDone | Step::PartDone => {
                event["item_id"] = self.item_id().into();
                event["content_index"] = 0.into();
            }
        }
        event["output_index"] = 0.into();
    }

    fn arguments(&self) -> String {
        match &self.answer.said {
            Said::Call(call) => call.arguments_text(),
            Said::Text(_) => String::new(),
        }
    }
}

/// One event of a stream.
#[derive(Clone)]
enum Step {
    Created,
    InProgress,
    ItemAdded,
    PartAdded,
    Word(String),
    TextDone,
    PartDone,
    ArgumentsDelta,
    ArgumentsDone,
    ItemDone,
    Ended,
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

    fn types(events: &[Value]) -> Vec<&str> {
        events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn a_response_echoes_text_or_items_and_counts() {
        let items =
            json!([{"role": "user", "content": [{"type": "input_text", "text": "hello there"}]}]);
        for input in [json!("hello there"), items] {
            let reply = reply(&json!({"model": "m", "input": input, "instructions": "be kind!"}))
                .unwrap()
                .json();
            assert_eq!(reply["status"], "completed");
            assert_eq!(reply["output"][0]["content"][0]["text"], "hello there");
            assert_eq!(
                (
                    &reply["usage"]["input_tokens"],
                    &reply["usage"]["total_tokens"]
                ),
                (&json!(5), &json!(8))
            );
        }
    }

    #[test]
    fn a_stream_has_the_vendors_order_of_events_numbered_from_zero() {
        let events = reply(&json!({"model": "m", "input": "one two", "stream": true}))
            .unwrap()
            .events();
        let order = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(types(&events), order);
        let numbers: Vec<u64> = events
            .iter()
            .map(|event| event["sequence_number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
        assert_eq!(events[0]["response"]["usage"], Value::Null);
        assert_eq!(events[9]["response"]["usage"]["output_tokens"], 2);
        assert_eq!(events[9]["response"]["output"][0], events[8]["item"]);
        assert_eq!(
            (&events[4]["delta"], &events[4]["item_id"]),
            (&json!("one "), &json!("msg_01"))
        );
    }

    #[test]
    fn a_cap_ends_incomplete_plain_and_streamed() {
        let mut body = json!({"model": "m", "input": "hello there", "max_output_tokens": 1});
        let plain = reply(&body).unwrap().json();
        assert_eq!(
            (&plain["status"], &plain["usage"]["output_tokens"]),
            (&json!("incomplete"), &json!(1))
        );
        assert_eq!(plain["incomplete_details"]["reason"], "max_output_tokens");
        body["stream"] = true.into();
        let events = reply(&body).unwrap().events();
        assert_eq!(events.last().unwrap()["type"], "response.incomplete");
    }

    #[test]
    fn a_tool_is_called_plain_and_streamed() {
        let tools = json!([{"type": "function", "name": "f", "parameters": {}, "strict": false}]);
        let mut body = json!({"model": "m", "input": r#"call f {"a":1}"#, "tools": tools});
        let plain = reply(&body).unwrap().json();
        assert_eq!(plain["output"][0]["type"], "function_call");
        assert_eq!(plain["output"][0]["arguments"], r#"{"a":1}"#);

        body["stream"] = true.into();
        let events = reply(&body).unwrap().events();
        let order = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(types(&events), order);
        assert_eq!(
            (&events[2]["item"]["arguments"], &events[4]["arguments"]),
            (&json!(""), &json!(r#"{"a":1}"#))
        );
    }

    #[test]
    fn what_needs_a_stored_response_is_refused() {
        let members = [
            ("previous_response_id", json!("resp_1")),
            ("conversation", json!({"id": "c"})),
        ];
        for (member, value) in members.into_iter().chain([("background", json!(true))]) {
            let mut body = json!({"model": "m", "input": "x"});
            body[member] = value;
            assert!(
                reply(&body).is_err_and(|refusal| refusal.param == Some(member)),
                "{member}"
            );
        }
        let allowed =
            json!({"model": "m", "input": "x", "previous_response_id": null, "background": false});
        assert!(reply(&allowed).is_ok());
    }
}
