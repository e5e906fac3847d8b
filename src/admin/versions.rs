//! The versions of the catalog as the admin listener tells of them, and what it answers to a rollback.

use http::{Response, StatusCode};
use serde::Serialize;

use super::{error, json};

/// A version of the catalog that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its name.
    pub version: String,
    /// When it was taken into use, as RFC 3339 writes it.
    pub since: String,
    /// Whether it is the one in use.
    pub in_use: bool,
}

/// Why there was no rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRollback {
    /// No such version is kept, or it is the one in use.
    NotKept,
    /// Every problem; nothing has changed.
    Problems(Vec<String>),
}

#[derive(Serialize)]
struct Versions<'a> {
    versions: &'a [Version],
}

pub(super) fn listed(versions: &[Version]) -> Response<Vec<u8>> {
    json(StatusCode::OK, &Versions { versions })
}

/// The version in the query; nothing where there is none.
pub(super) fn asked_for(query: Option<&str>) -> Result<Option<String>, &'static str> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(None);
    };
    match query.strip_prefix("version=") {
        Some(version)
            if !version.is_empty() && version.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            Ok(Some(version.to_owned()))
        }
        _ => Err("the query can be `version=` and a version of /catalog/versions, nothing else"),
    }
}

#[derive(Serialize)]
struct Outcome {
    rolled_back: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

pub(super) fn rolled_back(outcome: Result<String, NoRollback>) -> Response<Vec<u8>> {
    match outcome {
        Ok(version) => json(
            StatusCode::OK,
            &Outcome {
                rolled_back: true,
                catalog: Some(version),
                problems: Vec::new(),
            },
        ),
        Err(NoRollback::Problems(problems)) => json(
            StatusCode::UNPROCESSABLE_ENTITY,
            &Outcome {
                rolled_back: false,
                catalog: None,
                problems,
            },
        ),
        Err(NoRollback::NotKept) => {
            let message = "no such version is kept beside the one in use; /catalog/versions lists those that are";
            error(StatusCode::CONFLICT, "not_kept", message)
        }
    }
}
