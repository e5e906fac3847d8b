//! `tollgate usage`: what was used and what it cost, by key, account, model, provider or day.

use clap::{Args, ValueEnum};

use super::books::{Books, Where};
use super::keys::{CliError, key_id, write_columns, write_json};
use super::money::dollars;
use super::terminal::Out;
use crate::money::Credits;
use crate::statement::csv::{self, Field};
use crate::statement::time::When;
use crate::statement::usage::{FIELDS, Line, PaidWith};
use crate::store::{By, Used};

/// Which usage, and how it is shown.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tollgate usage --by account --from 2026-11-01 --to 2026-12-01
  tollgate usage --by day --account acme --format csv > acme.csv")]
pub struct Options {
    #[command(flatten)]
    pub(super) at: Where,
    /// By what it is added up
    #[arg(long, value_enum, default_value_t = Group::Account)]
    by: Group,
    /// Attempts that began on this day, or at this moment, or later
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Attempts that began before this day or moment
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// Those of an account, by its name
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Those with an access key: its id, or the whole key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Those with a model, as its provider calls it
    #[arg(long)]
    model: Option<String>,
    /// Those at a provider
    #[arg(long)]
    provider: Option<String>,
    /// Those with a provider key of this source: gateway, byok, request or none
    #[arg(long, value_name = "SOURCE")]
    credential: Option<PaidWith>,
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json; errors too, on standard error
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// By what usage is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Access key
    Key,
    /// Who pays
    Account,
    /// Provider and model
    Model,
    /// Provider
    Provider,
    /// Day, UTC
    Day,
}

/// How lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// A table for programs (RFC 4180)
    Csv,
    /// A JSON array
    Json,
}

impl Format {
    /// This, or JSON where `json` is said.
    #[must_use]
    pub fn or_json(self, json: bool) -> Self {
        if json { Self::Json } else { self }
    }
}

impl Group {
    fn by(self) -> By {
        match self {
            Self::Key => By::Key,
            Self::Account => By::Account,
            Self::Model => By::Model,
            Self::Provider => By::Provider,
            Self::Day => By::Day,
        }
    }

    fn header(self) -> &'static str {
        match self {
            Self::Key => "KEY",
            Self::Account => "ACCOUNT",
            Self::Model => "MODEL",
            Self::Provider => "PROVIDER",
            Self::Day => "DAY",
        }
    }
}

/// Writes the usage that was asked for.
///
/// # Errors
/// When an argument makes no sense, the store fails, or `out` cannot be written.
pub async fn run(asked: &Options, books: &Books, out: &mut dyn Out) -> Result<(), CliError> {
    let account = match &asked.account {
        Some(name) => Some(books.account_named(name).await?.account.id),
        None => None,
    };
    let used = Used {
        from: asked.from.map(|when| when.0.as_millisecond()),
        to: asked.to.map(|when| when.0.as_millisecond()),
        account,
        key: asked.key.as_deref().map(key_id).transpose()?,
        provider: asked.provider.clone(),
        model: asked.model.clone(),
        credential: asked.credential.map(PaidWith::as_str),
    };
    let lines = books.usage(&used, asked.by.by()).await?;
    match asked.format.or_json(asked.json) {
        Format::Table => table(asked.by, &lines, out),
        Format::Json => write_json(out, &lines),
        Format::Csv => {
            csv::write(out, FIELDS.map(|name| Field::Value(name.to_owned())))?;
            for line in &lines {
                csv::write(out, line.fields())?;
            }
            Ok(())
        }
    }
}

fn table(by: Group, lines: &[Line], out: &mut dyn Out) -> Result<(), CliError> {
    let header = [
        by.header(),
        "REQUESTS",
        "ATTEMPTS",
        "INPUT",
        "CACHED",
        "OUTPUT",
        "MODEL $",
        "FEES $",
        "TOTAL $",
        "OPERATOR $",
        "ESTIMATED",
    ];
    let sum = |of: fn(&Line) -> i64| lines.iter().map(of).fold(0, i64::saturating_add);
    let money = |of: fn(&Line) -> Credits| {
        let nanos = lines.iter().map(|line| of(line).nanos());
        dollars(Credits::from_nanos(nanos.fold(0, i64::saturating_add)))
    };
    // A request whose attempts are in several lines is counted in each: there is no sum of requests.
    let last = [
        "together".to_owned(),
        String::new(),
        sum(|line| line.attempts).to_string(),
        sum(|line| line.tokens.input).to_string(),
        sum(|line| line.tokens.cached).to_string(),
        sum(|line| line.tokens.output).to_string(),
        money(|line| line.model),
        money(|line| line.fee),
        money(|line| line.total),
        money(|line| line.paid_by_operator),
        sum(|line| line.estimated).to_string(),
    ];
    let rows = lines.iter().map(row).chain([last]);
    write_columns(out, header, rows.collect())
}

fn row(line: &Line) -> [String; 11] {
    let named = match &line.name {
        Some(name) if line.group.len() == 12 => format!("{} {name}", line.group),
        Some(name) => name.clone(),
        None => line.group.clone(),
    };
    [
        named,
        line.requests.to_string(),
        line.attempts.to_string(),
        line.tokens.input.to_string(),
        line.tokens.cached.to_string(),
        line.tokens.output.to_string(),
        dollars(line.model),
        dollars(line.fee),
        dollars(line.total),
        dollars(line.paid_by_operator),
        line.estimated.to_string(),
    ]
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
pub(super) mod tests;
