//! Addresses: the base URLs that people write into each SDK, slashes too many, probes, and pages of other origins.

use crate::ask::{self, Dialect, refused};
use crate::support::bodies;
use crate::support::client::{Request, Response, get, post};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::upstream::{self, Delivery, Upstream};

/// What arrived last.
fn last(upstream: &Upstream) -> Delivery {
    upstream.deliveries().pop().expect("a delivery")
}

/// A gateway with Groq, Google and Anthropic, all of which are this upstream.
async fn shipped() -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let gateway = gateway()
        .provider("openai", &upstream)
        .provider("anthropic", &upstream)
        .provider_with("groq", &upstream, "/openai/v1", 1)
        .provider_with("google", &upstream, "", 1)
        .provider_with("openrouter", &upstream, "/api/v1", 1)
        .provider_with("deepseek", &upstream, "", 1)
        .start()
        .await;
    (gateway, upstream)
}

async fn with(more: impl FnOnce(Builder) -> Builder) -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let builder = gateway().custom(custom("one").model("m"), &upstream);
    (more(builder).start().await, upstream)
}

/// Base URL as it is written into the SDK, what the SDK puts behind it, and what must arrive.
const NATURAL: &[(&str, &str, &str)] = &[
    // OpenAI
    ("/v1", "/chat/completions", "/v1/chat/completions"),
    ("/v1/", "/chat/completions", "/v1/chat/completions"),
    ("", "/chat/completions", "/v1/chat/completions"),
    ("/openai", "/responses", "/v1/responses"),
    ("/openai/v1", "/embeddings", "/v1/embeddings"),
    // Anthropic
    ("", "/v1/messages?beta=true", "/v1/messages?beta=true"),
    ("/v1", "/v1/messages", "/v1/messages"),
    (
        "/anthropic",
        "/v1/messages/count_tokens?beta=true",
        "/v1/messages/count_tokens?beta=true",
    ),
    ("/anthropic/", "/v1/messages", "/v1/messages"),
    ("/anthropic/v1", "/messages", "/v1/messages"),
    ("/anthropic/v1", "/v1/messages", "/v1/messages"),
    // Groq's own
    (
        "/groq",
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions",
    ),
    (
        "/groq/openai/v1",
        "/chat/completions",
        "/openai/v1/chat/completions",
    ),
    ("/groq/v1", "/responses", "/openai/v1/responses"),
    // Google's, for clients of OpenAI's
    (
        "/gemini/v1beta/openai/",
        "/chat/completions",
        "/v1beta/openai/chat/completions",
    ),
    (
        "/google/v1",
        "/chat/completions",
        "/v1beta/openai/chat/completions",
    ),
    // OpenRouter's
    (
        "/openrouter/api/v1",
        "/chat/completions",
        "/api/v1/chat/completions",
    ),
    // DeepSeek's, for clients of Anthropic's
    (
        "/deepseek/anthropic",
        "/v1/messages",
        "/anthropic/v1/messages",
    ),
];

#[tokio::test]
async fn the_natural_base_url_of_each_sdk_works() {
    let (gateway, upstream) = shipped().await;
    for (base, appended, arrives) in NATURAL {
        let path = format!("{base}{appended}");
        let model = match () {
            () if base.is_empty() || *base == "/v1" || *base == "/v1/" => {
                if appended.contains("messages") {
                    "anthropic:m"
                } else {
                    "openai:m"
                }
            }
            () => "m",
        };
        let before = upstream.count();
        let body = bodies::chat(model).build();
        let response = gateway.send(&gateway.post(&path, body)).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let delivery = upstream.deliveries_since(before).remove(0);
        assert_eq!(delivery.target, *arrives, "{path}");
    }
}

#[tokio::test]
async fn slashes_too_many_and_one_at_the_end_do_no_harm() {
    let (gateway, upstream) = with(|it| it).await;
    for path in [
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/v1/chat/completions/",
        "/one//v1//chat/completions//",
    ] {
        let body = bodies::chat("one:m").build();
        let response = gateway.send(&gateway.post(path, body)).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(last(&upstream).target, "/v1/chat/completions", "{path}");
    }
    for path in ["/v1/models/", "/one/v1//models", "/v1/models/one:m/"] {
        let response = gateway.send(&gateway.get(path)).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }
}

