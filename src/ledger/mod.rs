//! Balances and holds: before an attempt that costs something is sent, what it can cost at the most is set apart
//! ([`Ledger::hold`]); when it has ended, what it did cost is charged ([`Hold::settle`]) or nothing ([`Hold::void`]).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use tollgate::ledger::{Caps, Closing, Ledger, Opening, Refused, StoreDown};
//! # async fn attempt(ledger: Arc<Ledger>, opening: Opening) -> Result<(), Refused> {
//! let hold = ledger.hold(opening, &Caps::default())?; // in memory, waits for nothing
//! // ... the request goes to the provider; before the first byte of its answer goes to the client:
//! if let Err(StoreDown) = hold.durable().await {
//!     hold.void(Closing::default()); // 503 `store_unavailable`
//!     return Err(Refused::StoreDown);
//! }
//! // ... at the end:
//! hold.settle(Closing::default());
//! # Ok(())
//! # }
//! ```
//!
//! * Balances are in memory, and right at every moment: of any number of requests at one time those are refused for which
//!   there is no credit. The store follows, in the order in which things happened.
//! * A hold that is dropped is settled by its estimate and flagged [`Estimated::Dropped`].
//! * An attempt without a hold is one call, [`Ledger::record`], when it has ended.
//! * Times are the ledger's own ([`Ledger::now`]), which never go backwards.
//!
//! One process holds the ledger of a store; in an upgrade it goes from one to the next (`succession`). Knows nothing of HTTP, models or Pingora, and never waits for the disk on a
//! request.

mod account;
mod ages;
mod alive;
mod books;
mod charge;
mod clock;
mod counts;
mod hold;
mod lock;
mod spend;
mod succession;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::money::Credits;
use crate::store::{Beginning, Generation, HeldRow, Told};

pub use crate::store::{
    Billing, ChargeTo, Closing, Estimated, Flags, GrantId, Opening, RowId, StoredAccount,
    StoredGrant,
};
pub use books::State;
pub use clock::Clock;
pub use counts::Counts;
pub use hold::Hold;
pub use spend::{Spent, Window};
pub use succession::HAND_OVER_MAX;
pub use writer::{Commit, Writer};

use books::{Books, Early, Held, Row, Speaker};

/// The longest that anybody waits for a hold to be on the disk.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// What of other processes' rows is taken over at once, while nothing can be held.
const AT_ONCE: usize = 64;

/// How a ledger is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of the holds that a process left open that was ended by force.
    pub recovered: Recovered,
    /// Whether another process is about to hand the ledger over: until it has, requests wait.
    pub successor: bool,
}

/// What is charged for an attempt whose end nobody has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovered {
    /// What it was taken to cost when it began.
    #[default]
    Estimate,
    /// All that was held.
    Hold,
    /// Nothing.
    Void,
}

/// What an access key may be charged; `None`: without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// In a day, UTC.
    pub day: Option<Credits>,
    /// In a calendar month, UTC.
    pub month: Option<Credits>,
}

/// Why nothing is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The account has not as much.
    Insufficient {
        /// What would have been held.
        needed: Credits,
        /// What there is; below zero where more is owed than may be.
        available: Credits,
    },
    /// The access key would go above a cap.
    CapReached {
        /// Of which.
        window: Window,
        /// The cap.
        cap: Credits,
        /// The Unix second at which the next window begins.
        resets: i64,
    },
    /// The account is closed.
    Closed,
    /// The ledger cannot write, is another process's, or has not heard of the account yet.
    StoreDown,
}

/// The ledger could not write what it was asked to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDown;

impl fmt::Display for StoreDown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the ledger cannot be written")
    }
}

impl std::error::Error for StoreDown {}

/// How an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How it pays.
    pub billing: Billing,
    /// Whether it is closed.
    pub closed: bool,
    /// What it has; below zero is what it owes.
    pub balance: Credits,
    /// What is held of it.
    pub held: Credits,
    /// What can be held still; `None`: without end.
    pub available: Option<Credits>,
}

/// The ledger. Shared by all requests. What it has to write is written by its [`Writer`].
pub struct Ledger {
    books: Mutex<Books>,
    clock: Clock,
    /// What becomes of what nobody saw the end of. No request asks.
    recovered: Mutex<Recovered>,
    counts: Counts,
    /// Whether the writer is to look for changes.
    look: AtomicBool,
    /// Whether the ledger is about to come from the process before.
    awaited: AtomicBool,
    /// Whether requests come that may wait for it.
    serves: AtomicBool,
    /// Whether it is to be handed over.
    leave: AtomicBool,
    /// Processes before this one that live still.
    predecessors: AtomicU64,
    /// What writes it down.
    writer: OnceLock<Thread>,
    written: watch::Sender<Written>,
}

