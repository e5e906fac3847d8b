//! `Tollgate-Max-Cost`: no request costs more, and a stream that reaches it is ended.

use std::time::Duration;

use tollgate::money::Credits;
use tollgate::store::UsageRow;

use crate::pair::{MODEL, code};
use crate::support::bodies::{self, Body};
use crate::support::client::{Client, Protocol, Response};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, payload};
use crate::till::{COST, Till, USAGE, nanos, provider};

/// Pays for the input of these requests and for some hundred tokens of output.
const MOST: &str = "0.002";

const EVENTS: usize = 2_000;

fn most() -> Credits {
    MOST.parse().expect("an amount")
}

fn long_stream(target: &str) -> Reply {
    let usage = payload::Usage {
        input: 31,
        output: 3 * EVENTS as u64,
    };
    let events = match target {
        "/v1/messages" => payload::messages_sse(MODEL, EVENTS, usage),
        _ => payload::chat_sse(MODEL, EVENTS, Some(usage)),
    };
    Reply::sse(events, Duration::ZERO)
}

fn streamed() -> Body {
    bodies::chat(MODEL).member("stream", "true")
}

async fn send(till: &Till, protocol: Protocol, target: &str, body: &Body) -> Response {
    let mut client = Client::connect(protocol, till.gateway.address(), &till.authority).await;
    let request = till.gateway.post(target, body.build());
    client
        .send(&request.header("Tollgate-Max-Cost", MOST))
        .await
}

/// The request was held for with all it may cost, was charged no more, and what it got is paid.
async fn is_ended(till: &Till, row: &UsageRow) {
    assert_eq!(row.held, most(), "{row:?}");
    assert!(row.cost.charged <= most(), "{row:?}");
    assert!(row.cost.charged.nanos() > most().nanos() / 2, "{row:?}");
    assert_eq!(row.estimated.as_deref(), Some("cut"));
    till.is_charged(row.cost.charged.nanos()).await;
}

#[tokio::test]
async fn a_stream_that_reaches_it_is_ended_with_an_error_event() {
    for protocol in [Protocol::H1, Protocol::H2c] {
        for target in ["/v1/chat/completions", "/v1/messages"] {
            let till = Till::new().await;
            till.upstream.push(long_stream(target));
            let response = send(&till, protocol, target, &streamed()).await;
            assert_eq!(response.status, 200, "{}", response.text());
            assert!(!response.is_whole(), "{protocol:?} {target}");
            let events = response.events();
            let (last, before) = events.split_last().expect("events");
            assert!(last.contains("spend_cap_reached"), "{last}");
            assert_eq!(last.starts_with("event: error"), target == "/v1/messages");
            assert!(
                before.len() > 20 && before.len() < EVENTS,
                "{}",
                before.len()
            );
            // What came before is whole events.
            for event in before {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let data = data.expect("data");
                serde_json::from_str::<serde_json::Value>(data).expect("a whole event");
            }
            is_ended(&till, &till.row().await).await;
            till.upstream.wait_open_at_most(0).await;
        }
    }
}

#[tokio::test]
async fn so_is_one_over_an_http2_upstream() {
    let authority = Authority::new();
    let upstream = upstream::h2_tls(&authority);
    let till = Till::behind(authority, upstream, |_| provider("one"), |gateway| gateway).await;
    let target = "/v1/chat/completions";
    till.upstream.push(long_stream(target));
    let response = send(&till, Protocol::H2c, target, &streamed()).await;
    assert!(response.text().contains("spend_cap_reached"));
    is_ended(&till, &till.row().await).await;
}

#[tokio::test]
async fn a_compressed_stream_is_ended_without_an_event() {
    let till = Till::new().await;
    let body = long_stream("/v1/chat/completions").body();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut gzip, &body).expect("written");
    let coded = gzip.finish().expect("coded");
    let mut reply = Reply::status(200)
        .header("content-type", "text/event-stream")
        .header("content-encoding", "gzip")
        .chunked();
    for piece in coded.chunks(500) {
        reply = reply.piece(piece.to_vec());
    }
    till.upstream.push(reply);
    let response = send(&till, Protocol::H1, "/v1/chat/completions", &streamed()).await;
    assert!(!response.is_whole());
    assert!(response.body.len() < coded.len(), "{}", response.body.len());
    is_ended(&till, &till.row().await).await;
}

