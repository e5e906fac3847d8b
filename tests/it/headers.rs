//! Every header that clients send, through both kinds of credential, over both protocols: what arrives at the provider,
//! byte for byte. The list is that of the clients' sources; docs/headers.md is held to the code in `docs::headers`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::ask::{self, speaking_all};
use crate::support::client::{Client, Protocol, Request, post};
use crate::support::gateway::{Gateway, custom, gateway, upstream_key};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Delivery, Upstream};

/// Where a header arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrives {
    /// On every credential.
    Always,
    /// On a key of the caller's own, or where no key is needed.
    OnOwn,
    /// Nowhere.
    Never,
}
use Arrives::{Always, Never, OnOwn};

/// Of the OpenAI, Anthropic, Google and Groq SDKs, Claude Code, Codex and Gemini CLI, and of what stands between them and
/// the gateway. Values are odd where a proxy could be tempted to tidy them.
const SENT: &[(&str, &str, Arrives)] = &[
    // All SDKs.
    ("Accept", "application/json", Always),
    ("Accept-Encoding", "gzip, deflate, br,zstd", Always),
    ("Accept-Language", "*", Always),
    ("User-Agent", "OpenAI/Python 3.3.1 (é; \"x\")", Always),
    // OpenAI's and Anthropic's.
    ("X-Stainless-Lang", "python", Always),
    ("X-Stainless-Package-Version", "3.3.1", Always),
    ("X-Stainless-OS", "Linux", Always),
    ("X-Stainless-Arch", "x64", Always),
    ("X-Stainless-Runtime", "CPython", Always),
    ("X-Stainless-Runtime-Version", "3.14.0", Always),
    ("X-Stainless-Async", "async:asyncio", Always),
    ("X-Stainless-Retry-Count", "2", Always),
    ("X-Stainless-Timeout", "600", Always),
    ("X-Stainless-Read-Timeout", "600", Always),
    ("X-Stainless-Helper", "stream", Always),
    ("X-Stainless-Helper-Method", "stream", Always),
    ("X-Client-Request-Id", "mine-1", Always),
    (
        "OpenAI-Beta",
        "responses=experimental, assistants=v2",
        Always,
    ),
    ("OpenAI-Organization", "org-1", OnOwn),
    ("OpenAI-Project", "proj_1", OnOwn),
    ("Idempotency-Key", "stainless-python-retry-1", OnOwn),
    // Anthropic's: a value that nobody knows yet, lists over two lines, spaces as they came.
    ("Anthropic-Version", "2023-06-01", Always),
    (
        "Anthropic-Beta",
        "prompt-caching-2024-07-31,interleaved-thinking-2025-05-14 ,  not-made-yet-2099-01-01",
        Always,
    ),
    (
        "Anthropic-Beta",
        "fine-grained-tool-streaming-2025-05-14",
        Always,
    ),
    ("Anthropic-Dangerous-Direct-Browser-Access", "true", Always),
    ("Anthropic-Not-Made-Yet", "1", Always),
    ("Anthropic-Workspace-Id", "wrkspc_1", OnOwn),
    // Google's.
    (
        "X-Goog-Api-Client",
        "google-genai-sdk/2.19.0 gl-python/3.14",
        Always,
    ),
    ("X-Server-Timeout", "600", Always),
    ("Api-Revision", "2026-01-01", Always),
    ("X-Goog-User-Project", "project-1", OnOwn),
    ("X-Goog-FieldMask", "candidates", OnOwn),
    // Claude Code.
    ("X-App", "cli", Always),
    ("X-Claude-Code-Session-Id", "5b1f-1", Always),
    ("X-Claude-Code-Agent-Id", "5b1f-2", Always),
    ("X-Claude-Code-Parent-Agent-Id", "5b1f-3", Always),
    ("X-My-Custom-Header", "of ANTHROPIC_CUSTOM_HEADERS", OnOwn),
    // Codex.
    ("version", "0.99.0", Always),
    ("originator", "codex_cli_rs", Always),
    ("session_id", "0198-1", Always),
    ("conversation_id", "0198-2", Always),
    ("x-codex-turn-metadata", "{\"a\":1}", Always),
    ("ChatGPT-Account-ID", "acc-1", OnOwn),
    // OpenRouter's applications.
    ("HTTP-Referer", "https://app.example.com/?a=b", Always),
    ("X-Title", "An app", Always),
    ("X-OpenRouter-Title", "An app", Always),
    ("X-Session-Id", "s-1", Always),
    // Tracing.
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        Always,
    ),
    ("tracestate", "a=1,b=2", Always),
    ("X-Request-Id", "req-1", Always),
    ("baggage", "customer=acme", OnOwn),
    // Other accounts, prices and people.
    ("Cookie", "a=b; c=d", OnOwn),
    ("Ocp-Apim-Subscription-Key", "sub-1", OnOwn),
    ("X-Vertex-AI-LLM-Shared-Request-Type", "priority", OnOwn),
    ("Origin", "https://app.example.com", OnOwn),
    ("Referer", "https://app.example.com/chat", OnOwn),
    ("X-Forwarded-For", "192.0.2.1", OnOwn),
    ("Forwarded", "for=192.0.2.1", OnOwn),
    ("X-Anything", "at all", OnOwn),
    // Tollgate's own.
    ("Tollgate-Failover", "off", Never),
    ("Tollgate-Affinity", "s-1", Never),
    ("Tollgate-Anything", "x", Never),
    // Of one hop.
    ("Proxy-Authorization", "Basic c2VjcmV0", Never),
    ("TE", "trailers", Never),
    ("Trailer", "X-Sum", Never),
];

