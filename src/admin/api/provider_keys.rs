//! Provider keys that accounts have stored: write-only, rotated in place, switched and removed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::account_numbered;
use super::keys::Payer;
use crate::access::AccountId;
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{Limit, Page};
use crate::byok::{Stored, StoredId, WEIGHT_MAX};
use crate::secret::Secret;
use crate::statement::time::Time;
use crate::store::{NewProviderKey, ProviderKeyChange};

/// Of an id.
const ID: &str = "^pk-[0-9a-f]{16}$";

/// Of a name: what policy steps (`byok:NAME`) can hold.
const NAME: &str = "^[0-9A-Za-z._-]{1,64}$";

/// A stored provider key, without the key.
#[derive(Serialize, JsonSchema)]
pub struct ProviderKey {
    /// Its id.
    id: String,
    /// Whose it is.
    account: Payer,
    /// The provider it is for.
    provider: String,
    /// What its owner calls it; policy steps name it so.
    name: String,
    /// What may be shown of it: its first three and last four letters, if it is long enough.
    hint: String,
    /// Whether it is used.
    state: State,
    /// Its place among those of its account and provider, smallest first.
    position: i64,
    /// Its share of the requests; null: it is used in its turn only.
    weight: Option<u32>,
    /// Whether requests may go on with credit where it does not serve.
    fallback: bool,
    /// When it was stored.
    created: Time,
    /// When it was last changed.
    updated: Time,
    /// The name of the master key under which it is sealed.
    master_key: String,
}

/// Whether a stored key is used.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is.
    Enabled,
    /// Not until it is enabled again.
    Disabled,
}

impl From<&Stored> for ProviderKey {
    fn from(row: &Stored) -> Self {
        Self {
            id: row.id.to_string(),
            account: Payer::new(&row.account),
            provider: row.provider.to_string(),
            name: row.name.to_string(),
            hint: row.hint.to_string(),
            state: match row.enabled {
                true => State::Enabled,
                false => State::Disabled,
            },
            position: row.position,
            weight: row.weight,
            fallback: row.fallback,
            created: Time(row.created),
            updated: Time(row.updated),
            master_key: row.sealed.master.to_string(),
        }
    }
}

/// A provider key as it is given. It prints as `ProviderSecret(..)`.
pub struct ProviderSecret(Secret);

impl fmt::Debug for ProviderSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ProviderSecret(..)")
    }
}

impl<'de> Deserialize<'de> for ProviderSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}

impl JsonSchema for ProviderSecret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProviderSecret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": r"^[\x21-\x7e]{1,8000}$", "writeOnly": true,
            "examples": ["sk-0123456789abcdefghijklmnop"]})
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
    #[schemars(extend("pattern" = ID))]
    cursor: Option<String>,
    /// Those of the account of this number.
    #[schemars(range(min = 1))]
    account: Option<i64>,
    /// Those for the provider of this id.
    provider: Option<String>,
}

/// Lists keys.
pub struct List;

impl Operation for List {
    type Query = Which;
    type Body = Nothing;
    type Answer = Page<ProviderKey>;

    async fn run(app: &AdminApp, asked: Asked<Which, Nothing>) -> Result<Self::Answer, Fault> {
        let Which {
            limit,
            cursor,
            account,
            provider,
        } = asked.query;
        let account = account_numbered(account)?;
        let after = cursor.map(|text| text.parse::<StoredId>()).transpose();
        let after = after.map_err(|_| {
            let message =
                "the query is wrong: `cursor`: write the `next_cursor` of the page before";
            Fault::new(Code::InvalidRequest, message)
        })?;
        let mut rows = app.store.list_provider_keys().await?;
        rows.retain(|row| {
            account.is_none_or(|account| row.account.id.0 == account)
                && provider
                    .as_deref()
                    .is_none_or(|provider| *row.provider == *provider)
                && after
                    .as_ref()
                    .is_none_or(|after| row.id.as_str() > after.as_str())
        });
        rows.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        let cursor = |row: &Stored| row.id.to_string();
        Ok(Page::of(rows, limit, cursor, |row| ProviderKey::from(&row)))
    }
}

/// A key to be stored.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The number of the account whose it is.
    #[schemars(range(min = 1))]
    account: i64,
    /// The provider it is for, by its id or an alias.
    #[schemars(extend("examples" = ["openai"]))]
    provider: String,
    /// What its owner calls it; `main` by default.
    #[schemars(extend("pattern" = NAME))]
    name: Option<String>,
    /// The key itself. Nobody sees it again.
    secret: ProviderSecret,
    /// Its place among those of its account and provider, smallest first; behind all others by default.
    #[schemars(range(max = u32::MAX))]
    position: Option<u32>,
    /// Its share of the requests; without one it is used in its turn.
    #[schemars(range(min = 1, max = WEIGHT_MAX))]
    weight: Option<u32>,
    /// Whether requests may go on with credit where it does not serve; true by default.
    fallback: Option<bool>,
}

/// Stores a key.
pub struct Create;

impl Operation for Create {
    type Query = Nothing;
    type Body = NewKey;
    type Answer = ProviderKey;

    const STATUS: u16 = 201;
    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[
        Code::UnknownAccount,
        Code::ProviderKeyExists,
        Code::TooManyProviderKeys,
        Code::NoMasterKey,
        Code::Unprocessable,
    ];

