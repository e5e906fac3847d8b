//! Bodies that outgrow the memory for further attempts: what they lose, that they are answered all the same, and that it
//! is counted. What is kept is in `limits_bodies`; the matrix of faults that a kept body survives is in
//! `failover_matrix`.

use std::time::{Duration, Instant};

use crate::limits::{CLIENTS, KIB, MIB};
use crate::pair::{self, MODEL, MODES, Pair, Reached, attempts, code, error, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{Client, Protocol, Request};
use crate::support::gateway::{Metrics, custom, gateway};
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, behave, frame};

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

/// What was sent in part cannot be sent anew, whatever the provider says of it; nor is it waited for a better time.
#[tokio::test]
async fn a_body_that_was_not_kept_fails_when_a_provider_refuses_its_stream() {
    let authority = Authority::new();
    let first = upstream::h2_tls(&authority).reply(good()).start().await;
    let pair = Pair::with_first(first, |gateway| {
        gateway
            .trust(&authority)
            .config("limits.replay_request", "64KiB")
    })
    .await;
    // The same of one that was kept is sent again.
    let part = |bytes| behave().read_until(bytes);
    let kept = request(&pair, 64 * KIB, true);
    pair.first
        .push(part(32 * KIB as u64).reset_stream(frame::REFUSED_STREAM));
    let (response, reached) = pair.send(&kept).await;
    assert_eq!((response.status, reached), (200, Reached(2, 0)));
    for announced in [true, false] {
        for mode in MODES {
            let context = format!("announced: {announced}, {mode}");
            let refused = part(256 * KIB as u64).reset_stream(frame::REFUSED_STREAM);
            pair.first.push(refused);
            let request = request(&pair, MIB, announced).header("tollgate-failover", mode);
            let (response, reached) = pair.send(&request).await;
            let told = attempts(&response);
            assert_eq!(response.status, 502, "{context}: {told:?}");
            assert_eq!(code(&response), "all_candidates_failed", "{context}");
            assert_eq!(reached, Reached(1, 0), "{context}: {told:?}");
            let delivery = pair.first.deliveries().pop().expect("a delivery");
            assert!(!delivery.complete, "{context}");
        }
    }
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(lost(&metrics), [6.0, 0.0]);
}

#[tokio::test]
async fn a_body_that_was_not_kept_fails_when_a_provider_falls_silent_in_the_middle_of_it() {
    let pair = Pair::start(|gateway| {
        gateway
            .config("limits.replay_request", "64KiB")
            .config("timeouts.first_byte", "300ms")
            .config("timeouts.idle", "300ms")
    })
    .await;
    for announced in [true, false] {
        for mode in MODES {
            let context = format!("announced: {announced}, {mode}");
            pair.first.push(behave().read_until(MIB as u64).silence());
            // More than every buffer between the two.
            let request = request(&pair, 20 * MIB, announced).header("tollgate-failover", mode);
            let (response, reached) = pair.send(&request).await;
            let told = attempts(&response);
            assert_eq!(response.status, 504, "{context}: {told:?}");
            assert_eq!(code(&response), "upstream_timeout", "{context}");
            assert_eq!(reached, Reached(1, 0), "{context}: {told:?}");
        }
    }
    let metrics = pair::idle(&pair.gateway).await;
    assert_eq!(lost(&metrics), [6.0, 0.0]);
}

#[tokio::test]
async fn a_429_on_a_body_that_was_not_kept_is_the_answer_without_a_wait() {
    let upstream = upstream::h1().reply(good()).start().await;
    let gateway = gateway()
        .custom(custom("one").model(MODEL), &upstream)
        .config("limits.replay_request", "64KiB")
        .config("failover.retry_after_max", "20s")
        .start()
        .await;
    let soon = |millis: &str| error(429).header("retry-after-ms", millis);
    // One that was kept waits, and is sent again.
    upstream.push(soon("50"));
    let response = gateway.send(&pair::chat(&gateway, 64 * KIB)).await;
    assert_eq!((response.status, upstream.count()), (200, 2));
    for announced in [true, false] {
        let before = upstream.count();
        upstream.push(soon("15000"));
        let request = pair::chat(&gateway, MIB);
        let request = if announced {
            request
        } else {
            request.unannounced()
        };
        let asked = Instant::now();
        let response = gateway.send(&request).await;
        let took = asked.elapsed();
        assert_eq!(response.status, 429, "{announced}: {}", response.text());
        assert_eq!(response.header("retry-after-ms"), Some("15000"));
        assert_eq!(upstream.count() - before, 1, "{announced}");
        assert!(took < Duration::from_secs(10), "{announced}: {took:?}");
    }
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
