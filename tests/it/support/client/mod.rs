//! Raw clients: HTTP/1.1 and HTTP/2, plain and TLS, that send what they are told and report what they saw.
//! They judge nothing; the tests do.

mod h1;
mod h2;
mod request;
mod response;

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

pub use self::h1::{Connection as H1, Incoming as H1Incoming};
pub use self::h2::{Connection as H2, Incoming as H2Incoming, Windows};
pub use request::{Request, get, post};
pub use response::{Ending, Head, Response};

use super::socket::{Socket, Stream};
use super::tls::Authority;
use super::wait;

/// A protocol to reach a server by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 without TLS.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
    /// HTTP/2 over TLS, agreed by ALPN.
    H2Tls,
}

/// An HTTP/1.1 connection to `address`.
pub async fn h1(address: SocketAddr) -> H1 {
    let socket = connect(address, None).await;
    H1::new(Box::new(socket.clone()), socket)
}

/// An HTTP/1.1 connection whose kernel holds at most about `receive_buffer` bytes that have not been read: a client
/// that stops reading is felt at the other end.
pub async fn h1_narrow(address: SocketAddr, receive_buffer: u32) -> H1 {
    let socket = connect(address, Some(receive_buffer)).await;
    H1::new(Box::new(socket.clone()), socket)
}

/// An HTTP/1.1 connection over TLS.
pub async fn h1_tls(address: SocketAddr, authority: &Authority) -> H1 {
    let (stream, socket) = secured(address, authority, "http/1.1").await;
    H1::new(stream, socket)
}

/// An HTTP/2 connection without TLS.
pub async fn h2c(address: SocketAddr, windows: Windows) -> H2 {
    let socket = connect(address, None).await;
    H2::new(Box::new(socket), windows)
        .await
        .expect("an HTTP/2 handshake")
}

/// An HTTP/2 connection over TLS.
pub async fn h2_tls(address: SocketAddr, authority: &Authority, windows: Windows) -> H2 {
    let (stream, _) = secured(address, authority, "h2").await;
    H2::new(stream, windows).await.expect("an HTTP/2 handshake")
}

/// A connection by any protocol, for tests that hold for all of them.
pub enum Client {
    /// HTTP/1.1.
    H1(H1),
    /// HTTP/2.
    H2(H2),
}

/// A response whose head has been read, by any protocol.
pub enum Incoming<'c> {
    /// HTTP/1.1.
    H1(H1Incoming<'c>),
    /// HTTP/2.
    H2(H2Incoming),
}

impl Client {
    /// Connects to `address`.
    pub async fn connect(protocol: Protocol, address: SocketAddr, authority: &Authority) -> Self {
        let windows = Windows::default();
        match protocol {
            Protocol::H1 => Self::H1(h1(address).await),
            Protocol::H1Tls => Self::H1(h1_tls(address, authority).await),
            Protocol::H2c => Self::H2(h2c(address, windows).await),
            Protocol::H2Tls => Self::H2(h2_tls(address, authority, windows).await),
        }
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// When there is no response head.
    pub async fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        match self {
            Self::H1(connection) => connection.try_send(request).await,
            Self::H2(connection) => connection.try_send(request).await,
        }
    }

    /// As `try_send`, for requests that must be answered.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn send(&mut self, request: &Request) -> Response {
        self.try_send(request)
            .await
            .unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// Sends a request and reads the head of its response.
    ///
    /// # Errors
    /// When there is none.
    pub async fn begin(&mut self, request: &Request) -> io::Result<Incoming<'_>> {
        Ok(match self {
            Self::H1(connection) => Incoming::H1(connection.begin(request).await?),
            Self::H2(connection) => Incoming::H2(connection.begin(request).await?),
        })
    }
}

impl Incoming<'_> {
    /// The head.
    pub fn head(&self) -> &Head {
        match self {
            Self::H1(incoming) => &incoming.head,
            Self::H2(incoming) => &incoming.head,
        }
    }

    /// The next piece of the body as it came; `None` at its end.
    ///
    /// # Errors
    /// When the body is cut.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::H1(incoming) => incoming.next().await,
            Self::H2(incoming) => incoming.next().await,
        }
    }

    /// Reads the rest of the body.
    pub async fn collect(self) -> Response {
        match self {
            Self::H1(incoming) => incoming.collect().await,
            Self::H2(incoming) => incoming.collect().await,
        }
    }
}

/// Sends one request on an HTTP/1.1 connection of its own.
pub async fn send(address: SocketAddr, request: &Request) -> Response {
    h1(address).await.send(request).await
}

/// Posts a JSON body on an HTTP/1.1 connection of its own.
pub async fn post_json(
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response {
    send(address, &post(target, body).headers(headers)).await
}

async fn connect(address: SocketAddr, receive_buffer: Option<u32>) -> Socket {
    let connect = wait::within("a connection", Socket::connect(address, receive_buffer)).await;
    connect.unwrap_or_else(|error| panic!("connecting to {address}: {error}"))
}

async fn secured(address: SocketAddr, authority: &Authority, alpn: &str) -> (Stream, Socket) {
    let socket = connect(address, None).await;
    let connector = TlsConnector::from(authority.client(&[alpn]));
    let name = ServerName::try_from("localhost").expect("a name");
    let handshake = wait::within("a TLS handshake", connector.connect(name, socket.clone())).await;
    let stream = handshake.unwrap_or_else(|error| panic!("TLS with {address}: {error}"));
    let agreed = stream.get_ref().1.alpn_protocol();
    assert_eq!(agreed, Some(alpn.as_bytes()), "ALPN with {address}");
    (Box::new(stream), socket)
}
