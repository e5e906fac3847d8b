//! `tollgate reload`, `tollgate upgrade`, `tollgate drain`, `tollgate catalog rollback` and `tollgate catalog versions`: what a running gateway
//! serves.

use std::time::Duration;

use clap::Subcommand;

use super::admin::{Answer, Gateway};

/// The longest that an upgrade may take: a second above what `server.upgrade` allows.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(601);

/// What can be done with the catalogs of a running gateway.
#[derive(Clone, Debug, Subcommand)]
pub enum CatalogCommand {
    /// Go back to the catalog before, until its files change or `tollgate reload`
    Rollback {
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
        /// One that is kept, in place of the one before
        version: Option<String>,
    },
    /// List the catalogs that are kept, newest first
    Versions {
        /// Which gateway
        #[command(flatten)]
        gateway: Gateway,
    },
}

/// Has configuration, secrets, certificates and catalog read again, and waits for what comes of it.
///
/// # Errors
/// Every problem; nothing has changed then.
pub fn reload(gateway: &Gateway) -> Result<(), Vec<String>> {
    let answer = good(gateway.ask("POST", "/reload")?)?;
    println!("Reloaded; the catalog is {}.", word(&answer, "catalog"));
    let waiting = answer.body["at_next_start"].as_array();
    let waiting: Vec<_> = waiting
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str())
        .collect();
    if !waiting.is_empty() {
        println!(
            "Not taken up before the next start: {}.",
            waiting.join(", ")
        );
    }
    Ok(())
}

/// Has another process take over.
///
/// # Errors
/// Why none could; the one that runs goes on then.
pub fn upgrade(gateway: &Gateway) -> Result<(), Vec<String>> {
    let answer = gateway.send_within(UPGRADE_PATIENCE, "POST", "/upgrade", None)?;
    let process = good(answer)?.body["process"].clone();
    println!("Upgraded: process {process} serves, and the one before ends with its last request.");
    Ok(())
}

/// Whether load balancers are to send requests elsewhere.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  tollgate drain\n  tollgate drain --end")]
pub struct DrainOptions {
    #[command(flatten)]
    gateway: Gateway,
    /// No longer
    #[arg(long)]
    end: bool,
}

/// Has `/readyz` say 503, or no longer.
///
/// # Errors
/// What the gateway says against it, or that there is none.
pub fn drain(options: &DrainOptions) -> Result<(), Vec<String>> {
    let method = if options.end { "DELETE" } else { "POST" };
    good(options.gateway.ask(method, "/drain")?)?;
    println!(
        "{}",
        match options.end {
            true => "No longer drained: /readyz says whether requests can be served.",
            false =>
                "Drained: /readyz says 503. What comes is served all the same; `tollgate drain --end` ends it.",
        }
    );
    Ok(())
}

/// Does what was asked.
///
/// # Errors
/// What the gateway says against it, or that there is none.
pub fn catalog(command: &CatalogCommand) -> Result<(), Vec<String>> {
    match command {
        CatalogCommand::Rollback { gateway, version } => rollback(gateway, version.as_deref()),
        CatalogCommand::Versions { gateway } => versions(gateway),
    }
}

fn rollback(gateway: &Gateway, version: Option<&str>) -> Result<(), Vec<String>> {
    let target = match version {
        None => "/catalog/rollback".to_owned(),
        Some(version) if version.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("/catalog/rollback?version={version}")
        }
        Some(version) => {
            return Err(vec![format!(
                "{version} is no version; `tollgate catalog versions` lists them"
            )]);
        }
    };
    let answer = good(gateway.ask("POST", &target)?)?;
    println!(
        "Rolled back; the catalog is {} until its files change, or `tollgate reload`.",
        word(&answer, "catalog")
    );
    Ok(())
}

fn versions(gateway: &Gateway) -> Result<(), Vec<String>> {
    let answer = good(gateway.ask("GET", "/catalog/versions")?)?;
    for kept in answer.body["versions"].as_array().into_iter().flatten() {
        let in_use = if kept["in_use"] == true {
            "  in use"
        } else {
            ""
        };
        println!(
            "{}  since {}{in_use}",
            kept["version"].as_str().unwrap_or_default(),
            kept["since"].as_str().unwrap_or_default()
        );
    }
    Ok(())
}

pub(super) fn good(answer: Answer) -> Result<Answer, Vec<String>> {
    if answer.status == 200 {
        Ok(answer)
    } else {
        Err(answer.problems())
    }
}

fn word<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body[name].as_str().unwrap_or_default()
}
