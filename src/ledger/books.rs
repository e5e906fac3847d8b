//! Everything that is changed together: accounts, the spend of keys, and the queue of what is to be written, in the
//! order in which it happened. Behind one lock that nothing slow is done under.

mod adopted;
mod exchange;
mod left;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use adopted::Speaker;
pub use left::{Early, refusal};

use adopted::Adopted;

use super::account::{Account, Grant, Part, Taken};
use super::ages::{Ages, Since};
use super::charge::{CHARGE_MAX, Charge};
use super::spend::{Spend, Spent};
use super::{Caps, Estimated, Flags, Recovered, Refused, Standing};
use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::money::Credits;
use crate::store::{
    Answer, Batch, Beginning, Book, Closing, Day, Ended, Expired, HeldRow, Opened, Opening, RowId,
    StoredAccount,
};

/// Rows that wait to be written at the most: half a minute of 2,000 a second. Past it nothing is held, and rows without
/// a hold are lost, and counted.
pub const QUEUE_MAX: usize = 65_536;

/// A transaction that takes longer means that the store is down for new holds.
pub const STALL: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub struct Books {
    accounts: HashMap<AccountId, Account>,
    keys: HashMap<KeyId, Spend>,
    next_row: i64,
    open: u64,
    /// Since when those have been open.
    ages: Ages,
    queue: Batch,
    /// Counts what was put into the queue.
    events: u64,
    /// Counts the times that the books were read from the store. What was held before is not known any more: the store
    /// was another process's meanwhile, which has ended it.
    generation: u32,
    state: State,
    /// Since when the writer has been busy with one transaction.
    writing: Option<Instant>,
    /// A Unix second before which nothing expires.
    next_expiry: Option<i64>,
    /// Whether a hold is queued, which somebody waits for.
    urgent: bool,
    sleep: Sleep,
    /// Holds of processes that had the ledger before.
    adopted: HashMap<RowId, Adopted>,
    /// The last number for a row, once the ledger was handed over.
    left: Option<RowId>,
    /// Rows that its owner is asked to hold then, and who waits for the answer.
    asking: HashMap<RowId, oneshot::Sender<Answer>>,
    /// What has ended before the ledger was this process's.
    early: Vec<Early>,
}

/// What the writer is to be woken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    /// Nothing: it is awake, or knows when it has to be.
    #[default]
    None,
    /// A hold.
    Light,
    /// Anything.
    Deep,
}

/// Whether anything can be held, and is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The ledger is another process's, or has not been read yet.
    #[default]
    Waiting,
    /// The store takes what is written.
    Up,
    /// It does not.
    Down,
    /// Nothing is written.
    InMemory,
}

/// A hold as the books know it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub(super) row: RowId,
    pub(super) account: AccountId,
    pub(super) key: KeyId,
    pub(super) day: Day,
    pub(super) part: Part,
    strict: bool,
    since: Since,
    /// The event that it is.
    pub(super) event: u64,
    generation: u32,
}

/// A row that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What the account was charged, in nano-dollars.
    pub charged: i64,
    /// What else is to be known of it.
    pub flags: Flags,
}

impl Row {
    fn of(charge: &Charge, closing: &Closing) -> Self {
        Self {
            charged: charge.total(),
            flags: closing.flags,
        }
    }
}

impl Books {
    /// Begins, or begins anew, with what the store has.
    pub fn begin(&mut self, from: Beginning, now: i64) {
        *self = Self {
            next_row: from.next_row,
            events: self.events,
            generation: self.generation.wrapping_add(1),
            state: self.state,
            early: self.take_early(),
            ..Self::default()
        };
        for stored in from.accounts {
            let mut account = of(&stored);
            // The process before may have ended before it had seen a grant to an account that owed something.
            let taken = account.balance_grants();
            self.note(&taken);
            self.accounts.insert(stored.id, account);
        }
        for (day, key, amount) in from.spend {
            let spend = self.keys.entry(key);
            let spend = spend.or_insert_with(|| Spend::new(today(now)));
            spend.charge(amount, day);
        }
        self.next_expiry = self.earliest_expiry();
    }

