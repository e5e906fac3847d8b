//! The replay session: stands in for the client's session while a request is proxied.
//!
//! Pingora picks the upstream before it reads the body, and can send a body again only when it
//! fits its private 64 KiB buffer. Tollgate reads the body first (`body.rs`), and this type then
//! hands it to Pingora once for every attempt, from memory, with the attempt's own edits. It uses
//! two doors that Pingora keeps open: the public field `Session::downstream_session` and the
//! trait for custom downstream sessions. Everything but the request body goes through to the real
//! session. It also holds the request's clock, because its reads are polled all the while that an
//! attempt is under way; for that it hands over no more of a body than Pingora can take without
//! its pipe running full.
//!
//! Not here: reading the body in the first place, choosing attempts, and what an answer says.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::Sleep;

use super::body::Tail;
use super::flow::{self, Flow};
use super::held::Held;
use crate::model::splice::Pieces;
use crate::upstream::peer;

/// The largest error answer that is kept while a next candidate is tried, in bytes. A larger one
/// is let go, and the failure is reported in Tollgate's own words if no other answer comes.
const WITHHELD_MAX: usize = 64 * 1024;

/// How long the body of a failed answer is waited for before the next candidate is tried.
const WITHHELD_WAIT: Duration = Duration::from_millis(500);

/// How long a piece may be on its way to the upstream. Pingora gives each of them
/// [`peer::WRITE_TIMEOUT`]; when that is over it sends no more of the body, and only an answer that is
/// already on its way can still come. It is given the rest of this time. A last piece that was let go
/// of looks like one that was written: there, an answer is waited for as long as for any request,
/// rather than sending elsewhere what may have been delivered.
const GIVEN_UP: Duration = Duration::from_secs(4);
const _: () = assert!(
    GIVEN_UP.as_millis() > flow::PIECES_UNWRITTEN as u128 * peer::WRITE_TIMEOUT.as_millis()
);

/// Why the replay session ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client closed its connection or reset its stream.
    ClientGone,
    /// No response header came in time, or the upstream took no more of the body.
    FirstByte,
    /// The response stood still for too long.
    Idle,
    /// The deadline over all attempts has passed.
    Total,
    /// The upstream answered with a status that lets a next candidate be tried.
    Answered,
    /// The rest of the body broke a rule that its beginning kept.
    BadTail,
    /// An answer was held back for as long as may be. This ends no attempt.
    Due,
}

/// The points in time at which an attempt is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// How long the response header may take once the body was sent.
    pub first_byte: Duration,
    /// How long a response, or the sending of the body, may stand still.
    pub idle: Duration,
    /// The end of all attempts.
    pub total: Instant,
}

/// A failed answer that was kept from the client because something else is tried first.
#[derive(Debug)]
pub struct Withheld {
    /// Its header, as the upstream sent it.
    pub header: Box<ResponseHeader>,
    /// Its body, as the upstream sent it.
    pub body: BytesMut,
    /// Whether all of it arrived.
    pub complete: bool,
}

/// What the request's context and its replay session share.
pub struct Shared {
    state: Mutex<State>,
}

struct State {
    pieces: Pieces,
    next: usize,
    offset: usize,
    piece_max: usize,
    flow: Option<Arc<Flow>>,
    /// Whether a piece had to wait for room.
    stalled: bool,
    tail: Option<Box<Tail>>,
    deadlines: Deadlines,
    last_activity: Instant,
    answering: bool,
    withhold_until: Option<Instant>,
    withheld: Option<Withheld>,
    held: Option<Box<Held>>,
    cause: Option<Cause>,
    returned: Option<Box<ServerSession>>,
}

