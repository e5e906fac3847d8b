//! What holds for every protocol: records of deliveries, gates, events, connections that fail.

use std::io::ErrorKind::{ConnectionReset, InvalidData, UnexpectedEof};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::super::client::{self, Ending, Protocol, get, post};
use super::super::tls::Authority;
use super::super::upstream::{self, End, Framing, Greeting, Reply, fault, payload};
use super::super::{bodies, sha, wait};
use super::{PROTOCOLS, builder, connect, large};

#[tokio::test]
async fn a_delivery_is_recorded_as_it_was_sent() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .reply(Reply::json(200, "{}"))
            .start()
            .await;
        let mut client = connect(protocol, &upstream, &authority).await;
        let body = bodies::sized("m", bodies::Position::Middle, 100_000);
        for announced in [true, false] {
            let mut request = post("/v1/chat/completions?a=b", body.clone())
                .header("x-one", "1")
                .header("x-two", "2")
                .pieces(7_000);
            if !announced {
                request = request.unannounced();
            }
            let response = client.send(&request).await;
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, "{}"),
                "{protocol:?}"
            );
            assert_eq!(response.ending, Ending::Whole);
            assert_eq!(response.header("content-type"), Some("application/json"));

            let delivery = upstream.deliveries().pop().expect("a delivery");
            assert_eq!(delivery.method, "POST");
            assert_eq!(delivery.target, "/v1/chat/completions?a=b");
            assert_eq!(delivery.path(), "/v1/chat/completions");
            assert_eq!(delivery.authority, "gateway.test");
            assert_eq!(
                (delivery.header("X-One"), delivery.header("x-two")),
                (Some("1"), Some("2"))
            );
            assert_eq!(delivery.length, 100_000);
            assert!(delivery.complete);
            assert_eq!(delivery.sha256, Some(sha::hex(&body)));
            assert_eq!(delivery.bytes(), body);
            let length = announced.then_some("100000");
            assert_eq!(delivery.header("content-length"), length);
            let framing = match protocol {
                Protocol::H2c | Protocol::H2Tls => Framing::H2,
                _ if announced => Framing::Length,
                _ => Framing::Chunked,
            };
            assert_eq!(delivery.framing, framing);
        }
        let response = client.send(&get("/v1/models")).await;
        assert_eq!(response.status, 200);
        assert_eq!(upstream.count(), 3);
        assert_eq!(
            upstream.connections(),
            1,
            "{protocol:?} kept its connection"
        );
        assert!(
            upstream.complaints().is_empty(),
            "{:?}",
            upstream.complaints()
        );
    }
}

#[tokio::test]
async fn twenty_mebibytes_arrive_unchanged() {
    let authority = Authority::new();
    let body = large();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .reply(Reply::json(200, "{}"))
            .start()
            .await;
        let mut client = connect(protocol, &upstream, &authority).await;
        let response = client.send(&post("/", body.clone()).unannounced()).await;
        assert_eq!(response.status, 200);
        let delivery = upstream.delivery();
        assert_eq!(delivery.length, 20 << 20);
        assert_eq!(delivery.sha256, Some(sha::hex(&body)));
        assert_eq!(delivery.body.len(), upstream::KEPT_MAX);
    }
}

#[tokio::test]
async fn every_event_leaves_when_its_gate_lets_it() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let gate = upstream::gate();
        let events = payload::chat_sse("m", 3, Some(payload::USAGE));
        let count = events.len();
        let mut reply = Reply::sse(events.clone(), Duration::ZERO);
        for index in 0..count {
            reply = reply.hold_before(index, &gate);
        }
        let upstream = builder(protocol, &authority).reply(reply).start().await;
        let mut client = connect(protocol, &upstream, &authority).await;
        let mut incoming = client.begin(&post("/", "{}")).await.expect("a head");
        assert_eq!(
            incoming.head().header("content-type"),
            Some("text/event-stream")
        );
        for event in &events {
            gate.held(1).await;
            gate.admit(1);
            let mut piece = Vec::new();
            while piece.len() < event.len() {
                piece.extend(incoming.next().await.expect("no cut").expect("an event"));
            }
            assert_eq!(&piece, event.as_ref());
        }
        assert_eq!(incoming.next().await.expect("no cut"), None);
        assert_eq!(gate.held_max(), 1);
    }
}