    /// Ends a hold that another process left behind.
    pub fn recover(&mut self, row: &HeldRow, rule: Recovered, now: i64) -> Row {
        let amount = match rule {
            Recovered::Estimate => row.estimate.min(row.held),
            Recovered::Hold => row.held,
            Recovered::Void => 0,
        };
        let closing = Closing {
            model: Credits::from_nanos(amount),
            estimated: Some(Estimated::Recovered),
            outcome: "recovered",
            ..Closing::default()
        };
        let charge = Charge::of(&closing, rule == Recovered::Void);
        let day = today(row.started);
        let charge = self.charge(row.account, row.key, day, charge);
        // The clock may have been set back since.
        let ended = now.max(row.started);
        let told = Row::of(&charge, &closing);
        self.finish(row.id, closing, rule == Recovered::Void, charge, ended);
        told
    }

    /// Takes over what an operator has changed. `accounts` are as the store has them when everything but the queue is
    /// written.
    pub fn apply(&mut self, accounts: Vec<StoredAccount>) {
        for mut stored in accounts {
            let unwritten = self.queue.moves.get(&Book::of(stored.id));
            stored.balance = stored
                .balance
                .saturating_add(unwritten.copied().unwrap_or_default());
            for grant in &mut stored.grants {
                if let Some(left) = self.queue.grants.get(&grant.id) {
                    grant.remaining = *left;
                }
            }
            let account = self.accounts.entry(stored.id).or_default();
            let taken = account.replace(of(&stored));
            self.events += u64::from(!taken.is_empty());
            self.note(&taken);
        }
        self.next_expiry = self.earliest_expiry();
    }

    /// # Errors
    /// See [`Refused`].
    pub fn hold(&mut self, opening: Opening, caps: &Caps, now: i64) -> Result<Held, Refused> {
        if !self.is_up() || self.has_left() {
            return Err(Refused::StoreDown);
        }
        let (account, key, needed) = (opening.account, opening.key, opening.hold.nanos());
        let part = self.reserve(account, key, needed, caps, now)?;
        Ok(self.begin_hold(opening, part, now))
    }

    /// Sets `needed` apart, of the account and of what the key may be charged.
    ///
    /// # Errors
    /// See [`Refused`].
    fn reserve(
        &mut self,
        account: AccountId,
        key: KeyId,
        needed: i64,
        caps: &Caps,
        now: i64,
    ) -> Result<Part, Refused> {
        self.expire(account, now);
        let Some(state) = self.accounts.get_mut(&account) else {
            return Err(Refused::StoreDown);
        };
        let day = today(now);
        let spend = self.keys.entry(key).or_insert_with(|| Spend::new(day));
        set_apart(state, spend, needed, caps, day)
    }

    /// Begins the row of what was set apart.
    fn begin_hold(&mut self, opening: Opening, part: Part, now: i64) -> Held {
        let (account, key, strict) = (opening.account, opening.key, opening.strict);
        self.open += 1;
        let since = self.ages.begin(now);
        self.urgent = true;
        let row = self.open_row(opening, now);
        Held {
            row,
            account,
            key,
            day: today(now),
            part,
            strict,
            since,
            event: self.events,
            generation: self.generation,
        }
    }

    /// From now on a hold is taken to cost `estimate`, if nobody sees its end. Returns the event that it is.
    pub fn expect(&mut self, held: &Held, estimate: Credits) -> Option<u64> {
        if !self.has(held) {
            return None;
        }
        self.events += 1;
        if self.state != State::InMemory {
            self.queue.expect(held.row, estimate);
            self.urgent = true;
        }
        Some(self.events)
    }

    /// Whether a hold is of these books, and not of those that were given up.
    pub const fn has(&self, held: &Held) -> bool {
        held.generation == self.generation
    }

    /// Ends a hold: charges what `closing` says, or nothing. `None`: the hold is not known any more.
    pub fn end(&mut self, held: &Held, mut closing: Closing, void: bool, now: i64) -> Option<Row> {
        if !self.has(held) {
            return None;
        }
        self.release_own(held);
        let mut charge = Charge::of(&closing, void);
        let most = match held.strict {
            true => held.part.amount(),
            false => CHARGE_MAX,
        };
        if charge.keep_to(most) {
            closing.flags = closing.flags.with(Flags::BOUNDED);
        }
        let charge = self.charge(held.account, Some(held.key), held.day, charge);
        let row = Row::of(&charge, &closing);
        self.finish(held.row, closing, void, charge, now);
        self.expire(held.account, now);
        Some(row)
    }

