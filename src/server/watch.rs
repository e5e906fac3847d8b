//! Watches the files that a load reads, and says when they have changed. Two ways: the system's notices, which are
//! quick, and a look at the files every few seconds, which misses nothing (a folder that was replaced as a whole, the
//! file that a link leads to, a network share, more watches than the system allows).
//!
//! It does not say what has changed: whoever reloads compares what the files say.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::warn;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::reload::{Cause, Reloader, reload};
use crate::catalog::Files;

/// Nothing may change for this long before files are read: editors write in steps, and so do people who copy folders.
const QUIET: Duration = Duration::from_millis(200);

/// Files that never rest are read after this time all the same.
const QUIET_MAX: Duration = Duration::from_secs(3);

/// How often the files are looked at without a notice.
const LOOK: Duration = Duration::from_secs(2);

/// Reloads whenever one of the files that `reloader` reads changes, or one of its folders' JSON files, for as long as
/// the runtime that it is called in, and while the configuration wants it (`catalog.watch`). A folder that a reload adds is
/// watched from then on.
pub fn watch(reloader: Arc<Reloader>) {
    let (changed, changes) = mpsc::channel(1);
    // At once: what changes from now on is noticed.
    let watch = Watch::new(reloader.sources(), &changed);
    tokio::spawn(follow(watch, changed, changes, reloader));
}

