//! Where an attempt goes: an endpoint and one of its addresses, with a place taken there.

use std::net::SocketAddr;
use std::time::Instant;

use pingora::upstreams::peer::HttpPeer;

use super::addresses::Addresses;
use super::choose::{self, Balance, Draw, Look};
use super::health::Rank;
use super::load::Slot;
use super::walk::{Place, Walk};
use super::{Endpoint, Upstream, peer};

/// An address picked for an attempt.
pub struct Picked<'a> {
    /// The endpoint it belongs to.
    pub endpoint: &'a Endpoint,
    /// That endpoint's place among those of the provider.
    pub index: usize,
    /// The address.
    pub address: SocketAddr,
    /// The peer to connect to.
    pub peer: Box<HttpPeer>,
    /// What time it is: later than asked, where a look-up was waited for.
    pub now: Instant,
}

/// A place at a provider and at one of its endpoints, taken until it is dropped.
#[derive(Debug)]
pub struct Places {
    _provider: Slot,
    _endpoint: Slot,
}

/// Why there is nowhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// No endpoint that has not been tried has an address.
    NoAddress,
    /// The provider, or what is left of its endpoints, has as many requests under way as it may.
    Full,
}

impl Upstream {
    /// Where the next attempt goes, with a place taken there. Only for the very first answer for a name is a look-up
    /// waited for, no longer than a connection may take. `now` was just read.
    ///
    /// # Errors
    /// When there is nowhere to go.
    pub async fn pick(
        &self,
        walk: &mut Walk,
        draw: &Draw,
        mut now: Instant,
    ) -> Result<(Picked<'_>, Places), Nowhere> {
        let provider = self.load.take(self.requests_max).ok_or(Nowhere::Full)?;
        let mut full = false;
        loop {
            let picked = self
                .find(walk, draw, now)
                .await
                .map_err(|nowhere| if full { Nowhere::Full } else { nowhere })?;
            if let Some(endpoint) = picked.endpoint.take() {
                let places = Places {
                    _provider: provider,
                    _endpoint: endpoint,
                };
                return Ok((picked, places));
            }
            // Its last place was taken this moment.
            walk.pass(picked.index);
            now = picked.now;
            full = true;
        }
    }

