//! Answers that break off in the middle: an error event where the client reads events, and never a good end.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::pair::{self, MODEL};
use crate::streaming::{CLIENTS, Lab, UPSTREAMS, events};
use crate::support::client::{Ending, Protocol};
use crate::support::upstream::{Behaviour, Reply, Upto, behave, frame, payload};

/// How an upstream dies when it has sent two events and a half.
fn deaths(speaks: Protocol, reply: &Reply, bytes: usize) -> Vec<(&'static str, Behaviour)> {
    let begun = || behave().read().send_upto(reply.clone(), Upto::Bytes(bytes));
    let mut deaths = vec![
        ("a reset", begun().reset()),
        ("a close", begun().close()),
        ("silence", begun().silence()),
    ];
    if speaks == Protocol::H2Tls {
        deaths.push((
            "a reset of the stream",
            begun().reset_stream(frame::INTERNAL_ERROR),
        ));
    }
    deaths
}

/// The error event at the end of a broken stream, after `sent`.
fn error_event<'t>(text: &'t str, sent: &str, context: &str) -> &'t str {
    let rest = text
        .strip_prefix(sent)
        .unwrap_or_else(|| panic!("{context}: {text}"));
    // A blank line comes first, so that it is an event of its own after half of another.
    let event = rest
        .strip_prefix("\n\n")
        .unwrap_or_else(|| panic!("{context}: {rest:?}"));
    event
        .strip_suffix("\n\n")
        .unwrap_or_else(|| panic!("{context}: {rest:?}"))
}

async fn dies(speaks: Protocol, protocol: Protocol) {
    let lab = Lab::with(speaks, |gateway| gateway.config("timeouts.idle", "300ms")).await;
    let surfaces = [
        ("/v1/chat/completions", events(3)),
        (
            "/v1/messages",
            payload::messages_sse(MODEL, 3, payload::USAGE),
        ),
        ("/v1/responses", events(3)),
        ("/v1/completions", events(3)),
    ];
    for (target, all) in surfaces {
        let sent = all.concat();
        let sent = &sent[..all[0].len() + all[1].len() + all[2].len() / 2];
        let reply = Reply::sse(all.clone(), Duration::ZERO);
        for (what, death) in deaths(speaks, &reply, sent.len()) {
            let context = format!("{what}, {target}, {protocol:?} to {speaks:?}");
            lab.upstream.push(death);
            let response = lab.client(protocol).await.send(&lab.stream(target)).await;
            assert_eq!(response.status, 200, "{context}: {}", response.text());
            assert!(
                !response.is_whole(),
                "{context}: taken for a good end: {:?}",
                response.ending
            );
            let text = response.text();
            let event = error_event(&text, std::str::from_utf8(sent).expect("text"), &context);
            let id = response.header("tollgate-request-id").expect("an id");
            is_told(target, event, id, &context);
        }
    }
    pair::idle(&lab.gateway).await;
}

