//! Errors whose body says that the account behind the key has no credit, or that the key is not accepted: the key's
//! fault, whatever their status. An error that does not say so is the answer, and goes on as it came.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, good};
use crate::support::client::{self, Client, Ending, Protocol, Response};
use crate::support::gateway::{Builder, Metrics, custom, gateway, upstream_key};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream, Upto, behave};

/// What Anthropic says with status 400.
const BROKE: &str = "Your credit balance is too low to access the Anthropic API.";

/// The answers that the first provider is known for.
fn known() -> Value {
    json!({
        "out_of_credit": [
            {"status": 400, "contains": "credit balance is too low"},
            {"status": 429, "contains": "insufficient_quota"},
            {"status": 418}
        ],
        "bad_key": [
            {"status": 400, "contains": "API_KEY_INVALID"},
            {"status": 403, "contains": "key_disabled"}
        ]
    })
}

fn before(first: &Upstream, second: &Upstream) -> Builder {
    gateway()
        .custom(custom("one").model(MODEL).set("errors", known()), first)
        .custom(custom("two").model(MODEL), second)
        .credentials("one", 2)
}

async fn start(first: Upstream, configure: impl FnOnce(Builder) -> Builder) -> Pair {
    let second = upstream::h1().reply(good()).start().await;
    let gateway = configure(before(&first, &second)).start().await;
    Pair {
        first,
        second,
        gateway,
    }
}

async fn plain() -> Pair {
    start(upstream::h1().reply(good()).start().await, |it| it).await
}

fn failures(metrics: &Metrics, reason: &str) -> f64 {
    let labels = [("provider", "one"), ("reason", reason)];
    metrics.sum("tollgate_key_failures_total", &labels)
}

fn aside(metrics: &Metrics, reason: &str) -> f64 {
    let labels = [("provider", "one"), ("reason", reason)];
    metrics.sum("tollgate_keys_set_aside", &labels)
}

/// The places of the keys that the first provider was asked with.
fn keys(upstream: &Upstream) -> Vec<usize> {
    let place = |credential: &str| {
        (0..2).find(|at| credential == format!("Bearer {}", upstream_key("one", *at)))
    };
    let deliveries = upstream.deliveries();
    deliveries
        .iter()
        .map(|delivery| {
            let credential = delivery.header("authorization").expect("a key");
            place(credential).expect("a key of ours")
        })
        .collect()
}

fn error_with(status: u16, words: &str) -> Reply {
    let body =
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": words}});
    Reply::json(status, body.to_string())
}

/// `bytes` in pieces of at most `size`.
fn in_pieces(reply: Reply, bytes: &[u8], size: usize) -> Reply {
    bytes
        .chunks(size)
        .fold(reply, |reply, piece| reply.piece(piece.to_vec()))
}

/// The answer in every framing, cut into pieces of several sizes.
fn framed(status: u16, body: &[u8]) -> Vec<Reply> {
    let head = || {
        Reply::status(status)
            .header("content-type", "application/json")
            .header("x-detail", "as it came")
    };
    let mut replies = Vec::new();
    for size in [7, 1_000, usize::MAX] {
        if body.len() / size > 500 {
            continue;
        }
        replies.push(in_pieces(head(), body, size));
        replies.push(in_pieces(head().chunked(), body, size));
        replies.push(in_pieces(head().until_close(), body, size));
    }
    replies
}

#[tokio::test]
async fn a_400_about_the_account_is_the_keys_fault() {
    let error = error_with(400, BROKE).body();
    for reply in framed(400, &error) {
        let pair = plain().await;
        let (response, reached) = pair.meet(reply, "safe", 0).await;
        assert_eq!((response.status, reached), (200, Reached(2, 0)));
        assert_eq!(keys(&pair.first), [0, 1]);
        let told = [
            format!("one:{MODEL};auth;status=400"),
            format!("one:{MODEL};ok;status=200"),
        ];
        assert_eq!(attempts(&response), told);
        // The next request begins with the key that is well.
        assert_eq!(pair.send(&chat(&pair.gateway, 0)).await.1, Reached(1, 0));
        assert_eq!(keys(&pair.first), [0, 1, 1]);
        let metrics = pair::idle(&pair.gateway).await;
        assert_eq!(failures(&metrics, "out_of_credit"), 1.0);
        assert_eq!(aside(&metrics, "out_of_credit"), 1.0);
        let labels = [("provider", "one"), ("outcome", "client_error")];
        assert_eq!(metrics.sum("tollgate_attempts_total", &labels), 0.0);
    }
}