    /// As [`Self::pick`], for what is no request: no place is taken.
    ///
    /// # Errors
    /// When there is nowhere to go.
    pub async fn find(
        &self,
        walk: &mut Walk,
        draw: &Draw,
        mut now: Instant,
    ) -> Result<Picked<'_>, Nowhere> {
        let stays = walk.take_stay();
        loop {
            let at = match walk.at() {
                Some(place) => place.endpoint,
                None => match walk.take_first().filter(|at| self.has_room(*at)) {
                    Some(first) => first,
                    None => self.choose(walk, draw, now)?,
                },
            };
            let endpoint = &self.endpoints[at];
            let mut addresses = endpoint.host.addresses();
            if addresses.is_none() {
                addresses = endpoint.host.first_addresses(self.times.connect).await;
                now = Instant::now();
            }
            let place = addresses.and_then(|addresses| {
                let same = stays.filter(|place| place.endpoint == at);
                let address = match same.filter(|place| place.address < addresses.len()) {
                    Some(place) => place.address,
                    None => self.address(walk, draw, &addresses, now)?,
                };
                Some((address, addresses.get(address)?))
            });
            let Some((address, socket)) = place else {
                walk.pass(at);
                continue;
            };
            walk.go(Place {
                endpoint: at,
                address,
            });
            return Ok(Picked {
                endpoint,
                index: at,
                address: socket,
                peer: endpoint.peer(socket, now),
                now,
            });
        }
    }

    fn has_room(&self, at: usize) -> bool {
        self.endpoints.get(at).is_some_and(|it| !it.is_full())
    }

    fn choose(&self, walk: &Walk, draw: &Draw, now: Instant) -> Result<usize, Nowhere> {
        let chosen = self
            .to_probe(walk, draw, now)
            .or_else(|| self.best(walk, draw, now, Rank::Ejected));
        chosen.ok_or_else(|| {
            let full =
                |(at, endpoint): (usize, &Endpoint)| !walk.done.has(at) && endpoint.is_full();
            if self.endpoints.iter().enumerate().any(full) {
                Nowhere::Full
            } else {
                Nowhere::NoAddress
            }
        })
    }

    /// The endpoint whose probe this request is, if it is one. Sessions are not moved for that: it is then a request
    /// of a session that belongs there.
    fn to_probe(&self, walk: &Walk, draw: &Draw, now: Instant) -> Option<usize> {
        let waits = |at: &usize| self.endpoints[*at].seen.health().rank(now) == Rank::Probe;
        let has_begun = walk.has_begun();
        if has_begun || !(0..self.endpoints.len()).any(|at| waits(&at)) {
            return None;
        }
        let claim = |at: &usize| {
            !self.endpoints[*at].is_full() && self.endpoints[*at].seen.health().claim(now)
        };
        if self.balance == Balance::Affinity {
            let home = self.best(walk, draw, now, Rank::Ready);
            return home.filter(waits).filter(claim);
        }
        (0..self.endpoints.len()).find(claim)
    }

    /// The best endpoint; those that wait for a probe count as `probe`.
    fn best(&self, walk: &Walk, draw: &Draw, now: Instant, probe: Rank) -> Option<usize> {
        choose::choose(&self.table, self.balance, draw, |at| {
            let endpoint = &self.endpoints[at];
            let fits = !walk.done.has(at) && !endpoint.is_full();
            fits.then(|| Look {
                rank: match endpoint.seen.health().rank(now) {
                    Rank::Probe => probe,
                    rank => rank,
                },
                load: endpoint.load().under_way(),
            })
        })
    }

    fn address(
        &self,
        walk: &Walk,
        draw: &Draw,
        addresses: &Addresses,
        now: Instant,
    ) -> Option<usize> {
        addresses.choose(&walk.tried, self.balance, draw, now)
    }

    /// Whether another address of the endpoint at hand is left.
    #[must_use]
    pub fn has_address_left(&self, walk: &Walk) -> bool {
        let addresses = walk
            .at()
            .and_then(|place| self.endpoints[place.endpoint].host.addresses());
        addresses.is_some_and(|addresses| addresses.is_left(&walk.tried))
    }

    /// Whether another endpoint is left that has room, and is well if it must be.
    #[must_use]
    pub fn has_endpoint_left(&self, walk: &Walk, well: bool) -> bool {
        let now = Instant::now();
        let here = walk.at().map(|place| place.endpoint);
        self.endpoints.iter().enumerate().any(|(at, endpoint)| {
            here != Some(at)
                && !walk.done.has(at)
                && !endpoint.is_full()
                && !endpoint.is_lost()
                && (!well || endpoint.seen.health().rank(now) == Rank::Ready)
        })
    }
}

impl Endpoint {
    fn take(&self) -> Option<Slot> {
        self.load().take(self.requests_max)
    }

    pub(super) fn is_full(&self) -> bool {
        self.load().under_way() >= self.requests_max
    }

    /// Whether its name was looked up, and never found.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.host.is_lost()
    }

    /// Notes that an address of it did not connect: it is tried last for a while.
    pub fn did_not_connect(&self, address: SocketAddr) {
        if let Some(addresses) = self.host.addresses() {
            addresses.did_not_connect(address, Instant::now());
        }
    }

    /// Notes that an address of it connected.
    pub fn connected(&self, address: SocketAddr) {
        if let Some(addresses) = self.host.addresses() {
            addresses.connected(address);
        }
    }

    fn peer(&self, address: SocketAddr, now: Instant) -> Box<HttpPeer> {
        let mut peer = peer::template(
            address,
            self.tls,
            &self.sni,
            self.ca.as_ref(),
            &self.transport,
        );
        peer.group_key = self.seen.number(now);
        peer
    }
}

#[cfg(test)]
mod tests;
