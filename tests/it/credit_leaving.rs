//! A provider that goes on making an answer, and on being paid for it, when nobody reads it any more: there the gateway
//! reads on when the client has left, so that the answer is charged by what it was.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::pair::{self, MODEL};
use crate::support::client::{self, Client, Protocol, Request};
use crate::support::gateway::{Builder, Metrics, custom};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Gate, Reply, Upstream, behave, fault, payload};
use crate::till::{COST, Till, USAGE, nanos, provider};

const EVENTS: usize = 20;

async fn till(upstream: upstream::Builder, configure: impl FnOnce(Builder) -> Builder) -> Till {
    let generates_on = |_: &Upstream| provider("one").set("generates_on", json!(true));
    Till::behind(Authority::new(), upstream, generates_on, configure).await
}

/// A stream that stops in the middle until the gate is opened; and its length up to there.
fn halting(gate: &Gate) -> (Reply, usize) {
    let events = payload::chat_sse(MODEL, EVENTS, Some(USAGE));
    let half = events[..10].iter().map(Bytes::len).sum();
    let reply = Reply::sse(events, Duration::ZERO).hold_before(10, gate);
    (reply, half)
}

/// A client begins a stream, reads it up to where it halts, and goes away.
async fn leave(till: &Till, protocol: Protocol, request: &Request, upto: usize) {
    let mut client = Client::connect(protocol, till.gateway.address(), &till.authority).await;
    let mut incoming = client.begin(request).await.expect("a head");
    let mut got = 0;
    while got < upto {
        let piece = incoming.next().await.expect("no cut");
        got += piece.expect("no end").len();
    }
    drop(incoming);
    drop(client);
}

/// Gives the gateway time to see that the client is gone. What follows is the same if it has not.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_stream_is_read_to_its_end_and_charged_exactly() {
    for protocol in [Protocol::H1, Protocol::H2c] {
        for noticed in [true, false] {
            let till = till(upstream::h1(), |gateway| gateway).await;
            let gate = upstream::gate();
            let (reply, half) = halting(&gate);
            till.upstream.push(reply);
            leave(&till, protocol, &till.stream(), half).await;
            if noticed {
                a_moment().await;
            }
            gate.open();
            let row = till.row().await;
            assert_eq!(row.estimated, None, "{protocol:?}: {row:?}");
            assert_eq!(row.cost.charged, nanos(COST), "{row:?}");
            till.is_charged(COST).await;
            assert_eq!(till.send(&till.chat()).await.status, 200);
        }
    }
}

#[tokio::test]
async fn so_is_an_answer_whose_client_left_before_its_header() {
    for protocol in [Protocol::H1, Protocol::H2c] {
        let till = till(upstream::h1(), |gateway| gateway).await;
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
        a_moment().await;
        gate.open();
        let row = till.row().await;
        assert_eq!((row.estimated, row.status), (None, Some(200)));
        assert!(row.cost.charged > nanos(0));
    }
}

#[tokio::test]
async fn nothing_else_is_tried_for_a_client_that_has_left() {
    let second = upstream::json(payload::chat_json(MODEL, USAGE)).await;
    let till = till(upstream::h1(), |gateway| {
        gateway.custom(custom("two").model(MODEL), &second)
    })
    .await;
    let gate = upstream::gate();
    let failed = behave().read().hold(&gate).send(pair::error(503));
    till.upstream.push(failed);
    let mut client = Client::connect(Protocol::H1, till.gateway.address(), &till.authority).await;
    let request = till.chat();
    tokio::select! {
        _ = client.begin(&request) => panic!("answered"),
        () = gate.held(1) => {}
    }
    drop(client);
    a_moment().await;
    gate.open();
    assert_eq!(till.row().await.cost.charged, nanos(0));
    till.is_charged(0).await;
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn what_breaks_off_or_stands_still_meanwhile_is_estimated() {
    for (reason, stands_still) in [("cut", false), ("timeout", true)] {
        let till = till(upstream::h1(), |gateway| {
            gateway.config("timeouts.idle", "300ms")
        })
        .await;
        let gate = upstream::gate();
        let (reply, half) = halting(&gate);
        let more = half + 5;
        let behaviour = if stands_still {
            fault::stalled(reply, more)
        } else {
            fault::reset_in_answer(reply, more)
        };
        till.upstream.push(behaviour);
        leave(&till, Protocol::H1, &till.stream(), half).await;
        gate.open();
        let row = till.row().await;
        assert_eq!(row.estimated.as_deref(), Some(reason), "{row:?}");
        assert!(row.cost.charged > nanos(0), "{row:?}");
        till.is_charged(row.cost.charged.nanos()).await;
    }
}

/// With a key of the customer's own there is nothing to charge, and it may have left to save money.
#[tokio::test]
async fn with_the_customers_own_key_it_is_left_at_once() {
    let till = till(upstream::h1(), |gateway| gateway).await;
    let gate = upstream::gate();
    let (reply, half) = halting(&gate);
    till.upstream.push(reply);
    let key = till.gateway.key().to_owned();
    let request = till
        .stream()
        .header("Tollgate-Key", &key)
        .header("Authorization", "Bearer sk-of-the-customer");
    leave(&till, Protocol::H1, &request, half).await;
    // The upstream halts still, and the request has ended.
    let row = till.row().await;
    assert_eq!(
        (row.credential.as_str(), row.cost.charged),
        ("request", nanos(0))
    );
}

/// Who stops reading is as good as gone: the answer is read on without it, and its connection is waited for no longer.
#[tokio::test]
async fn a_client_that_stops_reading_holds_nothing_up() {
    let till = till(upstream::h1(), |gateway| {
        gateway.config("timeouts.client", "500ms")
    })
    .await;
    let events = payload::chat_sse(MODEL, 100_000, Some(USAGE));
    till.upstream.push(Reply::sse(events, Duration::ZERO));
    let mut client = client::h1_narrow(till.gateway.address(), 4_096).await;
    let request = till.stream();
    let incoming = client.begin(&request).await.expect("a head");
    let row = till.row().await;
    assert_eq!((row.estimated, row.cost.charged), (None, nanos(COST)));
    let none = |metrics: &Metrics| metrics.sum("tollgate_in_flight", &[]) == 0.0;
    till.gateway
        .metrics_until("no request under way", none)
        .await;
    drop(incoming);
}
