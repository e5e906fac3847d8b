//! One connection: requests read, answered and kept alive by Pingora's own HTTP/1.1 session. No HTTP/2, no TLS, no
//! pipelining; whatever is wrong with a connection ends that connection only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::names::Behaviour;
use super::reply::{Events, Refusal, Reply, Stamp, Vendor};
use super::route::Route;
use super::stopped;

/// Largest request body, in bytes: what the gateway itself takes by default.
pub const BODY_MAX: usize = 64 * 1024 * 1024;

/// How long a connection may wait for its next request: longer than the gateway's pools keep theirs by default.
const KEEPALIVE_SECONDS: u64 = 300;

/// How long a client may read nothing before it is given up.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the rest of a refused body is read and thrown away, so that the refusal is not lost in a reset.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// `retry-after` of a `status-429`, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// `openai-version`, as the vendor sends it.
const OPENAI_VERSION: &str = "2020-10-01";

/// What all connections share: where ids come from.
pub struct Stamps {
    started: Duration,
    next: AtomicU64,
}

impl Stamps {
    /// Ids that differ from those of the last start.
    pub fn new() -> Self {
        Self {
            started: since_1970(),
            next: AtomicU64::new(0),
        }
    }

    fn stamp(&self) -> Stamp {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let micros = self.started.as_secs() * 1_000_000 + u64::from(self.started.subsec_micros());
        // An odd factor, so that no two numbers of one start share an id.
        let id = micros.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Stamp {
            id: format!("{id:016x}"),
            created: since_1970().as_secs(),
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Serves the connection until either side has done with it. On shutdown a request that has begun is still answered.
pub async fn run(stream: TcpStream, stamps: Arc<Stamps>, mut shutdown: watch::Receiver<bool>) {
    // A stream's events are small; without this each would wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let mut stream: Stream = Box::new(pingora::protocols::l4::stream::Stream::from(stream));
    loop {
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive(Some(KEEPALIVE_SECONDS));
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        let read = tokio::select! {
            read = session.read_request() => read,
            () = stopped(&mut shutdown) => return,
        };
        match read {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return refuse_garbage(session, &error).await,
        }
        // Reading a header lifts the limit on the next wait; what the client ruled out stays so.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(KEEPALIVE_SECONDS));
        }
        let request = Request::of(&session, stamps.stamp());
        match request.serve(session, &shutdown).await {
            Ok(Some(kept)) => stream = kept,
            Ok(None) => return,
            Err(error) => return log::debug!("echo: connection ended: {}", error.etype().as_str()),
        }
    }
}

/// What cannot be parsed is answered as well as can be; what was only slow or cut off is not.
async fn refuse_garbage(mut session: ServerSession, error: &pingora::Error) {
    if *error.etype() == pingora::ErrorType::InvalidHTTPHeader {
        let _ = session
            .respond_error(StatusCode::BAD_REQUEST.as_u16())
            .await;
    }
}

/// What is known of a request once its header is read.
struct Request {
    route: Result<Route, Refusal>,
    vendor: Vendor,
    stamp: Stamp,
    began: Instant,
    /// HTTP/1.0 knows no chunks: a stream to it ends with the connection.
    chunks: bool,
}

impl Request {
    fn of(session: &ServerSession, stamp: Stamp) -> Self {
        let header = session.req_header();
        let route = Route::find(&header.method, header.uri.path());
        let for_anthropic = header.headers.contains_key("anthropic-version");
        let vendor = match &route {
            Ok(route) => route.vendor(for_anthropic),
            Err(_) if for_anthropic => Vendor::Anthropic,
            Err(_) => Vendor::OpenAi,
        };
        Self {
            route,
            vendor,
            stamp,
            began: Instant::now(),
            chunks: header.version == Version::HTTP_11,
        }
    }

    /// Reads the body, answers, and gives the connection back if it can serve another request.
    async fn serve(
        self,
        mut session: ServerSession,
        shutdown: &watch::Receiver<bool>,
    ) -> pingora::Result<Option<Stream>> {
        let reply = self.reply(&mut session).await?;
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        match reply {
            Ok(Reply::Json(value)) => {
                self.write(&mut session, StatusCode::OK, value.to_string())
                    .await?;
            }
            Ok(Reply::Events(events)) => self.stream(&mut session, events).await?,
            Err(refusal) => {
                let body = refusal.body(self.vendor, &self.request_id()).to_string();
                self.write(&mut session, refusal.status, body).await?;
                session.drain_request_body().await?;
            }
        }
        Ok(session
            .finish()
            .await?
            .map(|reusable| reusable.into_parts().0))
    }

    async fn reply(&self, session: &mut ServerSession) -> pingora::Result<Result<Reply, Refusal>> {
        let route = match &self.route {
            Ok(route) => *route,
            Err(refusal) => return Ok(Err(refusal.clone())),
        };
        let body = match read_body(session).await? {
            Ok(body) => body,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match Behaviour::in_body(&body) {
            Behaviour::Echo => {}
            Behaviour::Delay(delay) => wait(session, delay).await?,
            Behaviour::Status(status) => {
                return Ok(Err(Refusal::new(
                    status,
                    format!("the model's name asked for status {status}"),
                )));
            }
        }
        Ok(route.answer(self.vendor, &body, &self.stamp))
    }

    async fn write(
        &self,
        session: &mut ServerSession,
        status: StatusCode,
        body: String,
    ) -> pingora::Result<()> {
        let mut header = self.header(status)?;
        header.insert_header(header::CONTENT_TYPE, "application/json")?;
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
        if status == StatusCode::TOO_MANY_REQUESTS {
            header.insert_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)?;
        }
        session.write_response_header(Box::new(header)).await?;
        session.write_response_body(body.into(), true).await
    }

    async fn stream(&self, session: &mut ServerSession, events: Events) -> pingora::Result<()> {
        let mut header = self.header(StatusCode::OK)?;
        header.insert_header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")?;
        header.insert_header(header::CACHE_CONTROL, "no-cache")?;
        if self.chunks {
            header.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        session.write_response_header(Box::new(header)).await?;
        for event in events {
            // Without a length to come, each write is flushed.
            session.write_response_body(event, false).await?;
        }
        Ok(())
    }

    fn header(&self, status: StatusCode) -> pingora::Result<ResponseHeader> {
        let mut header = ResponseHeader::build(status, Some(8))?;
        match self.vendor {
            Vendor::OpenAi => {
                header.insert_header("x-request-id", self.request_id())?;
                header.insert_header("openai-version", OPENAI_VERSION)?;
                header.insert_header(
                    "openai-processing-ms",
                    self.began.elapsed().as_millis().to_string(),
                )?;
            }
            Vendor::Anthropic => header.insert_header("request-id", self.request_id())?,
        }
        Ok(header)
    }

    fn request_id(&self) -> String {
        format!("req_{}", self.stamp.id)
    }
}

/// The whole body; 413 past [`BODY_MAX`], 415 when it is compressed.
async fn read_body(session: &mut ServerSession) -> pingora::Result<Result<Vec<u8>, Refusal>> {
    let headers = &session.req_header().headers;
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity")
    {
        let message = "echo reads no compressed bodies";
        return Ok(Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            message,
        )));
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let too_large = || {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("echo reads up to {BODY_MAX} bytes"),
        )
    };
    if length.is_some_and(|length: usize| length > BODY_MAX) {
        return Ok(Err(too_large()));
    }
    if headers
        .get(header::EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        session.write_continue_response().await?;
    }
    let mut body = Vec::new();
    while let Some(piece) = session.read_request_body().await? {
        if body.len() + piece.len() > BODY_MAX {
            return Ok(Err(too_large()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Ok(body))
}

/// Waits, and notices when the client goes meanwhile.
async fn wait(session: &mut ServerSession, delay: Duration) -> pingora::Result<()> {
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        idle = session.read_body_or_idle(true) => idle.and_then(|_| pingora::Error::e_explain(
            pingora::ErrorType::ConnectionClosed,
            "the client spoke while it had to wait",
        )),
    }
}
