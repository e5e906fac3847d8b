//! `tollgate credit`: credit is given to accounts, and what became of it is shown.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::books::Books;
use super::form::Form;
use super::keys::{CliError, expiry, time, write_columns, write_json};
use super::money::dollars;
use super::progress::Progress;
use super::terminal::Out;
use crate::money::Credits;
use crate::statement::csv::{self, Field};
use crate::statement::grant::Grant;
use crate::statement::history::History;
use crate::statement::journal::{self, Posting};
use crate::statement::time::{OnDay, When};
use crate::store::{Day, GrantId, Moves, NewGrant};

/// What can be done with credit.
#[derive(Clone, Debug, Subcommand)]
pub enum CreditCommand {
    /// Give credit to an account
    #[command(after_help = "\
Example:
  tollgate credit grant acme 100 --expires 90d --note 'invoice 7' --idempotency-key invoice-7")]
    Grant(New),
    /// Take back what is neither spent nor held of a grant
    #[command(after_help = "Example:\n  tollgate credit end 3")]
    End {
        /// The number of the grant
        grant: i64,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Show what changed the balance of an account: grants, expiries, and the usage of each day
    #[command(after_help = "\
Examples:
  tollgate credit history acme
  tollgate credit history acme --from 2026-11-01 --to 2026-12-01 --json")]
    History {
        /// The account's name
        account: String,
        /// From this day on, UTC
        #[arg(long, value_name = "DAY")]
        from: Option<OnDay>,
        /// Up to and without this day, UTC
        #[arg(long, value_name = "DAY")]
        to: Option<OnDay>,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Write down every movement of money, for bookkeepers
    #[command(after_help = "\
Example:
  tollgate credit export --from 2026-11-01 --to 2026-12-01 > november.csv")]
    Export(Export),
    /// Say whether all books agree with the rows that they are the sums of; exits with 3 if not
    #[command(after_help = "Example:\n  tollgate credit check")]
    Check(Form),
}

/// Credit to be given.
#[derive(Args, Clone, Debug)]
pub struct New {
    /// The account's name
    account: String,
    /// How much, in dollars: 12.50
    #[arg(allow_negative_numbers = true)]
    amount: Credits,
    /// How long it can be spent (90d), or until when (2030-01-31, 2030-01-31T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// What for
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// Makes asking again safe: one grant is made for a key, however often it is asked for
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How the answer is written
    #[command(flatten)]
    form: Form,
}

/// Movements to be written down.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// Those of an account, by its name
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Those from this day or moment on
    #[arg(long, value_name = "WHEN")]
    from: Option<When>,
    /// Those before this day or moment
    #[arg(long, value_name = "WHEN")]
    to: Option<When>,
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// The same as --format json; errors too, on standard error
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How movements are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table (RFC 4180)
    Csv,
    /// A JSON array
    Json,
}

/// Does what was asked, at the time `now`, and writes what there is to see. Returns whether something is wrong with the
/// books.
///
/// # Errors
/// When an argument makes no sense, the store refuses or fails, or `out` cannot be written.
pub async fn run(
    command: CreditCommand,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<bool, CliError> {
    match command {
        CreditCommand::Grant(asked) => grant(&asked, books, now, out).await?,
        CreditCommand::End { grant, form } => end(GrantId(grant), form, books, now, out).await?,
        CreditCommand::History {
            account,
            from,
            to,
            form,
        } => {
            let id = books.account_named(&account).await?.account.id;
            let day = |on: OnDay| Day(on.days());
            let history = books.history(id, from.map(day), to.map(day)).await?;
            show(&history, form.json, out)?;
        }
        CreditCommand::Export(asked) => export(&asked, books, out).await?,
        CreditCommand::Check(form) => return check(books, form.json, out).await,
    }
    Ok(false)
}

async fn grant(
    asked: &New,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let expires = asked.expires.as_deref();
    let new = NewGrant {
        account: books.account_named(&asked.account).await?.account.id,
        amount: asked.amount,
        expires: expires.map(|text| expiry(text, now)).transpose()?,
        note: asked.note.clone(),
        idempotency: asked.idempotency_key.clone(),
    };
    let (row, made) = books.grant(&new, now.as_second()).await?;
    if asked.form.json {
        return write_json(out, &Grant::from(row));
    }
    let (id, amount) = (row.id.0, dollars(row.grant.amount));
    let until = row.grant.expires.map_or_else(String::new, |expires| {
        format!(", to be spent before {}", time(expires))
    });
    if made {
        writeln!(
            out,
            "Grant {id} gives {amount} to {}{until}.",
            asked.account
        )?;
    } else {
        let when = time(row.created);
        writeln!(
            out,
            "Grant {id} of {amount} was made already, at {when}; nothing more is given."
        )?;
    }
    let balance = books.account(row.grant.account).await?.balance;
    writeln!(out, "The balance is {} now.", dollars(balance))?;
    Ok(())
}

async fn end(
    id: GrantId,
    form: Form,
    books: &Books,
    now: Timestamp,
    out: &mut dyn Out,
) -> Result<(), CliError> {
    let left = books.grant_numbered(id).await?.remaining;
    books.end_grant(id, now.as_second()).await?;
    if form.json {
        return write_json(out, &Grant::from(books.grant_numbered(id).await?));
    }
    writeln!(
        out,
        "Grant {} has ended. The running gateway, or the next one, takes back what is neither spent nor held of the {} \
         that it had left.",
        id.0,
        dollars(left)
    )?;
    Ok(())
}

fn show(history: &History, json: bool, out: &mut dyn Out) -> Result<(), CliError> {
    if json {
        return write_json(out, history);
    }
    let header = ["AT", "WHAT", "CHANGE", "BALANCE", "ABOUT"];
    let before = [
        String::new(),
        "before".to_owned(),
        String::new(),
        dollars(history.opening),
        String::new(),
    ];
    let lines = history.lines.iter().map(|line| {
        let about = match (line.grant, line.attempts) {
            (Some(grant), _) => {
                let note = line.note.as_deref().unwrap_or_default();
                format!("grant {grant} {note}").trim_end().to_owned()
            }
            (None, Some(attempts)) => {
                let fee = line.fee.unwrap_or_default();
                format!("{attempts} attempts, fees {}", dollars(fee))
            }
            (None, None) => String::new(),
        };
        [
            line.at.clone(),
            line.what.as_str().to_owned(),
            dollars(line.change),
            dollars(line.balance),
            about,
        ]
    });
    write_columns(out, header, std::iter::once(before).chain(lines).collect())
}

async fn export(asked: &Export, books: &Books, out: &mut dyn Out) -> Result<(), CliError> {
    let account = match &asked.account {
        Some(name) => Some(books.account_named(name).await?.account.id),
        None => None,
    };
    let milliseconds = |when: When| when.0.as_millisecond();
    let moves = Moves {
        from: asked.from.map(milliseconds),
        to: asked.to.map(milliseconds),
        account,
    };
    let format = if asked.json {
        Format::Json
    } else {
        asked.format
    };
    let _progress = Progress::beside_answer("Writing movements");
    let mut writer = Writer::new(format, out)?;
    let write = |posting: &Posting| writer.write(posting);
    books.each_posting(&moves, write).await?;
    writer.end()
}

/// Writes postings one after the other, so that none has to be kept.
struct Writer<'o> {
    format: Format,
    out: &'o mut dyn Out,
    any: bool,
}

impl<'o> Writer<'o> {
    fn new(format: Format, out: &'o mut dyn Out) -> Result<Self, CliError> {
        if format == Format::Csv {
            let names = journal::FIELDS.map(|name| Field::Value(name.to_owned()));
            csv::write(out, names)?;
        }
        Ok(Self {
            format,
            out,
            any: false,
        })
    }