impl Shared {
    /// The state before the first attempt. `tail` is what is left of the body on the wire.
    #[must_use]
    pub fn new(tail: Option<Box<Tail>>, deadlines: Deadlines) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                pieces: Pieces::default(),
                next: 0,
                offset: 0,
                piece_max: usize::MAX,
                flow: None,
                stalled: false,
                tail,
                deadlines,
                last_activity: Instant::now(),
                answering: false,
                withhold_until: None,
                withheld: None,
                held: None,
                cause: None,
                returned: None,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt: the body from its first byte, with that attempt's edits applied.
    pub fn rewind(&self, pieces: Pieces, deadlines: Deadlines, now: Instant) {
        let mut state = self.lock();
        state.pieces = pieces;
        state.next = 0;
        state.offset = 0;
        state.flow = None;
        state.deadlines = deadlines;
        state.last_activity = now;
        state.answering = false;
        state.withhold_until = None;
        state.held = None;
        state.cause = None;
    }

    /// Bounds the pieces handed over, in bytes. The upstream is connected, and its clock starts.
    pub fn set_piece_max(&self, bytes: usize) {
        let mut state = self.lock();
        state.piece_max = bytes;
        state.last_activity = Instant::now();
        let many = state.tail.is_some() || state.pieces.total_len() > flow::UNCOUNTED_MAX;
        state.flow = many.then(Arc::default);
    }

    /// From here on the response is on its way to the client, and only silence ends it.
    pub fn answering(&self, now: Instant) {
        let mut state = self.lock();
        state.answering = true;
        state.last_activity = now;
    }

    /// Keeps this answer from the client, to be shown if nothing better comes.
    pub fn withhold(&self, header: Box<ResponseHeader>) {
        let mut state = self.lock();
        state.withhold_until = Some(Instant::now() + WITHHELD_WAIT);
        state.withheld = Some(Withheld {
            header,
            body: BytesMut::new(),
            complete: false,
        });
    }

    /// Holds this answer back until it is known whether it is the client's.
    pub fn hold(&self, now: Instant) {
        self.lock().held = Some(Box::new(Held::since(now)));
    }

    /// The answer that is held back is the client's.
    pub fn release(&self) {
        if let Some(held) = self.lock().held.as_mut() {
            held.release();
        }
    }

    /// The answer that is held back is kept from the client, as by [`Shared::withhold`].
    pub fn withhold_held(&self, header: Box<ResponseHeader>) {
        self.withhold(header);
        let mut state = self.lock();
        if let Some(held) = state.held.take() {
            held.into_body().for_each(|piece| {
                state.keep_body(Some(piece));
            });
        }
    }

    /// The deadline has passed before an attempt could begin.
    pub fn out_of_time(&self) -> Box<Error> {
        self.end(Cause::Total, "no time is left for an attempt")
    }

    /// Whether an answer was held back for as long as may be.
    pub fn is_due(&self) -> bool {
        self.lock().held.as_ref().is_some_and(|held| held.is_due())
    }

    /// Takes tasks of an answer in; gives back what is to go to the client now.
    fn pass(&self, tasks: Vec<HttpTask>) -> Option<Vec<HttpTask>> {
        let mut state = self.lock();
        let Some(mut held) = state.held.take() else {
            return Some(tasks);
        };
        if held.take(tasks) {
            return Some(held.into_tasks());
        }
        state.held = Some(held);
        None
    }

    /// The last failed answer that was kept, if all of it arrived.
    pub fn take_withheld(&self) -> Option<Withheld> {
        self.lock().withheld.take().filter(|kept| kept.complete)
    }

    /// Why the replay session ended the attempt, if it did.
    pub fn cause(&self) -> Option<Cause> {
        self.lock().cause
    }

    /// Whether any byte of the body was handed over in this attempt.
    pub fn body_begun(&self) -> bool {
        let state = self.lock();
        state.next > 0 || state.offset > 0
    }

    /// Whether the whole body was handed over in this attempt.
    pub fn body_handed_over(&self) -> bool {
        self.lock().handed_over()
    }

    /// What was wrong with the rest of the body, if [`Cause::BadTail`] ended the attempt.
    pub fn take_tail_fault(&self) -> Option<super::reject::Rejection> {
        self.lock().tail.as_mut().and_then(|tail| tail.take_fault())
    }

    /// Whether the body can be sent a second time.
    pub fn replayable(&self) -> bool {
        self.lock().tail.is_none()
    }

