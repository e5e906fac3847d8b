//! A request with all its attempts: what each used, what it cost and why.

use schemars::JsonSchema;
use serde::Serialize;

use super::time::Moment;
use super::usage::Tokens;
use crate::money::Credits;
use crate::store::{RowState, UsageRow};

/// A request.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Request {
    /// Its id, as in `Tollgate-Request-Id`.
    pub id: String,
    /// Whether an attempt is under way still.
    pub open: bool,
    /// What the account paid for all attempts.
    pub cost: Charge,
    /// Its attempts that went to a provider, in order.
    pub attempts: Vec<Attempt>,
}

/// What was paid, in dollars.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Charge {
    /// For the model.
    pub model: Credits,
    /// The processing fee.
    pub fee: Credits,
    /// Both.
    pub total: Credits,
}

/// What has become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is under way.
    Held,
    /// It has ended, and was charged what it cost.
    Settled,
    /// It has ended, and nothing was served.
    Void,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled => "settled",
            Self::Void => "void",
        }
    }
}

/// An attempt that went to a provider.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Attempt {
    /// Which of the request's attempts it is, from 1.
    pub attempt: i64,
    /// The id of the access key that it came with.
    pub key: String,
    /// The provider's id.
    pub provider: String,
    /// The model's id, as its provider calls it.
    pub model: String,
    /// The API shape.
    pub surface: String,
    /// Whose provider key was used: `gateway`, `byok`, `request` or `none`.
    pub credential: String,
    /// What has become of it.
    pub state: State,
    /// How it ended, as in `Tollgate-Attempts`.
    pub outcome: Option<String>,
    /// The status of the provider's answer.
    pub status: Option<i64>,
    /// The provider's own id of it.
    pub upstream_id: Option<String>,
    /// When it began.
    pub started: Moment,
    /// When it ended.
    pub ended: Option<Moment>,
    /// What was used.
    pub tokens: Tokens,
    /// The service tier that served it.
    pub tier: Option<String>,
    /// What was held for it.
    pub held: Credits,
    /// What the account paid for it.
    pub cost: Charge,
    /// What the operator paid for it in place of the account: all where it was given up for another attempt, and what is
    /// above `held`.
    pub paid_by_operator: Credits,
    /// Why the counts are estimates; null: the provider told them.
    pub estimated: Option<String>,
    /// What else is to be known: `bounded`, `absurd`, `unpriced`, `given_up`.
    pub flags: Vec<String>,
    /// The version of the catalog whose prices were used.
    pub catalog: String,
}

impl Charge {
    fn new(model: Credits, fee: Credits) -> Self {
        let total = model.nanos().saturating_add(fee.nanos());
        Self {
            model,
            fee,
            total: Credits::from_nanos(total),
        }
    }
}

impl From<UsageRow> for Attempt {
    fn from(row: UsageRow) -> Self {
        Self {
            attempt: row.attempt,
            key: row.key,
            provider: row.provider,
            model: row.model,
            surface: row.surface,
            credential: row.credential,
            state: match row.state {
                RowState::Held => State::Held,
                RowState::Settled => State::Settled,
                RowState::Void => State::Void,
            },
            outcome: row.outcome,
            status: row.status,
            upstream_id: row.upstream_id,
            started: Moment(row.started),
            ended: row.ended.map(Moment),
            tokens: row.counts.into(),
            tier: row.tier,
            held: row.held,
            cost: Charge::new(row.cost.charged, row.cost.fee),
            paid_by_operator: row.cost.absorbed,
            estimated: row.estimated,
            flags: row.flags.names().map(str::to_owned).collect(),
            catalog: row.catalog,
        }
    }
}

impl Request {
    /// A request of these rows; `None` where there are none.
    #[must_use]
    pub fn of(rows: Vec<UsageRow>) -> Option<Self> {
        let id = rows.first()?.request.clone();
        let sum = |of: fn(&UsageRow) -> Credits| {
            let nanos = rows.iter().map(|row| of(row).nanos());
            Credits::from_nanos(nanos.fold(0, i64::saturating_add))
        };
        Some(Self {
            id,
            open: rows.iter().any(|row| row.state == RowState::Held),
            cost: Charge::new(sum(|row| row.cost.charged), sum(|row| row.cost.fee)),
            attempts: rows.into_iter().map(Attempt::from).collect(),
        })
    }
}
