//! How a process becomes the owner of the ledger.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Task;
use crate::ledger::alive::{self, Alive};
use crate::ledger::spend::month_of;
use crate::store::{Day, LedgerStore, StoreError};

/// Pause between two tries to become the owner of the ledger.
const TAKE_POLL: Duration = Duration::from_secs(1);

/// The same while it is about to be handed over, and how long that may take at the most once this process serves.
const SUCCEED_POLL: Duration = Duration::from_millis(10);
#[cfg(not(test))]
const SUCCEED_MAX: Duration = Duration::from_secs(120);
#[cfg(test)]
pub const SUCCEED_MAX: Duration = Duration::from_millis(200);

impl Task {
    /// Pause between two tries to become the owner.
    pub(super) fn take_poll(&mut self) -> Duration {
        if !self.is_awaited() {
            return TAKE_POLL;
        }
        if !self.ledger.serves.load(Ordering::Acquire) {
            self.awaited_since = Instant::now();
        } else if self.awaited_since.elapsed() > SUCCEED_MAX {
            self.ledger.stop_waiting();
        }
        SUCCEED_POLL
    }

    /// Tries to become the owner of the ledger. True: it is ours now.
    pub(super) fn take(&mut self) -> bool {
        let taken = self.take_in_turn();
        // Who is to succeed keeps its turn, whoever else waits.
        if taken || !self.is_awaited() {
            self.turn.release();
        }
        taken
    }

    fn take_in_turn(&mut self) -> bool {
        match self
            .turn
            .try_take()
            .and_then(|ours| Ok(ours && self.lock.try_take()?))
        {
            Ok(true) => {}
            Ok(false) => {
                if !self.is_awaited() {
                    self.complain(
                        "another process has the ledger of this store: requests on the gateway's own keys get 503 until \
                         it ends; stop it, or give this one a store of its own",
                    );
                }
                return false;
            }
            Err(error) => {
                self.complain(&format!("the ledger cannot be locked: {error}"));
                return false;
            }
        }
        match self.begin() {
            Ok(()) => true,
            Err(error) => {
                self.owned = None;
                self.alive = None;
                self.lock.release();
                self.complain(&format!("the ledger cannot be read: {error}"));
                false
            }
        }
    }

    fn is_awaited(&self) -> bool {
        self.ledger.awaited.load(Ordering::Acquire)
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let now = self.ledger.now();
        let since = month_of(Day::of(now.div_euclid(1_000)));
        let owner = getrandom::u64().map_err(StoreError::Random)?.cast_signed();
        self.alive = Some(self.begin_to_live(owner)?);
        let (owned, mut from) = LedgerStore::claim(&self.file, owner, since)?;
        if from.sum != 0 {
            log::error!(
                "the books of the store do not balance: together they are {} nano-dollars and not 0; \
                 see `tollgate credit check`",
                from.sum
            );
        }
        self.owned = Some(owned);
        let (held, before) = (
            std::mem::take(&mut from.held),
            std::mem::take(&mut from.generations),
        );
        // Before what they told is read.
        let living = self.living(&before);
        let settled = self.ledger.begin(from, held, &before, now);
        told_settled(settled);
        self.succeed(&before, &living)?;
        self.complained = None;
        // An empty batch too: it shows that the store can be written.
        self.pending = Some(self.ledger.books().take());
        self.write();
        // Nothing more is kept since the state has changed.
        self.ledger.record_early();
        self.ledger.stop_waiting();
        Ok(())
    }

    fn begin_to_live(&self, owner: i64) -> Result<Alive, StoreError> {
        let failed = |source| StoreError::Folder {
            path: self.file.to_path_buf(),
            source,
        };
        alive::tidy(&self.file).map_err(failed)?;
        Alive::begin(&self.file, owner).map_err(failed)
    }
}

pub(super) fn told_settled(holds: usize) {
    if holds > 0 {
        log::warn!(
            "{holds} hold(s) were left open by a process that was ended by force, and are settled"
        );
    }
}
