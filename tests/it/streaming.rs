//! Answers on their way to the client: each piece leaves when it arrives, as it came, and a client that goes away is
//! noticed. Answers that break off are in `streaming_broken`, clients that leave before they have sent all in
//! `uploads_left`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use crate::pair::{self, MODEL, good};
use crate::support::bodies;
use crate::support::client::{self, Client, Ending, Incoming, Protocol, Request, Windows};
use crate::support::gateway::{Builder, Gateway, Metrics, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Delivery, Reply, Upstream, fault, payload};

pub const CLIENTS: [Protocol; 3] = [Protocol::H1, Protocol::H2c, Protocol::H2Tls];
pub const UPSTREAMS: [Protocol; 2] = [Protocol::H1, Protocol::H2Tls];

/// From a client's going to the end of the exchange at the provider, on a busy machine.
pub const CANCELLED: Duration = Duration::from_millis(500);

/// What is promised of it, which the median has to keep.
const PROMISED: Duration = Duration::from_millis(100);

/// A provider behind a gateway.
pub struct Lab {
    authority: Authority,
    pub upstream: Upstream,
    pub gateway: Gateway,
}

impl Lab {
    pub async fn new(protocol: Protocol) -> Self {
        Self::with(protocol, |gateway| gateway).await
    }

    pub async fn with(protocol: Protocol, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let authority = Authority::new();
        let upstream = match protocol {
            Protocol::H2Tls => upstream::h2_tls(&authority),
            _ => upstream::h1(),
        };
        let upstream = upstream.reply(good()).start().await;
        let surfaces =
            json!({"messages": {"path": "/messages"}, "responses": {"path": "/responses"}});
        let provider = custom("one").model(MODEL).set("surfaces", surfaces);
        let gateway = gateway()
            .tls(&authority)
            .trust(&authority)
            .custom(provider, &upstream);
        let gateway = configure(gateway).start().await;
        Self {
            authority,
            upstream,
            gateway,
        }
    }

    pub async fn client(&self, protocol: Protocol) -> Client {
        let address = match protocol {
            Protocol::H2Tls => self.gateway.tls_address(),
            _ => self.gateway.address(),
        };
        Client::connect(protocol, address, &self.authority).await
    }

    pub fn stream(&self, target: &str) -> Request {
        stream(&self.gateway, target)
    }
}

/// A request for a stream that asks for its usage, so that nothing is to be edited.
fn stream(gateway: &Gateway, target: &str) -> Request {
    let body = bodies::chat(MODEL).member("stream", "true");
    let body = body.member("stream_options", r#"{"include_usage":true}"#);
    gateway.post(target, body.build())
}

pub fn events(count: usize) -> Vec<Bytes> {
    payload::chat_sse(MODEL, count, Some(payload::USAGE))
}

/// Reads exactly `length` bytes of a body.
async fn read(incoming: &mut Incoming<'_>, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        got.extend(incoming.next().await.expect("no cut").expect("no end"));
    }
    got
}

#[tokio::test]
async fn every_event_leaves_when_it_arrives() {
    for speaks in UPSTREAMS {
        let lab = Lab::new(speaks).await;
        for protocol in CLIENTS {
            let context = format!("{protocol:?} to {speaks:?}");
            let gate = upstream::gate();
            let mut all = events(3);
            // Nothing is looked for in them: neither the end of an event nor text.
            all.insert(2, Bytes::from_static(b"data: half an "));
            all.insert(3, Bytes::from_static(b"event\r\n\r\n: \xff\x00\n"));
            let mut reply = Reply::sse(all.clone(), Duration::ZERO);
            for index in 0..all.len() {
                reply = reply.hold_before(index, &gate);
            }
            lab.upstream.push(reply);
            let mut client = lab.client(protocol).await;
            let request = lab.stream("/v1/chat/completions");
            let mut incoming = client
                .begin(&request)
                .await
                .expect("a head before any event");
            assert_eq!(incoming.head().status, 200, "{context}");
            assert_eq!(
                incoming.head().header("content-type"),
                Some("text/event-stream")
            );
            for event in &all {
                gate.held(1).await;
                gate.admit(1);
                assert_eq!(
                    read(&mut incoming, event.len()).await,
                    event.as_ref(),
                    "{context}"
                );
            }
            let rest = incoming.collect().await;
            assert_eq!(
                (rest.body.as_ref(), rest.ending),
                (&b""[..], Ending::Whole),
                "{context}"
            );
        }
    }
}

