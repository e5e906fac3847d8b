//! Reads the request body before an upstream is chosen: all of it where it may be kept, else as
//! much as it takes to find the model. Every byte passes the scanner on its way.
//!
//! Not here: how fast it must come (`pace.rs`), what of it comes later (`tail.rs`), handing it to an upstream (`replay.rs`),
//! and what its members mean (`members.rs`).

mod direct;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap};
use pingora::protocols::http::ServerSession;
use pingora_timeout::{Elapsed, timeout};

use super::form::Upload;
use super::memory::{ReplayMemory, Reservation};
use super::pace::Pace;
use super::packed::{self, Packed};
use super::reject::{Code, Rejection};
use super::seen::Seen;
use crate::metrics::ReplayLost;
use crate::model::scan::{Malformed, Member, Scanner};
use crate::money::Betas;
use crate::surface::Surface;
use crate::usage::Coding;

/// What is read of a body that may not be kept, before its model must have been found, in bytes.
/// It is no more than the buffers that every connection has anyway, so it needs no share of the
/// replay memory.
const PEEK: usize = 64 * 1024;

/// The share taken at first for a body of unknown length, in bytes; doubled as it grows.
const FIRST_SHARE: u64 = 64 * 1024;

/// What a request may send.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The largest body, in bytes.
    pub body: u64,
    /// The largest body that is kept for a second attempt, in bytes.
    pub replay: u64,
    /// How long a client may take to send a window's worth of the body.
    pub client: Duration,
    /// Whether the model is known without the body.
    pub named: bool,
}

/// A body, read as far as routing needs it.
#[derive(Debug)]
pub struct Body {
    /// The bytes read so far; of one that came compressed, its text; of a form, what stands for it.
    pub bytes: Bytes,
    /// What the scanner found in them: a kilobyte and more, which is not to move with the rest.
    pub scanner: Box<Scanner>,
    /// The length that the client declared, in bytes.
    pub declared: Option<u64>,
    /// Whether `bytes` is all of it.
    pub whole: bool,
    /// The share of the replay memory that pays for `bytes`.
    pub share: Option<Reservation>,
    /// Why it is not kept, where it is not.
    pub lost: Option<ReplayLost>,
    /// What the client sent, where it came compressed.
    pub packed: Option<Box<Packed>>,
    /// The form, where it is one.
    pub upload: Option<Box<Upload>>,
    /// The model that the request's path names.
    pub in_path: Option<Box<InPath>>,
    /// What the request's header changes of the model's limits.
    pub betas: Betas,
}

/// A model that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPath {
    /// Its name, decoded.
    pub name: Box<str>,
    /// In which API shape it is asked.
    pub surface: Surface,
    /// Whether the query leaves the answer in the form in which it says what was used.
    pub plain: bool,
}

impl Body {
    /// The bytes that say most of what is sent: those of the form, or those that were scanned.
    #[must_use]
    pub fn sent(&self) -> &Bytes {
        self.upload
            .as_ref()
            .map_or(&self.bytes, |upload| &upload.bytes)
    }

    /// A body that was not sent, to be explained.
    ///
    /// # Errors
    /// A refusal when it is not JSON.
    pub fn of_bytes(bytes: Bytes) -> Result<Self, Rejection> {
        let mut scanner = Scanner::new();
        let scanned = scanner.feed(&bytes).map(drop);
        scanned
            .and_then(|()| scanner.finish())
            .map_err(|fault| malformed(&fault))?;
        Ok(Self {
            declared: Some(bytes.len() as u64),
            bytes,
            scanner: Box::new(scanner),
            ..Self::none()
        })
    }

    /// That of a request without one.
    fn none() -> Self {
        Self {
            bytes: Bytes::new(),
            scanner: Box::default(),
            declared: None,
            whole: true,
            share: None,
            lost: None,
            packed: None,
            upload: None,
            in_path: None,
            betas: Betas::default(),
        }
    }
}

/// Why no body came of it.
#[derive(Debug)]
pub enum Unread {
    /// The client is told.
    Rejected(Rejection),
    /// The client is gone.
    Gone,
}

