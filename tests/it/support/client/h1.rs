//! A raw HTTP/1.1 client: one connection, any bytes, answers read while the request is still being sent.
//! It retries nothing and follows nothing.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::request::Request;
use super::response::{Ending, Head, Response};
use crate::support::http1::{Body, Reader};
use crate::support::socket::{Socket, Stream};
use crate::support::wait;

/// Something to be sent.
enum Outgoing {
    Bytes(Bytes),
    Pause(tokio::time::Instant),
    Wait(Duration),
    /// Waits for `100 Continue`.
    Continue,
}

/// A connection.
pub struct Connection {
    reader: Reader<ReadHalf<Stream>>,
    upload: Upload,
    socket: Socket,
}

/// The sending side.
struct Upload {
    write: WriteHalf<Stream>,
    queue: VecDeque<Outgoing>,
    continued: bool,
    failed: Option<io::ErrorKind>,
}

impl Connection {
    pub(super) fn new(stream: Stream, socket: Socket) -> Self {
        let (read, write) = tokio::io::split(stream);
        let upload = Upload {
            write,
            queue: VecDeque::new(),
            continued: false,
            failed: None,
        };
        Self {
            reader: Reader::new(read),
            upload,
            socket,
        }
    }

    /// Sends a request and reads its response; what of the body is unsent when the response has ended stays queued.
    ///
    /// # Errors
    /// When the connection fails or ends before a response head.
    pub async fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        Ok(self.begin(request).await?.collect().await)
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
    /// When the connection fails or ends before a response head.
    pub async fn begin(&mut self, request: &Request) -> io::Result<Incoming<'_>> {
        self.upload.request(request);
        self.answer(&request.method).await
    }

    /// Queues bytes as they are; they are sent while an answer is awaited, or by `flush`.
    pub fn queue(&mut self, bytes: impl Into<Bytes>) {
        self.upload.queue.push_back(Outgoing::Bytes(bytes.into()));
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn raw(&mut self, bytes: impl Into<Bytes>) -> io::Result<()> {
        self.queue(bytes);
        self.flush().await
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        wait::within("an upload", self.upload.run()).await
    }

    /// Whether everything that was queued has been sent.
    pub fn is_flushed(&self) -> bool {
        self.upload.queue.is_empty() && self.upload.failed.is_none()
    }

    /// Reads the head of the response to a request (with `method`) that was sent before.
    ///
    /// # Errors
    /// When the connection fails or ends before a response head.
    pub async fn answer(&mut self, method: &str) -> io::Result<Incoming<'_>> {
        let head = wait::within("a response head", self.head()).await?;
        let body = Body::of_response(method, head.status, &head.fields)?;
        Ok(Incoming {
            connection: self,
            head,
            body,
        })
    }

    /// As `answer`, with the body.
    ///
    /// # Errors
    /// When the connection fails or ends before a response head.
    pub async fn response(&mut self, method: &str) -> io::Result<Response> {
        Ok(self.answer(method).await?.collect().await)
    }

    /// Ends the sending side.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.upload.write.shutdown().await
    }

    /// Resets the connection.
    pub fn reset(self) {
        self.socket.reset_on_close();
    }

    /// Our own address, as the peer sees it.
    pub fn local(&self) -> Option<std::net::SocketAddr> {
        self.socket.local()
    }

    /// Waits until the peer has closed or reset the connection.
    ///
    /// # Panics
    /// When it stays open, or more bytes of a response come.
    pub async fn closed(&mut self) {
        wait::within("the connection's end", self.reader.gone()).await;
        assert_eq!(
            self.reader.unread(),
            0,
            "bytes came instead of the connection's end"
        );
    }

    async fn head(&mut self) -> io::Result<Head> {
        let mut interim = Vec::new();
        loop {
            let head = self.upload.beside(self.reader.head()).await?;
            let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = head.word(1).and_then(|word| word.parse().ok());
            let status: u16 = status.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("status line {:?}", head.start),
                )
            })?;
            if (100..200).contains(&status) && status != 101 {
                self.upload.continued |= status == 100;
                interim.push(status);
                continue;
            }
            return Ok(Head {
                status,
                fields: head.fields,
                interim,
            });
        }
    }
}

