//! What commands change.

use serde_json::{Value, json};

use super::wire::{Granted, Key, ProviderKey, Resealed};
use super::{Books, Remote};
use crate::access::key::KeyId;
use crate::access::limits::LimitsChange;
use crate::access::policy::PolicyEntry;
use crate::access::{Account, AccountId};
use crate::byok::StoredId;
use crate::byok::master::MasterKeys;
use crate::cli::keys::CliError;
use crate::secret::Secret;
use crate::statement::account::{self, Pays};
use crate::statement::time::Time;
use crate::store::{
    Billing, CreatedKey, GrantId, GrantRow, NewGrant, NewKey, NewProviderKey, ProviderKeyChange,
    StoreError,
};

/// Keys that were sealed anew, keys that were already, and those that no master key opens, each with the reason.
pub type Sealed = (usize, usize, Vec<(String, String)>);

impl Books {
    /// Makes an account.
    ///
    /// # Errors
    /// What the store or the gateway says against it; so for all that follows.
    pub async fn create_account(
        &self,
        name: &str,
        billing: Billing,
        now: i64,
    ) -> Result<Account, CliError> {
        match self {
            Self::Store(store) => Ok(store.create_account_billed(name, billing, now).await?),
            Self::Gateway(remote) => create_account(remote, name, billing),
        }
    }

    /// The account of this name, and whether it was made just now.
    pub async fn ensure_account(&self, name: &str, now: i64) -> Result<(Account, bool), CliError> {
        match self {
            Self::Store(store) => Ok(store.ensure_account(name, now).await?),
            Self::Gateway(remote) => match remote.account_named(name)? {
                Some(found) => Ok((found.account, false)),
                None => Ok((create_account(remote, name, Billing::Prepaid)?, true)),
            },
        }
    }

