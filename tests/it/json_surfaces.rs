//! The surfaces beside those of chat: images, speech, moderations, ranks and the like. On a key of the caller's own they pass
//! byte for byte; on the gateway's only where somebody knows what they cost.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::ask::{self, Dialect, refused};
use crate::support::client::{Request, Response, post};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::sha;
use crate::support::upstream::{self, Delivery, Reply, Upstream};

/// Name, path, and what a request has beside its model.
const SURFACES: [(&str, &str, &str); 8] = [
    (
        "responses_compact",
        "/v1/responses/compact",
        r#""input":[{"role":"user","content":"Hello"}]"#,
    ),
    (
        "responses_input_tokens",
        "/v1/responses/input_tokens",
        r#""input":"Hello""#,
    ),
    (
        "images_generations",
        "/v1/images/generations",
        r#""prompt":"a cat","size":"1024x1024""#,
    ),
    (
        "audio_speech",
        "/v1/audio/speech",
        r#""input":"Hello","voice":"alloy""#,
    ),
    ("moderations", "/v1/moderations", r#""input":["a","b"]"#),
    (
        "rerank",
        "/v1/rerank",
        r#""query":"a","documents":["b","c"],"top_n":1"#,
    ),
    ("decisions", "/v1/decisions", r#""input":"a or b""#),
    (
        "fim",
        "/v1/fim/completions",
        r#""prompt":"fn a(","suffix":")""#,
    ),
];

/// What arrived last.
fn last(upstream: &Upstream) -> Delivery {
    upstream.deliveries().pop().expect("a delivery")
}

/// With a member that no writer of JSON would put back as it was.
fn body(rest: &str) -> String {
    format!("{{ {rest} ,\"model\":\"one:m\", \"x\": 1.50e+0 }}")
}

/// What arrives of it: the published edit of the model's name and nothing else.
fn arrives(rest: &str) -> String {
    format!("{{ {rest} ,\"model\":\"m\", \"x\": 1.50e+0 }}")
}

/// A gateway before one provider of all these surfaces, with a model that has prices.
async fn lab(more: impl FnOnce(Builder) -> Builder) -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let path = |(name, path, _): (&str, &str, &str)| {
        let path = path.trim_start_matches("/v1");
        (name.to_owned(), json!({ "path": path }))
    };
    let price = json!({"input": "0", "output": "0"});
    let provider = custom("one")
        .set(
            "surfaces",
            Value::Object(SURFACES.map(path).into_iter().collect()),
        )
        .set(
            "models",
            json!({"m": {"price": price, "context": 1000, "max_output": 100}}),
        );
    let gateway = more(gateway().custom(provider, &upstream)).start().await;
    (gateway, upstream)
}

/// With a provider key of the client's own.
fn own(gateway: &Gateway, path: &str, body: impl Into<Bytes>) -> Request {
    post(path, body)
        .header("tollgate-key", gateway.key())
        .bearer("sk-of-the-client")
}

fn code(response: &Response) -> String {
    response.json()["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn on_a_key_of_ones_own_every_surface_passes_byte_for_byte() {
    let (gateway, upstream) = lab(|it| it).await;
    let sound = Bytes::from((0..=255_u8).cycle().take(70_000).collect::<Vec<_>>());
    for (name, path, rest) in SURFACES {
        let answer = Reply::status(200)
            .header("content-type", "audio/mpeg")
            .header("x-of-the-provider", name)
            .piece(sound.clone());
        upstream.push(answer);
        for (path, base) in [(path.to_owned(), path), (format!("/one{path}"), path)] {
            let response = gateway.send(&own(&gateway, &path, body(rest))).await;
            assert_eq!(response.status, 200, "{path}: {}", response.text());
            assert_eq!(response.header("tollgate-model"), Some("one:m"));
            assert_eq!(response.header("tollgate-credential"), Some("request"));
            let delivery = last(&upstream);
            assert_eq!(delivery.target, base);
            assert_eq!(
                delivery.header("authorization"),
                Some("Bearer sk-of-the-client")
            );
            let sent = String::from_utf8(delivery.bytes().to_vec()).expect("text");
            assert_eq!(sent, arrives(rest), "{name}");
            if response.header("x-of-the-provider") == Some(name) {
                assert_eq!(sha::hex(&response.body), sha::hex(&sound), "{name}");
            }
        }
    }
    let lines = gateway.access_lines(SURFACES.len() * 2).await;
    let told = |name: &str| lines.iter().filter(|line| line["surface"] == name).count();
    for (name, ..) in SURFACES {
        assert_eq!(told(name), 2, "{name}");
        let metrics = gateway.metrics().await;
        let labels = [("surface", name), ("provider", "one")];
        assert_eq!(metrics.sum("tollgate_requests_total", &labels), 2.0);
    }
}

#[tokio::test]
async fn on_the_gateways_key_what_nobody_can_bound_or_meter_is_refused() {
    let (gateway, upstream) = lab(|it| it).await;
    for (name, path, rest) in SURFACES {
        let before = upstream.count();
        let response = gateway.send(&gateway.post(path, body(rest))).await;
        if matches!(name, "images_generations" | "audio_speech" | "rerank") {
            let message = refused(&response, Dialect::OpenAi, 403, "not_on_gateway_credential");
            assert!(
                message.contains(name) && message.contains("key of your own"),
                "{message}"
            );
            assert_eq!(response.header("x-should-retry"), Some("false"));
            assert_eq!(upstream.count(), before);
        } else {
            assert_eq!(response.status, 200, "{name}: {}", response.text());
            assert_eq!(response.header("tollgate-credential"), Some("gateway"));
        }
    }
}

#[tokio::test]
async fn where_nothing_is_charged_they_go_on_the_gateways_key_but_not_to_what_is_kept_under_it() {
    let (gateway, upstream) = lab(|it| it.config("credit.charge", false)).await;
    for (name, path, rest) in SURFACES {
        let response = gateway.send(&gateway.post(path, body(rest))).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
    }
    let before = upstream.count();
    for path in ["/v1/responses/compact", "/v1/responses/input_tokens"] {
        for member in [
            r#""previous_response_id":"resp_1""#,
            r#""conversation":{"id":"conv_1"}"#,
            r#""prompt":{"id":"pmpt_1"}"#,
        ] {
            let response = gateway.send(&gateway.post(path, body(member))).await;
            let message = refused(&response, Dialect::OpenAi, 403, "not_on_gateway_credential");
            assert!(
                message.contains("accounts of this gateway would share"),
                "{message}"
            );
        }
    }
    assert_eq!(upstream.count(), before);
}

#[tokio::test]
async fn what_is_kept_is_not_shared_between_accounts_where_requests_are_charged() {
    let (gateway, upstream) = lab(|it| it).await;
    for path in ["/v1/responses/compact", "/v1/responses/input_tokens"] {
        let asked = gateway.post(path, body(r#""previous_response_id":"resp_1""#));
        let response = gateway.send(&asked).await;
        refused(&response, Dialect::OpenAi, 403, "not_on_gateway_credential");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_model_may_be_left_to_a_provider_that_is_named() {
    let (gateway, upstream) = lab(|it| it).await;
    let bare = r#"{"input" : "Hello"}"#;
    for request in [
        own(&gateway, "/one/v1/moderations", bare),
        own(&gateway, "/v1/moderations", bare).header("tollgate-provider", "one"),
    ] {
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("tollgate-model"), Some("one"));
        assert_eq!(response.header("tollgate-edits"), None);
        let delivery = last(&upstream);
        assert_eq!(delivery.target, "/v1/moderations");
        assert_eq!(delivery.bytes(), bare);
    }
    let count = upstream.count();
    let nowhere = gateway.send(&own(&gateway, "/v1/moderations", bare)).await;
    let message = refused(&nowhere, Dialect::OpenAi, 400, "invalid_request");
    assert!(message.contains("Tollgate-Provider"), "{message}");
    let unpaid = gateway
        .send(&gateway.post("/one/v1/moderations", bare))
        .await;
    let message = refused(&unpaid, Dialect::OpenAi, 403, "not_on_gateway_credential");
    assert!(message.contains("names no `model`"), "{message}");
    let needed = gateway.send(&own(&gateway, "/one/v1/rerank", bare)).await;
    assert_eq!(
        (needed.status, code(&needed).as_str()),
        (400, "invalid_request")
    );
    assert_eq!(upstream.count(), count);
}
