//! What an access key has used of its limits: requests, tokens and requests under way, and the requests under way of its
//! account. Exact, also where a thousand come at once: whoever comes takes a lock for a few instructions. It lives as long
//! as the key does, whatever replaces the keyring, and no longer than the process.
//!
//! Absent: money (`ledger`), and what a refusal looks like (`proxy`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::limits::LimitsEntry;

pub use super::bucket::Level;

/// What is counted of one access key.
#[derive(Debug, Default)]
pub struct KeyUse(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: Bucket,
    tokens: Bucket,
    in_flight: u64,
}

/// Requests under way of one account, over all its keys.
#[derive(Debug, Default)]
pub struct AccountUse(Mutex<u64>);

/// The limits of an access key, and what is used of them.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// The key's own.
    pub limits: LimitsEntry,
    /// What is used of them.
    pub used: Arc<KeyUse>,
    /// Requests under way of the whole account at the most, and those that are.
    pub account: Option<(u64, Arc<AccountUse>)>,
}

impl PartialEq for Allowance {
    /// Whether they allow the same; what is used of it is no part of that.
    fn eq(&self, other: &Self) -> bool {
        let account = |allowance: &Self| allowance.account.as_ref().map(|(limit, _)| *limit);
        self.limits == other.limits && account(self) == account(other)
    }
}

impl Eq for Allowance {}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many requests a minute.
    Requests(u64),
    /// So many tokens a minute.
    Tokens(u64),
    /// So many requests of the key under way.
    InFlight(u64),
    /// So many requests of the account under way.
    AccountInFlight(u64),
}

/// A request that is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The limit.
    pub limit: Limit,
    /// When there is room for the request again, if none comes before it; none: when another ends.
    pub wait: Option<Duration>,
    /// How the limits of a minute stand.
    pub levels: Levels,
}

/// How the limits of a minute stand, as far as there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Requests.
    pub requests: Option<Level>,
    /// Tokens.
    pub tokens: Option<Level>,
}

impl KeyUse {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountUse {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn drain(&mut self, limits: &LimitsEntry, now: Instant) {
        if let Some(limit) = limits.requests_minute {
            self.requests.drain(limit, now);
        }
        if let Some(limit) = limits.tokens_minute {
            self.tokens.drain(limit, now);
        }
    }

    fn levels(&self, limits: &LimitsEntry) -> Levels {
        Levels {
            requests: limits
                .requests_minute
                .map(|limit| self.requests.level(limit)),
            tokens: limits.tokens_minute.map(|limit| self.tokens.level(limit)),
        }
    }

    /// The limit that has no room for another request.
    fn full(&self, limits: &LimitsEntry) -> Option<(Limit, Option<Duration>)> {
        if let Some(limit) = limits.in_flight.filter(|limit| self.in_flight >= *limit) {
            return Some((Limit::InFlight(limit), None));
        }
        let requests = limits.requests_minute.map(|limit| {
            let wait = self.requests.wait(1, limit);
            (Limit::Requests(limit), wait)
        });
        // A request that asks for nothing waits all the same while there is a debt.
        let tokens = limits.tokens_minute.map(|limit| {
            let wait = self.tokens.wait(1, limit);
            (Limit::Tokens(limit), wait)
        });
        let waits = [requests, tokens].into_iter().flatten();
        let longest = waits.max_by_key(|(_, wait)| *wait);
        longest
            .filter(|(_, wait)| !wait.is_zero())
            .map(|(limit, wait)| (limit, Some(wait)))
    }
}

impl Allowance {
    /// Lets a request in, or says which limit has no room for it; what is refused counts for nothing.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Admitted, Reached> {
        let mut counts = self.used.lock();
        counts.drain(&self.limits, now);
        let reached = |(limit, wait), counts: &Counts| Reached {
            limit,
            wait,
            levels: counts.levels(&self.limits),
        };
        if let Some(full) = counts.full(&self.limits) {
            return Err(reached(full, &counts));
        }
        if let Some((limit, account)) = &self.account {
            let mut under_way = account.lock();
            if *under_way >= *limit {
                return Err(reached((Limit::AccountInFlight(*limit), None), &counts));
            }
            *under_way += 1;
        }
        counts.requests.take(1);
        counts.in_flight += 1;
        drop(counts);
        Ok(Admitted {
            allowance: Arc::clone(self),
            reserved: 0,
        })
    }
}

