//! `POST /completions`, the older API: one prompt of text, one choice. Samplers, `stop`, `echo`, `suffix` are not read.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::{Answer, Words};
use super::chat::{StreamOptions, usage};
use super::prompt::{Conversation, Tools};
use super::reply::{Events, Refusal, Reply, Stamp};
use super::sse;

#[derive(Deserialize)]
struct Request {
    model: String,
    prompt: Prompt,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    n: Option<u64>,
}

/// A text, or an array with one text in it.
struct Prompt(String);

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneText;
        impl<'de> Visitor<'de> for OneText {
            type Value = Prompt;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "one prompt of text (echo has no tokenizer, and answers one prompt at a time)",
                )
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Prompt, E> {
                Ok(Prompt(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Prompt, A::Error> {
                let Some(text) = texts.next_element()? else {
                    return Err(A::Error::invalid_length(0, &self));
                };
                if texts.next_element::<serde::de::IgnoredAny>()?.is_some() {
                    return Err(A::Error::invalid_length(2, &self));
                }
                Ok(Prompt(text))
            }
        }
        from.deserialize_any(OneText)
    }
}

/// Answers a request of the completions API.
///
/// # Errors
/// 400 when the body is no such request, or asks for more than one choice.
pub fn answer(body: &[u8], stamp: &Stamp) -> Result<Reply, Refusal> {
    let request: Request = serde_json::from_slice(body)?;
    if request.n.is_some_and(|n| n != 1) {
        return Err(Refusal::member(
            "n",
            "echo gives one choice: leave `n` out, or set it to 1",
        ));
    }
    let answer = Answer::to(
        Conversation::from(request.prompt.0),
        &Tools::default(),
        0,
        request.max_tokens,
    );
    let writer = Writer {
        model: request.model,
        stamp: stamp.clone(),
        answer,
    };
    if request.stream.unwrap_or(false) {
        let with_usage = StreamOptions::wants_usage(request.stream_options.as_ref());
        return Ok(Reply::Events(writer.stream(with_usage)));
    }
    let mut completion = writer.document(&json!([choice(
        writer.answer.text(),
        Some(writer.reason())
    )]));
    completion["usage"] = usage(&writer.answer);
    Ok(Reply::Json(completion))
}

fn choice(text: &str, finish_reason: Option<&str>) -> Value {
    json!({"text": text, "index": 0, "logprobs": null, "finish_reason": finish_reason})
}

struct Writer {
    model: String,
    stamp: Stamp,
    answer: Answer,
}

impl Writer {
    fn reason(&self) -> &'static str {
        if self.answer.cut { "length" } else { "stop" }
    }

    fn document(&self, choices: &Value) -> Value {
        json!({
            "id": format!("cmpl-{}", self.stamp.id),
            "object": "text_completion",
            "created": self.stamp.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": "fp_echo",
        })
    }

    /// The words, the reason of the end, the usage if asked for, and `[DONE]`.
    fn stream(self, with_usage: bool) -> Events {
        let words = Words::of(self.answer.text()).map(|word| (word, None));
        let last = (String::new(), Some(self.reason()));
        let usage = with_usage.then(|| {
            let mut chunk = self.document(&json!([]));
            chunk["usage"] = usage(&self.answer);
            sse::data(&chunk)
        });
        let chunks = words.chain([last]).map(move |(text, reason)| {
            let mut chunk = self.document(&json!([choice(&text, reason)]));
            if with_usage {
                chunk["usage"] = Value::Null;
            }
            sse::data(&chunk)
        });
        Box::new(chunks.chain(usage).chain([sse::DONE]))
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

    #[test]
    fn a_prompt_is_echoed_as_text_or_in_an_array_and_capped() {
        for prompt in [json!("hello there"), json!(["hello there"])] {
            let reply = reply(&json!({"model": "m", "prompt": prompt, "max_tokens": 2}))
                .unwrap()
                .json();
            assert_eq!(reply["choices"][0]["text"], "hello th");
            assert_eq!(reply["choices"][0]["finish_reason"], "length");
            assert_eq!(reply["usage"]["prompt_tokens"], 3);
            assert_eq!(reply["usage"]["completion_tokens"], 2);
        }
    }

    #[test]
    fn a_stream_has_a_chunk_a_word_and_usage_only_if_asked() {
        let mut body = json!({"model": "m", "prompt": "one two", "stream": true});
        let events = reply(&body).unwrap().events();
        let texts: Vec<&str> = events
            .iter()
            .map(|event| event["choices"][0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["one ", "two", ""]);
        assert_eq!(events[2]["choices"][0]["finish_reason"], "stop");

        body["stream_options"] = json!({"include_usage": true});
        let events = reply(&body).unwrap().events();
        assert_eq!(
            (events.len(), &events[3]["usage"]["total_tokens"]),
            (4, &json!(4))
        );
    }

    #[test]
    fn token_arrays_and_several_prompts_are_refused() {
        for prompt in [
            json!([]),
            json!(["a", "b"]),
            json!([1, 2]),
            json!([[1]]),
            json!(null),
            json!(1),
        ] {
            assert!(
                reply(&json!({"model": "m", "prompt": prompt})).is_err(),
                "{prompt}"
            );
        }
    }
}
