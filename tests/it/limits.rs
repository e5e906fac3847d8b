//! What a client may take of the gateway: body sizes, memory for bodies, requests at one time, and the patience that is
//! had with one that stops reading or sending. All of it comes back.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::pair::{self, MODEL, code, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{self, Client, Ending, Protocol, Windows};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Settings, Upstream, behave, fault};
use crate::support::wait;

const TARGET: &str = "/v1/chat/completions";
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const CLIENTS: [Protocol; 2] = [Protocol::H1, Protocol::H2c];

/// The patience with a client, in these tests.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest a client may be kept that does not deserve it: its time, twice where it begins anew, and a busy machine.
const RELEASED: Duration = Duration::from_secs(4);

/// A provider behind a gateway.
struct Lab {
    upstream: Upstream,
    gateway: Gateway,
}

impl Lab {
    async fn new(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let upstream = upstream::h1().reply(good()).start().await;
        let gateway = configure(gateway().custom(custom("one").model(MODEL), &upstream));
        Self {
            upstream,
            gateway: gateway.start().await,
        }
    }

    /// With `PATIENCE` for clients.
    async fn patient() -> Self {
        Self::new(|gateway| gateway.config("timeouts.client", "1s")).await
    }

    async fn client(&self, protocol: Protocol) -> Client {
        Client::connect(protocol, self.gateway.address(), &Authority::new()).await
    }

    /// Waits until everything is as it was before the first request.
    async fn released(&self, since: Instant, what: &str) {
        pair::idle(&self.gateway).await;
        self.upstream.wait_open_at_most(0).await;
        let took = since.elapsed();
        assert!(took < RELEASED, "{what}: released after {took:?}");
    }
}

