//! What the request's context and its replay session share: where the body is, the clocks, and the answers that are kept
//! from the client.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::{HttpTask, ServerSession};

use super::absence::Absence;
use super::clock::{Cause, Deadlines};
use super::cork::{self, Corked};
use super::line::Line;
use super::upgrade::Upgrade;
use crate::model::splice::Pieces;
use crate::proxy::flow::{self, Flow};
use crate::proxy::held::Held;
use crate::proxy::masked::Mask;
use crate::proxy::reject::Rejection;
use crate::proxy::tail::Tail;
use crate::upstream::joined::Announced;
use crate::usage::Extra;

/// The largest error answer that is kept while a next candidate is tried, in bytes. A larger one
/// is let go, and the failure is reported in Tollgate's own words if no other answer comes.
const WITHHELD_MAX: usize = 64 * 1024;

/// How long the body of a failed answer is waited for before the next candidate is tried.
const WITHHELD_WAIT: Duration = Duration::from_millis(500);

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
    /// What the connection has become.
    pub(super) line: OnceLock<Arc<dyn Line>>,
}

pub(super) struct State {
    pub(super) pieces: Pieces,
    pub(super) next: usize,
    pub(super) offset: usize,
    /// For an upstream that is slow or not known yet, and for one that has taken the last piece quickly.
    pub(super) piece_max: [usize; 2],
    pub(super) flow: Option<Arc<Flow>>,
    /// The upstream's socket, while it is corked and the piece that uncorks it is not under way.
    pub(super) corked: Option<RawFd>,
    /// Whether a piece had to wait for room.
    pub(super) stalled: bool,
    pub(super) tail: Option<Box<Tail>>,
    pub(super) deadlines: Deadlines,
    pub(super) last_activity: Instant,
    pub(super) answering: bool,
    pub(super) withhold_until: Option<Instant>,
    pub(super) withheld: Option<Withheld>,
    pub(super) held: Option<Box<Held>>,
    pub(super) extra: Option<Box<Extra>>,
    pub(super) mask: Option<Box<Mask>>,
    pub(super) stop: bool,
    pub(super) upgrade: Upgrade,
    pub(super) absence: Absence,
    pub(super) cause: Option<Cause>,
    pub(super) returned: Option<Box<ServerSession>>,
}

