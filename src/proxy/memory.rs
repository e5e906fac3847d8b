//! Replay memory: how many bytes of request bodies the process may hold at one time.
//!
//! A request takes its share before it reads, and gives it back when it ends, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The process's replay memory.
#[derive(Debug)]
pub struct ReplayMemory {
    limit: AtomicU64,
    taken: AtomicU64,
}

/// A share of the replay memory; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: Arc<ReplayMemory>,
    bytes: u64,
}

impl ReplayMemory {
    /// Memory for `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            taken: AtomicU64::new(0),
        })
    }

    /// From now on memory for `limit` bytes. What is taken stays taken.
    pub fn limit_to(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes taken at this moment.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or nothing when that would pass the limit.
    #[must_use]
    pub fn take(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.add(bytes).then(|| Reservation {
            memory: Arc::clone(self),
            bytes,
        })
    }

    fn add(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let grown = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= limit);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .is_ok()
    }
}

impl Reservation {
    /// Takes more until the share is `bytes`; false, and nothing taken, when that is too much.
    #[must_use]
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if !self.memory.add(more) {
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_pass_the_limit_and_come_back() {
        let memory = ReplayMemory::new(100);
        let mut first = memory.take(60).expect("there is room");
        assert!(memory.take(41).is_none());
        assert!(first.grow_to(100));
        assert!(!first.grow_to(101));
        assert_eq!(memory.taken(), 100);
        drop(first);
        assert_eq!(memory.taken(), 0);
    }
}
