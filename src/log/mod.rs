//! What the process writes about itself: diagnostics on standard error ([`logger`]) and one line a request
//! ([`access`]). Both are JSON, one object a line. Absent: bodies, credentials and query strings.

pub mod access;
mod clock;
mod json;
mod line;
pub mod logger;
mod spool;
