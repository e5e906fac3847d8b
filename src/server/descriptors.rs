//! How many file descriptors the process may have: raised as far as the system lets it where the configuration needs more,
//! and told where that is not enough.

use std::sync::atomic::{AtomicU64, Ordering};

use log::warn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What is open beside connections: the store, logs, listeners, runtimes, look-ups, health checks, operators.
const RESERVE: u64 = 256;

/// What a process without a connection has open, beside what each thread has: less, and libraries end it.
const LEAST: u64 = 64;
const LEAST_OF_THREAD: u64 = 4;

/// What was needed when it was looked at last.
#[derive(Debug, Default)]
pub struct Descriptors(AtomicU64);

impl Descriptors {
    /// Raises the limit to what `config` needs, as far as it goes, and warns where that is less; once for each need.
    pub fn provide(&self, config: &Config) {
        let needed = needed(config);
        if self.0.swap(needed, Ordering::Relaxed) == needed {
            return;
        }
        let limit = getrlimit(Resource::Nofile);
        let raised = raised(limit.current, limit.maximum, needed);
        let new = Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        };
        let may_have = match limit.current {
            None => return,
            Some(current) if current < raised && setrlimit(Resource::Nofile, new).is_ok() => raised,
            Some(current) => current,
        };
        if may_have < needed {
            warn!(
                "the process may have {may_have} files open, and limits.connections = {} with limits.requests = {} may take \
                 {needed}: who comes when there is none left waits; raise LimitNOFILE= of the unit (`ulimit -Hn`), or lower \
                 these limits",
                config.limits.connections, config.limits.requests
            );
        }
    }
}

/// Holds what the process may have against what it takes to start at all.
///
/// # Errors
/// It is less; with what to do.
pub fn enough(config: &Config) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let threads = u64::try_from(config.server.threads).unwrap_or(u64::MAX);
    let least = threads
        .saturating_mul(LEAST_OF_THREAD)
        .saturating_add(LEAST);
    if limit >= least {
        return Ok(());
    }
    Err(format!(
        "the process may have {limit} files open, and takes {least} to start; raise LimitNOFILE= of the unit (`ulimit -Hn`)"
    ))
}

/// A descriptor for each client, and one for each request's connection to a provider.
fn needed(config: &Config) -> u64 {
    let idle = u64::try_from(config.upstream.idle_connections).unwrap_or(u64::MAX);
    let limits = &config.limits;
    let parts = [limits.connections, limits.requests, idle, RESERVE];
    parts.into_iter().fold(0, u64::saturating_add)
}

/// The limit to have; none is no limit.
fn raised(current: Option<u64>, maximum: Option<u64>, needed: u64) -> u64 {
    let current = current.unwrap_or(u64::MAX);
    current.max(needed.min(maximum.unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_it_goes_and_never_lowered() {
        for (current, maximum, needed, expected) in [
            (Some(1_024), Some(4_096), 2_000, 2_000),
            (Some(1_024), Some(4_096), 9_000, 4_096),
            (Some(1_024), None, 9_000, 9_000),
            (Some(1_024), Some(4_096), 100, 1_024),
            (None, None, 100, u64::MAX),
        ] {
            assert_eq!(raised(current, maximum, needed), expected);
        }
    }

    #[test]
    fn a_request_takes_another_than_its_connection() {
        let mut config = Config::default();
        let first = needed(&config);
        config.limits.connections += 10;
        config.limits.requests += 1;
        assert_eq!(needed(&config), first + 11);
    }
}
