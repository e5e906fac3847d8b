//! `GET /v1/realtime?model=…`, and WebSockets of one provider: tunnels whose frames pass as they are.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;

use crate::ask::{self, Dialect, refused};
use crate::support::client::{Request, get, post};
use crate::support::gateway::{Builder, Gateway, gateway, stored_key, upstream_key};
use crate::support::http1::{Body, Reader, field};
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Upstream, behave};
use crate::support::wait;
use crate::support::websocket::{self as ws, CloseCode, DONE, Fake, Message, Raw, say};

/// A provider at `base_url`, whose model `m` is also called `talker`.
fn provider(it: Builder, id: &str, rank: u32, base_url: &str, more: Value) -> Builder {
    let mut file = json!({
        "provider": id, "preset": "openai-compatible", "base_url": base_url, "rank": rank,
        "surfaces": {"realtime": {"path": "/realtime"}, "responses": {"path": "/responses"}},
        "models": {"m": {"aliases": ["talker"], "price": {"input": "1", "output": "2"}}},
    });
    for (member, value) in more.as_object().expect("members") {
        file[member] = value.clone();
    }
    it.catalog(id, file)
}

/// One provider and a stored key for it.
async fn lab(more: impl FnOnce(Builder) -> Builder) -> (Gateway, Fake) {
    let fake = Fake::start().await;
    let builder = provider(gateway(), "one", 2000, &fake.base_url(), json!({}));
    let builder = builder.stored("default", "one", "main", &[]);
    (more(builder).start().await, fake)
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// What the caller is told of its request, once it is written down.
async fn told(gateway: &Gateway, id: &str) -> Value {
    let request = gateway.get(&format!("/tollgate/v1/requests/{id}"));
    let found = async {
        loop {
            let response = gateway.send(&request).await;
            if response.status == 200 {
                return response.json();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    wait::within("the request written down", found).await
}

fn answer(opened: Result<(ws::Client, http::Response<()>), Error>) -> http::Response<String> {
    match opened {
        Err(Error::Http(response)) => {
            let (parts, body) = response.into_parts();
            let body = String::from_utf8(body.unwrap_or_default()).expect("text");
            http::Response::from_parts(parts, body)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn a_conversation_that_costs_nothing_has_no_row_where_only_what_is_charged_has_one() {
    let (gateway, _fake) = lab(|it| it.config("credit.rows", "charged")).await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    let opened = ws::open(gateway.address(), "/v1/realtime?model=one:m", &fields).await;
    let (mut client, _) = opened.expect("opened");
    assert_eq!(say(&mut client, "done").await, DONE);
    client.close(None).await.expect("closed");
    while let Some(Ok(_)) = ws::next(&mut client).await {}

    let line = &gateway.access_lines(1).await[0];
    let told = ["status", "credential", "usage", "cost_nano"].map(|it| line[it].clone());
    let expected = [json!(101), json!("byok"), json!("reported"), Value::Null];
    assert_eq!(told, expected, "{line}");
    // Counted before the line is written.
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_usage_rows_total", &[]), 0.0);
}

#[tokio::test]
async fn a_conversation_passes_as_it_is_and_is_written_down() {
    let (gateway, fake) = lab(|it| it).await;
    let key = bearer(gateway.key());
    let fields = [
        ("authorization", key.as_str()),
        ("openai-beta", "realtime=v1"),
        ("openai-organization", "org-mine"),
        ("user-agent", "a test"),
        (
            "sec-websocket-protocol",
            "realtime, openai-beta.realtime-v1",
        ),
        (
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        ),
    ];
    let target = "/v1/realtime?a=%20+1&model=one%3Am&b";
    let (mut client, opened) = ws::open(gateway.address(), target, &fields)
        .await
        .expect("opened");
    let header = |name: &str| {
        opened
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    assert_eq!(header("sec-websocket-protocol"), Some("realtime"));
    assert_eq!(header("tollgate-model"), Some("one:m"));
    assert_eq!(header("tollgate-credential"), Some("byok"));
    assert_eq!(header("tollgate-edits"), Some("E1"));
    let id = header("tollgate-request-id").expect("an id").to_owned();

    let arrived = fake.last();
    assert_eq!(arrived.target, "/v1/realtime?a=%20+1&model=m&b");
    let stored = bearer(&stored_key("default", "one", "main"));
    assert_eq!(arrived.header("authorization"), Some(stored.as_str()));
    for (name, value) in &fields[1..] {
        assert_eq!(arrived.header(name), Some(*value), "{name}");
    }
    assert_eq!(arrived.header("content-length"), None);
    let in_flight = |it: &crate::support::gateway::Metrics| it.sum("tollgate_streams_open", &[]);
    gateway
        .metrics_until("an open stream", |it| in_flight(it) == 1.0)
        .await;

    for text in ["hello", "", "{\"type\":\"session.update\"}"] {
        assert_eq!(say(&mut client, text).await, text);
    }
    let sound = Message::binary(vec![7; 300_000]);
    client.send(sound.clone()).await.expect("sent");
    assert_eq!(
        ws::next(&mut client).await.expect("one").expect("good"),
        sound
    );
    for _ in 0..2 {
        assert_eq!(say(&mut client, "done").await, DONE);
    }
    client.close(None).await.expect("closed");
    while let Some(Ok(_)) = ws::next(&mut client).await {}

    let line = &gateway.access_lines(1).await[0];
    for (member, expected) in [
        ("status", json!(101)),
        ("surface", json!("realtime")),
        ("path", json!("/v1/realtime")),
        ("model", json!("one:m")),
        ("upstream_model", json!("m")),
        ("credential", json!("byok")),
        ("stream", json!(true)),
        ("code", Value::Null),
    ] {
        assert_eq!(line[member], expected, "{member}: {line}");
    }
    for member in ["bytes_in", "bytes_out"] {
        assert!(line[member].as_u64() > Some(300_000), "{member}: {line}");
    }
    let row = &told(&gateway, &id).await["attempts"][0];
    for (member, expected) in [
        ("surface", json!("realtime")),
        ("outcome", json!("ok")),
        ("status", json!(101)),
        ("upstream_id", json!("theirs-1")),
        ("estimated", Value::Null),
    ] {
        assert_eq!(row[member], expected, "{member}: {row}");
    }
    assert_eq!(
        (&row["tokens"]["input"], &row["tokens"]["output"]),
        (&json!(20), &json!(40))
    );
    let labels = [("surface", "realtime"), ("provider", "one")];
    let all = gateway.metrics().await;
    assert_eq!(all.sum("tollgate_request_seconds_count", &labels), 1.0);
    assert_eq!(in_flight(&all), 0.0);
    let written = gateway.everything_written();
    assert!(!written.contains(gateway.key()) && !written.contains("stored-secret"));
}

#[tokio::test]
async fn the_access_key_may_be_in_a_subprotocol_and_every_name_of_a_model_works() {
    let (gateway, fake) = lab(|it| it.virtual_model("voice", &["one:m"])).await;
    let offered = format!(
        "realtime, openai-insecure-api-key.{}, openai-project.p, openai-beta.realtime-v1",
        gateway.key()
    );
    for (target, arrives, edits) in [
        (
            "/v1/realtime?model=one:m",
            "/v1/realtime?model=m",
            Some("E1"),
        ),
        ("/realtime?model=m", "/v1/realtime?model=m", None),
        (
            "/v1/realtime/?model=talker",
            "/v1/realtime?model=m",
            Some("E1"),
        ),
        (
            "/v1/realtime?model=voice&x=1",
            "/v1/realtime?model=m&x=1",
            Some("E1"),
        ),
        ("/one/v1/realtime?model=m", "/v1/realtime?model=m", None),
        (
            "/one/realtime?model=any/thing:1",
            "/v1/realtime?model=any/thing:1",
            None,
        ),
        // Left to the provider, which is named.
        ("/one/v1/realtime?call_id=c", "/v1/realtime?call_id=c", None),
    ] {
        let fields = [("sec-websocket-protocol", offered.as_str())];
        let opened = ws::open(gateway.address(), target, &fields).await;
        let (mut client, opened) = opened.unwrap_or_else(|error| panic!("{target}: {error:?}"));
        assert_eq!(say(&mut client, "x").await, "x");
        let edited = opened.headers().get("tollgate-edits");
        assert_eq!(
            edited.and_then(|value| value.to_str().ok()),
            edits,
            "{target}"
        );
        let arrived = fake.last();
        assert_eq!(arrived.target, arrives);
        let rest = "realtime, openai-project.p, openai-beta.realtime-v1";
        assert_eq!(arrived.header("sec-websocket-protocol"), Some(rest));
        let stored = bearer(&stored_key("default", "one", "main"));
        assert_eq!(arrived.header("authorization"), Some(stored.as_str()));
    }
    let key = bearer(gateway.key());
    let fields = [
        ("authorization", key.as_str()),
        ("tollgate-provider", "one"),
    ];
    let pinned = ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await;
    assert!(pinned.is_ok());
    assert_eq!(fake.last().header("tollgate-provider"), None);
}

#[tokio::test]
async fn a_key_of_the_clients_own_goes_on_in_the_form_in_which_it_came() {
    let fake = Fake::start().await;
    let gateway = provider(gateway(), "one", 2000, &fake.base_url(), json!({}));
    let gateway = gateway.start().await;
    let target = "/v1/realtime?model=one:m";
    let offered = "realtime, openai-insecure-api-key.sk-own, openai-organization.o";
    let fields = [
        ("tollgate-key", gateway.key()),
        ("sec-websocket-protocol", offered),
    ];
    let opened = ws::open(gateway.address(), target, &fields).await;
    let (_client, opened) = opened.expect("opened");
    assert_eq!(opened.headers()["tollgate-credential"], "request");
    let arrived = fake.last();
    assert_eq!(arrived.header("sec-websocket-protocol"), Some(offered));
    assert_eq!(arrived.header("authorization"), None);
    assert_eq!(arrived.header("tollgate-key"), None);

    let fields = [
        ("tollgate-key", gateway.key()),
        ("authorization", "Bearer sk-own"),
    ];
    assert!(ws::open(gateway.address(), target, &fields).await.is_ok());
    assert_eq!(fake.last().header("authorization"), Some("Bearer sk-own"));
}

#[tokio::test]
async fn a_provider_that_wants_no_key_gets_none() {
    let fake = Fake::start().await;
    let keyless = json!({"key_optional": true});
    let gateway = provider(gateway(), "one", 2000, &fake.base_url(), keyless);
    let gateway = gateway.config("credit.charge", false).start().await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    let opened = ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await;
    let (mut client, opened) = opened.expect("opened");
    assert_eq!(opened.headers()["tollgate-credential"], "none");
    assert_eq!(fake.last().header("authorization"), None);
    assert_eq!(say(&mut client, "x").await, "x");
}

#[tokio::test]
async fn without_prices_of_sound_the_gateways_key_is_not_used_unless_nothing_is_charged() {
    for charge in [true, false] {
        let fake = Fake::start().await;
        let gateway = provider(gateway(), "one", 2000, &fake.base_url(), json!({}));
        let gateway = gateway
            .credentials("one", 1)
            .config("credit.charge", charge);
        let gateway = gateway.start().await;
        let key = bearer(gateway.key());
        let offered = "realtime, openai-organization.theirs";
        let fields = [
            ("authorization", key.as_str()),
            ("sec-websocket-protocol", offered),
        ];
        let opened = ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await;
        if charge {
            let refused = answer(opened);
            assert_eq!(refused.status(), 403);
            let body = refused.body();
            assert!(body.contains("model_not_priced"), "{body}");
            assert!(body.contains("key of your own"), "{body}");
            assert!(fake.seen().is_empty());
        } else {
            assert!(opened.is_ok());
            let arrived = fake.last();
            let operators = bearer(&upstream_key("one", 0));
            assert_eq!(arrived.header("authorization"), Some(operators.as_str()));
            assert_eq!(arrived.header("sec-websocket-protocol"), Some("realtime"));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_why() {
    let (gateway, fake) = lab(|it| {
        it.key("narrow", &["--deny-model", "m"])
            .provider("groq", &upstream_of_nobody())
    })
    .await;
    let handshake = |target: &str, key: &str| {
        let request = get(target)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if key.is_empty() {
            request
        } else {
            request.bearer(key)
        }
    };
    let key = gateway.key();
    for (target, key, status, code, says) in [
        ("/v1/realtime?model=m", "", 401, "invalid_access_key", "key"),
        ("/v1/realtime", key, 400, "invalid_request", "?model="),
        (
            "/v1/realtime?model=",
            key,
            400,
            "invalid_request",
            "`model` in the query",
        ),
        (
            "/v1/realtime?model=m&model=m",
            key,
            400,
            "ambiguous_model",
            "once",
        ),
        (
            "/v1/realtime?m%6fdel=m",
            key,
            400,
            "ambiguous_model",
            "once",
        ),
        (
            "/v1/realtime?model=nothing-like-it",
            key,
            404,
            "model_not_found",
            "nothing-like-it",
        ),
        (
            "/v1/realtime?model=groq:x",
            key,
            400,
            "surface_not_supported",
            "`realtime`",
        ),
        (
            "/v1/realtime?model=m",
            gateway.key_named("narrow"),
            403,
            "model_not_allowed",
            "one:m",
        ),
        (
            "/v1/realtime?model=openai:gpt-realtime",
            key,
            503,
            "no_credential",
            "openai",
        ),
    ] {
        let response = gateway.send(&handshake(target, key)).await;
        let message = refused(&response, Dialect::OpenAi, status, code);
        assert!(message.contains(says), "{target}: {message}");
    }
    let plain = gateway.send(&gateway.get("/v1/realtime?model=m")).await;
    refused(&plain, Dialect::OpenAi, 426, "upgrade_required");
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    let posted = post("/v1/realtime?model=m", "{}").bearer(key);
    let posted = gateway.send(&posted).await;
    refused(&posted, Dialect::OpenAi, 405, "method_not_allowed");
    assert_eq!(posted.header("allow"), Some("GET"));
    assert!(fake.seen().is_empty());
}

/// Takes a provider's place that is asked for nothing.
fn upstream_of_nobody() -> Upstream {
    upstream::refusing()
}

#[tokio::test]
async fn until_it_is_open_the_next_key_and_the_next_candidate_are_tried() {
    let busy = upstream::h1().reply(ask::busy()).start().await;
    let nobody = upstream::refusing();
    let fake = Fake::start().await;
    let url = |upstream: &Upstream| format!("{}/v1", upstream.origin());
    let mut setup = gateway();
    for (nth, (id, base_url)) in [
        ("gone", url(&nobody)),
        ("busy", url(&busy)),
        ("good", fake.base_url()),
    ]
    .iter()
    .enumerate()
    {
        setup = provider(setup, id, 2000 + nth as u32, base_url, json!({}));
        setup = setup.stored("default", id, "main", &[]);
    }
    let gateway = setup
        .virtual_model("voice", &["gone:m", "busy:m", "good:m"])
        .virtual_model("no-voice", &["gone:m", "busy:m"])
        .start()
        .await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    let opened = ws::open(gateway.address(), "/v1/realtime?model=voice", &fields).await;
    let (mut client, opened) = opened.expect("opened");
    assert_eq!(opened.headers()["tollgate-model"], "good:m");
    let attempts = opened.headers()["tollgate-attempts"]
        .to_str()
        .expect("text");
    assert!(
        attempts.contains("busy:m") && attempts.contains("gone:m"),
        "{attempts}"
    );
    assert_eq!(say(&mut client, "x").await, "x");
    let asked = busy.delivery();
    assert_eq!(asked.header("upgrade"), Some("websocket"));
    assert_eq!(asked.target, "/v1/realtime?model=m");

    // The last answer is passed on as it came.
    let refused = answer(ws::open(gateway.address(), "/v1/realtime?model=no-voice", &fields).await);
    assert_eq!(refused.status(), 503);
    assert!(refused.body().contains("overloaded"), "{}", refused.body());
}

#[tokio::test]
async fn a_refusal_of_the_provider_passes_without_the_credential_that_it_repeats() {
    let stored = stored_key("default", "one", "main");
    let body = format!(r#"{{"error":{{"message":"Incorrect API key: {stored}","code":"x"}}}}"#);
    let reply = upstream::Reply::json(401, body);
    let upstream = upstream::h1().reply(reply).start().await;
    let base_url = format!("{}/v1", upstream.origin());
    let gateway = provider(gateway(), "one", 2000, &base_url, json!({}));
    let gateway = gateway.stored("default", "one", "main", &[]).start().await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    let refused = answer(ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await);
    assert_eq!(refused.status(), 401);
    assert!(
        refused.body().contains("Incorrect API key: ****"),
        "{}",
        refused.body()
    );
    assert!(!refused.body().contains(&stored));
}

#[tokio::test]
async fn over_tls_it_is_asked_for_by_http_1_whatever_else_the_provider_speaks() {
    let authority = Authority::new();
    let fake = Fake::start_tls(&authority).await;
    let gateway = provider(gateway(), "one", 2000, &fake.base_url(), json!({}));
    let gateway = gateway
        .stored("default", "one", "main", &[])
        .trust(&authority);
    let gateway = gateway.start().await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    for _ in 0..2 {
        let opened = ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await;
        let (mut client, _) = opened.expect("opened");
        assert_eq!(say(&mut client, "x").await, "x");
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_from_the_first_on_even_where_the_101_comes_before_the_request() {
    for eager in [false, true] {
        // Glued to the header; and no frame at all, which is nobody's business here.
        let first = b"\x81\x05hello what is this";
        let raw = Raw::start([ws::OPENED.as_bytes(), first].concat(), eager).await;
        let gateway = provider(gateway(), "one", 2000, &raw.base_url(), json!({}));
        let gateway = gateway.stored("default", "one", "main", &[]).start().await;
        let stream = TcpStream::connect(gateway.address())
            .await
            .expect("connected");
        let (read, mut write) = stream.into_split();
        let mut reader = Reader::new(read);
        let head = format!(
            "GET /v1/realtime?model=m HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Authorization: Bearer {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.key()
        );
        write.write_all(head.as_bytes()).await.expect("sent");
        let opened = wait::within("a head", reader.head()).await;
        let opened = opened.expect("read").expect("a head");
        assert_eq!(opened.word(1), Some("101"), "{opened:?}");
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ] {
            assert_eq!(field(&opened.fields, name), Some(value));
        }
        let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 31 % 251) as u8).collect();
        let expected = [first.as_slice(), &sent].concat();
        let sending = tokio::spawn(async move {
            write.write_all(&sent).await.expect("sent");
            write
        });
        let (mut body, mut got) = (Body::UntilClose, Vec::new());
        while got.len() < expected.len() {
            let piece = wait::within("bytes", reader.piece(&mut body, u64::MAX)).await;
            got.extend(piece.expect("read").expect("no end"));
        }
        assert_eq!(sha::hex(&got), sha::hex(&expected), "eager: {eager}");
        drop((sending.await.expect("sent"), reader));
        let line = &gateway.access_lines(1).await[0];
        assert_eq!(line["bytes_in"], 3_000_000);
        assert_eq!(line["bytes_out"], expected.len());
        // The tap has read what it could.
        assert_eq!(line["usage"], "unreadable", "{line}");
    }
}

#[tokio::test]
async fn it_ends_when_either_side_does() {
    let (gateway, _fake) = lab(|it| it).await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    let open = async || {
        let opened = ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await;
        opened.expect("opened").0
    };
    // The provider's close frame arrives as it is.
    let mut client = open().await;
    client.send(Message::text("close")).await.expect("sent");
    let closed = ws::next(&mut client).await.expect("a frame").expect("good");
    let Message::Close(Some(frame)) = closed else {
        panic!("{closed:?}")
    };
    assert_eq!(
        (frame.code, &*frame.reason),
        (CloseCode::from(4001), "as you wish")
    );
    while let Some(Ok(_)) = ws::next(&mut client).await {}
    // So does the end of its connection, without one.
    let mut client = open().await;
    client.send(Message::text("drop")).await.expect("sent");
    assert!(!matches!(ws::next(&mut client).await, Some(Ok(_))));
    // A client that is gone, and one that has only stopped sending.
    drop(open().await);
    let mut half = open().await;
    assert_eq!(say(&mut half, "x").await, "x");
    let stream = half.get_mut();
    stream.shutdown().await.expect("half closed");
    assert!(!matches!(ws::next(&mut half).await, Some(Ok(_))));
    for line in gateway.access_lines(4).await {
        assert_eq!(line["status"], 101, "{line}");
        assert_eq!(line["usage"], "reported", "{line}");
    }
    gateway
        .metrics_until("no request under way", |it| {
            it.sum("tollgate_in_flight", &[]) == 0.0
        })
        .await;
}

#[tokio::test]
async fn a_stop_waits_for_it_and_cuts_it_at_the_end_of_its_time() {
    let (gateway, _fake) = lab(|it| it.config("server.drain", "1500ms")).await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    let opened = ws::open(gateway.address(), "/v1/realtime?model=m", &fields).await;
    let (mut client, _) = opened.expect("opened");
    gateway.signal("TERM");
    gateway
        .log_until("the end announced", |line| line.contains("stopping"))
        .await;
    assert_eq!(say(&mut client, "still here").await, "still here");
    assert!(!matches!(ws::next(&mut client).await, Some(Ok(_))));
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn a_websocket_of_one_provider_passes_on_a_key_of_ones_own() {
    let (gateway, fake) = lab(|it| it.key("ruled", &["--allow-model", "m"])).await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    for (target, arrives) in [
        ("/one/v1/responses", "/v1/responses"),
        (
            "/one/v1/realtime/translations?model=t%20",
            "/v1/realtime/translations?model=t%20",
        ),
    ] {
        let opened = ws::open(gateway.address(), target, &fields).await;
        let (mut client, opened) = opened.expect("opened");
        assert_eq!(opened.headers()["tollgate-model"], "one");
        assert_eq!(
            say(&mut client, "{\"model\":\"one:m\"}").await,
            "{\"model\":\"one:m\"}"
        );
        let arrived = fake.last();
        assert_eq!(arrived.target, arrives);
        let stored = bearer(&stored_key("default", "one", "main"));
        assert_eq!(arrived.header("authorization"), Some(stored.as_str()));
    }
    // A key with rules about models cannot have them held against what stands in frames.
    let ruled = bearer(gateway.key_named("ruled"));
    let fields = [("authorization", ruled.as_str())];
    let refused = answer(ws::open(gateway.address(), "/one/v1/responses", &fields).await);
    assert_eq!(refused.status(), 403);
    assert!(
        refused.body().contains("model_not_allowed"),
        "{}",
        refused.body()
    );
}

#[tokio::test]
async fn on_the_gateways_key_a_websocket_of_responses_is_sent_back_to_http() {
    let fake = Fake::start().await;
    let gateway = provider(gateway(), "one", 2000, &fake.base_url(), json!({}));
    let gateway = gateway.credentials("one", 1).start().await;
    let key = bearer(gateway.key());
    let fields = [("authorization", key.as_str())];
    for (target, status, code) in [
        ("/one/v1/responses", 426, "websocket_not_supported"),
        ("/one/v1/else", 403, "not_on_gateway_credential"),
    ] {
        let refused = answer(ws::open(gateway.address(), target, &fields).await);
        assert_eq!(refused.status(), status);
        assert!(refused.body().contains(code), "{}", refused.body());
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn an_explanation_says_where_it_would_go() {
    let (gateway, _fake) = lab(|it| it).await;
    let target = "/tollgate/v1/explain?surface=realtime&model=talker";
    let request = Request::new("POST", target, Some("{}".into())).bearer(gateway.key());
    let response = gateway.send(&request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("\"one\""), "{}", response.text());
}

#[tokio::test]
async fn a_handshake_that_was_delivered_and_not_answered_goes_on_unless_it_must_not() {
    let silent = upstream::h1().start().await;
    silent.otherwise(behave().read().close());
    let fake = Fake::start().await;
    let first = format!("{}/v1", silent.origin());
    let setup = provider(gateway(), "silent", 2000, &first, json!({}));
    let setup = provider(setup, "good", 2001, &fake.base_url(), json!({}));
    let gateway = setup
        .stored("default", "silent", "main", &[])
        .stored("default", "good", "main", &[])
        .virtual_model("voice", &["silent:m", "good:m"])
        .start()
        .await;
    let key = bearer(gateway.key());
    let target = "/v1/realtime?model=voice";
    let fields = [("authorization", key.as_str())];
    let opened = ws::open(gateway.address(), target, &fields).await;
    let (mut client, opened) = opened.expect("opened");
    assert_eq!(opened.headers()["tollgate-model"], "good:m");
    assert_eq!(say(&mut client, "x").await, "x");

    let fields = [fields[0], ("tollgate-failover", "safe")];
    let refused = answer(ws::open(gateway.address(), target, &fields).await);
    assert_eq!(refused.status(), 502);
    assert!(
        refused.body().contains("all_candidates_failed"),
        "{}",
        refused.body()
    );
    assert_eq!(silent.count(), 2);
    assert_eq!(fake.seen().len(), 1);
}
