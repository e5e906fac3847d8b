//! How far a request has come among the endpoints of a provider and their addresses. Begins anew at each candidate.

use smallvec::SmallVec;

/// Places that are out of the question: a bit each, 64 without an allocation.
#[derive(Debug, Default)]
pub(super) struct Places(SmallVec<[u64; 1]>);

impl Places {
    pub(super) fn has(&self, place: usize) -> bool {
        self.0
            .get(place / 64)
            .is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    pub(super) fn add(&mut self, place: usize) {
        if self.0.len() <= place / 64 {
            self.0.resize(place / 64 + 1, 0);
        }
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// What has been tried, and where the request is.
#[derive(Debug, Default)]
pub struct Walk {
    /// Endpoints that have been tried with all their addresses, or failed as a whole.
    pub(super) done: Places,
    /// Addresses of the endpoint at hand that have been tried.
    pub(super) tried: Places,
    at: Option<Place>,
    first: Option<usize>,
    stays: bool,
}

/// Where an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The endpoint, among those of the provider.
    pub endpoint: usize,
    /// The address, among those of the endpoint.
    pub address: usize,
}

impl Walk {
    /// Where the last attempt went.
    #[must_use]
    pub fn at(&self) -> Option<Place> {
        self.at
    }

    /// The next attempt goes to the same address again.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// The next attempt goes to another endpoint: this one failed, and would at its other addresses.
    pub fn leave(&mut self) {
        if let Some(place) = self.at.take() {
            self.pass(place.endpoint);
        }
    }

    /// Begins anew, at another provider, and there at the endpoint `first`, where it has room.
    pub fn begin(&mut self, first: Option<usize>) {
        self.first = first;
        self.done.clear();
        self.tried.clear();
        self.at = None;
        self.stays = false;
    }

    /// Whether anything has been tried.
    pub(super) fn has_begun(&self) -> bool {
        self.at.is_some() || !self.done.is_empty()
    }

    /// Where to begin, if that is said.
    pub(super) fn take_first(&mut self) -> Option<usize> {
        self.first.take()
    }

    /// Where to stay, if the next attempt is to.
    pub(super) fn take_stay(&mut self) -> Option<Place> {
        std::mem::take(&mut self.stays).then_some(self.at).flatten()
    }

    /// This endpoint is out of the question.
    pub(super) fn pass(&mut self, endpoint: usize) {
        self.done.add(endpoint);
        self.tried.clear();
        self.at = None;
    }

    /// An attempt goes there.
    pub(super) fn go(&mut self, place: Place) {
        if self.at.is_none_or(|at| at.endpoint != place.endpoint) {
            self.tried.clear();
        }
        self.tried.add(place.address);
        self.at = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(endpoint: usize, address: usize) -> Place {
        Place { endpoint, address }
    }

    #[test]
    fn places_are_kept_whatever_their_number() {
        let mut places = Places::default();
        for place in [0, 63, 64, 500] {
            assert!(!places.has(place));
            places.add(place);
            assert!(places.has(place));
        }
        assert!(!places.has(1) && !places.has(65) && !places.has(10_000));
        places.clear();
        assert!(!places.has(0) && !places.has(500));
    }

    #[test]
    fn addresses_count_for_their_endpoint_only() {
        let mut walk = Walk::default();
        walk.go(place(2, 0));
        walk.go(place(2, 1));
        assert!(walk.tried.has(0) && walk.tried.has(1) && !walk.done.has(2));
        walk.leave();
        assert!(walk.done.has(2) && walk.at().is_none() && !walk.tried.has(0));
        walk.go(place(1, 1));
        assert!(walk.tried.has(1) && !walk.tried.has(0) && walk.done.has(2));
        walk.begin(Some(3));
        assert_eq!((walk.take_first(), walk.take_first()), (Some(3), None));
        assert!(!walk.done.has(2) && !walk.tried.has(1) && walk.at().is_none());
    }

    #[test]
    fn it_stays_once() {
        let mut walk = Walk::default();
        walk.stay();
        assert_eq!(walk.take_stay(), None);
        walk.go(place(1, 0));
        walk.stay();
        assert_eq!(walk.take_stay(), Some(place(1, 0)));
        assert_eq!(walk.take_stay(), None);
    }
}
