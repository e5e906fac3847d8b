//! Those who had the ledger before and live still: what they have told is taken over, and what they have left is ended
//! when they are gone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Stage, Task};
use crate::ledger::alive;
use crate::ledger::books::Speaker;
use crate::store::{Generation, HEARD_MAX, StoreError};

/// Pause between two looks at what predecessors have told, while there are any. A look at an unchanged store costs some
/// microseconds, and nothing of the disk.
const HEAR: Duration = Duration::from_millis(10);

/// Pause between two looks at whether they live.
const PROBE: Duration = Duration::from_millis(250);

/// A process that had the ledger before.
#[derive(Debug)]
pub struct Predecessor {
    id: i64,
    /// Up to where it was heard.
    serial: i64,
    gone: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Predecessors {
    all: Vec<Predecessor>,
    heard: Option<Instant>,
    probed: Option<Instant>,
    /// Whether there may be more to be heard, changed or not.
    unheard: bool,
}

impl Predecessors {
    /// When they are to be heard next; `None`: there are none.
    pub fn next(&self) -> Option<Instant> {
        let last = self.heard.filter(|_| !self.all.is_empty())?;
        Some(last + HEAR)
    }
}

impl Task {
    /// Begins to hear the processes `before` this one, of which `living` live still, all that they have told up to now.
    /// One that has not handed the ledger over has lost it: nothing more comes of it.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn succeed(
        &mut self,
        before: &[Generation],
        living: &HashSet<i64>,
    ) -> Result<(), StoreError> {
        let predecessor = |it: &Generation| Predecessor {
            id: it.id,
            serial: 0,
            gone: it.last.is_none() || !living.contains(&it.id),
        };
        self.predecessors = Predecessors {
            all: before.iter().map(predecessor).collect(),
            ..Predecessors::default()
        };
        self.hear_all()
    }

    /// Which of the processes before this one live.
    pub(super) fn living(&self, before: &[Generation]) -> HashSet<i64> {
        let ids = before.iter().map(|it| it.id);
        ids.filter(|id| self.lives(*id)).collect()
    }

    /// Hears the predecessors, if it is time.
    pub(super) fn hear(&mut self) {
        let is_due = |at| at <= Instant::now();
        // While something waits to be tried again, or is another's already, nothing more is taken over.
        let may = self.stage == Stage::Own && self.pending.is_none();
        if !may || !self.predecessors.next().is_some_and(is_due) {
            return;
        }
        self.predecessors.heard = Some(Instant::now());
        // Before what it told is read: all that a process has told that is gone is there.
        let anybody_gone = self.probe();
        if let Err(error) = self.hear_if_changed(anybody_gone) {
            self.predecessors.unheard = true;
            self.complain(&format!(
                "what a process before this one has told cannot be read: {error}"
            ));
        }
    }

    fn hear_if_changed(&mut self, anybody_gone: bool) -> Result<(), StoreError> {
        let Some(owned) = &mut self.owned else {
            return Ok(());
        };
        let changed = owned.was_changed()?;
        if changed || anybody_gone || self.predecessors.unheard {
            self.hear_all()?;
        }
        Ok(())
    }

    /// Looks which of them are gone. True: somebody is.
    fn probe(&mut self) -> bool {
        let lately = |at: Instant| at.elapsed() < PROBE;
        if self.predecessors.probed.is_some_and(lately) {
            return false;
        }
        self.predecessors.probed = Some(Instant::now());
        let mut all = std::mem::take(&mut self.predecessors.all);
        for predecessor in &mut all {
            predecessor.gone = predecessor.gone || !self.lives(predecessor.id);
        }
        let anybody_gone = all.iter().any(|predecessor| predecessor.gone);
        self.predecessors.all = all;
        anybody_gone
    }

    fn lives(&self, id: i64) -> bool {
        alive::lives(&self.file, id).unwrap_or_else(|error| {
            log::warn!("whether a process before this one lives is not known: {error}");
            true
        })
    }

    fn hear_all(&mut self) -> Result<(), StoreError> {
        self.predecessors.unheard = false;
        self.predecessors.heard = Some(Instant::now());
        let mut all = std::mem::take(&mut self.predecessors.all);
        let mut result = Ok(());
        all.retain_mut(|predecessor| {
            let heard = match result {
                Ok(()) => self.hear_one(predecessor),
                Err(_) => return true,
            };
            match heard {
                Ok(true) if predecessor.gone => match self.depart(predecessor.id) {
                    Ok(()) => false,
                    Err(error) => {
                        result = Err(error);
                        true
                    }
                },
                Ok(all) => {
                    self.predecessors.unheard |= !all;
                    true
                }
                Err(error) => {
                    result = Err(error);
                    true
                }
            }
        });
        self.predecessors.all = all;
        self.ledger.set_predecessors(self.predecessors.all.len());
        result
    }

    /// True: that was all that it has told.
    fn hear_one(&mut self, predecessor: &mut Predecessor) -> Result<bool, StoreError> {
        let speaker = Speaker {
            generation: predecessor.id,
            gone: predecessor.gone,
        };
        loop {
            let Some(owned) = &mut self.owned else {
                return Ok(false);
            };
            let told = owned.told(predecessor.id, predecessor.serial)?;
            let more = told.len() >= HEARD_MAX as usize;
            if let Some(last) = told.last() {
                predecessor.serial = last.serial;
                self.ledger.hear(speaker, told);
            }
            if !more {
                return Ok(true);
            }
            if self.ledger.books().has_heard_enough() {
                return Ok(false);
            }
        }
    }

    fn depart(&mut self, id: i64) -> Result<(), StoreError> {
        let Some(owned) = &mut self.owned else {
            return Ok(());
        };
        // What a row is taken to cost may have changed since it was adopted.
        let estimates = owned.estimates()?;
        super::taking::told_settled(self.ledger.depart(id, &estimates));
        Ok(())
    }
}
