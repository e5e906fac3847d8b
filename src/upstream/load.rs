//! How many requests are under way somewhere, counted exactly: a slot is taken before a request goes there and comes
//! back when it is dropped, however the request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests under way at one place.
#[derive(Debug, Default)]
pub struct Load(AtomicU64);

/// One request under way; counted until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Load>);

impl Load {
    /// Requests under way.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A slot, unless `limit` of them are taken.
    #[must_use]
    pub fn take(self: &Arc<Self>, limit: u64) -> Option<Slot> {
        let one_more = |taken: u64| (taken < limit).then(|| taken + 1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
            .then(|| Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn slots_come_back() {
        let load = Arc::<Load>::default();
        let first = load.take(2).expect("room");
        let _second = load.take(2).expect("room");
        assert!(load.take(2).is_none());
        assert_eq!(load.under_way(), 2);
        drop(first);
        assert_eq!(load.under_way(), 1);
        let _third = load.take(2).expect("room again");
        assert!(load.take(2).is_none());
        // A limit that was lowered meanwhile.
        assert!(load.take(0).is_none() && load.take(1).is_none());
    }

    #[test]
    fn a_limit_holds_whoever_asks_at_the_same_time() {
        const LIMIT: u64 = 5;
        let (load, most) = (Arc::<Load>::default(), AtomicU64::new(0));
        let begin = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    begin.wait();
                    for _ in 0..20_000 {
                        let slot = load.take(LIMIT);
                        most.fetch_max(load.under_way(), Ordering::Relaxed);
                        drop(slot);
                    }
                });
            }
        });
        assert!((1..=LIMIT).contains(&most.into_inner()));
        assert_eq!(load.under_way(), 0);
    }
}
