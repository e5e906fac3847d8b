//! The movements of money, in the order in which they happened.

use sqlx::{QueryBuilder, Sqlite};

use crate::access::AccountId;
use crate::money::Credits;

use super::batch::Book;
use super::used::Cost;
use super::{GrantId, RowId, Store, StoreError};

/// What moved money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// A grant, or what expired of one.
    Transfer {
        /// Its number.
        id: i64,
        /// From this book
        debit: Book,
        /// to this one
        credit: Book,
        /// went this much
        amount: Credits,
        /// because of this grant.
        grant: GrantId,
    },
    /// An attempt.
    Usage {
        /// The number of its row.
        id: RowId,
        /// The request's id.
        request: String,
        /// Who pays.
        account: AccountId,
        /// How much.
        cost: Cost,
    },
}

/// A movement of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// What it was.
    pub moved: Moved,
}

/// The place of a movement among all: by time, transfers before attempts, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// Whether it is an attempt.
    pub usage: bool,
    /// Its number.
    pub id: i64,
}

impl Movement {
    /// Its place.
    #[must_use]
    pub fn place(&self) -> Place {
        let (usage, id) = match &self.moved {
            Moved::Transfer { id, .. } => (false, *id),
            Moved::Usage { id, .. } => (true, id.0),
        };
        Place {
            at: self.at,
            usage,
            id,
        }
    }

    /// From which book to which how much went; what is nothing is left out.
    #[must_use]
    pub fn postings(&self) -> Vec<(Book, Book, Credits)> {
        match &self.moved {
            Moved::Transfer {
                debit,
                credit,
                amount,
                ..
            } => vec![(*debit, *credit, *amount)],
            Moved::Usage { account, cost, .. } => {
                let account = Book::of(*account);
                let all = [
                    (account, Book::COST, cost.charged),
                    (account, Book::FEES, cost.fee),
                    (Book::OPERATOR, Book::COST, cost.absorbed),
                ];
                let some = |(_, _, amount): &(Book, Book, Credits)| *amount != Credits::ZERO;
                all.into_iter().filter(some).collect()
            }
        }
    }
}

/// Which movements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Those at this Unix millisecond or later.
    pub from: Option<i64>,
    /// Those before this Unix millisecond.
    pub to: Option<i64>,
    /// Those of an account.
    pub account: Option<AccountId>,
}

/// Number, request, account, Unix millisecond, charged, fee, absorbed.
type ChargeColumns = (i64, String, i64, i64, i64, i64, i64);

impl Store {
    /// At most `limit` movements behind the place `after`, in their order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn journal(
        &self,
        moves: &Moves,
        after: Place,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError> {
        let mut all = self.transfers(moves, after, limit).await?;
        all.extend(self.charges(moves, after, limit).await?);
        all.sort_by_key(Movement::place);
        all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(all)
    }

    async fn transfers(
        &self,
        moves: &Moves,
        after: Place,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, debit, credit, amount, of_grant, at FROM transfers WHERE (at * 1000 > ",
        );
        query.push_bind(after.at);
        if !after.usage {
            query.push(" OR at * 1000 = ").push_bind(after.at);
            query.push(" AND id > ").push_bind(after.id);
        }
        query.push(")");
        if let Some(from) = moves.from {
            query.push(" AND at * 1000 >= ").push_bind(from);
        }
        if let Some(to) = moves.to {
            query.push(" AND at * 1000 < ").push_bind(to);
        }
        if let Some(account) = moves.account {
            query.push(" AND (debit = ").push_bind(account.0);
            query.push(" OR credit = ").push_bind(account.0).push(")");
        }
        query
            .push(" ORDER BY at, id LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<(i64, i64, i64, i64, i64, i64)> =
            query.build_query_as().fetch_all(&self.pool).await?;
        let movement = |(id, debit, credit, amount, grant, at)| Movement {
            at: i64::saturating_mul(at, 1000),
            moved: Moved::Transfer {
                id,
                debit: Book(debit),
                credit: Book(credit),
                amount: Credits::from_nanos(amount),
                grant: GrantId(grant),
            },
        };
        Ok(rows.into_iter().map(movement).collect())
    }

    async fn charges(
        &self,
        moves: &Moves,
        after: Place,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError> {
        let from = moves.from.unwrap_or(i64::MIN).max(after.at);
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, request, account, ended, charged, fee, absorbed FROM usage \
             WHERE state <> 0 AND (charged <> 0 OR fee <> 0 OR absorbed <> 0) AND ended >= ",
        );
        query
            .push_bind(from)
            .push(" AND (ended > ")
            .push_bind(after.at);
        query.push(" OR id > ");
        query
            .push_bind(if after.usage { after.id } else { i64::MIN })
            .push(")");
        if let Some(to) = moves.to {
            query.push(" AND ended < ").push_bind(to);
        }
        if let Some(account) = moves.account {
            // The plus keeps SQLite from going through all rows of the account, and sorting them, for every page.
            query.push(" AND +account = ").push_bind(account.0);
        }
        query
            .push(" ORDER BY ended, id LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<ChargeColumns> = query.build_query_as().fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(charge).collect())
    }
}

fn charge(columns: ChargeColumns) -> Movement {
    let (id, request, account, ended, charged, fee, absorbed) = columns;
    Movement {
        at: ended,
        moved: Moved::Usage {
            id: RowId(id),
            request,
            account: AccountId(account),
            cost: Cost {
                charged: Credits::from_nanos(charged),
                fee: Credits::from_nanos(fee),
                absorbed: Credits::from_nanos(absorbed),
            },
        },
    }
}

#[cfg(test)]
pub(super) mod tests;
