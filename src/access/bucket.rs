//! A token bucket in whole numbers: what was taken runs out again at an even rate, `limit` in a minute, and no more than
//! `limit` can be taken at once. So in any time t no more passes than limit · (1 + t / 1 min), to the unit; over long it
//! is the limit. Time is an argument.

use std::time::{Duration, Instant};

/// What taking one costs: in each nanosecond `limit` of it runs out, so that one minute makes room for `limit`.
const ONE: i128 = 60_000_000_000;

/// What was taken and has not run out yet. Grows above what the limit allows only where something turns out to have been
/// more than it was taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    taken: i128,
    /// When that was so; none: never used.
    at: Option<Instant>,
}

/// How a bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What a minute allows.
    pub limit: u64,
    /// What may be taken at once.
    pub remaining: u64,
    /// When all of it may be, if nothing is taken meanwhile.
    pub full_in: Duration,
}

impl Bucket {
    /// Lets run out what has until `now`.
    pub fn drain(&mut self, limit: u64, now: Instant) {
        if let Some(at) = self.at {
            let elapsed = now.saturating_duration_since(at).as_nanos();
            let elapsed = i128::try_from(elapsed).unwrap_or(i128::MAX);
            let out = elapsed.saturating_mul(i128::from(limit));
            self.taken = self.taken.saturating_sub(out).max(0);
        }
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }

    /// How long until `amount` can be taken; zero: now. What is more than the whole limit can be taken when nothing else
    /// is.
    #[must_use]
    pub fn wait(&self, amount: u64, limit: u64) -> Duration {
        let room = i128::from(limit.max(1)) * ONE;
        let asked = i128::from(amount.min(limit)) * ONE;
        nanos((self.taken + asked - room).max(0), limit)
    }

    /// Takes `amount`, whether or not there is room.
    pub fn take(&mut self, amount: u64) {
        self.taken = self.taken.saturating_add(i128::from(amount) * ONE);
    }

    /// Takes less by `amount` than was taken: that has not been used.
    pub fn give_back(&mut self, amount: u64) {
        self.taken = self.taken.saturating_sub(i128::from(amount) * ONE).max(0);
    }

    /// How it stands.
    #[must_use]
    pub fn level(&self, limit: u64) -> Level {
        let left = (i128::from(limit) * ONE - self.taken).max(0) / ONE;
        Level {
            limit,
            remaining: u64::try_from(left).unwrap_or(limit),
            full_in: nanos(self.taken, limit),
        }
    }
}

/// How long `amount` takes to run out, rounded up.
fn nanos(amount: i128, limit: u64) -> Duration {
    let limit = i128::from(limit.max(1));
    let nanos = (amount + limit - 1) / limit;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_taken_runs_out_at_an_even_rate() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        bucket.drain(60, start);
        for _ in 0..60 {
            assert_eq!(bucket.wait(1, 60), Duration::ZERO);
            bucket.take(1);
        }
        assert_eq!(bucket.wait(1, 60), SECOND);
        assert_eq!(bucket.wait(2, 60), 2 * SECOND);
        let full = Level {
            limit: 60,
            remaining: 0,
            full_in: 60 * SECOND,
        };
        assert_eq!(bucket.level(60), full);
        // A nanosecond too early, and in time.
        bucket.drain(60, start + SECOND - Duration::from_nanos(1));
        assert_eq!(bucket.wait(1, 60), Duration::from_nanos(1));
        bucket.drain(60, start + SECOND);
        assert_eq!(
            (bucket.wait(1, 60), bucket.level(60).remaining),
            (Duration::ZERO, 1)
        );
        bucket.drain(60, start + 3600 * SECOND);
        assert_eq!(
            bucket.level(60),
            Level {
                limit: 60,
                remaining: 60,
                full_in: Duration::ZERO
            }
        );
    }

    #[test]
    fn what_does_not_divide_a_minute_loses_nothing() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        // Seven a minute for a day: asked as soon as it is said to be time.
        let mut now = start;
        let mut passed = 0_u64;
        while now <= start + 86_400 * SECOND {
            bucket.drain(7, now);
            let wait = bucket.wait(1, 7);
            if wait.is_zero() {
                bucket.take(1);
                passed += 1;
            } else {
                now += wait;
            }
        }
        assert_eq!(passed, 7 + 7 * 60 * 24);
    }

    #[test]
    fn more_than_the_limit_passes_alone_and_is_paid_off() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        bucket.drain(100, start);
        assert_eq!(bucket.wait(1_000, 100), Duration::ZERO);
        bucket.take(1_000);
        assert_eq!(bucket.level(100).remaining, 0);
        assert_eq!(bucket.wait(1, 100), Duration::from_millis(540_600));
        // It has used less: that is given back, and no more than was taken.
        bucket.give_back(950);
        assert_eq!(bucket.level(100).remaining, 50);
        assert_eq!(bucket.wait(1_000, 100), 30 * SECOND);
        bucket.give_back(5_000);
        assert_eq!(bucket.level(100).remaining, 100);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_makes_no_room() {
        let (mut bucket, start) = (Bucket::default(), Instant::now() + 10 * SECOND);
        bucket.drain(1, start);
        bucket.take(1);
        for earlier in [0, 5, 10] {
            bucket.drain(1, start - earlier * SECOND);
            assert_eq!(bucket.wait(1, 1), 60 * SECOND);
        }
        bucket.drain(1, start + 60 * SECOND);
        assert_eq!(bucket.wait(1, 1), Duration::ZERO);
    }

    #[test]
    fn the_largest_numbers_are_no_overflow() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        for _ in 0..3 {
            bucket.drain(u64::MAX, start);
            bucket.take(u64::MAX);
        }
        assert_eq!(bucket.level(u64::MAX).remaining, 0);
        bucket.drain(u64::MAX, start + Duration::from_secs(u64::from(u32::MAX)));
        bucket.give_back(u64::MAX);
        assert_eq!(bucket.level(u64::MAX).remaining, u64::MAX);
    }

    proptest! {
        /// In no stretch of time passes more than what it allows.
        #[test]
        fn no_stretch_of_time_passes_more_than_it_allows(
            limit in 1_u64..500,
            asked in proptest::collection::vec((0_u64..2_000, 1_u64..40), 1..200),
        ) {
            let (mut bucket, start) = (Bucket::default(), Instant::now());
            let mut now = start;
            let mut passed: Vec<(Instant, u64)> = Vec::new();
            for (pause, amount) in asked {
                now += Duration::from_millis(pause);
                let amount = amount.min(limit);
                bucket.drain(limit, now);
                if bucket.wait(amount, limit).is_zero() {
                    bucket.take(amount);
                    passed.push((now, amount));
                }
            }
            for (at, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0_u128;
                for (until, amount) in &passed[at..] {
                    sum += u128::from(*amount);
                    let nanos = until.duration_since(*from).as_nanos();
                    let most = u128::from(limit) * (60_000_000_000 + nanos);
                    prop_assert!(sum * 60_000_000_000 <= most);
                }
            }
        }
    }
}
