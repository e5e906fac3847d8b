//! Accounts: who pays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account_of;
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{After, Limit, Page};
use crate::operator::time::Time;
use crate::store::AccountRow;

/// Of a name: what lists can show.
pub(super) const NAME: &str =
    r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]{0,62}[^\s\x00-\x1f\x7f-\x9f])?$";

/// Who pays.
#[derive(Serialize, JsonSchema)]
pub struct Account {
    /// Its number, which no other account ever has.
    id: i64,
    /// Its name, which no other account has.
    name: String,
    /// How many of its access keys are not revoked.
    keys: i64,
    /// When it was made.
    created: Time,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: row.account.id.0,
            name: row.account.name.into(),
            keys: row.keys,
            created: Time(row.created),
        }
    }
}

/// Which accounts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// How many at the most.
    #[serde(default)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<After>,
    /// The one of this name.
    name: Option<String>,
}

/// Lists accounts.
pub struct List;

impl Operation for List {
    type Query = Which;
    type Body = Nothing;
    type Answer = Page<Account>;

    async fn run(app: &AdminApp, asked: Asked<Which, Nothing>) -> Result<Self::Answer, Fault> {
        let Which {
            limit,
            cursor,
            name,
        } = asked.query;
        let after = cursor.map_or(0, |after| after.0);
        let rows = app
            .store
            .accounts_page(name.as_deref(), after, limit.and_one())
            .await?;
        let cursor = |row: &AccountRow| row.account.id.0.to_string();
        Ok(Page::of(rows, limit, cursor, Account::from))
    }
}

/// An account to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name, which no other account has: 1 to 64 characters, no control characters, no blank at its ends.
    #[schemars(extend("pattern" = NAME))]
    name: String,
}

/// Makes an account.
pub struct Create;

impl Operation for Create {
    type Query = Nothing;
    type Body = NewAccount;
    type Answer = Account;

    const STATUS: u16 = 201;
    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::AccountExists, Code::Unprocessable];

    async fn run(app: &AdminApp, asked: Asked<Nothing, NewAccount>) -> Result<Account, Fault> {
        let now = asked.now.as_second();
        let made = app.store.create_account(&asked.body.name, now).await?;
        Ok(app.store.account(made.id).await?.into())
    }
}

/// Shows an account.
pub struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Account;

    const FAULTS: &'static [Code] = &[Code::UnknownAccount];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<Account, Fault> {
        let id = account_of(&asked.params)?;
        Ok(app.store.account(id).await?.into())
    }
}
