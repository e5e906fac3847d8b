//! Statements: what accounts have, what they used and what they were charged, in the forms that operators (by commands
//! and the admin API) and callers are shown. Amounts are decimal dollars in strings, moments RFC 3339 in UTC.
//! Absent: how a table looks, and HTTP.

pub mod account;
pub mod amount;
pub mod audit;
pub mod csv;
pub mod grant;
pub mod history;
pub mod journal;
pub mod reconcile;
pub mod request;
pub mod time;
pub mod usage;
