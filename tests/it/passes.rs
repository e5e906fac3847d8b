//! Paths that are no surface: one provider gets them as they are, on a key of the caller's own.

use std::time::Duration;

use bytes::Bytes;

use crate::ask::{self, Dialect, refused};
use crate::support::bodies;
use crate::support::client::{self, Client, Protocol, Request, get, post};
use crate::support::gateway::{Builder, Gateway, custom, gateway, stored_key, upstream_key};
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Delivery, Reply, Upstream, behave};

/// What arrived last.
fn last(upstream: &Upstream) -> Delivery {
    upstream.deliveries().pop().expect("a delivery")
}

async fn lab(more: impl FnOnce(Builder) -> Builder) -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let builder = gateway().custom(custom("one").model("m"), &upstream);
    (more(builder).start().await, upstream)
}

/// With a stored key of the default account.
async fn stored() -> (Gateway, Upstream) {
    lab(|it| it.stored("default", "one", "main", &[])).await
}

/// With a provider key of the client's own.
fn own(gateway: &Gateway, request: Request) -> Request {
    request
        .header("tollgate-key", gateway.key())
        .bearer("sk-of-the-client")
}

/// Method, path below the base URL, and whether it has a body.
const PATHS: [(&str, &str, bool); 14] = [
    ("POST", "files", true),
    ("GET", "files?limit=2&after=file-1", false),
    ("GET", "files/file-1/content", false),
    ("DELETE", "files/file-1", false),
    ("POST", "batches", true),
    ("POST", "batches/batch_1/cancel", false),
    ("GET", "responses/resp_1?include[]=x%20y", false),
    ("DELETE", "responses/resp_1", false),
    ("POST", "responses/resp_1/cancel", false),
    ("POST", "uploads/up_1/parts", true),
    ("POST", "fine_tuning/jobs", true),
    ("GET", "vector_stores/a%2Fb/files/", false),
    ("PUT", "containers/c/files", true),
    ("PATCH", "evals/e", true),
];

/// No JSON, and longer than any buffer on the way.
fn upload() -> Bytes {
    Bytes::from((0..=250_u8).cycle().take(300_000).collect::<Vec<_>>())
}