#[tokio::test]
async fn over_http2_as_well() {
    let authority = Authority::new();
    let first = upstream::h2_tls(&authority).reply(good()).start().await;
    let pair = start(first, |gateway| gateway.trust(&authority)).await;
    let words = error_with(400, "the reason is API_KEY_INVALID").body();
    pair.first.push(in_pieces(Reply::status(400), &words, 5));
    let mut client = Client::connect(Protocol::H2c, pair.gateway.address(), &authority).await;
    let response = client.send(&chat(&pair.gateway, 0)).await;
    assert_eq!((response.status, pair.reached()), (200, Reached(2, 0)));
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(failures(&metrics, "refused"), 1.0);
    assert_eq!(aside(&metrics, "refused"), 1.0);
}

/// The header fields of a response that are the upstream's own.
fn passed(response: &Response) -> Vec<(String, String)> {
    let own = |name: &str| {
        name.starts_with("tollgate-") || ["date", "server-timing", "connection"].contains(&name)
    };
    let mut fields = response.head.fields.clone();
    fields.retain(|(name, _)| !own(&name.to_ascii_lowercase()));
    fields
        .iter_mut()
        .for_each(|(name, _)| name.make_ascii_lowercase());
    fields.sort();
    fields
}

/// Bodies of error answers about the request: empty to long, around what is looked into.
fn about_the_request() -> Vec<Vec<u8>> {
    let text = |size: usize| {
        let text = "the request is wrong. ".bytes().cycle();
        text.take(size).collect::<Vec<u8>>()
    };
    let mut bodies: Vec<_> = [0, 1, 300, 16_383, 16_384, 16_385, 70_000, 300_000]
        .map(text)
        .into();
    // What stands behind the first 16 KiB is not looked at.
    let mut late = text(17_000);
    late.extend_from_slice(BROKE.as_bytes());
    bodies.push(late);
    bodies
}

#[tokio::test]
async fn a_400_about_the_request_is_the_answer_byte_for_byte() {
    let authority = Authority::new();
    for protocol in [Protocol::H1, Protocol::H2c] {
        let first = upstream::h1().reply(good()).start().await;
        let pair = start(first, |gateway| gateway).await;
        let mut client = Client::connect(protocol, pair.gateway.address(), &authority).await;
        let [looked, plainly] = ["one", "two"].map(|provider| {
            let provider = provider.to_owned();
            chat(&pair.gateway, 0).header("tollgate-provider", &provider)
        });
        for body in about_the_request() {
            for reply in framed(400, &body) {
                pair.first.push(reply.clone());
                let response = client.send(&looked).await;
                assert_eq!(response.status, 400);
                assert_eq!(
                    response.ending,
                    Ending::Whole,
                    "{protocol:?} {}",
                    body.len()
                );
                assert!(response.body == body, "{protocol:?} {}", body.len());
                // All that is said of it is what is said of one that nobody looks into.
                pair.second.push(reply);
                let beside = client.send(&plainly).await;
                assert_eq!(
                    passed(&response),
                    passed(&beside),
                    "{protocol:?} {}",
                    body.len()
                );
                assert_eq!(
                    attempts(&response),
                    [format!("one:{MODEL};client_error;status=400")]
                );
            }
        }
        let metrics = pair::idle(&pair.gateway).await;
        assert_eq!(metrics.sum("tollgate_key_failures_total", &[]), 0.0);
        assert_eq!(metrics.sum("tollgate_keys_set_aside", &[]), 0.0);
        let labels = [("provider", "one"), ("outcome", "client_error")];
        let counted = metrics.sum("tollgate_attempts_total", &labels);
        assert_eq!(counted, pair.first.count() as f64);
        assert_eq!(metrics.sum("tollgate_failovers_total", &[]), 0.0);
    }
}

#[tokio::test]
async fn from_http2_it_is_the_answer_byte_for_byte() {
    let authority = Authority::new();
    let first = upstream::h2_tls(&authority).reply(good()).start().await;
    let pair = start(first, |gateway| gateway.trust(&authority)).await;
    for protocol in [Protocol::H1, Protocol::H2c] {
        let mut client = Client::connect(protocol, pair.gateway.address(), &authority).await;
        for body in about_the_request() {
            for size in [1_000, usize::MAX] {
                let reply = Reply::status(400).header("x-detail", "as it came");
                pair.first.push(in_pieces(reply, &body, size));
                let response = client.send(&chat(&pair.gateway, 0)).await;
                assert_eq!(response.status, 400);
                assert_eq!(response.header("x-detail"), Some("as it came"));
                assert_eq!(response.ending, Ending::Whole);
                assert!(response.body == body, "{protocol:?} {} {size}", body.len());
            }
        }
    }
    assert_eq!(pair.second.count(), 0);
}

