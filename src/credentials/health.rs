//! Whether a key is set aside, why, and until when, as its answers tell it.
//!
//! The state machine is pure ([`State::after`]); [`Standing`] keeps one state in one word, so that a request reads it
//! without a lock. Not here: which answers say something of a key (`proxy`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For how long a key that is refused, or has no credit, is set aside at first.
pub const BACK_OFF: Duration = Duration::from_secs(60);

/// The longest time for which it is: each time it fails again, the time doubles up to here.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(3600);

/// For how long a key that is over its limits is set aside when its provider does not say.
pub const LIMITED: Duration = Duration::from_secs(5);

/// The longest time for which a provider's word is taken.
pub const LIMITED_MAX: Duration = Duration::from_secs(3600);

/// Why a key is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The provider does not accept it.
    Refused,
    /// The account behind it has no credit left.
    OutOfCredit,
    /// It is over its limits.
    RateLimited,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Refused, Self::OutOfCredit, Self::RateLimited];

    /// Its name in explanations and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::OutOfCredit => "out_of_credit",
            Self::RateLimited => "rate_limited",
        }
    }

    /// Whether it lasts until somebody does something about it, rather than for a time that the provider sets.
    fn lasts(self) -> bool {
        self != Self::RateLimited
    }
}

/// Something that an answer said of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is not accepted.
    Refused,
    /// It has no credit left.
    OutOfCredit,
    /// It is over its limits, for this long where the provider says so.
    RateLimited(Option<Duration>),
    /// It serves. The attempt began at this time.
    Serves(Instant),
}

/// A change that the operator should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is set aside, for this reason and this long.
    Aside(Reason, Duration),
    /// It is used again as any other.
    Back,
}

/// A key is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Why.
    pub reason: Reason,
    /// When it comes back.
    pub until: Instant,
}

/// One word's worth: times are milliseconds since the key was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// Why it was last set aside; none once it has served since.
    reason: Option<Reason>,
    /// Until when.
    until: u64,
    /// How often it has failed since it last served, rate limits aside.
    failures: u8,
}

/// As [`Said`], in milliseconds.
#[derive(Clone, Copy, Debug)]
enum Event {
    Fails(Reason),
    Limited(u64),
    Serves(u64),
}

impl State {
    /// What is known after `event` at the time `now`.
    fn after(self, event: Event, now: u64) -> Self {
        let lasting = self.reason.is_some_and(Reason::lasts);
        let aside = now < self.until;
        match event {
            // Said by requests that were under way, or that had nothing else left to try: nothing new.
            Event::Fails(_) | Event::Limited(_) if lasting && aside => self,
            Event::Fails(reason) => {
                let failures = self.failures.saturating_add(1);
                Self {
                    reason: Some(reason),
                    until: self.until.max(now + back_off(failures)),
                    failures,
                }
            }
            Event::Limited(time) => Self {
                reason: Some(Reason::RateLimited),
                until: self.until.max(now + time.min(millis(LIMITED_MAX))),
                failures: self.failures,
            },
            // Began before it was refused, and says nothing of what came after.
            Event::Serves(began) if lasting && began + back_off(self.failures) < self.until => self,
            Event::Serves(_) if !lasting && aside => self,
            Event::Serves(_) => Self::default(),
        }
    }

    fn pack(self) -> u64 {
        let reason = self.reason.map_or(0, |reason| reason as u64 + 1);
        (self.until << 16) | (u64::from(self.failures) << 8) | reason
    }

    fn unpack(word: u64) -> Self {
        let [reason, failures, ..] = word.to_le_bytes();
        Self {
            reason: Reason::ALL
                .get(usize::from(reason).wrapping_sub(1))
                .copied(),
            until: word >> 16,
            failures,
        }
    }
}

/// Milliseconds for which a key is set aside that has failed so often in a row.
fn back_off(failures: u8) -> u64 {
    let doubled = u32::from(failures.clamp(1, 32)) - 1;
    (millis(BACK_OFF) << doubled).min(millis(BACK_OFF_MAX))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 16)
}

/// How one key stands, with everybody or with one account.
#[derive(Debug)]
pub(super) struct Standing {
    epoch: Instant,
    /// A packed [`State`].
    state: AtomicU64,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            state: AtomicU64::new(State::default().pack()),
        }
    }
}

impl Standing {
    /// Notes what an answer said of the key at the time `now`; returns what has changed by it.
    pub fn hear(&self, said: Said, now: Instant) -> Option<Change> {
        let event = match said {
            Said::Refused => Event::Fails(Reason::Refused),
            Said::OutOfCredit => Event::Fails(Reason::OutOfCredit),
            Said::RateLimited(time) => Event::Limited(millis(time.unwrap_or(LIMITED))),
            Said::Serves(_) if self.state.load(Ordering::Relaxed) == 0 => return None,
            Said::Serves(began) => Event::Serves(self.since_epoch(began)),
        };
        let now = self.since_epoch(now);
        let changed = |word| Some(State::unpack(word).after(event, now).pack());
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        let before = State::unpack(before.unwrap_or_else(|word| word));
        let after = before.after(event, now);
        match after.reason {
            reason if reason == before.reason => None,
            None => Some(Change::Back),
            Some(reason) => {
                let time = Duration::from_millis(after.until.saturating_sub(now));
                Some(Change::Aside(reason, time))
            }
        }
    }

