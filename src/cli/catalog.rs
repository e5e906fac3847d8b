//! `tollgate catalog`: what changes between two catalogs, and files out of other people's price lists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::form::Form;
use super::keys::{CliError, write_json};
use super::terminal::{Ink, Out, paint};
use super::{ConfigFile, offline, one, running};
use crate::catalog::diff::{Change, Effect, diff};
use crate::catalog::import::{Imported, LeftOut, List, import};

/// The largest list that is read, in bytes; the longest in use has 4 MB.
const LIST_MAX: u64 = 64 << 20;

/// What was left out is shown up to here, but for `--all`.
const SHOWN: usize = 4;

/// The word for the catalog with nothing laid over it.
const BUILTIN: &str = "builtin";

/// What can be done with catalogs.
#[derive(Clone, Debug, Subcommand)]
pub enum CatalogCommand {
    /// Say what changes for users from one catalog to another; exits with 3 where something gets worse
    #[command(after_help = "\
Each is a folder or a file, laid over the built-in catalog as the configuration says, in the place of the
configuration's own folders; `builtin` stands for the built-in catalog alone.

Example:
  git worktree add /tmp/before main
  tollgate catalog diff /tmp/before/catalog catalog")]
    Diff {
        /// The configuration
        #[command(flatten)]
        config: ConfigFile,
        /// The catalog as it was
        old: PathBuf,
        /// The catalog as it is to be
        new: PathBuf,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Turn a well-known price list into catalog files, one a provider
    #[command(after_help = "\
Prices are taken over digit by digit; what a price cannot hold exactly is left out. What was left out is said on
standard error.

Example:
  curl -o list.json https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json
  tollgate catalog import --from litellm list.json --out /etc/tollgate/catalog")]
    Import {
        /// The configuration
        #[command(flatten)]
        config: ConfigFile,
        /// The list: litellm, models-dev or openrouter
        #[arg(long, value_name = "LIST", value_parser = list)]
        from: List,
        /// The file with the list; - for standard input
        file: PathBuf,
        /// Write LIST-PROVIDER.json files into this folder; without it they are printed one after another
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// The day of the list [default: the day on which the file was changed last]
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: Option<String>,
        /// Name everything that was left out
        #[arg(long)]
        all: bool,
        /// How the answer is written
        #[command(flatten)]
        form: Form,
    },
    /// Those of the running gateway
    #[command(flatten)]
    Running(running::CatalogCommand),
}

fn list(text: &str) -> Result<List, String> {
    let found = List::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, list)| *list).ok_or_else(|| {
        let names = List::ALL.map(|(name, _)| name);
        format!("a list is {}", names.join(", "))
    })
}

/// Does what was asked.
///
/// # Errors
/// Every problem, for people.
pub fn run(command: &CatalogCommand, out: &mut dyn Out) -> Result<Exit, Failure> {
    match command {
        CatalogCommand::Running(command) => running::catalog(command, out).map(super::done),
        CatalogCommand::Diff {
            config,
            old,
            new,
            form,
        } => {
            let config = offline::config(&config.config)?;
            let outline = |path: &Path| {
                let laid = if path == Path::new(BUILTIN) {
                    &[][..]
                } else {
                    &[path]
                };
                let catalog = offline::catalog_of(&config, laid)?;
                Ok::<_, Vec<String>>(offline::outline(&config, &catalog))
            };
            let changes = diff(&outline(old)?, &outline(new)?);
            Ok(tell(&changes, form.json, out)?)
        }
        CatalogCommand::Import {
            config,
            from,
            file,
            out: folder,
            date,
            all,
            form,
        } => {
            let config = offline::config(&config.config)?;
            let known = offline::catalog(&config)?;
            let (text, day) =
                read(file).map_err(|why| one(format!("{}: {why}", file.display())))?;
            let date = date.as_deref().unwrap_or(&day);
            let imported = import(*from, &text, date, &known)
                .map_err(|why| one(format!("{}: {why}", file.display())))?;
            let written = match folder {
                Some(folder) => write(&imported, *from, folder).map_err(one)?,
                None => Vec::new(),
            };
            if form.json {
                write_json(out, &import_json(&imported, *from, &written))?;
                return Ok(Exit::Done);
            }
            match folder {
                Some(_) => written
                    .iter()
                    .try_for_each(|path| writeln!(out, "{}", path.display()))
                    .map_err(one)?,
                None => print(&imported, out).map_err(one)?,
            }
            report(&imported, *all, &mut io::stderr()).map_err(one)?;
            Ok(Exit::Done)
        }
    }
}

#[derive(Serialize)]
struct Told<'a> {
    worse: usize,
    better: usize,
    other: usize,
    changes: &'a [Change],
}

