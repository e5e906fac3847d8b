//! What attempts cost: before one is sent on the gateway's credential, what it can cost is held; when it has ended, it is
//! settled, or void where nothing was served. What goes on with any other credential is written down when it has ended.
//!
//! `offers` says what is held, `limit` the most that may be, `begin` holds it (`unheld`: why not), `cap` ends a stream at its
//! limit, `ending` says which end costs what, `close` settles; `fee` is of what is not held, `talk` of conversations. Prices
//! are `money`'s, and accounts `ledger`'s.

mod begin;
mod cap;
mod close;
mod ending;
mod fee;
mod limit;
pub mod offers;
mod talk;
mod unheld;

use std::sync::Arc;

use http::HeaderValue;

pub use begin::{Asker, begin, pass_over, written};
pub use cap::Cap;
pub use close::close;
pub use ending::How;
pub use talk::{Heard, Till};

use super::context::Routed;
use crate::ledger::{Estimated, Hold, Ledger, Opening};
use crate::live::Live;
use crate::money::{Bound, Credits, Terms};

/// An attempt under way that will be written down.
pub struct Open {
    ledger: Arc<Ledger>,
    kept: Kept,
    /// Whether no more is charged than was held.
    strict: bool,
    /// When it began, in the ledger's time.
    started: i64,
    /// The provider's own id of the request or its answer.
    pub upstream_id: Option<HeaderValue>,
}

/// Whether the attempt under way is charged even where its answer does not say what was used.
#[must_use]
pub fn estimates(routed: &Routed, terms: &Terms) -> bool {
    let open = routed.current.open.as_deref();
    terms.charge
        && open.is_some_and(|open| {
            matches!(open.kept, Kept::Held(..)) || terms.rule.fee.per_million_tokens.0 > 0
        })
}

/// Whether the answer of the attempt under way is read to its end also when the client leaves: its provider goes on
/// making it, at the operator's expense.
#[must_use]
pub fn reads_on(routed: &Routed, live: &Live) -> bool {
    let provider = routed.plan.candidate().provider;
    is_held(routed) && live.catalog.provider(provider).generates_on
}

/// Whether the attempt under way is charged for what its model costs.
#[must_use]
pub fn is_held(routed: &Routed) -> bool {
    let open = routed.current.open.as_deref();
    open.is_some_and(|open| matches!(open.kept, Kept::Held(..)))
}

/// How an attempt is kept until its end.
enum Kept {
    /// The ledger has it, and what it may cost.
    Held(Hold, Bound),
    /// The ledger has not heard of it.
    Noted(Opening),
}

/// What became of the last attempt that was written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// What was held for it.
    pub held: Option<Credits>,
    /// What the account was charged, fee included.
    pub cost: Credits,
    /// Why that is an estimate.
    pub estimated: Option<Estimated>,
}
