//! Books whose ledger is another process's already, or not this one's yet. Of a ledger that was handed over, rows go on
//! to their end, to be told to its owner; balances are what they were, without what others do.

use tokio::sync::oneshot;

use super::{Books, Held, QUEUE_MAX, State, today};
use crate::ledger::spend::{Spend, Window};
use crate::ledger::{Caps, Closing, Opening, Refused};
use crate::money::Credits;
use crate::store::{Answer, Asked, AskedCaps, RowId};

/// Row numbers that a process keeps for what comes after it has left: more than it can use before its end.
const KEPT: i64 = 1 << 20;

/// A row that has ended before there was a ledger to write it to.
#[derive(Debug)]
pub struct Early {
    pub opening: Opening,
    pub started: i64,
    pub closing: Closing,
    pub void: bool,
}

impl Books {
    /// The ledger is to be another's: nothing is held here from now on. Returns the last number that is kept for rows of
    /// this process.
    pub fn leave(&mut self) -> RowId {
        self.disown();
        let last = RowId(self.next_row.saturating_add(KEPT));
        self.left = Some(last);
        last
    }

    /// Whether the ledger is another's, and what is to be held is asked of it.
    pub const fn has_left(&self) -> bool {
        self.left.is_some()
    }

    /// Whether there is a number for another row.
    pub(super) fn has_number(&self) -> bool {
        self.left.is_none_or(|last| self.next_row <= last.0)
    }

    /// Begins a row that the owner is asked to hold. The answer comes when it is given.
    ///
    /// # Errors
    /// [`Refused::StoreDown`]: nothing can be asked.
    pub fn ask(
        &mut self,
        opening: Opening,
        caps: &Caps,
        now: i64,
    ) -> Result<(Held, oneshot::Receiver<Answer>), Refused> {
        if !self.has_left() || !self.is_up() || !self.has_number() {
            return Err(Refused::StoreDown);
        }
        let (amount, day) = (opening.hold.nanos(), today(now));
        let part = self.accounts.entry(opening.account).or_default();
        let part = part.adopt(amount);
        let spend = self.keys.entry(opening.key);
        let spend = spend.or_insert_with(|| Spend::new(day));
        spend.adopt(amount, day, day);
        let held = self.begin_hold(opening, part, now);
        let caps = AskedCaps::of(caps.day, caps.month);
        self.queue.between.asked.push(Asked {
            row: held.row,
            caps,
        });
        let (told, answer) = oneshot::channel();
        self.asking.insert(held.row, told);
        Ok((held, answer))
    }

    /// Whether an answer is waited for.
    pub fn asks(&self) -> bool {
        !self.asking.is_empty()
    }

    /// The owner has answered.
    pub fn answered(&mut self, row: RowId, answer: Answer) {
        if let Some(waits) = self.asking.remove(&row) {
            // Who gave up waiting has ended the row.
            let _ = waits.send(answer);
        }
    }

    /// Nobody waits for that answer any more.
    pub fn give_up(&mut self, row: RowId) {
        self.asking.remove(&row);
    }

    /// Forgets a row that the owner does not hold: it has deleted it.
    pub fn forget(&mut self, held: &Held) {
        if self.has(held) {
            self.release_own(held);
        }
    }

    /// Keeps a row until there is a ledger to write it to. False: there is no room.
    pub fn keep_early(&mut self, row: Early) -> bool {
        let has_room = self.early.len() < QUEUE_MAX;
        if has_room {
            self.early.push(row);
        }
        has_room
    }

    /// What was kept.
    pub fn take_early(&mut self) -> Vec<Early> {
        std::mem::take(&mut self.early)
    }

    /// Whether the ledger was not read yet.
    pub fn waits(&self) -> bool {
        self.state == State::Waiting
    }
}

/// Why something is not held, of what was answered; `None`: it is.
pub fn refusal(answer: Answer, needed: Credits, caps: &Caps) -> Option<Refused> {
    Some(match answer {
        Answer::Held => return None,
        Answer::Insufficient { available } => Refused::Insufficient {
            needed,
            available: Credits::from_nanos(available),
        },
        Answer::CapReached { month, resets } => {
            let (window, cap) = match month {
                false => (Window::Day, caps.day),
                true => (Window::Month, caps.month),
            };
            Refused::CapReached {
                window,
                cap: cap.unwrap_or_default(),
                resets,
            }
        }
        Answer::Closed => Refused::Closed,
        Answer::Unknown => Refused::StoreDown,
    })
}
