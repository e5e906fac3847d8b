//! `tollgate check`: every mistake in configuration and catalog, at once; where each value of the catalog came from; and
//! what a reload would change for users.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::form::Form;
use super::terminal::Out;
use super::{aside, form, one, provider_keys, risks, running_catalog, serve};
use crate::catalog::{Catalog, Origins, origins};
use crate::config::Config;
use crate::live;
use crate::server::certificates;
use crate::server::reload::{self, Loaded};

/// The longest value that is shown whole, in characters. Lists of facts have thousands.
const VALUE_SHOWN: usize = 160;

/// What to check, and what to tell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate check --config conf/tollgate.toml && systemctl reload tollgate
  tollgate check --strict --json
  tollgate check --against-running
  tollgate check --origins openai:gpt-4o

With --against-running the exit code is 3 where something gets worse for users.")]
pub struct Options {
    /// The configuration
    #[command(flatten)]
    pub file: super::ConfigFile,
    /// Print where each value of the catalog came from: file and line, of all of it or of NAME (a provider, a preset, or
    /// a model in any way that a request may write it)
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    pub origins: Option<Option<String>>,
    /// Ask the running gateway for its catalog, and say what a reload would change for users
    #[arg(long, conflicts_with = "origins")]
    pub against_running: bool,
    /// How the answer is written
    #[command(flatten)]
    pub form: Form,
    /// Exit with 1 for warnings, too
    #[arg(long)]
    pub strict: bool,
}

/// Reads everything as `serve` would, and says what is wrong with it.
///
/// # Errors
/// Every problem found; and a name whose origins are asked for and that means nothing.
pub fn check(options: &Options, out: &mut dyn Out) -> Result<Exit, Failure> {
    let path = &options.file.config;
    let warnings = warnings(path);
    let found = read(path);
    if options.form.json && !options.against_running && options.origins.is_none() {
        let told = report(&found, &warnings);
        form::json(out, &told).map_err(one)?;
        let failed = found.is_err() || (options.strict && !warnings.is_empty());
        return Ok(if failed { Exit::Failed } else { Exit::Done });
    }
    for warning in &warnings {
        aside::warn(warning);
    }
    let (loaded, catalog) = found?;
    if options.strict && !warnings.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} is good, but for {} warning(s): --strict",
                path.display(),
                warnings.len()
            ),
        ));
    }
    if let Some(name) = &options.origins {
        tell(&loaded, &catalog, name.as_deref(), options.form, out)?;
        return Ok(Exit::Done);
    }
    if options.against_running {
        let json = options.form.json;
        return running_catalog::compare(&options.file, &loaded.config, &catalog, json, out);
    }
    writeln!(
        out,
        "{} is good; the catalog is {}, with {} providers and {} models",
        path.display(),
        catalog.version(),
        catalog.providers().len(),
        catalog.models().len()
    )
    .map_err(one)?;
    Ok(Exit::Done)
}

/// Everything that `serve` would read, if all of it is good.
fn read(path: &Path) -> Result<(Loaded, Catalog), Vec<String>> {
    let loaded = serve::load(path).map_err(|mut problems| {
        problems.extend(of_the_catalog(path));
        problems
    })?;
    certificates::read(&loaded.config.listen)?;
    let catalog = reload::check(&loaded.files, &loaded.overrides)?;
    let (_, mistakes) = live::sections(&loaded.config, &loaded.path, &catalog);
    if !mistakes.is_empty() {
        return Err(mistakes.iter().map(ToString::to_string).collect());
    }
    Ok((loaded, catalog))
}

/// What keeps no gateway from starting: risks, and stored provider keys that no master key of the configuration opens. As
/// far as the configuration can be read.
fn warnings(path: &Path) -> Vec<String> {
    let Ok(config) = Config::load_values(path) else {
        return Vec::new();
    };
    let mut warnings = risks::risks(&config, path);
    // What is wrong with them beside that is a problem.
    warnings.extend(
        certificates::read(&config.listen).map_or_else(|_| Vec::new(), |read| read.out_of_date()),
    );
    let stored = provider_keys::problems(&config);
    warnings.extend(stored.unwrap_or_else(|problem| vec![problem]));
    warnings
}

