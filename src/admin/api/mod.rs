//! The API over the store. Its rows; the operations are in a file each.

mod accounts;
mod keys;

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
        "Disable an access key, enable it again, or revoke it for good",
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