#[tokio::test]
async fn a_scripted_queue_comes_before_what_is_done_otherwise() {
    let upstream = upstream::h1()
        .then(Reply::json(503, "{}").header("retry-after", "1"))
        .then(Reply::status(204))
        .each(|delivery| Reply::json(200, delivery.method.clone()).into())
        .start()
        .await;
    let mut client = client::h1(upstream.address()).await;
    let first = client.send(&get("/")).await;
    assert_eq!(
        (first.status, first.header("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(client.send(&get("/")).await.status, 204);
    assert_eq!(client.send(&get("/")).await.text(), "GET");
    upstream.push(Reply::status(429));
    assert_eq!(client.send(&get("/")).await.status, 429);
    upstream.otherwise(Reply::status(500));
    assert_eq!(client.send(&get("/")).await.status, 500);
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let reply = Reply::sse(payload::chat_sse("m", 3, None), Duration::ZERO);
        let upstream = builder(protocol, &authority)
            .then(fault::silent_after_body())
            .then(fault::stalled(reply, 20))
            .start()
            .await;
        for count in 1..=2 {
            let mut client = connect(protocol, &upstream, &authority).await;
            let request = post("/", "{}");
            tokio::select! {
                incoming = client.begin(&request) => drop(incoming),
                _ = upstream.wait_complete(count) => {}
            }
            drop(client);
            let gone = |all: &[upstream::Delivery]| {
                all.iter().filter(|one| one.gone_at.is_some()).count() == count
            };
            upstream.wait_until("the client's going", gone).await;
        }
        upstream.wait_open_at_most(0).await;
    }
}

#[tokio::test]
async fn ports_at_which_nobody_answers() {
    let refusing = upstream::refusing();
    let error = TcpStream::connect(refusing.address())
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

    let unreachable = upstream::unreachable().await;
    let connect = TcpStream::connect(unreachable.address());
    let hangs = tokio::time::timeout(Duration::from_millis(200), connect).await;
    assert!(hangs.is_err(), "{hangs:?}");

    let black_hole = upstream::black_hole().await;
    let mut client = client::h1(black_hole.address()).await;
    client
        .raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("sent");
    black_hole.wait_accepted(1).await;
    assert_eq!((black_hole.count(), black_hole.open_connections()), (0, 1));
}

#[tokio::test]
async fn connections_that_end_as_they_begin() {
    let upstream = upstream::h1()
        .greeting(Greeting::Close)
        .greeting(Greeting::Reset)
        .greeting(Greeting::Raw("nonsense\r\n\r\n".into()))
        .reply(Reply::status(200))
        .start()
        .await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let mut client = client::h1(upstream.address()).await;
        kinds.push(client.answer("GET").await.err().map(|error| error.kind()));
    }
    assert_eq!(
        kinds,
        [
            Some(UnexpectedEof),
            Some(ConnectionReset),
            Some(InvalidData)
        ]
    );
    assert_eq!(
        client::send(upstream.address(), &get("/")).await.status,
        200
    );
    assert_eq!((upstream.connections(), upstream.count()), (4, 1));
}

#[tokio::test]
async fn idle_connections_can_be_cut() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .reply(Reply::status(200))
            .start()
            .await;
        let mut client = connect(protocol, &upstream, &authority).await;
        assert_eq!(client.send(&get("/")).await.status, 200);
        upstream.cut_connections(End::Reset).await;
        assert_eq!(upstream.open_connections(), 0);
        client
            .try_send(&get("/"))
            .await
            .expect_err("the connection is gone");
        let mut client = connect(protocol, &upstream, &authority).await;
        assert_eq!(client.send(&get("/")).await.status, 200);
        assert_eq!(upstream.open_connections_max(), 1);
    }
}

#[tokio::test]
async fn tls_fails_where_the_certificate_is_of_another() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let other_authority = upstream::h1_tls(&theirs).start().await;
    let other_name = upstream::h1_tls(&ours)
        .identity(&ours.server_for(&["elsewhere.test"]))
        .start()
        .await;
    for upstream in [other_authority, other_name] {
        let connector = tokio_rustls::TlsConnector::from(ours.client(&["http/1.1"]));
        let stream = TcpStream::connect(upstream.address())
            .await
            .expect("a connection");
        let name = "localhost".try_into().expect("a name");
        let handshake = wait::within("the end of the handshake", connector.connect(name, stream));
        handshake.await.expect_err("TLS fails");
        assert_eq!(upstream.count(), 0);
    }
}

#[tokio::test]
async fn a_dropped_upstream_leaves_nothing_open() {
    let upstream = upstream::json("{}").await;
    let address = upstream.address();
    let mut client = client::h1(address).await;
    assert_eq!(client.send(&get("/")).await.status, 200);
    drop(upstream);
    client.closed().await;
    TcpStream::connect(address)
        .await
        .expect_err("nobody listens");
}

#[tokio::test]
async fn an_early_answer_is_seen_beside_a_stuck_upload() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .then(fault::early(Reply::json(413, "{}")).silence())
            .start()
            .await;
        let mut client = connect(protocol, &upstream, &authority).await;
        let response = client.send(&post("/", large())).await;
        assert_eq!(
            (response.status, response.ending),
            (413, Ending::Whole),
            "{protocol:?}"
        );
        let delivery = upstream.delivery();
        assert_eq!((delivery.length, delivery.complete), (0, false));
    }
}

#[tokio::test]
async fn an_upstream_may_read_on_after_an_early_answer() {
    for protocol in [Protocol::H1, Protocol::H1Tls] {
        let authority = Authority::new();
        let upstream = builder(protocol, &authority)
            .then(fault::early(Reply::json(413, "{}")))
            .reply(Reply::status(200))
            .start()
            .await;
        let client::Client::H1(mut client) = connect(protocol, &upstream, &authority).await else {
            unreachable!("HTTP/1.1")
        };
        let body = large();
        assert_eq!(client.send(&post("/", body.clone())).await.status, 413);
        client.flush().await.expect("the rest of the body");
        assert_eq!(client.send(&get("/")).await.status, 200);
        let deliveries = upstream.deliveries();
        assert_eq!(deliveries[0].sha256, Some(sha::hex(&body)));
        assert_eq!(deliveries[0].connection, deliveries[1].connection);
    }
}

#[tokio::test]
async fn an_upload_can_be_slow() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let upstream = builder(protocol, &authority)
            .reply(Reply::status(200))
            .start()
            .await;
        let mut client = connect(protocol, &upstream, &authority).await;
        let request = post("/", Bytes::from_static(b"0123456789"))
            .pieces(1)
            .pause(Duration::from_millis(10));
        assert_eq!(client.send(&request).await.status, 200);
        let delivery = upstream.delivery();
        let took = delivery.complete_at.expect("a whole body") - delivery.at;
        assert!(took >= Duration::from_millis(80), "{took:?}");
    }
}
