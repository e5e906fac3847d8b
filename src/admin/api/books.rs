//! The books: the history of an account, the journal of all movements, and whether they agree.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::account_of;
use crate::access::AccountId;
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{Limit, Page};
use crate::statement::history;
use crate::statement::journal::Posting;
use crate::statement::time::{OnDay, When};
use crate::store::{Day, Movement, Moves, Place};

/// Which days.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// From this day on, UTC; from the beginning by default.
    from: Option<OnDay>,
    /// Up to and without this day, UTC; up to now by default.
    to: Option<OnDay>,
}

/// Tells the history of an account.
pub struct History;

impl Operation for History {
    type Query = Days;
    type Body = Nothing;
    type Answer = history::History;

    const IS_HEAVY: bool = true;

    const FAULTS: &'static [Code] = &[Code::UnknownAccount];

    async fn run(app: &AdminApp, asked: Asked<Days, Nothing>) -> Result<Self::Answer, Fault> {
        let day = |on: OnDay| Day(on.days());
        let (from, to) = (asked.query.from.map(day), asked.query.to.map(day));
        let account = account_of(&asked.params)?;
        Ok(app.store.history(account, from, to).await?.into())
    }
}

/// The place of a movement, as a cursor: milliseconds, whether it is an attempt, number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Cursor(Place);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = |text: &str| -> Option<i64> {
            let digits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let parts: Vec<&str> = text.split('-').collect();
        let place = match parts[..] {
            [at, usage @ ("0" | "1"), id] => number(at).zip(number(id)).map(|(at, id)| Place {
                at,
                usage: usage == "1",
                id,
            }),
            _ => None,
        };
        place
            .map(Self)
            .ok_or("write the `next_cursor` of the page before")
    }
}

impl Cursor {
    fn of(movement: &Movement) -> String {
        let Place { at, usage, id } = movement.place();
        format!("{at}-{}-{id}", u8::from(usage))
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{1,18}-[01]-[0-9]{1,18}$"})
    }
}

/// Which movements.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// How many at the most.
    #[serde(default)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
    /// Those of the account of this number.
    #[schemars(range(min = 1))]
    account: Option<i64>,
    /// Those at this moment or later.
    from: Option<When>,
    /// Those before this moment.
    to: Option<When>,
}

/// A movement: what it took from which books, and to which it went.
#[derive(Serialize, JsonSchema)]
pub struct Entry {
    /// One, or more where a request had a fee.
    postings: Vec<Posting>,
}

/// Tells the movements of money.
pub struct Journal;

impl Operation for Journal {
    type Query = Which;
    type Body = Nothing;
    type Answer = Page<Entry>;

    const IS_HEAVY: bool = true;

    async fn run(app: &AdminApp, asked: Asked<Which, Nothing>) -> Result<Self::Answer, Fault> {
        let which = asked.query;
        let milliseconds = |when: When| when.0.as_millisecond();
        let moves = Moves {
            from: which.from.map(milliseconds),
            to: which.to.map(milliseconds),
            account: super::account_numbered(which.account)?.map(AccountId),
        };
        let after = which.cursor.map_or_else(Place::default, |cursor| cursor.0);
        let rows = app
            .store
            .journal(&moves, after, which.limit.and_one())
            .await?;
        let entry = |movement: Movement| Entry {
            postings: Posting::of(&movement),
        };
        Ok(Page::of(rows, which.limit, Cursor::of, entry))
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Serialize, JsonSchema)]
pub struct Checked {
    /// Whether everything agrees.
    ok: bool,
    /// Books, those of accounts included.
    books: i64,
    /// Grants.
    grants: i64,
    /// Usage rows.
    rows: i64,
    /// Holds that are open.
    open: i64,
    /// Everything that does not agree; at most some of each kind.
    faults: Vec<String>,
}

/// Looks whether the books agree with their rows.
pub struct Check;

impl Operation for Check {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Checked;

    const IS_HEAVY: bool = true;

    async fn run(app: &AdminApp, _: Asked<Nothing, Nothing>) -> Result<Checked, Fault> {
        let checked = app.store.check().await?;
        Ok(Checked {
            ok: checked.faults.is_empty(),
            books: checked.books,
            grants: checked.grants,
            rows: checked.rows,
            open: checked.open,
            faults: checked.faults,
        })
    }
}