    fn next_piece(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let piece = state.pieces.as_slice().get(state.next)?.clone();
        let rest = piece.slice(state.offset..);
        if state.flow.is_some() {
            // A body of few pieces is handed over as soon as the upstream is connected.
            state.last_activity = Instant::now();
        }
        if rest.len() <= state.piece_max {
            state.next += 1;
            state.offset = 0;
            return Some(state.counted(rest));
        }
        state.offset += state.piece_max;
        let piece = rest.slice(..state.piece_max);
        Some(state.counted(piece))
    }

    /// What counts the pieces that Pingora has not written, where that is needed.
    fn flow(&self) -> Option<Arc<Flow>> {
        self.lock().flow.clone()
    }

    fn pieces_left(&self) -> bool {
        let state = self.lock();
        state.next < state.pieces.as_slice().len()
    }

    /// The next point in time at which this attempt ends, and why.
    fn deadline(&self) -> (Instant, Cause) {
        let state = self.lock();
        if let Some(until) = state.withhold_until {
            return (until, Cause::Answered);
        }
        let due = state.held.as_ref().and_then(|held| held.until());
        if let Some(due) = due.filter(|due| *due < state.deadlines.total) {
            return (due, Cause::Due);
        }
        let (silence, cause) = if state.answering {
            (state.last_activity + state.deadlines.idle, Cause::Idle)
        } else if state.flow.as_ref().is_some_and(|flow| flow.unwritten() > 0) {
            let silence = state.deadlines.idle.min(GIVEN_UP);
            (state.activity() + silence, Cause::FirstByte)
        } else if state.handed_over() {
            (
                state.activity() + state.deadlines.first_byte,
                Cause::FirstByte,
            )
        } else {
            // It is the client that is waited for.
            (state.deadlines.total, Cause::Total)
        };
        if silence < state.deadlines.total {
            (silence, cause)
        } else {
            (state.deadlines.total, Cause::Total)
        }
    }

    fn end(&self, cause: Cause, message: &'static str) -> Box<Error> {
        self.lock().cause.get_or_insert(cause);
        let kind = match cause {
            Cause::ClientGone => ErrorType::ConnectionClosed,
            Cause::FirstByte | Cause::Idle | Cause::Total => ErrorType::ReadTimedout,
            Cause::Answered | Cause::BadTail | Cause::Due => ErrorType::InternalError,
        };
        Error::explain(kind, message)
    }
}

/// Returns after `patience`; never, where there is no end to it.
async fn run_out(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => std::future::pending().await,
    }
}

/// Stands in for the client's session; see the module's head.
pub struct Replay {
    real: Box<ServerSession>,
    shared: Arc<Shared>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A session that answers nothing; holds a place for a moment.
fn placeholder() -> ServerSession {
    ServerSession::new_custom(Box::new(()))
}

/// Puts a replay session in the place of the client's.
pub fn install(session: &mut Session, shared: Arc<Shared>) {
    let real = std::mem::replace(&mut session.downstream_session, Box::new(placeholder()));
    let replay = Replay {
        real,
        shared,
        timer: None,
    };
    *session.downstream_session = ServerSession::new_custom(Box::new(replay));
}

/// Puts the client's own session back in its place, so that its connection can be used again.
/// Does nothing when it is there already.
pub fn uninstall(session: &mut Session, shared: &Shared) {
    if !session.downstream_session.is_custom() {
        return;
    }
    // What stood there gives the real one back when it is dropped.
    *session.downstream_session = placeholder();
    if let Some(real) = shared.lock().returned.take() {
        session.downstream_session = real;
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let real = std::mem::replace(&mut self.real, Box::new(placeholder()));
        self.shared.lock().returned = Some(real);
    }
}

impl Replay {
    /// Reads what is left of the body on the wire, or waits for the client to go away.
    async fn read_on(&mut self, idle: bool) -> Result<Option<Bytes>> {
        let Self {
            real,
            shared,
            timer,
        } = self;
        let flow = shared.flow();
        loop {
            let patience = if idle { None } else { shared.client_patience() };
            tokio::select! {
                biased;
                read = real.read_body_or_idle(idle) => return match read {
                    Ok(data) if idle => Ok(data),
                    Ok(data) => shared.take_tail(data),
                    Err(error) => Err(shared.gone(error)),
                },
                // Another deadline holds from here on.
                () = flow::written(flow.as_deref()) => {}
                () = run_out(patience) => shared.judge_client()?,
                cause = expire(timer, shared) => return shared.expired(cause),
            }
        }
    }

