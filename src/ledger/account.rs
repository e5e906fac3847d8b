//! An account in memory: its balance, what is held of it, and the grants it was given. Pure arithmetic; every amount is
//! in nano-dollars.
//!
//! What the grants have left together is always the balance, or 0 where that is below zero: whatever takes from the
//! balance takes from the grant that expires first.

use crate::store::{Billing, GrantId};

/// A grant with something left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: GrantId,
    /// What is neither spent nor expired; above 0.
    pub remaining: i64,
    /// The Unix second from which on it cannot be spent.
    pub expires: Option<i64>,
}

/// An account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub(super) billing: Billing,
    pub(super) closed: bool,
    balance: i64,
    held: i64,
    /// Soonest expiry first, then oldest.
    grants: Vec<Grant>,
    /// The sum of what they have left.
    left: i64,
    /// The last Unix second for which it was seen what expires.
    expired_until: i64,
    /// Counts the times that something expired.
    expiries: u64,
    /// What is held by holds older than the last of those times: expired credit is kept for them until they end.
    held_before: i64,
}

/// Credit that is set apart for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    amount: i64,
    expiries: u64,
}

/// Something taken from a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// From which.
    pub grant: GrantId,
    /// How much.
    pub amount: i64,
    /// What is left in it.
    pub remaining: i64,
}

impl Part {
    /// How much.
    pub const fn amount(self) -> i64 {
        self.amount
    }
}

impl Account {
    /// An account as the store has it.
    pub fn new(billing: Billing, closed: bool, balance: i64, mut grants: Vec<Grant>) -> Self {
        grants.retain(|grant| grant.remaining > 0);
        grants.sort_by_key(|grant| (grant.expires.unwrap_or(i64::MAX), grant.id));
        let left = grants.iter().map(|grant| grant.remaining).sum();
        Self {
            billing,
            closed,
            balance,
            grants,
            left,
            expired_until: i64::MIN,
            ..Self::default()
        }
    }

    /// What the store has now, in place of what it had; holds stay. The credit of new grants pays debts first.
    pub fn replace(&mut self, stored: Self) -> Vec<Taken> {
        *self = Self {
            held: self.held,
            // A grant may have been ended at a time that has been looked at.
            expired_until: i64::MIN,
            expiries: self.expiries,
            held_before: self.held_before,
            ..stored
        };
        self.balance_grants()
    }

    /// What is neither spent nor held; `None`: without end.
    pub fn available(&self) -> Option<i64> {
        let below = match self.billing {
            Billing::Prepaid => 0,
            Billing::Postpaid { limit: Some(limit) } => limit.nanos(),
            Billing::Postpaid { limit: None } => return None,
        };
        let free = i128::from(self.balance) + i128::from(below) - i128::from(self.held);
        Some(clamp(free))
    }

    /// What it has; below zero is what it owes.
    pub const fn balance(&self) -> i64 {
        self.balance
    }

    /// What is held of it.
    pub const fn held(&self) -> i64 {
        self.held
    }

    /// Sets `amount` apart, if there is as much.
    ///
    /// # Errors
    /// What there is.
    pub fn hold(&mut self, amount: i64) -> Result<Part, i64> {
        if let Some(available) = self.available()
            && available < amount
        {
            return Err(available);
        }
        self.held = self.held.checked_add(amount).ok_or(0)?;
        Ok(Part {
            amount,
            expiries: self.expiries,
        })
    }

    /// Sets `amount` apart, whatever there is: another process has held it.
    pub const fn adopt(&mut self, amount: i64) -> Part {
        self.held = self.held.saturating_add(amount);
        Part {
            amount,
            expiries: self.expiries,
        }
    }

    /// Ends a hold.
    pub fn release(&mut self, part: Part) {
        self.held -= part.amount;
        if part.expiries != self.expiries {
            self.held_before -= part.amount;
        }
    }

    /// Takes `amount` (not negative) from the balance, and from the grants in their order. Returns what was taken: less
    /// only where a balance could not be written down any more.
    pub fn charge(&mut self, amount: i64) -> (i64, Vec<Taken>) {
        let before = self.balance;
        self.balance = before.saturating_sub(amount);
        (before - self.balance, self.balance_grants())
    }

    /// Takes what has expired at the Unix second `now`, but for what is kept for holds that are older than that.
    pub fn expire(&mut self, now: i64) -> Vec<Taken> {
        let over = |grant: &&Grant| grant.expires.is_some_and(|expires| expires <= now);
        let Some(last) = self.grants.iter().take_while(over).last() else {
            return Vec::new();
        };
        if last.expires > Some(self.expired_until) {
            self.expired_until = now;
            self.expiries += 1;
            self.held_before = self.held;
        }
        let expired: i64 = self
            .grants
            .iter()
            .take_while(over)
            .map(|grant| grant.remaining)
            .sum();
        let free = (expired - self.held_before).max(0);
        self.balance -= free;
        self.take(free)
    }

    /// The next Unix second at which something expires.
    pub fn next_expiry(&self) -> Option<i64> {
        let mut times = self.grants.iter().map_while(|grant| grant.expires);
        times.find(|expires| *expires > self.expired_until)
    }

    /// Takes from the grants what they have above the balance: what a grant was given for that pays a debt.
    pub fn balance_grants(&mut self) -> Vec<Taken> {
        self.take(self.left - self.balance.max(0))
    }

    fn take(&mut self, amount: i64) -> Vec<Taken> {
        let mut due = amount;
        let mut taken = Vec::new();
        for grant in &mut self.grants {
            if due <= 0 {
                break;
            }
            let part = due.min(grant.remaining);
            grant.remaining -= part;
            due -= part;
            taken.push(Taken {
                grant: grant.id,
                amount: part,
                remaining: grant.remaining,
            });
        }
        self.left -= amount.max(0) - due.max(0);
        self.grants.retain(|grant| grant.remaining > 0);
        taken
    }
}

fn clamp(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
