//! A connection to an upstream over which a request's header and body leave in one write, where both are there.
//!
//! Pingora writes and flushes a header by itself, and each piece of a body after it. Whoever knows the body says so before
//! ([`Announced::announce`]): the header then waits for it, pieces of more than some KiB are kept by reference rather than copied,
//! up to 128 KiB, and all is written when the last has come. A larger body goes on as Pingora hands it over, so that its
//! pace stays that of the connection, and only its end waits.
//!
//! What waits goes with whatever is written next and was not announced, before it, and with any flush but that of the header:
//! Pingora's next is that of the body's end.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is left of an announced body when it is no more written as it comes, but waits for its end, in bytes.
const QUEUED_MAX: usize = 128 * 1024;

/// Bytes of a header and a body that are copied together: less than what a write of several parts costs.
const COPIED_MAX: usize = 4 * 1024;

/// The largest buffer that a thread keeps for the next header, in bytes.
const COPIED_KEPT: usize = 16 * 1024;

/// Parts of one write, at most.
const PARTS_MAX: usize = 8;

type Pieces = SmallVec<[Bytes; 2]>;

thread_local! {
    /// What the last header of this thread was copied to. It is in the cache, which that of the last header of a connection is
    /// not where there are many.
    static COPIED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps a buffer for the next header of this thread.
fn keep(mut copied: Vec<u8>) {
    if copied.capacity() > 0 {
        copied.clear();
        copied.shrink_to(COPIED_KEPT);
        // A thread that ends keeps nothing.
        let _ = COPIED.try_with(|kept| kept.set(copied));
    }
}

/// What is about to be written over a connection: shared by the connection and by who has it.
#[derive(Default)]
pub struct Announced {
    body: Mutex<Pieces>,
    /// Whether a header waits of which nothing has left.
    waits: AtomicBool,
}

impl Announced {
    /// That of the connection, where it has one.
    #[must_use]
    pub fn of(connection: Option<&Digest>) -> Option<Arc<Self>> {
        let digest = connection?.proxy_digest.as_ref()?;
        digest.user_data.as_ref()?.downcast_ref().cloned()
    }

    /// A header is about to be written, and behind it, byte for byte and out of this memory, the pieces of a whole body.
    pub fn announce<'a>(&self, body: impl IntoIterator<Item = &'a Bytes>) {
        let body = body.into_iter().filter(|piece| !piece.is_empty()).cloned();
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body.collect();
        self.waits.store(false, Ordering::Release);
    }

    /// Whether the announced request was taken over from who wrote it, and nothing of it has left.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    fn take(&self) -> Pieces {
        std::mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that joins what it was told of.
pub struct Joined {
    inner: Stream,
    announced: Arc<Announced>,
    digest: Arc<ProxyDigest>,
    /// What is left of the announced body; its pieces come in this order.
    expected: Pieces,
    /// Whether the next flush is that of the header, which waits.
    header_flush: bool,
    /// What waits: copies first, then what is kept by reference.
    copied: Vec<u8>,
    /// Bytes of `copied` that are written.
    copied_written: usize,
    queued: Pieces,
}

impl Joined {
    /// Joins what is written over `inner`.
    ///
    /// # Errors
    ///
    /// Never, as far as is known: those of Pingora's header.
    pub fn new(inner: Stream) -> Result<Self> {
        let announced = Arc::new(Announced::default());
        // The one place of a connection that is for what its user keeps there.
        let header = ResponseHeader::build(StatusCode::OK, Some(0))?;
        let user_data = Box::new(Arc::clone(&announced));
        Ok(Self {
            inner,
            announced,
            digest: Arc::new(ProxyDigest::new(Box::new(header), Some(user_data))),
            expected: Pieces::new(),
            header_flush: false,
            copied: Vec::new(),
            copied_written: 0,
            queued: Pieces::new(),
        })
    }

    fn waits(&self) -> bool {
        !self.copied.is_empty() || !self.queued.is_empty()
    }

    /// Takes the header of an announced body in; false where none was announced.
    fn begins(&mut self, header: &[u8]) -> bool {
        if self.waits() || !self.expected.is_empty() {
            return false;
        }
        self.expected = self.announced.take();
        if self.expected.is_empty() {
            return false;
        }
        self.copied = COPIED.try_with(Cell::take).unwrap_or_default();
        self.copied.extend_from_slice(header);
        self.header_flush = true;
        self.announced.waits.store(true, Ordering::Release);
        true
    }

    /// Whether `piece` is what comes next of the announced body.
    fn is_expected(&self, piece: &[u8]) -> bool {
        self.expected.first().is_some_and(|next| {
            std::ptr::eq(next.as_ptr(), piece.as_ptr()) && piece.len() <= next.len()
        })
    }

    /// Takes `count` bytes off the announced body.
    fn expect_no_more(&mut self, count: usize) -> Bytes {
        let Some(next) = self.expected.first_mut() else {
            return Bytes::new();
        };
        let piece = next.split_to(count);
        if next.is_empty() {
            self.expected.remove(0);
        }
        piece
    }

    /// Keeps a piece until the rest has come.
    fn queue(&mut self, count: usize) {
        let piece = self.expect_no_more(count);
        if self.queued.is_empty() && self.copied.len() + piece.len() <= COPIED_MAX {
            self.copied.extend_from_slice(&piece);
        } else {
            self.queued.push(piece);
        }
    }

    /// Writes what waits, and `more` behind it; the bytes of `more` that were written.
    fn poll_join(
        &mut self,
        context: &mut Context<'_>,
        more: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while self.waits() {
            let count = ready!(self.poll_parts(context, more))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_more = self.written(count);
            if of_more > 0 {
                return Poll::Ready(Ok(of_more));
            }
        }
        match more {
            [] => Poll::Ready(Ok(0)),
            [one] => Pin::new(&mut self.inner).poll_write(context, one),
            many => Pin::new(&mut self.inner).poll_write_vectored(context, many),
        }
    }

    fn poll_parts(
        &mut self,
        context: &mut Context<'_>,
        more: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let copied = &self.copied[self.copied_written..];
        if self.queued.is_empty() && more.is_empty() {
            return Pin::new(&mut self.inner).poll_write(context, copied);
        }
        let queued = self.queued.iter().map(|piece| &**piece);
        let waiting = std::iter::once(copied).chain(queued);
        let parts = waiting.chain(more.iter().map(|part| &**part));
        let parts = parts.filter(|part| !part.is_empty()).take(PARTS_MAX);
        let parts: SmallVec<[IoSlice<'_>; PARTS_MAX]> = parts.map(IoSlice::new).collect();
        Pin::new(&mut self.inner).poll_write_vectored(context, &parts)
    }

    /// `count` bytes of what waits, and of what comes behind it, are written; those of the latter.
    fn written(&mut self, count: usize) -> usize {
        self.announced.waits.store(false, Ordering::Release);
        let of_copied = count.min(self.copied.len() - self.copied_written);
        self.copied_written += of_copied;
        let mut rest = count - of_copied;
        while let Some(piece) = self.queued.first_mut().filter(|_| rest > 0) {
            let of_piece = rest.min(piece.len());
            piece.advance(of_piece);
            rest -= of_piece;
            if piece.is_empty() {
                self.queued.remove(0);
            }
        }
        if self.copied_written == self.copied.len() && self.queued.is_empty() {
            keep(std::mem::take(&mut self.copied));
            self.copied_written = 0;
        }
        rest
    }
}

/// What waits holds a key and what a client has written.
impl fmt::Debug for Joined {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Joined");
        out.field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl AsyncWrite for Joined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.begins(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        if !self.is_expected(bytes) {
            self.expected.clear();
            return self.poll_join(context, &[IoSlice::new(bytes)]);
        }
        let left: usize = self.expected.iter().map(Bytes::len).sum();
        let queued: usize = self.queued.iter().map(Bytes::len).sum();
        if left + queued <= QUEUED_MAX {
            self.queue(bytes.len());
            return Poll::Ready(Ok(bytes.len()));
        }
        let count = ready!(self.poll_join(context, &[IoSlice::new(bytes)]))?;
        self.expect_no_more(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.waits() && this.expected.is_empty() {
            return Pin::new(&mut this.inner).poll_write_vectored(context, parts);
        }
        // The framing of a chunk, and what is announced behind it.
        this.expected.clear();
        this.poll_join(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.header_flush) && !self.expected.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_join(context, &[]))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl AsyncRead for Joined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, bytes)
    }
}

#[async_trait]
impl Shutdown for Joined {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

#[async_trait]
impl Peek for Joined {
    async fn try_peek(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(bytes).await
    }
}

impl UniqueID for Joined {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

/// In the clear.
impl Ssl for Joined {}

impl GetTimingDigest for Joined {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Joined {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for Joined {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[cfg(test)]
mod tests;
