//! What each ending of an attempt costs: the table "Endings" of `docs/credit.md`, a test a row.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tollgate::money::Credits;
use tollgate::store::{RowState, UsageRow};

use crate::pair::{self, MODEL, code};
use crate::support::bodies::{self, Position};
use crate::support::client::{Client, Protocol, Request};
use crate::support::gateway::custom;
use crate::support::upstream::{self, Reply, behave, fault, payload};
use crate::till::{COST, INPUT, OUTPUT, Till, USAGE, nanos};

const ESTIMATED: &str = "tollgate_usage_estimated_total";

/// Times of the provider, in seconds, so short that a test can wait for their end.
fn hurried(till: crate::support::gateway::Builder) -> crate::support::gateway::Builder {
    till.config("timeouts.first_byte", "300ms")
        .config("timeouts.first_byte_stream", "300ms")
        .config("timeouts.idle", "300ms")
}

/// The row says that nothing was charged, and nothing is.
async fn is_free(till: &Till, row: &UsageRow) {
    assert_eq!(row.state, RowState::Void, "{row:?}");
    assert_eq!(
        (row.cost.paid(), row.cost.absorbed),
        (Credits::ZERO, Credits::ZERO)
    );
    assert_eq!(row.estimated, None);
    till.is_charged(0).await;
}

/// The row says that so much was charged by an estimate, for this reason, which is counted.
async fn is_estimated(till: &Till, row: &UsageRow, reason: &str) {
    assert_eq!(row.estimated.as_deref(), Some(reason), "{row:?}");
    assert!(row.cost.charged > Credits::ZERO, "{row:?}");
    assert!(row.cost.charged <= row.held, "{row:?}");
    let by_counts = row.counts.input * INPUT + row.counts.output * OUTPUT;
    assert_eq!(row.cost.charged, nanos(by_counts), "{row:?}");
    till.is_charged(by_counts).await;
    let counted = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum(ESTIMATED, &[("reason", reason)]) == 1.0
    };
    till.gateway
        .metrics_until("an estimate that is counted", counted)
        .await;
}

/// A client begins a request, and goes away once `seen` bytes of the answer have come.
async fn leave(till: &Till, protocol: Protocol, request: &Request, seen: usize) {
    let mut client = Client::connect(protocol, till.gateway.address(), &till.authority).await;
    let mut incoming = client.begin(request).await.expect("a head");
    let mut got = 0;
    while got < seen {
        got += incoming
            .next()
            .await
            .expect("no cut")
            .expect("no end")
            .len();
    }
    assert_eq!(got, seen);
    drop(incoming);
    drop(client);
}

#[tokio::test]
async fn the_client_leaves_before_the_header() {
    for protocol in [Protocol::H1, Protocol::H2c] {
        let till = Till::new().await;
        let gate = upstream::gate();
        till.upstream
            .push(behave().read().hold(&gate).send(pair::good()));
        let mut client = Client::connect(protocol, till.gateway.address(), &till.authority).await;
        let request = till.chat();
        tokio::select! {
            _ = client.begin(&request) => panic!("answered"),
            () = gate.held(1) => {}
        }
        drop(client);
        let row = till.row().await;
        assert_eq!((row.counts.output, row.status), (0, None), "{protocol:?}");
        is_estimated(&till, &row, "cancelled").await;
    }
}

#[tokio::test]
async fn a_header_and_then_silence() {
    let till = Till::with(upstream::h1(), hurried).await;
    let stream = Reply::sse(payload::chat_sse(MODEL, 3, Some(USAGE)), Duration::ZERO);
    till.upstream.push(fault::stalled(stream, 0));
    let response = till.send(&till.stream()).await;
    assert_eq!(response.status, 200);
    let row = till.row().await;
    assert_eq!((row.counts.output, row.status), (0, Some(200)));
    is_estimated(&till, &row, "timeout").await;
}

#[tokio::test]
async fn our_own_time_is_over_after_delivery() {
    let till = Till::with(upstream::h1(), hurried).await;
    till.upstream.push(fault::silent_after_body());
    let response = till.send(&till.chat()).await;
    assert_eq!(code(&response), "upstream_timeout");
    is_estimated(&till, &till.row().await, "timeout").await;
}

