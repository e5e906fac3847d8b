//! Azure's clients: the deployment in the path is the model's name, `api-version` is a part of the address, and what is
//! asked is OpenAI's chat wherever it goes.

use serde_json::json;

use crate::ask::{self, Dialect};
use crate::support::client::{Request, Response, post};
use crate::support::gateway::{Gateway, custom, gateway, upstream_key};
use crate::support::upstream::{self, Delivery, Upstream};

const CHAT: &str = "/openai/deployments/MODEL/chat/completions?api-version=2025-01-01-preview";

struct Lab {
    gateway: Gateway,
    /// Azure's, at its dated paths.
    azure: Upstream,
    /// One with OpenAI's own paths.
    other: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let start = async || upstream::h1().reply(ask::answer()).start().await;
        let (azure, other) = (start().await, start().await);
        let of_azure = custom("az")
            .preset("azure-openai-dated", "/openai")
            .model_as("dep-1", &["house-model"]);
        let of_other = ask::speaking_all(custom("other")).model_as("small", &["tiny"]);
        let gateway = gateway()
            .custom(of_azure, &azure)
            .custom(of_other, &other)
            .virtual_model("either", &["az:dep-1", "other:small"])
            .start()
            .await;
        Self {
            gateway,
            azure,
            other,
        }
    }

    /// As the SDK sends it.
    async fn send(&self, target: &str, body: &str) -> Response {
        let request = post(target, body.to_owned()).header("api-key", self.gateway.key());
        self.gateway.send(&request).await
    }

    async fn arrived(&self, at: &Upstream, target: &str, body: &str) -> (Delivery, Response) {
        let before = at.count();
        let response = self.send(target, body).await;
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        let arrived = at.deliveries_since(before).pop();
        let arrived = arrived.unwrap_or_else(|| panic!("{target}: {:?}", response.head));
        assert!(!format!("{:?}", arrived.fields).contains("tg-"), "{target}");
        (arrived, response)
    }
}

