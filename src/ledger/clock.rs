//! The ledger's time: that of the wall, but never backwards. When the clock is set back, it goes on at the pace of the
//! clock that only counts, so that no grant, no window of a cap and no order of rows comes twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// For how many milliseconds the wall is taken to be as far ahead of the counting clock as it was: a request reads one clock,
/// and not two.
const LOOK: i64 = 250;

/// Where times come from.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    /// The furthest that the wall has been ahead of the counting clock, in milliseconds.
    ahead: AtomicI64,
    /// When the wall was looked at last, by the counting clock.
    looked: AtomicI64,
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
            looked: AtomicI64::new(-LOOK),
        }
    }

    /// Unix milliseconds.
    pub fn now(&self) -> i64 {
        self.at(Instant::now())
    }

    /// Unix milliseconds at a point in time that was just read. A wall that is set forward is seen within a quarter of a
    /// second.
    pub fn at(&self, now: Instant) -> i64 {
        match &self.source {
            Source::System { begin } => {
                let steady = millis(now.saturating_duration_since(*begin));
                if steady - self.looked.load(Ordering::Acquire) < LOOK {
                    return steady + self.ahead.load(Ordering::Relaxed);
                }
                // The wall first: what passes between the two must not put it further ahead.
                let wall = SystemTime::now().duration_since(UNIX_EPOCH);
                let steady = millis(begin.elapsed());
                let time = self.look(wall.map_or(0, millis), steady);
                self.looked.store(steady, Ordering::Release);
                time
            }
            Source::Manual { wall, steady } => {
                self.look(wall.load(Ordering::Relaxed), steady.load(Ordering::Relaxed))
            }
        }
    }

    /// The time, where the two clocks show these.
    fn look(&self, wall: i64, steady: i64) -> i64 {
        let ahead = self.ahead.fetch_max(wall - steady, Ordering::Relaxed);
        steady + ahead.max(wall - steady)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_told_as_the_wall_would_have_shown_it() {
        let clock = Clock::system();
        let begin = clock.now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        // However long this test may stand still between the two.
        assert!((millis(wall.expect("after 1970")) - begin).abs() < 60_000);
        let later = Instant::now() + Duration::from_millis(LOOK.unsigned_abs() / 2);
        assert!(clock.at(later) >= begin + LOOK / 2);
        assert!(clock.now() >= begin);
    }

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