/// The event as a reader of that surface understands it.
fn is_told(target: &str, event: &str, id: &str, context: &str) {
    let data = match target {
        "/v1/messages" | "/v1/responses" => event.strip_prefix("event: error\ndata: "),
        _ => event.strip_prefix("data: "),
    };
    let data: Value =
        serde_json::from_str(data.unwrap_or_else(|| panic!("{context}: {event}"))).expect("JSON");
    assert!(
        data["error"]["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{context}: {data}"
    );
    if target == "/v1/messages" {
        assert_eq!(
            (&data["type"], &data["request_id"]),
            (&json!("error"), &json!(id)),
            "{context}"
        );
        assert_eq!(data["error"]["type"], "api_error", "{context}");
    } else {
        assert_eq!(data["error"]["code"], "all_candidates_failed", "{context}");
        let typed = target == "/v1/responses";
        assert_eq!(data["type"] == "error", typed, "{context}");
        assert_eq!(data["code"] == "all_candidates_failed", typed, "{context}");
    }
}

#[tokio::test]
async fn an_h1_provider_that_dies_in_mid_stream_ends_in_an_error_event_over_h1() {
    dies(Protocol::H1, Protocol::H1).await;
}

#[tokio::test]
async fn an_h1_provider_that_dies_in_mid_stream_ends_in_an_error_event_over_h2() {
    dies(Protocol::H1, Protocol::H2c).await;
}

#[tokio::test]
async fn an_h2_provider_that_dies_in_mid_stream_ends_in_an_error_event_over_h1() {
    dies(Protocol::H2Tls, Protocol::H1).await;
}

#[tokio::test]
async fn an_h2_provider_that_dies_in_mid_stream_ends_in_an_error_event_over_h2() {
    dies(Protocol::H2Tls, Protocol::H2Tls).await;
}

async fn nothing_is_added(speaks: Protocol) {
    let whole = Bytes::from(vec![b'x'; 1000]);
    let replies = || {
        [
            ("a length", Reply::json(200, whole.clone())),
            ("chunks", Reply::json(200, whole.clone()).chunked()),
            (
                "compressed events",
                Reply::sse([whole.clone()], Duration::ZERO).header("content-encoding", "gzip"),
            ),
        ]
    };
    let lab = Lab::with(speaks, |gateway| gateway.config("timeouts.idle", "300ms")).await;
    for protocol in CLIENTS {
        for (framed, reply) in replies() {
            for (what, death) in deaths(speaks, &reply, 400) {
                let context = format!("{what}, {framed}, {protocol:?} to {speaks:?}");
                lab.upstream.push(death);
                let response = lab
                    .client(protocol)
                    .await
                    .send(&lab.stream("/v1/chat/completions"))
                    .await;
                assert_eq!(response.status, 200, "{context}");
                assert_eq!(response.body, whole[..400], "{context}");
                assert!(
                    matches!(response.ending, Ending::Cut(_)),
                    "{context}: {:?}",
                    response.ending
                );
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_added_to_what_is_no_plain_event_stream_of_an_h1_provider() {
    nothing_is_added(Protocol::H1).await;
}

#[tokio::test]
async fn nothing_is_added_to_what_is_no_plain_event_stream_of_an_h2_provider() {
    nothing_is_added(Protocol::H2Tls).await;
}

#[tokio::test]
async fn an_answer_that_is_shorter_than_announced_is_not_whole() {
    for speaks in UPSTREAMS {
        let lab = Lab::new(speaks).await;
        for protocol in CLIENTS {
            // The provider believes that it has sent everything.
            lab.upstream.push(
                behave()
                    .read()
                    .send(Reply::json(200, "{\"a\":1}").claimed(70))
                    .close(),
            );
            let response = lab
                .client(protocol)
                .await
                .try_send(&lab.stream("/v1/chat/completions"))
                .await;
            let context = format!("{protocol:?} to {speaks:?}");
            let response = response.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(
                !response.is_whole(),
                "{context}: {} {:?}",
                response.status,
                response.text()
            );
        }
    }
}

/// What a provider leaves out is the client's to judge: a stream without its last event ends as well as it was framed.
#[tokio::test]
async fn a_stream_that_ends_well_without_its_terminator_is_passed_on_as_it_is() {
    for speaks in UPSTREAMS {
        let lab = Lab::new(speaks).await;
        for protocol in CLIENTS {
            for (target, all) in [
                ("/v1/chat/completions", events(3)),
                ("/v1/responses", events(3)),
                (
                    "/v1/messages",
                    payload::messages_sse(MODEL, 3, payload::USAGE),
                ),
            ] {
                let context = format!("{target}, {protocol:?} to {speaks:?}");
                let (_, sent) = all.split_last().expect("events");
                lab.upstream.push(Reply::sse(sent.to_vec(), Duration::ZERO));
                let response = lab.client(protocol).await.send(&lab.stream(target)).await;
                assert_eq!(response.status, 200, "{context}: {}", response.text());
                assert_eq!(response.body, sent.concat(), "{context}");
                assert_eq!(response.ending, Ending::Whole, "{context}");
            }
        }
    }
}
