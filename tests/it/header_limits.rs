//! Headers that are too large, in fields and in bytes, over both protocols: each is answered, and the gateway goes on.

use serde_json::Value;

use crate::ask;
use crate::limits::{CLIENTS, KIB, MIB};
use crate::support::client::{self, Client, Protocol, Request};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Upstream};

struct Lab {
    gateway: Gateway,
    authority: Authority,
    upstream: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let upstream = upstream::h1().reply(ask::answer()).start().await;
        let provider = ask::speaking_all(custom("one").model("m"));
        let gateway = gateway().custom(provider, &upstream).start().await;
        Self {
            gateway,
            authority: Authority::new(),
            upstream,
        }
    }

    async fn client(&self, protocol: Protocol) -> Client {
        Client::connect(protocol, self.gateway.address(), &self.authority).await
    }

    fn request(&self, surface: &str) -> Request {
        ask::surface(surface)
            .post("one:m")
            .bearer(self.gateway.key())
    }
}

/// With so many fields more.
fn with_fields(request: Request, count: usize) -> Request {
    (0..count).fold(request, |request, number| {
        request.header(&format!("x-stainless-{number}"), "1")
    })
}

/// With so many bytes more, in values of 8 KiB.
fn with_bytes(request: Request, bytes: usize) -> Request {
    let fields = bytes.div_ceil(8 * KIB);
    let value = "v".repeat(bytes / fields);
    (0..fields).fold(request, |request, number| {
        request.header(&format!("x-stainless-{number}"), &value)
    })
}

#[tokio::test]
async fn a_header_within_the_limits_passes_whole() {
    let lab = Lab::new().await;
    for protocol in CLIENTS {
        let mut client = lab.client(protocol).await;
        for request in [
            with_fields(lab.request("chat"), 190),
            with_bytes(lab.request("chat"), 60 * KIB),
        ] {
            let before = lab.upstream.count();
            let response = client.send(&request).await;
            assert_eq!(response.status, 200, "{protocol:?}: {}", response.text());
            let delivery = lab.upstream.deliveries_since(before).remove(0);
            let arrived = |number: usize| delivery.header(&format!("x-stainless-{number}"));
            assert!(arrived(0).is_some() && arrived(7).is_some());
            let last = arrived(189).or(arrived(7)).map(str::len);
            assert!(matches!(last, Some(1 | 7_680)), "{last:?}");
        }
    }
}

#[tokio::test]
async fn more_than_that_is_refused_in_the_dialect_of_the_surface() {
    let lab = Lab::new().await;
    for protocol in CLIENTS {
        for surface in ["chat", "messages"] {
            let mut requests = vec![with_fields(lab.request(surface), 220)];
            if protocol == Protocol::H1 {
                requests.push(with_bytes(lab.request(surface), 70 * KIB));
                requests.push(with_bytes(lab.request(surface), 900 * KIB));
            } else {
                requests.push(with_fields(lab.request(surface), 600));
            }
            for request in requests {
                let response = lab.client(protocol).await.send(&request).await;
                let dialect = ask::surface(surface).dialect;
                let words = ask::refused(&response, dialect, 431, "headers_too_large");
                assert!(
                    words.contains("200 fields") && words.contains("65536 bytes"),
                    "{words}"
                );
            }
        }
    }
    assert_eq!(lab.upstream.count(), 0);
    let lines = lab.gateway.access_lines(10).await;
    assert!(
        lines.iter().all(|line| line["status"] == 431),
        "{:?}",
        lines[0]
    );
    assert!(
        lines.iter().all(|line| line["code"] != Value::Null),
        "{:?}",
        lines[0]
    );
}

#[tokio::test]
async fn what_is_not_even_read_is_answered_by_http_itself() {
    let lab = Lab::new().await;
    for request in [
        with_fields(lab.request("chat"), 300),
        with_bytes(lab.request("chat"), 2 * MIB),
    ] {
        let mut client = client::h1(lab.gateway.address()).await;
        // It may be closed on while it still sends.
        if let Ok(response) = client.try_send(&request).await {
            assert_eq!(response.status, 400, "{}", response.text());
            assert!(response.body.is_empty(), "{}", response.text());
        }
    }
    let mut client = lab.client(Protocol::H2c).await;
    let large = with_bytes(lab.request("chat"), 100 * KIB);
    let response = client.send(&large).await;
    assert_eq!(response.status, 431, "{}", response.text());
    // The connection goes on.
    let response = client.send(&lab.request("chat")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let response = lab.gateway.send(&lab.request("chat")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(lab.upstream.count(), 2);
}
