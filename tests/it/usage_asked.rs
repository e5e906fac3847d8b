//! Usage that providers send only when they are asked (E3), and the event that is taken out of the answer again (E4): on
//! the gateway's credential, at providers of which the catalog says so.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::pair::{self, MODEL, code};
use crate::support::bodies;
use crate::support::client::{self, Client, Ending, Protocol, Request};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Delivery, Reply, Upstream, fault, payload};

const CHAT: &str = "/v1/chat/completions";
const ASKED: &str = r#","stream_options":{"include_usage":true}"#;

/// A provider that has to be asked, and one of which nobody knows, behind a gateway.
struct Lab {
    authority: Authority,
    upstream: Upstream,
    gateway: Gateway,
}

impl Lab {
    async fn new(speaks: Protocol) -> Self {
        Self::with(speaks, |gateway| gateway).await
    }

    async fn with(speaks: Protocol, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let authority = Authority::new();
        let upstream = match speaks {
            Protocol::H2Tls => upstream::h2_tls(&authority),
            _ => upstream::h1(),
        };
        let upstream = upstream.start().await;
        let surfaces = json!({"chat": {"path": "/chat/completions", "include_usage": true}});
        let asked = custom("asked").model(MODEL).set("surfaces", surfaces);
        let gateway = gateway()
            .trust(&authority)
            .custom(asked, &upstream)
            .custom(custom("unknown").model("other"), &upstream);
        let gateway = configure(gateway).start().await;
        Self {
            authority,
            upstream,
            gateway,
        }
    }

    async fn client(&self, protocol: Protocol) -> Client {
        Client::connect(protocol, self.gateway.address(), &self.authority).await
    }

    /// A request for a stream, with what else stands behind `stream`.
    fn stream(&self, more: &str) -> Request {
        self.gateway.post(CHAT, body(MODEL, more))
    }

    fn last_delivery(&self) -> Delivery {
        self.upstream.deliveries().pop().expect("a delivery")
    }
}

