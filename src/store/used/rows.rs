//! Usage rows as they stand.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use super::Used;
use crate::access::AccountId;
use crate::money::Credits;
use crate::store::{Flags, RowId, Store, StoreError};

/// Rows that [`Store::attempts_of`] tells at the most: a request has ten attempts.
const ATTEMPTS_MAX: i64 = 100;

/// What has become of an attempt's charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It is under way.
    Held,
    /// It was charged what it cost, be that nothing.
    Settled,
    /// Nothing was served.
    Void,
}

/// A usage row. Counts are 0 where nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Its number.
    pub id: RowId,
    /// What has become of it.
    pub state: RowState,
    /// The request's id.
    pub request: String,
    /// Which of its attempts it is, from 1.
    pub attempt: i64,
    /// Who pays.
    pub account: AccountId,
    /// The access key's id.
    pub key: String,
    /// The provider's id.
    pub provider: String,
    /// The model's id, as its provider calls it.
    pub model: String,
    /// The surface's name.
    pub surface: String,
    /// Whose provider key was used.
    pub credential: String,
    /// The version of the catalog whose prices were used.
    pub catalog: String,
    /// What was held.
    pub held: Credits,
    /// When it began, in Unix milliseconds.
    pub started: i64,
    /// When it ended, in Unix milliseconds.
    pub ended: Option<i64>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The status of the provider's answer.
    pub status: Option<i64>,
    /// The provider's own id of it.
    pub upstream_id: Option<String>,
    /// What was used.
    pub counts: Tokens,
    /// The service tier that served it.
    pub tier: Option<String>,
    /// What it cost.
    pub cost: Cost,
    /// Why the counts are estimates.
    pub estimated: Option<String>,
    /// What else is to be known.
    pub flags: Flags,
}

/// Tokens by kind, as in [`Usage`](crate::usage::Usage): `input` and `output` are totals, the others parts of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Read.
    pub input: i64,
    /// Of them: from a cache.
    pub cached: i64,
    /// Of them: written to a cache, for however long.
    pub cache_write: i64,
    /// Of them: sound.
    pub audio_input: i64,
    /// Of them: images.
    pub image_input: i64,
    /// Written.
    pub output: i64,
    /// Of them: thoughts.
    pub reasoning: i64,
    /// Of them: sound.
    pub audio_output: i64,
    /// Of them: images.
    pub image_output: i64,
    /// Searches of the web, which are no tokens.
    pub searches: i64,
}

/// What was charged, and to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// To the account, for the model.
    pub charged: Credits,
    /// To the account, as a fee.
    pub fee: Credits,
    /// To the operator.
    pub absorbed: Credits,
}

impl Cost {
    /// What the account paid.
    #[must_use]
    pub fn paid(&self) -> Credits {
        Credits::from_nanos(self.charged.nanos().saturating_add(self.fee.nanos()))
    }
}

const ROW: &str = "\
    SELECT u.id, u.state, u.request, u.attempt, u.account, u.access_key, u.provider, u.model, u.surface, u.credential, \
    u.catalog, u.held, u.started, u.ended, u.outcome, u.status, u.upstream_id, u.tier, u.estimated, u.flags, \
    u.charged, u.fee, u.absorbed, \
    COALESCE(u.input, 0) AS input, COALESCE(u.cached, 0) AS cached, \
    COALESCE(u.cache_write, 0) + COALESCE(u.cache_write_1h, 0) AS cache_write, \
    COALESCE(u.audio_input, 0) AS audio_input, COALESCE(u.image_input, 0) AS image_input, \
    COALESCE(u.output, 0) AS output, COALESCE(u.reasoning, 0) AS reasoning, \
    COALESCE(u.audio_output, 0) AS audio_output, COALESCE(u.image_output, 0) AS image_output, \
    COALESCE(u.searches, 0) AS searches FROM usage u WHERE ";

impl FromRow<'_, SqliteRow> for Tokens {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            input: row.try_get("input")?,
            cached: row.try_get("cached")?,
            cache_write: row.try_get("cache_write")?,
            audio_input: row.try_get("audio_input")?,
            image_input: row.try_get("image_input")?,
            output: row.try_get("output")?,
            reasoning: row.try_get("reasoning")?,
            audio_output: row.try_get("audio_output")?,
            image_output: row.try_get("image_output")?,
            searches: row.try_get("searches")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Cost {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            charged: Credits::from_nanos(row.try_get("charged")?),
            fee: Credits::from_nanos(row.try_get("fee")?),
            absorbed: Credits::from_nanos(row.try_get("absorbed")?),
        })
    }
}

impl FromRow<'_, SqliteRow> for UsageRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let flags: i64 = row.try_get("flags")?;
        Ok(Self {
            id: RowId(row.try_get("id")?),
            state: match row.try_get::<i64, _>("state")? {
                0 => RowState::Held,
                1 => RowState::Settled,
                _ => RowState::Void,
            },
            request: row.try_get("request")?,
            attempt: row.try_get("attempt")?,
            account: AccountId(row.try_get("account")?),
            key: row.try_get("access_key")?,
            provider: row.try_get("provider")?,
            model: row.try_get("model")?,
            surface: row.try_get("surface")?,
            credential: row.try_get("credential")?,
            catalog: row.try_get("catalog")?,
            held: Credits::from_nanos(row.try_get("held")?),
            started: row.try_get("started")?,
            ended: row.try_get("ended")?,
            outcome: row.try_get("outcome")?,
            status: row.try_get("status")?,
            upstream_id: row.try_get("upstream_id")?,
            counts: Tokens::from_row(row)?,
            tier: row.try_get("tier")?,
            cost: Cost::from_row(row)?,
            estimated: row.try_get("estimated")?,
            flags: Flags::from_bits(u8::try_from(flags & 0xff).unwrap_or_default()),
        })
    }
}

impl Store {
    /// At most `limit` rows behind the row `after`, in the order in which they began; those under way included.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage_page(
        &self,
        used: &Used,
        after: RowId,
        limit: u32,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ROW);
        query.push("u.id > ").push_bind(after.0);
        used.push(&mut query);
        query
            .push(" ORDER BY u.id LIMIT ")
            .push_bind(i64::from(limit));
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }

    /// The attempts of a request, in their order; only those of `account` where one is given.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attempts_of(
        &self,
        request: &str,
        account: Option<AccountId>,
    ) -> Result<Vec<UsageRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(ROW);
        query.push("u.request = ").push_bind(request.to_owned());
        if let Some(account) = account {
            // The plus keeps SQLite from taking the index by account, which is the longer way.
            query.push(" AND +u.account = ").push_bind(account.0);
        }
        query
            .push(" ORDER BY u.attempt, u.id LIMIT ")
            .push_bind(ATTEMPTS_MAX);
        Ok(query.build_query_as().fetch_all(&self.pool).await?)
    }
}
