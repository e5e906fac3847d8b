//! Usage: added up, row by row, by request, and held against a provider's report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::admin::AdminApp;
use crate::admin::fault::{Code, Fault};
use crate::admin::operation::{Asked, Nothing, Operation};
use crate::admin::page::{After, Limit, Page};
use crate::money::Credits;
use crate::statement::reconcile::{self, Outcome, Percent, Report, Tolerance};
use crate::statement::request::{Attempt, Request};
use crate::statement::time::When;
use crate::statement::usage::{Line, PaidWith};
use crate::store::{By, RowId, UsageRow, Used};

/// Lines of sums at the most: there is no next page of them.
const SUMS_MAX: u32 = 100_000;

/// By what usage is added up.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Group {
    /// Access key.
    Key,
    /// Account.
    Account,
    /// Provider and model.
    Model,
    /// Provider.
    Provider,
    /// Day on which attempts began, UTC.
    Day,
}

impl From<Group> for By {
    fn from(group: Group) -> Self {
        match group {
            Group::Key => Self::Key,
            Group::Account => Self::Account,
            Group::Model => Self::Model,
            Group::Provider => Self::Provider,
            Group::Day => Self::Day,
        }
    }
}

/// Which attempts, and by what they are added up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// By what.
    by: Group,
    /// How many lines at the most.
    #[serde(default)]
    limit: Limit<SUMS_MAX>,
    /// Attempts that began at this moment or later.
    from: Option<When>,
    /// Attempts that began before this moment.
    to: Option<When>,
    /// Attempts of the account of this number.
    #[schemars(range(min = 1))]
    account: Option<i64>,
    /// Attempts with the access key of this id.
    #[schemars(extend("pattern" = "^[0-9A-Za-z]{12}$"))]
    key: Option<String>,
    /// Attempts at the provider of this id.
    provider: Option<String>,
    /// Attempts with the model of this id, as its provider calls it.
    model: Option<String>,
    /// Attempts with a provider key of this source.
    credential: Option<PaidWith>,
}

/// Which attempts. Its own type because serde cannot refuse what is unknown in a part that two types share.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// How many at the most.
    #[serde(default)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<After>,
    /// Attempts that began at this moment or later.
    from: Option<When>,
    /// Attempts that began before this moment.
    to: Option<When>,
    /// Attempts of the account of this number.
    #[schemars(range(min = 1))]
    account: Option<i64>,
    /// Attempts with the access key of this id.
    #[schemars(extend("pattern" = "^[0-9A-Za-z]{12}$"))]
    key: Option<String>,
    /// Attempts at the provider of this id.
    provider: Option<String>,
    /// Attempts with the model of this id, as its provider calls it.
    model: Option<String>,
    /// Attempts with a provider key of this source.
    credential: Option<PaidWith>,
}

impl Sums {
    fn used(&self) -> Result<Used, Fault> {
        Ok(Used {
            from: self.from.map(milliseconds),
            to: self.to.map(milliseconds),
            account: super::account_numbered(self.account)?.map(AccountId),
            key: key(self.key.as_deref())?,
            provider: self.provider.clone(),
            model: self.model.clone(),
            credential: self.credential.map(PaidWith::as_str),
        })
    }
}

impl Rows {
    fn used(&self) -> Result<Used, Fault> {
        Ok(Used {
            from: self.from.map(milliseconds),
            to: self.to.map(milliseconds),
            account: super::account_numbered(self.account)?.map(AccountId),
            key: key(self.key.as_deref())?,
            provider: self.provider.clone(),
            model: self.model.clone(),
            credential: self.credential.map(PaidWith::as_str),
        })
    }
}

fn milliseconds(when: When) -> i64 {
    when.0.as_millisecond()
}

fn key(id: Option<&str>) -> Result<Option<KeyId>, Fault> {
    let id = id.map(str::parse::<KeyId>).transpose();
    id.map_err(|error| {
        Fault::new(
            Code::InvalidRequest,
            format!("the query is wrong: `key`: {error}"),
        )
    })
}

/// Usage, added up.
#[derive(Serialize, JsonSchema)]
pub struct Usage {
    /// By day, in their order; else those that were paid most for first.
    lines: Vec<Line>,
    /// Whether there are more than these.
    truncated: bool,
}

/// Adds usage up.
pub struct Sum;

