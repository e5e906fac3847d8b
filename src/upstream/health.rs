//! The health of one endpoint, as its answers tell it: ready, ejected after too many failures, and probing, when one
//! request is let through to see whether it is back. Time and chance are arguments.
//!
//! What the answers say (passive) and what checks of our own say (active) are kept apart: an endpoint is ready when both
//! say so. Nothing here keeps a request from going anywhere: an ejected endpoint is the last to be asked, not the one
//! that is never asked.
//!
//! Not here: what counts as a failure (`proxy/blame.rs`), which endpoint is asked (`Upstream::pick`) and the making of
//! checks (`server/health.rs`).

mod told;
mod window;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use window::{SLICES, Slice, Window};

/// The share of a back-off time that chance takes away, at the most.
const JITTER: f64 = 0.25;

/// When an endpoint is ejected, and for how long: as configured.
pub use crate::config::Health as Settings;

impl Settings {
    /// The length of the back-off at its `level`th time in a row, from 1. `chance`, from 0 to 1, shortens it by up to a
    /// quarter, so that several gateways do not come back in step.
    fn pause(&self, level: u32, chance: f64) -> Duration {
        let times = 1_u32.checked_shl(level.saturating_sub(1));
        let whole = times.and_then(|times| self.backoff.checked_mul(times));
        let whole = whole.map_or(self.backoff_max, |whole| whole.min(self.backoff_max));
        whole.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0))
    }

    /// The slice of the window that a point in time is in.
    fn slice(&self, millis: u64) -> Slice {
        let length = self.window.as_millis() / u128::from(SLICES);
        let length = u64::try_from(length).unwrap_or(u64::MAX).max(1);
        Slice {
            number: millis / length,
            length,
        }
    }

    fn is_too_many(&self, sums: window::Sums) -> bool {
        sums.all >= u64::from(self.samples)
            && sums.failures * 100 >= sums.all * u64::from(self.failure_rate)
    }
}

/// How an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked in its turn.
    Ready,
    /// It is asked last.
    Ejected,
    /// It was ejected, and one request is seeing whether it is back.
    Probing,
}

impl State {
    /// The names of all.
    pub const NAMES: [&'static str; 3] = [
        Self::Ready.name(),
        Self::Ejected.name(),
        Self::Probing.name(),
    ];

    /// Its name in metrics, logs and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
        }
    }
}

/// In which order endpoints are asked: smaller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It is ready.
    Ready,
    /// Its back-off is over: whoever [claims](Health::claim) the probe may ask it first.
    Probe,
    /// Only when nothing else is left.
    Ejected,
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many failures in a row.
    InARow(u32),
    /// So many failures among so many answers within the window.
    Share(u64, u64),
    /// It came back and failed before its first good answer.
    AtOnce,
    /// Checks of our own fail.
    Checks,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(1) => out.write_str("1 failure"),
            Self::InARow(count) => write!(out, "{count} failures in a row"),
            Self::Share(failures, all) => write!(out, "{failures} of {all} attempts failed"),
            Self::AtOnce => out.write_str("it failed as soon as it was back"),
            Self::Checks => out.write_str("its checks fail"),
        }
    }
}

/// What a report changed, for the log: each is told to one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is asked last from now on.
    Ejected {
        /// Why.
        why: Why,
        /// How soon a request may probe it; none: a check has to pass first.
        pause: Option<Duration>,
    },
    /// A probe failed.
    StaysEjected {
        /// How soon the next may be made.
        pause: Duration,
    },
    /// It is ready.
    Returned,
}

/// The health of one endpoint. A report of success at a healthy endpoint, and the question for the rank of one, are one
/// or two relaxed loads and stores; all else takes a lock for a few instructions.
#[derive(Debug)]
pub struct Health {
    origin: Instant,
    /// 0: ready. Else bit 0: checks fail; above it: 0, or 1 + the milliseconds after `origin` from which a probe is due.
    gate: AtomicU64,
    /// 1 + the slice of the window in which a success need only be counted; 0: it has more to change.
    calm: AtomicU64,
    /// Successes of that slice that are not in the window yet.
    successes: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    passive: Passive,
    checks_fail: bool,
    /// Failures in a row.
    row: u32,
    /// Whether it came back on the strength of a response header alone.
    on_trial: bool,
    window: Window,
    /// When it was ejected last: what began before says nothing of the time after.
    since: Option<Instant>,
    /// When it came back last.
    returned: Option<Instant>,
    /// How often it was ejected without a good time between.
    level: u32,
    /// The back-off at that level.
    pause: Duration,
}