/// Problems and warnings for programs.
fn report(found: &Result<(Loaded, Catalog), Vec<String>>, warnings: &[String]) -> Value {
    let (catalog, problems) = match found {
        Ok((_, catalog)) => (Some(catalog), &[][..]),
        Err(problems) => (None, &problems[..]),
    };
    json!({
        "good": problems.is_empty(),
        "problems": problems,
        "warnings": warnings,
        "catalog": catalog.map(|catalog| json!({
            "version": catalog.version(),
            "providers": catalog.providers().len(),
            "models": catalog.models().len(),
        })),
    })
}

/// What is wrong with the catalog where the configuration has problems too, as long as it can be read.
fn of_the_catalog(path: &Path) -> Vec<String> {
    let Ok(config) = Config::load_values(path) else {
        return Vec::new();
    };
    let checked = reload::check(&serve::files(&config), &serve::overrides(&config));
    checked.err().unwrap_or_default()
}

fn tell(
    loaded: &Loaded,
    catalog: &Catalog,
    name: Option<&str>,
    form: Form,
    out: &mut dyn Out,
) -> Result<(), Vec<String>> {
    let Some(found) = origins(&loaded.files, catalog, name) else {
        let name = name.unwrap_or_default();
        let near = catalog.nearest(name);
        let hint = if near.is_empty() {
            String::new()
        } else {
            format!("; there is {}", near.join(", "))
        };
        return Err(vec![format!("no file says anything of `{name}`{hint}")]);
    };
    if form.json {
        let of = |origins: &Origins| section_json(origins, loaded, catalog);
        let all: Vec<Value> = found.iter().map(of).collect();
        return form::json(out, &all).map_err(one);
    }
    let mut text = String::new();
    for origins in &found {
        section(&mut text, origins, loaded, catalog);
    }
    out.write_all(text.as_bytes()).map_err(one)
}

/// The same for programs, with whole values; what the configuration has put in a place is said as in the text.
fn section_json(origins: &Origins, loaded: &Loaded, catalog: &Catalog) -> Value {
    let members = origins.members.iter().map(|member| {
        json!({"file": member.file, "line": member.line, "path": member.path, "value": member.value})
    });
    json!({
        "title": origins.title,
        "provider": origins.provider,
        "members": members.collect::<Vec<_>>(),
        "configured": moved(origins, loaded, catalog),
    })
}

/// A title, and a line a member that begins as those of compilers do: `file:line: path = value`.
fn section(text: &mut String, origins: &Origins, loaded: &Loaded, catalog: &Catalog) {
    let _ = writeln!(text, "{}", origins.title);
    let moved = moved(origins, loaded, catalog);
    if let Some(line) = &moved {
        let _ = writeln!(text, "  {line}");
    }
    for member in &origins.members {
        let place = matches!(&*member.path, "base_url" | "endpoints");
        if !(place && moved.is_some()) {
            let value = shown(&member.value);
            let _ = writeln!(
                text,
                "  {}:{}: {} = {value}",
                member.file, member.line, member.path
            );
        }
    }
}

/// Where the configuration says that the provider is, in the place of what its files say.
fn moved(origins: &Origins, loaded: &Loaded, catalog: &Catalog) -> Option<String> {
    let provider = catalog.provider_by_name(origins.provider.as_deref()?)?;
    let mut sections = loaded.config.providers.iter();
    let (name, section) = sections.find(|(name, section)| {
        section.base_url.is_some() && catalog.provider_by_name(name) == Some(provider)
    })?;
    let url = section.base_url.as_deref()?;
    let (file, line) = (loaded.path.display(), section.place.line);
    // As the catalog's values are shown: in quotes.
    Some(format!(
        "{file}:{line}: providers.{name}.base_url = {url:?}"
    ))
}

/// The value, or as much of it as is worth a line.
fn shown(value: &str) -> String {
    match value.char_indices().nth(VALUE_SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
