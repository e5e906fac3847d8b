//! Active checks of endpoints, as checked: what is asked for how often, and what the answer has to be.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A check of each endpoint of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for; none: a connection, TLS included, is enough.
    pub http: Option<HttpCheck>,
    /// The time between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Checks in a row that must pass before a dead endpoint is alive; at least 1.
    pub healthy: u32,
    /// Checks in a row that must fail before it is dead; at least 1.
    pub unhealthy: u32,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Whole path, asked for with GET.
    pub path: Box<str>,
    /// The `Host` header, where it is not the endpoint's own.
    pub host: Option<Box<str>>,
    /// Further headers: lower-case name, value.
    pub headers: Box<[(Box<str>, Box<str>)]>,
    /// The statuses of one that is alive.
    pub statuses: Box<[RangeInclusive<u16>]>,
}