    fn release_own(&mut self, held: &Held) {
        self.open = self.open.saturating_sub(1);
        self.ages.end(held.since);
        if let Some(account) = self.accounts.get_mut(&held.account) {
            account.release(held.part);
        }
        if let Some(spend) = self.keys.get_mut(&held.key) {
            spend.release(held.part.amount(), held.day);
        }
    }

    /// Writes down an attempt without a hold. `None`: the row is lost, and nothing was charged.
    pub fn record(&mut self, row: Early, now: i64) -> Option<Row> {
        match self.waits() {
            true => None,
            false => self.record_now(row, now),
        }
    }

    /// As [`Books::record`], also while the store was not written yet.
    pub fn record_now(&mut self, row: Early, now: i64) -> Option<Row> {
        if self.queue.len() >= QUEUE_MAX || !self.has_number() {
            return None;
        }
        let Early {
            mut opening,
            started,
            closing,
            void,
        } = row;
        (opening.hold, opening.estimate) = (Credits::ZERO, Credits::ZERO);
        let (account, key, day) = (opening.account, opening.key, today(started));
        let row = self.open_row(opening, started);
        let mut charge = Charge::of(&closing, void);
        charge.keep_to(CHARGE_MAX);
        let charge = self.charge(account, Some(key), day, charge);
        let ended = Row::of(&charge, &closing);
        self.finish(row, closing, void, charge, now);
        Some(ended)
    }

