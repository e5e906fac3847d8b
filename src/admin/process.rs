//! What the admin listener tells of the process and its catalog, and how it is told to reload.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer, JSON};
use super::fault::{Code, Fault};
use super::openapi::{Schemas, Shape};
use super::operation::Nothing;
use super::route::{Access, Row, Verb, plain};
use super::{LedgerState, Readiness, Reloaded, openapi};
use crate::metrics;

pub(super) const ROWS: &[Row] = &[
    Row {
        verb: Verb::Get,
        path: "/healthz",
        name: "getHealth",
        summary: "Whether the process lives",
        access: Access::Open,
        describe: |schemas| good(schemas.answered::<Health>(), schemas),
        run: |_, _| plain(async { answer::json(200, &Health { ok: true }) }),
    },
    Row {
        verb: Verb::Get,
        path: "/readyz",
        name: "getReadiness",
        summary: "Whether requests can be served now; why, for whom the guard lets in",
        access: Access::Open,
        describe: |schemas| {
            let form = schemas.answered::<Ready<'_>>();
            let mut shape = good(form.clone(), schemas);
            shape.answers.push((503, JSON, form));
            shape
        },
        run: |app, call| {
            let allowed = call.allowed;
            plain(async move { ready(&app.control.readiness(), allowed) })
        },
    },
    Row {
        verb: Verb::Get,
        path: "/metrics",
        name: "getMetrics",
        summary: "All metrics, for Prometheus",
        access: Access::Guarded,
        describe: |schemas| Shape {
            answers: vec![(200, "text/plain", schemas.answered::<String>())],
            ..good(schemas.answered::<String>(), schemas)
        },
        run: |app, _| {
            plain(async { answer::respond(200, metrics::CONTENT_TYPE, app.metrics.render()) })
        },
    },
    Row {
        verb: Verb::Get,
        path: "/catalog",
        name: "getCatalog",
        summary: "What users see of the catalog in use",
        access: Access::Guarded,
        describe: |schemas| Shape {
            faults: vec![Code::NotReady],
            ..good(schemas.answered::<Outlined>(), schemas)
        },
        run: |app, _| plain(async { catalog(app.control.catalog().await) }),
    },
    Row {
        verb: Verb::Post,
        path: "/reload",
        name: "reload",
        summary: "Read configuration, secrets, certificates and catalog again",
        access: Access::Guarded,
        describe: |schemas| {
            let form = schemas.answered::<Outcome>();
            let mut shape = good(form.clone(), schemas);
            shape.answers.push((422, JSON, form));
            shape
        },
        run: |app, _| plain(async { reloaded(app.control.reload().await) }),
    },
    Row {
        verb: Verb::Get,
        path: "/api/v1/openapi.json",
        name: "getOpenApi",
        summary: "This document",
        access: Access::Guarded,
        describe: |schemas| good(schemas.answered::<Document>(), schemas),
        run: |_, _| plain(async { answer::respond(200, JSON, openapi::document().into_bytes()) }),
    },
];

/// A row without parameters that answers with 200.
pub(super) fn good(form: schemars::Schema, schemas: &mut Schemas) -> Shape {
    Shape {
        query: schemas.asked::<Nothing>(),
        body: None,
        answers: vec![(200, JSON, form)],
        faults: Vec::new(),
    }
}

/// That the process lives.
#[derive(Serialize, JsonSchema)]
struct Health {
    ok: bool,
}

/// The catalog, as `tollgate check --against-running` compares it.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct Outlined(serde_json::Map<String, serde_json::Value>);

/// An OpenAPI document.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "only its schema is used")]
struct Document(serde_json::Map<String, serde_json::Value>);

/// Whether requests can be served.
#[derive(Serialize, JsonSchema)]
struct Ready<'a> {
    ready: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

/// Why.
#[derive(Serialize, JsonSchema)]
struct Details<'a> {
    /// Version of the catalog in use.
    catalog: Option<&'a str>,
    /// Access keys known.
    access_keys: u64,
    /// Provider keys of accounts that no master key opens.
    #[serde(skip_serializing_if = "is_none")]
    provider_keys_unusable: u64,
    /// Whether the store answers.
    store: bool,
    /// Whether what requests cost is written down; where it is not, requests on the operator's keys are refused.
    ledger: LedgerState,
    /// Whether the process is ending, or was told by `/drain` to have requests sent elsewhere.
    draining: bool,
    /// Endpoints that are not ready.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ejected: &'a [String],
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

fn ready(readiness: &Readiness, in_full: bool) -> Answer {
    let details = in_full.then_some(Details {
        catalog: readiness.catalog.as_deref(),
        access_keys: readiness.access_keys,
        provider_keys_unusable: readiness.provider_keys_unusable,
        store: readiness.store,
        ledger: readiness.ledger,
        draining: readiness.draining,
        ejected: &readiness.ejected,
    });
    let ready = readiness.ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer::json(status.as_u16(), &Ready { ready, details })
}

fn catalog(outline: Option<Vec<u8>>) -> Answer {
    match outline {
        Some(body) => answer::respond(200, JSON, body),
        None => {
            let message = "no catalog is in use yet; try again shortly";
            Fault::new(Code::NotReady, message).answer()
        }
    }
}

/// What a reload came to.
#[derive(Serialize, JsonSchema)]
struct Outcome {
    reloaded: bool,
    /// Version of the catalog in use now.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<String>,
    /// Keys of the configuration that say otherwise than at the start, and are as they were until the next.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    at_next_start: Vec<&'static str>,
    /// Every mistake; nothing has changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

fn reloaded(outcome: Result<Reloaded, Vec<String>>) -> Answer {
    match outcome {
        Ok(now) => {
            let done = Outcome {
                reloaded: true,
                catalog: Some(now.catalog),
                at_next_start: now.at_next_start,
                problems: Vec::new(),
            };
            answer::json(200, &done)
        }
        Err(problems) => {
            let not_done = Outcome {
                reloaded: false,
                catalog: None,
                at_next_start: Vec::new(),
                problems,
            };
            answer::json(422, &not_done)
        }
    }
}
