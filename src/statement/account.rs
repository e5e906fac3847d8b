//! An account with its credit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Time;
use crate::access::{self, AccountId};
use crate::money::Credits;
use crate::store::{AccountDetails, Billing};

/// How an account pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pays {
    /// From what it was granted: what is held is never above its balance.
    Prepaid,
    /// Afterwards: its balance may go below zero, down to its limit if it has one.
    Postpaid,
}

impl Pays {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepaid => "prepaid",
            Self::Postpaid => "postpaid",
        }
    }

    /// Both parts of how an account pays.
    #[must_use]
    pub fn of(billing: Billing) -> (Self, Option<Credits>) {
        match billing {
            Billing::Prepaid => (Self::Prepaid, None),
            Billing::Postpaid { limit } => (Self::Postpaid, limit),
        }
    }
}

/// Who pays.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Its number, which no other account ever has.
    pub id: i64,
    /// Its name, which no other account has.
    pub name: String,
    /// How it pays.
    pub billing: Pays,
    /// How far below zero its balance may go; null: it is prepaid, or has no limit.
    pub limit: Option<Credits>,
    /// What it has; below zero is what it owes.
    #[serde(deserialize_with = "super::amount::signed")]
    pub balance: Credits,
    /// What is held of it for requests under way.
    pub held: Credits,
    /// What can be used still; null: without end.
    #[serde(deserialize_with = "super::amount::signed_or_null")]
    pub available: Option<Credits>,
    /// How many requests may be under way at one time, over all its access keys; null: any number.
    pub in_flight: Option<u32>,
    /// When something of what it has expires.
    pub next_expiry: Option<Time>,
    /// How many of its access keys are not revoked.
    pub keys: i64,
    /// When it was made.
    pub created: Time,
    /// When it was closed; its keys are refused since then.
    pub closed: Option<Time>,
}

impl From<&AccountDetails> for Account {
    fn from(details: &AccountDetails) -> Self {
        let (billing, limit) = Pays::of(details.billing);
        Self {
            id: details.account.id.0,
            name: details.account.name.to_string(),
            billing,
            limit,
            balance: details.balance,
            held: details.held,
            available: details.available(),
            in_flight: details.in_flight,
            next_expiry: details.expires.map(Time),
            keys: details.keys,
            created: Time(details.created),
            closed: details.closed.map(Time),
        }
    }
}

impl From<Account> for AccountDetails {
    fn from(told: Account) -> Self {
        Self {
            account: access::Account {
                id: AccountId(told.id),
                name: told.name.into(),
            },
            created: told.created.0,
            closed: told.closed.map(|closed| closed.0),
            billing: match told.billing {
                Pays::Prepaid => Billing::Prepaid,
                Pays::Postpaid => Billing::Postpaid { limit: told.limit },
            },
            in_flight: told.in_flight,
            balance: told.balance,
            held: told.held,
            expires: told.next_expiry.map(|expires| expires.0),
            keys: told.keys,
        }
    }
}