impl From<Rejection> for Unread {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Reads the body of `session`, whose header has what was `seen`: its client may wait to be told so (`Expect: 100-continue`).
///
/// # Errors
/// A refusal when the body is absent, too large, compressed in a way that cannot be read, not JSON or slower than allowed.
pub async fn read(
    session: &mut ServerSession,
    seen: Seen,
    memory: &Arc<ReplayMemory>,
    bounds: &Bounds,
) -> Result<Body, Unread> {
    let expects = seen.expect;
    let (declared, coding) = examine(session, seen, bounds)?;
    if coding != Coding::Identity {
        return Box::pin(read_packed(
            session, expects, memory, bounds, declared, coding,
        ))
        .await;
    }
    let scanner = Box::<Scanner>::default();
    let got = gather(session, expects, memory, bounds, declared, scanner).await?;
    Ok(Body {
        bytes: got.bytes,
        scanner: got.scanner,
        declared: got.declared,
        whole: got.whole,
        share: got.share,
        lost: got.lost,
        packed: None,
        upload: None,
        in_path: None,
        betas: Betas::default(),
    })
}

/// What a body passes on its way in.
pub(super) trait Reading {
    /// Reads on.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Rejection>;
    /// Whether what came is whole.
    fn finish(&self) -> Result<(), Rejection>;
    /// Whether the model is known.
    fn names_model(&self) -> bool;
}

impl Reading for Box<Scanner> {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        let scanned = Scanner::feed(self, bytes).map(drop);
        scanned.map_err(|fault| malformed(&fault))
    }

    fn finish(&self) -> Result<(), Rejection> {
        Scanner::finish(self).map_err(|fault| malformed(&fault))
    }

    fn names_model(&self) -> bool {
        self.members().get(Member::Model).is_some()
    }
}

/// What was read of a body: as [`Body`] has it.
pub(super) struct Gathered<R> {
    pub(super) bytes: Bytes,
    pub(super) scanner: R,
    pub(super) declared: Option<u64>,
    pub(super) whole: bool,
    pub(super) share: Option<Reservation>,
    pub(super) lost: Option<ReplayLost>,
}

/// Reads a body through `scanner`: all of it where it may be kept, else as much as it takes to find the model.
pub(super) async fn gather<R: Reading>(
    session: &mut ServerSession,
    expects: bool,
    memory: &Arc<ReplayMemory>,
    bounds: &Bounds,
    declared: Option<u64>,
    scanner: R,
) -> Result<Gathered<R>, Unread> {
    let mut reader = Reader::new(declared, memory, bounds, scanner)?;
    begin(session, expects, bounds).await?;
    // The pace is watched here; a time-out of Pingora's looks at the clock for each piece, also for one that is there.
    session.set_read_timeout(None);
    let whole = reader.read(session, expects).await;
    session.set_read_timeout(Some(bounds.client));
    reader.finish(whole?)
}

async fn read_packed(
    session: &mut ServerSession,
    expects: bool,
    memory: &Arc<ReplayMemory>,
    bounds: &Bounds,
    declared: Option<u64>,
    coding: Coding,
) -> Result<Body, Unread> {
    begin(session, expects, bounds).await?;
    packed::read(session, coding, declared, memory, bounds).await
}

/// A body that is passed on as it comes: nothing of it is read before, and nothing is kept.
///
/// # Errors
/// A refusal when it is declared to be larger than allowed.
pub async fn unread(
    session: &mut ServerSession,
    expects: bool,
    bounds: &Bounds,
) -> Result<Body, Unread> {
    let whole = session.is_body_empty();
    let declared = declared(session, bounds)?;
    begin(session, expects && !whole, bounds).await?;
    Ok(Body {
        declared: declared.filter(|_| !whole),
        whole,
        ..Body::none()
    })
}

/// Lets the client send.
async fn begin(session: &mut ServerSession, expects: bool, bounds: &Bounds) -> Result<(), Unread> {
    if expects {
        let said = session.write_continue_response().await;
        said.map_err(|_| Unread::Gone)?;
    }
    session.set_read_timeout(Some(bounds.client));
    Ok(())
}

/// What can be said of a body from the header alone: its length, and how it is compressed.
pub(super) fn examine(
    session: &mut ServerSession,
    seen: Seen,
    bounds: &Bounds,
) -> Result<(Option<u64>, Coding), Rejection> {
    if is_empty(session) {
        return Err(empty());
    }
    let coding = if seen.content_encoding {
        packed::coding(&session.req_header().headers)?
    } else {
        Coding::Identity
    };
    Ok((declared(session, bounds)?, coding))
}

