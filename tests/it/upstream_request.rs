//! What reaches a provider, and what of its answer reaches the client: host, path, query, key and headers, for every
//! provider of the shipped catalog and every preset. Bodies are in `bodies`, which provider is asked in `routing`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::ask::{self, SURFACES, Surface, refused, speaking_all};
use crate::support::client::{self, Request, Response};
use crate::support::gateway::{Gateway, custom, gateway, upstream_key};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Delivery, Framing, Reply, Upstream};

/// The providers of the shipped catalog (their API references). A line for each provider with the path of its base URL,
/// that of the public service, and below it one for each surface that it serves: target, and how the key is sent.
pub const PROVIDERS: &str = "
openai /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    responses /v1/responses bearer
    embeddings /v1/embeddings bearer
anthropic /
    chat /v1/chat/completions bearer
    messages /v1/messages x-api-key
    count_tokens /v1/messages/count_tokens x-api-key
openrouter /api/v1
    chat /api/v1/chat/completions bearer
    completions /api/v1/completions bearer
    responses /api/v1/responses bearer
    embeddings /api/v1/embeddings bearer
    messages /api/v1/messages bearer
google /
    chat /v1beta/openai/chat/completions bearer
    embeddings /v1beta/openai/embeddings bearer
groq /openai/v1
    chat /openai/v1/chat/completions bearer
    responses /openai/v1/responses bearer
    embeddings /openai/v1/embeddings bearer
deepseek /
    chat /chat/completions bearer
    completions /beta/completions bearer
    messages /anthropic/v1/messages x-api-key
hyperbolic /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
inceptionlabs /v1
    chat /v1/chat/completions bearer
inference-net /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    responses /v1/responses bearer
    embeddings /v1/embeddings bearer
    messages /v1/messages bearer
mistral /v1
    chat /v1/chat/completions bearer
    embeddings /v1/embeddings bearer
xai /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    responses /v1/responses bearer
    messages /v1/messages bearer
together /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    embeddings /v1/embeddings bearer
fireworks /inference/v1
    chat /inference/v1/chat/completions bearer
    completions /inference/v1/completions bearer
    responses /inference/v1/responses bearer
    embeddings /inference/v1/embeddings bearer
    messages /inference/v1/messages bearer
cerebras /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
cohere /compatibility/v1
    chat /compatibility/v1/chat/completions bearer
    embeddings /compatibility/v1/embeddings bearer
perplexity /
    chat /chat/completions bearer
    responses /v1/responses bearer
    embeddings /v1/embeddings bearer
deepinfra /v1/openai
    chat /v1/openai/chat/completions bearer
    completions /v1/openai/completions bearer
    embeddings /v1/openai/embeddings bearer
    messages /anthropic/v1/messages bearer
moonshot /v1
    chat /v1/chat/completions bearer
    responses /v1/responses bearer
    messages /anthropic/v1/messages bearer
zai /api/paas/v4
    chat /api/paas/v4/chat/completions bearer
    embeddings /api/paas/v4/embeddings bearer
    messages /api/anthropic/v1/messages bearer
";

/// The presets in the same way, for a model `m`.
pub const PRESETS: &str = "
openai-compatible /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    embeddings /v1/embeddings bearer
anthropic-compatible /
    messages /v1/messages x-api-key
    count_tokens /v1/messages/count_tokens x-api-key
ollama /v1
    chat /v1/chat/completions none
    completions /v1/completions none
    responses /v1/responses none
    embeddings /v1/embeddings none
    messages /v1/messages none
vllm /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    responses /v1/responses bearer
    embeddings /v1/embeddings bearer
    messages /v1/messages bearer
    count_tokens /v1/messages/count_tokens bearer
lmstudio /v1
    chat /v1/chat/completions bearer
    completions /v1/completions bearer
    responses /v1/responses bearer
    embeddings /v1/embeddings bearer
    messages /v1/messages bearer
azure-openai /openai/v1
    chat /openai/v1/chat/completions api-key
    responses /openai/v1/responses api-key
    embeddings /openai/v1/embeddings api-key
azure-openai-dated /openai
    chat /openai/deployments/m/chat/completions?api-version=2024-10-21 api-key
    completions /openai/deployments/m/completions?api-version=2024-10-21 api-key
    responses /openai/responses?api-version=2025-04-01-preview api-key
    embeddings /openai/deployments/m/embeddings?api-version=2024-10-21 api-key
