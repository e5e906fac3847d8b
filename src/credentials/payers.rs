//! What is known of a key from using it. Measured, so it outlives a reload of the files.
//!
//! That a provider does not accept a key is known for everybody. That it is over its limits, or has too little credit,
//! may be for what one request asks (a prompt of a million tokens; OpenRouter's 402 for the output that was asked for):
//! that is kept by account, so that no value that a client chooses moves another account's traffic.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::health::{Aside, BACK_OFF, Change, Said, Standing};

/// The number of the account that pays for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payer(pub i64);

/// Accounts beyond which those with which the key is in order again are forgotten.
const REMEMBERED: usize = 1_024;

/// What is known of one key.
#[derive(Debug, Default)]
pub struct KeyHealth {
    everybody: Standing,
    /// Whether it is set aside, or was, for some account. A request of a key that never was takes no lock.
    any: AtomicBool,
    payers: Mutex<HashMap<Payer, Standing>>,
}

impl KeyHealth {
    /// Notes what an answer to a request of `payer` said of the key at the time `now`; returns what has changed by it.
    pub fn hear(&self, said: Said, payer: Payer, now: Instant) -> Option<Change> {
        match said {
            Said::Refused => self.everybody.hear(said, now),
            Said::OutOfCredit | Said::RateLimited(_) => {
                let mut payers = self.lock();
                if payers.len() >= REMEMBERED {
                    payers.retain(|_, standing| standing.aside(now).is_some());
                }
                self.any.store(true, Ordering::Relaxed);
                payers.entry(payer).or_default().hear(said, now)
            }
            Said::Serves(_) => {
                let everybody = self.everybody.hear(said, now);
                everybody.or(self.serves(said, payer, now))
            }
        }
    }

    fn serves(&self, said: Said, payer: Payer, now: Instant) -> Option<Change> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut payers = self.lock();
        let change = payers.get(&payer).and_then(|own| own.hear(said, now));
        if change == Some(Change::Back) {
            payers.remove(&payer);
        }
        // An account that went away is not waited for: each request would take the lock from now on.
        let before = now.checked_sub(BACK_OFF).unwrap_or(now);
        payers.retain(|_, standing| standing.aside(before).is_some());
        self.any.store(!payers.is_empty(), Ordering::Relaxed);
        change
    }

    /// Whether it is set aside for `payer` at the time `now`, why, and until when.
    #[must_use]
    pub fn aside(&self, payer: Payer, now: Instant) -> Option<Aside> {
        let everybody = self.aside_for_everybody(now);
        if !self.any.load(Ordering::Relaxed) {
            return everybody;
        }
        let own = self
            .lock()
            .get(&payer)
            .and_then(|standing| standing.aside(now));
        later(everybody, own)
    }

    /// Whether it is set aside whoever asks.
    #[must_use]
    pub fn aside_for_everybody(&self, now: Instant) -> Option<Aside> {
        self.everybody.aside(now)
    }

    /// Whether it is set aside for somebody: the longest such time.
    #[must_use]
    pub fn aside_for_anybody(&self, now: Instant) -> Option<Aside> {
        let everybody = self.aside_for_everybody(now);
        let payers = self.lock();
        let asides = payers.values().map(|standing| standing.aside(now));
        asides.fold(everybody, later)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Payer, Standing>> {
        self.payers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(one: Option<Aside>, other: Option<Aside>) -> Option<Aside> {
    [one, other]
        .into_iter()
        .flatten()
        .max_by_key(|aside| aside.until)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::credentials::Reason;

    const ONE: Payer = Payer(1);
    const OTHER: Payer = Payer(2);

    fn reason(health: &KeyHealth, payer: Payer, now: Instant) -> Option<Reason> {
        health.aside(payer, now).map(|aside| aside.reason)
    }

    #[test]
    fn a_key_that_is_not_accepted_is_set_aside_for_everybody() {
        let (health, now) = (KeyHealth::default(), Instant::now());
        assert!(health.hear(Said::Refused, ONE, now).is_some());
        assert_eq!(reason(&health, OTHER, now), Some(Reason::Refused));
        let later = now + Duration::from_secs(61);
        let back = health.hear(Said::Serves(later), OTHER, later);
        assert_eq!(back, Some(Change::Back));
        assert_eq!(reason(&health, ONE, later), None);
    }

    #[test]
    fn limits_and_credit_are_the_accounts_that_met_them() {
        for said in [Said::OutOfCredit, Said::RateLimited(None)] {
            let (health, now) = (KeyHealth::default(), Instant::now());
            let Some(Change::Aside(why, _)) = health.hear(said, ONE, now) else {
                panic!("set aside");
            };
            assert_eq!(reason(&health, ONE, now), Some(why));
            assert_eq!(reason(&health, OTHER, now), None);
            assert_eq!(health.aside_for_everybody(now), None);
            assert_eq!(health.aside_for_anybody(now), health.aside(ONE, now));
            // That it serves another says nothing of this one.
            assert_eq!(health.hear(Said::Serves(now), OTHER, now), None);
            assert_eq!(reason(&health, ONE, now), Some(why));
            let later = now + Duration::from_secs(61);
            assert_eq!(
                health.hear(Said::Serves(later), ONE, later),
                Some(Change::Back)
            );
            assert!(!health.any.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn accounts_are_not_remembered_without_end() {
        let (health, now) = (KeyHealth::default(), Instant::now());
        for number in 0..10_000 {
            let now = now + Duration::from_secs(10 * number);
            health.hear(Said::RateLimited(None), Payer(number as i64), now);
        }
        assert!(health.lock().len() <= REMEMBERED);
    }
}
