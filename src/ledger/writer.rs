//! The one thread that writes the ledger to the store: takes what is queued, writes it in one transaction, says that it
//! is on the disk, and looks again. It also takes over what an operator has changed, and what has expired.
//!
//! ```text
//! waiting ──the lock is free──> up ──a transaction fails──> down ──it succeeds──> up
//!    ^                           │                           │
//!    └──another process has become the owner of the ledger───┘
//! ```
//!
//! A transaction costs some 150 µs of CPU, most of it the system's for having it on the disk, and a row 2 at the most. So
//! there is not one for every request: [`PACE`] and [`LAZY`].

mod leaving;
mod predecessors;
mod taking;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use leaving::Stage;
use predecessors::Predecessors;
#[cfg(test)]
pub use taking::SUCCEED_MAX;

use super::alive::Alive;
use super::books::State;
use super::lock::Lock;
use super::{Clock, Ledger, Settings};
use crate::store::{Batch, LedgerStore, POLL, StoreError};

/// The least time from the beginning of a transaction to that of the next. A hold that comes after a longer quiet is
/// written at once; under load, one waits 4 ms at the mean, while its request is at the provider.
const PACE: Duration = Duration::from_millis(8);

/// The same for one that nobody waits for: settled holds, and rows without one.
const LAZY: Duration = Duration::from_millis(25);

/// Pauses between two tries to write what could not be written.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How long the end waits for a store that fails. Less than whoever waits for the end.
const END_TIME: Duration = Duration::from_secs(3);

/// Something that goes on failing is logged once in this time.
const COMPLAINT: Duration = Duration::from_secs(60);

/// A transaction that was written.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Rows that began or ended, and credit that expired.
    pub rows: usize,
    /// How long it took.
    pub took: Duration,
}

/// The thread that writes. Dropped, it is told to end.
#[derive(Debug)]
pub struct Writer {
    thread: Thread,
    stop: Arc<AtomicU8>,
    ended: Receiver<()>,
}

const GO_ON: u8 = 0;
/// Write what is queued, then end.
const END: u8 = 1;
/// End, and leave it.
#[cfg(test)]
const ABANDON: u8 = 2;

impl Writer {
    /// Ends the thread when what is queued is written. False: it has not within `at_most`; what it has not written is
    /// settled at the next start.
    #[must_use]
    pub fn finish(self, at_most: Duration) -> bool {
        self.tell(END);
        // The thread's end is the sender's.
        self.ended.recv_timeout(at_most) == Err(RecvTimeoutError::Disconnected)
    }

    /// Ends the thread as a crash would: what is queued is not written.
    #[cfg(test)]
    pub fn abandon(self) {
        self.tell(ABANDON);
        let _ = self.ended.recv();
    }