azure-anthropic /anthropic
    messages /anthropic/v1/messages x-api-key
    count_tokens /anthropic/v1/messages/count_tokens x-api-key
bedrock /openai/v1
    chat /openai/v1/chat/completions bearer
    responses /openai/v1/responses bearer
    messages /anthropic/v1/messages bearer
vertex /v1/projects/p/locations/l
    chat /v1/projects/p/locations/l/endpoints/openapi/chat/completions bearer
";

/// A provider or preset.
pub struct Row {
    /// Its id.
    pub id: &'static str,
    /// Path of its base URL.
    pub path: &'static str,
    /// The surfaces that it serves.
    pub served: Vec<Served>,
}

/// How a surface is served.
pub struct Served {
    /// Its name.
    pub surface: &'static str,
    target: &'static str,
    /// `none`, `bearer`, or the name of a header.
    auth: &'static str,
}

/// The rows of a table.
pub fn rows(table: &'static str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [id, path] => rows.push(Row {
                id,
                path: path.trim_end_matches('/'),
                served: Vec::new(),
            }),
            [surface, target, auth] => {
                let row = rows.last_mut().expect("a row");
                row.served.push(Served {
                    surface,
                    target,
                    auth,
                });
            }
            _ => panic!("not a row: {line}"),
        }
    }
    rows
}

/// Surfaces that are asked with `anthropic-version`, which is set where the client did not send it.
fn is_versioned(row: &str, surface: &str) -> bool {
    matches!(
        row,
        "anthropic" | "anthropic-compatible" | "azure-anthropic"
    ) && matches!(surface, "messages" | "count_tokens")
}

/// The names of the files in a folder of the catalog, those aside that describe no provider.
fn files(folder: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(path).expect("the catalog");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        name.strip_suffix(".json").map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.retain(|name| !["families", "schema"].contains(&name.as_str()));
    names.sort();
    names
}

fn ids(table: &'static str) -> Vec<String> {
    let mut ids: Vec<String> = rows(table).iter().map(|row| row.id.to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn every_provider_and_preset_has_its_row() {
    assert_eq!(files("catalog"), ids(PROVIDERS));
    assert_eq!(files("catalog/presets"), ids(PRESETS));
}

/// A fake of each.
pub async fn start(rows: &[Row]) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for _ in rows {
        upstreams.push(upstream::h1().reply(ask::answer()).start().await);
    }
    upstreams
}

/// Asks each row for a model on each surface.
async fn check_rows(gateway: &Gateway, rows: &[Row], upstreams: &[Upstream]) {
    for (row, upstream) in rows.iter().zip(upstreams) {
        assert!(!row.served.is_empty(), "{}", row.id);
        for surface in SURFACES {
            let context = format!("{}, {}", row.id, surface.name);
            let request = surface.post(&format!("{}:m", row.id)).bearer(gateway.key());
            let before = upstream.count();
            let response = gateway.send(&request).await;
            let mut served = row.served.iter();
            let Some(served) = served.find(|served| served.surface == surface.name) else {
                refused(&response, surface.dialect, 400, "surface_not_supported");
                assert_eq!(upstream.count(), before, "{context}");
                continue;
            };
            assert_eq!(response.status, 200, "{context}: {}", response.text());
            let delivery = upstream.deliveries_since(before).remove(0);
            row.check(served, &surface, "m", &delivery, upstream);
        }
    }
}

impl Row {
    /// That a request for `model` arrived as the row says: host, path, model, key and headers, and nothing else.
    pub fn check(
        &self,
        served: &Served,
        surface: &Surface,
        model: &str,
        delivery: &Delivery,
        upstream: &Upstream,
    ) {
        let context = format!("{}, {}, {model}", self.id, surface.name);
        let target = served.target;
        assert_eq!(
            (delivery.method.as_str(), delivery.target.as_str()),
            ("POST", target),
            "{context}"
        );
        let host = upstream.address().to_string();
        assert_eq!(delivery.authority, host, "{context}");
        assert_eq!(delivery.bytes(), surface.body(model), "{context}");
        let version = is_versioned(self.id, surface.name).then_some("2023-06-01");
        let expected = expected_headers(served.auth, self.id, version, surface, model);
        assert_eq!(headers(delivery), expected, "{context}");
    }
}

/// All header fields as they arrived, but the host of HTTP/1.1.
fn headers(delivery: &Delivery) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    let is_host = |name: &str| name.eq_ignore_ascii_case("host") && delivery.framing != Framing::H2;
    for (name, value) in delivery.fields.iter().filter(|(name, _)| !is_host(name)) {
        all.entry(name.to_ascii_lowercase())
            .or_default()
            .push(value.clone());
    }
    all
}