    fn write(&mut self, posting: &Posting) -> Result<(), CliError> {
        match self.format {
            Format::Csv => csv::write(self.out, posting.fields())?,
            Format::Json => {
                let before = if self.any { ",\n" } else { "[\n" };
                let text = serde_json::to_string(posting).map_err(std::io::Error::from)?;
                write!(self.out, "{before}{text}")?;
            }
        }
        self.any = true;
        Ok(())
    }

    fn end(self) -> Result<(), CliError> {
        if self.format == Format::Json {
            let end = if self.any { "\n]" } else { "[]" };
            writeln!(self.out, "{end}")?;
        }
        Ok(())
    }
}

/// What a check found, as JSON.
#[derive(serde::Serialize)]
struct Checked<'a> {
    ok: bool,
    books: i64,
    grants: i64,
    rows: i64,
    open: i64,
    faults: &'a [String],
}

async fn check(books: &Books, json: bool, out: &mut dyn Out) -> Result<bool, CliError> {
    let checked = books.check().await?;
    let ok = checked.faults.is_empty();
    if json {
        let checked = Checked {
            ok,
            books: checked.books,
            grants: checked.grants,
            rows: checked.rows,
            open: checked.open,
            faults: &checked.faults,
        };
        write_json(out, &checked)?;
        return Ok(!ok);
    }
    for fault in &checked.faults {
        writeln!(out, "{fault}")?;
    }
    writeln!(
        out,
        "{} books, {} grants, {} usage rows, {} open holds: {}",
        checked.books,
        checked.grants,
        checked.rows,
        checked.open,
        if ok {
            "all agree."
        } else {
            "they do not agree."
        }
    )?;
    Ok(!ok)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests;