    /// Waits until Pingora has written enough of the body to be given more.
    async fn wait_for_room(&mut self) -> Result<()> {
        let Some(flow) = self.shared.flow() else {
            return Ok(());
        };
        let Self {
            real,
            shared,
            timer,
        } = self;
        // What an HTTP/1.1 client has still to send would be read by looking whether it is there.
        let watched = shared.replayable() || real.as_http2().is_some();
        while !flow.has_room() {
            shared.lock().stalled = true;
            tokio::select! {
                biased;
                () = flow.written() => {}
                read = real.read_body_or_idle(true), if watched => {
                    read.map_err(|error| shared.gone(error))?;
                }
                cause = expire(timer, shared) => return shared.expired(cause).map(drop),
            }
        }
        Ok(())
    }

    /// Keeps the tasks of a failed answer; its end is the end of the attempt.
    fn keep(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut done = false;
        let mut state = self.shared.lock();
        for task in tasks {
            done |= match task {
                HttpTask::Header(_, end) => end,
                HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) => {
                    state.keep_body(data) || end
                }
                HttpTask::Trailer(_) | HttpTask::Done => true,
                HttpTask::Failed(_) => {
                    state.withheld = None;
                    true
                }
            };
        }
        if !done {
            return Ok(false);
        }
        if let Some(kept) = state.withheld.as_mut() {
            kept.complete = true;
        }
        drop(state);
        Err(self
            .shared
            .end(Cause::Answered, "the upstream answered with a failure"))
    }

    fn withholding(&self) -> bool {
        self.shared.lock().withhold_until.is_some()
    }

    fn touch(&self) {
        self.shared.lock().last_activity = Instant::now();
    }
}

impl State {
    /// Whether the whole body was handed over in this attempt.
    fn handed_over(&self) -> bool {
        self.next >= self.pieces.as_slice().len()
            && self.tail.as_ref().is_none_or(|tail| tail.ended())
    }

    fn counted(&self, piece: Bytes) -> Bytes {
        match &self.flow {
            Some(flow) => flow.count(piece),
            None => piece,
        }
    }

    /// When something last happened.
    fn activity(&self) -> Instant {
        let written = self.flow.as_ref().map(|flow| flow.last_written());
        written.map_or(self.last_activity, |written| {
            written.max(self.last_activity)
        })
    }

    /// Adds to the kept answer; true when it has outgrown its bound and is let go.
    fn keep_body(&mut self, data: Option<Bytes>) -> bool {
        let (Some(kept), Some(data)) = (self.withheld.as_mut(), data) else {
            return false;
        };
        if kept.body.len() + data.len() > WITHHELD_MAX {
            self.withheld = None;
            return true;
        }
        kept.body.extend_from_slice(&data);
        false
    }
}

impl Shared {
    /// Passes a piece of the body's tail on, after the rules that hold for it.
    fn take_tail(&self, data: Option<Bytes>) -> Result<Option<Bytes>> {
        let mut state = self.lock();
        let Some(tail) = state.tail.as_mut() else {
            return Ok(data);
        };
        if tail.take(data.as_deref()) {
            state.last_activity = Instant::now();
            return Ok(data.map(|piece| state.counted(piece)));
        }
        drop(state);
        Err(self.end(Cause::BadTail, "the rest of the body was refused"))
    }

