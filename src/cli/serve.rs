//! `tollgate serve`, and the store for the commands that need nothing else.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::catalog::{Files, Overrides, Seen};
use jiff::Timestamp;

use crate::cli::keys::CliError;
use crate::cli::{ConfigFile, user};
use crate::config::Config;
use crate::log::logger;
use crate::server::reload::Loaded;
use crate::server::upgrade::predecessor::Predecessor;
use crate::server::{Begun, Running};
use crate::store::Store;

/// What is run.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  tollgate serve --config conf/tollgate.toml")]
pub struct Options {
    /// The configuration
    #[command(flatten)]
    pub file: ConfigFile,
    /// Say as JSON what keeps it from starting; the log goes by [log]
    #[arg(long)]
    pub json: bool,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// Every problem that keeps it from starting.
pub fn serve(path: &Path) -> Result<(), Vec<String>> {
    let mut before = Predecessor::of_this_process().map_err(super::one)?;
    let started = start(path, before.as_mut());
    match (started, before) {
        (Ok(Some(running)), Some(before)) => running.take_over(before),
        (Ok(Some(running)), None) => running.run(),
        (Ok(None), _) => {}
        (Err(problems), before) => {
            if let Some(before) = before {
                before.failed(&problems);
            }
            return Err(problems);
        }
    }
    Ok(())
}

fn start(path: &Path, before: Option<&mut Predecessor>) -> Result<Option<Running>, Vec<String>> {
    let begun = Begun::new()?;
    let config = configuration(path)?;
    let told = logger::Settings {
        level: config.log.level,
        format: config.log.format,
        target: config.log.errors.clone(),
        queue: config.log.queue,
    };
    logger::init(&told).map_err(|error| vec![format!("log.errors: {error}")])?;
    let path = path.to_owned();
    let seen = Seen::default();
    begun.start(Box::new(move || load_again(&path, &seen)), before)
}

/// Reads configuration and catalog files.
///
/// # Errors
/// Every problem in the configuration.
pub fn load(path: &Path) -> Result<Loaded, Vec<String>> {
    let mut loaded = load_again(path, &Seen::default())?;
    loaded.files.fetch();
    Ok(loaded)
}

/// As [`load`]; catalog files that have not changed since they were `seen` are left where they are.
fn load_again(path: &Path, seen: &Seen) -> Result<Loaded, Vec<String>> {
    let config = configuration(path)?;
    Ok(Loaded {
        files: files_seen(&config, seen),
        overrides: overrides(&config),
        path: path.to_owned(),
        config,
    })
}

fn configuration(path: &Path) -> Result<Config, Vec<String>> {
    Config::load(path).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The catalog's texts, in the order in which they are laid over one another.
#[must_use]
pub fn files(config: &Config) -> Files {
    let mut files = files_seen(config, &Seen::default());
    files.fetch();
    files
}

fn files_seen(config: &Config, seen: &Seen) -> Files {
    let mut files = if config.catalog.builtin {
        Files::builtin()
    } else {
        Files::empty()
    };
    for path in &config.catalog.paths {
        files.add_folder_seen(path, seen);
    }
    files
}

/// The base URLs that the configuration puts in place of the catalog's.
#[must_use]
pub fn overrides(config: &Config) -> Overrides {
    let with_url = |(name, provider): (&String, &crate::config::Provider)| {
        Some((name.to_ascii_lowercase(), provider.base_url.clone()?))
    };
    Overrides {
        base_urls: config.providers.iter().filter_map(with_url).collect(),
    }
}

/// Runs a command on the store in `file`.
///
/// # Errors
/// What went wrong, for people.
pub fn on_store<T>(
    file: PathBuf,
    command: impl AsyncFnOnce(&Store, &mut dyn Write) -> Result<T, CliError>,
) -> Result<T, Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| vec![error.to_string()])?;
    runtime.block_on(async {
        let store = Store::open_file(&file)
            .await
            .map_err(|error| vec![error.to_string()])?;
        let mut out = BufWriter::new(super::Pipe::new());
        let now = Timestamp::now().as_second();
        let done = command(&store.by(&user::actor(), now), &mut out).await;
        let done = done.and_then(|done| Ok(out.flush().map(|()| done)?));
        store.close().await;
        done.map_err(|error| vec![error.to_string()])
    })
}
