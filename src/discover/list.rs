//! The text of a list of models → the models. One reading for all who write such lists: OpenAI and whoever speaks its
//! API (`data`, each with an `id`), Anthropic (the same), Ollama (`models`, each with a `name`) and LM Studio (`data`
//! with an `id`, or `models` with a `key`; both with a `type`). What else a list says is passed over.

#![allow(
    clippy::disallowed_methods,
    reason = "whole documents, which no request waits for"
)]

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::catalog::FoundModel;
use crate::catalog::file::Kind;

/// Models of one list at the most: some twenty times the longest there is.
pub const MODELS_MAX: usize = 10_000;

/// Names of the member that holds a model's id, in the order in which they count.
const IDS: [&str; 3] = ["id", "key", "name"];

/// Names of the member that holds a model's context window: of LM Studio, vLLM, OpenRouter and Groq.
const CONTEXTS: [&str; 4] = [
    "max_context_length",
    "max_model_len",
    "context_length",
    "context_window",
];

/// Reads a list. An entry without a usable id is passed over, one that was there before too.
///
/// # Errors
/// Why it is no list, for people.
pub fn read(text: &[u8]) -> Result<Vec<FoundModel>, String> {
    let document: Value = serde_json::from_slice(text).map_err(|_| "it answers with no JSON")?;
    let entries = entries(document).ok_or("it answers with no list of models")?;
    if entries.len() > MODELS_MAX {
        return Err(format!("it lists more than {MODELS_MAX} models"));
    }
    let mut seen = HashSet::new();
    let found = entries.iter().filter_map(|entry| model(entry.as_object()?));
    Ok(found
        .filter(|found| seen.insert(found.id.clone()))
        .collect())
}

fn entries(document: Value) -> Option<Vec<Value>> {
    let mut members = match document {
        // Together's list stands bare.
        Value::Array(entries) => return Some(entries),
        Value::Object(members) => members,
        _ => return None,
    };
    match members
        .remove("data")
        .or_else(|| members.remove("models"))?
    {
        Value::Array(entries) => Some(entries),
        // Ollama without a model, on its OpenAI path.
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

fn model(entry: &Map<String, Value>) -> Option<FoundModel> {
    let id = IDS.iter().find_map(|name| entry.get(*name)?.as_str())?;
    FoundModel::is_id(id).then(|| FoundModel {
        id: id.into(),
        kind: kind(entry),
        context: CONTEXTS.iter().find_map(|name| entry.get(*name)?.as_u64()),
    })
}

/// LM Studio and Together say it in `type`; Ollama in `capabilities`, or by the architecture of the weights.
fn kind(entry: &Map<String, Value>) -> Kind {
    let text = |entry: &Map<String, Value>, name: &str| {
        entry.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let embeds = text(entry, "type").is_some_and(|kind| kind.starts_with("embedding"));
    let can = |what: &str| {
        let all = entry.get("capabilities").and_then(Value::as_array);
        all.is_some_and(|all| all.iter().any(|one| one == what))
    };
    let family = entry
        .get("details")
        .and_then(Value::as_object)
        .and_then(|details| text(details, "family"));
    // Every encoder of the BERT kind: bert, nomic-bert, nomic-bert-moe, jina-bert-v2 …
    let encodes = family.is_some_and(|family| family.split('-').any(|part| part == "bert"));
    if embeds || (can("embedding") && !can("completion")) || encodes {
        Kind::Embedding
    } else {
        Kind::Chat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Kind, Option<u64>)> {
        let found = read(text.as_bytes()).expect("a list");
        found
            .into_iter()
            .map(|model| (model.id.into(), model.kind, model.context))
            .collect()
    }

    fn one(id: &str, kind: Kind, context: Option<u64>) -> (String, Kind, Option<u64>) {
        (id.to_owned(), kind, context)
    }

    #[test]
    fn each_shape_is_read() {
        let cases = [
            (
                r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1,"owned_by":"system"}]}"#,
                vec![one("gpt-4o", Kind::Chat, None)],
            ),
            (
                r#"{"object":"list","data":[{"id":"org/m","owned_by":"vllm","max_model_len":8192,"root":"org/m"}]}"#,
                vec![one("org/m", Kind::Chat, Some(8192))],
            ),
            (
                r#"{"data":[{"type":"model","id":"claude-x","display_name":"X"}],"has_more":false}"#,
                vec![one("claude-x", Kind::Chat, None)],
            ),
            (
                r#"{"models":[{"name":"llama3.2:1b","model":"llama3.2:1b","digest":"ab","details":{"family":"llama"}},
                    {"name":"nomic-embed-text:latest","details":{"family":"nomic-bert"}},
                    {"name":"e:1","capabilities":["embedding"]},{"name":"c:1","capabilities":["completion","tools"]}]}"#,
                vec![
                    one("llama3.2:1b", Kind::Chat, None),
                    one("nomic-embed-text:latest", Kind::Embedding, None),
                    one("e:1", Kind::Embedding, None),
                    one("c:1", Kind::Chat, None),
                ],
            ),
            (
                r#"{"object":"list","data":[{"id":"q","type":"llm","state":"loaded","max_context_length":32768},
                    {"id":"v","type":"vlm"},{"id":"n","type":"embeddings","max_context_length":2048}]}"#,
                vec![
                    one("q", Kind::Chat, Some(32_768)),
                    one("v", Kind::Chat, None),
                    one("n", Kind::Embedding, Some(2_048)),
                ],
            ),
            (
                r#"{"models":[{"type":"embedding","publisher":"p","key":"k","display_name":"K","max_context_length":1}]}"#,
                vec![one("k", Kind::Embedding, Some(1))],
            ),
            (
                r#"[{"id":"bare","type":"chat"}]"#,
                vec![one("bare", Kind::Chat, None)],
            ),
            (r#"{"object":"list","data":null}"#, vec![]),
            (r#"{"models":[]}"#, vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn entries_that_name_no_model_are_passed_over_and_each_id_counts_once() {
        let long = "x".repeat(300);
        let text = format!(
            r#"{{"data":[1,null,{{}},{{"id":5}},{{"id":""}},{{"id":"a\nb"}},{{"id":"{long}"}},{{"id":"m"}},{{"id":"m"}}]}}"#
        );
        assert_eq!(found(&text), [one("m", Kind::Chat, None)]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let many = format!("{{\"data\":[{}1]}}", "1,".repeat(MODELS_MAX));
        let deep = "[".repeat(100_000);
        let cases = [
            ("", "no JSON"),
            ("<html>", "no JSON"),
            ("{\"data\":[", "no JSON"),
            (&deep, "no JSON"),
            ("{}", "no list"),
            ("5", "no list"),
            (r#"{"error":"Unexpected endpoint or method."}"#, "no list"),
            (r#"{"data":{"id":"m"}}"#, "no list"),
            (&many, "more than"),
        ];
        for (text, expected) in cases {
            let message = read(text.as_bytes()).expect_err("no list");
            assert!(message.contains(expected), "{message}");
        }
    }
}
