//! Mistakes in requests, on every surface: each is answered in the caller's dialect with its code and with words that
//! help, goes to no upstream, and leaves the connection fit for the next request or announced as closing.
//! Keys and policies are in `access`; framing that is broken is another file's matter.

use bytes::Bytes;
use serde_json::json;

use crate::ask::{self, Dialect, SURFACES, Surface, refused, speaking_all};
use crate::support::bodies;
use crate::support::client::{self, Client, Protocol, Request, get};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Upstream};

/// The largest body that the gateway of these tests takes.
const BODY_MAX: usize = 1024;

/// A mistake on one surface.
struct Mistake {
    what: String,
    request: Request,
    status: u16,
    code: &'static str,
    /// What the message must say.
    says: Vec<String>,
}

/// A gateway with a provider that speaks all surfaces, one that has no key, one that nobody answers for, and two that
/// speak one surface each.
struct Lab {
    gateway: Gateway,
    upstream: Upstream,
    _silent: Upstream,
    authority: Authority,
}

impl Lab {
    async fn new() -> Self {
        let upstream = upstream::h1().reply(ask::answer()).start().await;
        let nobody = upstream::refusing();
        let only = |id: &str, surface: &str| {
            let path = ask::surface(surface).path.trim_start_matches("/v1");
            let mut surfaces = json!({"chat": null, "completions": null, "embeddings": null});
            surfaces[surface] = json!({"path": path});
            custom(id)
                .set("surfaces", surfaces)
                .model(&format!("only-{surface}"))
        };
        let keyless = json!({
            "provider": "keyless", "preset": "openai-compatible", "key_optional": false,
            "base_url": format!("{}/v1", upstream.origin()),
            "surfaces": {
                "responses": {"path": "/responses"}, "messages": {"path": "/messages"},
                "count_tokens": {"path": "/messages/count_tokens"},
            },
        });
        let gateway = gateway()
            .config("limits.body", "1KiB")
            .custom(speaking_all(custom("one").model("small-model")), &upstream)
            .custom(only("talker", "chat"), &upstream)
            .custom(only("embedder", "embeddings"), &upstream)
            .custom(speaking_all(custom("silent")), &nobody)
            .catalog("keyless", keyless)
            .start()
            .await;
        Self {
            gateway,
            upstream,
            _silent: nobody,
            authority: Authority::new(),
        }
    }

    /// Makes each mistake on each surface, on a connection of each protocol (of HTTP/2, one surface a dialect), and a good
    /// request after it on the same connection.
    async fn check(&self, mistakes: impl Fn(&Surface) -> Vec<Mistake>) {
        let two = [ask::surface("chat"), ask::surface("messages")];
        for (protocol, surfaces) in [(Protocol::H1, &SURFACES[..]), (Protocol::H2c, &two)] {
            let mut client = self.connect(protocol).await;
            for surface in surfaces {
                for mistake in mistakes(surface) {
                    client = self.make(client, protocol, surface, mistake).await;
                }
            }
        }
    }

    async fn connect(&self, protocol: Protocol) -> Client {
        Client::connect(protocol, self.gateway.address(), &self.authority).await
    }

    async fn make(
        &self,
        mut client: Client,
        protocol: Protocol,
        surface: &Surface,
        mistake: Mistake,
    ) -> Client {
        let context = format!("{} on {} over {protocol:?}", mistake.what, surface.name);
        eprintln!("{context}");
        let before = self.upstream.count();
        let request = mistake.request.bearer(self.gateway.key());
        let response = client.send(&request).await;
        let message = refused(&response, surface.dialect, mistake.status, mistake.code);
        for part in &mistake.says {
            assert!(
                message.contains(part.as_str()),
                "{context}: {part:?} in {message}"
            );
        }
        assert_eq!(self.upstream.count(), before, "{context}: it went upstream");
        if response.head.closes() {
            if let Client::H1(connection) = &mut client {
                connection.closed().await;
            }
            client = self.connect(protocol).await;
        }
        let good = surface.post("one:small-model").bearer(self.gateway.key());
        let response = client.send(&good).await;
        assert_eq!(response.status, 200, "after {context}: {}", response.text());
        assert_eq!(self.upstream.count(), before + 1, "after {context}");
        client
    }
}