    /// Whether it is set aside at the time `now`, why, and until when.
    #[must_use]
    pub fn aside(&self, now: Instant) -> Option<Aside> {
        let word = self.state.load(Ordering::Relaxed);
        if word == 0 {
            return None;
        }
        let state = State::unpack(word);
        let until = self.epoch + Duration::from_millis(state.until);
        state
            .reason
            .filter(|_| now < until)
            .map(|reason| Aside { reason, until })
    }

    fn since_epoch(&self, time: Instant) -> u64 {
        millis(time.saturating_duration_since(self.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Event::{Fails, Limited, Serves};
    use Reason::{OutOfCredit, RateLimited, Refused};

    /// A minute, the first back-off, in milliseconds.
    const MINUTE: u64 = 60_000;

    fn state(reason: Reason, until: u64, failures: u8) -> State {
        State {
            reason: Some(reason),
            until,
            failures,
        }
    }

    #[test]
    fn each_event_has_its_row() {
        let well = State::default();
        let refused = state(Refused, 100 + MINUTE, 1);
        let limited = state(RateLimited, 5_100, 0);
        let rows = [
            // It fails, and again after its time: the time doubles.
            (well, Fails(Refused), 100, refused),
            (
                well,
                Fails(OutOfCredit),
                100,
                state(OutOfCredit, 100 + MINUTE, 1),
            ),
            (
                refused,
                Fails(Refused),
                100 + MINUTE,
                state(Refused, 100 + 3 * MINUTE, 2),
            ),
            (
                refused,
                Fails(OutOfCredit),
                200 + MINUTE,
                state(OutOfCredit, 200 + 3 * MINUTE, 2),
            ),
            // Within its time nothing is new.
            (refused, Fails(Refused), 30_000, refused),
            (refused, Fails(OutOfCredit), 30_000, refused),
            (refused, Limited(5_000), 30_000, refused),
            // Over its limits: the longest time that was asked for.
            (well, Limited(5_000), 100, limited),
            (limited, Limited(1_000), 200, limited),
            (limited, Limited(5_000), 200, state(RateLimited, 5_200, 0)),
            (
                limited,
                Fails(Refused),
                200,
                state(Refused, 200 + MINUTE, 1),
            ),
            (
                state(RateLimited, 90_000, 0),
                Fails(Refused),
                200,
                state(Refused, 90_000, 1),
            ),
            (
                refused,
                Limited(5_000),
                200 + MINUTE,
                state(RateLimited, 5_200 + MINUTE, 1),
            ),
            // No provider's word is taken for more than an hour.
            (
                well,
                Limited(u64::MAX >> 1),
                0,
                state(RateLimited, 3_600_000, 0),
            ),
            // It serves.
            (well, Serves(50), 100, well),
            (refused, Serves(101), 200, well),
            (refused, Serves(200 + MINUTE), 300 + MINUTE, well),
            // That request began before it was refused.
            (refused, Serves(99), 200, refused),
            (
                state(Refused, 100 + 3 * MINUTE, 2),
                Serves(MINUTE),
                2 * MINUTE,
                state(Refused, 100 + 3 * MINUTE, 2),
            ),
            // Others being served does not end the time that the provider asked for.
            (limited, Serves(150), 200, limited),
            (limited, Serves(6_000), 6_100, well),
        ];
        for (before, event, now, after) in rows {
            assert_eq!(
                before.after(event, now),
                after,
                "{before:?}, {event:?} at {now}"
            );
        }
    }

    #[test]
    fn the_time_doubles_up_to_an_hour() {
        let mut state = State::default();
        let mut now = 0;
        let mut minutes = Vec::new();
        for _ in 0..300 {
            state = state.after(Fails(Refused), now);
            minutes.push((state.until - now) / MINUTE);
            now = state.until;
        }
        assert_eq!(minutes[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(minutes[8..].iter().all(|time| *time == 60));
    }

    #[test]
    fn a_state_is_kept_in_a_word() {
        for reason in Reason::ALL {
            for (until, failures) in [(0, 0), (1, 255), (1 << 40, 7)] {
                let state = state(reason, until, failures);
                assert_eq!(State::unpack(state.pack()), state);
            }
        }
        assert_eq!(State::default().pack(), 0);
        assert_eq!(State::unpack(0), State::default());
    }

    #[test]
    fn a_change_is_told_once() {
        let health = Standing::default();
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let told = health.hear(Said::Refused, now);
        assert_eq!(told, Some(Change::Aside(Refused, BACK_OFF)));
        assert_eq!(health.hear(Said::Refused, after(1)), None);
        let aside = health.aside(after(59)).expect("set aside");
        assert_eq!(aside.reason, Refused);
        let off = after(60).saturating_duration_since(aside.until);
        assert!(
            aside.until <= after(60) && off < Duration::from_millis(2),
            "{off:?}"
        );
        assert_eq!(health.aside(after(60)), None);
        // Refused again after its time: it has been so all along.
        assert_eq!(health.hear(Said::Refused, after(61)), None);
        assert!(health.aside(after(180)).is_some());
        assert_eq!(
            health.hear(Said::Serves(after(190)), after(191)),
            Some(Change::Back)
        );
        assert_eq!(health.hear(Said::Serves(after(190)), after(191)), None);
        assert_eq!(health.aside(after(191)), None);
    }

    #[test]
    fn a_provider_that_does_not_say_how_long_is_left_alone_for_a_little() {
        let health = Standing::default();
        let now = Instant::now();
        let told = health.hear(Said::RateLimited(None), now);
        assert_eq!(told, Some(Change::Aside(RateLimited, LIMITED)));
        assert_eq!(health.aside(now + LIMITED), None);
    }
}
