//! A conversation on the gateway's credential: what is held for the responses that are under way or may begin, and a row
//! for each that is done. `tariff` says what one costs.

mod tariff;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::begin;
use super::{Asker, Charged, Kept};
use crate::ledger::{Caps, Closing, Estimated, Hold, Ledger, Opening, Refused, StoreDown};
use crate::live::Live;
use crate::money::Credits;
use crate::proxy::context::Routed;
use crate::proxy::reject::Code;
use crate::proxy::websocket::{Purse, Stop};
use crate::surface::Surface;
use crate::usage::Report;

pub use tariff::Heard;
use tariff::Tariff;

/// How often the holds of a conversation are made to fit: each time costs a row.
const FITTED_MAX: u32 = 256;

/// The holds of one conversation. Those of responses that are under way come first, and are expected to cost something;
/// the others are not, so that a crash charges nothing that did not happen.
pub struct Till {
    ledger: Arc<Ledger>,
    tariff: Tariff,
    /// The next hold, for a response of the session's longest.
    next: Opening,
    caps: Caps,
    /// The most that the conversation may cost.
    most: Option<Credits>,
    holds: VecDeque<Hold>,
    /// How often a hold was made to fit.
    fitted: u32,
    /// What it has cost.
    charged: Charged,
}

impl Till {
    /// Takes over what is held for the attempt under way, which has become a conversation; none where nothing is.
    #[must_use]
    pub fn open(
        routed: &mut Routed,
        live: &Arc<Live>,
        surface: Surface,
        asker: Asker<'_>,
    ) -> Option<Box<Self>> {
        let open = routed
            .current
            .open
            .take_if(|open| matches!(open.kept, Kept::Held(..)))?;
        let (Kept::Held(hold, bound), ledger) = (open.kept, open.ledger) else {
            return None;
        };
        let candidate = routed.plan.candidate();
        let id = open.upstream_id.as_ref().and_then(|id| id.to_str().ok());
        Some(Box::new(Self {
            ledger,
            // The attempt has been counted.
            next: begin::opening(routed, live, (asker, surface), bound, true),
            tariff: Tariff {
                live: Arc::clone(live),
                provider: candidate.provider,
                model: candidate.model.clone(),
                bound,
                upstream_id: id.map(Into::into),
            },
            caps: begin::caps(asker.caller),
            most: routed.max_cost,
            charged: Charged {
                held: Some(hold.amount()),
                ..Charged::default()
            },
            holds: VecDeque::from([hold]),
            fitted: 0,
        }))
    }

    /// Settles one response of so many that are under way, by what the provider reports.
    pub fn settle(&mut self, report: &Report, heard: Heard, under_way: u32) {
        let closing = self.tariff.reported(report, heard);
        let cost = closing.as_ref().map_or(Credits::ZERO, tariff::cost);
        let Some(hold) = self.pick(cost, under_way) else {
            return;
        };
        match closing {
            Some(closing) => self.charge(hold, closing),
            None => hold.void(self.tariff.nothing()),
        }
    }

    /// The hold for a response that has cost so much. Which of those under way it was is not told by name: the smallest that
    /// pays for it leaves no other short, whichever it was.
    fn pick(&mut self, cost: Credits, under_way: u32) -> Option<Hold> {
        let of = usize::try_from(under_way).unwrap_or(usize::MAX).max(1);
        let amounts = self.holds.iter().take(of).map(Hold::amount).enumerate();
        let best = amounts.min_by_key(|(_, amount)| {
            let short = cost.checked_sub(*amount).filter(|it| *it > Credits::ZERO);
            (short, *amount)
        });
        self.holds.remove(best?.0)
    }