#[tokio::test]
async fn a_stream_whose_end_is_that_of_the_connection_is_whole() {
    let lab = Lab::new(Protocol::H1).await;
    for protocol in CLIENTS {
        let all = events(5);
        lab.upstream
            .push(Reply::sse(all.clone(), Duration::ZERO).until_close());
        let response = lab
            .client(protocol)
            .await
            .send(&lab.stream("/v1/chat/completions"))
            .await;
        assert_eq!(response.body, all.concat(), "{protocol:?}");
        assert_eq!(response.ending, Ending::Whole, "{protocol:?}");
    }
}

#[tokio::test]
async fn compressed_answers_pass_as_they_are() {
    // Not compressed at all, and nobody may find out.
    let bytes = Bytes::from(
        (0..100_000_u32)
            .map(|at| (at.wrapping_mul(at) >> 5).to_le_bytes()[0])
            .collect::<Vec<_>>(),
    );
    for speaks in UPSTREAMS {
        let lab = Lab::new(speaks).await;
        for protocol in CLIENTS {
            for coding in ["gzip", "br", "zstd", "deflate"] {
                let kind = if coding == "br" {
                    "text/event-stream"
                } else {
                    "application/json"
                };
                let reply = Reply::status(200)
                    .header("content-type", kind)
                    .header("content-encoding", coding)
                    .header("vary", "accept-encoding")
                    .piece(bytes.clone());
                lab.upstream.push(if coding == "gzip" {
                    reply
                } else {
                    reply.chunked()
                });
                let request = lab
                    .stream("/v1/chat/completions")
                    .header("accept-encoding", "gzip, br;q=0.5");
                let response = lab.client(protocol).await.send(&request).await;
                let context = format!("{coding}, {protocol:?} to {speaks:?}");
                assert_eq!(response.body, bytes, "{context}");
                assert_eq!(response.ending, Ending::Whole, "{context}");
                assert_eq!(response.head.all("content-encoding"), [coding], "{context}");
                assert_eq!(response.head.all("content-type"), [kind], "{context}");
                let delivery = lab.upstream.deliveries().pop().expect("a delivery");
                assert_eq!(
                    delivery.header("accept-encoding"),
                    Some("gzip, br;q=0.5"),
                    "{context}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_ask_for_compression_gets_none() {
    let lab = Lab::new(Protocol::H1).await;
    let response = lab.gateway.send(&lab.stream("/v1/chat/completions")).await;
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(lab.upstream.delivery().header("accept-encoding"), None);
}

#[tokio::test]
async fn twenty_mebibytes_pass_intact() {
    let body = bodies::chat("any").size(20 << 20).build();
    for speaks in UPSTREAMS {
        let lab = Lab::new(speaks).await;
        for (turn, protocol) in CLIENTS.into_iter().enumerate() {
            let reply = Reply::json(200, body.clone());
            lab.upstream.push(match turn {
                0 => reply,
                1 => reply.chunked(),
                _ if speaks == Protocol::H1 => reply.until_close(),
                _ => reply,
            });
            let response = lab
                .client(protocol)
                .await
                .send(&lab.stream("/v1/chat/completions"))
                .await;
            let context = format!("{protocol:?} from {speaks:?}");
            assert_eq!(response.ending, Ending::Whole, "{context}");
            assert!(
                response.body == body,
                "{context}: {} bytes",
                response.body.len()
            );
        }
    }
}

/// A client that is there, and then no more.
async fn leaves(lab: &Lab, protocol: Protocol, begun: bool, reset: bool) -> Duration {
    let count = lab.upstream.count();
    let event = Bytes::from_static(b"data: {}\n\n");
    let reply = Reply::sse([event.clone()], Duration::ZERO);
    lab.upstream.push(if begun {
        fault::stalled(reply, event.len())
    } else {
        fault::silent_after_body()
    });
    let mut client = lab.client(protocol).await;
    let request = lab.stream("/v1/chat/completions");
    if begun {
        let mut incoming = client.begin(&request).await.expect("a head");
        read(&mut incoming, event.len()).await;
    } else {
        tokio::select! {
            _ = client.begin(&request) => panic!("answered"),
            _ = lab.upstream.wait_complete(count + 1) => {}
        }
    }
    let left = Instant::now();
    match client {
        Client::H1(client) if reset => client.reset(),
        client => drop(client),
    }
    let gone = |all: &[Delivery]| all[count].gone_at.is_some();
    let deliveries = lab
        .upstream
        .wait_until("the end of the exchange", gone)
        .await;
    deliveries[count]
        .gone_at
        .expect("seen")
        .saturating_duration_since(left)
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_exchange_at_the_provider() {
    for speaks in UPSTREAMS {
        let lab = Lab::new(speaks).await;
        let mut times = Vec::new();
        for protocol in CLIENTS {
            for (begun, reset) in [(false, false), (true, false), (false, true), (true, true)] {
                let took = leaves(&lab, protocol, begun, reset).await;
                let context = format!("{protocol:?} to {speaks:?}, begun: {begun}, reset: {reset}");
                assert!(took < CANCELLED, "{context}: {took:?}");
                times.push(took);
            }
        }
        // One of them may meet a machine that is busy, the half of them not.
        times.sort_unstable();
        let median = times[times.len() / 2];
        eprintln!("{speaks:?}: {median:?} on the median of {}", times.len());
        assert!(median < PROMISED, "{speaks:?}: {times:?}");
        pair::idle(&lab.gateway).await;
        let canceled = [("provider", "one"), ("outcome", "canceled")];
        assert_eq!(
            lab.gateway
                .metrics()
                .await
                .sum("tollgate_attempts_total", &canceled),
            6.0
        );
    }
}

#[tokio::test]
async fn a_stream_that_an_h2_client_resets_leaves_its_neighbours_alone() {
    let lab = Lab::new(Protocol::H1).await;
    let gate = upstream::gate();
    let all = events(4);
    let held = Reply::sse(all.clone(), Duration::ZERO).hold_before(1, &gate);
    let connection = client::h2c(lab.gateway.address(), Windows::default()).await;
    lab.upstream.push(held);
    let mut neighbour = connection
        .begin(&lab.stream("/v1/chat/completions"))
        .await
        .expect("a head");
    assert_eq!(
        neighbour.next().await.expect("no cut"),
        Some(all[0].clone())
    );

    lab.upstream
        .push(fault::stalled(Reply::sse(all.clone(), Duration::ZERO), 10));
    let mut reset = connection
        .begin(&lab.stream("/v1/chat/completions"))
        .await
        .expect("a head");
    assert!(reset.next().await.expect("no cut").is_some());
    drop(reset);
    lab.upstream
        .wait_until("the end of the exchange", |all| all[1].gone_at.is_some())
        .await;
    gate.open();
    let response = neighbour.collect().await;
    assert_eq!(
        (response.body, response.ending),
        (all[1..].concat().into(), Ending::Whole)
    );
}

/// Streams under way at the same time.
const MANY: u32 = 200;

/// Event number `at` of stream number `number`.
fn numbered(number: &str, at: usize) -> Bytes {
    Bytes::from(format!("data: {{\"stream\":{number},\"event\":{at}}}\n\n"))
}

#[tokio::test]
async fn two_hundred_streams_at_once_arrive_in_order() {
    // All are held before their third event until every stream has begun.
    let gate = upstream::gate();
    let held = gate.clone();
    let answer = move |delivery: &Delivery| {
        let number = delivery
            .header("x-request-id")
            .expect("a number")
            .to_owned();
        let reply = Reply::sse(
            (0..20).map(|at| numbered(&number, at)),
            Duration::from_millis(1),
        );
        Behaviour::from(reply.hold_before(2, &held))
    };
    let upstream = upstream::h1().each(answer).start().await;
    let gateway = gateway()
        .custom(custom("one").model(MODEL), &upstream)
        .start()
        .await;
    let shared = client::h2c(gateway.address(), Windows::default()).await;
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..MANY {
        let request =
            stream(&gateway, "/v1/chat/completions").header("x-request-id", &number.to_string());
        let (shared, address) = (shared.clone(), gateway.address());
        streams.spawn(async move {
            // A quarter of them share a connection.
            let response = match number % 4 {
                0 => shared.send(&request).await,
                _ => client::send(address, &request).await,
            };
            (number, response)
        });
    }
    gate.held(MANY as usize).await;
    let all_open = |metrics: &Metrics| metrics.sum("tollgate_streams_open", &[]) == f64::from(MANY);
    gateway.metrics_until("every open stream", all_open).await;
    gate.open();
    for (number, response) in streams.join_all().await {
        let expected: Vec<Bytes> = (0..20)
            .map(|at| numbered(&number.to_string(), at))
            .collect();
        assert_eq!(
            (response.status, response.body),
            (200, expected.concat().into()),
            "stream {number}"
        );
        assert_eq!(response.ending, Ending::Whole, "stream {number}");
    }
    assert_eq!(upstream.count(), MANY as usize);
    pair::idle(&gateway).await;
}