    /// From here on it is the client that is waited for; what the upstream took to make room was
    /// not the client's time.
    fn wait_for_client(&self) {
        let mut state = self.lock();
        let stalled = std::mem::take(&mut state.stalled);
        if let Some(tail) = state.tail.as_mut().filter(|_| stalled) {
            tail.wait();
        }
    }

    /// How long the client may take for the next piece of the body's tail.
    fn client_patience(&self) -> Option<Duration> {
        self.lock().tail.as_ref().map(|tail| tail.patience())
    }

    /// Looks whether the client is too slow, now that its time is over.
    fn judge_client(&self) -> Result<()> {
        if self
            .lock()
            .tail
            .as_mut()
            .is_none_or(|tail| tail.keeps_pace())
        {
            return Ok(());
        }
        Err(self.end(
            Cause::BadTail,
            "the rest of the body did not arrive in time",
        ))
    }

    fn gone(&self, error: Box<Error>) -> Box<Error> {
        self.lock().cause.get_or_insert(Cause::ClientGone);
        error
    }

    /// The attempt's time is over, or that of an answer that was held back: then Pingora is given an empty piece, so
    /// that it looks at the request, and lets the answer go.
    fn expired(&self, cause: Cause) -> Result<Option<Bytes>> {
        if cause != Cause::Due {
            return Err(self.end(cause, "the attempt's time is over"));
        }
        if let Some(held) = self.lock().held.as_mut() {
            held.overdue();
        }
        Ok(Some(Bytes::new()))
    }
}

/// Ends when the attempt's time is over. One timer serves the whole request: activity moves the
/// deadline, and the timer looks at it again when it wakes.
async fn expire(timer: &mut Option<Pin<Box<Sleep>>>, shared: &Shared) -> Cause {
    loop {
        let (at, cause) = shared.deadline();
        let wake = tokio::time::Instant::from_std(at);
        let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        if sleep.deadline() > wake {
            sleep.as_mut().reset(wake);
        }
        sleep.as_mut().await;
        if Instant::now() >= at {
            let (at, latest) = shared.deadline();
            if Instant::now() >= at {
                return if latest == cause { cause } else { latest };
            }
        }
        sleep
            .as_mut()
            .reset(tokio::time::Instant::from_std(shared.deadline().0));
    }
}

#[async_trait]
impl CustomSession for Replay {
    fn req_header(&self) -> &RequestHeader {
        self.real.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.real.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read_body_or_idle(false).await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.real.drain_request_body().await
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, _end: bool) -> Result<()> {
        self.real.write_response_header(resp).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, _end: bool) -> Result<()> {
        self.real.write_response_header_ref(resp).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.real.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.real.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        if self.withholding() {
            return self.keep(tasks);
        }
        let Some(tasks) = self.shared.pass(tasks) else {
            return Ok(false);
        };
        let begins = tasks
            .iter()
            .any(|task| matches!(task, HttpTask::Header(..)));
        if begins && !self.shared.body_handed_over() {
            // Pingora does not use the client's connection again when an upstream answers before
            // it has the body; the client should know.
            self.real.set_keepalive(None);
        }
        let ends = tasks.last().is_some_and(HttpTask::is_end);
        let written = self.real.response_duplex_vec(tasks).await;
        if !ends {
            self.touch();
        }
        written
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.real.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.real.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.real.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        String::new()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.real.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _ctx: &str) {
        self.real.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        if self.shared.pieces_left() || self.shared.is_due() {
            return false;
        }
        self.shared.replayable() || self.real.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.real.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        self.shared.lock().pieces.as_slice().is_empty() && self.shared.replayable()
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.shared.body_handed_over() {
            self.wait_for_room().await?;
            if self.shared.is_due() {
                return Ok(Some(Bytes::new()));
            }
            if let Some(piece) = self.shared.next_piece() {
                return Ok(Some(piece));
            }
            self.shared.wait_for_client();
        }
        self.read_on(no_body_expected || self.shared.replayable())
            .await
    }

    fn body_bytes_sent(&self) -> usize {
        self.real.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.real.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.real.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.real.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.real.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.real.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.real.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>>
    {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<
            dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static,
        >,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }
}
