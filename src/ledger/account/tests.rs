//! An account against a slow twin, which keeps every hold and looks at all of them each time.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::money::Credits;

/// Something that happens to an account.
#[derive(Clone, Debug)]
enum Step {
    /// A grant, that expires after so many seconds.
    Grant(i64, Option<i64>),
    Hold(i64),
    /// The hold of this place (of those that are open), and what is charged of it in percent.
    Settle(usize, i64),
    Void(usize),
    /// Something is charged for which nothing was held.
    Fee(i64),
    /// Seconds go by.
    Wait(i64),
    /// An operator ends the newest grant.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..100_i64, proptest::option::of(1..50_i64)).prop_map(|(amount, expires)| Step::Grant(amount, expires)),
        6 => (0..60_i64).prop_map(Step::Hold),
        4 => (any::<usize>(), 0..=100_i64).prop_map(|(place, part)| Step::Settle(place, part)),
        2 => any::<usize>().prop_map(Step::Void),
        1 => (1..40_i64).prop_map(Step::Fee),
        4 => (1..20_i64).prop_map(Step::Wait),
        1 => Just(Step::End),
    ]
}

struct Twin {
    billing: Billing,
    balance: i64,
    /// Expiry, number, what is left; in the order in which they are spent.
    grants: Vec<(i64, i64, i64)>,
    /// Amount, and whether something has expired since it began.
    holds: Vec<(i64, bool)>,
    /// Grants whose expiry was seen.
    seen: Vec<i64>,
}

impl Twin {
    fn available(&self) -> Option<i64> {
        let held: i64 = self.holds.iter().map(|hold| hold.0).sum();
        match self.billing {
            Billing::Prepaid => Some(self.balance - held),
            Billing::Postpaid { limit } => limit.map(|limit| self.balance + limit.nanos() - held),
        }
    }

    fn spend(&mut self) {
        while self.grants.iter().map(|grant| grant.2).sum::<i64>() > self.balance.max(0) {
            let first = self.grants.iter_mut().find(|grant| grant.2 > 0);
            first.expect("something is left").2 -= 1;
        }
    }

    fn expire(&mut self, now: i64) {
        let over = |grant: &&(i64, i64, i64)| grant.0 <= now && grant.2 > 0;
        let news: Vec<i64> = self
            .grants
            .iter()
            .filter(over)
            .map(|grant| grant.1)
            .collect();
        if news.iter().any(|id| !self.seen.contains(id)) {
            self.holds.iter_mut().for_each(|hold| hold.1 = true);
        }
        self.seen.extend(news);
        loop {
            let expired: i64 = self.grants.iter().filter(over).map(|grant| grant.2).sum();
            let kept: i64 = self
                .holds
                .iter()
                .filter(|hold| hold.1)
                .map(|hold| hold.0)
                .sum();
            if expired <= kept {
                return;
            }
            self.balance -= 1;
            let first = self.grants.iter_mut().find(|grant| grant.2 > 0);
            first.expect("something is left").2 -= 1;
        }
    }
}

/// Both at once.
struct Pair {
    account: Account,
    parts: Vec<Part>,
    twin: Twin,
    now: i64,
    grants: i64,
}

impl Pair {
    fn new(billing: Billing) -> Self {
        Self {
            account: Account::new(billing, false, 0, Vec::new()),
            parts: Vec::new(),
            twin: Twin {
                billing,
                balance: 0,
                grants: Vec::new(),
                holds: Vec::new(),
                seen: Vec::new(),
            },
            now: 0,
            grants: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Grant(amount, expires) => self.grant(amount, expires),
            Step::Hold(amount) => {
                let fits = self
                    .twin
                    .available()
                    .is_none_or(|available| available >= amount);
                let part = self.account.hold(amount);
                assert_eq!(part.is_ok(), fits);
                if let Ok(part) = part {
                    self.parts.push(part);
                    self.twin.holds.push((amount, false));
                }
            }
            Step::Settle(place, percent) => {
                if let Some(amount) = self.release(place) {
                    self.charge(amount * percent / 100);
                }
            }
            Step::Void(place) => drop(self.release(place)),
            Step::Fee(amount) => self.charge(amount),
            Step::Wait(seconds) => self.now += seconds,
            Step::End => {
                let now = self.now;
                let grants = &mut self.twin.grants;
                if let Some(newest) = grants.iter_mut().max_by_key(|grant| grant.1) {
                    newest.0 = newest.0.min(now);
                }
                grants.sort_unstable();
                self.reload();
            }
        }
        self.account.expire(self.now);
        self.twin.expire(self.now);
    }