/// What HTTP/2 does not have.
const OF_HTTP1: &[(&str, &str, Arrives)] = &[
    ("Connection", "keep-alive, X-Hop, X-Stainless-Hop", Never),
    ("Keep-Alive", "timeout=5", Never),
    ("Proxy-Connection", "keep-alive", Never),
    ("Upgrade", "h2c", Never),
    ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA", Never),
    ("X-Hop", "named by Connection", Never),
    ("X-Stainless-Hop", "named by Connection", Never),
];

/// Who pays the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Gateway,
    Byok,
    Request,
    Keyless,
}

struct Lab {
    gateway: Gateway,
    authority: Authority,
    upstreams: [(&'static str, Upstream); 2],
    keyless: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let authority = Authority::new();
        let plain = upstream::h1().reply(ask::answer()).start().await;
        let h2 = upstream::h2_tls(&authority);
        let h2 = h2.reply(ask::answer()).start().await;
        let keyless = upstream::h1().reply(ask::answer()).start().await;
        let of = |id: &str| speaking_all(custom(id).model("m"));
        let gateway = gateway()
            .trust(&authority)
            .tls(&authority)
            .custom(of("plain"), &plain)
            .custom(of("h2"), &h2)
            .catalog(
                "keyless",
                json!({"provider": "keyless", "preset": "vllm", "base_url": format!("{}/v1", keyless.origin()), "health": {"type": "none"}}),
            )
            .key("byok", &["--account", "acme"])
            .prepaid("acme", "1000")
            .stored("acme", "plain", "own", &[])
            .stored("acme", "h2", "own", &[])
            .start()
            .await;
        Self {
            gateway,
            authority,
            upstreams: [("plain", plain), ("h2", h2)],
            keyless,
        }
    }

    /// The request as this payer sends it, and the name and value in which the provider gets its key.
    fn request(&self, provider: &str, mode: Mode) -> (Request, Option<String>) {
        let request = post(
            "/v1/chat/completions",
            ask::surface("chat").body(&format!("{provider}:m")),
        );
        let bearer = |key: &str| Some(format!("Bearer {key}"));
        match mode {
            Mode::Gateway => (
                request.bearer(self.gateway.key()),
                bearer(&upstream_key(provider, 0)),
            ),
            Mode::Byok => (
                request.header("X-Api-Key", self.gateway.key_named("byok")),
                bearer(&crate::support::gateway::stored_key(
                    "acme", provider, "own",
                )),
            ),
            // In every place there is, which are all taken out.
            Mode::Request => {
                let key = "sk-of-the-client";
                let request = request
                    .header("Tollgate-Key", self.gateway.key())
                    .header("X-Api-Key", key)
                    .header("Api-Key", key)
                    .header("X-Goog-Api-Key", key)
                    .bearer(key);
                (request, bearer(key))
            }
            Mode::Keyless => (request.bearer(self.gateway.key()), None),
        }
    }
}

fn sent(
    protocol: Protocol,
) -> impl Iterator<Item = &'static (&'static str, &'static str, Arrives)> {
    let of_http1 = matches!(protocol, Protocol::H1 | Protocol::H1Tls).then_some(OF_HTTP1);
    SENT.iter().chain(of_http1.into_iter().flatten())
}

/// Everything that should arrive, by its name in lower case.
fn expected(
    protocol: Protocol,
    mode: Mode,
    key: Option<&str>,
    length: usize,
) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    let mut add = |name: &str, value: &str| {
        let values = all.entry(name.to_ascii_lowercase()).or_default();
        values.push(value.to_owned());
    };
    for (name, value, arrives) in sent(protocol) {
        if *arrives == Always || (*arrives == OnOwn && mode != Mode::Gateway) {
            add(name, value);
        }
    }
    add("content-type", "application/json");
    add("content-length", &length.to_string());
    if let Some(key) = key {
        add("authorization", key);
    }
    all
}

fn arrived(delivery: &Delivery) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in delivery
        .fields
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
    {
        let values = all.entry(name.to_ascii_lowercase()).or_default();
        values.push(value.clone());
    }
    all
}