/// A response whose head has been read.
pub struct Incoming<'c> {
    connection: &'c mut Connection,
    pub(super) head: Head,
    body: Body,
}

impl Incoming<'_> {
    /// The next piece of the body as it came off the socket; `None` at its end.
    ///
    /// # Errors
    /// When the body is cut.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Connection { reader, upload, .. } = &mut *self.connection;
        let reading = reader.piece(&mut self.body, u64::MAX);
        wait::within("a piece of a response body", upload.beside(reading)).await
    }

    /// Reads the rest of the body.
    pub async fn collect(mut self) -> Response {
        let until_close = self.body == Body::UntilClose;
        let mut body = BytesMut::new();
        let ending = loop {
            match self.next().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) if until_close => break Ending::UntilClose,
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

impl Upload {
    /// Queues the head and the pieces of a request.
    fn request(&mut self, request: &Request) {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        let mut fields = request.fields.iter();
        if !fields.any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("host: gateway.test\r\n");
        }
        for (name, value) in &request.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match &request.body {
            Some(body) if request.announced => {
                let _ = write!(head, "content-length: {}\r\n", body.len());
            }
            Some(_) => head.push_str("transfer-encoding: chunked\r\n"),
            None => {}
        }
        head.push_str("\r\n");
        self.queue.push_back(Outgoing::Bytes(Bytes::from(head)));
        self.continued = false;
        if request.expect {
            self.queue.push_back(Outgoing::Continue);
        }
        for piece in request.body_pieces() {
            self.piece(piece, request);
        }
        if request.body.is_some() && !request.announced {
            self.queue
                .push_back(Outgoing::Bytes(Bytes::from_static(b"0\r\n\r\n")));
        }
    }

    fn piece(&mut self, piece: Bytes, request: &Request) {
        let chunked = !request.announced;
        if chunked {
            let size = format!("{:x}\r\n", piece.len());
            self.queue.push_back(Outgoing::Bytes(Bytes::from(size)));
        }
        self.queue.push_back(Outgoing::Bytes(piece));
        if chunked {
            self.queue
                .push_back(Outgoing::Bytes(Bytes::from_static(b"\r\n")));
        }
        if !request.pause.is_zero() {
            self.queue.push_back(Outgoing::Wait(request.pause));
        }
    }

    /// Sends on while `reading` is awaited. A failure to send leaves it to the reader to say how the exchange ended.
    async fn beside<T>(&mut self, reading: impl Future<Output = T>) -> T {
        tokio::pin!(reading);
        tokio::select! {
            biased;
            output = &mut reading => return output,
            _ = self.run() => {}
        }
        reading.await
    }

    /// Sends what is queued. May be cancelled and called again.
    async fn run(&mut self) -> io::Result<()> {
        while let Some(next) = self.queue.front_mut() {
            match next {
                Outgoing::Bytes(bytes) if bytes.is_empty() => {
                    self.queue.pop_front();
                }
                Outgoing::Bytes(bytes) => match self.write.write(bytes).await {
                    Ok(sent) => bytes.advance(sent),
                    Err(error) => {
                        self.queue.clear();
                        self.failed = Some(error.kind());
                    }
                },
                Outgoing::Wait(pause) => {
                    *next = Outgoing::Pause(tokio::time::Instant::now() + *pause);
                }
                Outgoing::Pause(until) => {
                    tokio::time::sleep_until(*until).await;
                    self.queue.pop_front();
                }
                Outgoing::Continue if self.continued => {
                    self.queue.pop_front();
                }
                Outgoing::Continue => return Ok(()),
            }
        }
        match self.failed {
            Some(kind) => Err(kind.into()),
            None => self.write.flush().await,
        }
    }
}
