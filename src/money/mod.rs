//! What requests cost. The only place where tokens meet money: integers all through, one rounding, up, at the end.
//!
//! [`Credits`] are what accounts have. [`charge`] prices what a request has used. Before that, [`Asked`] says what a
//! request asks for, and [`Offer::hold`] how much it can cost at a model.
//!
//! Knows nothing of accounts, of HTTP and of time.

mod betas;
mod bound;
mod cost;
mod credits;
mod dearest;
mod fee;
mod marks;
mod native;
mod rates;
mod refused;
mod shape;
mod terms;
mod tools;

pub use betas::Betas;
pub use bound::{Bound, Offer, Rule, Size, Unbounded};
pub use cost::{Charge, Uncharged, charge, fee_only};
pub use credits::{Credits, NotAnAmount};
pub use fee::Fee;
pub use marks::Marks;
pub use refused::{CHOICES_MAX, Refused, Why};
pub use shape::{Asked, AskedTier};
pub use terms::{Rows, Terms};
