//! The API over the store. Its rows; the operations are in a file each.

mod accounts;
mod audit;
mod books;
mod grants;
mod keys;
mod provider_keys;
mod store;
mod usage;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::fault::{Code, Fault};
use super::operation::row;
use super::route::{Params, Row, Verb};
use crate::access::AccountId;
use crate::access::key::KeyId;

pub(super) const ROWS: &[Row] = &[
    row::<accounts::List>(
        Verb::Get,
        "/api/v1/accounts",
        "listAccounts",
        "Accounts, oldest first",
    ),
    row::<accounts::Create>(
        Verb::Post,
        "/api/v1/accounts",
        "createAccount",
        "Make an account",
    ),
    row::<accounts::Get>(
        Verb::Get,
        "/api/v1/accounts/{account}",
        "getAccount",
        "An account",
    ),
    row::<accounts::Change>(
        Verb::Patch,
        "/api/v1/accounts/{account}",
        "changeAccount",
        "Change how an account pays or what it may use, or close it",
    ),
    row::<grants::List>(
        Verb::Get,
        "/api/v1/accounts/{account}/grants",
        "listGrants",
        "The grants of an account, oldest first",
    ),
    row::<grants::Create>(
        Verb::Post,
        "/api/v1/accounts/{account}/grants",
        "createGrant",
        "Give credit to an account",
    ),
    row::<grants::Get>(Verb::Get, "/api/v1/grants/{grant}", "getGrant", "A grant"),
    row::<grants::End>(
        Verb::Patch,
        "/api/v1/grants/{grant}",
        "endGrant",
        "End a grant: what is neither spent nor held of it expires",
    ),
    row::<books::History>(
        Verb::Get,
        "/api/v1/accounts/{account}/history",
        "getHistory",
        "What changed the balance of an account: grants, expiries, and the usage of each day",
    ),
    row::<keys::List>(
        Verb::Get,
        "/api/v1/keys",
        "listKeys",
        "Access keys in the order of their ids, revoked ones included",
    ),
    row::<keys::Create>(
        Verb::Post,
        "/api/v1/keys",
        "createKey",
        "Make an access key; it is shown in this answer only",
    ),
    row::<keys::Get>(Verb::Get, "/api/v1/keys/{key}", "getKey", "An access key"),
    row::<keys::Change>(
        Verb::Patch,
        "/api/v1/keys/{key}",
        "changeKey",
        "Disable an access key, enable it again, revoke it for good, or change its limits",
    ),
    row::<provider_keys::List>(
        Verb::Get,
        "/api/v1/provider-keys",
        "listProviderKeys",
        "Provider keys that accounts have stored, in the order of their ids; none is ever shown",
    ),
    row::<provider_keys::Create>(
        Verb::Post,
        "/api/v1/provider-keys",
        "createProviderKey",
        "Store a provider key of an account",
    ),
    row::<provider_keys::Get>(
        Verb::Get,
        "/api/v1/provider-keys/{provider_key}",
        "getProviderKey",
        "A stored provider key",
    ),
    row::<provider_keys::Change>(
        Verb::Patch,
        "/api/v1/provider-keys/{provider_key}",
        "changeProviderKey",
        "Rotate a stored provider key, switch it off or on, or change the rest of it",
    ),
    row::<provider_keys::Remove>(
        Verb::Delete,
        "/api/v1/provider-keys/{provider_key}",
        "removeProviderKey",
        "Remove a stored provider key for good; the answer shows it for the last time",
    ),
    row::<provider_keys::Reseal>(
        Verb::Post,
        "/api/v1/reseal",
        "resealProviderKeys",
        "Seal all stored provider keys anew under the first master key",
    ),
    row::<usage::Sum>(
        Verb::Get,
        "/api/v1/usage",
        "sumUsage",
        "What attempts that have ended used and cost, by key, account, model, provider or day",
    ),
    row::<usage::List>(
        Verb::Get,
        "/api/v1/usage/rows",
        "listUsage",
        "Attempts one by one, in the order in which they began",
    ),
    row::<usage::Get>(
        Verb::Get,
        "/api/v1/requests/{request}",
        "getRequest",
        "A request with all its attempts",
    ),
    row::<usage::Reconcile>(
        Verb::Post,
        "/api/v1/reconcile",
        "reconcile",
        "Hold a provider's report of usage or costs against our rows",
    ),
    row::<books::Journal>(
        Verb::Get,
        "/api/v1/journal",
        "listJournal",
        "Every movement of money, in order",
    ),
    row::<store::Get>(Verb::Get, "/api/v1/store", "getStore", "Where the store is"),
    row::<audit::List>(
        Verb::Get,
        "/api/v1/audit",
        "listAudit",
        "What operators changed, or were refused to change, newest first",
    ),
    row::<books::Check>(
        Verb::Get,
        "/api/v1/check",
        "checkBooks",
        "Whether all books agree with the rows that they are the sums of",
    ),
];

/// What the path names as `{account}`.
fn account_of(params: &Params) -> Result<AccountId, Fault> {
    let number = params.get("account");
    let id = number.parse().ok().filter(|id: &i64| *id > 0);
    id.map(AccountId)
        .ok_or_else(|| Fault::new(Code::UnknownAccount, "accounts have numbers, from 1 on"))
}

/// What the path names as `{key}`.
fn key_of(params: &Params) -> Result<KeyId, Fault> {
    let id = params.get("key").parse();
    id.map_err(|error: crate::access::key::NotAKeyId| {
        Fault::new(Code::UnknownKey, error.to_string())
    })
}

/// Tells null from what is absent.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The number of an account in a query.
fn account_numbered(number: Option<i64>) -> Result<Option<i64>, Fault> {
    if number.is_some_and(|number| number < 1) {
        let message = "the query is wrong: `account`: accounts have numbers, from 1 on";
        return Err(Fault::new(Code::InvalidRequest, message));
    }
    Ok(number)
}

/// A moment in Unix seconds, which must be to come.
fn to_come(text: &str, now: Timestamp) -> Result<i64, Fault> {
    let Ok(moment) = text.parse::<Timestamp>() else {
        let message = "`expires` must be a moment as 2030-01-31T12:00:00Z";
        return Err(Fault::new(Code::InvalidRequest, message));
    };
    if moment <= now {
        return Err(Fault::new(
            Code::Unprocessable,
            "`expires` is not in the future",
        ));
    }
    Ok(moment.as_second())
}

#[cfg(test)]
mod tests;
