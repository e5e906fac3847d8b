//! The mock upstream: one listener in the harness's own process, answering every request with the
//! same bytes, whatever was asked. It reads each body to its end before it answers, as an API does,
//! and counts what it got, so that a run in which a proxy answered by itself is no result.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use crate::events;
use crate::http1::Reader;

/// A plain answer in the shape of OpenAI's chat completions, 431 bytes.
pub const JSON: &str = concat!(
    r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"#,
    r#""model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"#,
    r#""Hello! How can I help you today?","refusal":null,"annotations":[]},"logprobs":null,"#,
    r#""finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29},"#,
    r#""service_tier":"default","system_fingerprint":"fp_06737a9306"}"#,
);

/// An error in the shape of OpenAI's.
const FAILURE: &str = concat!(
    "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 106\r\n\r\n",
    r#"{"error":{"message":"Not here, and not now.","type":"invalid_request_error","param":null,"code":"region"}}"#,
);

/// The headers of both answers that do not say how long the body is.
const HEADERS: &str = "date: Sun, 06 Nov 2022 08:49:37 GMT\r\nopenai-processing-ms: 418\r\n\
    openai-version: 2020-10-01\r\nx-request-id: req_8fc1d0b9a57e4a5cbd9a6bd57a1e3f0c\r\n";

/// The shape of a streamed answer.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Events of a stream, without the usage and the `[DONE]` that end it.
    pub events: u32,
    /// Time between two events of a stream.
    pub interval: Duration,
    /// Streams among which the first events are spread over one interval.
    pub streams: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Json,
    /// An error that sends a request on to the next candidate and says nothing of the provider's health, so that the
    /// next request begins there again.
    Failure,
    Stream(Stream),
    /// As `Json`, so long after the request has come.
    Late {
        after: Duration,
        /// To the microsecond, by looking at the clock again and again for the last two milliseconds: for requests one by
        /// one. The runtime's timer goes by whole milliseconds, and would hide what is smaller.
        exactly: bool,
    },
}

/// What has reached the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub requests: u64,
    pub body_bytes: u64,
}

struct Shared {
    answer: Mutex<Answer>,
    requests: AtomicU64,
    body_bytes: AtomicU64,
    streams: AtomicU64,
    /// The clock of all time stamps.
    epoch: Instant,
}

/// A running mock upstream.
#[derive(Clone)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Listens on a free port of the loopback; serves as long as the runtime lives.
    pub async fn start() -> io::Result<Upstream> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            answer: Mutex::new(Answer::Json),
            requests: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            epoch: Instant::now(),
        });
        let upstream = Upstream {
            address: listener.local_addr()?,
            shared: Arc::clone(&shared),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // An error here is a peer that went away: its own side of the run reports it.
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { serve(stream, &shared).await });
            }
        });
        Ok(upstream)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The instant that the events' time stamps count from.
    pub fn epoch(&self) -> Instant {
        self.shared.epoch
    }

    /// What every request from now on is answered with.
    pub fn set_answer(&self, answer: Answer) {
        *self
            .shared
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Requests with a body, and the bytes of these bodies, since the start.
    pub fn received(&self) -> Received {
        Received {
            requests: self.shared.requests.load(Relaxed),
            body_bytes: self.shared.body_bytes.load(Relaxed),
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    let json = json_answer();
    while let Some(head) = reader.head().await? {
        let mut length = 0;
        reader
            .body(head.framing, |piece| length += piece.len() as u64)
            .await?;
        if length > 0 {
            shared.requests.fetch_add(1, Relaxed);
            shared.body_bytes.fetch_add(length, Relaxed);
        }
        let answer = *shared.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Answer::Json => write.write_all(&json).await?,
            Answer::Failure => write.write_all(FAILURE.as_bytes()).await?,
            Answer::Late { after, exactly } => {
                wait(after, exactly).await;
                write.write_all(&json).await?;
            }
            Answer::Stream(stream) => send_stream(&mut write, stream, shared).await?,
        }
    }
    Ok(())
}

/// Longer than the runtime's timer is late.
const TIMER: Duration = Duration::from_millis(2);

async fn wait(time: Duration, exactly: bool) {
    let end = Instant::now() + time;
    if !exactly {
        return sleep(time).await;
    }
    sleep(time.saturating_sub(TIMER)).await;
    while Instant::now() < end {
        yield_now().await;
    }
}

fn json_answer() -> Vec<u8> {
    let length = JSON.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\n{HEADERS}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), JSON.as_bytes()].concat()
}

/// One event, one chunk, one write: the proxy gets each by itself, as from a model that generates.
async fn send_stream(
    write: &mut (impl AsyncWrite + Unpin),
    stream: Stream,
    shared: &Shared,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{HEADERS}content-type: text/event-stream; charset=utf-8\r\n\
         cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    write.write_all(head.as_bytes()).await?;
    let nth = shared.streams.fetch_add(1, Relaxed) % u64::from(stream.streams.max(1));
    let phase = stream
        .interval
        .mul_f64(nth as f64 / f64::from(stream.streams.max(1)));
    let mut ticks = interval_at((Instant::now() + phase).into(), stream.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut chunk = Vec::with_capacity(512);
    for sequence in 0..stream.events {
        ticks.tick().await;
        events::write_chunk(&mut chunk, sequence, shared.epoch.elapsed());
        write.write_all(&chunk).await?;
    }
    write.write_all(events::last_chunks().as_bytes()).await
}
