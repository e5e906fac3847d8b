//! What a fake upstream does with each request: a [`Behaviour`] is a short list of steps, a [`Script`] says who gets which.
//! The steps are carried out by `serve_h1` and `serve_h2`; the common faults have names in `fault`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::delivery::Delivery;
use super::gate::Gate;
use super::reply::Reply;

/// How far a response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upto {
    /// Half of the head (HTTP/2: a HEADERS frame without `END_HEADERS`).
    HalfHead,
    /// The head and this many bytes of the body, without its end.
    Bytes(usize),
    /// All of it.
    End,
}

/// Raw HTTP/2 frames for the stream with this id.
pub type Frames = Arc<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

/// One thing that an upstream does.
#[derive(Clone)]
pub enum Step {
    /// Reads the body to its end.
    Read,
    /// Reads until this many bytes of the body (in all) have arrived, or its end. On HTTP/2 a frame may bring more.
    ReadUntil(u64),
    /// Reads the body to its end, waiting before each piece of at most 16 KiB.
    ReadSlowly(Duration),
    /// Waits at a gate.
    Hold(Gate),
    /// Waits.
    Pause(Duration),
    /// Sends a response, or a part of it. A later `Send` goes on the same stream or connection.
    Send(Reply, Upto),
    /// Puts these bytes on the wire as they are (HTTP/2: between two frames).
    Raw(Bytes),
    /// Puts these HTTP/2 frames on the wire.
    Frames(Frames),
    /// Resets the HTTP/2 stream with this code.
    ResetStream(u32),
    /// Ends the exchange.
    End(End),
}

/// How an exchange ends; all but `Silence` end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Ends the sending side in order, then throws away what still comes until the peer closes.
    Close,
    /// Closes at once; the kernel resets the connection if something was left unread.
    Abandon,
    /// Resets the connection (`SO_LINGER` of 0).
    Reset,
    /// Neither reads nor sends again. The end of the peer is seen only if the body was read before.
    Silence,
    /// HTTP/2: the whole connection is frozen, pings included. Like `Silence` on HTTP/1.1.
    Freeze,
}

/// What is done with one request. Where the steps end without an [`End`], the rest of the body is read and the
/// connection is kept for the next request.
#[derive(Clone, Default)]
pub struct Behaviour {
    pub(super) steps: Vec<Step>,
}

/// A behaviour without any step yet.
pub fn behave() -> Behaviour {
    Behaviour::default()
}

impl Behaviour {
    /// Adds a step.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Reads the body to its end.
    pub fn read(self) -> Self {
        self.step(Step::Read)
    }

    /// Reads until `bytes` of the body have arrived.
    pub fn read_until(self, bytes: u64) -> Self {
        self.step(Step::ReadUntil(bytes))
    }

    /// Waits at `gate`.
    pub fn hold(self, gate: &Gate) -> Self {
        self.step(Step::Hold(gate.clone()))
    }

    /// Sends a response.
    pub fn send(self, reply: Reply) -> Self {
        self.step(Step::Send(reply, Upto::End))
    }

    /// Sends a part of a response.
    pub fn send_upto(self, reply: Reply, upto: Upto) -> Self {
        self.step(Step::Send(reply, upto))
    }

    /// Puts bytes on the wire as they are.
    pub fn raw(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Raw(bytes.into()))
    }

    /// Puts HTTP/2 frames on the wire, made for the id of the stream.
    pub fn frames(self, frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.step(Step::Frames(Arc::new(frames)))
    }

    /// Resets the HTTP/2 stream with `code`.
    pub fn reset_stream(self, code: u32) -> Self {
        self.step(Step::ResetStream(code))
    }

    /// Closes in order.
    pub fn close(self) -> Self {
        self.step(Step::End(End::Close))
    }

    /// Closes at once, without reading what is left.
    pub fn abandon(self) -> Self {
        self.step(Step::End(End::Abandon))
    }

    /// Resets the connection.
    pub fn reset(self) -> Self {
        self.step(Step::End(End::Reset))
    }

    /// Does nothing more, for ever.
    pub fn silence(self) -> Self {
        self.step(Step::End(End::Silence))
    }

    /// Freezes the connection.
    pub fn freeze(self) -> Self {
        self.step(Step::End(End::Freeze))
    }
}

/// The usual behaviour: reads the body, then sends the reply.
impl From<Reply> for Behaviour {
    fn from(reply: Reply) -> Self {
        behave().read().send(reply)
    }
}

type Chooser = Arc<dyn Fn(&Delivery) -> Behaviour + Send + Sync>;

/// Behaviours in order of arrival, and what comes after them.
pub struct Script {
    queue: Mutex<VecDeque<Behaviour>>,
    otherwise: Mutex<Chooser>,
}

impl Script {
    pub(super) fn new() -> Self {
        let fallback = Behaviour::from(Reply::status(200));
        Self {
            queue: Mutex::default(),
            otherwise: Mutex::new(Arc::new(move |_| fallback.clone())),
        }
    }

    /// Adds a behaviour for the next request that has none yet.
    pub(super) fn push(&self, behaviour: Behaviour) {
        lock(&self.queue).push_back(behaviour);
    }

    /// Sets what is done once the queue is empty.
    pub(super) fn otherwise(
        &self,
        choose: impl Fn(&Delivery) -> Behaviour + Send + Sync + 'static,
    ) {
        *lock(&self.otherwise) = Arc::new(choose);
    }

    /// The behaviour for a request that has just arrived.
    pub(super) fn next(&self, delivery: &Delivery) -> Behaviour {
        if let Some(behaviour) = lock(&self.queue).pop_front() {
            return behaviour;
        }
        let choose = lock(&self.otherwise).clone();
        choose(delivery)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
