//! Bodies that outgrow the memory for further attempts: what they lose, that they are answered all the same, and that it
//! is counted. What is kept is in `limits_bodies`; the matrix of faults that a kept body survives is in
//! `failover_matrix`.

use crate::limits::{CLIENTS, KIB, MIB};
use crate::pair::{self, MODEL, Pair, Reached, attempts, error, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{Client, Protocol, Request};
use crate::support::gateway::Metrics;
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, behave};

const LOST: &str = "tollgate_replay_lost_total";

fn lost(metrics: &Metrics) -> [f64; 2] {
    ["request_cap", "process_cap"].map(|reason| metrics.sum(LOST, &[("reason", reason)]))
}

fn request(pair: &Pair, size: usize, announced: bool) -> Request {
    let body = bodies::sized(MODEL, Position::First, size);
    let request = pair.gateway.post("/v1/chat/completions", body);
    if announced {
        request
    } else {
        request.unannounced()
    }
}

async fn client(pair: &Pair, protocol: Protocol) -> Client {
    Client::connect(protocol, pair.gateway.address(), &Authority::new()).await
}

#[tokio::test]
async fn a_body_larger_than_a_requests_share_is_sent_once_and_counted() {
    let pair = Pair::start(|gateway| gateway.config("limits.replay_request", "64KiB")).await;
    let mut count = 0.0;
    for protocol in CLIENTS {
        for size in [64 * KIB + 1, MIB, 20 * MIB] {
            for announced in [true, false] {
                let what = format!("{size} bytes, {protocol:?}, announced: {announced}");
                let before = pair.reached();
                pair.first.push(error(503).header("x-mine", "yes"));
                let request = request(&pair, size, announced);
                let response = client(&pair, protocol).await.send(&request).await;
                // The provider's failure is the answer: there is nothing left to send elsewhere.
                assert_eq!(response.status, 503, "{what}: {}", response.text());
                assert_eq!(response.header("x-mine"), Some("yes"), "{what}");
                assert_eq!(
                    attempts(&response),
                    ["one:twice-served;server_error;status=503"]
                );
                assert_eq!(pair.reached(), Reached(before.0 + 1, 0), "{what}");
                let delivery = pair.first.deliveries().pop().expect("a delivery");
                let body = bodies::sized(MODEL, Position::First, size);
                assert_eq!(delivery.sha256, Some(sha::hex(&body)), "{what}");
                count += 1.0;
            }
        }
    }
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(lost(&metrics), [count, 0.0]);
}

#[tokio::test]
async fn a_body_that_is_kept_is_not_counted() {
    let pair = Pair::start(|gateway| gateway.config("limits.replay_request", "64KiB")).await;
    for announced in [true, false] {
        let request = request(&pair, 64 * KIB, announced);
        pair.first.push(error(503));
        let (response, reached) = pair.send(&request).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 1)),
            "{announced}"
        );
    }
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(lost(&metrics), [0.0, 0.0]);
}

#[tokio::test]
async fn a_body_for_which_the_process_has_no_room_is_sent_once_and_counted() {
    for announced in [true, false] {
        let pair = Pair::start(|gateway| {
            gateway
                .config("limits.replay_total", "1MiB")
                .config("limits.replay_request", "1MiB")
        })
        .await;
        let gate = upstream::gate();
        pair.first.push(behave().read().hold(&gate).send(good()));
        let (holder, held) = (
            client(&pair, Protocol::H1).await,
            request(&pair, 700 * KIB, true),
        );
        let held = tokio::spawn(async move {
            let mut holder = holder;
            holder.send(&held).await.status
        });
        gate.held(1).await;
        assert_eq!(lost(&pair.gateway.metrics().await), [0.0, 0.0]);

        let second = request(&pair, 700 * KIB, announced);
        pair.first.push(error(503));
        let (response, reached) = pair.send(&second).await;
        assert_eq!(
            (response.status, reached),
            (503, Reached(1, 0)),
            "{announced}"
        );
        assert_eq!(
            lost(&pair.gateway.metrics().await),
            [0.0, 1.0],
            "{announced}"
        );

        gate.open();
        assert_eq!(held.await.expect("an answer"), 200);
        pair::idle(&pair.gateway).await;
        // There is room again.
        pair.first.push(error(503));
        let (response, reached) = pair.send(&second).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 1)),
            "{announced}"
        );
        assert_eq!(lost(&pair::idle(&pair.gateway).await), [0.0, 1.0]);
    }
}
