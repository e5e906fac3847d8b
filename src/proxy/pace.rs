//! How fast a client sends its body: in windows of time, each with a least number of bytes.

use std::time::{Duration, Instant};

/// A client that sends more slowly than this over a whole window is let go, in bytes per second.
const RATE_MIN: u64 = 1024;

/// Watches how fast a client sends: in windows of time, each with a least number of bytes.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    since: Instant,
    last: Instant,
    bytes: u64,
    /// Whether the next piece is waited for.
    waits: bool,
    /// Whether pieces have come since `last` that were there already.
    quick: bool,
}

impl Pace {
    /// A window begins.
    pub(super) fn new(window: Duration) -> Self {
        let now = Instant::now();
        Self {
            window,
            since: now,
            last: now,
            bytes: 0,
            waits: false,
            quick: false,
        }
    }

    /// How long the next piece may take before [`Pace::turn`] must be asked. Need not be asked of one that is there.
    pub(super) fn left(&mut self) -> Duration {
        let now = Instant::now();
        self.waits = true;
        if std::mem::take(&mut self.quick) {
            self.last = now;
        }
        self.window
            .saturating_sub(now.saturating_duration_since(self.since))
            .max(Duration::from_millis(1))
    }

    /// Counts a piece; false when a whole window went by with too little in it.
    pub(super) fn keep(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        if !std::mem::take(&mut self.waits) {
            self.quick = true;
            return true;
        }
        self.last = Instant::now();
        self.turn_at(self.last)
    }

    /// Ends the window when it is over; false when there was too little in it. The next one begins
    /// with the last piece, so that silence is never longer than one window.
    pub(super) fn turn(&mut self) -> bool {
        self.turn_at(Instant::now())
    }

    fn turn_at(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) < self.window {
            return true;
        }
        let enough = self.bytes >= RATE_MIN.saturating_mul(self.window.as_secs().max(1));
        self.since = self.last;
        self.bytes = 0;
        enough
    }

    /// Begins anew: what went by until now was not the client's time.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    /// A pace whose window began, and whose last piece came, so long ago.
    fn pace(began: u64, last: u64, bytes: u64) -> Pace {
        let now = Instant::now();
        Pace {
            window: WINDOW,
            since: now - Duration::from_secs(began),
            last: now - Duration::from_secs(last),
            bytes,
            waits: true,
            quick: false,
        }
    }

    #[test]
    fn a_window_that_is_not_over_is_kept_whatever_came_in_it() {
        assert!(pace(9, 9, 0).turn());
        assert!(pace(9, 9, 0).keep(1));
    }

    #[test]
    fn a_window_that_is_over_must_have_had_enough_in_it() {
        let enough = RATE_MIN * WINDOW.as_secs();
        assert!(!pace(10, 5, enough - 1).turn());
        assert!(pace(10, 5, enough).turn());
        assert!(pace(10, 5, enough - 1).keep(1));
        assert!(!pace(10, 5, 0).keep(1));
    }

    #[test]
    fn a_piece_that_was_there_took_none_of_the_clients_time() {
        let mut pace = pace(10, 5, 0);
        pace.waits = false;
        assert!(pace.keep(1));
        assert!(pace.left() == Duration::from_millis(1) && !pace.keep(1));
    }

    #[test]
    fn a_piece_that_was_there_ends_a_silence_as_any_other() {
        let mut pace = pace(9, 9, 0);
        pace.waits = false;
        assert!(pace.keep(RATE_MIN * WINDOW.as_secs()));
        pace.left();
        // The window ends now; the next begins with that piece, which came this moment.
        pace.since -= Duration::from_secs(1);
        assert!(pace.turn());
        assert!(pace.left() > Duration::from_secs(9));
    }

    #[test]
    fn silence_is_never_longer_than_a_window() {
        let mut pace = pace(10, 7, RATE_MIN * WINDOW.as_secs());
        assert!(pace.turn());
        // The last piece came seven seconds ago, so that three are left.
        let left = pace.left();
        assert!(
            left > Duration::from_secs(2) && left <= Duration::from_secs(3),
            "{left:?}"
        );
    }
}
