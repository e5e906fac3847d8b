//! `tollgate audit`: what operators changed, or were refused to change.

use clap::Args;

use super::books::{Books, Where};
use super::form::Form;
use super::keys::{CliError, write_columns, write_json};
use super::terminal::Out;
use crate::statement::audit::Entry;
use crate::statement::time::When;
use crate::store::Audited;

/// Which changes, and how they are shown.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tollgate audit --from 2026-11-01 --operation createGrant
  tollgate audit --who cli:alice --json
  tollgate audit --object 'account 1' --limit 20

Operations are named as in the admin API: createKey, changeAccount, reload, drain …")]
pub struct Options {
    #[command(flatten)]
    pub(super) at: Where,
    /// Changes on this day, or at this moment, or later
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Changes before this day or moment
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// Those by whom: cli:USER, token:DIGEST
    #[arg(long)]
    who: Option<String>,
    /// Those of this kind
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Those of this: 'account 1', 'key ID', 'grant 3', 'provider_key ID', gateway
    #[arg(long)]
    object: Option<String>,
    /// Those that ended so: done, or the code of a refusal
    #[arg(long)]
    outcome: Option<String>,
    /// How many at the most, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    form: Form,
}

/// Writes the changes that were asked for, newest first.
///
/// # Errors
/// When the store fails, or `out` cannot be written.
pub async fn run(asked: &Options, books: &Books, out: &mut dyn Out) -> Result<(), CliError> {
    let which = Audited {
        from: asked.from.map(|when| when.0.as_second()),
        to: asked.to.map(|when| when.0.as_second()),
        who: asked.who.clone(),
        operation: asked.operation.clone(),
        object: asked.object.clone(),
        outcome: asked.outcome.clone(),
    };
    let entries = books.audit(&which, asked.limit).await?;
    if asked.form.json {
        return write_json(out, &entries);
    }
    let header = ["AT", "WHO", "OPERATION", "OBJECT", "OUTCOME", "DETAILS"];
    write_columns(out, header, entries.iter().map(row).collect())
}

fn row(entry: &Entry) -> [String; 6] {
    let details: Vec<String> = entry.details.iter().map(detail).collect();
    [
        entry.at.to_string(),
        entry.who.clone(),
        entry.operation.clone(),
        entry.object.clone(),
        entry.outcome.clone(),
        details.join(", "),
    ]
}

fn detail((name, value): (&String, &serde_json::Value)) -> String {
    match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    }
}
