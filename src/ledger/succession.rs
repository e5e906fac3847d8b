//! The ledger goes from one process to the next while the first has requests under way still: an upgrade.
//!
//! ```text
//! the first                        the store                       its successor
//! hand_over: nothing more is held
//!   writes what is queued ──────────> rows, books
//!   lets go of the lock ─────────────────────────────────────────> reads; adopts the holds of who lives still
//! a request ends ───────────────────> told ──────────────────────> moves the money, ends the row, deletes what was told
//! a request needs a hold ───────────> asked ─────────────────────> holds it, or not
//!   waits <────────────────────────── answered <───────────────────
//! the process ends, however ──────────────────────────────────────> settles by rule what it has not told
//! ```
//!
//! All of it passes through the store, which both write anyway: what was told is on the disk, whoever ends by force
//! and when; and that the money moves in the transaction that takes what was told is what makes it happen once. Any number
//! of processes may have left, and the owner may itself leave, or be ended and started again: nobody is connected to
//! anybody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::books::{Early, State, refusal};
use super::{Caps, Closing, Hold, Ledger, Opening, Refused, Tried, WAIT_MAX};
use crate::money::Credits;
use crate::store::{Answer, RowId};

/// The longest that a process waits for its ledger to be handed over.
pub const HAND_OVER_MAX: Duration = Duration::from_secs(2);

impl Ledger {
    /// As [`Ledger::hold`], and where the ledger is about to come from the process before, or was handed over to the next
    /// one, waits for it. The usual way waits for nothing.
    ///
    /// # Errors
    /// See [`Refused`]; nothing is held then.
    pub async fn obtain(self: &Arc<Self>, opening: Opening, caps: &Caps) -> Result<Hold, Refused> {
        self.ready().await;
        match self.try_hold(opening, caps) {
            Tried::Here(held) => held,
            // Boxed, so that no other request has room for it.
            Tried::Elsewhere(opening) => Box::pin(self.ask(opening, caps)).await,
        }
    }

    /// This process serves from now on, and the ledger is to come from the process before. How long that may take is counted
    /// from here on, however long the process has taken to be ready.
    pub fn expect_soon(&self) {
        self.serves.store(true, Ordering::Release);
    }

    /// Waits, for [`WAIT_MAX`] at the most, while the ledger is about to come from the process before; returns whether it did.
    pub async fn ready(&self) -> bool {
        let waits = self.awaited.load(Ordering::Acquire);
        if waits {
            Box::pin(self.wait_until_ready()).await;
        }
        waits
    }

    /// Hands the ledger over: from now on nothing is held here, what is queued is written, and the lock is let go. True:
    /// so it is. False: it has not come about within [`HAND_OVER_MAX`], because the store cannot be written, or the
    /// ledger is another's; it will as soon as it can.
    ///
    /// Everything else goes on as before: holds end, and rows are written, by way of whoever has the ledger then; what is
    /// to be held is asked of it by [`Ledger::obtain`]. The [`Writer`](super::Writer) has to go on until all of it has
    /// ended.
    pub async fn hand_over(&self) -> bool {
        if self.writer.get().is_none() {
            return true;
        }
        let mut written = self.written.subscribe();
        self.leave.store(true, Ordering::Release);
        self.look();
        let left = written.wait_for(|written| written.left);
        matches!(tokio::time::timeout(HAND_OVER_MAX, left).await, Ok(Ok(_)))
    }

    /// Processes that had the ledger before this one and have requests under way still.
    #[must_use]
    pub fn predecessors(&self) -> u64 {
        self.predecessors.load(Ordering::Relaxed)
    }

    async fn wait_until_ready(&self) {
        let mut written = self.written.subscribe();
        let come = written.wait_for(|_| !self.awaited.load(Ordering::Acquire));
        // Whether it has come is seen by whoever uses it.
        let _ = tokio::time::timeout(WAIT_MAX, come).await;
    }

    /// Asks the owner of the ledger.
    async fn ask(self: &Arc<Self>, opening: Opening, caps: &Caps) -> Result<Hold, Refused> {
        let until = Instant::now() + WAIT_MAX;
        let needed = opening.hold;
        let (asking, answer) = self.begin_to_ask(opening, caps)?;
        match timeout_at(until, answer).await {
            Ok(Ok(answer)) => asking.conclude(answer, needed, caps),
            _ => Err(Refused::StoreDown),
        }
    }

    fn begin_to_ask(
        self: &Arc<Self>,
        opening: Opening,
        caps: &Caps,
    ) -> Result<(Asking<'_>, oneshot::Receiver<Answer>), Refused> {
        let estimate = opening.estimate;
        let mut books = self.books();
        let now = self.now();
        let (held, answer) = books.ask(opening, caps, now)?;
        self.wake(books);
        let asking = Asking {
            ledger: self,
            row: held.row,
            hold: Some(Hold::new(Arc::clone(self), held, estimate)),
        };
        Ok((asking, answer))
    }

    /// What has ended before the ledger was there.
    pub(super) fn record_early(&self) {
        let early = self.books().take_early();
        for row in early {
            let estimated = row.closing.estimated;
            let mut books = self.books();
            let now = self.now();
            let ended = books.record_now(row, now);
            drop(books);
            self.count(ended, estimated);
        }
    }

    /// Keeps `row` for the ledger that is about to come; given back: it has come, or does not.
    pub(super) fn keep_early(&self, row: Early) -> Option<Early> {
        if !self.awaited.load(Ordering::Acquire) {
            return Some(row);
        }
        let mut books = self.books();
        if !books.waits() {
            return Some(row);
        }
        if !books.keep_early(row) {
            self.counts.add_lost(1);
        }
        None
    }

    /// The process before has not the ledger either: it is not waited for more than by others.
    pub fn expect_none(&self) {
        self.stop_waiting();
    }

    /// Whether the ledger is another process's, from which it is not to come to this one.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.state() == State::Waiting && !self.awaited.load(Ordering::Acquire)
    }

    /// Nobody waits for the ledger any more: it is here, or does not come.
    pub(super) fn stop_waiting(&self) {
        if !self.awaited.swap(false, Ordering::AcqRel) {
            return;
        }
        let early = self.books().take_early();
        self.counts.add_lost(early.len() as u64);
        // Who waits looks again.
        self.written.send_modify(|_| {});
    }
}

/// Somebody who waits for an answer. Gone before it has come, what was asked for is void.
struct Asking<'a> {
    ledger: &'a Ledger,
    row: RowId,
    hold: Option<Hold>,
}

impl Asking<'_> {
    /// The answer has come.
    fn conclude(mut self, answer: Answer, needed: Credits, caps: &Caps) -> Result<Hold, Refused> {
        let hold = self.hold.take().ok_or(Refused::StoreDown)?;
        match refusal(answer, needed, caps) {
            None => Ok(hold),
            Some(refused) => {
                hold.forget();
                Err(refused)
            }
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.ledger.books().give_up(self.row);
            hold.void(Closing::default());
        }
    }
}
