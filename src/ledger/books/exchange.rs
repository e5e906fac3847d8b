//! One hold in the place of another, in one step: what the old one gives back is there for the new one, and for nobody else
//! in between.

use super::{Books, Held, Row, Spend, set_apart, today};
use crate::ledger::{Caps, Closing, Opening, Refused};

impl Books {
    /// Ends `old` for nothing, and holds `opening` in its place, for the same account and key. Both are queued together,
    /// so that they come to the disk in one transaction. Returns the row that has ended, too.
    ///
    /// # Errors
    /// See [`Refused`]; nothing has changed then.
    pub fn exchange(
        &mut self,
        old: &Held,
        opening: &Opening,
        closing: &Closing,
        caps: &Caps,
        now: i64,
    ) -> Result<(Held, Option<Row>), Refused> {
        if !self.is_up() || self.has_left() || !self.has(old) {
            return Err(Refused::StoreDown);
        }
        let opening = Opening {
            account: old.account,
            key: old.key,
            ..opening.clone()
        };
        let needed = opening.hold.nanos();
        self.could_hold(old, needed, caps, now)?;
        let ended = self.end(old, closing.clone(), true, now);
        // It was seen to be there.
        let part = self.accounts.entry(old.account).or_default().adopt(needed);
        let day = today(now);
        let spend = self.keys.entry(old.key);
        spend
            .or_insert_with(|| Spend::new(day))
            .adopt(needed, day, day);
        Ok((self.begin_hold(opening, part, now), ended))
    }

    /// Whether `needed` could be held if `old` were not. That is tried on copies: credit that has expired and is kept for the
    /// old hold alone goes with it, and is not there for the new one.
    fn could_hold(
        &mut self,
        old: &Held,
        needed: i64,
        caps: &Caps,
        now: i64,
    ) -> Result<(), Refused> {
        self.expire(old.account, now);
        let Some(mut account) = self.accounts.get(&old.account).cloned() else {
            return Err(Refused::StoreDown);
        };
        let known = self.keys.get(&old.key).cloned();
        let mut spend = known.unwrap_or_else(|| Spend::new(today(now)));
        account.release(old.part);
        spend.release(old.part.amount(), old.day);
        account.expire(now.div_euclid(1_000));
        set_apart(&mut account, &mut spend, needed, caps, today(now)).map(drop)
    }
}
