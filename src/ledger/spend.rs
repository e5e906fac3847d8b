//! What an access key was charged and has held in the day and the month (UTC) that it is, for its caps. A charge belongs
//! to the day on which its attempt began, so that an attempt over midnight counts once.

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::{Caps, Refused};
use crate::money::Credits;
use crate::store::Day;

/// The stretches of time that a cap is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// A day, UTC.
    Day,
    /// A calendar month, UTC.
    Month,
}

/// What an access key has used of its caps: what was charged and is held, and the Unix second at which the next time
/// begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Of the day, UTC.
    pub day: (Credits, i64),
    /// Of the calendar month, UTC.
    pub month: (Credits, i64),
}

/// One access key's.
#[derive(Clone, Debug)]
pub struct Spend {
    day: Sum,
    month: Sum,
    /// What was charged for days behind the one at hand: of a request after midnight that nothing was held for, or, once a
    /// clock was set back, of a process before this one.
    later: Vec<(Day, i64)>,
}

/// What belongs to the days from `first` up to `end`, in nano-dollars.
#[derive(Clone, Debug)]
struct Sum {
    first: Day,
    end: Day,
    charged: i64,
    held: i64,
}

impl Spend {
    /// Nothing yet on `today`.
    pub fn new(today: Day) -> Self {
        Self {
            day: Sum::new(today, Day(today.0 + 1)),
            month: Sum::month(today),
            later: Vec::new(),
        }
    }

    /// Makes room for `amount` on `today`.
    ///
    /// # Errors
    /// A cap is reached.
    pub fn hold(&mut self, amount: i64, today: Day, caps: &Caps) -> Result<(), Refused> {
        self.affords(amount, today, caps)?;
        self.day.held = self.day.held.saturating_add(amount);
        self.month.held = self.month.held.saturating_add(amount);
        Ok(())
    }

    /// Whether there is room for `amount` on `today`.
    ///
    /// # Errors
    /// A cap is reached.
    pub fn affords(&mut self, amount: i64, today: Day, caps: &Caps) -> Result<(), Refused> {
        self.turn(today);
        self.day.check(amount, caps.day, Window::Day)?;
        self.month.check(amount, caps.month, Window::Month)
    }

    /// Goes on with a hold of another process that began on `began`. Returns the day for which it is held: that, or
    /// `today` where another clock was ahead.
    pub fn adopt(&mut self, amount: i64, began: Day, today: Day) -> Day {
        self.turn(today);
        let on = began.min(today);
        for sum in self.of(on) {
            sum.held = sum.held.saturating_add(amount);
        }
        on
    }

    /// Ends a hold of `began`.
    pub fn release(&mut self, held: i64, began: Day) {
        for sum in self.of(began) {
            sum.held -= held;
        }
    }

    /// Counts what was charged for `began`.
    pub fn charge(&mut self, amount: i64, began: Day) {
        for sum in self.of(began) {
            sum.add(amount);
        }
        if began >= self.day.end {
            match self.later.iter_mut().find(|(day, _)| *day == began) {
                Some((_, sum)) => *sum = sum.saturating_add(amount),
                None => self.later.push((began, amount)),
            }
        }
    }

    /// What is used of the day and the month that it is.
    pub fn told(&mut self, today: Day) -> Spent {
        self.turn(today);
        Spent {
            day: self.day.told(),
            month: self.month.told(),
        }
    }

    /// Begins a new day, and month, if it is one. Days before the one at hand never come again.
    pub fn turn(&mut self, today: Day) {
        if today >= self.month.end {
            self.month = Sum::month(today);
            self.month.add_all(&self.later);
        }
        if today >= self.day.end {
            self.day = Sum::new(today, Day(today.0 + 1));
            self.day.add_all(&self.later);
            self.later.retain(|(day, _)| *day > today);
        }
    }

    fn of(&mut self, began: Day) -> impl Iterator<Item = &mut Sum> {
        [&mut self.day, &mut self.month]
            .into_iter()
            .filter(move |sum| sum.has(began))
    }
}

impl Sum {
    const fn new(first: Day, end: Day) -> Self {
        Self {
            first,
            end,
            charged: 0,
            held: 0,
        }
    }

    fn month(today: Day) -> Self {
        let first = month_of(today);
        let length = date(today).map_or(1, |date| i64::from(date.days_in_month()));
        Self::new(first, Day(first.0 + length))
    }

    fn told(&self) -> (Credits, i64) {
        let used = self.charged.saturating_add(self.held);
        (Credits::from_nanos(used), self.end.begins())
    }

    fn has(&self, day: Day) -> bool {
        self.first <= day && day < self.end
    }

    const fn add(&mut self, amount: i64) {
        self.charged = self.charged.saturating_add(amount);
    }

    /// Adds what of `charged` belongs to its days.
    fn add_all(&mut self, charged: &[(Day, i64)]) {
        for (day, amount) in charged {
            if self.has(*day) {
                self.add(*amount);
            }
        }
    }

    fn check(&self, amount: i64, cap: Option<Credits>, window: Window) -> Result<(), Refused> {
        let Some(cap) = cap else {
            return Ok(());
        };
        let sum = i128::from(self.charged) + i128::from(self.held) + i128::from(amount);
        if sum <= i128::from(cap.nanos()) {
            return Ok(());
        }
        Err(Refused::CapReached {
            window,
            cap,
            resets: self.end.begins(),
        })
    }
}

/// The first day of the month of `day`.
pub fn month_of(day: Day) -> Day {
    date(day).map_or(day, |date| Day(day.0 + 1 - i64::from(date.day())))
}

/// `None` past the year 9999.
fn date(day: Day) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(day.0.days()).ok()
}