impl Shared {
    /// The state before the first attempt. `tail` is what is left of the body on the wire.
    #[must_use]
    pub fn new(tail: Option<Box<Tail>>, deadlines: Deadlines, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            line: OnceLock::new(),
            state: Mutex::new(State {
                pieces: Pieces::default(),
                next: 0,
                offset: 0,
                piece_max: [usize::MAX; 2],
                flow: None,
                corked: None,
                stalled: false,
                tail,
                deadlines,
                last_activity: now,
                answering: false,
                withhold_until: None,
                withheld: None,
                held: None,
                extra: None,
                mask: None,
                stop: false,
                upgrade: Upgrade::default(),
                absence: Absence::default(),
                cause: None,
                returned: None,
            }),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt: the body from its first byte, with that attempt's edits applied.
    pub fn rewind(&self, pieces: Pieces, deadlines: Deadlines, now: Instant) {
        let mut state = self.lock();
        state.pieces = pieces;
        state.next = 0;
        state.offset = 0;
        state.flow = None;
        state.corked = None;
        state.deadlines = deadlines;
        state.last_activity = now;
        state.answering = false;
        state.withhold_until = None;
        state.held = None;
        state.extra = None;
        state.mask = None;
        state.stop = false;
        state.upgrade.again();
        state.absence.read_on = false;
        state.cause = None;
    }

    /// The upstream is connected, and its clock starts: `now`, where that was waited for. Bounds the pieces handed over, in
    /// bytes: at first, and while the upstream takes them quickly.
    pub fn connected(&self, piece_max: [usize; 2], now: Option<Instant>) {
        let mut state = self.lock();
        state.piece_max = piece_max;
        state.last_activity = now.unwrap_or(state.last_activity);
        let many = state.tail.is_some() || state.pieces.total_len() > flow::UNCOUNTED_MAX;
        state.flow = many.then(Arc::default);
    }

    /// Tells the connection of an HTTP/1.1 upstream, over which the header is about to be written, what body follows it; false
    /// where not all of it is in memory.
    pub fn announce(&self, to: &Announced) -> bool {
        let state = self.lock();
        let whole = state.tail.is_none();
        let pieces = if whole { state.pieces.as_slice() } else { &[] };
        to.announce(pieces);
        whole
    }

    /// Corks the socket of an HTTP/1.1 upstream, over which the header is about to be written, until the last piece of the body
    /// that is in memory is written, too. There must be one.
    pub fn cork(&self, upstream: RawFd) {
        let mut state = self.lock();
        if state.next < state.pieces.as_slice().len() && cork::cork(upstream) {
            state.corked = Some(upstream);
        }
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

    /// Whether an answer was held back for as long as may be.
    pub fn is_due(&self) -> bool {
        self.lock().held.as_ref().is_some_and(|held| held.is_due())
    }

    /// Takes tasks of an answer in; gives back what is to go to the client now.
    pub(super) fn pass(&self, tasks: Vec<HttpTask>) -> Option<Vec<HttpTask>> {
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
    pub fn take_tail_fault(&self) -> Option<Rejection> {
        self.lock().tail.as_mut().and_then(|tail| tail.take_fault())
    }

    /// Whether the body can be sent a second time.
    pub fn replayable(&self) -> bool {
        self.lock().tail.is_none()
    }

    pub(super) fn next_piece(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let left = state.pieces.as_slice().get(state.next)?.len() - state.offset;
        if state.flow.is_some() {
            // A body of few pieces is handed over as soon as the upstream is connected.
            state.last_activity = Instant::now();
        }
        let count = left.min(state.piece_max());
        let piece = state.next_bytes(count)?;
        let last = state.next >= state.pieces.as_slice().len();
        let piece = if last { state.uncorking(piece) } else { piece };
        Some(state.counted(piece))
    }

    /// What counts the pieces that Pingora has not written, where that is needed.
    pub(super) fn flow(&self) -> Option<Arc<Flow>> {
        self.lock().flow.clone()
    }

    pub(super) fn pieces_left(&self) -> bool {
        let state = self.lock();
        state.next < state.pieces.as_slice().len()
    }
}

impl State {
    /// Whether the whole body was handed over in this attempt.
    pub(super) fn handed_over(&self) -> bool {
        self.next >= self.pieces.as_slice().len()
            && self.tail.as_ref().is_none_or(|tail| tail.ended())
    }

    /// The next `count` bytes of the piece that is handed over. One that is handed over to its end is kept no longer: where an edit
    /// made it, its memory is good for the next request as soon as it is written.
    fn next_bytes(&mut self, count: usize) -> Option<Bytes> {
        let piece = self.pieces.as_slice().get(self.next)?;
        let end = self.offset + count;
        if end < piece.len() {
            let bytes = piece.slice(self.offset..end);
            self.offset = end;
            return Some(bytes);
        }
        let mut piece = self.pieces.take(self.next)?;
        piece.advance(self.offset);
        self.next += 1;
        self.offset = 0;
        Some(piece)
    }

    fn piece_max(&self) -> usize {
        let [usual, quick] = self.piece_max;
        match &self.flow {
            Some(flow) if flow.is_quick() => quick,
            _ => usual,
        }
    }

    /// The piece, with whose end the socket is uncorked, where it is corked.
    fn uncorking(&mut self, piece: Bytes) -> Bytes {
        match self.corked.take() {
            Some(socket) => flow::held(piece, Corked::new(socket)),
            None => piece,
        }
    }

    pub(super) fn counted(&self, piece: Bytes) -> Bytes {
        match &self.flow {
            Some(flow) => flow.count(piece),
            None => piece,
        }
    }

    /// Adds to the kept answer; true when it has outgrown its bound and is let go.
    pub(super) fn keep_body(&mut self, data: Option<Bytes>) -> bool {
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
    pub(super) fn take_tail(&self, data: Option<Bytes>) -> Result<Option<Bytes>> {
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
}
