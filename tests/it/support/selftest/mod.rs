//! Tests of the toolkit itself: the clients against the fake providers with no gateway between them, and
//! the handle of the gateway's process. A fault that a
//! fake does not really commit would make a test of the gateway pass for nothing.

mod connections;
mod gateway;
mod h1;
mod h2;

use bytes::Bytes;

use super::client::{self, Protocol};
use super::tls::Authority;
use super::upstream::{self, Upstream};

/// A body larger than what the sockets and windows between two programs hold.
fn large() -> Bytes {
    super::bodies::sized("m", super::bodies::Position::Last, 20 << 20)
}

/// The builder of an upstream that is reached by `protocol`.
fn builder(protocol: Protocol, authority: &Authority) -> upstream::Builder {
    match protocol {
        Protocol::H1 => upstream::h1(),
        Protocol::H1Tls => upstream::h1_tls(authority),
        Protocol::H2c => upstream::h2c(),
        Protocol::H2Tls => upstream::h2_tls(authority),
    }
}

async fn connect(protocol: Protocol, upstream: &Upstream, authority: &Authority) -> client::Client {
    client::Client::connect(protocol, upstream.address(), authority).await
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol::H1,
    Protocol::H1Tls,
    Protocol::H2c,
    Protocol::H2Tls,
];