/// Writes the changes down, and says by the exit code whether something is worse.
///
/// # Errors
/// When `out` cannot be written.
pub fn tell(changes: &[Change], json: bool, out: &mut dyn Out) -> Result<Exit, CliError> {
    let count = |effect| {
        let of_it = changes.iter().filter(|change| change.effect == effect);
        of_it.count()
    };
    let told = Told {
        worse: count(Effect::Worse),
        better: count(Effect::Better),
        other: count(Effect::Other),
        changes,
    };
    if json {
        write_json(out, &told)?;
        return Ok(Exit::of_look(told.worse > 0));
    }
    for (effect, title, ink) in [
        (Effect::Worse, "worse", Ink::Bad),
        (Effect::Better, "better", Ink::Good),
        (Effect::Other, "also", Ink::Strong),
    ] {
        for change in changes.iter().filter(|change| change.effect == effect) {
            let shown = paint(&format!("{title:6}"), ink, out.has_colours());
            writeln!(out, "{shown}  {change}")?;
        }
    }
    let Told {
        worse: bad,
        better,
        other,
        ..
    } = told;
    if changes.is_empty() {
        writeln!(out, "nothing changes for users")?;
    } else {
        writeln!(out, "{bad} worse, {better} better, {other} other")?;
    }
    Ok(Exit::of_look(bad > 0))
}

/// The text of a file, and the day on which it was changed last.
fn read(path: &Path) -> Result<(String, String), String> {
    use std::io::Read;
    let told = |error: io::Error| format!("cannot be read: {error}");
    let (file, changed): (Box<dyn Read>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = fs::File::open(path).map_err(told)?;
        let changed = file.metadata().and_then(|about| about.modified()).ok();
        (Box::new(file), changed)
    };
    let mut text = String::new();
    file.take(LIST_MAX + 1)
        .read_to_string(&mut text)
        .map_err(told)?;
    if text.len() as u64 > LIST_MAX {
        return Err(format!("larger than {} MiB", LIST_MAX >> 20));
    }
    let changed = changed.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let day = changed.unwrap_or_else(jiff::Timestamp::now);
    let day = day.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    Ok((text, day))
}

/// Writes each file by a rename, so that a gateway that watches the folder reads none half.
fn write(imported: &Imported, from: List, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| told(folder, error))?;
    let mut written = Vec::new();
    for (provider, text) in &imported.files {
        let path = folder.join(format!("{}-{provider}.json", from.name()));
        let unfinished = folder.join(format!(".{}-{provider}.unfinished", from.name()));
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| told(&path, error))?;
        written.push(path);
    }
    Ok(written)
}

/// What an import came to, for programs: the files by their paths, or by what they would hold where none was written.
fn import_json(imported: &Imported, from: List, written: &[PathBuf]) -> Value {
    let mut paths = written.iter().map(|path| path.display().to_string());
    let files = imported.files.iter().map(|(provider, text)| {
        let path = paths.next();
        // Made a moment ago, of JSON.
        let raw = RawValue::from_string(text.trim().to_owned()).ok();
        let file = raw.filter(|_| path.is_none());
        json!({"provider": provider, "path": path, "file": file})
    });
    let files: Vec<Value> = files.collect();
    let left_out = imported.left_out.iter();
    let left_out = left_out.map(|(why, what)| json!({"reason": why, "names": what}));
    json!({
        "list": from.name(),
        "models": imported.models,
        "priced": imported.priced,
        "files": files,
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

fn print(imported: &Imported, out: &mut dyn Out) -> io::Result<()> {
    let mut texts = imported.files.iter();
    texts.try_for_each(|(_, text)| out.write_all(text.as_bytes()))
}

fn report(imported: &Imported, all: bool, out: &mut dyn Out) -> io::Result<()> {
    let providers = imported.files.len();
    let Imported { models, priced, .. } = imported;
    writeln!(
        out,
        "{models} models of {providers} providers, {priced} with a price"
    )?;
    left_out(&imported.left_out, all, out)
}

/// What was left out, the most frequent reason first.
fn left_out(left_out: &LeftOut, all: bool, out: &mut dyn Out) -> io::Result<()> {
    let mut reasons: Vec<(&str, &[String])> = left_out.iter().collect();
    reasons.sort_by_key(|(_, what)| std::cmp::Reverse(what.len()));
    if !reasons.is_empty() {
        writeln!(out, "\nnot taken over:")?;
    }
    for (why, what) in reasons {
        let shown = if all {
            what.len()
        } else {
            what.len().min(SHOWN)
        };
        let more = if shown < what.len() { ", …" } else { "" };
        let names = what[..shown].join(", ");
        writeln!(out, "{:6}  {why}: {names}{more}", what.len())?;
    }
    Ok(())
}
