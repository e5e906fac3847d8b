//! Usage rows, added up.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use super::{Cost, Tokens, Used};
use crate::store::{Store, StoreError};

/// By what usage is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
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
    /// Day, then provider and model.
    DayAndModel,
}

impl By {
    /// What stands in the columns `day`, `key`, `account`, `provider` and `model`, and what rows are grouped by.
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Key => (
                "NULL AS day, u.access_key AS key, MIN(u.account) AS account, NULL AS provider, NULL AS model",
                "u.access_key",
            ),
            Self::Account => (
                "NULL AS day, NULL AS key, u.account, NULL AS provider, NULL AS model",
                "u.account",
            ),
            Self::Model => (
                "NULL AS day, NULL AS key, NULL AS account, u.provider, u.model",
                "u.provider, u.model",
            ),
            Self::Provider => (
                "NULL AS day, NULL AS key, NULL AS account, u.provider, NULL AS model",
                "u.provider",
            ),
            Self::Day => (
                "u.started / 86400000 AS day, NULL AS key, NULL AS account, NULL AS provider, NULL AS model",
                "u.started / 86400000",
            ),
            Self::DayAndModel => (
                "u.started / 86400000 AS day, NULL AS key, NULL AS account, u.provider, u.model",
                "u.started / 86400000, u.provider, u.model",
            ),
        }
    }
}

/// Usage, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Days since 1970-01-01.
    pub day: Option<i64>,
    /// An access key's id.
    pub key: Option<String>,
    /// Its name.
    pub key_name: Option<String>,
    /// An account's number.
    pub account: Option<i64>,
    /// Its name.
    pub account_name: Option<String>,
    /// A provider's id.
    pub provider: Option<String>,
    /// A model's id, as its provider calls it.
    pub model: Option<String>,
    /// Requests.
    pub requests: i64,
    /// Their attempts, those that came to nothing included.
    pub attempts: i64,
    /// Attempts whose counts are estimates.
    pub estimated: i64,
    /// What was used.
    pub counts: Tokens,
    /// What it cost.
    pub cost: Cost,
}

const SUMS: &str = "\
    COUNT(DISTINCT u.request) AS requests, COUNT(*) AS attempts, COUNT(u.estimated) AS estimated, \
    SUM(u.charged) AS charged, SUM(u.fee) AS fee, SUM(u.absorbed) AS absorbed, \
    COALESCE(SUM(u.input), 0) AS input, COALESCE(SUM(u.cached), 0) AS cached, \
    SUM(COALESCE(u.cache_write, 0) + COALESCE(u.cache_write_1h, 0)) AS cache_write, \
    COALESCE(SUM(u.audio_input), 0) AS audio_input, COALESCE(SUM(u.image_input), 0) AS image_input, \
    COALESCE(SUM(u.output), 0) AS output, COALESCE(SUM(u.reasoning), 0) AS reasoning, \
    COALESCE(SUM(u.audio_output), 0) AS audio_output, COALESCE(SUM(u.image_output), 0) AS image_output, \
    COALESCE(SUM(u.searches), 0) AS searches FROM usage u WHERE u.state <> 0";

impl FromRow<'_, SqliteRow> for Sum {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            day: row.try_get("day")?,
            key: row.try_get("key")?,
            key_name: row.try_get("key_name")?,
            account: row.try_get("account")?,
            account_name: row.try_get("account_name")?,
            provider: row.try_get("provider")?,
            model: row.try_get("model")?,
            requests: row.try_get("requests")?,
            attempts: row.try_get("attempts")?,
            estimated: row.try_get("estimated")?,
            counts: Tokens::from_row(row)?,
            cost: Cost::from_row(row)?,
        })
    }
}

impl Store {
    /// What the attempts that have ended come to, by `by`: in the order of days, or of what the account paid, highest
    /// first. At most `limit` of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage_sums(
        &self,
        used: &Used,
        by: By,
        limit: u32,
    ) -> Result<Vec<Sum>, StoreError> {
        let (columns, groups) = by.columns();
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT s.*, k.name AS key_name, a.name AS account_name FROM (SELECT ",
        );
        query.push(columns).push(", ").push(SUMS);
        used.push_ended(&mut query);
        query.push(" GROUP BY ").push(groups);
        query.push(
            ") s LEFT JOIN access_keys k ON k.id = s.key LEFT JOIN accounts a ON a.id = s.account \
             ORDER BY s.day, s.charged + s.fee DESC, s.absorbed DESC, s.key, s.account, s.provider, s.model LIMIT ",
        );
        query.push_bind(i64::from(limit));
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }
}