/// Whether there is no body. An HTTP/1.1 session is not asked where its header says it: it would begin to read the body.
fn is_empty(session: &mut ServerSession) -> bool {
    let header = session.as_http1().map(|session| session.req_header());
    let length = header.and_then(|header| length(&header.headers));
    match length {
        Some(length) => length == 0,
        None => session.is_body_empty(),
    }
}

/// The length that is announced, which must be one that is taken.
fn declared(session: &ServerSession, bounds: &Bounds) -> Result<Option<u64>, Rejection> {
    match length(&session.req_header().headers) {
        Some(length) if length > bounds.body => Err(too_large(bounds.body)),
        declared => Ok(declared),
    }
}

/// What `Content-Length` says.
fn length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(CONTENT_LENGTH)?.as_bytes().trim_ascii())
}

/// The number that is written in `digits`; none where it is no such number, or larger than any.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let push = |number: u64, digit: &u8| {
        let value = digit.wrapping_sub(b'0');
        let value = (value <= 9).then_some(u64::from(value))?;
        number.checked_mul(10)?.checked_add(value)
    };
    let digits = Some(digits).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0, push)
}

/// The refusal for a body of nothing.
pub(super) fn empty() -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        "The request body is empty. Send a JSON object with a `model`.",
    )
}

/// The refusal for a body that is larger than any may be.
pub(super) fn too_large(limit: u64) -> Rejection {
    Rejection::new(
        Code::BodyTooLarge,
        format!(
            "The request body is larger than {limit} bytes, the most that this gateway takes (limits.body)."
        ),
    )
}

/// The refusal for a body that is not JSON.
#[must_use]
pub fn malformed(fault: &Malformed) -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        format!("The request body is {fault}."),
    )
}

/// The refusal for a body that does not come.
pub(super) fn slow() -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        "The request body did not arrive in time. Send it without pauses.",
    )
}

/// The next piece of the body, if there is one, in the client's time.
pub(super) async fn next_piece(
    session: &mut ServerSession,
    pace: &mut Pace,
) -> Result<Option<Bytes>, Unread> {
    let read = in_time(pace, session.read_request_body()).await?;
    read.map_err(|error| {
        // Where the next request would begin is not known.
        session.set_keepalive(None);
        unreadable(&error)
    })
}

/// What `read` brings, in the client's time.
async fn in_time<T>(pace: &mut Pace, read: impl Future<Output = T>) -> Result<T, Rejection> {
    let mut read = pin!(read);
    loop {
        match at_once_or(|| pace.left(), read.as_mut()).await {
            Ok(read) => return Ok(read),
            Err(_) if pace.turn() => {}
            Err(_) => return Err(slow()),
        }
    }
}

/// Gathers pieces under the limits.
struct Reader<'a, R> {
    bounds: &'a Bounds,
    declared: Option<u64>,
    share: Option<Reservation>,
    /// Why it is not kept, where it is not.
    lost: Option<ReplayLost>,
    first: Option<Bytes>,
    rest: BytesMut,
    length: u64,
    scanner: R,
    pace: Pace,
}

impl<'a, R: Reading> Reader<'a, R> {
    fn new(
        declared: Option<u64>,
        memory: &Arc<ReplayMemory>,
        bounds: &'a Bounds,
        scanner: R,
    ) -> Result<Self, Rejection> {
        let wanted = declared.unwrap_or(FIRST_SHARE.min(bounds.replay));
        let fits = wanted <= bounds.replay;
        let share = fits.then(|| memory.take(wanted)).flatten();
        let lost = match share {
            Some(_) => None,
            None if fits => Some(ReplayLost::ProcessCap),
            None => Some(ReplayLost::RequestCap),
        };
        Ok(Self {
            bounds,
            declared,
            lost,
            share,
            first: None,
            rest: BytesMut::new(),
            length: 0,
            scanner,
            pace: Pace::new(bounds.client),
        })
    }

