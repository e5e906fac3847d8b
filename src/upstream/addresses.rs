//! The addresses of a host, and which of them did not connect of late: those are tried last, so that a dead one does not
//! cost every request its connect timeout.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::choose::{self, Balance, Draw, Look, Table};
use super::walk::Places;

/// How long an address that did not connect is tried last. Then one request finds out whether it does again.
const ASIDE: Duration = Duration::from_secs(30);

/// What marks are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The addresses of one host.
#[derive(Debug)]
pub struct Addresses {
    list: Box<[Address]>,
    table: Table,
}

#[derive(Debug)]
struct Address {
    socket: SocketAddr,
    /// When it did not connect, in milliseconds from the epoch on; 0: it did, or is not known.
    failed: AtomicU64,
}

/// Milliseconds from the epoch on; never 0.
fn millis(now: Instant) -> u64 {
    let since = now.saturating_duration_since(*EPOCH).as_millis();
    u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
}

impl Address {
    /// When it failed, where that is not long ago.
    fn mark(&self, now: u64) -> u64 {
        let failed = self.failed.load(Ordering::Relaxed);
        let aside = u64::try_from(ASIDE.as_millis()).unwrap_or(u64::MAX);
        if now < failed.saturating_add(aside) {
            failed
        } else {
            0
        }
    }
}

impl Addresses {
    /// These, each once, with what `known` tells of those that it has.
    pub(super) fn new(mut found: Vec<SocketAddr>, known: Option<&Self>) -> Self {
        found.sort_unstable();
        found.dedup();
        let names: Vec<String> = found.iter().map(|it| it.ip().to_string()).collect();
        let address = |socket: SocketAddr| Address {
            socket,
            failed: AtomicU64::new(known.and_then(|it| it.failed(socket)).unwrap_or(0)),
        };
        Self {
            table: Table::new(names.iter().map(|name| (name.as_str(), 1))),
            list: found.into_iter().map(address).collect(),
        }
    }

    fn failed(&self, socket: SocketAddr) -> Option<u64> {
        let address = self.find(socket)?;
        Some(address.failed.load(Ordering::Relaxed))
    }

    fn find(&self, socket: SocketAddr) -> Option<&Address> {
        self.list.iter().find(|it| it.socket == socket)
    }

    /// The addresses, sorted.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.list.iter().map(|address| address.socket)
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none, which never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The address at that place.
    pub(super) fn get(&self, at: usize) -> Option<SocketAddr> {
        self.list.get(at).map(|address| address.socket)
    }

    /// Whether one is left that has not been tried.
    pub(super) fn is_left(&self, tried: &Places) -> bool {
        (0..self.len()).any(|at| !tried.has(at))
    }

    /// The next address of those that have not been tried: one that connects before one that did not of late, IPv4
    /// before IPv6 (a machine without IPv6 would lose time on each request), and else any, or where sessions stay
    /// together, the session's own.
    pub(super) fn choose(
        &self,
        tried: &Places,
        balance: Balance,
        draw: &Draw,
        now: Instant,
    ) -> Option<usize> {
        let now = millis(now);
        let balance = match balance {
            Balance::Affinity => Balance::Affinity,
            Balance::RoundRobin | Balance::LeastInflight => Balance::LeastInflight,
        };
        let at = choose::choose(&self.table, balance, draw, |at| {
            let address = &self.list[at];
            (!tried.has(at)).then(|| Look {
                rank: (address.mark(now), address.socket.is_ipv6()),
                load: 0,
            })
        })?;
        let address = &self.list[at];
        if address.mark(now) == 0 && address.failed.load(Ordering::Relaxed) != 0 {
            // This request finds out; those behind it need not.
            address.failed.store(now, Ordering::Relaxed);
        }
        Some(at)
    }

    /// Notes that an address did not connect.
    pub fn did_not_connect(&self, socket: SocketAddr, now: Instant) {
        if let Some(address) = self.find(socket) {
            address.failed.store(millis(now), Ordering::Relaxed);
        }
    }

    /// Notes that an address connected.
    pub fn connected(&self, socket: SocketAddr) {
        if let Some(address) = self.find(socket)
            && address.failed.load(Ordering::Relaxed) != 0
        {
            address.failed.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        format!("{text}:80").parse().expect("an address")
    }

    fn addresses(all: &[&str]) -> Addresses {
        Addresses::new(all.iter().map(|text| socket(text)).collect(), None)
    }

    fn draw(number: u64) -> Draw {
        Draw {
            turn: 0,
            affinity: super::super::hash::mix(number),
            chance: super::super::hash::mix(!number),
        }
    }

    /// The addresses in the order in which one request tries them.
    fn order(all: &Addresses, number: u64, now: Instant) -> Vec<SocketAddr> {
        let mut tried = Places::default();
        let next = |_| {
            let at = all.choose(&tried, Balance::RoundRobin, &draw(number), now)?;
            tried.add(at);
            all.get(at)
        };
        (0..=all.len()).map_while(next).collect()
    }

    #[test]
    fn each_is_there_once_and_all_are_tried() {
        let all = addresses(&["10.0.0.2", "[::1]", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(all.len(), 3);
        let now = Instant::now();
        for number in 0..50 {
            let order = order(&all, number, now);
            assert_eq!(order.len(), 3);
            assert!(order[2].is_ipv6(), "{order:?}");
        }
    }

    #[test]
    fn requests_are_spread_over_them_and_sessions_stay() {
        let all = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        let (now, tried) = (Instant::now(), Places::default());
        let mut counts = [0; 4];
        for number in 0..4_000 {
            let at = |balance| all.choose(&tried, balance, &draw(number), now);
            counts[at(Balance::RoundRobin).expect("one")] += 1;
            assert_eq!(at(Balance::Affinity), at(Balance::Affinity));
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn one_that_does_not_connect_is_tried_last_for_a_while() {
        let all = addresses(&["10.0.0.1", "10.0.0.2", "[::1]"]);
        let (now, dead) = (Instant::now(), socket("10.0.0.1"));
        all.did_not_connect(dead, now);
        for number in 0..50 {
            assert_eq!(order(&all, number, now)[2], dead);
            assert_eq!(order(&all, number, now + ASIDE / 2)[2], dead);
        }
        // Of several, the one that has been left alone the longest goes first.
        all.did_not_connect(socket("10.0.0.2"), now + ASIDE / 4);
        assert_eq!(
            order(&all, 0, now + ASIDE / 2),
            [socket("[::1]"), dead, socket("10.0.0.2")]
        );
    }

    #[test]
    fn one_request_finds_out_whether_it_connects_again() {
        let all = addresses(&["10.0.0.1", "[::1]"]);
        let (now, dead) = (Instant::now(), socket("10.0.0.1"));
        all.did_not_connect(dead, now);
        let later = now + ASIDE + Duration::from_secs(1);
        assert_eq!(order(&all, 0, later)[0], dead);
        assert_eq!(
            order(&all, 1, later)[1],
            dead,
            "the others do not wait for it"
        );
        all.connected(dead);
        assert_eq!(order(&all, 2, later)[0], dead);
    }

    #[test]
    fn what_is_known_of_an_address_stays_when_others_come() {
        let (now, dead) = (Instant::now(), socket("10.0.0.1"));
        let before = addresses(&["10.0.0.1"]);
        before.did_not_connect(dead, now);
        let after = Addresses::new(vec![dead, socket("10.0.0.2")], Some(&before));
        for number in 0..20 {
            assert_eq!(order(&after, number, now)[1], dead);
        }
    }
}
