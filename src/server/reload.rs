//! Reads configuration and catalog again and publishes them as one. A file that is wrong changes
//! nothing: it is logged with its place, and counted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{error, info, warn};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::catalog::{Catalog, Files, Overrides, resolve};
use crate::config::Config;
use crate::live::{self, Lasting, Live};
use crate::snapshot::Snapshot;

/// Changes that come within this time of one another are one reload: editors write in steps.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// What a load reads.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from, for messages.
    pub path: PathBuf,
    /// The catalog's texts.
    pub files: Files,
    /// Base URLs that stand in for the catalog's.
    pub overrides: Overrides,
}

/// Reads everything anew; every problem as a line for people.
pub type Load = dyn Fn() -> Result<Loaded, Vec<String>> + Send + Sync;

/// Builds what requests see.
///
/// # Errors
/// Every problem, as lines for people.
pub fn build(loaded: Loaded, lasting: &Lasting) -> Result<Live, Vec<String>> {
    let catalog = check(&loaded.files, &loaded.overrides)?;
    live::build(catalog, &loaded.config, &loaded.path, lasting)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// Checks a catalog.
///
/// # Errors
/// Every problem, as lines for people.
pub fn check(files: &Files, overrides: &Overrides) -> Result<Catalog, Vec<String>> {
    resolve(files, overrides).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The one who reloads. Reloads are made one after another.
pub struct Reloader {
    load: Box<Load>,
    lasting: Arc<Lasting>,
    live: Arc<Snapshot<Live>>,
    turn: Mutex<()>,
}

impl Reloader {
    /// Publishes into `live` what `load` reads.
    #[must_use]
    pub fn new(load: Box<Load>, lasting: Arc<Lasting>, live: Arc<Snapshot<Live>>) -> Self {
        Self {
            load,
            lasting,
            live,
            turn: Mutex::new(()),
        }
    }

    /// Reads and publishes; blocks on files.
    ///
    /// # Errors
    /// Every problem; nothing has changed then.
    pub fn reload(&self) -> Result<Box<str>, Vec<String>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let built = (self.load)().and_then(|loaded| build(loaded, &self.lasting));
        match built {
            Ok(next) => {
                let version = next.version.clone();
                let changed = self.live.pin().version != version;
                self.lasting.metrics.reloaded(true);
                self.lasting.metrics.catalog_in_use(&version);
                self.live.publish(next);
                info!("reloaded; the catalog is {version}{}", if changed { "" } else { " as before" });
                Ok(version)
            }
            Err(problems) => {
                self.lasting.metrics.reloaded(false);
                for problem in &problems {
                    error!("reload: {problem}");
                }
                warn!("reload failed; what was loaded before stays");
                Err(problems)
            }
        }
    }
}

/// Reloads off the caller's thread.
pub async fn reload(reloader: Arc<Reloader>) -> Result<Box<str>, Vec<String>> {
    tokio::task::spawn_blocking(move || reloader.reload())
        .await
        .unwrap_or_else(|_| Err(vec!["the reload ended before its time".to_owned()]))
}

/// Reloads whenever one of `paths` (files or folders) changes, until the sender side is dropped
/// with the returned watcher. Folders are watched, not files, because editors replace files.
///
/// # Errors
/// The system's, when there is nothing left to watch with.
pub fn watch(paths: Vec<PathBuf>, reloader: Arc<Reloader>) -> notify::Result<impl Watcher> {
    let (changed, mut changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // One that waits stands for all that come until it is taken.
            let _ = changed.try_send(());
        }
    })?;
    for path in &paths {
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(path) };
        watcher.watch(folder, RecursiveMode::Recursive)?;
    }
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            tokio::time::sleep(DEBOUNCE).await;
            while changes.try_recv().is_ok() {}
            let _ = reload(Arc::clone(&reloader)).await;
        }
    });
    Ok(watcher)
}
