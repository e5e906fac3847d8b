//! Usage rows, read: which of them, one by one ([`rows`]) and added up ([`sums`]).

mod rows;
mod sums;

use sqlx::{QueryBuilder, Sqlite};

use crate::access::AccountId;
use crate::access::key::KeyId;

pub use rows::{Cost, RowState, Tokens, UsageRow};
pub use sums::{By, Sum};

/// Which rows; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Those that began at this Unix millisecond or later.
    pub from: Option<i64>,
    /// Those that began before this Unix millisecond.
    pub to: Option<i64>,
    /// Those of an account.
    pub account: Option<AccountId>,
    /// Those of an access key.
    pub key: Option<KeyId>,
    /// Those of a provider.
    pub provider: Option<String>,
    /// Those of a model, as its provider calls it.
    pub model: Option<String>,
    /// Those with a provider key of this source.
    pub credential: Option<&'static str>,
}

impl Used {
    /// As [`Used::push`], for rows that have ended: by that there is an index, and what begins later also ends later.
    fn push_ended(&self, query: &mut QueryBuilder<Sqlite>) {
        if let Some(from) = self.from {
            query.push(" AND u.ended >= ").push_bind(from);
        }
        self.push(query);
    }

    /// ` AND …` for each of them.
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        if let Some(from) = self.from {
            query.push(" AND u.started >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND u.started < ").push_bind(to);
        }
        if let Some(account) = self.account {
            query.push(" AND u.account = ").push_bind(account.0);
        }
        if let Some(key) = &self.key {
            query
                .push(" AND u.access_key = ")
                .push_bind(key.to_string());
        }
        if let Some(provider) = &self.provider {
            query.push(" AND u.provider = ").push_bind(provider.clone());
        }
        if let Some(model) = &self.model {
            query.push(" AND u.model = ").push_bind(model.clone());
        }
        if let Some(credential) = self.credential {
            query.push(" AND u.credential = ").push_bind(credential);
        }
    }
}

#[cfg(test)]
mod tests;
