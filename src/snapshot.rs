//! `Snapshot<T>`: one value that is replaced whole, never changed in place. A request pins it once
//! and sees the same value to its end, whatever is published meanwhile.
//!
//! Taking a large value apart takes time: a catalog of 100,000 models some 100 ms. A request that is the last to see
//! one does not do it: what was replaced is kept until nobody sees it, and dropped by who publishes or tidies.
//!
//! Absent: when to replace it, and whether what is published is right; that is for whoever builds
//! the value.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};

/// The current value, for many readers that never wait.
#[derive(Debug, Default)]
pub struct Snapshot<T> {
    current: ArcSwap<T>,
    /// What was replaced, and may still be seen.
    replaced: Mutex<Vec<Arc<T>>>,
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
            replaced: Mutex::default(),
        }
    }

    /// The value this request sees from its first byte to its last.
    pub fn pin(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// The value of this moment, for as long as a look takes: cheaper than [`Snapshot::pin`].
    pub fn peek(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// Replaces the whole value at once; it has already passed every check.
    pub fn publish(&self, next: impl Into<Arc<T>>) {
        self.replace(next);
        self.tidy();
    }

    /// As [`Snapshot::publish`], and what was replaced is left to the next [`Snapshot::tidy`].
    pub fn replace(&self, next: impl Into<Arc<T>>) {
        let before = self.current.swap(next.into());
        self.lock().push(before);
    }

    /// Drops what was replaced and is seen by nobody any more. To be called now and then, where it may take its time.
    pub fn tidy(&self) {
        let mut replaced = self.lock();
        let (seen, unseen) = std::mem::take(&mut *replaced)
            .into_iter()
            .partition(|value| Arc::strong_count(value) > 1);
        *replaced = seen;
        drop(replaced);
        drop::<Vec<Arc<T>>>(unseen);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<T>>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_pinned_value_outlives_its_replacement() {
        let snapshot = Snapshot::new("first");
        let pinned = snapshot.pin();
        snapshot.publish("second");
        assert_eq!(*pinned, "first");
        assert_eq!(*snapshot.pin(), "second");
    }

    /// Says when it is taken apart.
    struct Large(Arc<AtomicBool>);

    impl Drop for Large {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_saw_a_value_last_does_not_take_it_apart() {
        let gone = Arc::new(AtomicBool::new(false));
        let snapshot = Snapshot::new(Large(Arc::clone(&gone)));
        let pinned = snapshot.pin();
        snapshot.publish(Large(Arc::default()));
        drop(pinned);
        assert!(!gone.load(Ordering::Relaxed));
        snapshot.tidy();
        assert!(gone.load(Ordering::Relaxed));
    }

    #[test]
    fn what_is_only_replaced_is_taken_apart_by_who_tidies() {
        let gone = Arc::new(AtomicBool::new(false));
        let snapshot = Snapshot::new(Large(Arc::clone(&gone)));
        let seen = snapshot.peek();
        snapshot.replace(Large(Arc::default()));
        snapshot.tidy();
        assert!(!gone.load(Ordering::Relaxed), "somebody looks at it");
        drop(seen);
        assert!(!gone.load(Ordering::Relaxed));
        snapshot.tidy();
        assert!(gone.load(Ordering::Relaxed));
    }

    #[test]
    fn what_nobody_sees_goes_with_its_replacement() {
        let gone = Arc::new(AtomicBool::new(false));
        let snapshot = Snapshot::new(Large(Arc::clone(&gone)));
        snapshot.publish(Large(Arc::default()));
        assert!(gone.load(Ordering::Relaxed));
    }
}
