//! What the process writes about itself: diagnostics ([`logger`]) and one line a request ([`access`]). Both are one object
//! a line, JSON or logfmt, written by threads of their own: nobody who has something to tell waits for who reads it.
//! Absent: bodies, credentials and query strings.

pub mod access;
mod clock;
mod format;
mod json;
mod levels;
mod line;
pub mod logger;
pub mod output;
mod spool;

pub use format::Format;
pub use levels::Levels;
pub use spool::PENDING_MAX;
