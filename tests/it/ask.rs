//! What the surfaces have in common for the tests of refusals, access and routing: how each is asked, by whom it is
//! answered, and how a refusal looks to its clients. No test is in here.

use std::io;

use serde_json::{Value, json};

use crate::support::client::{Ending, Request, Response, post};
use crate::support::gateway::CustomProvider;
use crate::support::upstream::{Delivery, Reply, payload};

/// How errors look to the clients of a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"type":"error","error":{"type","message","code","details":{"error_code"}},"request_id"}`
    Anthropic,
}

/// An API shape.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// Its name in the catalog.
    pub name: &'static str,
    /// Where it is asked.
    pub path: &'static str,
    /// How its errors look.
    pub dialect: Dialect,
    /// What a request has beside its model: raw JSON members.
    rest: &'static str,
}

/// Every surface.
pub const SURFACES: [Surface; 6] = [
    Surface {
        name: "chat",
        path: "/v1/chat/completions",
        dialect: Dialect::OpenAi,
        rest: r#""messages":[{"role":"user","content":"Hello"}]"#,
    },
    Surface {
        name: "completions",
        path: "/v1/completions",
        dialect: Dialect::OpenAi,
        rest: r#""prompt":"Hello""#,
    },
    Surface {
        name: "responses",
        path: "/v1/responses",
        dialect: Dialect::OpenAi,
        rest: r#""input":"Hello""#,
    },
    Surface {
        name: "embeddings",
        path: "/v1/embeddings",
        dialect: Dialect::OpenAi,
        rest: r#""input":"Hello""#,
    },
    Surface {
        name: "messages",
        path: "/v1/messages",
        dialect: Dialect::Anthropic,
        rest: r#""max_tokens":5,"messages":[{"role":"user","content":"Hello"}]"#,
    },
    Surface {
        name: "count_tokens",
        path: "/v1/messages/count_tokens",
        dialect: Dialect::Anthropic,
        rest: r#""messages":[{"role":"user","content":"Hello"}]"#,
    },
];

impl Surface {
    /// A request body for `model`.
    pub fn body(&self, model: &str) -> String {
        self.body_with(&format!("\"model\":{}", Value::from(model)))
    }

    /// A request body with these raw members in place of the model.
    pub fn body_with(&self, members: &str) -> String {
        format!("{{{members},{}}}", self.rest)
    }

    /// A request for `model`, without a key.
    pub fn post(&self, model: &str) -> Request {
        post(self.path, self.body(model))
    }
}

/// The surface of that name.
pub fn surface(name: &str) -> Surface {
    let mut surfaces = SURFACES.into_iter();
    surfaces
        .find(|surface| surface.name == name)
        .unwrap_or_else(|| panic!("no surface {name}"))
}

/// Makes `provider` speak all surfaces, with the paths of OpenAI and Anthropic.
pub fn speaking_all(provider: CustomProvider) -> CustomProvider {
    let path = |surface: &Surface| json!({"path": surface.path.trim_start_matches("/v1")});
    let all = SURFACES
        .iter()
        .map(|surface| (surface.name.to_owned(), path(surface)));
    provider.set("surfaces", Value::Object(all.collect()))
}

/// Any good answer.
pub fn answer() -> Reply {
    Reply::json(200, payload::chat_json("m", payload::USAGE))
}

/// An error that sends the request on to its next candidate and says nothing of the provider's health or of the key.
pub fn turned_down() -> Reply {
    let body = payload::openai_error("not here", "invalid_request_error", "region");
    Reply::json(403, body)
}

/// An error that speaks of the upstream.
pub fn busy() -> Reply {
    let body = payload::openai_error("busy", "server_error", "overloaded");
    Reply::json(503, body)
}

/// Checks that `response` is a refusal of the gateway's own with this status and code, whole and in the dialect; gives
/// its message.
#[track_caller]
pub fn refused(response: &Response, dialect: Dialect, status: u16, code: &str) -> String {
    let context = format!("{:?} {}", response.head.fields, response.text());
    assert_eq!(response.status, status, "{context}");
    assert_eq!(response.ending, Ending::Whole, "{context}");
    assert_eq!(
        response.header("content-type"),
        Some("application/json"),
        "{context}"
    );
    let ids = response.head.all("tollgate-request-id");
    assert!(ids.len() == 1 && !ids[0].is_empty(), "{context}");
    // Where the SDKs of the dialect look for it.
    let usual = match dialect {
        Dialect::OpenAi => "x-request-id",
        Dialect::Anthropic => "request-id",
    };
    assert_eq!(response.head.all(usual), ids, "{context}");
    let body = response.json();
    let error = &body["error"];
    match dialect {
        Dialect::OpenAi => {
            assert_eq!(members(&body), ["error"], "{context}");
            assert_eq!(
                members(error),
                ["code", "message", "param", "type"],
                "{context}"
            );
            assert_eq!(error["param"], Value::Null, "{context}");
        }
        Dialect::Anthropic => {
            assert_eq!(members(&body), ["error", "request_id", "type"], "{context}");
            assert_eq!(
                members(error),
                ["code", "details", "message", "type"],
                "{context}"
            );
            assert_eq!(members(&error["details"]), ["error_code"], "{context}");
            assert_eq!(body["type"], "error", "{context}");
            assert_eq!(body["request_id"], ids[0], "{context}");
        }
    }
    assert_eq!(error["code"], code, "{context}");
    assert_eq!(error["type"], kind(dialect, status), "{context}");
    if matches!(status, 429 | 503) {
        let seconds = response
            .header("retry-after")
            .and_then(|text| text.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 0), "{context}");
    } else {
        assert_eq!(response.header("retry-after"), None, "{context}");
    }
    if status < 500 && status != 429 {
        assert_eq!(
            response.header("x-should-retry"),
            Some("false"),
            "{context}"
        );
    }
    let message = error["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{context}");
    message.to_owned()
}

/// The `type` that the SDKs of a dialect know for a status (API references of OpenAI and Anthropic).
fn kind(dialect: Dialect, status: u16) -> &'static str {
    match (status, dialect) {
        (401, _) => "authentication_error",
        (403, _) => "permission_error",
        (404, _) => "not_found_error",
        (413, Dialect::Anthropic) => "request_too_large",
        (400..500, _) => "invalid_request_error",
        (_, Dialect::OpenAi) => "server_error",
        (_, Dialect::Anthropic) => "api_error",
    }
}

/// The names of an object's members, sorted.
fn members(value: &Value) -> Vec<&str> {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"));
    let mut names: Vec<&str> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Everything that a client can see of a response, as text.
pub fn seen(response: &Response) -> String {
    format!("{:?}\n{}", response.head.fields, response.text())
}

/// Everything that an upstream got, as text.
pub fn got(delivery: &Delivery) -> String {
    let body = String::from_utf8_lossy(&delivery.body);
    format!("{delivery:?}\n{body}")
}

/// The text of every file in `folder` whose name begins with `stem`, as far as it is text.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn files(folder: &std::path::Path, stem: &str) -> io::Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(stem) {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path())?));
        }
    }
    Ok(text)
}
