//! `tollgate reconcile`: a provider's own report of what was used, held against our rows.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::books::{Books, Where};
use super::keys::{CliError, write_columns, write_json};
use super::terminal::Out;
use super::usage::Format;
use crate::money::Credits;
use crate::statement::csv::{self, Field};
use crate::statement::reconcile::{
    LINES_MAX, Measure, Outcome, Pair, Percent, Question, REPORT_BYTES_MAX, Report, Tolerance,
};
use crate::statement::usage::PaidWith;
use crate::store::By;

/// Bytes of reports that the admin API takes, as JSON writes them, with some room.
const REMOTE_BYTES_MAX: usize = 3 << 20;

/// Which report, and how closely it has to agree.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Known are the exports of OpenAI's dashboard and Anthropic's console, what their administration APIs answer, and a table
of your own with the columns day, model, and any of input, cached, cache_write, output, cost.

Examples:
  tollgate reconcile completions_usage.csv --tolerance 0.1
  tollgate reconcile claude_api_cost.csv --tolerance 1 --tolerance-dollars 0.05
  tollgate reconcile groq.csv --provider groq --all")]
pub struct Options {
    #[command(flatten)]
    pub(super) at: Where,
    /// Files of the provider's, CSV or JSON; - is standard input
    #[arg(required = true, value_name = "FILE")]
    reports: Vec<PathBuf>,
    /// Whose they are, where they do not say so themselves
    #[arg(long)]
    provider: Option<String>,
    /// Compare attempts with a provider key of this source: gateway, byok, request or none
    #[arg(long, value_name = "SOURCE", default_value = "gateway")]
    credential: PaidWith,
    /// By how many percent the two may differ
    #[arg(long, value_name = "PERCENT", default_value = "0")]
    tolerance: Percent,
    /// By how many dollars a cost may differ, for reports that are rounded to cents
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    tolerance_dollars: Credits,
    /// Show what agrees, too
    #[arg(long)]
    all: bool,
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json; errors too, on standard error
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Writes what differs, and returns whether something does.
///
/// # Errors
/// When a report cannot be read, the store fails, or `out` cannot be written.
pub async fn run(asked: &Options, books: &Books, out: &mut dyn Out) -> Result<bool, CliError> {
    let texts: Result<Vec<String>, CliError> =
        asked.reports.iter().map(|path| text(path)).collect();
    let texts = texts?;
    let report = Report::of_all(&texts).map_err(CliError::Argument)?;
    let question = Question::new(&report, asked.provider.clone(), Some(asked.credential));
    let question = question
        .map_err(|problem| CliError::Argument(problem.replace("say so", "say --provider")))?;
    let mut outcome = match books {
        Books::Store(store) => {
            let used = question.used();
            let rows = store.usage_sums(&used, By::DayAndModel, LINES_MAX).await?;
            let tolerance = Tolerance {
                ppm: asked.tolerance.ppm(),
                dollars: asked.tolerance_dollars,
            };
            question.compare(&rows, tolerance)
        }
        Books::Gateway(remote) => {
            if texts.iter().map(String::len).sum::<usize>() > REMOTE_BYTES_MAX {
                let problem = "these reports are too large for the admin API; say --direct";
                return Err(CliError::Argument(problem.to_owned()));
            }
            remote.reconcile(&json!({
                "reports": texts, "provider": asked.provider, "credential": asked.credential.as_str(),
                "tolerance_percent": asked.tolerance.to_string(), "tolerance_dollars": asked.tolerance_dollars,
            }))?
        }
    };
    if !asked.all {
        outcome.pairs.retain(|pair| pair.differs);
    }
    match asked.format.or_json(asked.json) {
        Format::Table => table(&outcome, out)?,
        Format::Csv => lines(&outcome, out)?,
        Format::Json => write_json(out, &outcome)?,
    }
    Ok(outcome.differing > 0)
}

/// The text of a file, or of standard input.
fn text(path: &Path) -> Result<String, CliError> {
    let failed = |error: std::io::Error| {
        CliError::Argument(format!("cannot read {}: {error}", path.display()))
    };
    let most = u64::try_from(REPORT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(most + 1)
            .read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(most + 1).read_to_string(&mut text)
    };
    if read.map_err(failed)? > REPORT_BYTES_MAX {
        let problem = format!("{} has more than {REPORT_BYTES_MAX} bytes", path.display());
        return Err(CliError::Argument(problem));
    }
    Ok(text)
}

fn table(outcome: &Outcome, out: &mut dyn Out) -> Result<(), CliError> {
    let Outcome {
        provider,
        from,
        to,
        compared,
        differing,
        pairs,
    } = outcome;
    if !pairs.is_empty() {
        let header = [
            "DAY",
            "MODEL",
            "WHAT",
            "PROVIDER",
            "OURS",
            "DIFFERENCE",
            "ABOUT",
        ];
        write_columns(out, header, pairs.iter().map(row).collect())?;
        writeln!(out)?;
    }
    writeln!(
        out,
        "{provider}, {from} to {to}: {compared} compared, {differing} differ."
    )?;
    Ok(())
}

fn row(pair: &Pair) -> [String; 7] {
    let money = |text: &String| match pair.measure {
        Measure::Cost => format!("${text}").replace("$-", "-$"),
        _ => text.clone(),
    };
    let mut about = Vec::new();
    if !pair.differs {
        about.push("agrees".to_owned());
    }
    if pair.estimated > 0 {
        about.push(format!("{} of ours estimated", pair.estimated));
    }
    [
        pair.day.clone(),
        pair.model.clone().unwrap_or_else(|| "all".to_owned()),
        pair.measure.as_str().to_owned(),
        money(&pair.provider),
        money(&pair.ours),
        money(&pair.difference),
        about.join(", "),
    ]
}

fn lines(outcome: &Outcome, out: &mut dyn Out) -> Result<(), CliError> {
    let names = [
        "day",
        "model",
        "measure",
        "provider",
        "ours",
        "difference",
        "differs",
        "estimated",
    ];
    csv::write(out, names.map(|name| Field::Value(name.to_owned())))?;
    for pair in &outcome.pairs {
        let fields = [
            Field::Value(pair.day.clone()),
            Field::Text(pair.model.clone().unwrap_or_default()),
            Field::Value(pair.measure.as_str().to_owned()),
            Field::Value(pair.provider.clone()),
            Field::Value(pair.ours.clone()),
            Field::Value(pair.difference.clone()),
            Field::Value(pair.differs.to_string()),
            Field::Value(pair.estimated.to_string()),
        ];
        csv::write(out, fields)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests;