    fn tell(&self, what: u8) {
        self.stop.store(what, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self
            .stop
            .compare_exchange(GO_ON, END, Ordering::Release, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Opens the ledger of the store `file`, and starts its thread. See [`Ledger::open`].
pub(super) fn start(
    file: &Path,
    settings: Settings,
    clock: Clock,
    observe: impl Fn(Commit) + Send + 'static,
) -> std::io::Result<(Arc<Ledger>, Writer)> {
    let ledger = Arc::new(Ledger::new(settings, clock));
    let stop = Arc::new(AtomicU8::new(GO_ON));
    let (alive, ended) = channel();
    let mut task = Task {
        ledger: Arc::clone(&ledger),
        lock: Lock::of(file),
        turn: Lock::of_turn(file),
        file: file.into(),
        owned: None,
        stage: Stage::Own,
        alive: None,
        predecessors: Predecessors::default(),
        awaited_since: Instant::now(),
        pending: None,
        began: None,
        pause: RETRY_MIN,
        complained: None,
        stop: Arc::clone(&stop),
        observe: Box::new(observe),
    };
    task.take();
    let alive = Running {
        ledger: Arc::clone(&ledger),
        _ended: alive,
    };
    let running = thread::Builder::new()
        .name("ledger".to_owned())
        .spawn(move || task.run(alive))?;
    let thread = running.thread().clone();
    ledger.written_by(thread.clone());
    Ok((
        ledger,
        Writer {
            thread,
            stop,
            ended,
        },
    ))
}

/// Dropped when the thread has ended, also by a panic: nothing is held from then on, and nobody waits.
struct Running {
    ledger: Arc<Ledger>,
    _ended: Sender<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            log::error!("the ledger's thread has failed; nothing is held until the next start");
        }
        self.ledger.books().replace_state(State::Waiting);
        self.ledger.failed();
    }
}

/// What the thread has.
struct Task {
    ledger: Arc<Ledger>,
    file: Box<Path>,
    lock: Lock,
    /// Who has it may try to take the lock.
    turn: Lock,
    /// The connection, while the ledger is ours.
    owned: Option<LedgerStore>,
    stage: Stage,
    /// By which a successor knows that this process lives.
    alive: Option<Alive>,
    predecessors: Predecessors,
    awaited_since: Instant,
    /// What could not be written yet, and its last event.
    pending: Option<(Batch, u64)>,
    /// When the last transaction began.
    began: Option<Instant>,
    pause: Duration,
    complained: Option<Instant>,
    stop: Arc<AtomicU8>,
    observe: Box<dyn Fn(Commit) + Send>,
}

impl Task {
    fn run(mut self, _running: Running) {
        let mut look = Instant::now();
        while self.stopped() == GO_ON {
            if self.owned.is_none() {
                if self.stage == Stage::Forgotten || !self.take() {
                    let pause = self.take_poll();
                    self.rest(pause);
                }
                continue;
            }
            let asked = self.ledger.look.swap(false, Ordering::AcqRel);
            if self.stage == Stage::Own && (asked || look <= Instant::now()) {
                self.look();
                look = Instant::now() + POLL;
            }
            self.hear();
            self.leave_if_asked();
            if !self.go_on_leaving() || (self.is_due() && !self.write()) {
                self.rest(self.pause);
                self.pause = (self.pause * 2).min(RETRY_MAX);
                continue;
            }
            self.hear_answers();
            self.sleep(self.next(look));
        }
        self.end();
    }

    /// When there is something to do at the latest, whatever is queued.
    fn next(&self, look: Instant) -> Instant {
        let look = match self.stage {
            Stage::Own => look,
            _ => Instant::now() + POLL,
        };
        let others = [self.predecessors.next(), self.next_answer()];
        others.into_iter().flatten().fold(look, Instant::min)
    }

    fn is_due(&self) -> bool {
        self.pending.is_some() || self.due().is_some_and(|due| due <= Instant::now())
    }

    /// When what is queued is to be written; `None`: nothing is.
    fn due(&self) -> Option<Instant> {
        let pace = self.ledger.books().wanted(PACE, LAZY)?;
        Some(self.began.map_or_else(Instant::now, |began| began + pace))
    }

    /// Writes what is queued. False: the store fails, and it has to be tried again.
    fn write(&mut self) -> bool {
        let (batch, events) = match self.pending.take() {
            Some(pending) => pending,
            None => self.ledger.books().take(),
        };
        let Some(owned) = &mut self.owned else {
            return false;
        };
        let began = Instant::now();
        self.began = Some(began);
        self.ledger.books().set_writing(Some(began));
        let written = match self.stage {
            Stage::Left => owned.tell(&batch),
            _ => owned.write(&batch),
        };
        self.ledger.books().set_writing(None);
        match written {
            Ok(()) => {
                (self.observe)(Commit {
                    rows: batch.len(),
                    took: began.elapsed(),
                });
                self.succeeded(events);
                true
            }
            Err(StoreError::LedgerLost) => {
                self.lost(batch.len());
                false
            }
            Err(error) => {
                self.pending = Some((batch, events));
                self.failed(&error);
                false
            }
        }
    }

    fn succeeded(&mut self, events: u64) {
        self.ledger.succeeded(events);
        self.mended();
    }

    /// The store can be written.
    fn mended(&mut self) {
        let before = self.ledger.books().replace_state(State::Up);
        self.ledger.mended();
        self.pause = RETRY_MIN;
        if before == State::Down {
            log::info!("the ledger is written again");
            self.complained = None;
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.ledger.books().replace_state(State::Down);
        self.ledger.failed();
        self.complain(&format!(
            "the ledger cannot be written, nothing is held until it can: {error}"
        ));
    }

    /// Another process has the ledger, although the lock was ours: its file was removed, or does not lock. Or, after it was
    /// handed over, this process is taken for dead.
    fn lost(&mut self, rows: usize) {
        let rows = rows + self.ledger.books().lose();
        self.ledger.counts.add_lost(rows as u64);
        self.ledger.failed();
        self.owned = None;
        self.alive = None;
        self.predecessors = Predecessors::default();
        self.ledger.set_predecessors(0);
        self.lock.release();
        if self.stage != Stage::Own {
            self.stage = Stage::Forgotten;
        }
        log::error!(
            "another process has taken the ledger of this store; {rows} row(s) of this process are not written"
        );
    }

    /// Takes over what an operator has changed, and what has expired.
    fn look(&mut self) {
        // While something waits to be tried again, the store is not what the books take it for.
        let Some(owned) = self.owned.as_mut().filter(|_| self.pending.is_none()) else {
            return;
        };
        match owned.changed() {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => self.ledger.books().apply(changed),
            Err(error) => self.complain(&format!(
                "changes of accounts and grants cannot be read: {error}"
            )),
        }
        let now = self.ledger.now();
        self.ledger.books().expire_due(now);
    }

    /// Sleeps until there is something to write, or until `latest`.
    fn sleep(&self, latest: Instant) {
        while self.stopped() == GO_ON {
            // Before the look at what is queued: what comes after it wakes this thread.
            self.ledger.books().sleep();
            let due = self.due().map_or(latest, |due| due.min(latest));
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ledger.look.load(Ordering::Acquire) {
                break;
            }
            thread::park_timeout(left);
        }
        self.ledger.books().wake();
    }

    /// Sleeps as long, whatever there is to write.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.stopped() == GO_ON {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
    }

    fn stopped(&self) -> u8 {
        self.stop.load(Ordering::Acquire)
    }

    fn end(mut self) {
        if self.stopped() != END || self.owned.is_none() {
            return;
        }
        if !self.write_to_the_end() {
            log::error!(
                "the ledger could not be written to its end; holds that are open in the store are settled at the next \
                 start"
            );
        }
        if let Some(alive) = self.alive.take() {
            alive.end();
        }
    }

    /// What has failed, and what was queued behind it. False: it has not succeeded in time.
    fn write_to_the_end(&mut self) -> bool {
        let until = Instant::now() + END_TIME;
        loop {
            let written = self.go_on_leaving() && self.write();
            let is_all = self.pending.is_none() && self.ledger.books().wanted((), ()).is_none();
            if written && is_all {
                return true;
            }
            if self.owned.is_none() || Instant::now() >= until {
                return false;
            }
            if !written {
                thread::park_timeout(RETRY_MIN);
            }
        }
    }

    fn complain(&mut self, what: &str) {
        let lately = |at: Instant| at.elapsed() < COMPLAINT;
        if !self.complained.is_some_and(lately) {
            log::error!("{what}");
            self.complained = Some(Instant::now());
        }
    }
}