#[tokio::test]
async fn the_connection_is_lost_after_delivery() {
    for fault in [
        fault::close_after_body(),
        fault::reset_after_body(),
        fault::reset_in_head(),
    ] {
        let till = Till::new().await;
        till.upstream.push(fault);
        let response = till.send(&till.chat()).await;
        assert_eq!(code(&response), "all_candidates_failed");
        is_estimated(&till, &till.row().await, "lost").await;
    }
}

#[tokio::test]
async fn a_plain_body_is_cut_short() {
    let till = Till::new().await;
    let answer = payload::chat_json(MODEL, USAGE);
    let text = answer
        .windows(5)
        .position(|part| part == b"Hello")
        .expect("text");
    till.upstream
        .push(fault::truncated(Reply::json(200, answer), text + 3));
    let mut client = Client::connect(Protocol::H1, till.gateway.address(), &till.authority).await;
    let _ = client.try_send(&till.chat()).await;
    let row = till.row().await;
    assert!(row.counts.output > 0, "what had come: {row:?}");
    is_estimated(&till, &row, "cut").await;
}

#[tokio::test]
async fn usage_that_cannot_be_read_or_believed() {
    for (usage, flags) in [
        (
            r#"{"prompt_tokens":31,"completion_tokens":"17"}"#,
            &["absurd"][..],
        ),
        (
            r#"{"prompt_tokens":31,"completion_tokens":-17}"#,
            &["absurd"],
        ),
        (
            r#"{"prompt_tokens":1e300,"completion_tokens":18446744073709551615}"#,
            &["absurd"],
        ),
        (r#"{"prompt_tokens":31,,}"#, &[]),
    ] {
        let till = Till::new().await;
        let answer =
            format!(r#"{{"choices":[{{"message":{{"content":"Hello you"}}}}],"usage":{usage}}}"#);
        till.upstream.push(Reply::json(200, answer));
        assert_eq!(till.send(&till.chat()).await.status, 200);
        let row = till.row().await;
        assert!(row.counts.output > 0, "{usage}: {row:?}");
        assert_eq!(row.flags.names().collect::<Vec<_>>(), flags, "{usage}");
        is_estimated(&till, &row, "unreadable").await;
    }
}

#[tokio::test]
async fn a_whole_answer_without_usage() {
    for answer in [
        Reply::json(200, r#"{"choices":[{"message":{"content":"Hello you"}}]}"#),
        Reply::json(
            200,
            r#"{"choices":[{"message":{"content":"Hello you"}}],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#,
        ),
        Reply::sse(payload::chat_sse(MODEL, 5, None), Duration::ZERO),
        Reply::status(200)
            .header("content-type", "audio/mpeg")
            .piece("not text"),
    ] {
        let till = Till::new().await;
        till.upstream.push(answer);
        assert_eq!(till.send(&till.chat()).await.status, 200);
        is_estimated(&till, &till.row().await, "unsent").await;
    }
}

#[tokio::test]
async fn a_stream_breaks_off() {
    for (target, events) in [
        (
            "/v1/chat/completions",
            payload::chat_sse(MODEL, 20, Some(USAGE)),
        ),
        ("/v1/messages", payload::messages_sse(MODEL, 20, USAGE)),
    ] {
        let till = Till::new().await;
        let half: usize = events[..10].iter().map(Bytes::len).sum();
        till.upstream.push(fault::reset_in_answer(
            Reply::sse(events, Duration::ZERO),
            half,
        ));
        let body = bodies::chat(MODEL).member("stream", "true");
        let _ = till.send(&till.gateway.post(target, body.build())).await;
        let row = till.row().await;
        assert!(row.counts.output > 1, "{target}: {row:?}");
        if target == "/v1/messages" {
            assert_eq!(row.counts.input, 31, "the input had been told");
        }
        is_estimated(&till, &row, "cut").await;
    }
}

#[tokio::test]
async fn the_client_leaves_in_the_middle_of_a_stream() {
    for protocol in [Protocol::H1, Protocol::H2c] {
        let till = Till::new().await;
        let events = payload::chat_sse(MODEL, 20, Some(USAGE));
        let half: usize = events[..10].iter().map(Bytes::len).sum();
        till.upstream
            .push(fault::stalled(Reply::sse(events, Duration::ZERO), half));
        leave(&till, protocol, &till.stream(), half).await;
        let row = till.row().await;
        assert!(row.counts.output > 1, "{row:?}");
        is_estimated(&till, &row, "cancelled").await;
    }
}

/// Whoever goes away with the last event has had the whole answer.
#[tokio::test]
async fn the_client_leaves_right_after_the_last_event() {
    let usage = json!({"input_tokens": 31, "output_tokens": 17, "total_tokens": 48});
    let completed = format!(
        "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}}\n\n\
         event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"usage\":{usage}}}}}\n\n"
    );
    for (target, events) in [
        (
            "/v1/chat/completions",
            payload::chat_sse(MODEL, 3, Some(USAGE)),
        ),
        ("/v1/messages", payload::messages_sse(MODEL, 3, USAGE)),
        ("/v1/responses", vec![Bytes::from(completed)]),
    ] {
        for protocol in [Protocol::H1, Protocol::H2c] {
            let till = Till::new().await;
            let all = events.concat().len();
            let stream = Reply::sse(events.clone(), Duration::ZERO);
            till.upstream.push(fault::stalled(stream, all));
            // Asks for usage, so that no event is taken out.
            let body = bodies::chat(MODEL)
                .member("stream", "true")
                .member("stream_options", r#"{"include_usage":true}"#);
            let request = till.gateway.post(target, body.build());
            leave(&till, protocol, &request, all).await;
            let row = till.row().await;
            assert_eq!(row.estimated, None, "{target} {protocol:?}: {row:?}");
            assert_eq!(row.cost.charged, nanos(COST), "{target} {protocol:?}");
            till.is_charged(COST).await;
        }
    }
}

/// To cut a stream before its last event must not be cheaper than to let it end.
#[tokio::test]
async fn a_stream_that_is_cut_one_event_before_its_end_is_not_cheaper() {
    let words = 40;
    // A word and a number each, of two or three tokens with the blank.
    let usage = payload::Usage {
        input: 60,
        output: 3 * words as u64,
    };
    let chat = payload::chat_sse(MODEL, words, Some(usage));
    let messages = payload::messages_sse(MODEL, words, usage);
    for (target, events, before_end) in [
        // The finish, the usage and `[DONE]`; the end of the block, of the message, and `message_stop`.
        ("/v1/chat/completions", chat, 3),
        ("/v1/messages", messages, 3),
    ] {
        for cut in 1..=before_end {
            let till = Till::new().await;
            let kept = &events[..events.len() - cut];
            let length: usize = kept.iter().map(Bytes::len).sum();
            till.upstream.push(fault::stalled(
                Reply::sse(events.clone(), Duration::ZERO),
                length,
            ));
            let body = bodies::chat(MODEL)
                .member("stream", "true")
                .member("stream_options", r#"{"include_usage":true}"#);
            let request = till.gateway.post(target, body.build());
            leave(&till, Protocol::H1, &request, length).await;
            let row = till.row().await;
            let whole = 60 * INPUT + 3 * i64::try_from(words).expect("few") * OUTPUT;
            assert!(
                row.cost.charged >= nanos(whole),
                "{target}, {cut} before the end: {row:?}, where all of it costs {whole}"
            );
        }
    }
}

#[tokio::test]
async fn no_connection_comes_about() {
    let nobody = upstream::refusing();
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.custom(custom("nobody").model("unreachable"), &nobody)
    })
    .await;
    let response = till.send(&till.post(&bodies::chat("unreachable"))).await;
    assert_eq!(code(&response), "all_candidates_failed");
    is_free(&till, &till.row().await).await;
}

#[tokio::test]
async fn an_upstream_that_had_not_got_the_body_closes_before_the_header() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.prepaid("default", crate::till::GRANT)
    })
    .await;
    till.upstream.push(fault::close_before_body());
    let body = bodies::sized(MODEL, Position::First, 16 << 20);
    let response = till
        .send(&till.gateway.post("/v1/chat/completions", body))
        .await;
    assert_eq!(code(&response), "all_candidates_failed");
    is_free(&till, &till.row().await).await;
}

