//! How often a peer may come with a wrong token. Who has tried too often is not listened to for a while, whatever it sends: a
//! right token among the wrong ones would tell that it is right. Time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::access::bucket::Bucket;

/// Wrong tokens that a peer may send in a minute, all at once or one after the other.
pub const TRIES_A_MINUTE: u64 = 10;

/// Peers that are told apart. What comes from more than these is counted together.
const PEERS_MAX: usize = 1_024;

/// Bytes of an IPv6 address that tell one machine from another: it may have all addresses below them.
const V6_BYTES: usize = 8;

/// What is counted together: a machine, or whoever has no address (a Unix socket).
type Peer = Option<[u8; 16]>;

/// The wrong tokens of late, by peer.
#[derive(Debug, Default)]
pub struct Tries {
    peers: Mutex<HashMap<Peer, Bucket>>,
}

impl Tries {
    /// How long `address` is not listened to; `None`: it is.
    pub fn barred(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut peer = peer(address);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            peer = None;
        }
        let bucket = peers.get_mut(&peer)?;
        bucket.drain(TRIES_A_MINUTE, now);
        Some(bucket.wait(1, TRIES_A_MINUTE)).filter(|wait| !wait.is_zero())
    }

    /// `address` came with a wrong token. Whether it is not listened to from now on.
    pub fn wrong(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut peer = peer(address);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            peers.retain(|_, bucket| {
                bucket.drain(TRIES_A_MINUTE, now);
                bucket.level(TRIES_A_MINUTE).remaining < TRIES_A_MINUTE
            });
            if peers.len() >= PEERS_MAX {
                peer = None;
            }
        }
        let bucket = peers.entry(peer).or_default();
        bucket.drain(TRIES_A_MINUTE, now);
        // No more than there is room for: what waits, waits for the next one only.
        if bucket.wait(1, TRIES_A_MINUTE).is_zero() {
            bucket.take(1);
        }
        !bucket.wait(1, TRIES_A_MINUTE).is_zero()
    }
}

fn peer(address: Option<IpAddr>) -> Peer {
    let address = match address?.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let mut bytes = address.octets();
            bytes[V6_BYTES..].fill(0);
            bytes
        }
    };
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_peer_has_so_many_tries_a_minute_and_others_have_theirs() {
        let (tries, start) = (Tries::default(), Instant::now());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 1..TRIES_A_MINUTE {
            assert!(!tries.wrong(one, start));
        }
        assert_eq!(tries.barred(one, start), None);
        assert!(tries.wrong(one, start));
        assert_eq!(tries.barred(one, start), Some(Duration::from_secs(6)));
        assert_eq!(
            tries.barred(address("::ffff:192.0.2.1"), start),
            tries.barred(one, start)
        );
        assert_eq!(tries.barred(other, start), None);
        assert_eq!(tries.barred(None, start), None);
        let later = start + Duration::from_secs(6);
        assert_eq!(tries.barred(one, later), None);
        assert!(tries.wrong(one, later));
    }

    #[test]
    fn a_machine_is_one_whichever_of_its_addresses_it_takes() {
        let (tries, now) = (Tries::default(), Instant::now());
        for last in 0..TRIES_A_MINUTE {
            tries.wrong(address(&format!("2001:db8::{last}")), now);
        }
        assert!(tries.barred(address("2001:db8::ffff"), now).is_some());
        assert!(tries.barred(address("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn any_number_of_peers_takes_bounded_room() {
        let (tries, now) = (Tries::default(), Instant::now());
        let many = u32::try_from(PEERS_MAX).expect("few") * 2;
        for number in 0..many {
            tries.wrong(Some(IpAddr::V4(number.into())), now);
        }
        let kept = |tries: &Tries| tries.peers.lock().expect("no panic").len();
        assert_eq!(kept(&tries), PEERS_MAX + 1);
        // Those without a place of their own are counted together.
        assert!(tries.barred(None, now).is_some());
        assert!(tries.barred(address("192.0.2.1"), now).is_some());
        let later = now + Duration::from_secs(600);
        tries.wrong(address("192.0.2.1"), later);
        assert_eq!(kept(&tries), 1);
    }
}