/// What became of a hold that was tried.
enum Tried {
    /// The ledger is here.
    Here(Result<Hold, Refused>),
    /// It was handed over.
    Elsewhere(Opening),
}

/// What the writer has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    /// The events that are on the disk.
    events: u64,
    /// Whether the last transaction succeeded.
    up: bool,
    /// Whether the ledger was handed over.
    left: bool,
}

impl Ledger {
    /// A ledger that writes nothing down.
    #[must_use]
    pub fn in_memory(accounts: Vec<StoredAccount>, clock: Clock) -> Arc<Self> {
        let ledger = Self::new(Settings::default(), clock);
        let beginning = Beginning {
            accounts,
            next_row: 1,
            ..Beginning::default()
        };
        ledger.books().replace_state(State::InMemory);
        ledger.books().begin(beginning, ledger.now());
        ledger.succeeded(u64::MAX);
        Arc::new(ledger)
    }

    /// Opens the ledger of the store `file`, which [`Store`](crate::store::Store) has opened before, and starts the
    /// thread that writes it. What a process left held that was ended by force is settled by rule, and written. If
    /// another process has the ledger, or the store fails, it is [`State::Waiting`], until the thread gets it. `observe`
    /// is told of each transaction. Waits for the disk.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn open(
        file: &Path,
        settings: Settings,
        clock: Clock,
        observe: impl Fn(Commit) + Send + 'static,
    ) -> std::io::Result<(Arc<Self>, Writer)> {
        writer::start(file, settings, clock, observe)
    }

    fn new(settings: Settings, clock: Clock) -> Self {
        let nothing = Written {
            events: 0,
            up: false,
            left: false,
        };
        Self {
            books: Mutex::default(),
            clock,
            recovered: Mutex::new(settings.recovered),
            counts: Counts::default(),
            look: AtomicBool::new(false),
            awaited: AtomicBool::new(settings.successor),
            serves: AtomicBool::new(!settings.successor),
            leave: AtomicBool::new(false),
            predecessors: AtomicU64::new(0),
            writer: OnceLock::new(),
            written: watch::Sender::new(nothing),
        }
    }

    /// The ledger's time, in Unix milliseconds. Never backwards.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// As [`Ledger::now`], at a point in time that was just read.
    #[must_use]
    pub fn at(&self, now: Instant) -> i64 {
        self.clock.at(now)
    }

    /// Sets apart what an attempt may cost. Waits for nothing. Once the ledger was handed over, nothing can be: see
    /// [`Ledger::obtain`].
    ///
    /// # Errors
    /// See [`Refused`]; nothing is held then.
    pub fn hold(self: &Arc<Self>, opening: Opening, caps: &Caps) -> Result<Hold, Refused> {
        match self.try_hold(opening, caps) {
            Tried::Here(held) => held,
            Tried::Elsewhere(_) => Err(Refused::StoreDown),
        }
    }

    fn try_hold(self: &Arc<Self>, opening: Opening, caps: &Caps) -> Tried {
        let opening = in_bounds(opening);
        let estimate = opening.estimate;
        // The time is taken under the lock, so that no hold is of a day before that of an earlier one.
        let mut books = self.books();
        if books.has_left() {
            return Tried::Elsewhere(opening);
        }
        let now = self.now();
        let held = books.hold(opening, caps, now);
        self.wake(books);
        Tried::Here(held.map(|held| Hold::new(Arc::clone(self), held, estimate)))
    }

    /// Writes down an attempt that has ended and for which nothing was held. `started` is a time of [`Ledger::now`]. Its
    /// charge, if any, is taken whether or not the account has as much. While the store fails, as many rows are kept as
    /// there is room for; others are lost with what they would have charged, and counted.
    pub fn record(&self, opening: Opening, started: i64, closing: Closing) {
        self.note(opening, started, closing, false);
    }

    /// As [`Ledger::record`], of an attempt by which nothing was served: of `closing` no amount is charged.
    pub fn record_void(&self, opening: Opening, started: i64, closing: Closing) {
        self.note(opening, started, closing, true);
    }

    fn note(&self, opening: Opening, started: i64, closing: Closing, void: bool) {
        let estimated = closing.estimated;
        let row = Early {
            opening,
            started,
            closing,
            void,
        };
        let Some(row) = self.keep_early(row) else {
            return;
        };
        let mut books = self.books();
        let now = self.now();
        let ended = books.record(row, now);
        self.wake(books);
        self.count(ended, estimated);
    }

    /// Whether an account can pay `amount` now, within the caps of the key, and no more than that: nothing is held. What
    /// is not known, because the ledger is another process's, is not denied.
    ///
    /// # Errors
    /// See [`Refused`]; the store's state is no reason.
    pub fn affords(
        &self,
        account: AccountId,
        key: KeyId,
        amount: Credits,
        caps: &Caps,
    ) -> Result<(), Refused> {
        let mut books = self.books();
        let now = self.now();
        books.affords(account, key, amount, caps, now)
    }

    /// Has the writer look now for what an operator has changed, and not within the quarter of a second in which it would
    /// anyway.
    pub fn look(&self) {
        self.look.store(true, Ordering::Release);
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// How an account stands; `None` where there is none.
    #[must_use]
    pub fn standing(&self, account: AccountId) -> Option<Standing> {
        self.books().standing(account, self.now())
    }

    /// What an access key has used of the day and the month that it is.
    #[must_use]
    pub fn spent(&self, key: KeyId) -> Spent {
        self.books().spent(key, self.now())
    }

    /// The Unix second at which something of what an account has expires; `None`: nothing does.
    #[must_use]
    pub fn next_expiry(&self, account: AccountId) -> Option<i64> {
        self.books().next_expiry_of(account)
    }

    /// Whether anything can be held, and is written.
    #[must_use]
    pub fn state(&self) -> State {
        let books = self.books();
        match books.state() {
            State::Up if !books.is_up() => State::Down,
            state => state,
        }
    }

    /// Holds that are open.
    #[must_use]
    pub fn holds_open(&self) -> u64 {
        self.books().open()
    }

    /// How long the oldest hold has been open, to ten seconds; `None` where none is.
    #[must_use]
    pub fn oldest_hold(&self) -> Option<Duration> {
        let since = self.books().oldest()?;
        let age = self.now().saturating_sub(since);
        Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    }

    /// What is counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Takes what the store has, and goes on holding what the processes `before` have held. What was held by none of them
    /// is ended. Returns how many rows that were.
    fn begin(&self, from: Beginning, held: Vec<HeldRow>, before: &[Generation], now: i64) -> usize {
        let mut books = self.books();
        books.begin(from, now);
        let mut ended = 0;
        for row in held {
            // Each has the rows from its first on, up to the first of the next.
            let whose = before.iter().rfind(|it| it.first <= row.id);
            let whose = whose.filter(|it| it.last.is_none_or(|last| row.id <= last));
            if let Some(whose) = whose {
                books.adopt(row, whose.id, now);
            } else {
                let row = books.recover(&row, self.recovered(), now);
                self.count(Some(row), Some(Estimated::Recovered));
                ended += 1;
            }
        }
        ended
    }

    /// Takes over what another process has told.
    fn hear(&self, from: Speaker, told: Vec<Told>) {
        let mut told = told.into_iter();
        while told.len() > 0 {
            // Not all of it at once: requests wait for the books meanwhile.
            let mut books = self.books();
            let now = self.now();
            for word in told.by_ref().take(AT_ONCE) {
                if let Some((row, reason)) = books.hear(from, word, now) {
                    self.count(Some(row), reason);
                }
            }
        }
    }

    /// Ends what a process has left open that is gone. Returns how many rows that were.
    fn depart(&self, generation: i64, estimates: &HashMap<RowId, i64>) -> usize {
        let open = self.books().adopted_of(generation);
        for rows in open.chunks(AT_ONCE) {
            let mut books = self.books();
            let now = self.now();
            for row in rows {
                let estimate = estimates.get(row).copied();
                let ended = books.end_adopted(*row, estimate, self.recovered(), now);
                self.count(ended, Some(Estimated::Recovered));
            }
        }
        self.books().depart(generation);
        open.len()
    }

    /// What becomes from now on of what nobody saw the end of.
    pub fn recover_as(&self, rule: Recovered) {
        *self.rule() = rule;
    }

    fn recovered(&self) -> Recovered {
        *self.rule()
    }

    fn rule(&self) -> MutexGuard<'_, Recovered> {
        self.recovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set_predecessors(&self, count: usize) {
        self.predecessors.store(count as u64, Ordering::Relaxed);
    }

    fn is_to_leave(&self) -> bool {
        self.leave.load(Ordering::Acquire)
    }

    /// The ledger was handed over.
    fn has_left(&self) {
        self.written.send_modify(|written| written.left = true);
    }

    /// Returns the event that it is; `None`: the hold is not known any more.
    fn expect(&self, held: &Held, estimate: Credits) -> Option<u64> {
        let mut books = self.books();
        let event = books.expect(held, estimate);
        self.wake(books);
        event
    }

    /// `None`: the ledger was handed over.
    fn exchange(
        &self,
        held: &Held,
        opening: &Opening,
        caps: &Caps,
        closing: &Closing,
    ) -> Option<Result<Held, Refused>> {
        let mut books = self.books();
        if books.has_left() {
            return None;
        }
        let now = self.now();
        let exchanged = books.exchange(held, opening, closing, caps, now);
        self.wake(books);
        Some(exchanged.map(|(held, ended)| {
            self.count(ended, None);
            held
        }))
    }

    fn has(&self, held: &Held) -> bool {
        self.books().has(held)
    }

    fn end(&self, held: &Held, closing: Closing, void: bool) {
        let estimated = closing.estimated.filter(|_| !void);
        let now = self.now();
        let mut books = self.books();
        let ended = books.end(held, closing, void, now);
        self.wake(books);
        self.count(ended, estimated);
    }

    /// Lets go of the books, and wakes the writer if it has to be.
    fn wake(&self, mut books: MutexGuard<'_, Books>) {
        let wake = books.must_wake();
        drop(books);
        if let Some(writer) = self.writer.get().filter(|_| wake) {
            writer.unpark();
        }
    }

    fn written_by(&self, thread: Thread) {
        // There is one writer, and this is told once.
        let _ = self.writer.set(thread);
    }

    fn count(&self, ended: Option<Row>, estimated: Option<Estimated>) {
        match ended {
            Some(row) => {
                self.counts.add_row(row.charged, row.flags);
                self.counts.add_estimated(estimated);
            }
            None => self.counts.add_lost(1),
        }
    }

    /// Ready when `event` and everything before it is on the disk.
    async fn written(&self, event: u64) -> Result<(), StoreDown> {
        let mut written = self.written.subscribe();
        if written.borrow().events >= event {
            return Ok(());
        }
        let told = written.wait_for(|written| written.events >= event || !written.up);
        match tokio::time::timeout(WAIT_MAX, told).await {
            Ok(Ok(written)) if written.events >= event => Ok(()),
            _ => Err(StoreDown),
        }
    }

    /// As [`Ledger::written`], and waits for a store that fails, too. Whether it is within `at_most`.
    async fn written_within(&self, event: u64, at_most: Duration) -> bool {
        let mut written = self.written.subscribe();
        let told = written.wait_for(|written| written.events >= event);
        matches!(tokio::time::timeout(at_most, told).await, Ok(Ok(_)))
    }

    /// Whether `event` and everything before it is on the disk. Waits for nothing.
    fn is_written(&self, event: u64) -> bool {
        self.written.borrow().events >= event
    }

    /// Ready when everything that has happened up to now is on the disk.
    ///
    /// # Errors
    /// The store fails, or takes longer than [`WAIT_MAX`].
    pub async fn all_written(&self) -> Result<(), StoreDown> {
        let event = self.books().events();
        self.written(event).await
    }

    /// Everything up to `events` is on the disk.
    fn succeeded(&self, events: u64) {
        self.written.send_modify(|written| {
            written.events = events;
            written.up = true;
        });
    }

    /// The store can be written.
    fn mended(&self) {
        self.written
            .send_if_modified(|written| !std::mem::replace(&mut written.up, true));
    }

    /// Nothing more comes to the disk for now.
    fn failed(&self) {
        self.written.send_modify(|written| written.up = false);
    }

    /// Nothing that could panic is done under this lock half way.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is held that is negative, nor expected to cost more than is held.
fn in_bounds(mut opening: Opening) -> Opening {
    opening.hold = opening.hold.max(Credits::ZERO);
    opening.estimate = opening.estimate.max(Credits::ZERO).min(opening.hold);
    opening
}

#[cfg(test)]
mod tests;