#[tokio::test]
async fn every_header_of_every_client_arrives_where_the_table_says_and_as_it_was_sent() {
    let lab = Lab::new().await;
    for protocol in [
        Protocol::H1,
        Protocol::H2c,
        Protocol::H1Tls,
        Protocol::H2Tls,
    ] {
        let address = match protocol {
            Protocol::H1 | Protocol::H2c => lab.gateway.address(),
            Protocol::H1Tls | Protocol::H2Tls => lab.gateway.tls_address(),
        };
        let mut client = Client::connect(protocol, address, &lab.authority).await;
        let [plain, h2] = &lab.upstreams;
        let keyless = ("keyless", &lab.keyless);
        for (mode, (id, upstream)) in [
            (Mode::Gateway, (plain.0, &plain.1)),
            (Mode::Gateway, (h2.0, &h2.1)),
            (Mode::Byok, (plain.0, &plain.1)),
            (Mode::Byok, (h2.0, &h2.1)),
            (Mode::Request, (plain.0, &plain.1)),
            (Mode::Request, (h2.0, &h2.1)),
            (Mode::Keyless, keyless),
        ] {
            let context = format!("{protocol:?}, {mode:?}, {id}");
            let (request, key) = lab.request(id, mode);
            let request = sent(protocol).fold(request, |request, (name, value, _)| {
                request.header(name, value)
            });
            let before = upstream.count();
            let response = client.send(&request).await;
            assert_eq!(response.status, 200, "{context}: {}", response.text());
            let source = match mode {
                Mode::Gateway => "gateway",
                Mode::Byok => "byok",
                Mode::Request => "request",
                Mode::Keyless => "none",
            };
            assert_eq!(
                response.header("tollgate-credential"),
                Some(source),
                "{context}"
            );
            let delivery = upstream.deliveries_since(before).remove(0);
            let length = ask::surface("chat").body("m").len();
            let expected = expected(protocol, mode, key.as_deref(), length);
            assert_eq!(arrived(&delivery), expected, "{context}");
        }
    }
}

#[tokio::test]
async fn what_the_catalog_sets_gives_way_to_what_a_client_may_send() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let provider = speaking_all(custom("one").model("m")).set(
        "headers",
        json!({"x-team": "house", "openai-beta": "house=v1", "x-title": "House"}),
    );
    let gateway = gateway().custom(provider, &upstream).start().await;
    let body = ask::surface("chat").body("one:m");
    let fields = [("X-Team", "mine"), ("OpenAI-Beta", "mine=v2")];
    for own in [false, true] {
        let request = post("/v1/chat/completions", body.clone()).headers(&fields);
        let request = if own {
            let request = request.header("tollgate-key", gateway.key());
            request.bearer("sk-of-the-client")
        } else {
            request.bearer(gateway.key())
        };
        let before = upstream.count();
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let headers = arrived(&upstream.deliveries_since(before)[0]);
        assert_eq!(headers["x-team"], [if own { "mine" } else { "house" }]);
        assert_eq!(headers["openai-beta"], ["mine=v2"]);
        assert_eq!(headers["x-title"], ["House"]);
    }
}

#[tokio::test]
async fn a_switch_that_lifts_a_limit_is_paid_for_or_not_sent() {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let price = json!({"input": "1", "output": "1"});
    let model =
        json!({"price": price, "context": 1_000_000, "max_input": 1_000, "max_output": 100});
    let provider = speaking_all(custom("one")).set("models", json!({"m": model}));
    let gateway = gateway().custom(provider, &upstream).start().await;
    let body = |text: usize| {
        let text = "x".repeat(text);
        format!(
            r#"{{"model":"one:m","max_tokens":9,"messages":[{{"role":"user","content":"{text}"}}]}}"#
        )
    };
    const SWITCH: &str = "prompt-caching-2024-07-31, context-1m-2025-08-07";
    let ask = |text, beta: &'static str| {
        let request = post("/v1/messages", body(text)).header("anthropic-version", "2023-06-01");
        if beta.is_empty() {
            request
        } else {
            request.header("anthropic-beta", beta)
        }
    };
    for (request, served) in [
        (ask(2_000, "").bearer(gateway.key()), true),
        (ask(10, SWITCH).bearer(gateway.key()), true),
        (ask(2_000, SWITCH).bearer(gateway.key()), false),
        (
            ask(2_000, SWITCH)
                .header("tollgate-key", gateway.key())
                .bearer("sk-of-the-client"),
            true,
        ),
    ] {
        let before = upstream.count();
        let response = gateway.send(&request).await;
        if served {
            assert_eq!(response.status, 200, "{}", response.text());
            assert_eq!(upstream.count(), before + 1);
            continue;
        }
        let words = ask::refused(
            &response,
            ask::Dialect::Anthropic,
            403,
            "not_on_gateway_credential",
        );
        assert!(words.contains("anthropic-beta"), "{words}");
        assert_eq!(upstream.count(), before);
    }
    let deliveries = upstream.deliveries();
    let sent: Vec<_> = deliveries
        .iter()
        .map(|one| one.header("anthropic-beta"))
        .collect();
    assert_eq!(sent, [None, Some(SWITCH), Some(SWITCH)]);
}
