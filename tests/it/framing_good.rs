//! Framing that is good, and stays so: chunks with all that belongs to them, `Expect`, pipelines, and bodies that a
//! refusal leaves unread.

use bytes::Bytes;

use crate::framing::{Lab, TARGET, body, chunked};
use crate::pair::{self, MODEL, code};
use crate::support::client::{self, Client, Ending, Protocol, Request, Response};
use crate::support::gateway::{custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Delivery, Reply};

#[tokio::test]
async fn chunks_with_extensions_and_trailers_are_read() {
    let lab = Lab::new().await;
    let body = body();
    let size = format!("{:X}", body.len());
    let text = String::from_utf8(body.to_vec()).expect("text");
    let bodies = [
        format!("{size};a=b;c=\"d\"\r\n{text}\r\n0\r\n\r\n"),
        format!("000{size}\r\n{text}\r\n000;x\r\n\r\n"),
        format!("{size}\r\n{text}\r\n0\r\nX-Trailer: a\r\n\r\n"),
        // An extension goes on to the end of its line, whatever is in it.
        format!("{size};a=\"\n\"\r\n{text}\r\n0\r\n\r\n"),
        format!("{size};a\0b\r\n{text}\r\n0\r\n\r\n"),
    ];
    for (count, good) in bodies.into_iter().enumerate() {
        let mut client = lab.connect().await;
        client.queue(lab.request(b"Transfer-Encoding: chunked\r\n", good.as_bytes()));
        let response = client.response("POST").await.expect("an answer");
        assert_eq!(response.status, 200, "{good:?}: {}", response.text());
        let delivery = lab.upstream.deliveries_since(count).remove(0);
        assert_eq!(delivery.bytes(), body, "{good:?}");
        assert_eq!(delivery.header("x-trailer"), None);
        // Where the body ended is known.
        assert_eq!(
            client.send(&lab.gateway.get("/v1/models")).await.status,
            200,
            "{good:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_once_and_the_provider_sees_nothing_of_it() {
    let lab = Lab::new().await;
    for (count, size) in [0, 70_000].into_iter().enumerate() {
        for announced in [true, false] {
            let request = pair::chat(&lab.gateway, size).expect_continue();
            let request = if announced {
                request
            } else {
                request.unannounced()
            };
            let response = lab.gateway.send(&request).await;
            assert_eq!(
                (response.status, response.head.interim),
                (200, vec![100]),
                "{size}, {announced}"
            );
        }
        let deliveries = lab.upstream.deliveries_since(count * 2);
        assert!(
            deliveries
                .iter()
                .all(|one| one.header("expect").is_none() && one.complete),
            "{deliveries:?}"
        );
    }
}

#[tokio::test]
async fn a_request_that_is_refused_is_not_asked_for_its_body() {
    let lab = Lab::new().await;
    let mut client = lab.connect().await;
    let wrong = client::post(TARGET, body())
        .bearer("tg-nobody")
        .expect_continue();
    let response = client.send(&wrong).await;
    assert_eq!((response.status, response.head.interim.len()), (401, 0));
    // Whether its body will come is not known, so that nothing can be read after it.
    assert!(response.head.closes());
    client.closed().await;
    assert_eq!(lab.upstream.count(), 0);
}

/// An answer that names the request it belongs to.
fn named(delivery: &Delivery) -> Behaviour {
    Reply::json(
        200,
        delivery
            .header("x-request-id")
            .expect("a number")
            .to_owned(),
    )
    .into()
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_or_not_at_all() {
    let upstream = upstream::h1().each(named).start().await;
    let gateway = gateway()
        .custom(custom("one").model(MODEL), &upstream)
        .start()
        .await;
    let lab = Lab { upstream, gateway };
    let (body, count) = (body(), 5);
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut bytes = Vec::new();
    for number in 0..count {
        let name = format!("X-Request-Id: {number}\r\n");
        if number % 2 == 0 {
            bytes.extend(lab.request(&[name.as_bytes(), length.as_bytes()].concat(), &body));
        } else {
            let lines = [name.as_bytes(), b"Transfer-Encoding: chunked\r\n"].concat();
            bytes.extend(lab.request(&lines, &chunked(&body)));
        }
    }
    let mut client = lab.connect().await;
    client.queue(bytes);
    for number in 0..count {
        let Ok(response) = client.response("POST").await else {
            assert!(number > 0, "not even the first was answered");
            break;
        };
        assert_eq!(
            (response.status, response.text()),
            (200, number.to_string())
        );
        if response.head.closes() {
            client.closed().await;
            break;
        }
    }
}

/// A body that a refusal leaves unread is not taken for the next request.
async fn after_a_refusal(lab: &Lab, client: &mut Client, response: &Response, what: &str) {
    assert_eq!(response.ending, Ending::Whole, "{what}");
    match client {
        Client::H1(client) if response.head.closes() => {
            // What the gateway does not read any more cannot be sent.
            let _ = client.flush().await;
            client.closed().await;
        }
        client => {
            let next = client.send(&lab.gateway.get("/v1/models")).await;
            assert_eq!(
                (next.status, next.json()["object"].as_str()),
                (200, Some("list")),
                "{what}"
            );
        }
    }
}

/// Refuses these requests, each with a length and without, over HTTP/1.1 and HTTP/2.
async fn can_be_read(size: usize, refused: impl Fn(&Lab, Bytes) -> Vec<(u16, Request)>) {
    let lab = Lab::new().await;
    // A body that would be requests by itself.
    let smuggled = format!("POST {TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let smuggled = Bytes::from(smuggled.repeat(size / smuggled.len()));
    for (status, request) in refused(&lab, smuggled) {
        for protocol in [Protocol::H1, Protocol::H2c] {
            for announced in [true, false] {
                let what = format!("{status}, {size} bytes, {protocol:?}, announced: {announced}");
                let request = if announced {
                    request.clone()
                } else {
                    request.clone().unannounced()
                };
                let address = lab.gateway.address();
                let mut client = Client::connect(protocol, address, &Authority::new()).await;
                let response = client.send(&request).await;
                assert_eq!(response.status, status, "{what}: {}", response.text());
                after_a_refusal(&lab, &mut client, &response, &what).await;
            }
        }
    }
    assert_eq!(lab.upstream.count(), 0);
    pair::idle(&lab.gateway).await;
}

#[tokio::test]
async fn every_refusal_before_the_body_was_read_can_be_read() {
    let refused = |lab: &Lab, body: Bytes| {
        let post = |target| client::post(target, body.clone());
        let key = lab.gateway.key();
        vec![
            (401, post(TARGET).bearer("tg-nobody")),
            (404, post("/v1/nothing").bearer(key)),
            (405, post("/v1/models").bearer(key)),
            (
                415,
                post(TARGET)
                    .bearer(key)
                    .header("content-encoding", "compress"),
            ),
        ]
    };
    can_be_read(200_000, refused).await;
}

#[tokio::test]
async fn a_refusal_can_be_read_whatever_the_size_of_the_body() {
    for size in [1024, 64 * 1024, 1 << 20, 20 << 20] {
        let nobody =
            |_: &Lab, body: Bytes| vec![(401, client::post(TARGET, body).bearer("tg-nobody"))];
        can_be_read(size, nobody).await;
    }
}

/// Many clients do not look for an answer before all of their request is sent.
#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_sees_the_refusal() {
    let lab = Lab::new().await;
    let body = vec![b' '; 1 << 20];
    let length = format!(
        "Content-Length: {}\r\nContent-Encoding: compress\r\n",
        body.len()
    );
    let coded = b"Transfer-Encoding: chunked\r\nContent-Encoding: compress\r\n";
    for request in [
        lab.request(length.as_bytes(), &body),
        lab.request(coded, &chunked(&body)),
    ] {
        let mut client = lab.connect().await;
        client.raw(request).await.expect("the gateway reads on");
        let response = client.response("POST").await.expect("an answer");
        assert_eq!(
            (response.status, response.is_whole()),
            (415, true),
            "{}",
            response.text()
        );
        assert!(response.head.closes());
        client.closed().await;
    }
    assert_eq!(lab.upstream.count(), 0);
}

#[tokio::test]
async fn broken_json_is_refused_without_harm_to_what_follows() {
    let lab = Lab::new().await;
    let wrong = Bytes::from(vec![b'['; 1 << 20]);
    for protocol in [Protocol::H1, Protocol::H2c] {
        let mut client = Client::connect(protocol, lab.gateway.address(), &Authority::new()).await;
        let response = client.send(&lab.gateway.post(TARGET, wrong.clone())).await;
        assert_eq!(
            (response.status, code(&response).as_str()),
            (400, "invalid_request"),
            "{}",
            response.text()
        );
        after_a_refusal(&lab, &mut client, &response, "broken JSON").await;
    }
    lab.is_well().await;
}
