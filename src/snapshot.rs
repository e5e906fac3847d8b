//! `Snapshot<T>`: one value that is replaced whole, never changed in place. A request pins it once
//! and sees the same value to its end, whatever is published meanwhile.
//!
//! Absent: when to replace it, and whether what is published is right; that is for whoever builds
//! the value.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// The current value, for many readers that never wait.
#[derive(Debug, Default)]
pub struct Snapshot<T> {
    current: ArcSwap<T>,
}

impl<T> Snapshot<T> {
    /// Starts with `first`.
    pub fn new(first: T) -> Self {
        Self::shared(Arc::new(first))
    }

    /// Starts with `first`, which others keep too.
    pub fn shared(first: Arc<T>) -> Self {
        Self {
            current: ArcSwap::new(first),
        }
    }

    /// The value this request sees from its first byte to its last.
    pub fn pin(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Replaces the whole value at once; it has already passed every check.
    pub fn publish(&self, next: impl Into<Arc<T>>) {
        self.current.store(next.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_value_outlives_its_replacement() {
        let snapshot = Snapshot::new("first");
        let pinned = snapshot.pin();
        snapshot.publish("second");
        assert_eq!(*pinned, "first");
        assert_eq!(*snapshot.pin(), "second");
    }
}
