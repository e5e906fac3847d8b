//! `tollgate reload`, `tollgate upgrade`, `tollgate drain`, `tollgate catalog rollback` and `tollgate catalog versions`: what a running gateway
//! serves.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::admin::{Answer, Gateway};
use super::exit::Failure;
use super::form::Form;
use super::terminal::Out;
use super::{one, table};

/// The longest that an upgrade may take: a second above what `server.upgrade` allows.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(601);

/// Which gateway, and how its answer is written.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    gateway: Gateway,
    /// How the answer is written
    #[command(flatten)]
    form: Form,
}

/// What can be done with the catalogs of a running gateway.
#[derive(Clone, Debug, Subcommand)]
pub enum CatalogCommand {
    /// Go back to the catalog before, until its files change or `tollgate reload`
    #[command(after_help = "\
Examples:
  tollgate catalog rollback
  tollgate catalog rollback 1f3e5d7c9b2a")]
    Rollback {
        /// Which gateway, and how the answer is written
        #[command(flatten)]
        options: Options,
        /// One that is kept, in place of the one before
        version: Option<String>,
    },
    /// List the catalogs that are kept, newest first
    #[command(after_help = "Example:\n  tollgate catalog versions")]
    Versions(Options),
}

/// Has configuration, secrets, certificates and catalog read again, and waits for what comes of it.
///
/// # Errors
/// Every problem; nothing has changed then.
pub fn reload(options: &Options, out: &mut dyn Out) -> Result<(), Failure> {
    let answer = good(options.gateway.ask("POST", "/reload")?)?;
    let mut text = format!("Reloaded; the catalog is {}.", word(&answer, "catalog"));
    let waiting = answer.body["at_next_start"].as_array();
    let waiting = waiting.into_iter().flatten().filter_map(Value::as_str);
    let waiting: Vec<_> = waiting.collect();
    if !waiting.is_empty() {
        let waiting = waiting.join(", ");
        text.push_str(&format!("\nNot taken up before the next start: {waiting}."));
    }
    tell(options.form, &answer.body, &text, out)
}

fn tell(form: Form, body: &Value, text: &str, out: &mut dyn Out) -> Result<(), Failure> {
    Ok(form.tell(out, body, text).map_err(one)?)
}

/// Has another process take over.
///
/// # Errors
/// Why none could; the one that runs goes on then.
pub fn upgrade(options: &Options, out: &mut dyn Out) -> Result<(), Failure> {
    let gateway = &options.gateway;
    let answer = good(gateway.send_within(UPGRADE_PATIENCE, "POST", "/upgrade", None)?)?;
    let process = &answer.body["process"];
    let text = format!(
        "Upgraded: process {process} serves, and the one before ends with its last request."
    );
    tell(options.form, &answer.body, &text, out)
}

/// Whether load balancers are to send requests elsewhere.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  tollgate drain\n  tollgate drain --end")]
pub struct DrainOptions {
    /// Which gateway, and how the answer is written
    #[command(flatten)]
    options: Options,
    /// No longer
    #[arg(long)]
    end: bool,
}

/// Has `/readyz` say 503, or no longer.
///
/// # Errors
/// What the gateway says against it, or that there is none.
pub fn drain(asked: &DrainOptions, out: &mut dyn Out) -> Result<(), Failure> {
    let method = if asked.end { "DELETE" } else { "POST" };
    let answer = good(asked.options.gateway.ask(method, "/drain")?)?;
    let text = match asked.end {
        true => "No longer drained: /readyz says whether requests can be served.",
        false => {
            "Drained: /readyz says 503. What comes is served all the same; `tollgate drain --end` ends it."
        }
    };
    tell(asked.options.form, &answer.body, text, out)
}

/// Does what was asked.
///
/// # Errors
/// What the gateway says against it, or that there is none.
pub fn catalog(command: &CatalogCommand, out: &mut dyn Out) -> Result<(), Failure> {
    match command {
        CatalogCommand::Rollback { options, version } => rollback(options, version.as_deref(), out),
        CatalogCommand::Versions(options) => versions(options, out),
    }
}

fn rollback(options: &Options, version: Option<&str>, out: &mut dyn Out) -> Result<(), Failure> {
    let target = match version {
        None => "/catalog/rollback".to_owned(),
        Some(version) if version.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("/catalog/rollback?version={version}")
        }
        Some(version) => {
            return Err(Failure::usage(format!(
                "{version} is no version; `tollgate catalog versions` lists them"
            )));
        }
    };
    let answer = good(options.gateway.ask("POST", &target)?)?;
    let text = format!(
        "Rolled back; the catalog is {} until its files change, or `tollgate reload`.",
        word(&answer, "catalog")
    );
    tell(options.form, &answer.body, &text, out)
}

fn versions(options: &Options, out: &mut dyn Out) -> Result<(), Failure> {
    let answer = good(options.gateway.ask("GET", "/catalog/versions")?)?;
    let versions = &answer.body["versions"];
    if options.form.json {
        return tell(options.form, versions, "", out);
    }
    let row = |kept: &Value| {
        let text = |name: &str| kept[name].as_str().unwrap_or_default().to_owned();
        let in_use = if kept["in_use"] == true { "yes" } else { "no" };
        vec![text("version"), text("since"), in_use.to_owned()]
    };
    let rows = versions.as_array().into_iter().flatten().map(row);
    let header = ["VERSION", "SINCE", "IN USE"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    Ok(table::write(out, &rows).map_err(one)?)
}

pub(super) fn good(answer: Answer) -> Result<Answer, Failure> {
    if answer.status == 200 {
        Ok(answer)
    } else {
        Err(answer.failure())
    }
}

fn word<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body[name].as_str().unwrap_or_default()
}
