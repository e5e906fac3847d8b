//! Access keys: made, listed, switched off and on, revoked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts::NAME;
use super::{account_numbered, key_of, to_come};
use crate::access::key::KeyId;
use crate::access::limits::LimitsChange;
use crate::access::policy::PolicyEntry;
use crate::access::{Account, AccountId};
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{Limit, Page};
use crate::statement::time::Time;
use crate::store::{self, KeyRow};

/// An access key, without its secret.
#[derive(Serialize, JsonSchema)]
pub struct Key {
    /// Its public id.
    id: String,
    /// What lists and logs call it.
    name: String,
    /// Who pays.
    account: Payer,
    /// Whether it can be used.
    state: State,
    /// When it was made.
    created: Time,
    /// From when on it is refused.
    expires: Option<Time>,
    /// When it was revoked.
    revoked: Option<Time>,
    /// What it may reach, and how; null where the gateway cannot read it, and refuses the key.
    policy: Option<PolicyEntry>,
}

/// An account, named.
#[derive(Serialize, JsonSchema)]
pub(super) struct Payer {
    id: i64,
    name: String,
}

impl Payer {
    pub(super) fn new(account: &Account) -> Self {
        Self {
            id: account.id.0,
            name: account.name.to_string(),
        }
    }
}

/// Whether an access key can be used.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It can.
    Active,
    /// Not until it is enabled again.
    Disabled,
    /// Its time is over.
    Expired,
    /// For good.
    Revoked,
    /// Its policy is of another version of Tollgate, or damaged.
    Unreadable,
}

impl Key {
    fn new(row: KeyRow, now: i64) -> Self {
        Self {
            state: state(&row, now),
            id: row.id.to_string(),
            name: row.name,
            account: Payer::new(&row.account),
            created: Time(row.created),
            expires: row.expires.map(Time),
            revoked: row.revoked.map(Time),
            policy: row.policy,
        }
    }
}

fn state(row: &KeyRow, now: i64) -> State {
    if row.revoked.is_some() {
        State::Revoked
    } else if row.policy.is_none() {
        State::Unreadable
    } else if row.expires.is_some_and(|expires| expires <= now) {
        State::Expired
    } else if row.enabled {
        State::Active
    } else {
        State::Disabled
    }
}

/// Which keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// How many at the most.
    #[serde(default)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[schemars(extend("pattern" = "^[0-9A-Za-z]{12}$"))]
    cursor: Option<String>,
    /// Those of the account of this number.
    #[schemars(range(min = 1))]
    account: Option<i64>,
}

/// Lists keys.
pub struct List;

impl Operation for List {
    type Query = Which;
    type Body = Nothing;
    type Answer = Page<Key>;

    async fn run(app: &AdminApp, asked: Asked<Which, Nothing>) -> Result<Self::Answer, Fault> {
        let Which {
            limit,
            cursor,
            account,
        } = asked.query;
        let account = account_numbered(account)?;
        let after = cursor.map(|text| text.parse::<KeyId>()).transpose();
        let after = after.map_err(|_| {
            let message =
                "the query is wrong: `cursor`: write the `next_cursor` of the page before";
            Fault::new(Code::InvalidRequest, message)
        })?;
        let rows = app
            .store
            .keys_page(account.map(AccountId), after, limit.and_one())
            .await?;
        let now = asked.now.as_second();
        let cursor = |row: &KeyRow| row.id.to_string();
        Ok(Page::of(rows, limit, cursor, |row| Key::new(row, now)))
    }
}

/// A key to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What lists and logs call it: 1 to 64 characters, no control characters, no blank at its ends.
    #[schemars(extend("pattern" = NAME))]
    name: String,
    /// The number of the account that pays.
    #[schemars(range(min = 1))]
    account: i64,
    /// From when on it is refused, which must be to come; never by default.
    #[schemars(extend("format" = "date-time"))]
    expires: Option<String>,
    /// What it may reach, and how; everything by default.
    #[serde(default)]
    policy: PolicyEntry,
}

/// A key that was made.
#[derive(Serialize, JsonSchema)]
pub struct CreatedKey {
    #[serde(flatten)]
    key: Key,
    /// The whole access key: shown this once, and kept nowhere.
    access_key: String,
}

/// Makes a key.
pub struct Create;

impl Operation for Create {
    type Query = Nothing;
    type Body = NewKey;
    type Answer = CreatedKey;

    const STATUS: u16 = 201;
    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::UnknownAccount, Code::Unprocessable];

    async fn run(app: &AdminApp, asked: Asked<Nothing, NewKey>) -> Result<CreatedKey, Fault> {
        let now = asked.now;
        let expires = asked.body.expires.as_deref();
        let expires = expires.map(|text| to_come(text, now)).transpose()?;
        let new = store::NewKey {
            name: asked.body.name,
            expires,
            policy: asked.body.policy,
        };
        let account = AccountId(asked.body.account);
        let made = asked
            .store
            .create_key(account, &new, now.as_second())
            .await?;
        let row = app.store.key(made.id).await?;
        Ok(CreatedKey {
            key: Key::new(row, now.as_second()),
            access_key: made.shown.expose().to_owned(),
        })
    }
}

/// What becomes of a key.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NewState {
    /// It can be used (again).
    Active,
    /// It is refused until it is enabled again.
    Disabled,
    /// It is refused for good.
    Revoked,
}

/// What changes of a key; what is absent stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Whether it can be used.
    state: Option<NewState>,
    /// What may be used in a time: each limit that is named, at once with what others change; null takes one away, and one
    /// that is absent stays as it is.
    limits: Option<LimitsChange>,
}

/// Changes a key.
pub struct Change;

impl Operation for Change {
    type Query = Nothing;
    type Body = KeyChange;
    type Answer = Key;

    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::UnknownKey, Code::KeyRevoked, Code::Unprocessable];

    async fn run(app: &AdminApp, asked: Asked<Nothing, KeyChange>) -> Result<Key, Fault> {
        let (id, now) = (key_of(&asked.params)?, asked.now.as_second());
        if let Some(limits) = asked.body.limits {
            let change = |policy: &mut PolicyEntry| limits.apply(&mut policy.limits);
            asked.store.change_policy(id, change).await?;
        }
        match asked.body.state {
            Some(NewState::Active) => asked.store.set_enabled(id, true).await?,
            Some(NewState::Disabled) => asked.store.set_enabled(id, false).await?,
            Some(NewState::Revoked) => asked.store.revoke(id, now).await?,
            None => {}
        }
        Ok(Key::new(app.store.key(id).await?, now))
    }
}

/// Shows a key.
pub struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Key;

    const FAULTS: &'static [Code] = &[Code::UnknownKey];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<Key, Fault> {
        let row = app.store.key(key_of(&asked.params)?).await?;
        Ok(Key::new(row, asked.now.as_second()))
    }
}
