//! The ledger's time: that of the wall, but never backwards. When the clock is set back, it goes on at the pace of the
//! clock that only counts, so that no grant, no window of a cap and no order of rows comes twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where times come from.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    /// The furthest that the wall has been ahead of the counting clock, in milliseconds.
    ahead: AtomicI64,
}

#[derive(Debug)]
enum Source {
    System {
        begin: Instant,
    },
    /// Milliseconds of the wall and of the counting clock.
    Manual {
        wall: Arc<AtomicI64>,
        steady: Arc<AtomicI64>,
    },
}

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System {
            begin: Instant::now(),
        })
    }

    /// One that stands still: Unix milliseconds of the wall, and those of the clock that only counts.
    #[must_use]
    pub fn manual(wall: Arc<AtomicI64>, steady: Arc<AtomicI64>) -> Self {
        Self::of(Source::Manual { wall, steady })
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            ahead: AtomicI64::new(i64::MIN),
        }
    }

    /// Unix milliseconds.
    pub fn now(&self) -> i64 {
        let (wall, steady) = self.read();
        let ahead = self.ahead.fetch_max(wall - steady, Ordering::Relaxed);
        steady + ahead.max(wall - steady)
    }

    fn read(&self) -> (i64, i64) {
        let millis = |time: u128| i64::try_from(time).unwrap_or(i64::MAX / 2);
        match &self.source {
            Source::System { begin } => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH);
                let wall = wall.map_or(0, |time| millis(time.as_millis()));
                (wall, millis(begin.elapsed().as_millis()))
            }
            Source::Manual { wall, steady } => {
                (wall.load(Ordering::Relaxed), steady.load(Ordering::Relaxed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_when_the_wall_is_set_back() {
        let [wall, steady] = [5_000, 100].map(|time| Arc::new(AtomicI64::new(time)));
        let clock = Clock::manual(Arc::clone(&wall), Arc::clone(&steady));
        let at = |wall_time, steady_time| {
            wall.store(wall_time, Ordering::Relaxed);
            steady.store(steady_time, Ordering::Relaxed);
            clock.now()
        };
        assert_eq!(at(5_000, 100), 5_000);
        assert_eq!(at(1_000, 150), 5_050, "set back");
        assert_eq!(at(1_100, 250), 5_150, "and it goes on");
        assert_eq!(at(9_000, 300), 9_000, "set forward");
        assert_eq!(at(9_001, 301), 9_001);
    }
}