/// What the answers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passive {
    Ready,
    Ejected { until: Instant },
    Probing { until: Instant },
}

impl Inner {
    fn is_ready(&self) -> bool {
        self.passive == Passive::Ready && !self.checks_fail
    }

    fn is_of_the_past(&self, began: Instant) -> bool {
        self.since.is_some_and(|since| began < since)
    }

    fn eject(&mut self, settings: &Settings, now: Instant, chance: f64) -> Duration {
        let good = self
            .returned
            .is_none_or(|returned| now.saturating_duration_since(returned) >= settings.window);
        if self.passive == Passive::Ready && good {
            self.level = 0;
        }
        self.level = self.level.saturating_add(1);
        self.pause = settings.pause(self.level, chance);
        self.passive = Passive::Ejected {
            until: now + self.pause,
        };
        self.since = Some(now);
        self.row = 0;
        self.on_trial = false;
        self.window.clear();
        self.pause
    }

    fn come_back(&mut self, now: Instant) {
        self.passive = Passive::Ready;
        self.returned = Some(now);
        self.row = 0;
        self.window.clear();
    }
}

impl Health {
    /// That of an endpoint that is ready. No point in time that it is told of may lie before `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            gate: AtomicU64::new(0),
            calm: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                passive: Passive::Ready,
                checks_fail: false,
                row: 0,
                on_trial: false,
                window: Window::default(),
                since: None,
                returned: None,
                level: 0,
                pause: Duration::ZERO,
            }),
        }
    }

    /// Where it stands among others.
    #[must_use]
    pub fn rank(&self, now: Instant) -> Rank {
        match self.gate.load(Ordering::Relaxed) {
            0 => Rank::Ready,
            gate if gate & 1 == 0 && self.millis(now) >= (gate >> 1) - 1 => Rank::Probe,
            _ => Rank::Ejected,
        }
    }

    /// Claims the probe: true for one caller, when one is due. That of a caller who never reports what came of it is due
    /// again after the back-off time.
    pub fn claim(&self, now: Instant) -> bool {
        if self.rank(now) != Rank::Probe {
            return false;
        }
        let mut inner = self.lock();
        let due = match inner.passive {
            Passive::Ready => false,
            Passive::Ejected { until } | Passive::Probing { until } => {
                self.millis(now) >= self.millis(until)
            }
        };
        let claimed = due && !inner.checks_fail;
        if claimed {
            inner.passive = Passive::Probing {
                until: now + inner.pause,
            };
            self.publish(&inner);
        }
        claimed
    }

    /// How it is at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        let inner = self.lock();
        match inner.passive {
            _ if inner.checks_fail => State::Ejected,
            Passive::Ready => State::Ready,
            Passive::Ejected { .. } => State::Ejected,
            Passive::Probing { .. } => State::Probing,
        }
    }

    /// How long it is until a request may probe it; none when it is ready, or its checks fail.
    #[must_use]
    pub fn probe_in(&self, now: Instant) -> Option<Duration> {
        let inner = self.lock();
        match inner.passive {
            _ if inner.checks_fail => None,
            Passive::Ready => None,
            Passive::Ejected { until } | Passive::Probing { until } => {
                Some(until.saturating_duration_since(now))
            }
        }
    }

    /// An attempt that began at `began` got a good answer.
    pub fn succeeded(&self, settings: &Settings, began: Instant, now: Instant) -> Option<Change> {
        let slice = settings.slice(self.millis(now));
        if self.calm.load(Ordering::Relaxed) == slice.number + 1 {
            self.successes.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let mut inner = self.lock();
        if inner.is_of_the_past(began) {
            return None;
        }
        let was_ready = inner.is_ready();
        if inner.passive != Passive::Ready {
            inner.come_back(now);
        }
        inner.on_trial = false;
        inner.row = 0;
        self.roll(&mut inner, slice);
        inner.window.add(1, 0);
        self.publish(&inner);
        (!was_ready && inner.is_ready()).then_some(Change::Returned)
    }

    /// The response header of an attempt is a good one; whether the answer is shows in its body, and is reported then.
    /// That is enough to come back: a body may take minutes.
    pub fn answered(&self, began: Instant, now: Instant) -> Option<Change> {
        if self.gate.load(Ordering::Relaxed) >> 1 == 0 {
            return None;
        }
        let mut inner = self.lock();
        if inner.passive == Passive::Ready || inner.is_of_the_past(began) {
            return None;
        }
        inner.come_back(now);
        inner.on_trial = true;
        self.publish(&inner);
        inner.is_ready().then_some(Change::Returned)
    }

    /// An attempt that began at `began` failed, and it was the endpoint's failure. `chance`, from 0 to 1, is asked when
    /// the endpoint is ejected.
    pub fn failed(
        &self,
        settings: &Settings,
        began: Instant,
        now: Instant,
        chance: impl FnOnce() -> f64,
    ) -> Option<Change> {
        if !settings.passive {
            return None;
        }
        let mut inner = self.lock();
        if inner.is_of_the_past(began) {
            return None;
        }
        let was_ready = inner.is_ready();
        let why = match inner.passive {
            Passive::Ready => {
                self.roll(&mut inner, settings.slice(self.millis(now)));
                inner.window.add(0, 1);
                inner.row = inner.row.saturating_add(1);
                self.too_bad(&inner, settings)
            }
            // Asked as a last resort: it is known already.
            Passive::Ejected { .. } => None,
            Passive::Probing { .. } => Some(Why::AtOnce),
        };
        let was_probing = inner.passive != Passive::Ready;
        let pause = why.map(|_| inner.eject(settings, now, chance()));
        self.publish(&inner);
        let (why, pause) = (why?, pause?);
        if was_probing {
            return Some(Change::StaysEjected { pause });
        }
        let pause = Some(pause);
        was_ready.then_some(Change::Ejected { why, pause })
    }

    /// What the checks of our own come to.
    pub fn checked(&self, well: bool) -> Option<Change> {
        let mut inner = self.lock();
        let was_ready = inner.is_ready();
        inner.checks_fail = !well;
        self.publish(&inner);
        match (was_ready, inner.is_ready()) {
            (true, false) => Some(Change::Ejected {
                why: Why::Checks,
                pause: None,
            }),
            (false, true) => Some(Change::Returned),
            _ => None,
        }
    }

    /// Whether its checks fail, as of the last that was told of.
    #[must_use]
    pub fn checks_fail(&self) -> bool {
        self.gate.load(Ordering::Relaxed) & 1 == 1
    }

    fn too_bad(&self, inner: &Inner, settings: &Settings) -> Option<Why> {
        let sums = inner.window.sums();
        if inner.on_trial {
            Some(Why::AtOnce)
        } else if inner.row >= settings.failures {
            Some(Why::InARow(inner.row))
        } else if settings.is_too_many(sums) {
            Some(Why::Share(sums.failures, sums.all))
        } else {
            None
        }
    }

    /// Goes on to `slice`, with the successes counted so far.
    fn roll(&self, inner: &mut Inner, slice: Slice) {
        inner
            .window
            .add(self.successes.swap(0, Ordering::Relaxed), 0);
        inner.window.roll(slice);
    }

    /// Lets those see it who do not take the lock.
    fn publish(&self, inner: &Inner) {
        let due = match inner.passive {
            Passive::Ready => 0,
            Passive::Ejected { until } | Passive::Probing { until } => self.millis(until) + 1,
        };
        let gate = (due << 1) | u64::from(inner.checks_fail);
        self.gate.store(gate, Ordering::Relaxed);
        let calm = inner.passive == Passive::Ready && inner.row == 0 && !inner.on_trial;
        let calm = if calm {
            inner.window.newest().number + 1
        } else {
            0
        };
        self.calm.store(calm, Ordering::Relaxed);
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX >> 2)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