/// A mistake in a body.
fn body(surface: &Surface, body: impl Into<Bytes>, says: &[&str]) -> Mistake {
    let body = body.into();
    Mistake {
        what: format!("{:?}", body.escape_ascii().to_string()),
        request: client::post(surface.path, body),
        status: 400,
        code: "invalid_request",
        says: says.iter().map(ToString::to_string).collect(),
    }
}

/// A mistake in a member of an otherwise good body.
fn member(surface: &Surface, members: &str, says: &[&str]) -> Mistake {
    body(surface, surface.body_with(members), says)
}

/// A good request with a mistake in one header.
fn header(surface: &Surface, name: &str, value: &str, says: &[&str]) -> Mistake {
    Mistake {
        what: format!("{name}: {value}"),
        request: surface.post("one:small-model").header(name, value),
        status: 400,
        code: "invalid_request",
        says: says.iter().map(ToString::to_string).collect(),
    }
}

impl Mistake {
    fn is(mut self, status: u16, code: &'static str) -> Self {
        (self.status, self.code) = (status, code);
        self
    }

    fn unannounced(mut self) -> Self {
        self.request = self.request.unannounced();
        self.what.push_str(", without a length");
        self
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_with_the_place() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let cut = surface.body("one:small-model");
        let cut = &cut[..cut.len() - 1];
        vec![
            body(surface, "", &["empty"]),
            body(surface, "", &["empty"]).unannounced(),
            body(surface, "hello", &["at byte 0"]),
            body(surface, r#"{"model":one:small-model}"#, &["at byte 9"]),
            body(surface, r#"{"model":"one:small-model",}"#, &["at byte 27"]),
            body(
                surface,
                r#" ["one:small-model"]"#,
                &["at byte 1", "JSON object"],
            ),
            body(
                surface,
                cut.to_owned(),
                &[&format!("at byte {}", cut.len()), "ends before"],
            ),
            body(surface, cut.to_owned(), &["ends before"]).unannounced(),
            body(
                surface,
                r#"{"model":"one:small-model"}}"#,
                &["at byte 27", "after the end"],
            ),
            body(surface, "model=one%3Asmall-model", &["at byte 0"]),
            body(
                surface,
                &b"{\"model\":\"one:small\nmodel\"}"[..],
                &["control character"],
            ),
            body(surface, &b"\xEF\xBB\xBF\xEF\xBB\xBF{}"[..], &["at byte 3"]),
            body(surface, &b"\xFE\xFF\0{\0}"[..], &["at byte 0"]),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_byte_order_mark_is_no_mistake_and_goes_upstream() {
    let lab = Lab::new().await;
    let sent = format!("\u{FEFF}{}", ask::surface("chat").body("one:small-model"));
    let response = lab.gateway.chat(sent.clone()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let expected = sent.replace("one:small-model", "small-model");
    assert_eq!(lab.upstream.delivery().bytes(), expected);
}

#[tokio::test]
async fn a_model_that_is_not_named_or_not_named_well_is_refused() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let long = format!("\"model\":\"one:{}\"", "x".repeat(300));
        vec![
            member(surface, r#""x":1"#, &["model"]),
            body(surface, "{}", &["model"]),
            member(
                surface,
                r#""nested":{"model":"one:small-model"}"#,
                &["model"],
            ),
            member(surface, r#""model":7"#, &["`model`", "string"]),
            member(surface, r#""model":null"#, &["`model`", "string"]),
            member(
                surface,
                r#""model":["one:small-model"]"#,
                &["`model`", "string"],
            ),
            member(surface, r#""model":"""#, &["`model`", "non-empty"]),
            member(
                surface,
                r#""models":"one:small-model""#,
                &["`models`", "array"],
            ),
            member(surface, r#""models":[]"#, &["model"]),
            member(surface, r#""models":["one:small-model",1]"#, &["`models`"]),
            member(
                surface,
                r#""models":["one:small-model",""]"#,
                &["empty name"],
            ),
            member(surface, &long, &["at most"]),
        ]
    })
    .await;
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_the_nearest_names() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let unknown = |name: &str, says: &[&str]| {
            let members = format!("\"model\":\"{name}\"");
            member(surface, &members, says).is(404, "model_not_found")
        };
        vec![
            unknown("smal-model", &["`smal-model`", "`small-model`"]),
            unknown("small-modle", &["`small-model`"]),
            unknown("onee:small-model", &["`one:small-model`"]),
            unknown(
                "no-such-model-anywhere-at-all",
                &["`no-such-model-anywhere-at-all`"],
            ),
            unknown("one:", &["`one:`"]),
            unknown(r#"a \"quoted\" name"#, &[r#"a "quoted" name"#]),
            unknown("Größe", &["`Größe`"]),
        ]
    })
    .await;
}

#[tokio::test]
async fn a_model_that_two_parsers_could_read_in_two_ways_is_refused() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let twofold = |members: &str, says: &[&str]| {
            member(surface, members, says).is(400, "ambiguous_model")
        };
        vec![
            twofold(
                r#""model":"one:small-model","model":"small-model""#,
                &["`model`", "twice"],
            ),
            twofold(
                r#""model":"one:small-model","model":"one:small-model""#,
                &["twice"],
            ),
            twofold(r#""mod\u0065l":"one:small-model""#, &["`model`", "escapes"]),
            twofold(
                r#""model":"small-model","\u006dodel":"one:small-model""#,
                &["`model`"],
            ),
            twofold(
                r#""Model":"small-model","model":"one:small-model""#,
                &["`model`", "letter case"],
            ),
            twofold(r#""MODEL":"small-model""#, &["`model`", "letter case"]),
            twofold(
                r#""models":["small-model"],"models":["one:small-model"]"#,
                &["`models`", "twice"],
            ),
            twofold(
                r#""model":"small-model","model\u0073":["one:small-model"]"#,
                &["`models`", "escapes"],
            ),
            twofold(
                r#""model":"small-model","Models":["one:small-model"]"#,
                &["`models`", "letter case"],
            ),
        ]
    })
    .await;
}

/// Members that are read for money, and two values each.
const WEIGHTY: [(&str, &str, &str); 7] = [
    ("max_tokens", "1", "100000"),
    ("max_completion_tokens", "1", "100000"),
    ("max_output_tokens", "1", "100000"),
    ("stream", "false", "true"),
    ("stream_options", "{}", r#"{"include_usage":true}"#),
    ("prompt_cache_key", "\"a\"", "\"b\""),
    ("session_id", "\"a\"", "\"b\""),
];

#[tokio::test]
async fn on_the_gateways_credential_what_is_charged_by_is_said_once() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        // The messages of this surface have a cap already: written once more, it is there twice.
        let twice = WEIGHTY.iter().map(|(name, first, second)| {
            let members =
                format!("\"{name}\":{first},\"model\":\"small-model\",\"{name}\":{second}");
            member(surface, &members, &[&format!("`{name}`"), "twice"])
        });
        let hidden = WEIGHTY.iter().map(|(name, first, _)| {
            let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
            let members = format!("\"model\":\"small-model\",\"{escaped}\":{first}");
            member(surface, &members, &[&format!("`{name}`")])
        });
        twice.chain(hidden).collect()
    })
    .await;
}

#[tokio::test]
async fn on_the_clients_own_credential_it_may_say_so_twice() {
    let lab = Lab::new().await;
    for (name, first, second) in WEIGHTY {
        let before = lab.upstream.count();
        let members = format!("\"{name}\":{first},\"model\":\"small-model\",\"{name}\":{second}");
        let sent = ask::surface("chat").body_with(&members);
        let request = client::post("/v1/chat/completions", sent.clone())
            .header("tollgate-key", lab.gateway.key())
            .bearer("sk-of-the-client");
        let response = lab.gateway.send(&request).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert_eq!(
            lab.upstream.deliveries_since(before)[0].bytes(),
            sent,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_or_encoded_is_refused() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let large = |bytes| {
            let text = bodies::sized("one:small-model", bodies::Position::First, bytes);
            let mut mistake = body(surface, text, &["1024 bytes"]).is(413, "body_too_large");
            mistake.what = format!("a body of {bytes} bytes");
            mistake
        };
        let coded = |coding: &str| {
            header(surface, "content-encoding", coding, &["Content-Encoding"])
                .is(415, "unsupported_encoding")
        };
        // Plain text that is said to be compressed.
        let plain = |coding: &str| {
            header(surface, "content-encoding", coding, &["Content-Encoding"])
                .is(400, "invalid_request")
        };
        vec![
            large(BODY_MAX + 1),
            large(BODY_MAX + 1).unannounced(),
            large(100 * BODY_MAX),
            large(100 * BODY_MAX).unannounced(),
            plain("gzip"),
            plain("br"),
            coded("compress"),
            coded("identity, gzip"),
        ]
    })
    .await;
    let largest = bodies::sized("one:small-model", bodies::Position::First, BODY_MAX);
    let request = lab.gateway.post("/v1/chat/completions", largest.clone());
    assert_eq!(lab.gateway.send(&request).await.status, 200);
    assert_eq!(lab.gateway.send(&request.unannounced()).await.status, 200);
    let plain = lab.gateway.post("/v1/chat/completions", largest);
    assert_eq!(
        lab.gateway
            .send(&plain.header("content-encoding", "identity"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_provider_without_a_key_or_without_the_surface_is_said() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let no_key = member(
            surface,
            r#""model":"keyless:anything""#,
            &["`keyless`", "[providers.keyless]"],
        );
        let (mute, model) = match surface.name {
            "chat" => ("embedder", "only-embeddings"),
            _ => ("talker", "only-chat"),
        };
        let at_one = |name: &str| {
            let members = format!("\"model\":\"{name}\"");
            let says = [mute, "one", &format!("`{}`", surface.name)];
            member(surface, &members, &says).is(400, "surface_not_supported")
        };
        vec![
            no_key.is(503, "no_credential"),
            at_one(&format!("{mute}:{model}")),
            at_one(&format!("{mute}:anything")),
            at_one(model),
        ]
    })
    .await;
}

#[tokio::test]
async fn what_no_upstream_answered_is_said_with_the_attempts() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let alone = member(surface, r#""model":"silent:m""#, &["silent:m"]);
        let several = member(
            surface,
            r#""models":["silent:m","silent:n"]"#,
            &["silent:m", "silent:n"],
        );
        vec![
            alone.is(502, "all_candidates_failed"),
            several.is(502, "all_candidates_failed"),
        ]
    })
    .await;
}

#[tokio::test]
async fn malformed_headers_that_routing_depends_on_are_refused() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let at_two = format!("/talker{}", surface.path);
        let mut apart = header(
            surface,
            "tollgate-provider",
            "one",
            &["Tollgate-Provider", "path"],
        );
        apart.request =
            client::post(&at_two, surface.body("small-model")).header("tollgate-provider", "one");
        let mut twice = header(surface, "tollgate-provider", "one", &["Tollgate-Provider"]);
        twice.request = twice.request.header("tollgate-provider", "talker");
        let mut both = header(surface, "tollgate-failover", "on", &["Tollgate-Failover"]);
        both.request = both.request.header("tollgate-failover", "off");
        vec![
            header(
                surface,
                "tollgate-failover",
                "maybe",
                &["Tollgate-Failover", "on, safe or off"],
            ),
            header(surface, "tollgate-failover", "", &["Tollgate-Failover"]),
            header(
                surface,
                "tollgate-failover",
                "on, off",
                &["Tollgate-Failover"],
            ),
            header(
                surface,
                "tollgate-provider",
                "nobody",
                &["Tollgate-Provider"],
            ),
            header(surface, "tollgate-provider", "", &["Tollgate-Provider"]),
            header(
                surface,
                "tollgate-provider",
                "one, talker",
                &["Tollgate-Provider"],
            ),
            apart,
            twice,
            both,
        ]
    })
    .await;
}

#[tokio::test]
async fn a_header_that_cannot_be_one_of_the_hop_is_refused() {
    let lab = Lab::new().await;
    let mut client = lab.connect(Protocol::H1).await;
    let surface = ask::surface("messages");
    for value in ["host", "\"quoted\"", "x-forwarded-for", "a b"] {
        let mistake = header(&surface, "connection", value, &["Connection"]);
        client = lab.make(client, Protocol::H1, &surface, mistake).await;
    }
}

#[tokio::test]
async fn headers_of_ours_that_mean_nothing_are_ignored_and_counted() {
    let lab = Lab::new().await;
    let request = ask::surface("chat")
        .post("one:small-model")
        .bearer(lab.gateway.key())
        .header("tollgate-nonsense", "\t\"")
        .header("tollgate-request-id", "mine");
    let response = lab.gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_ne!(response.header("tollgate-request-id"), Some("mine"));
    let counted = lab.gateway.metrics().await;
    let ignored = counted.sum("tollgate_ignored_headers_total", &[]);
    assert!((ignored - 2.0).abs() < f64::EPSILON, "{ignored}");
}

#[tokio::test]
async fn the_wrong_method_is_told_the_right_one() {
    let lab = Lab::new().await;
    lab.check(|surface| {
        let with = |method: &str, body| Mistake {
            what: method.to_owned(),
            request: Request::new(method, surface.path, body),
            status: 405,
            code: "method_not_allowed",
            says: vec!["POST".to_owned()],
        };
        let text = || Some(Bytes::from(surface.body("one:small-model")));
        vec![
            with("GET", None),
            with("DELETE", None),
            with("PUT", text()),
            with("PATCH", text()),
        ]
    })
    .await;
    for (path, right) in [
        ("/v1/chat/completions", "POST"),
        ("/v1/messages", "POST"),
        ("/v1/models", "GET, HEAD"),
    ] {
        let request = Request::new("DELETE", path, None).bearer(lab.gateway.key());
        let response = lab.gateway.send(&request).await;
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some(right)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_path_is_told_the_nearest() {
    let lab = Lab::new().await;
    let mut client = client::h1(lab.gateway.address()).await;
    for (path, nearest) in [
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v2/chat/completions", "/v1/chat/completions"),
        ("/v1/chat", "/v1/chat/completions"),
        ("/v1/completion", "/v1/completions"),
        ("/api/embeddings", "/v1/embeddings"),
        ("/v1/embedding", "/v1/embeddings"),
        ("/v1/response", "/v1/responses"),
        ("/nobody/v1/messages", "/v1/messages"),
        ("/v1/message", "/v1/messages"),
        ("/v1/messages/count-tokens", "/v1/messages/count_tokens"),
        ("/v1/model", "/v1/models"),
    ] {
        for (dialect, version) in [
            (Dialect::OpenAi, None),
            (Dialect::Anthropic, Some("2023-06-01")),
        ] {
            for method in ["GET", "POST"] {
                let body = (method == "POST")
                    .then(|| Bytes::from_static(b"{\"model\":\"one:small-model\"}"));
                let mut request = Request::new(method, path, body).bearer(lab.gateway.key());
                if let Some(version) = version {
                    request = request.header("anthropic-version", version);
                }
                let response = client.send(&request).await;
                let message = refused(&response, dialect, 404, "unknown_path");
                assert!(
                    message.contains(&format!("{nearest}.")),
                    "{path}: {message}"
                );
                assert!(!response.head.closes(), "{path}");
            }
        }
    }
    assert_eq!(lab.upstream.count(), 0);
    assert_eq!(client.send(&get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn every_refusal_has_an_id_of_its_own_that_the_log_has_too() {
    let lab = Lab::new().await;
    let mut ids = Vec::new();
    for request in [
        get("/nowhere"),
        ask::surface("messages").post("one:small-model"),
        ask::surface("messages")
            .post("nothing-of-the-kind")
            .bearer(lab.gateway.key()),
        ask::surface("chat")
            .post("one:small-model")
            .bearer(lab.gateway.key()),
    ] {
        let response = lab
            .gateway
            .send(&request.header("x-client-request-id", "mine"))
            .await;
        ids.push(
            response
                .header("tollgate-request-id")
                .unwrap_or_default()
                .to_owned(),
        );
    }
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    let lines = lab.gateway.access_lines(4).await;
    for (id, code) in ids
        .iter()
        .zip(["unknown_path", "invalid_access_key", "model_not_found", ""])
    {
        let line = lines.iter().find(|line| line["request_id"] == **id);
        let line = line.unwrap_or_else(|| panic!("no line for {id}: {lines:?}"));
        assert_eq!(line["code"].as_str().unwrap_or_default(), code);
        assert_eq!(line["client_request_id"], "mine");
    }
}
