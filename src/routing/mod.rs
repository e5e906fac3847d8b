//! From a request's candidates to what is tried, and what is tried next. Knows nothing of HTTP.

pub mod failover;
pub mod plan;
