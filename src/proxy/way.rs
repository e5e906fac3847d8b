//! The way of a request among the endpoints of its candidates: where the next attempt goes, what is left there, and what
//! it takes there while it lasts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::context::Routed;
use super::reject::{Code, Rejection};
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Metrics};
use crate::routing::failover::{Left, Mode, Verdict};
use crate::upstream::choose::Draw;
use crate::upstream::pick::{Nowhere, Picked, Places};
use crate::upstream::walk::Walk;
use crate::upstream::{Upstream, hash};

/// Where a request is among the endpoints of the candidate being tried.
#[derive(Debug, Default)]
pub struct Way {
    walk: Walk,
    draw: Draw,
    /// The candidate whose endpoints it goes through.
    candidate: Option<usize>,
    /// The endpoint of the first candidate that it is to probe.
    probed: Option<usize>,
    /// What it takes there.
    places: Option<Places>,
    address: Option<SocketAddr>,
}

impl Way {
    /// The way of a request whose session has the hash `affinity`; `chance` is a random number, and `probed` the
    /// endpoint of the first candidate whose probe it has claimed.
    #[must_use]
    pub fn new(affinity: u64, chance: u64, probed: Option<usize>) -> Self {
        Self {
            probed,
            draw: Draw {
                turn: 0,
                affinity,
                chance,
            },
            ..Self::default()
        }
    }

    /// The next address for an attempt, with a place taken there. `now` was just read.
    ///
    /// # Errors
    /// When there is none at this candidate.
    pub async fn next<'a>(
        &mut self,
        candidate: usize,
        upstream: &'a Upstream,
        now: Instant,
    ) -> Result<Picked<'a>, Nowhere> {
        if self.candidate != Some(candidate) {
            self.candidate = Some(candidate);
            self.walk.begin(self.probed.take());
            self.draw.turn = upstream.turn();
        }
        self.draw.chance = hash::mix(self.draw.chance);
        let (picked, places) = upstream.pick(&mut self.walk, &self.draw, now).await?;
        self.places = Some(places);
        self.address = Some(picked.address);
        Ok(picked)
    }

    /// What is left of endpoints and addresses goes into `left`.
    pub fn left(&self, upstream: &Upstream, left: Left) -> Left {
        // One that is ejected is better than none, but not better than another provider.
        let other = upstream.has_endpoint_left(&self.walk, left.candidate);
        Left {
            address: other || upstream.has_address_left(&self.walk),
            endpoint: upstream.has_endpoint_left(&self.walk, true),
            ..left
        }
    }

    /// Whether another address of the same endpoint is left.
    pub fn has_address_left(&self, upstream: &Upstream) -> bool {
        upstream.has_address_left(&self.walk)
    }

    /// The attempt has ended: its places are given back.
    pub fn end(&mut self) {
        self.places = None;
    }

    /// The address did or did not connect.
    pub fn note(&self, live: &Live, routed: &Routed, connected: bool) {
        let Some(address) = self.address else { return };
        let endpoint = routed.endpoint(live);
        if connected {
            endpoint.connected(address);
        } else {
            endpoint.did_not_connect(address);
        }
    }

    /// Goes on as the verdict says.
    pub fn advance(&mut self, verdict: Verdict, failed: Failed) {
        match verdict {
            Verdict::NextAddress if failed == Failed::Endpoint => self.walk.leave(),
            Verdict::Resend | Verdict::NextKey | Verdict::NextStep | Verdict::Wait(_) => {
                self.walk.stay();
            }
            _ => {}
        }
    }
}

/// What an attempt failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The address.
    Address,
    /// The endpoint, which would fail at its other addresses too.
    Endpoint,
}

/// Passes over a candidate that has as many requests under way as it may; true when there is another.
pub fn pass_over(routed: &mut Routed, live: &Live, metrics: &Metrics) -> bool {
    let left = routed.plan.left(Duration::ZERO, true);
    let is_left = left.candidate && routed.rules.mode != Mode::Off;
    super::attempt::note_unmade(routed, live, AttemptOutcome::Full);
    if is_left && routed.plan.advance(Verdict::NextCandidate) {
        metrics.failover(AttemptOutcome::Full);
        return true;
    }
    routed.fault = Some(overloaded(&routed.upstream(live).id));
    false
}

fn overloaded(provider: &str) -> Rejection {
    Rejection::new(
        Code::Overloaded,
        format!(
            "`{provider}` has as many requests under way as it may, and nothing else is left to try. Try again shortly."
        ),
    )
}
