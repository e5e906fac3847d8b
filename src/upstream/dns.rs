//! Host names → addresses, looked up in the background and kept.
//!
//! A request never waits for a look-up, but for the very first answer of a name that has none
//! yet. When a look-up fails the last good addresses stay.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use log::{debug, warn};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How often a name is looked up again.
const REFRESH: Duration = Duration::from_secs(30);

/// How soon a look-up that failed is made again.
const RETRY: Duration = Duration::from_secs(5);

/// A look-up that takes longer than this counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The addresses of one host and port.
#[derive(Debug)]
pub struct Host {
    name: Box<str>,
    port: u16,
    addresses: ArcSwapOption<Box<[SocketAddr]>>,
    answered: Notify,
    tried: AtomicBool,
}

impl Host {
    /// The addresses, as of the last look-up that succeeded; empty when none has.
    #[must_use]
    pub fn addresses(&self) -> Option<Arc<Box<[SocketAddr]>>> {
        self.addresses.load_full()
    }

    /// The addresses; waits at most `patience` for a first answer where there has been none.
    pub async fn first_addresses(&self, patience: Duration) -> Option<Arc<Box<[SocketAddr]>>> {
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

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the background that looks names up"
    )]
    async fn look_up(&self) -> bool {
        let query = tokio::net::lookup_host((&*self.name, self.port));
        let found = match tokio::time::timeout(PATIENCE, query).await {
            Ok(Ok(found)) => found.collect::<Vec<_>>(),
            Ok(Err(error)) => return self.failed(&error.to_string()),
            Err(_) => return self.failed("no answer in time"),
        };
        if found.is_empty() {
            return self.failed("no address");
        }
        self.keep(found);
        true
    }

    fn keep(&self, mut found: Vec<SocketAddr>) {
        // IPv4 first: a host without IPv6 would lose a connect timeout on each request.
        found.sort_by_key(SocketAddr::is_ipv6);
        found.dedup();
        if self.addresses().is_none_or(|known| **known != *found) {
            debug!("{} has {} address(es)", self.name, found.len());
            self.addresses
                .store(Some(Arc::new(found.into_boxed_slice())));
        }
        self.answer();
    }

    fn failed(&self, why: &str) -> bool {
        // A provider that was never reached may be one that nobody here uses.
        if self.addresses().is_some() {
            warn!(
                "looking up {} failed, its last addresses stay: {why}",
                self.name
            );
        } else {
            debug!("looking up {} failed: {why}", self.name);
        }
        self.answer();
        false
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
    hosts: Mutex<Hosts>,
}

impl Resolver {
    /// A resolver that looks up on `runtime`.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            hosts: Mutex::default(),
        }
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
        });
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => host.keep(vec![SocketAddr::new(ip, port)]),
            Err(_) => drop(self.runtime.spawn(refresh(Arc::downgrade(&host)))),
        }
        hosts.insert(key, Arc::downgrade(&host));
        host
    }
}

async fn refresh(host: Weak<Host>) {
    while let Some(held) = host.upgrade() {
        let pause = if held.look_up().await { REFRESH } else { RETRY };
        drop(held);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ip_address_needs_no_look_up() {
        let resolver = Resolver::new(Handle::current());
        let host = resolver.host("127.0.0.1", 80);
        let known = host.addresses().expect("known at once");
        assert_eq!(**known, [SocketAddr::from(([127, 0, 0, 1], 80))]);
    }

    #[tokio::test]
    async fn the_first_answer_is_waited_for_and_shared() {
        let resolver = Resolver::new(Handle::current());
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
        let resolver = Resolver::new(Handle::current());
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