    /// Reads as much as it takes; true: that is all of it. Pingora's session has begun to read a body that a client was `told` to
    /// send.
    async fn read(&mut self, session: &mut ServerSession, told: bool) -> Result<bool, Unread> {
        if !told && self.read_directly(session).await? {
            return Ok(true);
        }
        while !self.satisfied() {
            let Some(piece) = next_piece(session, &mut self.pace).await? else {
                return Ok(true);
            };
            self.take(piece)?;
        }
        Ok(false)
    }

    /// Whether routing can begin although the body has not ended.
    fn satisfied(&self) -> bool {
        self.lost.is_some() && self.names_model()
    }

    fn names_model(&self) -> bool {
        self.bounds.named || self.scanner.names_model()
    }

    fn take(&mut self, piece: Bytes) -> Result<(), Rejection> {
        self.length += piece.len() as u64;
        if self.length > self.bounds.body {
            return Err(too_large(self.bounds.body));
        }
        if !self.pace.keep(piece.len() as u64) {
            return Err(slow());
        }
        self.pay()?;
        self.scanner.feed(&piece)?;
        self.store(piece);
        Ok(())
    }

    /// Makes sure that the share covers what has been read. Where it cannot, the body is no longer
    /// kept, and goes on as a stream once its model is known.
    fn pay(&mut self) -> Result<(), Rejection> {
        if self.lost.is_none() && self.length > self.bounds.replay {
            self.lost = Some(ReplayLost::RequestCap);
        }
        if self.lost.is_none() && !self.grow() {
            self.lost = Some(ReplayLost::ProcessCap);
        }
        if self.lost.is_some() && !self.names_model() && self.length > PEEK as u64 {
            return Err(self.no_room());
        }
        Ok(())
    }

    fn grow(&mut self) -> bool {
        let doubled = self.length.max(FIRST_SHARE).next_power_of_two();
        let wanted = self.declared.unwrap_or(doubled.min(self.bounds.replay));
        self.share
            .as_mut()
            .is_some_and(|share| share.grow_to(wanted.max(self.length)))
    }

    fn no_room(&self) -> Rejection {
        if self.declared.unwrap_or(self.length) > self.bounds.replay {
            let limit = self.bounds.replay;
            return Rejection::new(
                Code::BodyTooLarge,
                format!(
                    "A request body of more than {limit} bytes (limits.replay_request) must name its `model` within its first {PEEK} bytes."
                ),
            );
        }
        Rejection::new(
            Code::Overloaded,
            "The gateway holds as many request bodies as it may. Try again shortly.",
        )
    }

    fn store(&mut self, piece: Bytes) {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(piece);
            return;
        }
        if let Some(first) = self.first.take() {
            let room = self.declared.unwrap_or(FIRST_SHARE);
            let room = if self.lost.is_none() {
                room
            } else {
                PEEK as u64
            };
            self.rest.reserve(usize::try_from(room).unwrap_or(PEEK));
            self.rest.extend_from_slice(&first);
        }
        self.rest.extend_from_slice(&piece);
    }

    fn finish(self, whole: bool) -> Result<Gathered<R>, Unread> {
        if whole {
            if self.length == 0 {
                return Err(empty().into());
            }
            self.scanner.finish()?;
        }
        Ok(Gathered {
            bytes: self.first.unwrap_or_else(|| self.rest.freeze()),
            scanner: self.scanner,
            declared: self.declared,
            whole,
            share: self.share,
            // What has been read to its end is kept, in whatever memory.
            lost: self.lost.filter(|_| !whole),
        })
    }
}

/// As [`pingora_timeout::timeout`] (see `replay/timer.rs`), without a timer and a look at the clock where there is nothing to wait for: most bodies
/// are there when their header is.
async fn at_once_or<T>(
    within: impl FnOnce() -> Duration,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|task| Poll::Ready(future.as_mut().poll(task))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout(within(), future).await,
    }
}

/// Framing that is broken is answered; a connection that is gone is not.
fn unreadable(error: &pingora::Error) -> Unread {
    use pingora::ErrorType::{ConnectionClosed, ReadError, ReadTimedout};
    match error.etype() {
        ReadTimedout => slow().into(),
        ConnectionClosed | ReadError => Unread::Gone,
        _ => Rejection::new(
            Code::InvalidRequest,
            "The request body's framing is broken. Check Content-Length and chunk sizes.",
        )
        .into(),
    }
}
