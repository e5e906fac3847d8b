//! What operators changed, as it is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Time;
use crate::store::AuditRow;

/// A change that was made, or refused.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// Its number; later ones have higher numbers.
    pub id: i64,
    /// When.
    pub at: Time,
    /// Who: `token:` and a part of the digest of the admin token, `loopback` or `socket` where there is no token; behind it,
    /// or alone where a command changed the store itself, `cli:` and the Unix user.
    pub who: String,
    /// What, by the `operationId` of this API.
    pub operation: String,
    /// What it was about: `account 1`, `key 2f8k1m0qXYZ0`, `grant 3`, `provider_key pk-…`, or `gateway`.
    pub object: String,
    /// `done`; else the code of the refusal, or `status_` and the status of the answer.
    pub outcome: String,
    /// What was changed of it; never a secret.
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl From<AuditRow> for Entry {
    #[allow(
        clippy::disallowed_methods,
        reason = "off the request path, and what we wrote ourselves"
    )]
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: Time(row.at),
            who: row.who,
            operation: row.operation,
            object: row.object,
            outcome: row.outcome,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
        }
    }
}
