//! The order of a request's candidates by the health of their providers: those whose endpoints are all ejected are tried
//! last, and never left out. Otherwise the order stays; and so it does where the client sent a provider key along: what
//! it wants to pay for itself is not put on the gateway's credential because of what other requests met. It stays too where
//! the access key does not fall back: what it may go on with depends on what comes before.

use std::time::Instant;

use crate::access::Caller;
use crate::credentials::Source;
use crate::live::Live;
use crate::routing::plan::Candidate;
use crate::upstream::health::Rank;

/// Puts the candidates in order. Where the first one waits for a probe, this request may claim it and be the probe:
/// the place of the endpoint is returned. A request that comes too late for that tries the candidate last.
pub fn by_health(
    candidates: &mut [Candidate],
    live: &Live,
    caller: &Caller,
    now: Instant,
) -> Option<usize> {
    let fixed = |first| is_paid_by_client(first) || caller.policy.no_fallback();
    if candidates.len() < 2 || fixed(&candidates[0]) {
        return None;
    }
    for _ in 0..candidates.len() {
        ejected_last(candidates, |candidate| {
            live.upstream(candidate.provider).rank(now)
        });
        let first = live.upstream(candidates[0].provider);
        if first.rank(now) != Rank::Probe {
            return None;
        }
        let probed = first.probe(now);
        if probed.is_some() {
            return probed;
        }
    }
    None
}

fn is_paid_by_client(candidate: &Candidate) -> bool {
    let first = candidate.credentials.first();
    first.is_some_and(|credential| credential.source == Source::Request)
}

/// Puts those last whose rank is the last one.
pub fn ejected_last<T>(items: &mut [T], rank: impl Fn(&T) -> Rank) {
    items.sort_by_key(|item| rank(item) == Rank::Ejected);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays_but_for_those_that_are_ejected() {
        use Rank::{Ejected, Probe, Ready};
        for (ranks, order) in [
            ([Ready, Ready, Ready], [0, 1, 2]),
            ([Ejected, Ready, Probe], [1, 2, 0]),
            ([Probe, Ejected, Ready], [0, 2, 1]),
            ([Ejected, Probe, Ejected], [1, 0, 2]),
            ([Ejected, Ejected, Ejected], [0, 1, 2]),
        ] {
            let mut places = [0, 1, 2];
            ejected_last(&mut places, |place| ranks[*place]);
            assert_eq!(places, order, "{ranks:?}");
        }
    }
}
