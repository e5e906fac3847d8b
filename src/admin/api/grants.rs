//! Credit that is given to accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{account_of, to_come};
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{After, Limit, Page};
use crate::admin::route::Params;
use crate::money::Credits;
use crate::statement::grant::Grant;
use crate::store::{self, GRANT_TEXT_CHARS_MAX, GrantId, GrantRow};

/// Of a note: what lists can show.
const NOTE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// Which grants.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// How many at the most.
    #[serde(default)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<After>,
}

/// Lists the grants of an account.
pub struct List;

impl Operation for List {
    type Query = Which;
    type Body = Nothing;
    type Answer = Page<Grant>;

    const FAULTS: &'static [Code] = &[Code::UnknownAccount];

    async fn run(app: &AdminApp, asked: Asked<Which, Nothing>) -> Result<Self::Answer, Fault> {
        let account = account_of(&asked.params)?;
        app.store.account(account).await?;
        let Which { limit, cursor } = asked.query;
        let after = cursor.map_or(0, |after| after.0);
        let rows = app
            .store
            .grants_page(account, after, limit.and_one())
            .await?;
        let cursor = |row: &GrantRow| row.id.0.to_string();
        Ok(Page::of(rows, limit, cursor, Grant::from))
    }
}

/// Credit to be given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// How much, in dollars; above zero.
    amount: Credits,
    /// From when on it cannot be spent, which must be to come; never by default.
    #[schemars(extend("format" = "date-time"))]
    expires: Option<String>,
    /// What for.
    #[serde(default)]
    #[schemars(length(max = GRANT_TEXT_CHARS_MAX), extend("pattern" = NOTE))]
    note: String,
    /// Makes asking again safe: the grant that has this key is answered, and nothing more is given. Unique among all
    /// grants.
    #[schemars(length(min = 1, max = GRANT_TEXT_CHARS_MAX), extend("pattern" = NOTE))]
    idempotency_key: Option<String>,
}

/// A grant that was asked for.
#[derive(Serialize, JsonSchema)]
pub struct Granted {
    #[serde(flatten)]
    grant: Grant,
    /// Whether it was made by this request; false: an earlier one with the same idempotency key made it.
    made: bool,
}

/// Gives credit.
pub struct Create;

impl Operation for Create {
    type Query = Nothing;
    type Body = NewGrant;
    type Answer = Granted;

    const STATUS: u16 = 201;
    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[
        Code::UnknownAccount,
        Code::AccountClosed,
        Code::OtherGrant,
        Code::Unprocessable,
    ];

    async fn run(_: &AdminApp, asked: Asked<Nothing, NewGrant>) -> Result<Granted, Fault> {
        let account = account_of(&asked.params)?;
        let expires = asked.body.expires.as_deref();
        let expires = expires.map(|text| to_come(text, asked.now)).transpose()?;
        let new = store::NewGrant {
            account,
            amount: asked.body.amount,
            expires,
            note: asked.body.note,
            idempotency: asked.body.idempotency_key,
        };
        let (row, made) = asked.store.grant(&new, asked.now.as_second()).await?;
        Ok(Granted {
            grant: row.into(),
            made,
        })
    }
}

/// What the path names as `{grant}`.
fn id_of(params: &Params) -> Result<GrantId, Fault> {
    let id = params.get("grant").parse().ok().filter(|id| *id > 0);
    id.map(GrantId)
        .ok_or_else(|| Fault::new(Code::UnknownGrant, "grants have numbers, from 1 on"))
}

/// Shows a grant.
pub struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Grant;

    const FAULTS: &'static [Code] = &[Code::UnknownGrant];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<Grant, Fault> {
        let id = id_of(&asked.params)?;
        Ok(app.store.grant_numbered(id).await?.into())
    }
}

/// What a grant can become.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// What is neither spent nor held of it expires.
    Ended,
}

/// What changes of a grant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantChange {
    /// Ends it.
    #[allow(dead_code, reason = "there is one")]
    state: State,
}

/// Ends a grant.
pub struct End;

impl Operation for End {
    type Query = Nothing;
    type Body = GrantChange;
    type Answer = Grant;

    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::UnknownGrant];

    async fn run(app: &AdminApp, asked: Asked<Nothing, GrantChange>) -> Result<Grant, Fault> {
        let id = id_of(&asked.params)?;
        asked.store.end_grant(id, asked.now.as_second()).await?;
        Ok(app.store.grant_numbered(id).await?.into())
    }
}
