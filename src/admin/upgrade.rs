//! Another program is to take over, and what came of it.

use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer, JSON};
use super::fault::{Code, Fault};
use super::process::good;
use super::route::{Access, Row, Verb, plain};

pub(super) const ROWS: &[Row] = &[Row {
    verb: Verb::Post,
    path: "/upgrade",
    name: "upgrade",
    summary: "Start the program's file anew and have it take over, without a connection refused or cut; waits for what comes of it",
    access: Access::Guarded,
    describe: |schemas| {
        let form = schemas.answered::<Upgraded>();
        let mut shape = good(form.clone(), schemas);
        shape.answers.push((422, JSON, form));
        shape.faults.push(Code::UpgradeInProgress);
        shape
    },
    run: |app, _| plain(async { upgraded(app.control.upgrade().await) }),
}];

/// Why another did not take over; this process goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoUpgrade {
    /// Another upgrade is under way.
    UnderWay,
    /// Every problem.
    Problems(Vec<String>),
}

/// What an upgrade came to.
#[derive(Serialize, JsonSchema)]
struct Upgraded {
    upgraded: bool,
    /// The process that took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    /// Why none did; nothing has changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

fn upgraded(outcome: Result<u32, NoUpgrade>) -> Answer {
    match outcome {
        Ok(process) => {
            let done = Upgraded {
                upgraded: true,
                process: Some(process),
                problems: Vec::new(),
            };
            answer::json(200, &done)
        }
        Err(NoUpgrade::Problems(problems)) => {
            let not_done = Upgraded {
                upgraded: false,
                process: None,
                problems,
            };
            answer::json(422, &not_done)
        }
        Err(NoUpgrade::UnderWay) => {
            let message = "another upgrade is under way; wait for what comes of it";
            Fault::new(Code::UpgradeInProgress, message).answer()
        }
    }
}
