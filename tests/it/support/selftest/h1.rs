//! The faults of HTTP/1.1 upstreams, as a client sees them.

use std::io::ErrorKind;

use super::super::client::{self, Ending, get, post};
use super::super::upstream::{self, Behaviour, Reply, Upto, behave, fault};
use super::super::{bodies, wait};
use super::large;

/// What one request of 100,000 bytes comes to: the response, or the kind of failure before it.
async fn outcome(
    behaviour: Behaviour,
) -> (Result<client::Response, ErrorKind>, upstream::Delivery) {
    let upstream = upstream::h1().then(behaviour).start().await;
    let mut client = client::h1(upstream.address()).await;
    let body = bodies::sized("m", bodies::Position::Last, 100_000);
    let response = client
        .try_send(&post("/", body))
        .await
        .map_err(|error| error.kind());
    (response, upstream.delivery())
}

fn lost(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[tokio::test]
async fn resets_happen_where_they_are_said_to() {
    let (response, delivery) = outcome(fault::reset_before_body()).await;
    assert!(lost(response.expect_err("no answer")));
    assert_eq!((delivery.length, delivery.complete), (0, false));

    let (response, delivery) = outcome(fault::reset_in_body(50_000)).await;
    assert!(lost(response.expect_err("no answer")));
    assert_eq!((delivery.length, delivery.complete), (50_000, false));

    let (response, delivery) = outcome(fault::reset_after_body()).await;
    assert_eq!(response.expect_err("no answer"), ErrorKind::ConnectionReset);
    assert!(delivery.complete);

    let (response, delivery) = outcome(fault::close_after_body()).await;
    assert_eq!(response.expect_err("no answer"), ErrorKind::UnexpectedEof);
    assert!(delivery.complete);

    let (response, _) = outcome(fault::reset_in_head()).await;
    assert_eq!(response.expect_err("no answer"), ErrorKind::ConnectionReset);

    let reply = Reply::json(200, "{\"a\":1}");
    let (response, _) = outcome(fault::reset_after_head(reply.clone())).await;
    let response = response.expect("a head");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert!(matches!(response.ending, Ending::Cut(_)));

    let (response, _) = outcome(fault::reset_in_answer(reply, 3)).await;
    let response = response.expect("a head");
    assert_eq!(response.text(), "{\"a");
    assert!(matches!(response.ending, Ending::Cut(_)));
}

#[tokio::test]
async fn a_reset_in_a_body_leaves_the_rest_unread() {
    let upstream = upstream::h1()
        .then(fault::reset_in_body(50_000))
        .start()
        .await;
    let mut client = client::h1(upstream.address()).await;
    let response = client
        .try_send(&post("/", large()))
        .await
        .map_err(|error| error.kind());
    assert!(lost(response.expect_err("no answer")));
    let delivery = upstream.delivery();
    assert_eq!((delivery.length, delivery.complete), (50_000, false));
}

#[tokio::test]
async fn truncated_answers_are_not_whole() {
    let framings = [
        Reply::json(200, "0123456789"),
        Reply::json(200, "0123456789").chunked(),
        Reply::json(200, "01234").piece("56789").chunked(),
    ];
    for reply in framings {
        let (response, _) = outcome(fault::truncated(reply.clone(), 7)).await;
        let response = response.expect("a head");
        assert_eq!(response.text(), "0123456");
        assert!(matches!(response.ending, Ending::Cut(_)));
        let (response, _) = outcome(reply.into()).await;
        assert_eq!(response.expect("an answer").ending, Ending::Whole);
    }
    let all_but_the_last_chunk = Upto::Bytes(10);
    let reply = Reply::json(200, "0123456789").chunked();
    let (response, _) = outcome(
        behave()
            .read()
            .send_upto(reply, all_but_the_last_chunk)
            .close(),
    )
    .await;
    let response = response.expect("a head");
    assert_eq!(response.body.len(), 10);
    assert!(matches!(response.ending, Ending::Cut(_)));

    let (response, _) = outcome(Reply::json(200, "0123456789").until_close().into()).await;
    let response = response.expect("an answer");
    assert_eq!(
        (response.text().as_str(), response.ending),
        ("0123456789", Ending::UntilClose)
    );
    assert!(response.head.closes());

    let (response, _) = outcome(fault::truncated(Reply::json(200, "01").claimed(5), 2)).await;
    assert!(matches!(response.expect("a head").ending, Ending::Cut(_)));
}

#[tokio::test]
async fn malformed_answers_are_no_answers() {
    for bytes in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ] {
        let (response, _) = outcome(fault::malformed(bytes)).await;
        assert_eq!(
            response.expect_err("no answer"),
            ErrorKind::InvalidData,
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn early_answers_end_as_said() {
    for (behaviour, closes) in [
        (fault::early(Reply::json(413, "{}")).close(), true),
        (fault::early(Reply::json(413, "{}")), false),
    ] {
        let upstream = upstream::h1()
            .then(behaviour)
            .reply(Reply::status(200))
            .start()
            .await;
        let mut client = client::h1(upstream.address()).await;
        assert_eq!(client.send(&post("/", large())).await.status, 413);
        if closes {
            client.closed().await;
        } else {
            assert_eq!(client.send(&get("/")).await.status, 200);
            assert!(upstream.deliveries()[0].complete);
        }
    }
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let upstream = upstream::h1().reply(Reply::status(200)).start().await;
    let mut client = client::h1(upstream.address()).await;
    let response = client.send(&post("/", "{}").expect_continue()).await;
    assert_eq!(
        (response.status, response.head.interim.as_slice()),
        (200, &[100][..])
    );
    assert_eq!(upstream.delivery().bytes(), "{}");
}

#[tokio::test]
async fn a_request_can_be_sent_in_any_bytes_and_half_closed() {
    let upstream = upstream::json("{}").await;
    let mut client = client::h1(upstream.address()).await;
    for byte in
        b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    {
        client.raw(vec![*byte]).await.expect("sent");
    }
    client.half_close().await.expect("half closed");
    assert_eq!(
        client.response("POST").await.expect("an answer").text(),
        "{}"
    );
    client.closed().await;
    assert_eq!(upstream.delivery().bytes(), "{}");

    let mut client = client::h1(upstream.address()).await;
    client.raw("no request at all\r\n\r\n").await.expect("sent");
    client.closed().await;
    assert_eq!((upstream.count(), upstream.complaints().len()), (1, 1));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = upstream::h1()
        .each(|delivery| Reply::json(200, delivery.target.clone()).into())
        .start()
        .await;
    let mut client = client::h1(upstream.address()).await;
    client.queue("GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n");
    for target in ["/a", "/b"] {
        assert_eq!(
            client.response("GET").await.expect("an answer").text(),
            target
        );
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_felt() {
    let piece = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
    let mut reply = Reply::status(200).chunked();
    for _ in 0..512 {
        reply = reply.piece(piece.clone());
    }
    let gate = upstream::gate();
    let reply = reply.hold_before(511, &gate);
    let upstream = upstream::h1().reply(reply).start().await;
    let mut client = client::h1_narrow(upstream.address(), 4096).await;
    let incoming = client.begin(&get("/")).await.expect("a head");
    // What the kernel holds for a client that does not read is far below 32 MiB: the last piece is not reached.
    let reached = tokio::time::timeout(std::time::Duration::from_millis(300), gate.held(1)).await;
    assert!(
        reached.is_err(),
        "32 MiB went to a client that does not read"
    );
    let reading = incoming.collect();
    let opening = async {
        gate.held(1).await;
        gate.open();
    };
    let (response, ()) = wait::within("the rest", async { tokio::join!(reading, opening) }).await;
    assert_eq!(
        (response.body.len(), response.ending),
        (32 << 20, Ending::Whole)
    );
}