/// Notices of changes of what is `watched`. One that waits in the channel stands for all that come until it is taken.
fn notices(watched: &[Watched], changed: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let meant = watched.to_vec();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let is_meant = |event: &Event| {
            let mut paths = event.paths.iter();
            !event.kind.is_access()
                && paths.any(|path| meant.iter().any(|watched| watched.means(path)))
        };
        // What could not be told (too many at once) may have been anything.
        if event.as_ref().map_or(true, is_meant) {
            let _ = changed.try_send(());
        }
    })?;
    for folder in watched.iter().flat_map(Watched::folders) {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

async fn follow(
    mut watch: Watch,
    changed: mpsc::Sender<()>,
    mut changes: mpsc::Receiver<()>,
    reloader: Arc<Reloader>,
) {
    // Nothing, so that what has changed since the first load is found at the first look.
    let mut seen = None;
    loop {
        let noticed = notice(&mut changes, LOOK).await;
        if !reloader.watches() {
            // As if nothing had been seen: what has changed meanwhile counts once it is wanted again.
            seen = None;
            continue;
        }
        let sources = reloader.sources();
        if sources != watch.sources {
            watch = Watch::new(sources, &changed);
        }
        let now = look(&watch.watched).await;
        if !noticed && seen == Some(now) {
            continue;
        }
        seen = Some(settled(&watch.watched, &mut changes, now).await);
        watch.again();
        // What was wrong has been logged and counted.
        let _ = reload(&reloader, Cause::Change).await;
    }
}

/// What is watched, and the notices of it.
struct Watch {
    sources: Arc<Vec<PathBuf>>,
    watched: Vec<Watched>,
    notices: Option<RecommendedWatcher>,
}

impl Watch {
    fn new(sources: Arc<Vec<PathBuf>>, changed: &mpsc::Sender<()>) -> Self {
        let watched: Vec<Watched> = sources.iter().map(|path| Watched::new(path)).collect();
        let notices = notices(&watched, changed.clone()).inspect_err(|error| {
            warn!("no notices of changed files ({error}); they are looked at every {LOOK:?}");
        });
        Self {
            sources,
            watched,
            notices: notices.ok(),
        }
    }

    /// A folder that was replaced as a whole is another one, of which there are no notices yet.
    fn again(&mut self) {
        let Some(notices) = &mut self.notices else {
            return;
        };
        for folder in self.watched.iter().flat_map(Watched::folders) {
            // It may be gone by now; it is looked for all the same.
            let _ = notices.unwatch(&folder);
            let _ = notices.watch(&folder, RecursiveMode::NonRecursive);
        }
    }
}

/// Whether there is a notice within `time`.
async fn notice(changes: &mut mpsc::Receiver<()>, time: Duration) -> bool {
    match timeout(time, changes.recv()).await {
        Ok(Some(())) => true,
        Ok(None) => {
            tokio::time::sleep(time).await;
            false
        }
        Err(_) => false,
    }
}

/// Waits until nothing changes any more, and returns how the files look then. What is written later has another look.
async fn settled(watched: &[Watched], changes: &mut mpsc::Receiver<()>, mut last: Look) -> Look {
    let end = Instant::now() + QUIET_MAX;
    loop {
        // Not at each notice: whoever writes without a pause would have us look without one.
        tokio::time::sleep(QUIET).await;
        let noticed = changes.try_recv().is_ok();
        let now = look(watched).await;
        if (!noticed && now == last) || Instant::now() >= end {
            return now;
        }
        last = now;
    }
}

/// Digest of names, sizes and times.
type Look = u64;

async fn look(watched: &[Watched]) -> Look {
    let watched = watched.to_vec();
    let looked = tokio::task::spawn_blocking(move || {
        let mut look = DefaultHasher::new();
        let files = watched.iter().flat_map(Watched::files);
        files.for_each(|file| of_file(&file).hash(&mut look));
        look.finish()
    });
    looked.await.unwrap_or_default()
}

/// What changes with a file's content; of a link that of the file it leads to.
fn of_file(path: &Path) -> (&Path, Option<[i64; 4]>) {
    let looked = std::fs::metadata(path).ok().map(|file| {
        [
            file.ino().cast_signed(),
            file.len().cast_signed(),
            file.mtime(),
            file.mtime_nsec(),
        ]
    });
    (path, looked)
}

/// A folder with its JSON files, or one file of a folder.
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

    /// The files that a load reads now.
    fn files(&self) -> Vec<PathBuf> {
        match &self.file {
            Some(file) => vec![file.clone()],
            None => Files::listed(&self.folder),
        }
    }

    /// The folders whose notices matter. Folders rather than files, because editors replace files.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.clone()];
        if self.file.is_none() {
            let below = self.files();
            folders.extend(
                below
                    .iter()
                    .filter_map(|file| file.parent().map(Path::to_owned)),
            );
        }
        folders.dedup();
        folders
    }

    /// Whether a notice about `path` may be one of what is read; what else is written in the folder (a log, a store)
    /// is passed over.
    fn means(&self, path: &Path) -> bool {
        // Kubernetes gives a mounted folder another content by replacing the link `..data` in it.
        let name = path.file_name().map(|name| name.as_encoded_bytes());
        if path.parent() == Some(&self.folder) && name.is_some_and(|name| name.starts_with(b"..")) {
            return true;
        }
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
        assert!(means(folder.path().join("..data")));
        assert!(means(catalog.join("..data")));
        for other in ["access.log", "tollgate.db-wal", "tollgate.toml.swp"] {
            assert!(!means(folder.path().join(other)), "{other}");
        }
        assert!(!means(catalog.join("mine.json~")));
    }

    #[tokio::test]
    async fn a_look_sees_what_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        std::fs::create_dir_all(folder.path().join("catalog/presets")).expect("a folder");
        std::fs::create_dir_all(folder.path().join("elsewhere")).expect("a folder");
        write("tollgate.toml", "");
        write("elsewhere/real", "{}");
        std::os::unix::fs::symlink(
            folder.path().join("elsewhere/real"),
            folder.path().join("catalog/link.json"),
        )
        .expect("a link");
        let watched = [
            Watched::new(&folder.path().join("tollgate.toml")),
            Watched::new(&folder.path().join("catalog")),
        ];
        let mut last = look(&watched).await;
        for (name, text) in [
            ("access.log", "x"),
            ("catalog/mine.json~", "x"),
            ("catalog/.mine.json", "x"),
        ] {
            write(name, text);
            assert_eq!(look(&watched).await, last, "{name}");
        }
        for (name, text) in [
            ("tollgate.toml", "# x"),
            ("catalog/mine.json", "{}"),
            ("catalog/presets/mine.json", "{}"),
            ("elsewhere/real", "{ }"),
        ] {
            write(name, text);
            let now = look(&watched).await;
            assert_ne!(now, last, "{name}");
            last = now;
        }
        std::fs::remove_file(folder.path().join("catalog/mine.json")).expect("removed");
        assert_ne!(look(&watched).await, last);
    }
}
