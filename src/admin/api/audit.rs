//! The audit: what operators changed.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::AdminApp;
use crate::admin::fault::Fault;
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{After, Limit, Page};
use crate::statement::audit::Entry;
use crate::statement::time::When;
use crate::store::{AuditRow, Audited};

/// Which changes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// How many at the most.
    #[serde(default)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<After>,
    /// Those at this moment or later.
    from: Option<When>,
    /// Those before this moment.
    to: Option<When>,
    /// Those by whom: `cli:alice`, `token:1a2b3c4d`, or both with a blank between.
    who: Option<String>,
    /// Those of this kind, by the `operationId`.
    operation: Option<String>,
    /// Those of this: `account 1`.
    object: Option<String>,
    /// Those that ended so: `done`, or the code of a refusal.
    outcome: Option<String>,
}

/// Lists changes.
pub struct List;

impl Operation for List {
    type Query = Which;
    type Body = Nothing;
    type Answer = Page<Entry>;

    const IS_HEAVY: bool = true;

    async fn run(app: &AdminApp, asked: Asked<Which, Nothing>) -> Result<Self::Answer, Fault> {
        let query = asked.query;
        let limit = query.limit;
        let which = Audited {
            from: query.from.map(|when| when.0.as_second()),
            to: query.to.map(|when| when.0.as_second()),
            who: query.who,
            operation: query.operation,
            object: query.object,
            outcome: query.outcome,
        };
        let before = query.cursor.map(|after| after.0);
        let rows = app
            .store
            .audit_page(&which, before, limit.and_one())
            .await?;
        Ok(Page::of(
            rows,
            limit,
            |row: &AuditRow| row.id.to_string(),
            Entry::from,
        ))
    }
}