    /// The `nth` response under way may have so many tokens at the most: its hold is made to fit. Where that cannot be had,
    /// it stays what it is, and pays for the beginning.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn fit(&mut self, nth: usize, most: u64) -> Result<(), Stop> {
        let needed = self.tariff.held(most);
        let Some(before) = self.holds.get(nth).map(Hold::amount) else {
            return Ok(());
        };
        if before == needed || (needed < before && self.fitted >= FITTED_MAX) {
            return Ok(());
        }
        self.fitted = self.fitted.saturating_add(1);
        // Past that there is one more at the most: it is never made smaller again.
        let needed = match self.fitted > FITTED_MAX {
            true => self.tariff.bound.hold.max(needed),
            false => needed,
        };
        match self.exchange(nth, needed).await {
            // It is enough.
            Err(_) if needed < before => Ok(()),
            exchanged => exchanged,
        }
    }

    async fn exchange(&mut self, nth: usize, needed: Credits) -> Result<(), Stop> {
        if !self.is_within(needed, Some(nth)) {
            return Err(ABOVE);
        }
        let opening = self.opening(needed);
        let Some(hold) = self.holds.get_mut(nth) else {
            return Ok(());
        };
        let exchanged = hold.exchange(opening, &self.caps, self.tariff.nothing());
        exchanged.await.map_err(|refused| stop(&refused))?;
        self.next.attempt = self.next.attempt.saturating_add(1);
        Ok(())
    }

    /// From now on responses may have so many tokens at the most; so many are under way.
    ///
    /// # Errors
    /// What that takes cannot be had.
    pub async fn fit_all(&mut self, under_way: u32, most: u64) -> Result<(), Stop> {
        self.next.hold = self.tariff.held(most);
        let first = usize::try_from(under_way).unwrap_or(usize::MAX);
        for nth in first..self.holds.len() {
            self.fit(nth, most).await?;
        }
        Ok(())
    }

    /// So many responses are under way.
    pub fn expect(&mut self, under_way: u32, heard: Heard) {
        let mut left = under_way;
        for hold in &mut self.holds {
            let is_due = left > 0;
            left = left.saturating_sub(1);
            match (is_due, hold.expected() > Credits::ZERO) {
                (true, false) => hold.expect(self.tariff.likely(heard)),
                (false, true) => hold.expect(Credits::ZERO),
                _ => {}
            }
        }
    }

    /// Ends the conversation: of its responses so many are under way, which are charged as estimates. What else is held is
    /// given back.
    pub fn end(&mut self, under_way: u32, heard: Heard, reason: Estimated) -> Charged {
        // Which of them what has come is of, nobody knows: the first are taken to be whole.
        let (mut left, mut sound) = (heard.output, heard.sound_output);
        for _ in 0..under_way {
            let Some(hold) = self.holds.pop_front() else {
                break;
            };
            let output = left.min(self.tariff.bound.output_most);
            left -= output;
            let sound_output = sound.min(output);
            sound -= sound_output;
            let one = Heard {
                output,
                sound_output,
                ..heard
            };
            let closing = self.tariff.unseen(one, reason);
            self.charge(hold, closing);
        }
        for hold in self.holds.drain(..) {
            hold.void(self.tariff.nothing());
        }
        self.charged
    }

    /// Ready when all that is held is on the disk.
    ///
    /// # Errors
    /// The store fails.
    pub async fn durable(&self) -> Result<(), StoreDown> {
        for hold in &self.holds {
            hold.durable().await?;
        }
        Ok(())
    }

    /// Whether all that is held is on the disk.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.holds.iter().all(Hold::is_written)
    }

    /// Ready when all that is held is on the disk. A store that fails is waited for as well.
    ///
    /// # Errors
    /// It is not within `at_most`.
    pub async fn written_within(&self, at_most: Duration) -> Result<(), StoreDown> {
        let until = Instant::now() + at_most;
        for hold in &self.holds {
            let left = until.saturating_duration_since(Instant::now());
            hold.written_within(left).await?;
        }
        Ok(())
    }

    fn charge(&mut self, hold: Hold, closing: Closing) {
        let cost = tariff::cost(&closing).min(hold.amount());
        let sum = self.charged.cost.checked_add(cost);
        self.charged.cost = sum.unwrap_or(Credits::MAX);
        self.charged.estimated = closing.estimated.or(self.charged.estimated);
        hold.settle(closing);
    }

    fn opening(&self, amount: Credits) -> Opening {
        Opening {
            hold: amount,
            ..self.next.clone()
        }
    }

    /// Whether so much more is within what the conversation may cost, be it in the place of a hold.
    fn is_within(&self, amount: Credits, instead: Option<usize>) -> bool {
        let Some(most) = self.most else {
            return true;
        };
        let held = self.holds.iter().enumerate();
        let others = held.filter(|(nth, _)| Some(*nth) != instead);
        let mut all = others.map(|(_, hold)| hold.amount()).chain([amount]);
        let sum = all.try_fold(self.charged.cost, Credits::checked_add);
        sum.is_some_and(|sum| sum <= most)
    }
}

impl Purse for Till {
    /// Where the ledger was handed over, its owner is asked, which takes some milliseconds; other tasks go on meanwhile.
    async fn take(&mut self) -> Result<(), Stop> {
        let amount = self.next.hold;
        if !self.is_within(amount, None) {
            return Err(ABOVE);
        }
        let held = self.ledger.obtain(self.opening(amount), &self.caps).await;
        let hold = held.map_err(|refused| stop(&refused))?;
        self.next.attempt = self.next.attempt.saturating_add(1);
        self.holds.push_back(hold);
        Ok(())
    }
}

const ABOVE: Stop = Stop {
    code: Code::SpendCapReached,
    words: "One more response could cost more than Tollgate-Max-Cost or the access key allows for this conversation.",
};

fn stop(refused: &Refused) -> Stop {
    let (code, words) = match refused {
        Refused::Insufficient { .. } => (
            Code::InsufficientCredit,
            "The account has not enough credit available for one more response. Ask the operator for credit.",
        ),
        Refused::CapReached { .. } => (
            Code::SpendCapReached,
            "One more response could take the access key above what it may spend a day or a month.",
        ),
        Refused::Closed => (Code::InsufficientCredit, "The account is closed."),
        Refused::StoreDown => return Stop::STORE,
    };
    Stop { code, words }
}
