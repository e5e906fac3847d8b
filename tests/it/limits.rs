//! What a client may take of the gateway: requests at one time, and the patience that is had with one that stops reading
//! or sending. All of it comes back. Sizes of bodies are in `limits_bodies`.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::pair::{self, MODEL, code, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{self, Client, Protocol, Windows};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream, behave};
use crate::support::wait;

pub const TARGET: &str = "/v1/chat/completions";
pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;
pub const CLIENTS: [Protocol; 2] = [Protocol::H1, Protocol::H2c];

/// The patience with a client, in these tests.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest a client may be kept that does not deserve it: its time, twice where it begins anew, and a busy machine.
const RELEASED: Duration = Duration::from_secs(4);

/// A provider behind a gateway.
pub struct Lab {
    pub upstream: Upstream,
    pub gateway: Gateway,
}

impl Lab {
    pub async fn new(configure: impl FnOnce(Builder) -> Builder) -> Self {
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

    pub async fn client(&self, protocol: Protocol) -> Client {
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

async fn a_byte_at_a_time(protocol: Protocol) {
    let lab = Lab::patient().await;
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
    assert_eq!(lab.upstream.count(), 0);
}

#[tokio::test]
async fn an_h1_client_that_sends_a_byte_at_a_time_is_released() {
    a_byte_at_a_time(Protocol::H1).await;
}

#[tokio::test]
async fn an_h2_client_that_sends_a_byte_at_a_time_is_released() {
    a_byte_at_a_time(Protocol::H2c).await;
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
