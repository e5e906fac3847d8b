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
//! One process holds the ledger of a store. Knows nothing of HTTP, models or Pingora, and never waits for the disk on a
//! request.

mod account;
mod ages;
mod books;
mod charge;
mod clock;
mod counts;
mod hold;
mod lock;
mod spend;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::money::Credits;
use crate::store::{Beginning, HeldRow};

pub use crate::store::{
    Billing, ChargeTo, Closing, Estimated, Flags, GrantId, Opening, RowId, StoredAccount,
    StoredGrant,
};
pub use books::State;
pub use clock::Clock;
pub use counts::Counts;
pub use hold::Hold;
pub use spend::{Spent, Window};
pub use writer::{Commit, Writer};

use books::{Books, Held, Row};

/// The longest that anybody waits for a hold to be on the disk.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// How a ledger is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of the holds that a process left open that was ended by force.
    pub recovered: Recovered,
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
    settings: Settings,
    counts: Counts,
    /// Whether the writer is to look for changes.
    look: AtomicBool,
    /// What writes it down.
    writer: OnceLock<Thread>,
    written: watch::Sender<Written>,
}

/// What the writer has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    /// The events that are on the disk.
    events: u64,
    /// Whether the last transaction succeeded.
    up: bool,
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
        };
        Self {
            books: Mutex::default(),
            clock,
            settings,
            counts: Counts::default(),
            look: AtomicBool::new(false),
            writer: OnceLock::new(),
            written: watch::Sender::new(nothing),
        }
    }

    /// The ledger's time, in Unix milliseconds. Never backwards.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Sets apart what an attempt may cost. Waits for nothing.
    ///
    /// # Errors
    /// See [`Refused`]; nothing is held then.
    pub fn hold(self: &Arc<Self>, mut opening: Opening, caps: &Caps) -> Result<Hold, Refused> {
        opening.hold = opening.hold.max(Credits::ZERO);
        opening.estimate = opening.estimate.max(Credits::ZERO).min(opening.hold);
        let estimate = opening.estimate;
        // The time is taken under the lock, so that no hold is of a day before that of an earlier one.
        let mut books = self.books();
        let now = self.now();
        let held = books.hold(opening, caps, now)?;
        self.wake(books);
        Ok(Hold::new(Arc::clone(self), held, estimate))
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
        let mut books = self.books();
        let now = self.now();
        let ended = books.record(opening, started, closing, void, now);
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

    /// Takes what the store has, and ends what another process left held.
    fn begin(&self, from: Beginning, held: &[HeldRow], now: i64) {
        let mut books = self.books();
        books.begin(from, now);
        for row in held {
            let ended = books.recover(row, self.settings.recovered, now);
            self.count(Some(ended), Some(Estimated::Recovered));
        }
    }

    /// Returns the event that it is; `None`: the hold is not known any more.
    fn expect(&self, held: &Held, estimate: Credits) -> Option<u64> {
        let mut books = self.books();
        let event = books.expect(held, estimate);
        self.wake(books);
        event
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
        self.written.send_replace(Written { events, up: true });
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

#[cfg(test)]
mod tests;
