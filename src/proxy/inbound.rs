//! The connection of a client, out of which the gateway reads request bodies itself.
//!
//! Pingora reads a body in pieces of at most 64 KiB into a buffer of the session and copies each into memory of its own; whoever
//! wants the whole copies it once more. Here it is read from the socket to where it stays. Pingora's session still reads
//! the header, and all that it is asked to; it only has to be kept from reading into the body with the header. So the
//! first read of a request ends where the header does, where the body it announces is what stands behind: as if the rest had
//! come a moment later. What Pingora is told of a body that was read here says `body/direct.rs`.
//!
//! A header that comes in parts, a body of unknown length and one with another request behind it are Pingora's to read, as
//! HTTP/2 is.

mod header;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What is read at once where it is not known how much there is: as much as Pingora reads of a header, in bytes.
const PEEKED: usize = 4 * 1024;

/// The most that is read at once of a body, in bytes. The runtime goes by reads when it gives others on the same thread their turn.
const READ_MAX: u64 = 256 << 10;

/// The connection of a client.
pub struct Inbound {
    socket: Mutex<Socket>,
    id: UniqueIDType,
    timing: Vec<Option<TimingDigest>>,
}

struct Socket {
    stream: Stream,
    /// What was read of it and is still to be handed out, before anything else.
    kept: BytesMut,
    /// Whether the next read is the first of a request.
    begins: bool,
    /// The bytes that the last read handed out, where it was the first of a request and they are all of its header.
    header: Option<usize>,
}

impl Inbound {
    /// Reads out of `stream`, from the beginning of a request.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            id: stream.id(),
            timing: stream.get_timing_digest(),
            socket: Mutex::new(Socket {
                stream,
                kept: BytesMut::new(),
                begins: true,
                header: None,
            }),
        }
    }

    /// That of an HTTP/1.1 session, where it has one.
    pub(super) fn of(session: &ServerSession) -> Option<&Self> {
        session.as_http1()?.stream().as_any().downcast_ref()
    }

    /// What comes next over the connection of `session` is a request.
    pub(super) fn next_request(session: &ServerSession) {
        if let Some(inbound) = Self::of(session) {
            inbound.lock().begins = true;
        }
    }

    /// That of `session`, where nothing of the request was read but its header.
    pub(super) fn before_body(session: &ServerSession) -> Option<&Self> {
        let inbound = Self::of(session)?;
        // With another end, or a target that Pingora escaped, the header is not what was read.
        let header = session.as_http1()?.get_headers_raw_bytes();
        let ends = header.ends_with(b"\r\n\r\n");
        (ends && inbound.lock().header == Some(header.len())).then_some(inbound)
    }

    /// What came of the body of `length` bytes with the header, and room for the rest.
    pub(super) fn begun(&self, length: usize) -> BytesMut {
        let kept = std::mem::take(&mut self.lock().kept);
        if kept.len() == length {
            return kept;
        }
        let mut body = BytesMut::with_capacity(length + 1);
        body.extend_from_slice(&kept);
        self.keep_behind(&mut body, length);
        body
    }

    /// Reads on to the end of a body of `length` bytes, of which `body` has the first; the bytes that came, none at the end of the
    /// connection.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub(super) async fn read(&self, body: &mut BytesMut, length: usize) -> io::Result<usize> {
        let before = body.len();
        // A read that could have had more says that there is no more: nobody has to look again.
        let most = (length - before) as u64 + 1;
        Reads(self).take(most.min(READ_MAX)).read_buf(body).await?;
        self.keep_behind(body, length);
        Ok(body.len() - before)
    }

    /// Keeps what is behind the first `length` bytes of `body` for who reads next.
    fn keep_behind(&self, body: &mut BytesMut, length: usize) {
        if body.len() > length {
            self.lock().kept = BytesMut::from(&body[length..]);
            body.truncate(length);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&mut self) -> &mut Socket {
        self.socket
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut Stream> {
        Pin::new(&mut self.get_mut().socket().stream)
    }
}

impl Socket {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.header = None;
        let before = bytes.filled().len();
        if self.kept.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, bytes))?;
        } else {
            let count = self.kept.len().min(bytes.remaining());
            bytes.put_slice(&self.kept[..count]);
            self.kept.advance(count);
            if self.kept.is_empty() {
                // Nor is its memory kept.
                self.kept = BytesMut::new();
            }
        }
        if std::mem::take(&mut self.begins) {
            self.cut(bytes, before);
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps what is behind the header of a request back, where its body begins there.
    fn cut(&mut self, bytes: &mut ReadBuf<'_>, before: usize) {
        let read = &bytes.filled()[before..];
        let Some(header) = header::end(read) else {
            return;
        };
        let body = &read[header..];
        let behind = body.len() + self.kept.len();
        if behind > 0
            && header::content_length(&read[..header]).is_none_or(|length| behind > length)
        {
            return;
        }
        self.header = Some(header);
        if !body.is_empty() {
            let behind = std::mem::replace(&mut self.kept, BytesMut::from(body));
            self.kept.extend_from_slice(&behind);
            bytes.set_filled(before + header);
        }
    }
}

/// Reads while the session has the connection.
struct Reads<'a>(&'a Inbound);

impl AsyncRead for Reads<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(context, bytes)
    }
}

impl AsyncRead for Inbound {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().socket().poll_read(context, bytes)
    }
}

impl AsyncWrite for Inbound {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Inbound {
    async fn shutdown(&mut self) {
        self.socket().stream.shutdown().await;
    }
}

#[async_trait]
impl Peek for Inbound {
    /// What is looked at is kept, and more with it: Pingora's own would have the first read end there.
    async fn try_peek(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let Socket { stream, kept, .. } = self.socket();
        while kept.len() < bytes.len() {
            kept.reserve(PEEKED);
            if stream.read_buf(kept).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        bytes.copy_from_slice(&kept[..bytes.len()]);
        Ok(true)
    }
}

impl UniqueID for Inbound {
    fn id(&self) -> UniqueIDType {
        self.id
    }
}

impl Ssl for Inbound {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.lock().stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.lock().stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Inbound {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.timing.clone()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.lock().stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.lock().stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Inbound {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.lock().stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Inbound {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.lock().stream.get_socket_digest()
    }
}

/// What is kept is what a client has written.
impl fmt::Debug for Inbound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Inbound");
        out.field("id", &self.id).finish_non_exhaustive()
    }
}