impl Operation for Sum {
    type Query = Sums;
    type Body = Nothing;
    type Answer = Usage;

    const IS_HEAVY: bool = true;

    async fn run(app: &AdminApp, asked: Asked<Sums, Nothing>) -> Result<Usage, Fault> {
        let (by, limit) = (By::from(asked.query.by), asked.query.limit);
        let used = asked.query.used()?;
        let mut sums = app.store.usage_sums(&used, by, limit.and_one()).await?;
        let truncated = sums.len() > limit.get();
        sums.truncate(limit.get());
        Ok(Usage {
            lines: sums.into_iter().map(|sum| Line::new(sum, by)).collect(),
            truncated,
        })
    }
}

/// An attempt, with the request and the account that it is of.
#[derive(Serialize, JsonSchema)]
pub struct Row {
    /// The number of the row.
    id: i64,
    /// The request's id.
    request: String,
    /// The account's number.
    account: i64,
    #[serde(flatten)]
    attempt: Attempt,
}

impl From<UsageRow> for Row {
    fn from(row: UsageRow) -> Self {
        Self {
            id: row.id.0,
            request: row.request.clone(),
            account: row.account.0,
            attempt: row.into(),
        }
    }
}

/// Lists attempts.
pub struct List;

impl Operation for List {
    type Query = Rows;
    type Body = Nothing;
    type Answer = Page<Row>;

    const IS_HEAVY: bool = true;

    async fn run(app: &AdminApp, asked: Asked<Rows, Nothing>) -> Result<Self::Answer, Fault> {
        let (used, limit) = (asked.query.used()?, asked.query.limit);
        let after = RowId(asked.query.cursor.map_or(0, |after| after.0));
        let rows = app.store.usage_page(&used, after, limit.and_one()).await?;
        let cursor = |row: &UsageRow| row.id.0.to_string();
        Ok(Page::of(rows, limit, cursor, Row::from))
    }
}

/// Shows a request.
pub struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Request;

    const FAULTS: &'static [Code] = &[Code::UnknownRequest];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Nothing>) -> Result<Request, Fault> {
        let rows = app
            .store
            .attempts_of(asked.params.get("request"), None)
            .await?;
        Request::of(rows).ok_or_else(|| {
            let message = "no attempt of such a request is known";
            Fault::new(Code::UnknownRequest, message)
        })
    }
}

/// A provider's report, and how it is compared.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// The texts of the files or pages: CSV or JSON, as the provider gives them.
    #[schemars(length(min = 1), extend("examples" = [["day,model,input,output,cost\n2026-01-31,gpt-4o,1000,50,0.003\n"]]))]
    reports: Vec<String>,
    /// Whose they are, where they do not say so themselves.
    #[schemars(extend("examples" = ["openai"]))]
    provider: Option<String>,
    /// Attempts with a provider key of this source are compared; `gateway` by default.
    credential: Option<PaidWith>,
    /// By how many percent the two may differ; 0 by default.
    tolerance_percent: Option<Percent>,
    /// By how many dollars a cost may differ; 0 by default.
    tolerance_dollars: Option<Credits>,
}

/// Compares a provider's report.
pub struct Reconcile;

impl Operation for Reconcile {
    type Query = Nothing;
    type Body = Reported;
    type Answer = Outcome;

    const IS_HEAVY: bool = true;
    const HAS_BODY: bool = true;
    /// A month of a large organisation, by day and model.
    const BODY_MAX: usize = 4 << 20;
    const FAULTS: &'static [Code] = &[Code::Unprocessable];

    async fn run(app: &AdminApp, asked: Asked<Nothing, Reported>) -> Result<Outcome, Fault> {
        let Reported {
            reports,
            provider,
            credential,
            tolerance_percent,
            tolerance_dollars,
        } = asked.body;
        let refused = |message: String| Fault::new(Code::Unprocessable, message);
        let report = Report::of_all(&reports).map_err(refused)?;
        let question = reconcile::Question::new(&report, provider, credential).map_err(refused)?;
        let tolerance = Tolerance {
            ppm: tolerance_percent.unwrap_or_default().ppm(),
            dollars: tolerance_dollars.unwrap_or_default(),
        };
        let limit = reconcile::LINES_MAX;
        let rows = app
            .store
            .usage_sums(&question.used(), By::DayAndModel, limit)
            .await?;
        Ok(question.compare(&rows, tolerance))
    }
}