/// All that should have arrived: nothing else comes along.
fn expected_headers(
    auth: &str,
    provider: &str,
    version: Option<&str>,
    surface: &Surface,
    model: &str,
) -> BTreeMap<String, Vec<String>> {
    let key = upstream_key(provider, 0);
    let mut all = vec![
        ("content-type", "application/json".to_owned()),
        ("content-length", surface.body(model).len().to_string()),
    ];
    match auth {
        "none" => {}
        "bearer" => all.push(("authorization", format!("Bearer {key}"))),
        header => all.push((header, key)),
    }
    if let Some(version) = version {
        all.push(("anthropic-version", version.to_owned()));
    }
    let field = |(name, value): (&str, String)| (name.to_owned(), vec![value]);
    all.into_iter().map(field).collect()
}

#[tokio::test]
async fn each_shipped_provider_is_asked_in_its_own_way() {
    let rows = rows(PROVIDERS);
    let upstreams = start(&rows).await;
    let mut builder = gateway();
    for (row, upstream) in rows.iter().zip(&upstreams) {
        builder = builder.provider_with(row.id, upstream, row.path, 1);
    }
    let gateway = builder.start().await;
    check_rows(&gateway, &rows, &upstreams).await;
}

#[tokio::test]
async fn each_preset_is_asked_in_its_own_way() {
    let rows = rows(PRESETS);
    let upstreams = start(&rows).await;
    let mut builder = gateway();
    for (row, upstream) in rows.iter().zip(&upstreams) {
        builder = builder.custom(custom(row.id).preset(row.id, row.path), upstream);
    }
    let gateway = builder.start().await;
    check_rows(&gateway, &rows, &upstreams).await;
}

#[tokio::test]
async fn a_local_server_without_a_key_is_asked_without_one() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let url = format!("{}/v1", upstream.origin());
    let mut builder = gateway();
    for preset in ["ollama", "vllm", "lmstudio", "openai-compatible"] {
        let file = json!({
            "provider": preset, "preset": preset, "base_url": url, "health": {"type": "none"}
        });
        builder = builder.catalog(preset, file);
    }
    let gateway = builder.start().await;
    for preset in ["ollama", "vllm", "lmstudio", "openai-compatible"] {
        let surface = ask::surface("chat");
        let before = upstream.count();
        let model = format!("{preset}:llama3.2:1b");
        let response = gateway
            .send(&surface.post(&model).bearer(gateway.key()))
            .await;
        assert_eq!(response.status, 200, "{preset}: {}", response.text());
        assert_eq!(
            response.header("tollgate-credential"),
            Some("none"),
            "{preset}"
        );
        let delivery = upstream.deliveries_since(before).remove(0);
        let expected = expected_headers("none", preset, None, &surface, "llama3.2:1b");
        assert_eq!(headers(&delivery), expected, "{preset}");
    }
}

#[tokio::test]
async fn a_model_in_a_path_is_encoded_and_the_queries_are_joined() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let azure = custom("azure")
        .preset("azure-openai-dated", "/openai")
        .model_as("my-deployment", &["gpt-4o-mine"]);
    let gateway = gateway().custom(azure, &upstream).start().await;
    for (name, target) in [
        (
            "gpt-4o-mine",
            "/openai/deployments/my-deployment/chat/completions",
        ),
        (
            "azure:a/b?c#d e%2Fé",
            "/openai/deployments/a%2Fb%3Fc%23d%20e%252F%C3%A9/chat/completions",
        ),
    ] {
        for (query, joined) in [
            ("", "?api-version=2024-10-21"),
            (
                "?beta=true&x=%20y",
                "?api-version=2024-10-21&beta=true&x=%20y",
            ),
        ] {
            let before = upstream.count();
            let path = format!("/v1/chat/completions{query}");
            let request = gateway.post(&path, ask::surface("chat").body(name));
            let response = gateway.send(&request).await;
            assert_eq!(response.status, 200, "{name}: {}", response.text());
            assert_eq!(
                upstream.deliveries_since(before)[0].target,
                format!("{target}{joined}")
            );
        }
    }
    for name in ["azure:..", "azure:."] {
        let request = gateway.post("/v1/chat/completions", ask::surface("chat").body(name));
        let response = gateway.send(&request).await;
        assert!(response.status >= 400, "{name}: {}", response.text());
    }
    assert_eq!(upstream.count(), 4);
}

