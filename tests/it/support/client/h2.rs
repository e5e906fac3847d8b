//! An HTTP/2 client on one connection, plain or TLS: bodies with and without a length, in frames of a chosen size,
//! answers read while the request is still being sent. It retries nothing.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};

use super::request::Request;
use super::response::{Ending, Head, Response};
use crate::support::socket::{Stream, Task};
use crate::support::wait;

/// Flow-control windows that the client grants, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Of each stream.
    pub stream: u32,
    /// Of the connection.
    pub connection: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            stream: 1 << 20,
            connection: 16 << 20,
        }
    }
}

/// A connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    requests: SendRequest<Bytes>,
    _driver: std::sync::Arc<Task>,
}

impl Connection {
    pub(super) async fn new(stream: Stream, windows: Windows) -> io::Result<Self> {
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let driver = Task::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            _driver: std::sync::Arc::new(driver),
        })
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// When the stream fails before a response head.
    pub async fn try_send(&self, request: &Request) -> io::Result<Response> {
        Ok(self.begin(request).await?.collect().await)
    }

    /// As `try_send`, for requests that must be answered.
    ///
    /// # Panics
    /// When there is no response.
    pub async fn send(&self, request: &Request) -> Response {
        self.try_send(request)
            .await
            .unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// Sends a request and reads the head of its response.
    ///
    /// # Errors
    /// When the stream fails before a response head.
    pub async fn begin(&self, request: &Request) -> io::Result<Incoming> {
        let open = async {
            let mut requests = self.requests.clone().ready().await?;
            requests.send_request(head(request), request.body.is_none())
        };
        let (response, stream) = wait::within("a free stream", open).await.map_err(failed)?;
        let upload = request
            .body
            .is_some()
            .then(|| Task::spawn(upload(stream, request.clone())));
        let head = wait::within("a response head", read_head(response)).await;
        let (head, body) = head.map_err(failed)?;
        Ok(Incoming {
            head,
            body,
            _upload: upload,
        })
    }
}

/// A response whose head has been read. Dropping it resets the stream.
pub struct Incoming {
    pub(super) head: Head,
    body: RecvStream,
    _upload: Option<Task>,
}

impl Incoming {
    /// The next piece of the body, a DATA frame; `None` at its end. Window credit is given back for what is returned.
    ///
    /// # Errors
    /// When the body is cut.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(piece) = wait::within("a piece of a response body", self.body.data()).await else {
            return Ok(None);
        };
        let piece = piece.map_err(failed)?;
        let _ = self.body.flow_control().release_capacity(piece.len());
        Ok(Some(piece))
    }

    /// Reads the rest of the body.
    pub async fn collect(mut self) -> Response {
        let mut body = BytesMut::new();
        let ending = loop {
            match self.next().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break Ending::Whole,
                Err(error) => break Ending::Cut(error.to_string()),
            }
        };
        Response {
            status: self.head.status,
            head: self.head,
            body: body.freeze(),
            ending,
        }
    }
}

fn head(request: &Request) -> http::Request<()> {
    let host = crate::support::http1::field(&request.fields, "host").unwrap_or("gateway.test");
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{host}{}", request.target));
    for (name, value) in &request.fields {
        if !name.eq_ignore_ascii_case("host") {
            head = head.header(name, value);
        }
    }
    if let (Some(body), true) = (&request.body, request.announced) {
        head = head.header("content-length", body.len());
    }
    head.body(()).expect("a request head")
}

async fn read_head(mut response: ResponseFuture) -> Result<(Head, RecvStream), h2::Error> {
    let mut interim = Vec::new();
    let response = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(early))) = response.poll_informational(cx) {
            interim.push(early.status().as_u16());
        }
        std::pin::Pin::new(&mut response).poll(cx)
    })
    .await?;
    let fields = response.headers().iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let head = Head {
        status: response.status().as_u16(),
        fields: fields.collect(),
        interim,
    };
    Ok((head, response.into_body()))
}

/// Sends a body, as the peer's window allows; a reset by the peer ends it.
async fn upload(mut stream: SendStream<Bytes>, request: Request) {
    let mut pieces = request.body_pieces().peekable();
    if pieces.peek().is_none() {
        let _ = stream.send_data(Bytes::new(), true);
    }
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        if send(&mut stream, piece, last).await.is_none() {
            return;
        }
        if !request.pause.is_zero() {
            tokio::time::sleep(request.pause).await;
        }
    }
    // The stream is reset when its last handle is dropped before the peer has taken everything.
    std::future::pending::<()>().await;
}

/// Sends one piece; `None` when the stream is gone.
async fn send(stream: &mut SendStream<Bytes>, mut piece: Bytes, last: bool) -> Option<()> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len());
        let room = poll_fn(|cx| match stream.capacity() {
            0 => stream.poll_capacity(cx),
            room => Poll::Ready(Some(Ok(room))),
        });
        let room = room.await?.ok()?;
        let now = piece.split_to(room.min(piece.len()));
        if !now.is_empty() {
            stream.send_data(now, last && piece.is_empty()).ok()?;
        }
    }
    Some(())
}

fn failed(error: h2::Error) -> io::Error {
    let kind = if error.is_reset() {
        io::ErrorKind::ConnectionReset
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, error)
}
