//! Credit that was given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Time;
use crate::access::AccountId;
use crate::money::Credits;
use crate::store::{GrantId, GrantRow, NewGrant};

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// Its number.
    pub id: i64,
    /// The number of the account it was given to.
    pub account: i64,
    /// How much was given.
    pub amount: Credits,
    /// What of it is neither spent nor expired.
    pub remaining: Credits,
    /// When it was made.
    pub created: Time,
    /// From when on it cannot be spent.
    pub expires: Option<Time>,
    /// What for.
    pub note: String,
    /// By what it is recognised when it is asked for again.
    pub idempotency_key: Option<String>,
}

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Self {
        Self {
            id: row.id.0,
            account: row.grant.account.0,
            amount: row.grant.amount,
            remaining: row.remaining,
            created: Time(row.created),
            expires: row.grant.expires.map(Time),
            note: row.grant.note,
            idempotency_key: row.grant.idempotency,
        }
    }
}

impl From<Grant> for GrantRow {
    fn from(told: Grant) -> Self {
        Self {
            id: GrantId(told.id),
            grant: NewGrant {
                account: AccountId(told.account),
                amount: told.amount,
                expires: told.expires.map(|expires| expires.0),
                note: told.note,
                idempotency: told.idempotency_key,
            },
            remaining: told.remaining,
            created: told.created.0,
        }
    }
}
