//! `tollgate check --against-running`: the catalog that the running gateway serves, against the one that a reload would
//! bring.

use super::admin::Gateway;
use super::exit::{Exit, Failure};
use super::terminal::Out;
use super::{ConfigFile, catalog, offline, one, running};
use crate::catalog::Catalog;
use crate::catalog::diff::diff;
use crate::catalog::outline::Outline;
use crate::config::Config;

/// Says what changes for users from the running gateway's catalog to `next`.
///
/// # Errors
/// When the gateway cannot be asked, for people.
#[allow(
    clippy::disallowed_methods,
    reason = "what a gateway says of its own catalog, read by a command"
)]
pub fn compare(
    file: &ConfigFile,
    config: &Config,
    next: &Catalog,
    json: bool,
    out: &mut dyn Out,
) -> Result<Exit, Failure> {
    let answer = running::good(Gateway::configured(file).ask("GET", "/catalog")?)?;
    let running: Outline = serde_json::from_value(answer.body).map_err(|error| {
        one(format!(
            "what the running gateway says is no catalog: {error}"
        ))
    })?;
    let changes = diff(&running, &offline::outline(config, next));
    Ok(catalog::tell(&changes, json, out)?)
}