#[tokio::test]
async fn an_h1_client_that_stops_reading_is_released() {
    let lab = Lab::patient().await;
    for chunked in [false, true] {
        let reply = Reply::json(200, vec![b'x'; 32 * MIB]);
        lab.upstream
            .push(if chunked { reply.chunked() } else { reply });
        let mut client = client::h1_narrow(lab.gateway.address(), 4096).await;
        let request = pair::chat(&lab.gateway, 0);
        let mut incoming = client.begin(&request).await.expect("a head");
        let stopped = Instant::now();
        lab.released(stopped, "an HTTP/1.1 client").await;
        assert!(
            stopped.elapsed() >= PATIENCE / 2,
            "it was given time: {:?}",
            stopped.elapsed()
        );
        // What had been sent can be read, and then comes no good end.
        let end = loop {
            match incoming.next().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        end.expect_err("a cut");
    }
}

#[tokio::test]
async fn an_h2_client_that_stops_reading_is_released() {
    let lab = Lab::patient().await;
    let few = Windows {
        stream: 65_535,
        connection: 1 << 20,
    };
    let client = client::h2c(lab.gateway.address(), few).await;
    lab.upstream.push(Reply::json(200, vec![b'x'; 32 * MIB]));
    let mut incoming = client
        .begin(&pair::chat(&lab.gateway, 0))
        .await
        .expect("a head");
    lab.released(Instant::now(), "an HTTP/2 client").await;
    let end = loop {
        match incoming.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    end.expect_err("a reset");
    // The connection is as good as before.
    assert_eq!(client.send(&pair::chat(&lab.gateway, 0)).await.status, 200);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_released() {
    let lab = Lab::patient().await;
    let body = vec![b'x'; 4 * MIB];
    lab.upstream.push(Reply::json(200, body.clone()));
    let mut client = client::h1_narrow(lab.gateway.address(), 64 * 1024).await;
    let mut incoming = client
        .begin(&pair::chat(&lab.gateway, 0))
        .await
        .expect("a head");
    let (mut got, began) = (0, Instant::now());
    while let Some(piece) = incoming.next().await.expect("no cut") {
        got += piece.len();
        // Two seconds in all, never one without a byte.
        let due = Duration::from_secs(2).mul_f64(got as f64 / body.len() as f64);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
    assert_eq!(got, body.len());
    assert!(began.elapsed() > PATIENCE);
}

#[tokio::test]
async fn a_client_that_sends_a_byte_at_a_time_is_released() {
    let lab = Lab::patient().await;
    for protocol in CLIENTS {
        for announced in [true, false] {
            let what = format!("{protocol:?}, announced: {announced}");
            let request = pair::chat(&lab.gateway, 0)
                .pieces(1)
                .pause(Duration::from_millis(100));
            let request = if announced {
                request
            } else {
                request.unannounced()
            };
            let began = Instant::now();
            let mut client = lab.client(protocol).await;
            let answer = client.try_send(&request).await;
            lab.released(began, &what).await;
            let response = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(
                (response.status, code(&response).as_str()),
                (400, "invalid_request"),
                "{what}"
            );
            if let Client::H1(client) = &mut client {
                assert!(response.head.closes(), "{what}");
                client.closed().await;
            }
        }
    }
    assert_eq!(lab.upstream.count(), 0);
}

#[tokio::test]
async fn a_client_that_sends_no_body_is_released() {
    let lab = Lab::patient().await;
    for protocol in CLIENTS {
        let request = pair::chat(&lab.gateway, 4 * KIB)
            .pieces(2 * KIB)
            .pause(Duration::from_secs(60));
        let began = Instant::now();
        let response = lab.client(protocol).await.send(&request).await;
        assert_eq!(response.status, 400, "{protocol:?}: {}", response.text());
        lab.released(began, &format!("{protocol:?}")).await;
    }
    assert_eq!(lab.upstream.count(), 0);
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_a_body_that_is_streamed_through_is_released() {
    let lab = Lab::new(|gateway| {
        gateway
            .config("timeouts.client", "1s")
            .config("limits.replay_request", "64KiB")
    })
    .await;
    for protocol in CLIENTS {
        let body = bodies::sized(MODEL, Position::First, MIB);
        let request = lab
            .gateway
            .post(TARGET, body)
            .pieces(MIB / 2)
            .pause(Duration::from_secs(60));
        let began = Instant::now();
        let count = lab.upstream.count();
        let answer = lab.client(protocol).await.try_send(&request).await;
        if let Ok(response) = answer {
            assert_eq!(response.status, 400, "{protocol:?}: {}", response.text());
        }
        lab.released(began, &format!("{protocol:?}")).await;
        // The provider has seen a part, and no end.
        let deliveries = lab.upstream.deliveries_since(count);
        assert!(
            deliveries.len() == 1 && !deliveries[0].complete,
            "{protocol:?}: {deliveries:?}"
        );
    }
}

#[tokio::test]
async fn a_slow_but_steady_upload_is_not_released() {
    let lab = Lab::patient().await;
    for protocol in CLIENTS {
        let request = pair::chat(&lab.gateway, 40 * KIB)
            .pieces(KIB)
            .pause(Duration::from_millis(40));
        let response = lab.client(protocol).await.send(&request).await;
        assert_eq!(response.status, 200, "{protocol:?}: {}", response.text());
    }
}

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
        .config("timeouts.first_byte", "2s")
        .config("timeouts.idle", "2s")
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
    drop(client);
    uploads.shutdown().await;
    pair::idle(&gateway).await;
    assert_eq!(upstream.count(), UPLOADS);
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

#[tokio::test]
async fn more_requests_than_allowed_are_turned_away_at_once() {
    let lab = Lab::new(|gateway| gateway.config("limits.requests", 3)).await;
    let gate = upstream::gate();
    lab.upstream
        .otherwise(behave().read().hold(&gate).send(good()));
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (request, address) = (pair::chat(&lab.gateway, 0), lab.gateway.address());
        requests.spawn(async move { client::send(address, &request).await.status });
    }
    gate.held(3).await;
    for protocol in CLIENTS {
        for size in [0, 4 * MIB] {
            let asked = Instant::now();
            let response = lab
                .client(protocol)
                .await
                .send(&pair::chat(&lab.gateway, size))
                .await;
            assert_eq!(
                (response.status, code(&response).as_str()),
                (503, "overloaded"),
                "{}",
                response.text()
            );
            assert!(
                response
                    .header("retry-after")
                    .is_some_and(|seconds| seconds.parse::<u32>().is_ok())
            );
            assert_eq!(response.header("x-should-retry"), None);
            assert!(
                asked.elapsed() < Duration::from_secs(2),
                "{:?}",
                asked.elapsed()
            );
        }
    }
    // What is no work for a provider is answered as ever.
    assert_eq!(lab.gateway.send(&client::get("/healthz")).await.status, 200);
    gate.open();
    assert_eq!(requests.join_all().await, [200; 3]);
    assert_eq!(lab.upstream.count(), 3);
    let metrics = pair::idle(&lab.gateway).await;
    assert_eq!(
        metrics.sum("tollgate_rejections_total", &[("code", "overloaded")]),
        4.0
    );
    assert_eq!(
        lab.gateway.send(&pair::chat(&lab.gateway, 0)).await.status,
        200
    );
}

#[tokio::test]
async fn a_gateway_that_was_abused_has_no_more_files_open_than_before() {
    let lab = Lab::patient().await;
    assert_eq!(
        lab.gateway.send(&pair::chat(&lab.gateway, 0)).await.status,
        200
    );
    lab.upstream.cut_connections(upstream::End::Abandon).await;
    pair::idle(&lab.gateway).await;
    let before = lab.gateway.open_files();
    let mut clients = Vec::new();
    let large = Bytes::from(vec![b'x'; 32 * MIB]);
    for _ in 0..10 {
        let mut client = client::h1_narrow(lab.gateway.address(), 4096).await;
        lab.upstream.push(Reply::json(200, large.clone()));
        drop(
            client
                .begin(&pair::chat(&lab.gateway, 0))
                .await
                .expect("a head"),
        );
        clients.push(client);
        // And one that does not send.
        let mut client = client::h1(lab.gateway.address()).await;
        client.raw(Bytes::from(format!(
            "POST {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 999\r\n\r\n{{",
            lab.gateway.key()
        )))
        .await
        .expect("sent");
        clients.push(client);
    }
    pair::idle(&lab.gateway).await;
    let closed = || lab.gateway.open_files() <= before;
    wait::until("the sockets' end", closed).await;
}