/// The same answer, compressed.
fn gzipped(reply: &Reply) -> Reply {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&reply.body()).expect("compressed");
    let bytes = encoder.finish().expect("compressed");
    Reply::json(400, bytes).header("content-encoding", "gzip")
}

#[tokio::test]
async fn what_is_compressed_is_looked_into_and_goes_on_as_it_came() {
    let pair = plain().await;
    let about_the_request = gzipped(&error_with(400, "too long"));
    let (response, reached) = pair.meet(about_the_request.clone(), "on", 0).await;
    assert_eq!((response.status, reached), (400, Reached(1, 0)));
    assert_eq!(response.body, about_the_request.body());
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let (response, reached) = pair.meet(gzipped(&error_with(400, BROKE)), "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(2, 0)));
    // A coding that is not known, and one that is not what it says, are the answer.
    for coding in ["zstd", "gzip"] {
        let reply = error_with(400, BROKE).header("content-encoding", coding);
        let (response, reached) = pair.meet(reply.clone(), "on", 0).await;
        assert_eq!((response.status, reached), (400, Reached(1, 0)), "{coding}");
        assert_eq!(response.body, reply.body());
    }
}

#[tokio::test]
async fn what_comes_slowly_goes_on_after_a_second() {
    for protocol in [Protocol::H1, Protocol::H2c] {
        let pair = plain().await;
        let gate = upstream::gate();
        let reply = Reply::status(400)
            .chunked()
            .piece("the beginning, ")
            .piece(BROKE)
            .hold_before(1, &gate);
        pair.first.push(reply);
        let mut client = Client::connect(protocol, pair.gateway.address(), &Authority::new()).await;
        let mut incoming = client.begin(&chat(&pair.gateway, 0)).await.expect("a head");
        assert_eq!(incoming.head().status, 400);
        let piece = incoming.next().await.expect("a piece");
        assert_eq!(piece, Some(Bytes::from("the beginning, ")));
        gate.open();
        let rest = incoming.collect().await;
        assert_eq!(
            (rest.text().as_str(), &rest.ending),
            (BROKE, &Ending::Whole)
        );
        assert_eq!(pair.reached(), Reached(1, 0), "{protocol:?}");
        // What was said after that time says nothing of the key.
        let metrics = pair::idle(&pair.gateway).await;
        assert_eq!(failures(&metrics, "out_of_credit"), 0.0);
    }
}

#[tokio::test]
async fn where_nothing_else_is_left_it_is_the_answer_and_the_keys_fault() {
    let pair = plain().await;
    let reply = error_with(400, BROKE).header("x-detail", "as it came");
    pair.first.otherwise(reply.clone());
    let only = chat(&pair.gateway, 0).header("tollgate-provider", "one");
    let (response, reached) = pair.send(&only).await;
    assert_eq!((response.status, reached), (400, Reached(2, 0)));
    assert_eq!(response.body, reply.body());
    assert_eq!(response.header("x-detail"), Some("as it came"));
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(aside(&metrics, "out_of_credit"), 2.0);
    // In mode `off` as well, though nothing else would be tried.
    let (response, reached) = pair.send(&only.header("tollgate-failover", "off")).await;
    assert_eq!((response.status, reached), (400, Reached(1, 0)));
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(failures(&metrics, "out_of_credit"), 3.0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_while_it_is_held_back_is_not_passed_on_as_if_it_were_whole() {
    let pair = plain().await;
    let reply = Reply::status(400).claimed(500).piece(vec![b'x'; 100]);
    let broken = behave().read().send_upto(reply, Upto::Bytes(100)).close();
    let (response, reached) = pair.meet(broken, "on", 0).await;
    assert_eq!((response.status, reached), (502, Reached(1, 0)));
    assert_eq!(pair::code(&response), "all_candidates_failed");
}

#[tokio::test]
async fn a_client_that_goes_away_meanwhile_costs_nothing_more() {
    let pair = plain().await;
    let reply = Reply::status(400).piece(vec![b'x'; 100]);
    pair.first
        .push(behave().read().send_upto(reply, Upto::Bytes(50)).silence());
    let mut client = client::h1(pair.gateway.address()).await;
    let request = chat(&pair.gateway, 0);
    tokio::select! {
        _ = client.begin(&request) => panic!("answered"),
        _ = pair.first.wait_complete(1) => {}
    }
    drop(client);
    let gone = |all: &[upstream::Delivery]| all[0].gone_at.is_some();
    pair.first.wait_until("the end seen upstream", gone).await;
    pair::idle(&pair.gateway).await;
    assert_eq!(pair.reached(), Reached(1, 0));
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_read_is_looked_into_as_well() {
    const LARGE: usize = 3 * 1024 * 1024;
    let pair = plain().await;
    let early = |words: &str| upstream::fault::early(error_with(400, words)).close();
    let (response, reached) = pair.meet(early("too long"), "on", LARGE).await;
    assert_eq!((response.status, reached), (400, Reached(1, 0)));
    assert_eq!(response.body, error_with(400, "too long").body());
    let (response, reached) = pair.meet(early(BROKE), "on", LARGE).await;
    assert_eq!((response.status, reached), (200, Reached(2, 0)));
    let delivered = pair.first.deliveries();
    assert_eq!(delivered[2].length, LARGE as u64);
}

/// One provider with one key.
async fn alone() -> Pair {
    start(upstream::h1().reply(good()).start().await, |gateway| {
        gateway.credentials("one", 1)
    })
    .await
}

#[tokio::test]
async fn an_empty_account_behind_a_429_is_not_waited_for() {
    let pair = alone().await;
    let only = chat(&pair.gateway, 0).header("tollgate-provider", "one");
    let limited = |words: &str| error_with(429, words).header("retry-after-ms", "50");
    pair.first.push(limited("slow down"));
    let (response, reached) = pair.send(&only).await;
    assert_eq!((response.status, reached), (200, Reached(2, 0)));
    pair.first.push(limited("insufficient_quota"));
    let (response, reached) = pair.send(&only).await;
    assert_eq!((response.status, reached), (429, Reached(1, 0)));
    assert_eq!(response.body, limited("insufficient_quota").body());
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(failures(&metrics, "rate_limited"), 1.0);
    assert_eq!(failures(&metrics, "out_of_credit"), 1.0);
    // Of the two answers one was followed by another attempt.
    let limited = [("reason", "rate_limited")];
    assert_eq!(metrics.sum("tollgate_failovers_total", &limited), 1.0);
    assert_eq!(aside(&metrics, "out_of_credit"), 1.0);
}

#[tokio::test]
async fn a_403_says_nothing_of_the_key_unless_its_words_name_it() {
    let pair = plain().await;
    for _ in 0..100 {
        let (response, reached) = pair.meet(error_with(403, "not this prompt"), "on", 0).await;
        assert_eq!((response.status, reached), (200, Reached(2, 0)));
    }
    let made = pair
        .gateway
        .run(&["accounts", "create", "other", "--postpaid"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let other = pair
        .gateway
        .run(&["keys", "create", "--name", "other", "--account", "other"]);
    let key = other.stdout.lines().find(|line| line.starts_with("tg-"));
    let key = key.expect("a key").to_owned();
    let before = pair.first.count();
    let asked = || async {
        let request = client::post("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#));
        pair.gateway.send(&request.bearer(&key)).await.status
    };
    // The gateway notices the new key within a second.
    while asked().await != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(keys(&pair.first)[before..], [0]);
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(metrics.sum("tollgate_key_failures_total", &[]), 0.0);

    let (response, _) = pair.meet(error_with(403, "key_disabled"), "on", 0).await;
    assert_eq!(response.status, 200);
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(aside(&metrics, "refused"), 1.0);
}

#[tokio::test]
async fn a_status_may_say_enough() {
    let pair = plain().await;
    let (response, reached) = pair.meet(error_with(418, "whatever"), "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(2, 0)));
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(aside(&metrics, "out_of_credit"), 1.0);
}

#[tokio::test]
async fn a_clients_own_key_is_its_own_business() {
    let pair = plain().await;
    for reply in [
        error_with(400, BROKE),
        error_with(401, "no"),
        error_with(402, "no"),
        error_with(418, "no"),
        error_with(429, "insufficient_quota").header("retry-after", "600"),
    ] {
        pair.first.push(reply.clone());
        let own = client::post(
            "/v1/chat/completions",
            format!(r#"{{"model":"one:{MODEL}"}}"#),
        )
        .header("tollgate-key", pair.gateway.key())
        .bearer("sk-of-the-client");
        let response = pair.gateway.send(&own).await;
        assert_eq!(response.body, reply.body());
        assert_eq!(
            pair.first
                .deliveries()
                .last()
                .and_then(|last| last.header("authorization").map(str::to_owned)),
            Some("Bearer sk-of-the-client".to_owned())
        );
    }
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(metrics.sum("tollgate_key_failures_total", &[]), 0.0);
    assert_eq!(metrics.sum("tollgate_keys_set_aside", &[]), 0.0);
}
