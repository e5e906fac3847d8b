//! What is measured of endpoints and providers, by names that stay the same over reloads, so that a reload does not
//! forget it. Kept for as long as some description of the provider is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that may be in the making at one time to an endpoint that speaks HTTP/2. The
/// others wait for these and then share them.
const CONNECTS_MAX: usize = 8;

/// What an endpoint was seen to speak.
const UNKNOWN: u8 = 0;
const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

/// What is known of an endpoint from talking to it.
#[derive(Debug)]
pub struct Seen {
    protocol: AtomicU8,
    connects: Arc<Semaphore>,
}

impl Seen {
    fn new(tls: bool) -> Self {
        Self {
            protocol: AtomicU8::new(if tls { UNKNOWN } else { HTTP_1 }),
            connects: Arc::new(Semaphore::new(CONNECTS_MAX)),
        }
    }

    /// Notes which HTTP version a connection came to speak.
    pub fn saw_http2(&self, http2: bool) {
        let seen = if http2 { HTTP_2 } else { HTTP_1 };
        if self.protocol.load(Ordering::Relaxed) != seen {
            self.protocol.store(seen, Ordering::Relaxed);
        }
    }

    /// Leave to connect. HTTP/1.1 has a connection for every request; where HTTP/2 may be spoken
    /// the first requests connect and those behind them share the connection. It is waited for no
    /// longer than `limit`: behind an address that answers nothing there would be no end to the queue.
    pub async fn leave_to_connect(&self, limit: Duration) -> Option<OwnedSemaphorePermit> {
        if self.protocol.load(Ordering::Relaxed) == HTTP_1 {
            return None;
        }
        let leave = Arc::clone(&self.connects).acquire_owned();
        tokio::time::timeout(limit, leave).await.ok()?.ok()
    }
}

/// Everything measured.
#[derive(Debug, Default)]
pub struct Measured {
    endpoints: Mutex<Known<Seen>>,
    turns: Mutex<Known<AtomicUsize>>,
}

/// By name, for as long as somebody else holds it.
type Known<T> = HashMap<Box<str>, Weak<T>>;

impl Measured {
    /// What is known of the endpoint with that address; `tls`: whether TLS is spoken to it.
    #[must_use]
    pub fn endpoint(&self, tls: bool, sni: &str, host: &str, port: u16) -> Arc<Seen> {
        let name = if tls {
            format!("{sni}@{host}:{port}")
        } else {
            format!("{host}:{port}")
        };
        shared(&self.endpoints, &name, || Seen::new(tls))
    }

    /// Counts the requests of the provider of that id, so that its endpoints take turns.
    #[must_use]
    pub fn turns(&self, provider: &str) -> Arc<AtomicUsize> {
        shared(&self.turns, provider, || AtomicUsize::new(0))
    }
}

fn shared<T>(known: &Mutex<Known<T>>, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = known.get(name).and_then(Weak::upgrade) {
        return value;
    }
    known.retain(|_, value| value.strong_count() > 0);
    let value = Arc::new(make());
    known.insert(name.into(), Arc::downgrade(&value));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn leave_to_connect_is_not_waited_for_without_end() {
        let endpoint = Measured::default().endpoint(true, "a", "a", 443);
        let mut held = Vec::new();
        for _ in 0..CONNECTS_MAX {
            held.extend(endpoint.leave_to_connect(LIMIT).await);
        }
        assert_eq!(held.len(), CONNECTS_MAX);
        assert!(endpoint.leave_to_connect(LIMIT).await.is_none());
        held.pop();
        assert!(endpoint.leave_to_connect(LIMIT).await.is_some());
    }

    #[tokio::test]
    async fn what_was_seen_stays_while_somebody_holds_it() {
        let measured = Measured::default();
        let first = measured.endpoint(true, "a", "a", 443);
        assert!(first.leave_to_connect(LIMIT).await.is_some());
        first.saw_http2(false);
        let again = measured.endpoint(true, "a", "a", 443);
        assert!(Arc::ptr_eq(&first, &again));
        assert!(again.leave_to_connect(LIMIT).await.is_none());
        drop((first, again));
        let anew = measured.endpoint(true, "a", "a", 443);
        assert!(anew.leave_to_connect(LIMIT).await.is_some());
    }

    #[test]
    fn other_names_are_other_things() {
        let measured = Measured::default();
        let one = measured.endpoint(true, "a", "a", 443);
        for other in [
            measured.endpoint(true, "b", "a", 443),
            measured.endpoint(true, "a", "b", 443),
            measured.endpoint(true, "a", "a", 444),
            measured.endpoint(false, "a", "a", 443),
        ] {
            assert!(!Arc::ptr_eq(&one, &other));
        }
        let turns = [
            measured.turns("a"),
            measured.turns("b"),
            measured.turns("a"),
        ];
        assert!(Arc::ptr_eq(&turns[0], &turns[2]));
        assert!(!Arc::ptr_eq(&turns[0], &turns[1]));
    }

    #[test]
    fn what_nobody_holds_takes_no_room() {
        let measured = Measured::default();
        for number in 0..100 {
            drop(measured.turns(&format!("provider-{number}")));
        }
        assert_eq!(measured.turns.lock().expect("no panic").len(), 1);
    }
}
