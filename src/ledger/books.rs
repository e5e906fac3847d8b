//! Everything that is changed together: accounts, the spend of keys, and the queue of what is to be written, in the
//! order in which it happened. Behind one lock that nothing slow is done under.

use std::collections::HashMap;

use super::account::{Account, Grant, Part, Taken};
use super::spend::Spend;
use super::{Bound, Caps, Refused, Standing};
use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::money::Credits;
use crate::store::{
    Batch, Book, ChargeTo, Closing, Day, Ended, Expired, Flags, Opened, Opening, RowId,
    StoredAccount,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Books {
    accounts: HashMap<AccountId, Account>,
    keys: HashMap<KeyId, Spend>,
    next_row: i64,
    open: u64,
    queue: Batch,
    /// Whether anybody takes from the queue.
    recording: bool,
}

/// A hold as the books know it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub(super) row: RowId,
    pub(super) account: AccountId,
    pub(super) key: KeyId,
    pub(super) day: Day,
    pub(super) part: Part,
}

/// What is charged, in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Charge {
    model: i64,
    fee: i64,
    absorbed: i64,
}

impl Books {
    pub fn new(accounts: Vec<StoredAccount>) -> Self {
        let accounts = accounts.into_iter();
        Self {
            accounts: accounts.map(|stored| (stored.id, of(&stored))).collect(),
            next_row: 1,
            ..Self::default()
        }
    }

    /// # Errors
    /// See [`Refused`].
    pub fn hold(&mut self, opening: Opening, caps: &Caps, now: i64) -> Result<Held, Refused> {
        let (account, key, day) = (opening.account, opening.key, today(now));
        self.expire(account, now);
        let Some(state) = self.accounts.get_mut(&account) else {
            return Err(Refused::StoreDown);
        };
        if state.closed {
            return Err(Refused::Closed);
        }
        let needed = opening.hold.nanos().max(0);
        let part = state
            .hold(needed)
            .map_err(|available| Refused::Insufficient {
                needed: opening.hold,
                available: Credits::from_nanos(available),
            })?;
        let spend = self.keys.entry(key).or_insert_with(|| Spend::new(day));
        if let Err(refused) = spend.hold(needed, day, caps) {
            state.release(part);
            return Err(refused);
        }
        self.open += 1;
        let row = self.begin(opening, now);
        self.keep();
        Ok(Held {
            row,
            account,
            key,
            day,
            part,
        })
    }

    /// Ends a hold: charges what `closing` says, or nothing.
    pub fn end(&mut self, held: &Held, closing: Closing, void: bool, bound: Bound, now: i64) {
        self.open = self.open.saturating_sub(1);
        if let Some(account) = self.accounts.get_mut(&held.account) {
            account.release(held.part);
        }
        if let Some(spend) = self.keys.get_mut(&held.key) {
            spend.release(held.part.amount, held.day);
        }
        let (mut charge, mut closing) = (Charge::of(&closing, void), closing);
        if bound == Bound::Strict && charge.keep_to(held.part.amount) {
            closing.flags = closing.flags.with(Flags::BOUNDED);
        }
        let charge = self.charge(held.account, held.key, held.day, charge);
        self.finish(held.row, closing, void, charge, now);
        self.expire(held.account, now);
        self.keep();
    }

    /// Writes down an attempt without a hold.
    pub fn record(&mut self, mut opening: Opening, started: i64, closing: Closing, now: i64) {
        (opening.hold, opening.estimate) = (Credits::ZERO, Credits::ZERO);
        let (account, key, day) = (opening.account, opening.key, today(started));
        let row = self.begin(opening, started);
        let charge = self.charge(account, key, day, Charge::of(&closing, false));
        self.finish(row, closing, false, charge, now);
        self.keep();
    }

    pub fn standing(&mut self, account: AccountId, now: i64) -> Option<Standing> {
        self.expire(account, now);
        let account = self.accounts.get(&account)?;
        Some(Standing {
            billing: account.billing,
            closed: account.closed,
            balance: Credits::from_nanos(account.balance()),
            held: Credits::from_nanos(account.held()),
            available: account.available().map(Credits::from_nanos),
        })
    }

    fn keep(&mut self) {
        if !self.recording {
            self.queue = Batch::default();
        }
    }

    fn begin(&mut self, opening: Opening, started: i64) -> RowId {
        let id = RowId(self.next_row);
        self.next_row += 1;
        self.queue.opened.push(Opened {
            id,
            started,
            opening,
        });
        id
    }

    fn charge(&mut self, account: AccountId, key: KeyId, day: Day, mut charge: Charge) -> Charge {
        let book = Book::of(account);
        if charge.total() > 0 {
            let state = self.accounts.entry(account).or_default();
            let (taken, grants) = state.charge(charge.total());
            charge.keep_to(taken);
            self.note(&grants);
            let spend = self.keys.entry(key).or_insert_with(|| Spend::new(day));
            spend.charge(taken, day);
            *self.queue.spend.entry((day, key)).or_default() += taken;
        }
        self.queue.transfer(book, Book::COST, charge.model);
        self.queue.transfer(book, Book::FEES, charge.fee);
        self.queue
            .transfer(Book::OPERATOR, Book::COST, charge.absorbed);
        charge
    }

    fn finish(&mut self, id: RowId, closing: Closing, void: bool, charge: Charge, now: i64) {
        self.queue.ended.push(Ended {
            id,
            ended: now,
            void,
            charged: charge.model,
            fee: charge.fee,
            absorbed: charge.absorbed,
            closing,
        });
    }

    /// Takes back what has expired of an account's credit.
    fn expire(&mut self, id: AccountId, now: i64) {
        let at = now.div_euclid(1_000);
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let taken = account.expire(at);
        self.note(&taken);
        for part in taken {
            self.queue
                .transfer(Book::of(id), Book::EXPIRED, part.amount);
            self.queue.expired.push(Expired {
                account: id,
                grant: part.grant,
                amount: part.amount,
                at,
            });
        }
    }

    fn note(&mut self, taken: &[Taken]) {
        let left = taken.iter().map(|part| (part.grant, part.remaining));
        self.queue.grants.extend(left);
    }
}

impl Charge {
    fn of(closing: &Closing, void: bool) -> Self {
        if void {
            return Self::default();
        }
        let (model, fee) = (closing.model.nanos().max(0), closing.fee.nanos().max(0));
        match closing.charge_to {
            ChargeTo::Account => Self {
                model,
                fee,
                absorbed: 0,
            },
            ChargeTo::Operator => Self {
                absorbed: model,
                ..Self::default()
            },
        }
    }

    const fn total(&self) -> i64 {
        self.model.saturating_add(self.fee)
    }

    /// Brings the total down to `most`: the operator bears what the model costs above it, and goes without the rest of
    /// the fee. Says whether there was anything above.
    fn keep_to(&mut self, most: i64) -> bool {
        if self.total() <= most {
            return false;
        }
        self.fee = self.fee.min(most);
        let model = self.model.min(most - self.fee);
        self.absorbed = self.absorbed.saturating_add(self.model - model);
        self.model = model;
        true
    }
}

const fn today(millis: i64) -> Day {
    Day::of(millis.div_euclid(1_000))
}

fn of(stored: &StoredAccount) -> Account {
    let grants = stored.grants.iter().map(|grant| Grant {
        id: grant.id,
        remaining: grant.remaining,
        expires: grant.expires,
    });
    Account::new(
        stored.billing,
        stored.closed,
        stored.balance,
        grants.collect(),
    )
}