    /// Whether an account can pay so much, within the caps of a key.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn affords(
        &mut self,
        account: AccountId,
        key: KeyId,
        amount: Credits,
        caps: &Caps,
        now: i64,
    ) -> Result<(), Refused> {
        self.expire(account, now);
        let Some(state) = self.accounts.get(&account) else {
            return Ok(());
        };
        if state.closed {
            return Err(Refused::Closed);
        }
        if let Some(available) = state.available().filter(|it| *it < amount.nanos()) {
            return Err(Refused::Insufficient {
                needed: amount,
                available: Credits::from_nanos(available),
            });
        }
        let day = today(now);
        let spend = self.keys.entry(key).or_insert_with(|| Spend::new(day));
        spend.affords(amount.nanos(), day, caps)
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

    /// What a key has used of the day and the month that it is.
    pub fn spent(&mut self, key: KeyId, now: i64) -> Spent {
        let day = today(now);
        match self.keys.get_mut(&key) {
            Some(spend) => spend.told(day),
            None => Spend::new(day).told(day),
        }
    }

    /// The Unix second at which something of what an account has expires.
    pub fn next_expiry_of(&self, account: AccountId) -> Option<i64> {
        self.accounts.get(&account)?.next_expiry()
    }

    /// Takes back what has expired, of all accounts.
    pub fn expire_due(&mut self, now: i64) {
        let due = |expires: i64| expires <= now.div_euclid(1_000);
        if !self.next_expiry.is_some_and(due) {
            return;
        }
        let accounts = self.accounts.iter();
        let over: Vec<_> = accounts
            .filter(|(_, account)| account.next_expiry().is_some_and(due))
            .map(|(id, _)| *id)
            .collect();
        for account in over {
            self.expire(account, now);
        }
        self.next_expiry = self.earliest_expiry();
    }

    /// What is to be written now, and the last event in it.
    pub fn take(&mut self) -> (Batch, u64) {
        self.urgent = false;
        let next = self.queue.like();
        (std::mem::replace(&mut self.queue, next), self.events)
    }

    /// The pace at which what is queued is to be written: `urgent` where somebody waits for it.
    pub fn wanted<T>(&self, urgent: T, lazy: T) -> Option<T> {
        match (self.queue.is_empty(), self.urgent) {
            (true, _) => None,
            (false, true) => Some(urgent),
            (false, false) => Some(lazy),
        }
    }

    /// The writer goes to sleep.
    pub fn sleep(&mut self) {
        self.sleep = match self.wanted(Sleep::None, Sleep::Light) {
            Some(sleep) => sleep,
            None => Sleep::Deep,
        };
    }

    /// The writer is awake, or is being woken.
    pub const fn wake(&mut self) {
        self.sleep = Sleep::None;
    }

    /// Whether the writer has to be woken for what was queued last; it is asked once.
    pub fn must_wake(&mut self) -> bool {
        let wake = match self.sleep {
            Sleep::None => false,
            Sleep::Light => self.urgent,
            Sleep::Deep => !self.queue.is_empty(),
        };
        if wake {
            self.wake();
        }
        wake
    }

    /// Returns the state before.
    pub const fn replace_state(&mut self, state: State) -> State {
        std::mem::replace(&mut self.state, state)
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// The writer begins a transaction, or has ended it.
    pub const fn set_writing(&mut self, since: Option<Instant>) {
        self.writing = since;
    }

    /// Forgets what is to be written, which another process has seen to. Returns the rows that it was.
    pub fn lose(&mut self) -> usize {
        let rows = self.queue.len();
        *self = Self {
            events: self.events,
            generation: self.generation.wrapping_add(1),
            ..Self::default()
        };
        rows
    }

    /// What has happened so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Holds that are open.
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// The Unix millisecond since which the oldest hold has been open, to a few seconds.
    pub fn oldest(&self) -> Option<i64> {
        self.ages.oldest()
    }

    /// Rows that wait to be written.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether anything can be held.
    pub fn is_up(&self) -> bool {
        let stalled = || self.writing.is_some_and(|since| since.elapsed() > STALL);
        match self.state {
            State::InMemory => true,
            State::Up => self.queue.len() < QUEUE_MAX && !stalled(),
            State::Waiting | State::Down => false,
        }
    }

    fn open_row(&mut self, opening: Opening, started: i64) -> RowId {
        let id = RowId(self.next_row);
        self.next_row += 1;
        self.events += 1;
        if self.state != State::InMemory {
            self.queue.opened.push(Opened {
                id,
                started,
                opening,
            });
        }
        id
    }

    /// Moves what is charged. Less is charged than was asked for only where a balance could not be written any more.
    fn charge(
        &mut self,
        account: AccountId,
        key: Option<KeyId>,
        day: Day,
        mut charge: Charge,
    ) -> Charge {
        if charge.total() > 0 {
            let state = self.accounts.entry(account).or_default();
            let (taken, grants) = state.charge(charge.total());
            charge.keep_to(taken);
            self.note(&grants);
            if let Some(key) = key {
                let spend = self.keys.entry(key).or_insert_with(|| Spend::new(day));
                spend.charge(taken, day);
                *self.queue.spend.entry((day, key)).or_default() += taken;
            }
        }
        self.queue
            .transfer(Book::of(account), Book::COST, charge.model);
        self.queue
            .transfer(Book::of(account), Book::FEES, charge.fee);
        self.queue
            .transfer(Book::OPERATOR, Book::COST, charge.absorbed);
        charge
    }

    fn finish(&mut self, id: RowId, closing: Closing, void: bool, charge: Charge, now: i64) {
        self.events += 1;
        if self.state == State::InMemory {
            self.queue = Batch::default();
            return;
        }
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
            self.events += 1;
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

    fn earliest_expiry(&self) -> Option<i64> {
        self.accounts
            .values()
            .filter_map(Account::next_expiry)
            .min()
    }
}

/// Sets `needed` apart, of an account and of what a key may be charged. Where that cannot be, nothing has changed.
fn set_apart(
    account: &mut Account,
    spend: &mut Spend,
    needed: i64,
    caps: &Caps,
    day: Day,
) -> Result<Part, Refused> {
    if account.closed {
        return Err(Refused::Closed);
    }
    let insufficient = |available| Refused::Insufficient {
        needed: Credits::from_nanos(needed),
        available: Credits::from_nanos(available),
    };
    if needed > CHARGE_MAX {
        return Err(insufficient(CHARGE_MAX));
    }
    let part = account.hold(needed).map_err(insufficient)?;
    if let Err(refused) = spend.hold(needed, day, caps) {
        account.release(part);
        return Err(refused);
    }
    Ok(part)
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
