//! Holds of processes that had the ledger before and live still: they stay held until those have told how they have
//! ended, or are gone.

use super::{Books, QUEUE_MAX, Row, today};
use crate::ledger::account::Part;
use crate::ledger::ages::Since;
use crate::ledger::charge::Charge;
use crate::ledger::spend::{Spend, Window};
use crate::ledger::{Caps, Estimated, Recovered, Refused};
use crate::money::Credits;
use crate::store::{
    Answer, Answered, AskedCaps, Day, HeldRow, RowId, Settled, Told, ToldRow, Word,
};

/// A hold of another process.
#[derive(Debug)]
pub struct Adopted {
    row: HeldRow,
    /// Whose.
    generation: i64,
    part: Part,
    /// The day on which it is held for the caps of its key.
    held_on: Day,
    since: Since,
}

/// Who tells something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// The number of the process.
    pub generation: i64,
    /// Whether it is gone: what it asked for was not sent, and never will be.
    pub gone: bool,
}

impl Books {
    /// Goes on holding what another process has held.
    pub fn adopt(&mut self, row: HeldRow, generation: i64, now: i64) {
        let part = self.accounts.entry(row.account).or_default();
        let part = part.adopt(row.held);
        let (began, day) = (today(row.started), today(now));
        let held_on = row.key.map_or(day, |key| {
            let spend = self.keys.entry(key).or_insert_with(|| Spend::new(day));
            spend.adopt(row.held, began, day)
        });
        self.keep(row, generation, part, held_on, now);
    }

    /// Takes over what another process has told. A row that has ended by it is returned, with why its counts are
    /// estimates.
    pub fn hear(
        &mut self,
        from: Speaker,
        told: Told,
        now: i64,
    ) -> Option<(Row, Option<Estimated>)> {
        self.events += 1;
        let heard = &mut self.queue.between.heard;
        heard.insert(from.generation, told.serial);
        match told.what {
            Word::Asked(caps) => {
                let answer = match told.stands {
                    Some(row) if !from.gone => self.answer(row.held, caps, from, now),
                    _ => Answer::Unknown,
                };
                self.urgent = true;
                self.queue.between.answers.push(Answered {
                    generation: from.generation,
                    serial: told.serial,
                    row: told.row,
                    answer,
                });
                None
            }
            Word::Ended { void } => {
                let row = told.stands?;
                let reason = row.estimated.filter(|_| !void);
                Some((self.end_told(row, void, now), reason))
            }
        }
    }

    /// What a process has open still, in the order in which it began.
    pub fn adopted_of(&self, generation: i64) -> Vec<RowId> {
        let open = self.adopted.values();
        let open = open.filter(|adopted| adopted.generation == generation);
        let mut open: Vec<_> = open.map(|adopted| adopted.row.id).collect();
        open.sort_unstable();
        open
    }

    /// Ends what a process has left open that is gone, and that was last taken to cost `estimate`.
    pub fn end_adopted(
        &mut self,
        row: RowId,
        estimate: Option<i64>,
        rule: Recovered,
        now: i64,
    ) -> Option<Row> {
        let mut row = self.release(row)?;
        row.estimate = estimate.unwrap_or(row.estimate);
        Some(self.recover(&row, rule, now))
    }

    /// Nothing more comes of a process, and nothing of it is open.
    pub fn depart(&mut self, generation: i64) {
        self.events += 1;
        self.queue.between.departed.push(generation);
    }

    /// Whether no more is to be heard before what is queued is written.
    pub fn has_heard_enough(&self) -> bool {
        self.queue.len() >= QUEUE_MAX
    }

    /// Lets go of what was adopted: it is another's now.
    pub(super) fn disown(&mut self) {
        let adopted: Vec<_> = self.adopted.keys().copied().collect();
        for id in adopted {
            self.release(id);
        }
    }

    fn answer(&mut self, row: HeldRow, caps: AskedCaps, from: Speaker, now: i64) -> Answer {
        let caps = Caps {
            day: caps.day.map(Credits::from_nanos),
            month: caps.month.map(Credits::from_nanos),
        };
        let Some(key) = row.key else {
            return Answer::Unknown;
        };
        match self.reserve(row.account, key, row.held, &caps, now) {
            Ok(part) => {
                self.keep(row, from.generation, part, today(now), now);
                Answer::Held
            }
            Err(refused) => answer(refused),
        }
    }

    fn keep(&mut self, row: HeldRow, generation: i64, part: Part, held_on: Day, now: i64) {
        self.open += 1;
        let since = self.ages.begin(row.started.min(now));
        let adopted = Adopted {
            generation,
            part,
            held_on,
            since,
            row,
        };
        self.adopted.insert(adopted.row.id, adopted);
    }

    /// Holds nothing for it any more.
    fn release(&mut self, id: RowId) -> Option<HeldRow> {
        let adopted = self.adopted.remove(&id)?;
        self.open = self.open.saturating_sub(1);
        self.ages.end(adopted.since);
        let row = adopted.row;
        if let Some(account) = self.accounts.get_mut(&row.account) {
            account.release(adopted.part);
        }
        if let Some(spend) = row.key.and_then(|key| self.keys.get_mut(&key)) {
            spend.release(adopted.part.amount(), adopted.held_on);
        }
        Some(row)
    }

    fn end_told(&mut self, told: ToldRow, void: bool, now: i64) -> Row {
        self.release(told.held.id);
        let ToldRow { held: row, .. } = told;
        let charge = match void {
            true => Charge::default(),
            false => Charge {
                model: told.charged.max(0),
                fee: told.fee.max(0),
                absorbed: told.absorbed.max(0),
            },
        };
        let charge = self.charge(row.account, row.key, today(row.started), charge);
        self.queue.between.settled.push(Settled {
            row: row.id,
            void,
            charged: charge.model,
            fee: charge.fee,
            absorbed: charge.absorbed,
        });
        self.expire(row.account, now);
        Row {
            charged: charge.total(),
            flags: told.flags,
        }
    }
}

fn answer(refused: Refused) -> Answer {
    match refused {
        Refused::Insufficient { available, .. } => Answer::Insufficient {
            available: available.nanos(),
        },
        Refused::CapReached { window, resets, .. } => Answer::CapReached {
            month: window == Window::Month,
            resets,
        },
        Refused::Closed => Answer::Closed,
        Refused::StoreDown => Answer::Unknown,
    }
}
