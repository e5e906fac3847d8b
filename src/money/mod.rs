//! What requests cost. The only place where tokens meet money: integers all through, one rounding, up, at the end.
//!
//! [`Credits`] are what accounts have. [`charge`] prices what a request has used.
//!
//! Knows nothing of accounts, of HTTP and of time.

mod cost;
mod credits;
mod fee;
mod rates;

pub use cost::{Charge, Uncharged, charge, fee_only};
pub use credits::{Credits, NotAnAmount};
pub use fee::Fee;