    /// Limits the requests of an account that may be under way.
    pub async fn limit_account(&self, id: AccountId, limit: Option<u32>) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.limit_account(id, limit).await?),
            Self::Gateway(remote) => remote.set(&account_at(id), "in_flight", json!(limit)),
        }
    }

    /// Changes how an account pays.
    pub async fn set_billing(&self, id: AccountId, to: Billing) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.set_billing(id, to).await?),
            Self::Gateway(remote) => {
                let body = match to {
                    Billing::Prepaid => json!({"billing": "prepaid"}),
                    Billing::Postpaid { limit } => json!({"billing": "postpaid", "limit": limit}),
                };
                remote.change("PATCH", &account_at(id), &body)
            }
        }
    }

    /// Closes an account.
    pub async fn close_account(&self, id: AccountId, now: i64) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.close_account(id, now).await?),
            Self::Gateway(remote) => remote.set(&account_at(id), "state", json!("closed")),
        }
    }

    /// Gives credit; whether this was not done before.
    pub async fn grant(&self, new: &NewGrant, now: i64) -> Result<(GrantRow, bool), CliError> {
        match self {
            Self::Store(store) => Ok(store.grant(new, now).await?),
            Self::Gateway(remote) => {
                let path = format!("{}/grants", account_at(new.account));
                let body = json!({
                    "amount": new.amount, "expires": new.expires.map(Time), "note": new.note,
                    "idempotency_key": new.idempotency,
                });
                let Granted { grant, made } = remote.send("POST", &path, &body)?;
                Ok((grant.into(), made))
            }
        }
    }

    /// Ends a grant.
    pub async fn end_grant(&self, id: GrantId, now: i64) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.end_grant(id, now).await?),
            Self::Gateway(remote) => {
                let path = format!("/api/v1/grants/{}", id.0);
                remote.set(&path, "state", json!("ended"))
            }
        }
    }

    /// Makes an access key.
    pub async fn create_key(
        &self,
        account: AccountId,
        new: &NewKey,
        now: i64,
    ) -> Result<CreatedKey, CliError> {
        match self {
            Self::Store(store) => Ok(store.create_key(account, new, now).await?),
            Self::Gateway(remote) => {
                let body = json!({
                    "account": account.0, "name": new.name, "expires": new.expires.map(Time), "policy": new.policy,
                });
                let mut made: Key = remote.send("POST", "/api/v1/keys", &body)?;
                let shown = made.access_key.take().unwrap_or_default();
                Ok(CreatedKey {
                    id: made.row()?.id,
                    shown: Secret::new(shown),
                })
            }
        }
    }

    /// Changes those limits of a key that are named, and returns what the policy is now.
    pub async fn change_limits(
        &self,
        id: KeyId,
        change: &LimitsChange,
    ) -> Result<PolicyEntry, CliError> {
        match self {
            Self::Store(store) => {
                let change = |policy: &mut PolicyEntry| change.apply(&mut policy.limits);
                Ok(store.change_policy(id, change).await?)
            }
            Self::Gateway(remote) => {
                // What is named alone: what others change at the same time stays.
                let body = json!({"limits": change});
                let changed: Key = remote.send("PATCH", &key_at(id), &body)?;
                let policy = changed.row()?.policy;
                policy.ok_or_else(|| StoreError::UnreadablePolicy(id).into())
            }
        }
    }

    /// Switches a key off or on again.
    pub async fn set_enabled(&self, id: KeyId, enabled: bool) -> Result<(), CliError> {
        let state = if enabled { "active" } else { "disabled" };
        match self {
            Self::Store(store) => Ok(store.set_enabled(id, enabled).await?),
            Self::Gateway(remote) => remote.set(&key_at(id), "state", json!(state)),
        }
    }

    /// Ends a key for good.
    pub async fn revoke(&self, id: KeyId, now: i64) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.revoke(id, now).await?),
            Self::Gateway(remote) => remote.set(&key_at(id), "state", json!("revoked")),
        }
    }

    /// Stores a provider key. The gateway seals it under a master key of its own.
    pub async fn add_provider_key(
        &self,
        new: &NewProviderKey,
        secret: &Secret,
        masters: &MasterKeys,
        now: i64,
    ) -> Result<StoredId, CliError> {
        match self {
            Self::Store(store) => Ok(store.add_provider_key(new, secret, masters, now).await?),
            Self::Gateway(remote) => {
                let body = json!({
                    "account": new.account.0, "provider": new.provider, "name": new.name, "secret": secret.expose(),
                    "position": new.position, "weight": new.weight, "fallback": new.fallback,
                });
                let made: ProviderKey = remote.send("POST", "/api/v1/provider-keys", &body)?;
                Ok(made.row()?.id)
            }
        }
    }

    /// Puts another secret in the place of a provider key's.
    pub async fn rotate_provider_key(
        &self,
        id: &StoredId,
        secret: &Secret,
        masters: &MasterKeys,
        now: i64,
    ) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.rotate_provider_key(id, secret, masters, now).await?),
            Self::Gateway(remote) => {
                remote.set(&provider_key_at(id), "secret", json!(secret.expose()))
            }
        }
    }

    /// Changes the rest of a provider key.
    pub async fn change_provider_key(
        &self,
        id: &StoredId,
        change: &ProviderKeyChange,
        now: i64,
    ) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.change_provider_key(id, change, now).await?),
            Self::Gateway(remote) => {
                remote.change("PATCH", &provider_key_at(id), &change_of(change))
            }
        }
    }

    /// Removes a provider key.
    pub async fn remove_provider_key(&self, id: &StoredId) -> Result<(), CliError> {
        match self {
            Self::Store(store) => Ok(store.remove_provider_key(id).await?),
            Self::Gateway(remote) => remote.change("DELETE", &provider_key_at(id), &json!({})),
        }
    }

    /// Seals all provider keys anew.
    pub async fn reseal_provider_keys(&self, masters: &MasterKeys) -> Result<Sealed, CliError> {
        match self {
            Self::Store(store) => {
                let done = store.reseal_provider_keys(masters).await?;
                let unusable = done.unusable.into_iter();
                let unusable = unusable.map(|(id, why)| (id.to_string(), why.to_string()));
                Ok((done.moved, done.already, unusable.collect()))
            }
            Self::Gateway(remote) => {
                let done: Resealed = remote.send("POST", "/api/v1/reseal", &json!({}))?;
                let unusable = done.unusable.into_iter().map(|key| (key.id, key.reason));
                Ok((done.moved, done.already, unusable.collect()))
            }
        }
    }
}

fn create_account(remote: &Remote, name: &str, billing: Billing) -> Result<Account, CliError> {
    let (pays, limit) = Pays::of(billing);
    let body = json!({"name": name, "billing": pays, "limit": limit});
    let made: account::Account = remote.send("POST", "/api/v1/accounts", &body)?;
    Ok(crate::store::AccountDetails::from(made).account)
}

/// What changes alone: null takes a weight away.
fn change_of(change: &ProviderKeyChange) -> Value {
    let state = |enabled: bool| if enabled { "enabled" } else { "disabled" };
    let mut body = json!({
        "name": change.name, "position": change.position, "state": change.enabled.map(state),
        "fallback": change.fallback,
    });
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        if let Some(weight) = change.weight {
            members.insert("weight".to_owned(), weight.into());
        }
    }
    body
}

pub(super) fn account_at(id: AccountId) -> String {
    format!("/api/v1/accounts/{}", id.0)
}

pub(super) fn key_at(id: KeyId) -> String {
    format!("/api/v1/keys/{id}")
}

fn provider_key_at(id: &StoredId) -> String {
    format!("/api/v1/provider-keys/{id}")
}
