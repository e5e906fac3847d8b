//! The versions of the catalog as the admin listener tells of them, and what it answers to a rollback.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer, JSON};
use super::fault::{Code, Fault};
use super::openapi::Shape;
use super::process::good;
use super::route::{Access, Row, Verb, plain};

pub(super) const ROWS: &[Row] = &[
    Row {
        verb: Verb::Get,
        path: "/catalog/versions",
        name: "listCatalogVersions",
        summary: "The versions of the catalog that are kept, newest first",
        access: Access::Guarded,
        describe: |schemas| good(schemas.answered::<Versions<'_>>(), schemas),
        run: |app, _| plain(async { listed(&app.control.versions().await) }),
    },
    Row {
        verb: Verb::Post,
        path: "/catalog/rollback",
        name: "rollBackCatalog",
        summary: "Go back to the catalog before the one in use, or to a version that is kept",
        access: Access::Guarded,
        describe: |schemas| {
            let form = schemas.answered::<Outcome>();
            Shape {
                query: schemas.asked::<To>(),
                body: None,
                answers: vec![(200, JSON, form.clone()), (422, JSON, form)],
                faults: vec![Code::InvalidRequest, Code::NotKept],
            }
        },
        run: |app, call| {
            let to = asked_for(call.session.req_header().uri.query());
            plain(async {
                match to {
                    Ok(to) => rolled_back(app.control.rollback(to).await),
                    Err(message) => Fault::new(Code::InvalidRequest, message).answer(),
                }
            })
        },
    },
];

/// A version of the catalog that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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

/// The versions that are kept.
#[derive(Serialize, JsonSchema)]
struct Versions<'a> {
    versions: &'a [Version],
}

/// Where to go back to.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct To {
    /// A version of `/catalog/versions`; by default the one before that in use.
    #[schemars(extend("pattern" = "^[0-9A-Za-z]+$"))]
    version: Option<String>,
}

fn listed(versions: &[Version]) -> Answer {
    answer::json(200, &Versions { versions })
}

/// The version in the query; nothing where there is none.
fn asked_for(query: Option<&str>) -> Result<Option<String>, &'static str> {
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

/// What a rollback came to.
#[derive(Serialize, JsonSchema)]
struct Outcome {
    rolled_back: bool,
    /// Version of the catalog in use now.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<String>,
    /// Every mistake; nothing has changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

fn rolled_back(outcome: Result<String, NoRollback>) -> Answer {
    match outcome {
        Ok(version) => {
            let done = Outcome {
                rolled_back: true,
                catalog: Some(version),
                problems: Vec::new(),
            };
            answer::json(200, &done)
        }
        Err(NoRollback::Problems(problems)) => {
            let not_done = Outcome {
                rolled_back: false,
                catalog: None,
                problems,
            };
            answer::json(422, &not_done)
        }
        Err(NoRollback::NotKept) => {
            let message = "no such version is kept beside the one in use; /catalog/versions lists those that are";
            Fault::new(Code::NotKept, message).answer()
        }
    }
}