    async fn run(app: &AdminApp, asked: Asked<Nothing, NewKey>) -> Result<ProviderKey, Fault> {
        let body = asked.body;
        let provider = app.control.provider(&body.provider).ok_or_else(|| {
            let message = format!("the catalog has no provider {:?}", body.provider);
            Fault::new(Code::Unprocessable, message)
        })?;
        let new = NewProviderKey {
            account: AccountId(body.account),
            provider,
            name: body.name.unwrap_or_else(|| "main".to_owned()),
            position: body.position.map(i64::from),
            weight: body.weight,
            fallback: body.fallback.unwrap_or(true),
        };
        app.store.account(new.account).await?;
        let (masters, now) = (app.control.masters(), asked.now.as_second());
        let id = asked
            .store
            .add_provider_key(&new, &body.secret.0, &masters.keys, now)
            .await?;
        shown(app, &id).await
    }
}

async fn shown(app: &AdminApp, id: &StoredId) -> Result<ProviderKey, Fault> {
    Ok(ProviderKey::from(&app.store.provider_key(id).await?))
}

/// What the path names as `{provider_key}`.
fn id_of<Q, B>(asked: &Asked<Q, B>) -> Result<StoredId, Fault> {
    let id = asked.params.get("provider_key").parse();
    id.map_err(|_| {
        let message = "stored provider keys have ids that begin with pk-";
        Fault::new(Code::UnknownProviderKey, message)
    })
}

/// Shows a key.
pub struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = ProviderKey;

    const FAULTS: &'static [Code] = &[Code::UnknownProviderKey];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<ProviderKey, Fault> {
        shown(app, &id_of(&asked)?).await
    }
}

/// What changes of a key; what is absent stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// The key itself: another is put in its place, and nothing else can change with it.
    secret: Option<ProviderSecret>,
    /// What it is called.
    #[schemars(extend("pattern" = NAME))]
    name: Option<String>,
    /// Its place among those of its account and provider.
    #[schemars(range(max = u32::MAX))]
    position: Option<u32>,
    /// Its share of the requests; null: it has none.
    #[serde(default, deserialize_with = "super::said")]
    #[schemars(with = "Option<u32>", range(min = 1, max = WEIGHT_MAX))]
    weight: Option<Option<u32>>,
    /// Whether it is used.
    state: Option<State>,
    /// Whether requests may go on with credit where it does not serve.
    fallback: Option<bool>,
}

/// Changes or rotates a key.
pub struct Change;

impl Operation for Change {
    type Query = Nothing;
    type Body = KeyChange;
    type Answer = ProviderKey;

    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[
        Code::UnknownProviderKey,
        Code::ProviderKeyExists,
        Code::NoMasterKey,
        Code::Unprocessable,
    ];

    async fn run(app: &AdminApp, asked: Asked<Nothing, KeyChange>) -> Result<ProviderKey, Fault> {
        let (id, now) = (id_of(&asked)?, asked.now.as_second());
        let change = ProviderKeyChange {
            name: asked.body.name,
            position: asked.body.position.map(i64::from),
            weight: asked.body.weight,
            enabled: asked.body.state.map(|state| state == State::Enabled),
            fallback: asked.body.fallback,
        };
        let changes = change != ProviderKeyChange::default();
        match asked.body.secret {
            Some(_) if changes => {
                let message = "a key is rotated, or something else of it changes, not both at once";
                return Err(Fault::new(Code::Unprocessable, message));
            }
            Some(ProviderSecret(secret)) => {
                let masters = app.control.masters();
                asked
                    .store
                    .rotate_provider_key(&id, &secret, &masters.keys, now)
                    .await?;
            }
            None if changes => asked.store.change_provider_key(&id, &change, now).await?,
            None => {}
        }
        shown(app, &id).await
    }
}

/// Removes a key.
pub struct Remove;

impl Operation for Remove {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = ProviderKey;

    const FAULTS: &'static [Code] = &[Code::UnknownProviderKey];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<ProviderKey, Fault> {
        let id = id_of(&asked)?;
        let was = shown(app, &id).await?;
        asked.store.remove_provider_key(&id).await?;
        Ok(was)
    }
}

/// What came of sealing keys anew.
#[derive(Serialize, JsonSchema)]
pub struct Resealed {
    /// Keys that are sealed under the first master key now, and were not before.
    moved: usize,
    /// Keys that were already.
    already: usize,
    /// Keys that no master key opens, and that stay as they are.
    unusable: Vec<NotOpened>,
}

/// A key that cannot be opened.
#[derive(Serialize, JsonSchema)]
struct NotOpened {
    id: String,
    reason: String,
}

/// Seals all keys anew.
pub struct Reseal;

impl Operation for Reseal {
    type Query = Nothing;
    /// An empty object: a web page cannot send one without asking.
    type Body = Nothing;
    type Answer = Resealed;

    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::NoMasterKey];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<Resealed, Fault> {
        let masters = app.control.masters();
        let done = asked.store.reseal_provider_keys(&masters.keys).await?;
        let not_opened = |(id, why): (StoredId, crate::byok::master::Unusable)| NotOpened {
            id: id.to_string(),
            reason: why.to_string(),
        };
        Ok(Resealed {
            moved: done.moved,
            already: done.already,
            unusable: done.unusable.into_iter().map(not_opened).collect(),
        })
    }
}