fn body(model: &str, more: &str) -> String {
    format!(r#"{{"messages":[],"model":"{model}","stream":true{more},"temperature":1}}"#)
}

/// The events of an answer, with that of its usage and without it.
fn events() -> (Vec<Bytes>, Bytes) {
    let all = payload::chat_sse(MODEL, 2, Some(payload::USAGE));
    let is_kept = |event: &&Bytes| !event.windows(12).any(|part| part == br#""choices":[]"#);
    let left: Vec<Bytes> = all.iter().filter(is_kept).cloned().collect();
    assert_eq!(left.len() + 1, all.len());
    (all, left.concat().into())
}

#[tokio::test]
async fn a_charged_stream_is_made_to_ask_and_the_answer_is_as_if_nobody_had_asked() {
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(speaks).await;
        let (all, left) = events();
        lab.upstream.otherwise(Reply::sse(all, Duration::ZERO));
        for protocol in [Protocol::H1, Protocol::H2c] {
            for (more, sent) in [
                ("", ASKED.to_owned()),
                (r#","stream_options":null"#, ASKED.to_owned()),
                (
                    r#","stream_options":{"include_usage":false}"#,
                    ASKED.to_owned(),
                ),
                (
                    r#", "stream_options" : { "x":{} }"#,
                    r#", "stream_options" : {"include_usage":true, "x":{} }"#.to_owned(),
                ),
            ] {
                let what = format!("{more}, {protocol:?} to {speaks:?}");
                let request = lab.stream(more).header("accept-encoding", "gzip, br");
                let before = lab.gateway.access_log().len();
                let response = lab.client(protocol).await.send(&request).await;
                assert_eq!(response.header("tollgate-edits"), Some("E3, E4"), "{what}");
                assert_eq!(response.body, left, "{what}");
                assert_eq!(response.ending, Ending::Whole, "{what}");
                let delivery = lab.last_delivery();
                let expected = body(MODEL, &sent);
                assert_eq!(delivery.body, expected.as_bytes(), "{what}");
                assert_eq!(
                    delivery.header("accept-encoding"),
                    Some("identity"),
                    "{what}"
                );
                let lines = lab.gateway.access_lines(before + 1).await;
                assert_eq!(lines[before]["usage"], "reported", "{what}");
                assert_eq!(lines[before]["bytes_out"], left.len(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_else_is_made_to_ask() {
    let lab = Lab::new(Protocol::H1).await;
    let (all, _) = events();
    lab.upstream
        .otherwise(Reply::sse(all.clone(), Duration::ZERO));
    let own = client::post(CHAT, body(MODEL, ""))
        .header("tollgate-key", lab.gateway.key())
        .bearer("sk-of-the-client");
    let plain = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
    let unstreamed = format!(r#"{{"model":"{MODEL}","messages":[],"stream":false}}"#);
    for (what, request) in [
        ("who asks already", lab.stream(ASKED)),
        ("who pays the provider", own),
        ("who wants no stream", lab.gateway.post(CHAT, plain)),
        ("who says so", lab.gateway.post(CHAT, unstreamed)),
        (
            "a provider that may refuse it",
            lab.gateway.post(CHAT, body("other", "")),
        ),
    ] {
        let sent = request.header("accept-encoding", "gzip");
        let response = lab.gateway.send(&sent).await;
        assert_eq!(response.header("tollgate-edits"), None, "{what}");
        assert_eq!(response.body, all.concat(), "{what}");
        assert_eq!(
            lab.last_delivery().header("accept-encoding"),
            Some("gzip"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_body_that_says_it_in_two_ways_is_refused_where_it_is_charged() {
    let lab = Lab::new(Protocol::H1).await;
    for options in [
        r#"{"include_usage":true,"include_usage":false}"#,
        r#"{"include_us\u0061ge":true}"#,
        r#"{"Include_Usage":true}"#,
        r#"{"include_usage":"true"}"#,
        "[]",
    ] {
        let more = format!(",\"stream_options\":{options}");
        let response = lab.gateway.send(&lab.stream(&more)).await;
        assert_eq!(
            (response.status, code(&response).as_str()),
            (400, "invalid_request"),
            "{options}"
        );
        // What a client pays for itself is for its provider to judge.
        let own = client::post(CHAT, body(MODEL, &more))
            .header("tollgate-key", lab.gateway.key())
            .bearer("sk-of-the-client");
        assert_eq!(lab.gateway.send(&own).await.status, 200, "{options}");
    }
    assert_eq!(lab.upstream.count(), 5);
}

/// Streams by what is to come of them: comments, line ends, data over several lines, ends of all kinds.
fn streams() -> Vec<(String, String)> {
    let chunk = r#"data: {"choices":[{"delta":{"content":"\"choices\":[],"}}],"usage":null}"#;
    let used = r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
    let in_lines = "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":9}\ndata: }";
    let done = "data: [DONE]";
    let mut all = Vec::new();
    for end in ["\n", "\r\n"] {
        let text = |lines: &str| lines.replace('\n', end);
        for (whole, left) in [
            (
                format!(": hi\n\n{chunk}\n\n: wait\n{used}\n\n{done}\n\n"),
                format!(": hi\n\n{chunk}\n\n: wait\n{done}\n\n"),
            ),
            (
                format!("{chunk}\n\n{in_lines}\n\n{done}\n\n"),
                format!("{chunk}\n\n{done}\n\n"),
            ),
            (format!("{chunk}\n\n{used}"), format!("{chunk}\n\n")),
        ] {
            all.push((text(&whole), text(&left)));
        }
    }
    all
}

#[tokio::test]
async fn the_event_is_taken_out_wherever_the_stream_is_cut() {
    for (speaks, protocol) in [
        (Protocol::H1, Protocol::H1),
        (Protocol::H2Tls, Protocol::H2c),
    ] {
        let lab = Lab::new(speaks).await;
        let mut client = lab.client(protocol).await;
        for (whole, left) in streams() {
            for cut in 1..whole.len() {
                let (one, two) = whole.split_at(cut);
                let pieces = [one, two].map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
                lab.upstream.push(Reply::sse(pieces, Duration::ZERO));
                let response = client.send(&lab.stream("")).await;
                assert_eq!(response.text(), left, "cut at {cut}: {whole:?}");
                assert_eq!(response.ending, Ending::Whole, "cut at {cut}");
            }
        }
    }
}

#[tokio::test]
async fn every_other_event_leaves_when_it_arrives() {
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(speaks).await;
        let (all, _) = events();
        for protocol in [Protocol::H1, Protocol::H2c] {
            let gate = upstream::gate();
            let mut reply = Reply::sse(all.clone(), Duration::ZERO);
            for index in 0..all.len() {
                reply = reply.hold_before(index, &gate);
            }
            lab.upstream.push(reply);
            let mut client = lab.client(protocol).await;
            let request = lab.stream("");
            let mut incoming = client.begin(&request).await.expect("a head");
            for event in &all {
                gate.held(1).await;
                gate.admit(1);
                if event.windows(12).any(|part| part == br#""choices":[]"#) {
                    continue;
                }
                let mut got = Vec::new();
                while got.len() < event.len() {
                    got.extend(incoming.next().await.expect("no cut").expect("no end"));
                }
                assert_eq!(got, event.as_ref(), "{protocol:?} to {speaks:?}");
            }
            assert!(incoming.collect().await.body.is_empty());
        }
    }
}

#[tokio::test]
async fn an_answer_of_a_known_length_loses_that() {
    let lab = Lab::new(Protocol::H1).await;
    let (all, left) = events();
    let reply = || {
        let reply = Reply::status(200).header("content-type", "text/event-stream");
        reply.piece(all.concat())
    };
    for protocol in [Protocol::H1, Protocol::H2c] {
        lab.upstream.push(reply());
        let response = lab.client(protocol).await.send(&lab.stream("")).await;
        assert_eq!(response.body, left, "{protocol:?}");
        assert_eq!(response.ending, Ending::Whole, "{protocol:?}");
        assert_eq!(response.header("content-length"), None, "{protocol:?}");
    }
}

#[tokio::test]
async fn what_is_compressed_all_the_same_or_is_no_stream_passes_as_it_is() {
    let lab = Lab::new(Protocol::H1).await;
    let (all, _) = events();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&all.concat()).expect("packed");
    let packed = Bytes::from(gzip.finish().expect("packed"));
    lab.upstream
        .push(Reply::sse([packed.clone()], Duration::ZERO).header("content-encoding", "gzip"));
    let response = lab.gateway.send(&lab.stream("")).await;
    assert_eq!(response.header("tollgate-edits"), Some("E3"));
    assert_eq!(response.body, packed);
    let whole = payload::chat_json(MODEL, payload::USAGE);
    lab.upstream.push(Reply::json(200, whole.clone()));
    let response = lab.gateway.send(&lab.stream("")).await;
    assert_eq!(response.header("tollgate-edits"), Some("E3"));
    assert_eq!(response.body, whole);
}

#[tokio::test]
async fn nothing_of_a_usage_event_that_is_cut_off_reaches_the_client() {
    for speaks in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(speaks).await;
        let (all, _) = events();
        let before = all[..3].concat();
        let reply = Reply::sse(all.clone(), Duration::ZERO);
        lab.upstream
            .push(fault::reset_in_answer(reply, before.len() + 40));
        let response = lab.client(Protocol::H1).await.send(&lab.stream("")).await;
        let text = response.text();
        let (events, error) = text.split_at(before.len());
        assert_eq!(events.as_bytes(), before, "{speaks:?}");
        let error = error.trim().strip_prefix("data: ").expect("an event");
        let error: Value = serde_json::from_str(error).expect("JSON");
        assert_eq!(error["error"]["code"], "all_candidates_failed");
    }
}

/// In a body that is not kept, what may come later is not written twice.
#[tokio::test]
async fn a_body_that_is_not_kept_asks_if_its_options_have_come() {
    let lab = Lab::with(Protocol::H1, |gateway| {
        gateway.config("limits.replay_request", "64KiB")
    })
    .await;
    let (all, left) = events();
    lab.upstream
        .otherwise(Reply::sse(all.clone(), Duration::ZERO));
    let long = "x".repeat(200 * 1024);
    for (options, edits, answer) in [
        ("", None, Bytes::from(all.concat())),
        (r#","stream_options":{}"#, Some("E3, E4"), left),
    ] {
        let text = format!(r#"{{"model":"{MODEL}","stream":true{options},"note":"{long}"}}"#);
        let response = lab.gateway.send(&lab.gateway.post(CHAT, text)).await;
        assert_eq!(response.header("tollgate-edits"), edits, "{options}");
        assert_eq!(response.body, answer, "{options}");
    }
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn an_explanation_shows_what_would_be_written() {
    let lab = Lab::new(Protocol::H1).await;
    let request = lab.gateway.post("/tollgate/v1/explain", body(MODEL, ""));
    let told = lab.gateway.send(&request).await.json();
    let edit = &told["candidates"][0]["edits"][0];
    assert_eq!(
        (&edit["name"], &edit["inserted"]),
        (&json!("E3"), &json!(ASKED))
    );
    let plain = bodies::chat(MODEL).build();
    let told = lab
        .gateway
        .send(&lab.gateway.post("/tollgate/v1/explain", plain))
        .await;
    assert_eq!(told.json()["candidates"][0]["edits"], json!([]));
}
