//! How much is told of what, while it runs: the levels of the log, by module. What is said here is not kept: a restart goes by
//! the configuration again.

use std::collections::BTreeMap;

use ::log::LevelFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AdminApp;
use super::fault::{Code, Fault};
use super::operation::{Asked, Nothing, Operation, row};
use super::route::{Row, Verb};
use crate::log::{Levels, logger};

pub(super) const ROWS: &[Row] = &[
    row::<Get>(
        Verb::Get,
        "/log/levels",
        "getLogLevels",
        "How much is told in the log, by module",
    ),
    row::<Put>(
        Verb::Put,
        "/log/levels",
        "setLogLevels",
        "Have more or less told in the log, until the next call or a restart; what is left out is as configured",
    ),
];

/// How much is told: that, and what is worse.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LevelFilter> for Level {
    fn from(level: LevelFilter) -> Self {
        match level {
            LevelFilter::Off => Self::Off,
            LevelFilter::Error => Self::Error,
            LevelFilter::Warn => Self::Warn,
            LevelFilter::Info => Self::Info,
            LevelFilter::Debug => Self::Debug,
            LevelFilter::Trace => Self::Trace,
        }
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::Off,
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

/// The levels that are to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// That of Tollgate's modules that are not named; `log.level` by default.
    default: Option<Level>,
    /// Those of modules, named as `target` does in the log, and of all in them. Libraries can be heard from `warn` on.
    #[serde(default)]
    modules: BTreeMap<String, Level>,
}

/// The levels in use.
#[derive(Serialize, JsonSchema)]
pub struct InUse {
    /// That of Tollgate's modules that are not named.
    default: Level,
    /// Those of modules.
    modules: BTreeMap<String, Level>,
    /// What the configuration says (`log.level`).
    configured: Level,
}

/// Tells the levels.
struct Get;

impl Operation for Get {
    type Query = Nothing;
    type Body = Nothing;
    type Answer = InUse;

    const FAULTS: &'static [Code] = &[Code::NotReady];

    async fn run(_: &AdminApp, _: Asked<Nothing, Nothing>) -> Result<InUse, Fault> {
        in_use()
    }
}

/// Sets them.
struct Put;

impl Operation for Put {
    type Query = Nothing;
    type Body = Wanted;
    type Answer = InUse;

    const HAS_BODY: bool = true;
    const FAULTS: &'static [Code] = &[Code::NotReady, Code::Unprocessable];

    async fn run(_: &AdminApp, asked: Asked<Nothing, Wanted>) -> Result<InUse, Fault> {
        let (_, configured) = known()?;
        let Wanted { default, modules } = asked.body;
        let level = |(name, level): (String, Level)| (name, level.into());
        let levels = Levels {
            default: default.map_or(configured.default, Into::into),
            modules: modules.into_iter().map(level).collect(),
        };
        let levels = levels.checked();
        let levels = levels.map_err(|words| Fault::new(Code::Unprocessable, words))?;
        logger::set_levels(levels);
        in_use()
    }
}

fn in_use() -> Result<InUse, Fault> {
    let (levels, configured) = known()?;
    let level = |(name, level): (&String, &LevelFilter)| (name.clone(), (*level).into());
    Ok(InUse {
        default: levels.default.into(),
        modules: levels.modules.iter().map(level).collect(),
        configured: configured.default.into(),
    })
}

/// A process that never began to log has none.
fn known() -> Result<(std::sync::Arc<Levels>, Levels), Fault> {
    let none = || Fault::new(Code::NotReady, "this process has no log");
    logger::levels().ok_or_else(none)
}
