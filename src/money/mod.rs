//! What requests cost. The only place where tokens meet money: integers all through, one rounding, up, at the end.
//!
//! [`Credits`] are what accounts have.
//!
//! Knows nothing of accounts, of HTTP and of time.

mod credits;

pub use credits::{Credits, NotAnAmount};