#[tokio::test]
async fn the_host_is_the_providers_or_the_one_the_catalog_says() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let named = custom("named").set("endpoints", json!([{"url": upstream.origin_by_name()}]));
    let behind = json!([{"url": upstream.origin(), "host": "localhost:11434"}]);
    let gateway = gateway()
        .custom(named, &upstream)
        .custom(custom("tunnel").set("endpoints", behind), &upstream)
        .start()
        .await;
    for (model, host) in [
        (
            "named:m",
            format!("localhost:{}", upstream.address().port()),
        ),
        ("tunnel:m", "localhost:11434".to_owned()),
    ] {
        let before = upstream.count();
        let request = ask::surface("chat").post(model).bearer(gateway.key());
        let response = gateway
            .send(&request.header("host", "gateway.example.com"))
            .await;
        assert_eq!(response.status, 200, "{model}: {}", response.text());
        assert_eq!(upstream.deliveries_since(before)[0].authority, host);
    }
}

/// A provider over HTTP/1.1 and one over HTTP/2 behind a gateway.
struct Lab {
    gateway: Gateway,
    upstreams: [(&'static str, Upstream); 2],
}

impl Lab {
    async fn new() -> Self {
        let authority = Authority::new();
        let plain = upstream::h1().reply(ask::answer()).start().await;
        let h2 = upstream::h2_tls(&authority)
            .reply(ask::answer())
            .start()
            .await;
        let of = |id: &str| {
            let headers = json!({"x-team": "house"});
            speaking_all(custom(id).model("m")).set("headers", headers)
        };
        let gateway = gateway()
            .trust(&authority)
            .custom(of("plain"), &plain)
            .custom(of("h2"), &h2)
            .start()
            .await;
        Self {
            gateway,
            upstreams: [("plain", plain), ("h2", h2)],
        }
    }

    /// Asks both providers on the gateway's credential, or on the client's own.
    async fn deliveries(&self, target: &str, own: bool, fields: &[(&str, &str)]) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for (id, upstream) in &self.upstreams {
            let before = upstream.count();
            let request = self.request(id, target, own).headers(fields);
            let response = self.gateway.send(&request).await;
            assert_eq!(response.status, 200, "{id}: {}", response.text());
            deliveries.push(upstream.deliveries_since(before).remove(0));
        }
        deliveries
    }

    fn request(&self, provider: &str, target: &str, own: bool) -> Request {
        let body = ask::surface("chat").body(&format!("{provider}:m"));
        let request = client::post(target, body);
        if own {
            request
                .header("tollgate-key", self.gateway.key())
                .bearer("sk-of-the-client")
        } else {
            request.bearer(self.gateway.key())
        }
    }

    /// What a client gets of `reply` from each provider, on the gateway's credential or on the client's own.
    async fn responses(&self, own: bool, reply: &Reply) -> Vec<Response> {
        let mut responses = Vec::new();
        for (id, upstream) in &self.upstreams {
            upstream.push(reply.clone());
            let request = self.request(id, "/v1/chat/completions", own);
            responses.push(self.gateway.send(&request).await);
        }
        responses
    }
}

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn headers_from_end_to_end_are_kept_and_a_default_gives_way() {
    let lab = Lab::new().await;
    let kept = [
        ("user-agent", "OpenAI/Python 3.3.1"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("x-stainless-lang", "python"),
        ("x-stainless-retry-count", "1"),
        ("x-client-request-id", "mine"),
        ("anthropic-version", "2024-01-01"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    for own in [false, true] {
        for delivery in lab.deliveries(CHAT, own, &kept).await {
            for (name, value) in kept {
                assert_eq!(delivery.header(name), Some(value), "{name}");
            }
            assert_eq!(delivery.header("x-team"), Some("house"));
        }
    }
    for delivery in lab.deliveries(CHAT, true, &[("X-Team", "mine")]).await {
        assert_eq!(headers(&delivery)["x-team"], ["mine"]);
    }
}

#[tokio::test]
async fn the_version_that_an_anthropic_client_sends_is_kept() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let gateway = gateway().provider("anthropic", &upstream).start().await;
    let messages = ask::surface("messages");
    for (sent, arrives) in [(Some("2099-01-01"), "2099-01-01"), (None, "2023-06-01")] {
        let before = upstream.count();
        let body = messages.body("anthropic:claude-haiku-4-5");
        let mut request =
            client::post("/v1/messages?beta=true", body).header("x-api-key", gateway.key());
        if let Some(version) = sent {
            request = request.header("Anthropic-Version", version);
        }
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let delivery = upstream.deliveries_since(before).remove(0);
        assert_eq!(headers(&delivery)["anthropic-version"], [arrives]);
        assert_eq!(delivery.target, "/v1/messages?beta=true");
    }
}

#[tokio::test]
async fn headers_of_one_hop_and_of_ours_go_no_further() {
    let lab = Lab::new().await;
    let gone = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "h2c"),
        ("Tollgate-Provider", "plain"),
        ("Tollgate-Failover", "off"),
        ("Tollgate-Model", "mine"),
        ("Tollgate-Anything", "mine"),
    ];
    for own in [false, true] {
        for (id, upstream) in &lab.upstreams {
            let before = upstream.count();
            let fields =
                gone.map(|(name, value)| (name, if value == "plain" { *id } else { value }));
            let request = lab.request(id, CHAT, own).headers(&fields);
            let response = lab.gateway.send(&request).await;
            assert_eq!(response.status, 200, "{id}: {}", response.text());
            let delivery = upstream.deliveries_since(before).remove(0);
            let arrived = headers(&delivery);
            for (name, _) in gone {
                let value = arrived.get(&name.to_ascii_lowercase());
                assert_eq!(value, None, "{id}: {name}");
            }
            let left: Vec<&str> = arrived.keys().map(String::as_str).collect();
            assert_eq!(
                left,
                ["authorization", "content-length", "content-type", "x-team"],
                "{id}"
            );
        }
    }
}

#[tokio::test]
async fn what_speaks_in_the_operators_name_is_kept_on_the_clients_own_credential_only() {
    let lab = Lab::new().await;
    let fields = [
        ("OpenAI-Organization", "org-1"),
        ("OpenAI-Project", "proj-1"),
        ("Cookie", "a=b"),
        ("Ocp-Apim-Subscription-Key", "sub-1"),
        ("X-Goog-User-Project", "project-1"),
    ];
    for own in [false, true] {
        let query = "?access_token=other&a=1&subscription-key=sub-1";
        for delivery in lab.deliveries(&format!("{CHAT}{query}"), own, &[]).await {
            let kept = if own { query } else { "?a=1" };
            assert_eq!(delivery.target, format!("{CHAT}{kept}"), "own: {own}");
        }
        for delivery in lab.deliveries(CHAT, own, &fields).await {
            for (name, value) in fields {
                assert_eq!(
                    delivery.header(name),
                    own.then_some(value),
                    "{name}, own: {own}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_query_is_kept_but_for_a_key() {
    let lab = Lab::new().await;
    for (query, kept) in [
        ("?beta=true", "?beta=true"),
        ("?a=1&b=%2F+%20&a=2&flag", "?a=1&b=%2F+%20&a=2&flag"),
        ("?key=sk-foreign", ""),
        ("?beta=true&key=sk-foreign&x=1", "?beta=true&x=1"),
        ("?key=sk-foreign&key=sk-other&monkey=1", "?monkey=1"),
    ] {
        for delivery in lab.deliveries(&format!("{CHAT}{query}"), false, &[]).await {
            assert_eq!(delivery.target, format!("{CHAT}{kept}"));
        }
    }
}

#[tokio::test]
async fn a_body_without_a_length_gets_one() {
    let lab = Lab::new().await;
    for (id, upstream) in &lab.upstreams {
        let request = lab.request(id, CHAT, false).unannounced().pieces(7);
        assert_eq!(lab.gateway.send(&request).await.status, 200);
        let delivery = upstream.delivery();
        let length = ask::surface("chat").body("m").len().to_string();
        assert_eq!(headers(&delivery)["content-length"], [length]);
        assert_eq!(delivery.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn an_answer_loses_what_is_of_its_hop_and_what_speaks_in_our_name() {
    let lab = Lab::new().await;
    let reply = ask::answer()
        .header("Tollgate-Model", "forged")
        .header("Tollgate-Request-Id", "forged")
        .header("Tollgate-Anything", "forged")
        .header("Alt-Svc", "h3=\":443\"")
        .header("X-Request-Id", "req_1")
        .header("Openai-Processing-Ms", "12")
        .header("Server-Timing", "model;dur=5")
        .header("Cache-Control", "no-cache")
        .header("X-Should-Retry", "true");
    for own in [false, true] {
        for (response, (id, _)) in lab.responses(own, &reply).await.iter().zip(&lab.upstreams) {
            assert_eq!(response.status, 200);
            for name in ["tollgate-anything", "alt-svc"] {
                assert_eq!(response.header(name), None, "{id}: {name}");
            }
            assert_eq!(response.head.all("tollgate-model"), [format!("{id}:m")]);
            let request_ids = response.head.all("tollgate-request-id");
            assert!(
                request_ids.len() == 1 && request_ids[0] != "forged",
                "{request_ids:?}"
            );
            for (name, value) in [
                ("x-request-id", "req_1"),
                ("openai-processing-ms", "12"),
                ("cache-control", "no-cache"),
                ("x-should-retry", "true"),
            ] {
                assert_eq!(response.header(name), Some(value), "{id}");
            }
            let timing = response.head.all("server-timing").join(", ");
            for part in ["model;dur=5", "gateway;dur=", "upstream;dur="] {
                assert!(timing.contains(part), "{id}: {timing}");
            }
        }
    }
    // Headers of one hop, which HTTP/2 does not have.
    let reply = ask::answer()
        .header("Connection", "X-Hop")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authenticate", "Basic");
    let (_, plain) = &lab.upstreams[0];
    plain.push(reply);
    let response = lab.gateway.send(&lab.request("plain", CHAT, false)).await;
    assert_eq!(response.status, 200);
    for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert!(
        !response
            .head
            .all("connection")
            .join(",")
            .to_ascii_lowercase()
            .contains("x-hop")
    );
}

#[tokio::test]
async fn the_operators_limits_at_a_provider_are_seen_on_the_clients_own_credential_only() {
    let lab = Lab::new().await;
    let fields = [
        ("x-ratelimit-limit-requests", "100"),
        ("X-RateLimit-Remaining-Tokens", "7"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("x-tokenlimit-remaining", "9"),
        ("ratelimit-policy", "\"default\";q=100"),
        ("set-cookie", "__cf_bm=secret"),
    ];
    let mut reply = ask::answer();
    for (name, value) in fields {
        reply = reply.header(name, value);
    }
    for own in [false, true] {
        for response in lab.responses(own, &reply).await {
            assert_eq!(response.status, 200);
            for (name, value) in fields {
                assert_eq!(
                    response.header(name),
                    own.then_some(value),
                    "{name}, own: {own}"
                );
            }
        }
    }
    // What a client needs to wait for is not of that kind.
    let slow_down = Reply::json(429, "{}")
        .header("retry-after", "77")
        .header("retry-after-ms", "77000");
    for own in [true, false] {
        for response in lab.responses(own, &slow_down).await {
            assert_eq!(
                (response.status, response.header("retry-after")),
                (429, Some("77"))
            );
            assert_eq!(response.header("retry-after-ms"), Some("77000"));
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_passes_as_it_is() {
    let lab = Lab::new().await;
    let bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0];
    let reply = Reply::json(200, bytes.clone())
        .header("content-encoding", "gzip")
        .header("vary", "accept-encoding");
    for response in lab.responses(false, &reply).await {
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        assert_eq!(response.header("vary"), Some("accept-encoding"));
        assert_eq!(response.body, bytes);
    }
}

#[tokio::test]
async fn an_error_of_the_provider_passes_as_it_came() {
    let lab = Lab::new().await;
    let body = r#"{"error":{"message":"max_tokens is too large","type":"invalid_request_error","param":"max_tokens","code":null}}"#;
    for status in [400, 404, 409, 413, 422, 501] {
        let reply = Reply::json(status, body).header("x-request-id", "req_2");
        for response in lab.responses(false, &reply).await {
            assert_eq!((response.status, response.text().as_str()), (status, body));
            assert_eq!(response.header("x-request-id"), Some("req_2"));
            assert!(response.header("tollgate-request-id").is_some());
        }
    }
}
