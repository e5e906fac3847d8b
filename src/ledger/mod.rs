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
mod books;
mod clock;
mod hold;
mod spend;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::AccountId;
use crate::money::Credits;

pub use crate::store::{
    Billing, ChargeTo, Closing, Estimated, Flags, GrantId, Opening, RowId, StoredAccount,
    StoredGrant,
};
pub use clock::Clock;
pub use hold::Hold;
pub use spend::Window;

use books::Books;

/// How holds are kept to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// A charge is never above what was held; the operator bears the rest.
    #[default]
    Strict,
    /// A charge may be above what was held, and take a balance below zero.
    Expected,
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

/// The ledger. Shared by all requests.
pub struct Ledger {
    books: Mutex<Books>,
    clock: Clock,
    bound: Bound,
}

impl Ledger {
    /// A ledger that writes nothing down.
    #[must_use]
    pub fn in_memory(accounts: Vec<StoredAccount>, bound: Bound, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            books: Mutex::new(Books::new(accounts)),
            clock,
            bound,
        })
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
    pub fn hold(self: &Arc<Self>, opening: Opening, caps: &Caps) -> Result<Hold, Refused> {
        let estimate = opening.estimate.min(opening.hold);
        let held = self.books().hold(opening, caps, self.now())?;
        Ok(Hold::new(Arc::clone(self), held, estimate))
    }

    /// Writes down an attempt that has ended and for which nothing was held. `started` is a time of [`Ledger::now`]. Its
    /// charge, if any, is taken whether or not the account has as much.
    pub fn record(&self, opening: Opening, started: i64, closing: Closing) {
        self.books().record(opening, started, closing, self.now());
    }

    /// How an account stands; `None` where there is none.
    #[must_use]
    pub fn standing(&self, account: AccountId) -> Option<Standing> {
        self.books().standing(account, self.now())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
