//! A provider that answers before it has read the body (RFC 9110, section 15.5.14): its answer is relayed within two
//! seconds, on the first attempt and on a later one, and the body is not sent again.

use std::time::{Duration, Instant};

use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, error, good};
use crate::support::bodies::{self, Position};
use crate::support::client::{self, Protocol, Response};
use crate::support::gateway::Gateway;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Reply, Upstream, fault, frame, payload};

/// From the provider's answer to the client's.
const RELAYED: Duration = Duration::from_secs(2);

const LARGE: usize = 20 << 20;

fn too_large() -> Reply {
    Reply::json(413, payload::openai_error("too large", "invalid_request_error", "size"))
}

/// Ways to answer early over HTTP/1.1.
fn over_h1(reply: &Reply) -> [(&'static str, Behaviour); 3] {
    let early = || fault::early(reply.clone());
    [
        ("h1, closing in order", early().close()),
        ("h1, closing at once", early().abandon()),
        ("h1, which stops reading", early().silence()),
    ]
}

/// Ways to answer early over HTTP/2.
fn over_h2(reply: &Reply) -> [(&'static str, Behaviour); 2] {
    let early = || fault::early(reply.clone());
    [
        ("h2, without window credit", early().silence()),
        ("h2, resetting the stream", early().reset_stream(frame::NO_ERROR)),
    ]
}

/// A small window, so that none of the body but its beginning is taken unread.
fn narrow() -> upstream::Settings {
    upstream::Settings { stream_window: 65_535, ..upstream::Settings::default() }
}

/// Sends 20 MiB, and measures the time from when the request reached `upstream` (which answers at once) to the answer.
async fn ask(gateway: &Gateway, protocol: Protocol, upstream: &Upstream, authority: &Authority) -> (Response, Duration) {
    let mut client = client::Client::connect(protocol, gateway.address(), authority).await;
    let request = chat(gateway, LARGE);
    let incoming = client.begin(&request).await.expect("an answer");
    let answered = Instant::now();
    let response = incoming.collect().await;
    let delivery = upstream.deliveries().pop().expect("a delivery");
    let took = answered.saturating_duration_since(delivery.at);

    // The gateway has read all of the body, so that its connection to the client is fit for more.
    upstream.otherwise(good());
    assert_eq!(client.send(&chat(gateway, 0)).await.status, 200);
    (response, took)
}

#[derive(Clone, Copy, PartialEq)]
enum Attempt {
    First,
    Second,
}

async fn check(what: &str, upstream: upstream::Builder, behaviour: Behaviour, authority: &Authority, at: Attempt) {
    for protocol in [Protocol::H1, Protocol::H2c] {
        let context = format!("{what}, client {protocol:?}");
        let early = upstream.clone_with(behaviour.clone()).await;
        let _ = (early, at, authority, context);
    }
}
