//! Accounts: who pays, and how.

use schemars::JsonSchema;
use serde::Deserialize;

use super::account_of;
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{After, Limit, Page};
use crate::money::Credits;
use crate::statement::account::{Account, Pays};
use crate::store::{AccountDetails, Billing};

/// Of a name: what lists can show.
pub(super) const NAME: &str =
    r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]{0,62}[^\s\x00-\x1f\x7f-\x9f])?$";

/// Requests of an account that may be under way: as many as the process may have.
const IN_FLIGHT_MAX: u32 = 1_000_000;

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
        let cursor = |row: &AccountDetails| row.account.id.0.to_string();
        Ok(Page::of(rows, limit, cursor, |row| Account::from(&row)))
    }
}

/// An account to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name, which no other account has: 1 to 64 characters, no control characters, no blank at its ends.
    #[schemars(extend("pattern" = NAME))]
    name: String,
    /// How it pays; `prepaid` by default.
    billing: Option<Pays>,
    /// How far below zero the balance of a `postpaid` account may go; without end by default.
    limit: Option<Credits>,
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
        let new = asked.body;
        let billing = billing(new.billing.unwrap_or(Pays::Prepaid), new.limit)?;
        let now = asked.now.as_second();
        let made = asked
            .store
            .create_account_billed(&new.name, billing, now)
            .await?;
        Ok(Account::from(&app.store.account(made.id).await?))
    }
}

fn billing(pays: Pays, limit: Option<Credits>) -> Result<Billing, Fault> {
    match (pays, limit) {
        (Pays::Prepaid, None) => Ok(Billing::Prepaid),
        (Pays::Postpaid, limit) => Ok(Billing::Postpaid { limit }),
        (Pays::Prepaid, Some(_)) => Err(Fault::new(
            Code::Unprocessable,
            "a prepaid account has no limit: its balance is one",
        )),
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
        Ok(Account::from(&app.store.account(id).await?))
    }
}

/// What an account can become.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Ended {
    /// Its keys are refused from then on, for good. What it has or owes stays in the books.
    Closed,
}

/// What changes of an account; what is absent stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// How it pays.
    billing: Option<Pays>,
    /// How far below zero the balance of a `postpaid` account may go; null: without end.
    #[serde(default, deserialize_with = "super::said")]
    #[schemars(with = "Option<Credits>")]
    limit: Option<Option<Credits>>,
    /// How many of its requests may be under way at one time, over all its access keys; null: any number.
    #[serde(default, deserialize_with = "super::said")]
    #[schemars(with = "Option<u32>", range(min = 1, max = IN_FLIGHT_MAX))]
    in_flight: Option<Option<u32>>,
    /// Closes it. Nothing else can change with it.
    state: Option<Ended>,
}

/// Changes an account.
pub struct Change;

impl Operation for Change {
    type Query = Nothing;
    type Body = AccountChange;
    type Answer = Account;

    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::UnknownAccount, Code::HasHolds, Code::Unprocessable];

    async fn run(app: &AdminApp, asked: Asked<Nothing, AccountChange>) -> Result<Account, Fault> {
        let id = account_of(&asked.params)?;
        let AccountChange {
            billing: pays,
            limit,
            in_flight,
            state,
        } = asked.body;
        let bills = pays.is_some() || limit.is_some();
        if in_flight
            .flatten()
            .is_some_and(|limit| !(1..=IN_FLIGHT_MAX).contains(&limit))
        {
            let message = format!("`in_flight` must be from 1 to {IN_FLIGHT_MAX}");
            return Err(Fault::new(Code::Unprocessable, message));
        }
        match state {
            Some(Ended::Closed) if bills || in_flight.is_some() => {
                let message =
                    "an account is closed, or something else of it changes, not both at once";
                return Err(Fault::new(Code::Unprocessable, message));
            }
            Some(Ended::Closed) => asked.store.close_account(id, asked.now.as_second()).await?,
            None if bills => {
                let (paid, had) = Pays::of(app.store.account(id).await?.billing);
                let pays = pays.unwrap_or(paid);
                let kept = had.filter(|_| pays == Pays::Postpaid);
                let billing = billing(pays, limit.unwrap_or(kept))?;
                asked.store.set_billing(id, billing).await?;
            }
            None => {}
        }
        if let Some(limit) = in_flight {
            asked.store.limit_account(id, limit).await?;
        }
        Ok(Account::from(&app.store.account(id).await?))
    }
}
