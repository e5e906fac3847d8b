//! The load generator: a fixed number of requests over a fixed number of keep-alive connections,
//! each of which sends its next request when the last one is answered (a closed loop).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};

use crate::events::Follower;
use crate::http1::Reader;
use crate::upstream::JSON;

/// What is sent, and over how many connections.
#[derive(Clone)]
pub struct Load {
    pub target: SocketAddr,
    /// Head and body of the one request that is sent again and again.
    pub request: Bytes,
    /// Bytes of it that are written at once; other connections have their turn between.
    pub piece: usize,
    pub connections: u32,
    pub requests: u32,
}

/// What a run took.
pub struct Run {
    pub elapsed: Duration,
    /// From the first byte of a request written to the last byte of its answer read; nanoseconds,
    /// ascending.
    pub latencies: Vec<u64>,
}

/// Sends the load. Any answer but the mock upstream's own is an error: a run is whole or no result.
pub async fn run(load: &Load) -> io::Result<Run> {
    let started = Instant::now();
    let sent = Arc::new(AtomicU32::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..load.connections {
        connections.spawn(connection(load.clone(), Arc::clone(&sent)));
    }
    let mut latencies = Vec::with_capacity(load.requests as usize);
    while let Some(joined) = connections.join_next().await {
        latencies.extend(joined??);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Ok(Run { elapsed, latencies })
}

async fn connection(load: Load, sent: Arc<AtomicU32>) -> io::Result<Vec<u64>> {
    let mut latencies = Vec::with_capacity((load.requests / load.connections + 1) as usize);
    let mut stream = TcpStream::connect(load.target).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    while sent.fetch_add(1, Relaxed) < load.requests {
        latencies.push(exchange(&mut reader, &mut write, &load.request, load.piece).await?);
    }
    Ok(latencies)
}

/// One request and its answer, which must be the mock upstream's; how long it took, in nanoseconds.
pub async fn exchange(
    reader: &mut Reader<impl AsyncRead + Unpin>,
    write: &mut (impl AsyncWrite + Unpin),
    request: &[u8],
    piece: usize,
) -> io::Result<u64> {
    let started = Instant::now();
    let mut pieces = request.chunks(piece).peekable();
    while let Some(piece) = pieces.next() {
        write.write_all(piece).await?;
        if pieces.peek().is_some() {
            yield_now().await;
        }
    }
    let head = reader.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut answer = Answer::default();
    reader
        .body(head.framing, |piece| answer.take(piece))
        .await?;
    if head.status != 200 || answer.length != JSON.len() {
        return Err(answer.unexpected(head.status));
    }
    Ok(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The length of an answer, and its beginning for the message when it is not the right one.
#[derive(Default)]
struct Answer {
    length: usize,
    beginning: Vec<u8>,
}

impl Answer {
    fn take(&mut self, piece: &[u8]) {
        if self.length == 0 {
            self.beginning
                .extend_from_slice(&piece[..piece.len().min(300)]);
        }
        self.length += piece.len();
    }

    fn unexpected(&self, status: u16) -> io::Error {
        let beginning = String::from_utf8_lossy(&self.beginning);
        io::Error::other(format!(
            "status {status}, {} bytes: {beginning}",
            self.length
        ))
    }
}

/// Streams that are to be opened.
#[derive(Clone)]
pub struct Streams {
    pub target: SocketAddr,
    pub request: Bytes,
    /// Streams at once, each over a connection of its own.
    pub count: u32,
    /// Events that each stream must bring.
    pub events: u32,
    /// What the events' time stamps count from.
    pub epoch: Instant,
}

/// Reads all streams to their end, and counts in `begun` those whose first event has come. Gives
/// the delay of every event, in nanoseconds, ascending; an error if one is lost or out of order.
pub async fn stream(streams: &Streams, begun: Arc<AtomicU32>) -> io::Result<Vec<u64>> {
    let mut connections = JoinSet::new();
    for _ in 0..streams.count {
        connections.spawn(one_stream(streams.clone(), Arc::clone(&begun)));
    }
    let mut delays = Vec::new();
    while let Some(joined) = connections.join_next().await {
        delays.extend(joined??);
    }
    delays.sort_unstable();
    Ok(delays)
}

async fn one_stream(streams: Streams, begun: Arc<AtomicU32>) -> io::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(streams.target).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    write.write_all(&streams.request).await?;
    let head = reader.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if head.status != 200 {
        return Err(io::Error::other(format!("status {}", head.status)));
    }
    let mut follower = Follower::new(streams.epoch, streams.events);
    let mut counted = false;
    let read = reader.body(head.framing, |piece| {
        follower.feed(piece);
        if !counted && follower.has_begun() {
            counted = true;
            begun.fetch_add(1, Relaxed);
        }
    });
    read.await?;
    follower.finish(streams.events)
}