    fn grant(&mut self, amount: i64, expires: Option<i64>) {
        self.grants += 1;
        let expires = expires.map_or(i64::MAX, |after| self.now + after);
        self.twin.grants.push((expires, self.grants, amount));
        self.twin.grants.sort_unstable();
        self.twin.balance += amount;
        self.reload();
        self.twin.spend();
    }

    /// As after a change of an operator: the account is read anew.
    fn reload(&mut self) {
        // Whatever has expired is seen as new.
        self.twin.seen.clear();
        let left = self.account.left;
        let grants = self
            .twin
            .grants
            .iter()
            .map(|(expires, id, remaining)| Grant {
                id: GrantId(*id),
                remaining: *remaining,
                expires: (*expires < i64::MAX).then_some(*expires),
            });
        let stored = Account::new(
            self.twin.billing,
            false,
            self.twin.balance,
            grants.collect(),
        );
        self.account.replace(stored);
        assert!(self.account.left >= left.min(self.account.balance.max(0)));
    }

    fn release(&mut self, place: usize) -> Option<i64> {
        let place = place.checked_rem(self.parts.len())?;
        self.account.release(self.parts.swap_remove(place));
        Some(self.twin.holds.swap_remove(place).0)
    }

    fn charge(&mut self, amount: i64) {
        self.account.charge(amount);
        self.twin.balance -= amount;
        self.twin.spend();
    }

    fn compare(&self) {
        let left: i64 = self.twin.grants.iter().map(|grant| grant.2).sum();
        let held: i64 = self.twin.holds.iter().map(|hold| hold.0).sum();
        assert_eq!(self.account.balance(), self.twin.balance);
        assert_eq!(self.account.held(), held);
        assert_eq!(self.account.available(), self.twin.available());
        assert_eq!(self.account.left, left);
        assert_eq!(left, self.twin.balance.max(0), "grants are the balance");
        let kept = |grant: &Grant| {
            (
                grant.expires.unwrap_or(i64::MAX),
                grant.id.0,
                grant.remaining,
            )
        };
        let kept: Vec<_> = self.account.grants.iter().map(kept).collect();
        let theirs: Vec<_> = self
            .twin
            .grants
            .iter()
            .filter(|grant| grant.2 > 0)
            .copied()
            .collect();
        assert_eq!(kept, theirs);
    }
}

proptest! {
    #[test]
    fn an_account_is_what_its_history_makes_it(steps in vec(step(), 1..60)) {
        let mut pair = Pair::new(Billing::Prepaid);
        for step in &steps {
            pair.take(step);
            pair.compare();
        }
    }

    #[test]
    fn what_is_held_of_a_prepaid_account_it_has(steps in vec(step(), 1..60)) {
        let mut pair = Pair::new(Billing::Prepaid);
        for step in steps.iter().filter(|step| !matches!(step, Step::Fee(_))) {
            pair.take(step);
            let (held, balance) = (pair.account.held(), pair.account.balance());
            prop_assert!(held <= balance, "{} of {}", held, balance);
        }
    }

    #[test]
    fn a_postpaid_account_keeps_to_its_limit(steps in vec(step(), 1..60), limit in 0..100_i64) {
        let mut pair = Pair::new(Billing::Postpaid { limit: Some(Credits::from_nanos(limit)) });
        for step in steps.iter().filter(|step| !matches!(step, Step::Fee(_) | Step::End)) {
            pair.take(step);
            pair.compare();
        }
    }
}
