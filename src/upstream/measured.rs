//! What is measured of endpoints and providers, by names that stay the same over reloads, so that a reload does not
//! forget it. Kept for as long as some description of the provider is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::downgrade::Downgrade;
use super::health::Health;
use super::load::Load;

/// Connections that may be in the making at one time to an endpoint that speaks HTTP/2. The
/// others wait for these and then share them.
const CONNECTS_MAX: usize = 8;

/// What an endpoint was seen to speak.
const UNKNOWN: u8 = 0;
const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

/// What is known of an endpoint of a provider from talking to it.
#[derive(Debug)]
pub struct Seen {
    site: Arc<Site>,
    health: Health,
}

/// What is known of an address, whoever's endpoint it is.
#[derive(Debug)]
struct Site {
    protocol: AtomicU8,
    connects: Arc<Semaphore>,
    load: Arc<Load>,
    downgrade: Downgrade,
}

impl Site {
    fn new(tls: bool) -> Self {
        Self {
            protocol: AtomicU8::new(if tls { UNKNOWN } else { HTTP_1 }),
            connects: Arc::new(Semaphore::new(CONNECTS_MAX)),
            load: Arc::default(),
            downgrade: Downgrade::new(Instant::now()),
        }
    }
}

impl Seen {
    /// Whether it answers as it should.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Counts the requests under way.
    #[must_use]
    pub fn load(&self) -> &Arc<Load> {
        &self.site.load
    }

    /// Notes which HTTP version a connection came to speak.
    pub fn saw_http2(&self, http2: bool) {
        let seen = if http2 { HTTP_2 } else { HTTP_1 };
        if self.site.protocol.load(Ordering::Relaxed) != seen {
            self.site.protocol.store(seen, Ordering::Relaxed);
        }
    }

    /// By which number Pingora is to know it.
    pub(super) fn number(&self, now: Instant) -> u64 {
        self.site.downgrade.number(now)
    }

    /// It sent what is no HTTP/2: Pingora asks it over HTTP/1.1 from now on.
    pub fn saw_invalid_http2(&self) {
        self.site.downgrade.begin(Instant::now());
    }

    /// No connection came about. Whether it was to be one over HTTP/1.1 for no other reason than that it had sent what is
    /// no HTTP/2; the next will be as before.
    pub fn refuses_http1(&self) -> bool {
        self.site.downgrade.end()
    }

    /// Whether [leave to connect](Self::leave_to_connect) is nothing to wait for.
    #[must_use]
    pub fn connects_freely(&self) -> bool {
        self.site.protocol.load(Ordering::Relaxed) == HTTP_1
    }

    /// Leave to connect. HTTP/1.1 has a connection for every request; where HTTP/2 may be spoken
    /// the first requests connect and those behind them share the connection. It is waited for no
    /// longer than `limit`: behind an address that answers nothing there would be no end to the queue.
    pub async fn leave_to_connect(&self, limit: Duration) -> Option<OwnedSemaphorePermit> {
        if self.connects_freely() {
            return None;
        }
        let leave = Arc::clone(&self.site.connects).acquire_owned();
        tokio::time::timeout(limit, leave).await.ok()?.ok()
    }
}

/// Everything measured.
#[derive(Debug, Default)]
pub struct Measured {
    endpoints: Mutex<Known<Seen>>,
    sites: Mutex<Known<Site>>,
    turns: Mutex<Known<AtomicUsize>>,
    loads: Mutex<Known<Load>>,
}

/// By name, for as long as somebody else holds it.
type Known<T> = HashMap<Box<str>, Weak<T>>;

impl Measured {
    /// What is known of the endpoint of a provider with that address; `tls`: whether TLS is spoken to it. Two providers at
    /// one address share what is spoken there, and not their health: behind their paths may be two services.
    #[must_use]
    pub fn endpoint(
        &self,
        provider: &str,
        tls: bool,
        sni: &str,
        host: &str,
        port: u16,
    ) -> Arc<Seen> {
        let name = if tls {
            format!("{sni}@{host}:{port}")
        } else {
            format!("{host}:{port}")
        };
        let site = shared(&self.sites, &name, || Site::new(tls));
        shared(&self.endpoints, &format!("{provider} {name}"), || Seen {
            site,
            health: Health::new(Instant::now()),
        })
    }

    /// Counts the requests of the provider of that id, so that its endpoints take turns.
    #[must_use]
    pub fn turns(&self, provider: &str) -> Arc<AtomicUsize> {
        shared(&self.turns, provider, || AtomicUsize::new(0))
    }

    /// Counts the requests under way at the provider of that id.
    #[must_use]
    pub fn load(&self, provider: &str) -> Arc<Load> {
        shared(&self.loads, provider, Load::default)
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
        let endpoint = Measured::default().endpoint("p", true, "a", "a", 443);
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
        let first = measured.endpoint("p", true, "a", "a", 443);
        assert!(first.leave_to_connect(LIMIT).await.is_some());
        first.saw_http2(false);
        let again = measured.endpoint("p", true, "a", "a", 443);
        assert!(Arc::ptr_eq(&first, &again));
        assert!(again.leave_to_connect(LIMIT).await.is_none());
        drop((first, again));
        let anew = measured.endpoint("p", true, "a", "a", 443);
        assert!(anew.leave_to_connect(LIMIT).await.is_some());
    }

    #[test]
    fn other_names_are_other_things() {
        let measured = Measured::default();
        let one = measured.endpoint("p", true, "a", "a", 443);
        for other in [
            measured.endpoint("p", true, "b", "a", 443),
            measured.endpoint("p", true, "a", "b", 443),
            measured.endpoint("p", true, "a", "a", 444),
            measured.endpoint("p", false, "a", "a", 443),
        ] {
            assert!(!Arc::ptr_eq(&one, &other));
            assert!(!Arc::ptr_eq(&one.site, &other.site));
        }
        let of_another = measured.endpoint("q", true, "a", "a", 443);
        assert!(!Arc::ptr_eq(&one, &of_another));
        assert!(Arc::ptr_eq(&one.site, &of_another.site));
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