#[tokio::test]
async fn a_stream_is_refused_unseen() {
    let authority = crate::support::tls::Authority::new();
    let upstream = upstream::h2_tls(&authority);
    let till = Till::behind(
        authority,
        upstream,
        |_| crate::till::provider("one"),
        |gateway| gateway,
    )
    .await;
    till.upstream.push(fault::refused_stream());
    assert_eq!(till.send(&till.chat()).await.status, 200);
    let rows = till.rows(2).await;
    assert_eq!(rows[0].state, RowState::Void, "{rows:?}");
    assert_eq!(rows[1].cost.charged, nanos(COST), "{rows:?}");
    till.is_charged(COST).await;
}

#[tokio::test]
async fn a_200_that_is_nothing_but_an_error() {
    let error = r#"{"error":{"message":"no","type":"server_error","code":"busy"}}"#;
    for answer in [
        Reply::json(200, error),
        Reply::sse(
            [Bytes::from(format!("data: {error}\n\ndata: [DONE]\n\n"))],
            Duration::ZERO,
        ),
    ] {
        let till = Till::new().await;
        till.upstream.push(answer);
        let _ = till.send(&till.stream()).await;
        is_free(&till, &till.row().await).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_an_error() {
    for status in [400, 404, 429, 500, 503] {
        let till = Till::new().await;
        till.upstream.otherwise(pair::error(status));
        assert_eq!(till.send(&till.chat()).await.status, status);
        is_free(&till, &till.row().await).await;
    }
}

/// What the customer does not get is the operator's expense.
#[tokio::test]
async fn an_attempt_is_given_up_after_delivery_for_another() {
    let second = upstream::h1()
        .reply(Reply::json(200, payload::chat_json(MODEL, USAGE)))
        .start()
        .await;
    let till = Till::with(upstream::h1(), |gateway| {
        hurried(gateway).custom(custom("two").model(MODEL), &second)
    })
    .await;
    till.upstream.push(fault::silent_after_body());
    assert_eq!(till.send(&till.chat()).await.status, 200);
    let rows = till.rows(2).await;
    let [given_up, served] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(given_up.cost.paid(), Credits::ZERO, "{given_up:?}");
    assert!(given_up.cost.absorbed > Credits::ZERO, "{given_up:?}");
    assert_eq!(given_up.estimated.as_deref(), Some("timeout"));
    assert_eq!(given_up.flags.names().collect::<Vec<_>>(), ["given_up"]);
    assert_eq!(served.cost.charged, nanos(COST));
    till.is_charged(COST).await;
}

#[tokio::test]
async fn the_gateway_fails_in_the_middle() {
    for phase in [
        "upstream_response_filter",
        "response_filter",
        "response_body_filter",
    ] {
        let till = Till::new().await;
        let mut client =
            Client::connect(Protocol::H1, till.gateway.address(), &till.authority).await;
        let request = till.chat().header("Tollgate-Test-Panic", phase);
        let _ = client.try_send(&request).await;
        let row = till.row().await;
        assert_eq!(
            row.estimated.as_deref(),
            Some("dropped"),
            "{phase}: {row:?}"
        );
        assert!(row.cost.charged > Credits::ZERO, "{phase}");
        till.is_charged(row.cost.charged.nanos()).await;
    }
}

/// Each ending, for whoever reads the docs: the reasons there are those that rows and metrics have.
#[test]
fn the_table_of_the_docs_has_every_reason() {
    let docs = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/credit.md"),
    );
    let docs = docs.expect("the page");
    for reason in tollgate::ledger::Estimated::ALL {
        let name = format!("`{}`", reason.name());
        assert!(docs.contains(&name), "{name} is not in docs/credit.md");
    }
}