#[tokio::test]
async fn what_stays_below_it_is_whole_and_charged_as_ever() {
    let till = Till::new().await;
    let events = payload::chat_sse(MODEL, 3, Some(USAGE));
    till.upstream.push(Reply::sse(events, Duration::ZERO));
    let response = send(&till, Protocol::H1, "/v1/chat/completions", &streamed()).await;
    assert!(response.is_whole() && response.text().ends_with("data: [DONE]\n\n"));
    let row = till.row().await;
    assert_eq!((row.held, row.estimated), (most(), None));
    till.is_charged(COST).await;
}

/// An answer that cannot be ended on its way must not be able to cost more.
#[tokio::test]
async fn what_cannot_be_ended_is_refused_unless_it_is_bounded() {
    let generates_on = |_: &upstream::Upstream| provider("one").set("generates_on", true.into());
    for (till, body) in [
        (Till::new().await, bodies::chat(MODEL)),
        (
            Till::behind(Authority::new(), upstream::h1(), generates_on, |it| it).await,
            streamed(),
        ),
    ] {
        let target = "/v1/chat/completions";
        let response = send(&till, Protocol::H1, target, &body).await;
        assert_eq!(response.status, 429);
        assert_eq!(code(&response), "spend_cap_reached");
        assert!(
            response.text().contains("max_tokens"),
            "{}",
            response.text()
        );
        assert_eq!(till.upstream.count(), 0, "nothing was sent");

        let bounded = body.member("max_tokens", "50");
        let response = send(&till, Protocol::H1, target, &bounded).await;
        assert_eq!(response.status, 200, "{}", response.text());
        till.is_charged(till.row().await.cost.charged.nanos()).await;
    }
}

#[tokio::test]
async fn an_input_that_alone_may_cost_more_is_refused() {
    let till = Till::new().await;
    let body = streamed().member("user", &format!("\"{}\"", "x".repeat(2_000)));
    let response = send(&till, Protocol::H1, "/v1/chat/completions", &body).await;
    assert_eq!(code(&response), "spend_cap_reached");
    assert!(response.text().contains("input"), "{}", response.text());
    assert_eq!(till.upstream.count(), 0, "nothing was sent");
}

/// Where less is held than a request may cost, the limit still is one.
#[tokio::test]
async fn it_holds_where_less_is_held_than_a_request_may_cost() {
    let expected = |gateway: crate::support::gateway::Builder| {
        gateway
            .config("credit.hold", "expected")
            .config("credit.expected_output", 10)
    };
    let till = Till::with(upstream::h1(), expected).await;
    // It tells what it used only in its last event, and with it goes beyond the limit at once.
    let usage = payload::Usage {
        input: 31,
        output: 1_000_000,
    };
    let events = payload::chat_sse(MODEL, 3, Some(usage));
    till.upstream.push(Reply::sse(events, Duration::ZERO));
    let response = send(&till, Protocol::H1, "/v1/chat/completions", &streamed()).await;
    assert_eq!(response.status, 200);
    let row = till.row().await;
    assert_eq!((row.held, row.cost.charged), (most(), most()), "{row:?}");
    assert!(row.cost.absorbed > nanos(0), "{row:?}");
    till.is_charged(most().nanos()).await;
}

/// Each prompt has an answer of its own: that one is at its end says nothing of the others.
#[tokio::test]
async fn one_answer_of_several_prompts_that_has_ended_does_not_lift_it() {
    let till = Till::new().await;
    let first = r#"{"choices":[{"index":0,"text":"yes","finish_reason":"stop"}]}"#;
    let more = r#"{"choices":[{"index":1,"text":"several words of text ","finish_reason":""}]}"#;
    let events = std::iter::once(first).chain(std::iter::repeat_n(more, EVENTS));
    let events = events.map(|event| bytes::Bytes::from(format!("data: {event}\n\n")));
    till.upstream.push(Reply::sse(events, Duration::ZERO));
    let body = streamed().member("prompt", r#"["a","b"]"#);
    let response = send(&till, Protocol::H1, "/v1/completions", &body).await;
    assert!(
        response.text().contains("spend_cap_reached"),
        "{}",
        response.status
    );
    is_ended(&till, &till.row().await).await;
}
