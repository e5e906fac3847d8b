//! Drain mode: `/readyz` says 503, so that load balancers send requests elsewhere, while whatever still comes is served.

use schemars::JsonSchema;
use serde::Serialize;

use super::answer;
use super::process::good;
use super::route::{Access, Row, Verb, plain};

pub(super) const ROWS: &[Row] = &[
    Row {
        verb: Verb::Post,
        path: "/drain",
        name: "drain",
        summary: "Have /readyz say 503, so that load balancers send requests elsewhere; what comes is served all the same",
        access: Access::Guarded,
        describe: |schemas| good(schemas.answered::<Drained>(), schemas),
        run: |app, _| {
            plain(async {
                app.control.drain(true);
                answer::json(200, &Drained { draining: true })
            })
        },
    },
    Row {
        verb: Verb::Delete,
        path: "/drain",
        name: "endDrain",
        summary: "Have /readyz say again whether requests can be served",
        access: Access::Guarded,
        describe: |schemas| good(schemas.answered::<Drained>(), schemas),
        run: |app, _| {
            plain(async {
                app.control.drain(false);
                answer::json(200, &Drained { draining: false })
            })
        },
    },
];

/// Whether load balancers are told to send requests elsewhere.
#[derive(Serialize, JsonSchema)]
struct Drained {
    draining: bool,
}
