//! How large a body may be, how much of it is kept for a further attempt, and what becomes of one that is not kept.

use crate::limits::{CLIENTS, KIB, Lab, MIB, TARGET};
use crate::pair::{self, MODEL, code, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{self, Client, Ending, Protocol};
use crate::support::gateway::{custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Settings, behave, fault};

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let lab = Lab::new(|gateway| gateway.config("limits.body", "256KiB")).await;
    for protocol in CLIENTS {
        for announced in [true, false] {
            for (size, status) in [(256 * KIB, 200), (256 * KIB + 1, 413), (4 * MIB, 413)] {
                let count = lab.upstream.count();
                let request = pair::chat(&lab.gateway, size);
                let request = if announced {
                    request
                } else {
                    request.unannounced()
                };
                let mut client = lab.client(protocol).await;
                let response = client.send(&request).await;
                let what = format!("{size} bytes, {protocol:?}, announced: {announced}");
                assert_eq!(response.status, status, "{what}: {}", response.text());
                assert_eq!(response.ending, Ending::Whole, "{what}");
                assert_eq!(
                    lab.upstream.count() - count,
                    usize::from(status == 200),
                    "{what}"
                );
                if status == 413 {
                    assert_eq!(code(&response), "body_too_large", "{what}");
                    assert_eq!(response.header("x-should-retry"), Some("false"), "{what}");
                }
                if let Client::H1(client) = &mut client
                    && response.head.closes()
                {
                    client.closed().await;
                } else {
                    assert_eq!(
                        client.send(&pair::chat(&lab.gateway, 0)).await.status,
                        200,
                        "{what}"
                    );
                }
            }
        }
    }
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn a_body_that_outgrows_the_limit_while_it_is_streamed_through_is_refused() {
    let lab = Lab::new(|gateway| {
        gateway
            .config("limits.body", "1MiB")
            .config("limits.replay_request", "64KiB")
    })
    .await;
    for protocol in CLIENTS {
        let count = lab.upstream.count();
        let request = pair::chat(&lab.gateway, 4 * MIB).unannounced();
        let response = lab.client(protocol).await.send(&request).await;
        assert_eq!(
            (response.status, code(&response).as_str()),
            (413, "body_too_large"),
            "{protocol:?}"
        );
        let what = "the end of the exchange at the provider";
        let deliveries = lab
            .upstream
            .wait_until(what, |all| {
                all[count..].iter().all(|one| one.gone_at.is_some())
            })
            .await;
        assert!(
            deliveries[count..].iter().all(|one| !one.complete),
            "{protocol:?}"
        );
    }
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn a_body_that_may_not_be_kept_is_streamed_through_once() {
    let lab = Lab::new(|gateway| gateway.config("limits.replay_request", "64KiB")).await;
    for protocol in CLIENTS {
        for announced in [true, false] {
            let count = lab.upstream.count();
            let request = pair::chat(&lab.gateway, MIB);
            let request = if announced {
                request
            } else {
                request.unannounced()
            };
            let response = lab.client(protocol).await.send(&request).await;
            assert_eq!(
                response.status,
                200,
                "{protocol:?}, {announced}: {}",
                response.text()
            );
            let delivery = lab.upstream.deliveries_since(count).remove(0);
            assert_eq!(
                delivery.bytes(),
                bodies::chat(MODEL).size(MIB).build(),
                "{protocol:?}, {announced}"
            );
        }
        // Its model must be found in what is read at first.
        let last = bodies::sized(MODEL, Position::Last, MIB);
        let response = lab
            .client(protocol)
            .await
            .send(&lab.gateway.post(TARGET, last))
            .await;
        assert_eq!(
            (response.status, code(&response).as_str()),
            (413, "body_too_large"),
            "{}",
            response.text()
        );
    }
}

#[tokio::test]
async fn a_body_that_was_not_kept_goes_to_one_candidate_only() {
    let pair = pair::Pair::start(|gateway| gateway.config("limits.replay_request", "64KiB")).await;
    // What was sent is not sent again, and the provider's own answer is the best there is.
    let (response, reached) = pair.meet(pair::error(503), "on", MIB).await;
    assert_eq!((response.status, reached), (503, pair::Reached(1, 0)));
    let (response, reached) = pair.meet(fault::close_after_body(), "on", MIB).await;
    assert_eq!(
        (response.status, code(&response).as_str(), reached),
        (502, "all_candidates_failed", pair::Reached(1, 0))
    );
}

#[tokio::test]
async fn a_body_that_was_not_kept_may_go_elsewhere_before_any_of_it_was_sent() {
    let (first, second) = (
        upstream::refusing(),
        upstream::h1().reply(good()).start().await,
    );
    let gateway = pair::before(&first, &second)
        .config("limits.replay_request", "64KiB")
        .start()
        .await;
    for protocol in CLIENTS {
        let mut client = Client::connect(protocol, gateway.address(), &Authority::new()).await;
        let count = second.count();
        let response = client.send(&pair::chat(&gateway, MIB)).await;
        assert_eq!(response.status, 200, "{protocol:?}: {}", response.text());
        let delivery = second.deliveries_since(count).remove(0);
        assert_eq!(
            delivery.bytes(),
            bodies::chat(MODEL).size(MIB).build(),
            "{protocol:?}"
        );
    }
}

/// Bodies of the eight uploads that are held at one time.
const HELD: usize = 60 * MIB;

const UPLOADS: usize = 8;

/// What the gateway may keep of them.
const KEPT: u64 = 64 << 20;

/// Beside that: buffers of sockets and of HTTP/2, and what an allocator keeps back.
const SLACK: u64 = 64 << 20;

async fn eight_held_uploads(protocol: Protocol, speaks: Protocol) {
    let authority = Authority::new();
    let upstream = match speaks {
        Protocol::H2Tls => upstream::h2_tls(&authority).settings(Settings {
            stream_window: 65_535,
            ..Settings::default()
        }),
        _ => upstream::h1(),
    };
    let upstream = upstream
        .otherwise(fault::silent_before_body())
        .start()
        .await;
    let gateway = gateway()
        .trust(&authority)
        .custom(custom("one").model(MODEL), &upstream)
        .config("limits.replay_total", "64MiB")
        .start()
        .await;
    let before = gateway.memory_peak();
    let first = bodies::sized(MODEL, Position::First, HELD);
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..UPLOADS {
        let request = gateway.post(TARGET, first.clone());
        let mut client = Client::connect(protocol, gateway.address(), &authority).await;
        uploads.spawn(async move {
            client
                .try_send(&request)
                .await
                .map(|response| response.status)
        });
    }
    // One of them is kept, the others are streamed through; all are held at the provider.
    upstream.wait_for(UPLOADS).await;
    let kept = gateway.metrics().await.sum("tollgate_replay_bytes", &[]);
    assert!(
        kept >= HELD as f64 && kept <= KEPT as f64,
        "{kept} bytes are kept"
    );

    // No room is left for one whose model comes last.
    let last = bodies::sized(MODEL, Position::Last, HELD);
    let mut client = Client::connect(protocol, gateway.address(), &authority).await;
    let response = client.send(&gateway.post(TARGET, last)).await;
    assert_eq!(
        (response.status, code(&response).as_str()),
        (503, "overloaded"),
        "{}",
        response.text()
    );
    assert!(response.header("retry-after").is_some());

    let rise = gateway.memory_peak() - before;
    eprintln!(
        "{protocol:?} to {speaks:?}: the peak rose by {} KiB",
        rise / 1024
    );
    assert!(rise <= KEPT + SLACK, "the peak rose by {} KiB", rise / 1024);
    assert_eq!(upstream.count(), UPLOADS);
    drop((client, upstream));
    uploads.shutdown().await;
    pair::idle(&gateway).await;
}

#[tokio::test]
async fn eight_held_uploads_stay_within_the_memory_for_bodies_h1() {
    eight_held_uploads(Protocol::H1, Protocol::H1).await;
}

#[tokio::test]
async fn eight_held_uploads_stay_within_the_memory_for_bodies_h2() {
    eight_held_uploads(Protocol::H2c, Protocol::H2Tls).await;
}

#[tokio::test]
async fn bodies_of_unknown_length_take_no_more_than_their_share() {
    let lab = Lab::new(|gateway| {
        gateway
            .config("limits.replay_total", "1MiB")
            .config("limits.replay_request", "1MiB")
    })
    .await;
    let gate = upstream::gate();
    lab.upstream
        .otherwise(behave().read().hold(&gate).send(good()));
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let request = pair::chat(&lab.gateway, 300 * KIB)
            .unannounced()
            .pieces(10 * KIB);
        let address = lab.gateway.address();
        requests.spawn(async move { client::send(address, &request).await.status });
    }
    gate.held(6).await;
    let kept = lab
        .gateway
        .metrics()
        .await
        .sum("tollgate_replay_bytes", &[]);
    assert!(kept > 0.0 && kept <= MIB as f64, "{kept}");
    gate.open();
    assert_eq!(requests.join_all().await, [200; 6]);
    for delivery in lab.upstream.deliveries() {
        assert_eq!(
            delivery.bytes(),
            bodies::chat(MODEL).size(300 * KIB).build()
        );
    }
    pair::idle(&lab.gateway).await;
}