#[tokio::test]
async fn a_deployment_is_a_model_and_the_clients_version_passes() {
    let lab = Lab::new().await;
    let body = r#"{"messages":[], "model":"dep-1"}"#;
    for name in [
        "dep-1",
        "DEP-1",
        "az:dep-1",
        "az%3Adep-1",
        "az/dep-1",
        "house-model",
        "either",
    ] {
        let body = body.replace("dep-1", &name.replace("%3A", ":"));
        let (arrived, response) = lab
            .arrived(&lab.azure, &CHAT.replace("MODEL", name), &body)
            .await;
        assert_eq!(response.header("tollgate-model"), Some("az:dep-1"));
        assert_eq!(arrived.target, CHAT.replace("MODEL", "dep-1"), "{name}");
        assert_eq!(arrived.json()["model"], "dep-1", "{name}");
        let key = upstream_key("az", 0);
        assert_eq!(arrived.header("api-key"), Some(key.as_str()));
    }
    for operation in ["chat/completions", "completions", "embeddings"] {
        let target = format!("/openai/deployments/dep-1/{operation}");
        // Where the client says no version, that of the catalog counts.
        for (query, expected) in [
            ("", "?api-version=2024-10-21"),
            ("?api-version=7&x=y", "?api-version=7&x=y"),
        ] {
            let (arrived, response) = lab
                .arrived(&lab.azure, &format!("{target}{query}"), r#"{"input":1}"#)
                .await;
            assert_eq!(arrived.target, format!("{target}{expected}"));
            assert_eq!(arrived.bytes(), r#"{"input":1}"#, "no model is put in");
            assert_eq!(response.header("tollgate-edits"), None);
        }
    }
    let pinned = "/az/openai/deployments/anything/chat/completions?api-version=7";
    let (arrived, _) = lab.arrived(&lab.azure, pinned, "{}").await;
    assert_eq!(
        arrived.target,
        pinned.strip_prefix("/az").expect("a prefix")
    );
}

#[tokio::test]
async fn a_deployment_may_be_a_model_of_any_provider_of_the_surface() {
    let lab = Lab::new().await;
    for (name, body, expected) in [
        (
            "other:small",
            r#"{"model":"other:small","n":1}"#,
            r#"{"model":"small","n":1}"#,
        ),
        ("tiny", r#"{ "n":1 }"#, r#"{"model":"small", "n":1 }"#),
        (
            "small",
            r#"{"n":1,"model":"small"}"#,
            r#"{"n":1,"model":"small"}"#,
        ),
        ("other/unlisted:x", "{}", r#"{"model":"unlisted:x"}"#),
    ] {
        let (arrived, response) = lab
            .arrived(&lab.other, &CHAT.replace("MODEL", name), body)
            .await;
        // There are no versions there.
        assert_eq!(arrived.target, "/v1/chat/completions", "{name}");
        assert_eq!(arrived.bytes(), expected, "{name}");
        let edits = (body != expected).then_some("E1");
        assert_eq!(response.header("tollgate-edits"), edits, "{name}");
    }
    lab.azure.otherwise(ask::busy());
    let (arrived, response) = lab
        .arrived(&lab.other, &CHAT.replace("MODEL", "either"), "{}")
        .await;
    assert_eq!(arrived.json(), json!({"model": "small"}));
    assert_eq!(response.header("tollgate-model"), Some("other:small"));
}

/// A form that names `model` and has a file.
fn form(model: &str) -> String {
    let head = "Content-Disposition: form-data; name";
    format!(
        "--b\r\n{head}=\"model\"\r\n\r\n{model}\r\n--b\r\n{head}=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n"
    )
}

#[tokio::test]
async fn images_and_forms_are_asked_for_by_their_deployment_on_a_key_of_ones_own() {
    let lab = Lab::new().await;
    let asked = async |operation: &str, name: &str, kind: &str, body: &str| {
        let target = format!("/openai/deployments/{name}/{operation}?api-version=7");
        let request = Request::new("POST", &target, Some(body.to_owned().into()))
            .header("content-type", kind)
            .header("tollgate-key", lab.gateway.key())
            .header("api-key", "sk-own");
        lab.gateway.send(&request).await
    };
    let multipart = "multipart/form-data; boundary=b";
    let prompt = r#"{"prompt":"a cat"}"#;
    for (operation, kind, body, expected) in [
        (
            "images/generations",
            "application/json",
            prompt.to_owned(),
            prompt.to_owned(),
        ),
        (
            "audio/transcriptions",
            multipart,
            form("house-model"),
            form("dep-1"),
        ),
        (
            "images/edits",
            multipart,
            form("house-model"),
            form("dep-1"),
        ),
    ] {
        let response = asked(operation, "house-model", kind, &body).await;
        assert_eq!(response.status, 200, "{operation}: {}", response.text());
        assert_eq!(response.header("tollgate-model"), Some("az:dep-1"));
        let arrived = lab.azure.deliveries().pop().expect("a delivery");
        let target = format!("/openai/deployments/dep-1/{operation}?api-version=7");
        assert_eq!(arrived.target, target);
        assert_eq!(arrived.header("api-key"), Some("sk-own"));
        assert_eq!(arrived.bytes(), expected);
    }
    let before = lab.azure.count();
    for body in [form("another"), form("").replace("model", "other")] {
        let response = asked("audio/translations", "dep-1", multipart, &body).await;
        ask::refused(&response, Dialect::OpenAi, 400, "invalid_request");
    }
    // Which deployment is meant cannot be left to Azure.
    let unnamed = post("/az/v1/images/generations", prompt)
        .header("tollgate-key", lab.gateway.key())
        .header("api-key", "sk-own");
    let response = lab.gateway.send(&unnamed).await;
    let message = ask::refused(&response, Dialect::OpenAi, 400, "invalid_request");
    assert!(message.contains("names no model"), "{message}");
    assert_eq!(lab.azure.count(), before);
}

#[tokio::test]
async fn what_has_its_model_in_the_body_names_no_provider_below_openai() {
    let lab = Lab::new().await;
    for (target, at, expected) in [
        (
            "/openai/responses?api-version=7",
            &lab.azure,
            "/openai/responses?api-version=7",
        ),
        (
            "/openai/responses?api-version=7",
            &lab.other,
            "/v1/responses",
        ),
        (
            "/openai/v1/responses?api-version=preview&a=b",
            &lab.other,
            "/v1/responses?a=b",
        ),
        (
            "/openai/v1/chat/completions?api-version=preview",
            &lab.other,
            "/v1/chat/completions",
        ),
    ] {
        let model = if std::ptr::eq(at, &lab.azure) {
            "az:dep-1"
        } else {
            "other:small"
        };
        let body = json!({"model": model, "input": "Hello"}).to_string();
        let (arrived, _) = lab.arrived(at, target, &body).await;
        assert_eq!(arrived.target, expected, "{target}");
    }
    let listed = lab.gateway.get("/openai/models?api-version=7");
    let listed = lab.gateway.send(&listed).await;
    assert!(listed.text().contains("\"dep-1\""), "{}", listed.text());
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_openai_does() {
    let lab = Lab::new().await;
    for (name, body) in [
        ("dep-1", r#"{"model":"small"}"#),
        ("dep-1", r#"{"model":7}"#),
        ("", "{}"),
        ("..", "{}"),
        ("%2e%2E", "{}"),
        ("a%2F..%2fb", "{}"),
        ("a/../dep-1", "{}"),
        ("a%2F%2Fb", "{}"),
        ("a%00", "{}"),
        ("azure:dep-1%0d%0a", "{}"),
        ("%ff", "{}"),
    ] {
        let response = lab.send(&CHAT.replace("MODEL", name), body).await;
        ask::refused(&response, Dialect::OpenAi, 400, "invalid_request");
    }
    let response = lab.send(&CHAT.replace("MODEL", "nobodys"), "{}").await;
    ask::refused(&response, Dialect::OpenAi, 404, "model_not_found");
    let response = lab
        .send("/openai/deployments/dep-1/nothing?api-version=7", "{}")
        .await;
    ask::refused(&response, Dialect::OpenAi, 404, "unknown_path");
    assert_eq!((lab.azure.count(), lab.other.count()), (0, 0));
}
