//! A ledger that is handed over, and what its process does from then on: it tells the owner what happens to its rows.

use std::time::{Duration, Instant};

use super::Task;
use crate::ledger::RowId;
use crate::store::StoreError;

/// Pause between two looks for an answer of the owner's, while one is waited for.
pub const ANSWER: Duration = Duration::from_millis(5);

/// Whose the ledger is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// This process's, or not yet.
    #[default]
    Own,
    /// This process's, until what is queued is written; the last number that it keeps for rows.
    Leaving(RowId),
    /// It was handed over.
    Left,
    /// It was handed over, and this process is taken for dead.
    Forgotten,
}

impl Task {
    /// Begins to hand the ledger over if that is asked for and everything that failed is written.
    pub(super) fn leave_if_asked(&mut self) {
        if self.stage != Stage::Own || self.pending.is_some() || !self.ledger.is_to_leave() {
            return;
        }
        let mut books = self.ledger.books();
        self.stage = Stage::Leaving(books.leave());
        // What comes from here on is told, and not written.
        self.pending = Some(books.take());
    }

    /// Hands the ledger over if that has begun. False: the store fails, and it has to be tried again.
    pub(super) fn go_on_leaving(&mut self) -> bool {
        let Stage::Leaving(last) = self.stage else {
            return true;
        };
        if self.pending.is_some() && !self.write() {
            return false;
        }
        let Some(owned) = &mut self.owned else {
            return false;
        };
        match owned.leave(last) {
            Ok(()) => {}
            Err(StoreError::LedgerLost) => {
                self.lost(0);
                return false;
            }
            Err(error) => {
                self.failed(&error);
                return false;
            }
        }
        self.stage = Stage::Left;
        // Nothing need be queued whose writing would show it.
        self.mended();
        self.predecessors = super::Predecessors::default();
        self.ledger.set_predecessors(0);
        self.lock.release();
        self.ledger.has_left();
        log::info!("the ledger is handed over");
        true
    }

    /// Looks for answers of the owner's that somebody waits for.
    pub(super) fn hear_answers(&mut self) {
        if self.stage != Stage::Left || !self.ledger.books().asks() {
            return;
        }
        let Some(owned) = &mut self.owned else {
            return;
        };
        match owned.answers() {
            Ok(answers) => {
                let mut books = self.ledger.books();
                for (row, answer) in answers {
                    books.answered(row, answer);
                }
            }
            Err(error) => {
                let words = format!("what the ledger's owner has answered cannot be read: {error}");
                self.complain(&words);
            }
        }
    }

    /// When answers are to be looked for; `None`: nobody waits for one.
    pub(super) fn next_answer(&self) -> Option<Instant> {
        let waits = self.stage == Stage::Left && self.ledger.books().asks();
        waits.then(|| Instant::now() + ANSWER)
    }
}
