//! What Pingora makes of HTTP/2 that is no HTTP/2: from then on it asks the peer over HTTP/1.1, until the process ends. A
//! provider that speaks nothing else than HTTP/2 would be lost for one bad frame. Here that has an end: after a while,
//! or as soon as no connection comes about that way, the peer gets another number, by which Pingora knows nothing of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For how long a peer is asked over HTTP/1.1.
const TIME: Duration = Duration::from_secs(60);

/// Numbers of peers that are kept apart from others count from below.
const FIRST: u64 = 1 << 63;

/// The state of one peer.
#[derive(Debug)]
pub(super) struct Downgrade {
    origin: Instant,
    /// How often it ended.
    ended: AtomicU64,
    /// 1 + the milliseconds after `origin` at which it ends; 0: there is none.
    until: AtomicU64,
}

impl Downgrade {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            ended: AtomicU64::new(0),
            until: AtomicU64::new(0),
        }
    }

    /// By which Pingora is to know the peer.
    pub(super) fn number(&self, now: Instant) -> u64 {
        let until = self.until.load(Ordering::Relaxed);
        if until != 0 && self.millis(now) >= until {
            self.end();
        }
        match self.ended.load(Ordering::Relaxed) {
            0 => 0,
            ended => FIRST | ended,
        }
    }

    /// The peer sent what is no HTTP/2.
    pub(super) fn begin(&self, now: Instant) {
        let until = self.millis(now + TIME);
        let _ = self
            .until
            .compare_exchange(0, until, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends it; whether there was one.
    pub(super) fn end(&self) -> bool {
        let was = self.until.swap(0, Ordering::Relaxed) != 0;
        if was {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        was
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_downgrade_ends_by_itself_or_at_once() {
        let now = Instant::now();
        let downgrade = Downgrade::new(now);
        assert_eq!(downgrade.number(now), 0);
        assert!(!downgrade.end());
        downgrade.begin(now);
        downgrade.begin(now + TIME / 2);
        assert_eq!(downgrade.number(now + TIME - Duration::from_millis(1)), 0);
        let second = downgrade.number(now + TIME);
        assert!(second >= FIRST);
        assert_eq!(downgrade.number(now + TIME * 9), second);
        downgrade.begin(now + TIME * 9);
        assert!(downgrade.end() && !downgrade.end());
        assert_ne!(downgrade.number(now + TIME * 9), second);
    }
}
