//! Which gateway, or which store, a command means.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Books, Remote};
use crate::cli::admin::{Gateway, NOT_THE_GATEWAY};
use crate::cli::exit::Failure;
use crate::cli::keys::CliError;
use crate::cli::progress::Progress;
use crate::cli::terminal::Out;
use crate::cli::{ConfigFile, DEFAULT_CONFIG, Pipe, aside, one, user};
use crate::config::Config;
use crate::dev;
use crate::secret::SecretRef;
use crate::store::{self, Store};

/// Where accounts, keys, credit and usage are looked for.
#[derive(Clone, Debug, clap::Args)]
pub struct Where {
    #[command(flatten)]
    pub(in crate::cli) file: ConfigFile,
    /// Work on the store itself, also where a gateway runs on it
    #[arg(long, visible_alias = "offline", global = true)]
    direct: bool,
    /// Ask the gateway whose admin listener is here, in place of `admin.address`: IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS", global = true, conflicts_with = "direct")]
    admin: Option<String>,
    /// Send the admin token to whoever listens there, as through a port that is forwarded
    #[arg(long, global = true)]
    trust_listener: bool,
    /// Work on the store in this folder, as that of `tollgate dev`; no configuration is read
    #[arg(long, value_name = "DIR", global = true, conflicts_with_all = ["admin", "config"])]
    data: Option<PathBuf>,
}

impl Where {
    /// The configuration; where a folder is meant, the defaults with its store and its master key.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn config(&self) -> Result<Config, Vec<String>> {
        match self.folder() {
            Some(folder) => of_folder(&folder),
            // Whose address is said needs no file to be found.
            None if self.admin.is_some() && self.is_without_file() => defaults(),
            None => Config::load_values(&self.file.config)
                .map_err(|problems| problems.iter().map(ToString::to_string).collect()),
        }
    }

    /// Whether no configuration is named, and nobody has made the usual one.
    fn is_without_file(&self) -> bool {
        self.file.config == Path::new(DEFAULT_CONFIG) && !self.file.config.exists()
    }

    /// The folder that is meant: the one that is named; where nothing is, and nobody has made the usual configuration, the
    /// one that `tollgate dev` makes in the current folder.
    fn folder(&self) -> Option<PathBuf> {
        let usual = self.is_without_file();
        let of_dev = PathBuf::from(dev::DATA);
        let is_there = || of_dev.join(store::FILE).is_file();
        match &self.data {
            Some(folder) => Some(folder.clone()),
            None if usual && self.admin.is_none() && is_there() => Some(of_dev),
            None => None,
        }
    }

    /// The gateway to be asked, if one runs on the store that is meant.
    fn gateway(&self, store: &Path) -> Result<Option<Remote>, Failure> {
        let named = self.admin.is_some();
        if self.direct || self.folder().is_some() {
            return Ok(None);
        }
        let gateway = Gateway::new(&self.file, self.admin.clone(), self.trust_listener);
        if !named && !gateway.can_be_asked() {
            return Ok(None);
        }
        let remote = Remote::new(gateway);
        match remote.store() {
            Ok(_) if named => Ok(Some(remote)),
            Ok(theirs) if is_same(&theirs, store) => Ok(Some(remote)),
            Ok(theirs) => {
                aside::note(&format!(
                    "the gateway that runs has another store, {theirs}; this is about {}",
                    store.display()
                ));
                Ok(None)
            }
            Err(error) if named => Err(error.into()),
            Err(error) => {
                let failure = Failure::from(error);
                let why = failure.problems.join("\n");
                let before = match &*failure.code {
                    NOT_THE_GATEWAY => "",
                    _ => "the gateway that runs was asked: ",
                };
                let problem = format!("{before}{why}; --direct works on the store itself");
                Err(Failure {
                    problems: vec![problem],
                    ..failure
                })
            }
        }
    }
}

/// Whether the gateway's store is the one that is meant. What this user may not look at is taken by its name.
fn is_same(theirs: &str, ours: &Path) -> bool {
    let ours = std::fs::canonicalize(ours)
        .or_else(|_| std::path::absolute(ours))
        .unwrap_or_else(|_| ours.to_owned());
    Path::new(theirs) == ours
}

fn defaults() -> Result<Config, Vec<String>> {
    Config::parse("", Path::new(DEFAULT_CONFIG))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn of_folder(folder: &Path) -> Result<Config, Vec<String>> {
    let store = folder.join(store::FILE);
    if !store.is_file() {
        return Err(vec![format!(
            "there is no store in {}: no {}",
            folder.display(),
            store::FILE
        )]);
    }
    let mut config = defaults()?;
    config.store.path = store;
    config.admin = None;
    let master = folder.join(dev::MASTER_FILE);
    if master.is_file() {
        config.byok.master_keys = vec![SecretRef::File(master)];
    }
    Ok(config)
}

/// Runs a command on what is meant.
///
/// # Errors
/// What went wrong, for people.
pub fn with_books<T>(
    at: &Where,
    command: impl AsyncFnOnce(&Books, &mut dyn Out) -> Result<T, CliError>,
) -> Result<T, Failure> {
    let config = at.config().map_err(|mut problems| {
        if at.is_without_file() {
            problems.push(
                "name a configuration with --config, or the data folder of `tollgate dev` with --data"
                    .to_owned(),
            );
        }
        problems
    })?;
    let file = config.store.path;
    if at.data.is_none() && at.folder().is_some() {
        aside::note(&format!(
            "this is about the store of `tollgate dev`, {}",
            file.display()
        ));
    }
    let remote = at.gateway(&file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(one)?;
    runtime.block_on(async {
        let books = match remote {
            Some(remote) => Books::Gateway(remote),
            None => {
                let progress = Progress::start("Opening the store");
                let store = Store::open_file(&file).await;
                drop(progress);
                let store = store.map_err(CliError::from)?;
                Books::Store(store.by(&user::actor(), Timestamp::now().as_second()))
            }
        };
        let mut out = BufWriter::new(Pipe::new());
        let done = command(&books, &mut out).await;
        let done = done.and_then(|done| Ok(out.flush().map(|()| done)?));
        if let Books::Store(store) = &books {
            store.close().await;
        }
        Ok(done?)
    })
}
