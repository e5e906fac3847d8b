//! The faults of HTTP/2 upstreams, as a client sees them: plain and over TLS alike.

use std::io;

use super::super::client::{self, Ending, Protocol, Windows, get, post};
use super::super::tls::Authority;
use super::super::upstream::{self, Behaviour, Reply, Settings, behave, fault, frame, payload};
use super::super::wait;
use super::{builder, large};

const PROTOCOLS: [Protocol; 2] = [Protocol::H2c, Protocol::H2Tls];

/// What a small request comes to under `behaviour`, by each protocol.
async fn outcomes(
    behaviour: impl Fn() -> Behaviour,
) -> Vec<(io::Result<client::Response>, upstream::Delivery)> {
    let authority = Authority::new();
    let mut outcomes = Vec::new();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .then(behaviour())
            .start()
            .await;
        let mut client = client::Client::connect(protocol, upstream.address(), &authority).await;
        let response = client.try_send(&post("/", "{}")).await;
        outcomes.push((response, upstream.delivery()));
    }
    outcomes
}

fn h2_error(response: io::Result<client::Response>) -> h2::Error {
    let error = response.expect_err("no answer");
    let inner = error.into_inner().expect("an HTTP/2 error");
    *inner.downcast::<h2::Error>().expect("an HTTP/2 error")
}

#[tokio::test]
async fn a_refused_stream_says_so() {
    for (response, delivery) in outcomes(fault::refused_stream).await {
        let error = h2_error(response);
        assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
        assert!(error.is_remote() && error.is_reset());
        assert!(!delivery.complete);
    }
}

#[tokio::test]
async fn a_goaway_below_the_stream_is_one() {
    for (response, _) in outcomes(fault::goaway_below).await {
        let error = h2_error(response);
        assert!(error.is_go_away() && error.is_remote(), "{error:?}");
        assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    }
    for (response, delivery) in outcomes(|| fault::goaway_then(Reply::json(200, "{}"))).await {
        assert_eq!(response.expect("an answer").status, 200);
        assert!(delivery.complete);
    }
}

#[tokio::test]
async fn an_invalid_frame_is_a_protocol_error() {
    for (response, delivery) in outcomes(fault::invalid_frame).await {
        let error = h2_error(response);
        assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
        assert!(delivery.complete);
    }
}

#[tokio::test]
async fn resets_happen_where_they_are_said_to() {
    for (response, delivery) in outcomes(fault::reset_before_body).await {
        assert!(h2_error(response).is_io());
        assert!(!delivery.complete);
    }
    for (response, delivery) in outcomes(fault::reset_after_body).await {
        assert!(h2_error(response).is_io());
        assert!(delivery.complete);
    }
    for (response, _) in outcomes(fault::reset_in_head).await {
        response.expect_err("no whole head");
    }
    let reply = Reply::json(200, "{\"a\":1}");
    for (response, _) in outcomes(|| fault::reset_after_head(reply.clone())).await {
        let response = response.expect("a head");
        assert_eq!((response.status, response.body.len()), (200, 0));
        assert!(matches!(response.ending, Ending::Cut(_)));
    }
    for (response, _) in outcomes(|| fault::truncated(reply.clone(), 3)).await {
        let response = response.expect("a head");
        assert_eq!(response.text(), "{\"a");
        assert!(matches!(response.ending, Ending::Cut(_)));
    }
    let internal = || {
        behave()
            .read()
            .send_upto(Reply::json(200, "{}"), upstream::Upto::Bytes(1))
            .reset_stream(frame::INTERNAL_ERROR)
    };
    for (response, _) in outcomes(internal).await {
        let response = response.expect("a head");
        assert_eq!(response.text(), "{");
        assert!(matches!(&response.ending, Ending::Cut(why) if why.contains("internal")));
    }
}

#[tokio::test]
async fn an_early_answer_without_window_credit_leaves_the_upload_stuck() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let window = 65_535;
        let settings = Settings {
            stream_window: window,
            connection_window: window,
            ..Settings::default()
        };
        let upstream = builder(protocol, &authority)
            .settings(settings)
            .then(fault::early(Reply::json(413, "{}")).silence())
            .start()
            .await;
        let mut client = client::Client::connect(protocol, upstream.address(), &authority).await;
        let response = client.send(&post("/", large())).await;
        assert_eq!((response.status, response.ending), (413, Ending::Whole));
        assert_eq!(upstream.delivery().length, 0);
    }
}

#[tokio::test]
async fn an_early_answer_can_end_with_no_error() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .then(fault::early(Reply::json(413, "{}")).reset_stream(frame::NO_ERROR))
            .reply(Reply::status(200))
            .start()
            .await;
        let mut client = client::Client::connect(protocol, upstream.address(), &authority).await;
        let response = client.send(&post("/", large())).await;
        assert_eq!((response.status, response.ending), (413, Ending::Whole));
        assert_eq!(client.send(&get("/")).await.status, 200);
        assert_eq!(
            (upstream.connections(), upstream.deliveries()[0].complete),
            (1, false)
        );
    }
}

#[tokio::test]
async fn no_more_streams_than_announced_are_open() {
    let gate = upstream::gate();
    let settings = Settings {
        streams_max: 3,
        ..Settings::default()
    };
    let upstream = upstream::h2c()
        .settings(settings)
        .otherwise(behave().read().hold(&gate).send(Reply::status(200)))
        .start()
        .await;
    let client = client::h2c(upstream.address(), Windows::default()).await;
    // The limit is known once the server's settings are: after a first exchange.
    gate.admit(1);
    assert_eq!(client.send(&get("/first")).await.status, 200);
    let request = get("/");
    let sends = async {
        let (a, b, c, d) = tokio::join!(
            client.send(&request),
            client.send(&request),
            client.send(&request),
            client.send(&request),
        );
        [a, b, c, d].map(|response| response.status)
    };
    let opening = async {
        gate.held(3).await;
        gate.open();
    };
    let (statuses, ()) = wait::within("four answers", async { tokio::join!(sends, opening) }).await;
    assert_eq!(statuses, [200; 4]);
    assert_eq!((gate.held_max(), upstream.connections()), (3, 1));
}

#[tokio::test]
async fn a_frozen_connection_answers_no_ping() {
    let upstream = upstream::h2c().then(behave().read().freeze()).start().await;
    let client = client::h2c(upstream.address(), Windows::default()).await;
    let request = post("/", "{}");
    tokio::select! {
        _ = client.try_send(&request) => panic!("an answer from a frozen connection"),
        _ = upstream.wait_complete(1) => {}
    }
    let next = client.try_send(&request);
    let answered = tokio::time::timeout(std::time::Duration::from_millis(200), next).await;
    assert!(answered.is_err() && upstream.count() <= 2);
}

#[tokio::test]
async fn frames_of_a_stream_are_whole_and_in_order() {
    let events = payload::messages_sse("m", 500, payload::USAGE);
    let whole: Vec<u8> = events.concat();
    let reply = Reply::sse(events, std::time::Duration::ZERO);
    for (response, _) in outcomes(|| reply.clone().into()).await {
        let response = response.expect("an answer");
        assert_eq!(
            (response.body.as_ref(), response.ending),
            (whole.as_slice(), Ending::Whole)
        );
    }
}
