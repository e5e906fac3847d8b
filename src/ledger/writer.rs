//! The one task that writes the ledger to the store: takes what is queued, writes it in one transaction, says that it is
//! on the disk, and looks again. While one transaction runs, the next is gathering. It also takes over what an operator
//! has changed, and what has expired.
//!
//! ```text
//! waiting ──the lock is free──> up ──a transaction fails──> down ──it succeeds──> up
//!    ^                           │                           │
//!    └──another process has become the owner of the ledger───┘
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::books::State;
use super::lock::Lock;
use super::spend::month_of;
use super::{Clock, Ledger, Settings, Written};
use crate::store::{Batch, Day, LedgerStore, POLL, Store, StoreError};

/// Pause between two tries to become the owner of the ledger.
const TAKE_POLL: Duration = Duration::from_secs(1);

/// Pauses between two tries to write what could not be written.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(2);

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

/// See the module.
pub struct Writer {
    ledger: Arc<Ledger>,
    store: Arc<Store>,
    lock: Lock,
    /// The connection, while the ledger is ours.
    owned: Option<LedgerStore>,
    /// What could not be written yet, and its last event.
    pending: Option<(Batch, u64)>,
    pause: Duration,
    complained: Option<Instant>,
    observe: Box<dyn Fn(Commit) + Send + Sync>,
}

impl Writer {
    /// Opens the ledger of `store`: what a process left held that was ended by force is settled by rule, and written. If
    /// another process has the ledger, or the store fails, it stays [`State::Waiting`], until [`Writer::run`] gets it.
    /// `observe` is told of each transaction.
    pub async fn open(
        store: Arc<Store>,
        settings: Settings,
        clock: Clock,
        observe: impl Fn(Commit) + Send + Sync + 'static,
    ) -> (Arc<Ledger>, Self) {
        let ledger = Arc::new(Ledger::new(settings, clock));
        let mut writer = Self {
            ledger: Arc::clone(&ledger),
            lock: Lock::of(store.file()),
            store,
            owned: None,
            pending: None,
            pause: RETRY_MIN,
            complained: None,
            observe: Box::new(observe),
        };
        writer.take().await;
        (ledger, writer)
    }

    /// Writes until `stop` is true, or its sender gone; then what is queued, and ends. While the store fails, ends at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let ledger = Arc::clone(&self.ledger);
        let mut look = interval(POLL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_stopped(&stop) {
            if self.owned.is_none() {
                let tried = self.take().await;
                if !tried {
                    pause(TAKE_POLL, &mut stop).await;
                }
            } else if !self.write().await {
                pause(self.pause, &mut stop).await;
                self.pause = (self.pause * 2).min(RETRY_MAX);
            } else {
                let due = tokio::select! {
                    () = ledger.wake.notified() => false,
                    _ = look.tick() => true,
                    () = stopped(&mut stop) => false,
                };
                if due {
                    self.look().await;
                }
            }
        }
        self.end().await;
    }

    /// Tries to become the owner of the ledger. True: it is ours now.
    async fn take(&mut self) -> bool {
        match self.lock.try_take() {
            Ok(true) => {}
            Ok(false) => {
                self.complain("the ledger is another process's; waiting for it");
                return false;
            }
            Err(error) => {
                self.complain(&format!("the ledger cannot be locked: {error}"));
                return false;
            }
        }
        match self.begin().await {
            Ok(()) => true,
            Err(error) => {
                self.lock.release();
                self.complain(&format!("the ledger cannot be read: {error}"));
                false
            }
        }
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let now = self.ledger.now();
        let since = month_of(Day::of(now.div_euclid(1_000)));
        let owner = getrandom::u64().map_err(StoreError::Random)?;
        let (owned, mut from) = self.store.claim_ledger(owner.cast_signed(), since).await?;
        if from.sum != 0 {
            log::error!(
                "the books of the store do not balance: together they are {} nano-dollars and not 0; \
                 see `tollgate credit check`",
                from.sum
            );
        }
        let held = std::mem::take(&mut from.held);
        if !held.is_empty() {
            log::warn!(
                "{} hold(s) were left open by a process that was ended by force, and are settled",
                held.len()
            );
        }
        self.owned = Some(owned);
        self.ledger.begin(from, &held, now);
        self.complained = None;
        // An empty batch too: it shows that the store can be written.
        self.pending = Some(self.ledger.books().take());
        self.write().await;
        Ok(())
    }

    /// Writes everything that is queued. False: the store fails, and it has to be tried again.
    async fn write(&mut self) -> bool {
        loop {
            let (batch, events) = match self.pending.take() {
                Some(pending) => pending,
                None => {
                    let (batch, events) = self.ledger.books().take();
                    if batch.is_empty() {
                        return true;
                    }
                    (batch, events)
                }
            };
            let Some(owned) = &mut self.owned else {
                return false;
            };
            let began = Instant::now();
            self.ledger.books().set_writing(Some(began));
            let written = owned.write(&batch).await;
            self.ledger.books().set_writing(None);
            match written {
                Ok(()) => {
                    (self.observe)(Commit {
                        rows: batch.len(),
                        took: began.elapsed(),
                    });
                    self.succeeded(events);
                }
                Err(StoreError::LedgerLost) => {
                    self.lost(batch.len());
                    return false;
                }
                Err(error) => {
                    self.pending = Some((batch, events));
                    self.failed(&error);
                    return false;
                }
            }
        }
    }

    fn succeeded(&mut self, events: u64) {
        let before = self.ledger.books().replace_state(State::Up);
        self.ledger.publish(Written { events, up: true });
        self.pause = RETRY_MIN;
        if before == State::Down {
            log::info!("the ledger is written again");
            self.complained = None;
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.ledger.books().replace_state(State::Down);
        self.ledger
            .written
            .send_modify(|written| written.up = false);
        self.complain(&format!(
            "the ledger cannot be written, nothing is held until it can: {error}"
        ));
    }

    /// Another process has the ledger, although the lock was ours: its file was removed, or does not lock.
    fn lost(&mut self, rows: usize) {
        let rows = rows + self.ledger.books().lose();
        self.ledger.counts.add_lost(rows as u64);
        self.ledger
            .written
            .send_modify(|written| written.up = false);
        self.owned = None;
        self.lock.release();
        log::error!(
            "another process has taken the ledger of this store; {rows} row(s) of this process are not written"
        );
    }

    /// Takes over what an operator has changed, and what has expired.
    async fn look(&mut self) {
        let Some(owned) = &mut self.owned else {
            return;
        };
        match owned.changed().await {
            Ok(changed) if changed.is_empty() => {}
            Ok(changed) => self.ledger.books().apply(changed),
            Err(error) => self.complain(&format!(
                "changes of accounts and grants cannot be read: {error}"
            )),
        }
        let now = self.ledger.now();
        self.ledger.books().expire_due(now);
    }

    async fn end(mut self) {
        if self.owned.is_some() && !self.write().await {
            log::error!(
                "the ledger could not be written to its end; holds that are open in the store are settled at the next \
                 start"
            );
        }
        self.ledger.books().replace_state(State::Waiting);
        self.ledger
            .written
            .send_modify(|written| written.up = false);
        if let Some(owned) = self.owned.take() {
            owned.close().await;
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

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

async fn pause(time: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(time) => {}
        () = stopped(stop) => {}
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
