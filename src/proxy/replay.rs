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

mod absence;
mod answer;
mod clock;
mod cork;
mod line;
mod masked;
mod session;
mod shared;
mod stop;
mod timer;
mod upgrade;
mod usage_out;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::Result;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora_proxy::Session;

use super::flow;
use timer::Timer;

pub use clock::{Cause, Deadlines};
pub use line::Line;
pub use shared::{Shared, Withheld};

/// Returns after `patience`; never, where there is no end to it.
async fn run_out(patience: Option<Duration>) {
    match patience {
        Some(patience) => pingora_timeout::sleep(patience).await,
        None => std::future::pending().await,
    }
}

/// Stands in for the client's session; see the module's head.
pub struct Replay {
    real: Box<ServerSession>,
    shared: Arc<Shared>,
    timer: Option<Timer>,
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
    // What was cut off for one who left is not to be ended as if it were whole, nor waited for until somebody reads it: the
    // connection goes with what stands in its place.
    if shared.has_left() {
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
            let here = !shared.has_left();
            tokio::select! {
                biased;
                read = real.read_body_or_idle(idle), if here => return match read {
                    Ok(data) if idle => Ok(data),
                    Ok(data) => shared.take_tail(data),
                    Err(_) if shared.leave() => continue,
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

    /// Writes tasks to the client; once it has left, to nobody.
    async fn write(&mut self, tasks: Vec<HttpTask>, ends: bool) -> Result<bool> {
        if self.shared.has_left() {
            return self.shared.let_go(tasks);
        }
        // The error would be the upstream's then, and says nothing of the client.
        let broken = matches!(tasks.last(), Some(HttpTask::Failed(_)));
        match self.real.response_duplex_vec(tasks).await {
            Err(_) if !broken && self.shared.leave() => Ok(ends),
            written => written,
        }
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

/// Ends when the attempt's time is over. One timer serves the whole request: activity moves the
/// deadline, and the timer looks at it again when it wakes.
async fn expire(timer: &mut Option<Timer>, shared: &Shared) -> Cause {
    loop {
        let (at, cause) = shared.deadline();
        Timer::no_later(timer, at).woken().await;
        *timer = None;
        if Instant::now() >= at {
            let (at, latest) = shared.deadline();
            if Instant::now() >= at {
                return if latest == cause { cause } else { latest };
            }
        }
    }
}