#[tokio::test]
async fn a_base_url_answers_those_who_look_whether_anybody_is_there() {
    let (gateway, upstream) = with(|it| it).await;
    for path in ["/", "/v1", "/v1/", "/one", "/one/v1", "/v1beta"] {
        let got = gateway.send(&get(path)).await;
        assert_eq!(
            (got.status, got.text().as_str()),
            (200, r#"{"status":"ok"}"#)
        );
        let head = gateway.send(&Request::new("HEAD", path, None)).await;
        assert_eq!((head.status, head.text().as_str()), (200, ""), "{path}");
        let posted = gateway.send(&gateway.post(path, "{}")).await;
        let message = refused(&posted, Dialect::OpenAi, 404, "unknown_path");
        assert!(message.contains("/v1/chat/completions"), "{message}");
    }
    assert_eq!(upstream.count(), 0);
}

const PAGE: &str = "https://app.example.com";

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path, None).headers(&[
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,x-stainless-lang",
        ),
    ])
}

fn allowed(response: &Response) -> Option<&str> {
    response.header("access-control-allow-origin")
}

#[tokio::test]
async fn a_page_that_may_ask_is_told_so_without_a_key_and_reads_every_answer() {
    let (gateway, upstream) =
        with(|it| it.config("cors.origins", vec![PAGE, "http://localhost:3000"])).await;
    for path in [
        "/v1/chat/completions",
        "/one/v1/files/x",
        "/v1/models",
        "/nowhere",
    ] {
        let response = gateway.send(&preflight(path, PAGE)).await;
        assert_eq!(response.status, 204, "{path}: {}", response.text());
        assert_eq!(allowed(&response), Some(PAGE));
        assert_eq!(
            response.header("access-control-allow-headers"),
            Some("authorization,content-type,x-stainless-lang")
        );
        let methods = response
            .header("access-control-allow-methods")
            .expect("methods");
        assert!(methods.contains("POST") && methods.contains("DELETE"));
        assert!(response.head.all("vary").join(",").contains("origin"));
        assert_eq!(response.header("access-control-allow-credentials"), None);
    }
    assert_eq!(upstream.count(), 0);
    // An upstream's own word does not count.
    let own = ask::answer()
        .header("access-control-allow-origin", "https://elsewhere.example")
        .header("access-control-allow-credentials", "true");
    upstream.push(own);
    let asked = gateway.post("/v1/chat/completions", bodies::chat("one:m").build());
    let response = gateway.send(&asked.clone().header("origin", PAGE)).await;
    assert_eq!((response.status, allowed(&response)), (200, Some(PAGE)));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let exposed = response.head.all("access-control-expose-headers").join(",");
    assert!(exposed.contains("tollgate-request-id"), "{exposed}");
    // Refusals can be read, too.
    let without = post("/v1/chat/completions", "{}").header("origin", PAGE);
    let response = gateway.send(&without).await;
    assert_eq!((response.status, allowed(&response)), (401, Some(PAGE)));
}

#[tokio::test]
async fn a_page_that_may_not_ask_is_told_nothing() {
    let (gateway, _upstream) = with(|it| it.config("cors.origins", vec![PAGE])).await;
    for origin in [
        "https://evil.example",
        "https://app.example.com.evil.example",
    ] {
        let response = gateway
            .send(&preflight("/v1/chat/completions", origin))
            .await;
        assert_eq!((response.status, allowed(&response)), (405, None));
        let asked = gateway.post("/v1/chat/completions", bodies::chat("one:m").build());
        let response = gateway.send(&asked.header("origin", origin)).await;
        assert_eq!((response.status, allowed(&response)), (200, None));
    }
}

#[tokio::test]
async fn every_page_may_ask_where_the_operator_says_so() {
    let (gateway, _upstream) = with(|it| it.config("cors.origins", vec!["*"])).await;
    let request = preflight("/v1/chat/completions", "null")
        .header("access-control-request-private-network", "true");
    let response = gateway.send(&request).await;
    assert_eq!((response.status, allowed(&response)), (204, Some("*")));
    assert_eq!(
        response.header("access-control-allow-private-network"),
        Some("true")
    );
}

#[tokio::test]
async fn without_a_word_in_the_configuration_browsers_are_told_nothing() {
    let (gateway, upstream) = with(|it| it).await;
    let response = gateway.send(&preflight("/v1/chat/completions", PAGE)).await;
    assert_eq!((response.status, allowed(&response)), (405, None));
    assert_eq!(upstream.count(), 0);
}
