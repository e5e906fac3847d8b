//! The guard of a hold: it ends exactly once.

use std::sync::Arc;
use std::time::Duration;

use super::books::Held;
use super::{Caps, Closing, Estimated, Ledger, Opening, Refused, StoreDown};
use crate::money::Credits;

/// Credit that is held for one attempt, until it is settled or void. One that is dropped is settled by its estimate.
#[must_use = "an open hold keeps credit from other requests"]
pub struct Hold {
    ledger: Arc<Ledger>,
    held: Held,
    estimate: Credits,
    ended: bool,
}

impl Hold {
    pub(super) const fn new(ledger: Arc<Ledger>, held: Held, estimate: Credits) -> Self {
        Self {
            ledger,
            held,
            estimate,
            ended: false,
        }
    }

    /// What is held.
    #[must_use]
    pub const fn amount(&self) -> Credits {
        Credits::from_nanos(self.held.part.amount())
    }

    /// Ready when the hold is on the disk.
    ///
    /// # Errors
    /// The store fails, or takes longer than [`WAIT_MAX`](super::WAIT_MAX). The hold is still there.
    pub async fn durable(&self) -> Result<(), StoreDown> {
        self.ledger.written(self.held.event).await?;
        // Of books that were given up meanwhile nothing comes to the disk.
        if self.ledger.has(&self.held) {
            Ok(())
        } else {
            Err(StoreDown)
        }
    }

    /// Whether it is on the disk, with what it is expected to cost. Waits for nothing.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.ledger.is_written(self.held.event) && self.ledger.has(&self.held)
    }

    /// Ready when it is on the disk, with what it is expected to cost. A store that fails is waited for as well.
    ///
    /// # Errors
    /// It is not within `at_most`. The hold is still there.
    pub async fn written_within(&self, at_most: Duration) -> Result<(), StoreDown> {
        let written = self.ledger.written_within(self.held.event, at_most);
        if written.await && self.ledger.has(&self.held) {
            Ok(())
        } else {
            Err(StoreDown)
        }
    }

    /// Gives it back, and holds another amount in its place for the same account and access key, in one step: nobody can
    /// take in between what is given back, and both come to the disk in one transaction. Only where another process has the
    /// ledger, that is asked for the new one first, so that there must be enough for both.
    ///
    /// # Errors
    /// See [`Refused`]; the hold is what it was then.
    pub async fn exchange(
        &mut self,
        opening: Opening,
        caps: &Caps,
        closing: Closing,
    ) -> Result<(), Refused> {
        let opening = super::in_bounds(opening);
        let ledger = Arc::clone(&self.ledger);
        if let Some(exchanged) = ledger.exchange(&self.held, &opening, caps, &closing) {
            (self.held, self.estimate) = (exchanged?, opening.estimate);
        } else {
            let other = ledger.obtain(opening, caps).await?;
            std::mem::replace(self, other).void(closing);
        }
        Ok(())
    }

    /// What it is expected to cost, in place of what was said before: at most what is held. That is charged where nobody
    /// sees its end. Waits for nothing.
    pub fn expect(&mut self, estimate: Credits) {
        let estimate = estimate.max(Credits::ZERO).min(self.amount());
        if estimate == self.estimate {
            return;
        }
        if let Some(event) = self.ledger.expect(&self.held, estimate) {
            self.estimate = estimate;
            self.held.event = event;
        }
    }

    /// What it is expected to cost.
    #[must_use]
    pub const fn expected(&self) -> Credits {
        self.estimate
    }

    /// Charges what the attempt cost, and gives the rest back. Waits for nothing.
    pub fn settle(mut self, closing: Closing) {
        self.end(closing, false);
    }

    /// Gives everything back: nothing was served. Of `closing` no amount is charged. Waits for nothing.
    pub fn void(mut self, closing: Closing) {
        self.end(closing, true);
    }

    /// Forgets it: its row was deleted.
    pub(super) fn forget(mut self) {
        self.ended = true;
        self.ledger.books().forget(&self.held);
    }

    fn end(&mut self, closing: Closing, void: bool) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.ledger.end(&self.held, closing, void);
    }
}

/// The net beneath: no path of a request may forget what it has cost.
impl Drop for Hold {
    fn drop(&mut self) {
        let closing = Closing {
            model: self.estimate,
            estimated: Some(Estimated::Dropped),
            ..Closing::default()
        };
        self.end(closing, false);
    }
}