/// A request that was let in. It is under way until this is dropped.
#[derive(Debug)]
#[must_use = "a request is under way as long as this lives"]
pub struct Admitted {
    allowance: Arc<Allowance>,
    /// Tokens that were taken for it.
    reserved: u64,
}

impl Admitted {
    /// Takes as many tokens as the request is estimated to use, before it is sent. Where there is no room for them, the
    /// request counts as one that was not let in.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn reserve(&mut self, tokens: u64, now: Instant) -> Result<(), Reached> {
        let limits = self.allowance.limits;
        let Some(limit) = limits.tokens_minute else {
            return Ok(());
        };
        let mut counts = self.allowance.used.lock();
        counts.drain(&limits, now);
        let wait = counts.tokens.wait(tokens, limit);
        if wait.is_zero() {
            counts.tokens.take(tokens);
            self.reserved = tokens;
            return Ok(());
        }
        counts.requests.give_back(1);
        Err(Reached {
            limit: Limit::Tokens(limit),
            wait: Some(wait),
            levels: counts.levels(&limits),
        })
    }

    /// Puts what the request has used in the place of what was reserved for it. Without this call the estimate stands.
    pub fn settle(&mut self, tokens: u64, now: Instant) {
        let limits = self.allowance.limits;
        if limits.tokens_minute.is_none() {
            return;
        }
        let mut counts = self.allowance.used.lock();
        counts.drain(&limits, now);
        match tokens.checked_sub(self.reserved) {
            Some(more) => counts.tokens.take(more),
            None => counts.tokens.give_back(self.reserved - tokens),
        }
        self.reserved = tokens;
    }

    /// How the limits of a minute stand now.
    #[must_use]
    pub fn levels(&self, now: Instant) -> Levels {
        let limits = &self.allowance.limits;
        if limits.requests_minute.is_none() && limits.tokens_minute.is_none() {
            return Levels::default();
        }
        let mut counts = self.allowance.used.lock();
        counts.drain(limits, now);
        counts.levels(limits)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.allowance.used.lock().in_flight -= 1;
        if let Some((_, account)) = &self.allowance.account {
            *account.lock() -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn allowance(limits: LimitsEntry) -> Arc<Allowance> {
        Arc::new(Allowance {
            limits,
            used: Arc::default(),
            account: None,
        })
    }

    fn requests(limit: u64) -> LimitsEntry {
        LimitsEntry {
            requests_minute: Some(limit),
            ..LimitsEntry::default()
        }
    }

    fn tokens(limit: u64) -> LimitsEntry {
        LimitsEntry {
            tokens_minute: Some(limit),
            ..LimitsEntry::default()
        }
    }

    /// How many of a thousand get in that come at one time, each from a thread of sixteen.
    fn rush(enter: impl Fn(usize) -> bool + Sync) -> usize {
        let start = Barrier::new(16);
        let (start, enter) = (&start, &enter);
        let one = |thread: usize| {
            move || {
                start.wait();
                (thread..1_000).step_by(16).filter(|at| enter(*at)).count()
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|at| scope.spawn(one(at))).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        })
    }

    #[test]
    fn of_a_thousand_at_once_as_many_pass_as_the_limit_says() {
        let now = Instant::now();
        for limit in [1, 7, 100, 999, 5_000] {
            let key = allowance(requests(limit));
            let passed = rush(|_| key.enter(now).is_ok());
            assert_eq!(passed as u64, limit.min(1_000));
        }
    }

    #[test]
    fn of_a_thousand_at_once_as_many_are_under_way_as_the_limit_says() {
        let (now, held) = (Instant::now(), Mutex::new(Vec::new()));
        let limits = LimitsEntry {
            in_flight: Some(10),
            ..LimitsEntry::default()
        };
        let key = allowance(limits);
        let passed = rush(|_| match key.enter(now) {
            Ok(admitted) => {
                held.lock().unwrap().push(admitted);
                true
            }
            Err(reached) => {
                assert_eq!((reached.limit, reached.wait), (Limit::InFlight(10), None));
                false
            }
        });
        assert_eq!(passed, 10);
        held.lock().unwrap().pop();
        assert!(key.enter(now).is_ok());
        held.lock().unwrap().clear();
        // Where each ends at once, all pass.
        assert!(rush(|_| key.enter(now).is_ok()) > 0);
        assert_eq!(key.used.lock().in_flight, 0);
    }

    #[test]
    fn of_a_thousand_at_once_no_more_tokens_are_reserved_than_there_are() {
        let (now, held) = (Instant::now(), Mutex::new(Vec::new()));
        let both = LimitsEntry {
            requests_minute: Some(500),
            ..tokens(1_000)
        };
        let key = allowance(both);
        let passed = rush(|_| {
            let Ok(mut admitted) = key.enter(now) else {
                return false;
            };
            let reserved = admitted.reserve(30, now).is_ok();
            held.lock().unwrap().push(admitted);
            reserved
        });
        assert_eq!(passed, 33);
        let counts = key.used.lock();
        assert_eq!(counts.tokens.level(1_000).remaining, 10);
        // Who was refused for tokens is no request.
        assert_eq!(counts.requests.level(500).remaining, 500 - 33);
    }

    #[test]
    fn an_account_has_a_limit_over_all_its_keys() {
        let (now, account) = (Instant::now(), Arc::<AccountUse>::default());
        let key = || {
            Arc::new(Allowance {
                account: Some((3, Arc::clone(&account))),
                ..Allowance::clone(&allowance(requests(100)))
            })
        };
        let (one, other) = (key(), key());
        let held: Vec<_> = [&one, &other, &one]
            .map(|key| key.enter(now).unwrap())
            .into();
        let reached = other.enter(now).unwrap_err();
        assert_eq!(
            (reached.limit, reached.wait),
            (Limit::AccountInFlight(3), None)
        );
        // What was refused has used nothing of the key's own.
        assert_eq!(
            reached.levels.requests.map(|level| level.remaining),
            Some(99)
        );
        assert_eq!(other.used.lock().in_flight, 1);
        drop(held);
        assert!(other.enter(now).is_ok());
        assert_eq!(*account.lock(), 0);
    }

    #[test]
    fn what_was_used_takes_the_place_of_what_was_reserved() {
        let (now, key) = (Instant::now(), allowance(tokens(1_000)));
        let left = |key: &Arc<Allowance>| key.used.lock().tokens.level(1_000).remaining;
        let mut less = key.enter(now).unwrap();
        less.reserve(400, now).unwrap();
        assert_eq!(left(&key), 600);
        less.settle(50, now);
        assert_eq!(left(&key), 950);
        let mut more = key.enter(now).unwrap();
        more.reserve(100, now).unwrap();
        more.settle(2_000, now);
        assert_eq!(left(&key), 0);
        // The debt is waited for before anything else passes: 1,050 over, and one.
        let reached = key.enter(now).unwrap_err();
        assert_eq!(reached.limit, Limit::Tokens(1_000));
        assert_eq!(reached.wait, Some(Duration::from_millis(63_060)));
        // Not settled, as after a fault: the estimate stands.
        let later = now + Duration::from_secs(600);
        let mut lost = key.enter(later).unwrap();
        lost.reserve(300, later).unwrap();
        drop(lost);
        assert_eq!(left(&key), 700);
    }

    #[test]
    fn the_longest_wait_is_told() {
        let now = Instant::now();
        let limits = LimitsEntry {
            requests_minute: Some(1),
            ..tokens(60)
        };
        let key = allowance(limits);
        let mut admitted = key.enter(now).unwrap();
        admitted.settle(90, now);
        let reached = key.enter(now + Duration::from_secs(1)).unwrap_err();
        // Tokens: 30 over and one to come are 31 s, one of which is over; requests: a minute, less one second.
        assert_eq!(
            (reached.limit, reached.wait),
            (Limit::Requests(1), Some(Duration::from_secs(59)))
        );
        let levels = reached.levels;
        assert_eq!(
            levels.requests.map(|it| (it.limit, it.remaining)),
            Some((1, 0))
        );
        assert_eq!(
            levels.tokens.map(|it| (it.limit, it.remaining)),
            Some((60, 0))
        );
    }

    #[test]
    fn a_limit_that_changes_keeps_what_was_used() {
        let now = Instant::now();
        let wide = allowance(requests(10));
        for _ in 0..6 {
            assert!(wide.enter(now).is_ok());
        }
        let narrow = Arc::new(Allowance {
            limits: requests(4),
            ..Allowance::clone(&wide)
        });
        let reached = narrow.enter(now).unwrap_err();
        // Six used, and room for four in a minute: three have to run out.
        assert_eq!(reached.wait, Some(Duration::from_secs(45)));
        assert!(wide.enter(now).is_ok());
    }
}