#[tokio::test]
async fn method_path_query_headers_and_bytes_are_what_the_client_sent() {
    let (gateway, upstream) = lab(|it| it).await;
    let authority = Authority::new();
    let down = upload();
    for protocol in [Protocol::H1, Protocol::H2c] {
        let mut client = Client::connect(protocol, gateway.address(), &authority).await;
        for (method, path, has_body) in PATHS {
            let context = format!("{method} {path} over {protocol:?}");
            upstream.push(
                Reply::status(207)
                    .header("content-type", "application/octet-stream")
                    .header("x-of-the-provider", "said")
                    .piece(down.clone()),
            );
            let body = has_body.then(upload);
            let request = Request::new(method, &format!("/one/v1/{path}"), body)
                .header("content-type", "multipart/form-data; boundary=x")
                .header("openai-beta", "assistants=v2")
                .header("openai-organization", "org-mine");
            let response = client.send(&own(&gateway, request)).await;
            assert_eq!(response.status, 207, "{context}: {}", response.text());
            assert_eq!(response.header("x-of-the-provider"), Some("said"));
            assert_eq!(response.header("tollgate-credential"), Some("request"));
            assert_eq!(sha::hex(&response.body), sha::hex(&down), "{context}");
            let delivery = last(&upstream);
            assert_eq!(delivery.method, method, "{context}");
            assert_eq!(delivery.target, format!("/v1/{path}"));
            for (name, value) in [
                ("authorization", "Bearer sk-of-the-client"),
                ("content-type", "multipart/form-data; boundary=x"),
                ("openai-beta", "assistants=v2"),
                ("openai-organization", "org-mine"),
            ] {
                assert_eq!(delivery.header(name), Some(value), "{context}");
            }
            assert_eq!(delivery.header("tollgate-key"), None);
            let sent = if has_body { upload() } else { Bytes::new() };
            assert_eq!(delivery.bytes(), sent, "{context}");
            if !has_body && method == "GET" {
                assert_eq!(delivery.header("content-length"), None, "{context}");
                assert_eq!(delivery.header("transfer-encoding"), None, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn it_is_the_same_over_http2_upstream() {
    let authority = Authority::new();
    let upstream = upstream::h2_tls(&authority).reply(ask::answer());
    let upstream = upstream.start().await;
    let house = gateway().custom(custom("one").model("m"), &upstream);
    let gateway = house.trust(&authority).start().await;
    for (method, path, has_body) in PATHS {
        let body = has_body.then(upload);
        let request = Request::new(method, &format!("/one/v1/{path}"), body);
        let response = gateway.send(&own(&gateway, request)).await;
        assert_eq!(response.status, 200, "{method} {path}: {}", response.text());
        let delivery = last(&upstream);
        let arrived = (delivery.method.as_str(), delivery.target.clone());
        assert_eq!(arrived, (method, format!("/v1/{path}")));
        let sent = if has_body { upload() } else { Bytes::new() };
        assert_eq!(delivery.bytes(), sent, "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_passed_on_as_well() {
    let (gateway, upstream) = stored().await;
    let request = Request::new("HEAD", "/one/v1/files/f", None).bearer(gateway.key());
    upstream.push(Reply::status(404));
    assert_eq!(gateway.send(&request).await.status, 404);
    assert_eq!(last(&upstream).method, "HEAD");
}

#[tokio::test]
async fn the_provider_may_be_named_by_a_header_and_the_key_may_be_a_stored_one() {
    let (gateway, upstream) = stored().await;
    for path in ["/v1/files", "/files", "/v1/v1/files"] {
        let request = gateway.get(path).header("tollgate-provider", "one");
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(response.header("tollgate-credential"), Some("byok"));
        assert_eq!(response.header("tollgate-model"), Some("one"));
        let delivery = last(&upstream);
        assert_eq!(delivery.target, "/v1/files");
        let key = format!("Bearer {}", stored_key("default", "one", "main"));
        assert_eq!(delivery.header("authorization"), Some(key.as_str()));
    }
    // The query's key is the access key, and goes no further.
    let path = format!("/one/v1/files?key={}&limit=1", gateway.key());
    assert_eq!(gateway.send(&get(&path)).await.status, 200);
    assert_eq!(last(&upstream).target, "/v1/files?limit=1");
    let lines = gateway.access_lines(4).await;
    assert!(
        lines
            .iter()
            .all(|line| line["provider"] == "one" && line["status"] == 200)
    );
}

#[tokio::test]
async fn nothing_goes_on_the_gateways_own_key() {
    let (gateway, upstream) = lab(|it| it).await;
    for (method, path, _) in PATHS {
        let request = Request::new(method, &format!("/one/v1/{path}"), None);
        let response = gateway.send(&request.bearer(gateway.key())).await;
        let message = refused(&response, Dialect::OpenAi, 403, "not_on_gateway_credential");
        assert!(
            message.contains("key of your own") && message.contains("nearest is /"),
            "{message}"
        );
    }
    // In the dialect of whoever asks.
    let request = gateway
        .get("/one/v1/messages/batches")
        .header("anthropic-version", "2023-06-01");
    let response = gateway.send(&request).await;
    refused(
        &response,
        Dialect::Anthropic,
        403,
        "not_on_gateway_credential",
    );
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn who_asks_and_whom_must_be_known() {
    let (gateway, upstream) = stored().await;
    let response = gateway.send(&get("/one/v1/files")).await;
    refused(&response, Dialect::OpenAi, 401, "invalid_access_key");
    for path in ["/v1/files", "/nobody/v1/files"] {
        let response = gateway.send(&gateway.get(path)).await;
        let message = refused(&response, Dialect::OpenAi, 404, "unknown_path");
        assert!(message.contains("Tollgate-Provider"), "{message}");
    }
    let request = gateway
        .get("/v1/files")
        .header("tollgate-provider", "nobody");
    refused(
        &gateway.send(&request).await,
        Dialect::OpenAi,
        400,
        "invalid_request",
    );
    let request = Request::new("OPTIONS", "/one/v1/files", None).bearer(gateway.key());
    refused(
        &gateway.send(&request).await,
        Dialect::OpenAi,
        404,
        "unknown_path",
    );
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_path_that_leads_out_of_the_api_is_refused() {
    let (gateway, upstream) = stored().await;
    for path in [
        "/one/v1/../admin",
        "/one/v1/files/%2e%2e/%2E%2E/admin",
        "/one/v1/files/..%2f..%2fadmin",
        "/one/v1/files/%252e%252e/admin",
        "/one/v1/files/a%00b",
        "/one/v1/files/..;x/admin",
        "/one/v1/files/..%5cadmin",
    ] {
        let response = gateway.send(&gateway.get(path)).await;
        refused(&response, Dialect::OpenAi, 400, "invalid_request");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn what_a_provider_has_beside_its_surfaces_is_reached_by_its_own_paths() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let gateway = gateway()
        .provider_with("groq", &upstream, "/openai/v1", 0)
        .provider_with("google", &upstream, "", 0)
        .provider_with("anthropic", &upstream, "", 0)
        .start()
        .await;
    for (method, path, arrives) in [
        ("GET", "/groq/openai/v1/files", "/openai/v1/files"),
        ("GET", "/groq/v1/batches/b", "/openai/v1/batches/b"),
        ("GET", "/gemini/v1beta/files", "/v1beta/files"),
        ("GET", "/google/v1alpha/tunedModels", "/v1alpha/tunedModels"),
        ("GET", "/google/v1/batches", "/v1beta/openai/batches"),
        (
            "POST",
            "/google/v1beta/models/veo:predictLongRunning",
            "/v1beta/models/veo:predictLongRunning",
        ),
        (
            "GET",
            "/anthropic/v1/messages/batches",
            "/v1/messages/batches",
        ),
        (
            "GET",
            "/groq/v1/chat/completions",
            "/openai/v1/chat/completions",
        ),
        ("DELETE", "/groq/v1/models/ft:a", "/openai/v1/models/ft:a"),
    ] {
        let request = own(&gateway, Request::new(method, path, None));
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let delivery = last(&upstream);
        assert_eq!(
            (delivery.method.as_str(), delivery.target.as_str()),
            (method, arrives)
        );
    }
    // The list of models is the gateway's.
    let count = upstream.count();
    assert_eq!(
        gateway.send(&gateway.get("/groq/v1/models")).await.status,
        200
    );
    assert_eq!(upstream.count(), count);
}

#[tokio::test]
async fn a_large_upload_passes_without_being_kept_and_one_too_large_does_not() {
    let (gateway, upstream) = lab(|it| {
        it.stored("default", "one", "main", &[])
            .config("limits.body", "8MiB")
            .config("limits.replay_total", "1MiB")
    })
    .await;
    let large = Bytes::from(vec![7_u8; 8 << 20]);
    for announced in [true, false] {
        let request = post("/one/v1/files", large.clone()).bearer(gateway.key());
        let request = if announced {
            request
        } else {
            request.unannounced()
        };
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let delivery = last(&upstream);
        assert_eq!(delivery.sha256.as_deref(), Some(sha::hex(&large).as_str()));
    }
    let larger = Bytes::from(vec![7_u8; (8 << 20) + 1]);
    for announced in [true, false] {
        let request = post("/one/v1/files", larger.clone()).bearer(gateway.key());
        let request = if announced {
            request
        } else {
            request.unannounced()
        };
        let response = gateway.send(&request).await;
        refused(&response, Dialect::OpenAi, 413, "body_too_large");
    }
    let waits = post("/one/v1/files", upload())
        .bearer(gateway.key())
        .expect_continue();
    assert_eq!(gateway.send(&waits).await.status, 200);
    assert_eq!(last(&upstream).header("expect"), None);
}

#[tokio::test]
async fn an_answer_streams_while_it_is_made() {
    let (gateway, upstream) = stored().await;
    let gate = upstream::gate();
    let events = ["data: 1\n\n", "data: 2\n\n"].map(Bytes::from);
    upstream.push(Reply::sse(events, Duration::ZERO).hold_before(1, &gate));
    let mut client = client::h1(gateway.address()).await;
    let request = gateway.get("/one/v1/responses/resp_1?stream=true");
    let mut incoming = client.begin(&request).await.expect("an answer");
    let first = incoming.next().await.expect("a piece");
    assert_eq!(first.as_deref(), Some(&b"data: 1\n\n"[..]));
    gate.open();
    let rest = incoming.collect().await;
    assert!(rest.is_whole());
}

#[tokio::test]
async fn it_is_always_the_same_key() {
    let keys: [(&str, &[&str]); 3] = [
        ("a", &["--weight", "1"]),
        ("b", &["--weight", "9"]),
        ("c", &[]),
    ];
    let (gateway, upstream) = lab(|mut it| {
        for (name, arguments) in keys {
            it = it.stored("default", "one", name, arguments);
        }
        it
    })
    .await;
    let key = format!("Bearer {}", stored_key("default", "one", "a"));
    for status in [200, 429, 401, 503, 200] {
        let before = upstream.count();
        upstream.push(Reply::json(status, "{}"));
        let response = gateway.send(&gateway.get("/one/v1/files/f")).await;
        assert_eq!(response.status, status);
        let deliveries = upstream.deliveries_since(before);
        let used: Vec<_> = deliveries
            .iter()
            .map(|it| it.header("authorization"))
            .collect();
        assert_eq!(used, [Some(key.as_str())], "{status}");
    }
    assert!(!key.contains(&upstream_key("one", 0)));
}

#[tokio::test]
async fn what_was_delivered_is_not_sent_again() {
    let (gateway, upstream) = stored().await;
    for (method, path, body) in [
        ("POST", "/one/v1/batches/b/cancel", None),
        ("POST", "/one/v1/files", Some(upload())),
        ("DELETE", "/one/v1/files/f", None),
    ] {
        let before = upstream.count();
        upstream.push(behave().read().close());
        let request = Request::new(method, path, body).bearer(gateway.key());
        let response = gateway.send(&request).await;
        refused(&response, Dialect::OpenAi, 502, "all_candidates_failed");
        assert_eq!(upstream.count(), before + 1, "{method} {path}");
    }
}

#[tokio::test]
async fn the_rules_of_an_access_key_hold() {
    let (gateway, upstream) = lab(|it| {
        it.stored("default", "one", "main", &[])
            .key("elsewhere", &["--deny-provider", "one"])
            .key("some", &["--deny-model", "*:dear*"])
            .key("few", &["--allow-model", "m"])
    })
    .await;
    let with = |key: &str, method: &str| {
        let body = (method == "POST").then(|| Bytes::from_static(b"{}"));
        Request::new(method, "/one/v1/files", body).bearer(gateway.key_named(key))
    };
    let response = gateway.send(&with("elsewhere", "GET")).await;
    refused(&response, Dialect::OpenAi, 403, "provider_not_allowed");
    for key in ["some", "few"] {
        let response = gateway.send(&with(key, "POST")).await;
        let message = refused(&response, Dialect::OpenAi, 403, "model_not_allowed");
        assert!(message.contains("rules about models"), "{message}");
        assert_eq!(upstream.count(), 0);
    }
    // Reading makes no model do anything.
    for key in ["some", "few"] {
        assert_eq!(gateway.send(&with(key, "GET")).await.status, 200);
    }
}

#[tokio::test]
async fn it_costs_nothing_and_leaves_the_connection_fit_for_more() {
    let (gateway, upstream) = lab(|it| {
        it.stored("default", "one", "main", &[]).config(
            "credit.fee",
            toml::Table::from_iter([("per_million_tokens".to_owned(), "5".into())]),
        )
    })
    .await;
    let mut client = client::h1(gateway.address()).await;
    for _ in 0..3 {
        let response = client.send(&gateway.get("/one/v1/files")).await;
        assert_eq!((response.status, response.head.closes()), (200, false));
        let chat = gateway.post("/v1/chat/completions", bodies::chat("one:m").build());
        assert_eq!(client.send(&chat).await.status, 200);
    }
    assert_eq!(upstream.count(), 6);
    let lines = gateway.access_lines(6).await;
    let passed: Vec<_> = lines
        .iter()
        .filter(|line| line["path"] == "/one/v1/files")
        .collect();
    assert_eq!(passed.len(), 3);
    assert!(
        passed
            .iter()
            .all(|line| line.get("surface").is_none_or(serde_json::Value::is_null))
    );
}

#[tokio::test]
async fn a_provider_that_wants_no_key_and_has_a_price_is_asked_nothing_that_cannot_be_charged() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    for (price, status) in [(true, 403), (false, 200)] {
        let model = match price {
            true => serde_json::json!({"price": {"input": "1", "output": "2"}}),
            false => serde_json::json!({}),
        };
        let local = serde_json::json!({
            "provider": "local", "preset": "ollama", "base_url": format!("{}/v1", upstream.origin()),
            // Neither its list of models nor its health is to be counted.
            "discover": false, "health": {"type": "none"},
            "models": {"m": model},
        });
        let gateway = gateway().catalog("local", local).start().await;
        let request = post("/local/api/generate", "{}").bearer(gateway.key());
        let response = gateway.send(&request).await;
        assert_eq!(response.status, status, "{}", response.text());
        let charged = response.text().contains("not_on_gateway_credential");
        assert_eq!(charged, price);
    }
    assert_eq!(upstream.count(), 1);
}
