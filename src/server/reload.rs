//! Reads configuration and catalog again and publishes them as one. A file that is wrong changes
//! nothing: it is logged with its place, and counted.

use std::path::{Path, PathBuf};
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
                info!(
                    "reloaded; the catalog is {version}{}",
                    if changed { "" } else { " as before" }
                );
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

/// Reloads whenever one of `paths` (files, or folders with their JSON files) changes, for as long
/// as the returned watcher lives. Folders are watched, because editors replace files; what else is
/// written in them (a log, a store) is passed over.
///
/// # Errors
/// The system's, when there is nothing to watch with.
pub fn watch(paths: &[PathBuf], reloader: Arc<Reloader>) -> notify::Result<impl Watcher + use<>> {
    let watched: Vec<Watched> = paths.iter().map(|path| Watched::new(path)).collect();
    let (changed, mut changes) = mpsc::channel(1);
    let meant = watched.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_meant = |event: &notify::Event| {
            let mut paths = event.paths.iter();
            !event.kind.is_access()
                && paths.any(|path| meant.iter().any(|watched| watched.means(path)))
        };
        if event.is_ok_and(|event| is_meant(&event)) {
            // One that waits stands for all that come until it is taken.
            let _ = changed.try_send(());
        }
    })?;
    for watched in &watched {
        let depth = if watched.file.is_some() {
            RecursiveMode::NonRecursive
        } else {
            RecursiveMode::Recursive
        };
        watcher.watch(&watched.folder, depth)?;
    }
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            tokio::time::sleep(DEBOUNCE).await;
            while changes.try_recv().is_ok() {}
            // What was wrong has been logged and counted.
            let _ = reload(Arc::clone(&reloader)).await;
        }
    });
    Ok(watcher)
}

/// A folder, or one file of it.
#[derive(Clone, Debug)]
struct Watched {
    folder: PathBuf,
    file: Option<PathBuf>,
}

impl Watched {
    fn new(path: &Path) -> Self {
        if path.is_dir() {
            return Self {
                folder: path.to_owned(),
                file: None,
            };
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let file = path.file_name().map(|name| folder.join(name));
        Self { folder, file }
    }

    fn means(&self, path: &Path) -> bool {
        match &self.file {
            Some(file) => path == file,
            None => {
                let is_json = path
                    .extension()
                    .is_some_and(|extension| extension == "json");
                // A file that came in a folder of its own is announced by the folder.
                path.starts_with(&self.folder) && (is_json || path.is_dir())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_again_is_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = folder.path().join("catalog");
        std::fs::create_dir(&catalog).expect("a folder");
        let config = folder.path().join("tollgate.toml");
        let watched = [Watched::new(&config), Watched::new(&catalog)];
        let means = |path: PathBuf| watched.iter().any(|watched| watched.means(&path));
        assert!(means(config));
        assert!(means(catalog.join("mine.json")));
        for other in ["access.log", "tollgate.db-wal", "tollgate.toml.swp"] {
            assert!(!means(folder.path().join(other)), "{other}");
        }
        assert!(!means(catalog.join("mine.json~")));
    }
}
