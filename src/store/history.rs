//! What happened to the balance of an account: grants, what expired of them, and what each day cost.

use crate::access::AccountId;
use crate::money::Credits;

use super::batch::{Book, Day};
use super::{GrantId, Store, StoreError};

/// A day of an account, or a grant of it, or what expired of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Credit was given.
    Granted {
        /// When, in Unix seconds.
        at: i64,
        /// How much.
        amount: Credits,
        /// By which grant.
        grant: GrantId,
        /// What for.
        note: String,
    },
    /// Credit expired.
    Expired {
        /// When, in Unix seconds.
        at: i64,
        /// How much.
        amount: Credits,
        /// Of which grant.
        grant: GrantId,
    },
    /// Attempts that ended on a day.
    Used {
        /// The day.
        day: Day,
        /// How many cost something.
        attempts: i64,
        /// What the account was charged for models.
        charged: Credits,
        /// What it was charged as fees.
        fee: Credits,
    },
}

impl Line {
    /// When it was, or ended, in Unix seconds.
    fn at(&self) -> i64 {
        match self {
            Self::Granted { at, .. } | Self::Expired { at, .. } => *at,
            Self::Used { day, .. } => Day(day.0 + 1).begins() - 1,
        }
    }

    /// By how much the balance changed, in nano-dollars.
    #[must_use]
    pub fn change(&self) -> i64 {
        match self {
            Self::Granted { amount, .. } => amount.nanos(),
            Self::Expired { amount, .. } => -amount.nanos(),
            Self::Used { charged, fee, .. } => -charged.nanos().saturating_add(fee.nanos()),
        }
    }
}

/// An account over some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Its balance before the first line.
    pub opening: Credits,
    /// What happened, in order; usage day by day, at the end of the day.
    pub lines: Vec<Line>,
    /// Its balance after the last line.
    pub closing: Credits,
}

/// Number, debit, credit, amount, grant, Unix second, note of the grant.
type TransferColumns = (i64, i64, i64, i64, i64, i64, String);

/// Day, attempts, charged, fee.
type DayColumns = (i64, i64, i64, i64);

impl Store {
    /// What happened to an account from the day `from` on, up to and without the day `to`; usage is added up by day.
    ///
    /// # Errors
    /// [`StoreError::UnknownAccount`], or the store fails.
    pub async fn history(
        &self,
        account: AccountId,
        from: Option<Day>,
        to: Option<Day>,
    ) -> Result<History, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let known: Option<(i64,)> = sqlx::query_as("SELECT amount FROM balances WHERE book = $1")
            .bind(account.0)
            .fetch_optional(&mut *transaction)
            .await?;
        known.ok_or(StoreError::UnknownAccount(account.0))?;
        let transfers: Vec<TransferColumns> = sqlx::query_as(
            "SELECT t.id, t.debit, t.credit, t.amount, t.of_grant, t.at, g.note \
             FROM transfers t JOIN grants g ON g.id = t.of_grant WHERE g.account = $1",
        )
        .bind(account.0)
        .fetch_all(&mut *transaction)
        .await?;
        let days: Vec<DayColumns> = sqlx::query_as(
            "SELECT ended / 86400000, COUNT(*), SUM(charged), SUM(fee) FROM usage \
             WHERE account = $1 AND state <> 0 AND (charged <> 0 OR fee <> 0) GROUP BY 1",
        )
        .bind(account.0)
        .fetch_all(&mut *transaction)
        .await?;
        let mut lines: Vec<Line> = transfers.into_iter().map(of_grant).collect();
        lines.extend(days.into_iter().map(of_day));
        // Stable: what happened in one second stays in the order in which it was written.
        lines.sort_by_key(Line::at);
        Ok(within(lines, from, to))
    }
}

fn of_grant((_, debit, _, amount, grant, at, note): TransferColumns) -> Line {
    let (amount, grant) = (Credits::from_nanos(amount), GrantId(grant));
    if Book(debit) == Book::GRANTED {
        Line::Granted {
            at,
            amount,
            grant,
            note,
        }
    } else {
        Line::Expired { at, amount, grant }
    }
}

fn of_day((day, attempts, charged, fee): DayColumns) -> Line {
    Line::Used {
        day: Day(day),
        attempts,
        charged: Credits::from_nanos(charged),
        fee: Credits::from_nanos(fee),
    }
}

/// The lines of those days, with the balances before and after them.
fn within(lines: Vec<Line>, from: Option<Day>, to: Option<Day>) -> History {
    let begins = from.map_or(i64::MIN, Day::begins);
    let ends = to.map_or(i64::MAX, Day::begins);
    let sum = |lines: &[Line]| {
        let changes = lines.iter().map(|line| i128::from(line.change()));
        i64::try_from(changes.sum::<i128>()).unwrap_or_default()
    };
    let start = lines.partition_point(|line| line.at() < begins);
    let end = lines.partition_point(|line| line.at() < ends).max(start);
    History {
        opening: Credits::from_nanos(sum(&lines[..start])),
        closing: Credits::from_nanos(sum(&lines[..end])),
        lines: lines[start..end].to_vec(),
    }
}

#[cfg(test)]
mod tests;
