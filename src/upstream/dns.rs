//! Host names → addresses, looked up in the background and kept.
//!
//! A request never waits for a look-up, but for the very first answer of a name that has none
//! yet. When a look-up fails the last good addresses stay.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use log::{debug, info, warn};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::addresses::Addresses;
use super::lookup;
use crate::config;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// The servers that are asked in place of the system's ways.
    pub servers: Vec<SocketAddr>,
    /// The shortest and the longest time for which an answer is taken to hold.
    pub ttl: RangeInclusive<Duration>,
    /// A look-up that takes longer has failed. It is made again after the shortest time.
    pub timeout: Duration,
}

impl Ways {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &config::Dns) -> Self {
        Self {
            servers: config.servers.clone(),
            ttl: config.ttl_min..=config.ttl_max,
            timeout: config.timeout,
        }
    }
}

/// The addresses of one host and port.
#[derive(Debug)]
pub struct Host {
    name: Box<str>,
    port: u16,
    addresses: ArcSwapOption<Addresses>,
    answered: Notify,
    tried: AtomicBool,
    failing: AtomicBool,
}

impl Host {
    /// Its name and port.
    #[must_use]
    pub fn place(&self) -> (&str, u16) {
        (&self.name, self.port)
    }

    /// The addresses, as of the last look-up that succeeded.
    #[must_use]
    pub fn addresses(&self) -> Option<Arc<Addresses>> {
        self.addresses.load_full()
    }

    /// Whether it was looked up, and never found.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.tried.load(Ordering::Acquire) && self.addresses.load().is_none()
    }

    /// The addresses; waits at most `patience` for a first answer where there has been none.
    pub async fn first_addresses(&self, patience: Duration) -> Option<Arc<Addresses>> {
        if let Some(known) = self.addresses() {
            return Some(known);
        }
        let answered = self.answered.notified();
        tokio::pin!(answered);
        answered.as_mut().enable();
        if self.addresses().is_none() && !self.tried.load(Ordering::Acquire) {
            let _ = tokio::time::timeout(patience, answered).await;
        }
        self.addresses()
    }

    /// Looks the name up, and says when that is to be done again.
    async fn look_up(&self, ways: &Ways) -> Duration {
        let known: Vec<IpAddr> = self
            .addresses()
            .iter()
            .flat_map(|known| known.iter())
            .map(|socket| socket.ip())
            .collect();
        let asked = lookup::look_up(&self.name, &ways.servers, &known, ways.timeout);
        let why = match tokio::time::timeout(ways.timeout, asked).await {
            Ok(Ok(found)) if !found.addresses.is_empty() => {
                let socket = |ip| SocketAddr::new(ip, self.port);
                self.keep(found.addresses.into_iter().map(socket).collect());
                return found.ttl.clamp(*ways.ttl.start(), *ways.ttl.end());
            }
            Ok(Ok(_)) => "no address".to_owned(),
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        self.failed(&why);
        *ways.ttl.start()
    }

    fn keep(&self, found: Vec<SocketAddr>) {
        let known = self.addresses();
        let found = Addresses::new(found, known.as_deref());
        if known.is_none_or(|known| !known.iter().eq(found.iter())) {
            debug!("{} has {} address(es)", self.name, found.len());
            self.addresses.store(Some(Arc::new(found)));
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            info!("{} is found again", self.name);
        }
        self.answer();
    }

    fn failed(&self, why: &str) {
        // A provider that was never reached may be one that nobody here uses.
        if self.addresses().is_none() {
            debug!("looking up {} failed: {why}", self.name);
        } else if !self.failing.swap(true, Ordering::Relaxed) {
            warn!(
                "looking up {} failed, its last addresses stay: {why}",
                self.name
            );
        }
        self.answer();
    }

    fn answer(&self) {
        self.tried.store(true, Ordering::Release);
        self.answered.notify_waiters();
    }
}

/// Hosts by name and port.
type Hosts = HashMap<(Box<str>, u16), Weak<Host>>;

/// Hands out hosts and keeps their addresses fresh for as long as somebody holds them.
#[derive(Debug)]
pub struct Resolver {
    runtime: Handle,
    ways: watch::Sender<Arc<Ways>>,
    hosts: Mutex<Hosts>,
}

impl Resolver {
    /// A resolver that looks up on `runtime`, in these ways.
    #[must_use]
    pub fn new(runtime: Handle, ways: Ways) -> Self {
        Self {
            runtime,
            ways: watch::Sender::new(Arc::new(ways)),
            hosts: Mutex::default(),
        }
    }

    /// From now on names are looked up in these ways: where they are others than before, all of them at once. Until there
    /// is an answer the addresses stay.
    pub fn look_up_by(&self, ways: Ways) {
        self.ways.send_if_modified(|before| {
            let is_other = **before != ways;
            if is_other {
                *before = Arc::new(ways);
            }
            is_other
        });
    }

    /// The host of this name (or IP address) and port; the same for all who ask.
    pub fn host(&self, name: &str, port: u16) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, host| host.strong_count() > 0);
        let key = (Box::from(name), port);
        if let Some(host) = hosts.get(&key).and_then(Weak::upgrade) {
            return host;
        }
        let host = Arc::new(Host {
            name: name.into(),
            port,
            addresses: ArcSwapOption::empty(),
            answered: Notify::new(),
            tried: false.into(),
            failing: false.into(),
        });
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => host.keep(vec![SocketAddr::new(ip, port)]),
            Err(_) => {
                let ways = self.ways.subscribe();
                self.runtime.spawn(refresh(Arc::downgrade(&host), ways));
            }
        }
        hosts.insert(key, Arc::downgrade(&host));
        host
    }
}

async fn refresh(host: Weak<Host>, mut ways: watch::Receiver<Arc<Ways>>) {
    while let Some(held) = host.upgrade() {
        let now = Arc::clone(&ways.borrow_and_update());
        let again = async {
            let pause = held.look_up(&now).await;
            drop(held);
            tokio::time::sleep(pause).await;
        };
        tokio::select! {
            () = again => {}
            // What was asked in another way is of no interest any more.
            Ok(()) = ways.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver() -> Resolver {
        Resolver::new(Handle::current(), Ways::of(&config::Dns::default()))
    }

    #[tokio::test]
    async fn an_ip_address_needs_no_look_up() {
        let resolver = resolver();
        let host = resolver.host("127.0.0.1", 80);
        let known = host.addresses().expect("known at once");
        let expected = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(known.iter().collect::<Vec<_>>(), [expected]);
    }

    #[tokio::test]
    async fn the_first_answer_is_waited_for_and_shared() {
        let resolver = resolver();
        let host = resolver.host("localhost", 81);
        assert!(Arc::ptr_eq(&host, &resolver.host("localhost", 81)));
        let known = host
            .first_addresses(Duration::from_secs(10))
            .await
            .expect("localhost resolves");
        assert!(known.iter().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_given_up_and_not_waited_for_again() {
        let resolver = resolver();
        let host = resolver.host("does-not-exist.invalid", 443);
        assert!(
            host.first_addresses(Duration::from_secs(20))
                .await
                .is_none()
        );
        let again = host.first_addresses(Duration::from_secs(20));
        assert!(
            tokio::time::timeout(Duration::from_secs(5), again)
                .await
                .expect("at once")
                .is_none()
        );
    }
}
