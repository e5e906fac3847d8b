//! `tollgate log levels`: how much the running gateway tells, by module.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::admin::Gateway;
use super::exit::Failure;
use super::form::Form;
use super::running::good;
use super::terminal::Out;
use super::{form, one};

/// Where the levels are.
const TARGET: &str = "/log/levels";

/// What can be done with the log of a running gateway.
#[derive(Clone, Debug, Subcommand)]
pub enum LogCommand {
    /// Show how much is told of what, or change it until the next restart
    Levels(LevelsOptions),
}

/// Which levels.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tollgate log levels\n  tollgate log levels tollgate::proxy=debug\n  tollgate log levels --default warn tollgate::server=info\n  tollgate log levels --reset\n\nLevels are off, error, warn, info, debug and trace. What is changed is not kept: a restart goes by log.level again."
)]
pub struct LevelsOptions {
    #[command(flatten)]
    gateway: Gateway,
    /// A module, as `target` in the log, and its level; others stay as they are
    #[arg(value_name = "MODULE=LEVEL", value_parser = level)]
    modules: Vec<(String, String)>,
    /// The level of Tollgate's modules that are not named
    #[arg(long, value_name = "LEVEL")]
    default: Option<String>,
    /// First go back to what is configured
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    form: Form,
}

fn level(text: &str) -> Result<(String, String), String> {
    let (name, level) = text
        .split_once('=')
        .ok_or("a module and its level, as tollgate::proxy=debug")?;
    Ok((name.to_owned(), level.to_owned()))
}

/// Does what was asked.
///
/// # Errors
/// What the gateway says against it, or that there is none.
pub fn run(command: &LogCommand, out: &mut dyn Out) -> Result<(), Failure> {
    let LogCommand::Levels(options) = command;
    let changes = options.reset || options.default.is_some() || !options.modules.is_empty();
    let mut answer = good(options.gateway.ask("GET", TARGET)?)?;
    if changes {
        let wanted = wanted(options, &answer.body).to_string();
        answer = good(options.gateway.send("PUT", TARGET, Some(&wanted))?)?;
    }
    Ok(show(options, &answer.body, out).map_err(one)?)
}

/// The levels in use with the changes that are asked for.
fn wanted(options: &LevelsOptions, in_use: &Value) -> Value {
    let mut all = Map::new();
    let mut modules = Map::new();
    if !options.reset {
        all.insert("default".to_owned(), in_use["default"].clone());
        modules = in_use["modules"].as_object().cloned().unwrap_or_default();
    }
    if let Some(level) = &options.default {
        all.insert("default".to_owned(), level.as_str().into());
    }
    let named = options.modules.iter().cloned();
    modules.extend(named.map(|(name, level)| (name, level.into())));
    all.insert("modules".to_owned(), modules.into());
    all.into()
}

fn show(options: &LevelsOptions, levels: &Value, out: &mut dyn Out) -> std::io::Result<()> {
    if options.form.json {
        return form::json(out, levels);
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let modules = levels["modules"].as_object();
    let width = modules
        .into_iter()
        .flatten()
        .map(|(name, _)| name.len())
        .fold("default".len(), usize::max);
    writeln!(
        out,
        "{:width$}  {}  (configured: {})",
        "default",
        word(&levels["default"]),
        word(&levels["configured"])
    )?;
    for (name, level) in modules.into_iter().flatten() {
        writeln!(out, "{name:width$}  {}", word(level))?;
    }
    Ok(())
}
