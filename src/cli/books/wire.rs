//! What the admin API answers of keys, as the store has it.

use serde::Deserialize;

use crate::access::key::KeyId;
use crate::access::policy::PolicyEntry;
use crate::access::{self, AccountId};
use crate::byok::Stored;
use crate::byok::seal::Sealed;
use crate::cli::keys::CliError;
use crate::statement::time::Time;
use crate::store::KeyRow;

#[derive(Deserialize)]
struct Payer {
    id: i64,
    name: String,
}

impl From<Payer> for access::Account {
    fn from(told: Payer) -> Self {
        Self {
            id: AccountId(told.id),
            name: told.name.into(),
        }
    }
}

/// An access key.
#[derive(Deserialize)]
pub(super) struct Key {
    id: String,
    name: String,
    account: Payer,
    state: String,
    created: Time,
    expires: Option<Time>,
    revoked: Option<Time>,
    policy: Option<PolicyEntry>,
    /// Of one that was made just now.
    pub(super) access_key: Option<String>,
}

impl Key {
    pub(super) fn row(self) -> Result<KeyRow, CliError> {
        Ok(KeyRow {
            id: self.id.parse::<KeyId>().map_err(no_answer)?,
            name: self.name,
            account: self.account.into(),
            enabled: self.state != "disabled",
            created: self.created.0,
            expires: self.expires.map(|expires| expires.0),
            revoked: self.revoked.map(|revoked| revoked.0),
            policy: self.policy,
        })
    }
}

/// A stored provider key.
#[derive(Deserialize)]
pub(super) struct ProviderKey {
    id: String,
    account: Payer,
    provider: String,
    name: String,
    hint: String,
    state: String,
    position: i64,
    weight: Option<u32>,
    fallback: bool,
    created: Time,
    updated: Time,
    master_key: String,
}

impl ProviderKey {
    /// As the store has it, but for the sealed key, which no answer holds.
    pub(super) fn row(self) -> Result<Stored, CliError> {
        Ok(Stored {
            id: self.id.parse().map_err(|_| no_answer("an id"))?,
            account: self.account.into(),
            provider: self.provider.into(),
            name: self.name.into(),
            position: self.position,
            weight: self.weight,
            enabled: self.state == "enabled",
            fallback: self.fallback,
            created: self.created.0,
            updated: self.updated.0,
            hint: self.hint.into(),
            sealed: Sealed {
                master: self
                    .master_key
                    .parse()
                    .map_err(|_| no_answer("a master key"))?,
                nonce: Default::default(),
                text: Vec::new(),
            },
        })
    }
}

/// What came of sealing keys anew.
#[derive(Deserialize)]
pub(super) struct Resealed {
    pub(super) moved: usize,
    pub(super) already: usize,
    pub(super) unusable: Vec<Unusable>,
}

/// A key that no master key opens.
#[derive(Deserialize)]
pub(super) struct Unusable {
    pub(super) id: String,
    pub(super) reason: String,
}

/// What a check of the books found.
#[derive(Deserialize)]
pub(super) struct Checked {
    pub(super) books: i64,
    pub(super) grants: i64,
    pub(super) rows: i64,
    pub(super) open: i64,
    pub(super) faults: Vec<String>,
}

/// A grant that was asked for.
#[derive(Deserialize)]
pub(super) struct Granted {
    #[serde(flatten)]
    pub(super) grant: crate::statement::grant::Grant,
    pub(super) made: bool,
}

/// Sums of usage.
#[derive(Deserialize)]
pub(super) struct Usage {
    pub(super) lines: Vec<crate::statement::usage::Line>,
    pub(super) truncated: bool,
}

/// A movement of money.
#[derive(Deserialize)]
pub(super) struct Moved {
    pub(super) postings: Vec<crate::statement::journal::Posting>,
}

fn no_answer(what: impl std::fmt::Display) -> CliError {
    CliError::Argument(format!("the gateway's answer cannot be read: {what}"))
}
