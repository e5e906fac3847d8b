//! Reads configuration, secrets, certificates and catalog again and publishes them as one. A file that is wrong changes
//! nothing: it is logged with its place, and counted.
//!
//! The last versions of the catalog are kept: what their files say is not read into a catalog
//! again, and an operator can go back to one of them.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use log::{debug, error, info, warn};
use sha2::{Digest as _, Sha256};

use super::certificates::{self, Certificates};
use super::fixed::at_next_start;
use super::history::{History, Kept, NotKept};
use super::lane::Lane;
use super::takers::{Prepared, Takers};
use crate::catalog::{Catalog, Files, Overrides, resolve};
use crate::config::{Config, PEM_BYTES_MAX};
use crate::live::{self, Lasting, Live, Mistake};
use crate::snapshot::Snapshot;
use crate::whole;

/// What a load reads.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from, for messages.
    pub path: PathBuf,
    /// The catalog's texts; those seen before may have been left where they are.
    pub files: Files,
    /// Base URLs that stand in for the catalog's.
    pub overrides: Overrides,
}

impl Loaded {
    /// The same for the same catalog.
    fn inputs(&self) -> Inputs {
        let mut digest = Sha256::new().chain_update(self.files.digest());
        for (provider, url) in &self.overrides.base_urls {
            for part in [provider, url] {
                digest.update(part.len().to_le_bytes());
                digest.update(part);
            }
        }
        digest.finalize().into()
    }
}

impl Loaded {
    /// The files and folders that it came from.
    fn sources(&self) -> Vec<PathBuf> {
        let folders = self.config.catalog.paths.iter().chain([&self.path]);
        let mut sources: Vec<_> = folders.cloned().collect();
        sources.extend(self.config.files());
        sources
    }

    /// The same while the files say the same that the configuration names: secrets and certificates.
    fn named(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in self.config.files() {
            match whole::read(&file, PEM_BYTES_MAX) {
                Ok(content) => digest.update(Sha256::digest(content)),
                Err(_) => digest.update([0]),
            }
        }
        digest.finalize().into()
    }
}

/// Digest of what a catalog is made of.
type Inputs = [u8; 32];

/// Reads everything anew; every problem as a line for people.
pub type Load = dyn Fn() -> Result<Loaded, Vec<String>> + Send + Sync;

/// Checks a catalog.
///
/// # Errors
/// Every problem, as lines for people.
pub fn check(files: &Files, overrides: &Overrides) -> Result<Catalog, Vec<String>> {
    resolve(files, overrides).map_err(|problems| lines(&problems))
}

fn build(
    catalog: Arc<Catalog>,
    loaded: &Loaded,
    lasting: &Lasting,
) -> Result<Arc<Live>, Vec<String>> {
    live::build(catalog, &loaded.config, &loaded.path, lasting)
        .map(Arc::new)
        .map_err(|mistakes: Vec<Mistake>| lines(&mistakes))
}

fn lines(problems: &[impl fmt::Display]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// Why files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An operator asks for it: what the files say is in use afterwards, also after a rollback.
    Operator,
    /// SIGHUP, which may only be about the access log: a rollback is not undone.
    Signal,
    /// A file changed, or seems to have: no reload when all say what they said.
    Change,
}

/// Why there was no rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRollback {
    /// No such version is kept, or it is the one in use.
    NotKept,
    /// It does not go with the configuration: every problem, as a line for people.
    Mistakes(Vec<String>),
}

/// A version of the catalog that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name.
    pub version: Box<str>,
    /// When it was taken into use first, of late.
    pub since: Timestamp,
    /// Whether it is the one in use.
    pub in_use: bool,
}

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The version of the catalog in use now.
    pub version: Box<str>,
    /// What the configuration says otherwise than at the start, and is as it was until the next start.
    pub at_next_start: Vec<&'static str>,
}

/// The one who reloads. Reloads are made one after another.
pub struct Reloader {
    load: Box<Load>,
    lasting: Arc<Lasting>,
    live: Arc<Snapshot<Live>>,
    certificates: Certificates,
    takers: OnceLock<Takers>,
    watches: AtomicBool,
    started_with: Config,
    sources: Snapshot<Vec<PathBuf>>,
    state: Mutex<State>,
    lane: Lane,
    asked: AtomicU64,
}

/// What is to be published, and what its catalog was made of.
struct Next {
    live: Arc<Live>,
    certificates: certificates::Read,
    prepared: Option<Prepared>,
    inputs: Inputs,
}

struct State {
    history: History<Arc<Live>>,
    /// What was read last, without the texts.
    read: Arc<Loaded>,
    read_inputs: Inputs,
    read_named: [u8; 32],
    /// That of it which is in use.
    good: Arc<Loaded>,
    /// What a rollback went back from: as long as the files say it, it is not taken up again.
    passed_over: Option<Inputs>,
}

impl Reloader {
    /// Publishes what `first` says, and from then on what `load` reads.
    ///
    /// # Errors
    /// Every problem with `first`, or that the system gives no thread.
    pub fn new(
        load: Box<Load>,
        mut first: Loaded,
        lasting: Arc<Lasting>,
    ) -> Result<Self, Vec<String>> {
        first.files.fetch();
        let inputs = first.inputs();
        let named = first.named();
        let certificates = certificates::read(&first.config.listen)?;
        let catalog = Arc::new(check(&first.files, &first.overrides)?);
        let live = build(catalog, &first, &lasting)?;
        lasting.in_use(&live);
        first.files = Files::empty();
        let sources = Snapshot::new(first.sources());
        let started_with = first.config.clone();
        let first = Arc::new(first);
        let state = State {
            history: History::new(kept(&live, inputs)),
            read: Arc::clone(&first),
            read_inputs: inputs,
            read_named: named,
            good: first,
            passed_over: None,
        };
        Ok(Self {
            load,
            certificates: Certificates::new(certificates),
            takers: OnceLock::new(),
            watches: AtomicBool::new(started_with.catalog.watch),
            started_with,
            lasting,
            live: Arc::new(Snapshot::shared(live)),
            sources,
            state: Mutex::new(state),
            lane: Lane::new("reload").map_err(|error| vec![error.to_string()])?,
            asked: AtomicU64::new(0),
        })
    }

    /// What requests pin.
    #[must_use]
    pub fn live(&self) -> &Arc<Snapshot<Live>> {
        &self.live
    }

    /// What the listeners show.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// From now on `takers` take up what each reload changes.
    pub(super) fn tell(&self, takers: Takers) {
        // They are told once.
        let _ = self.takers.set(takers);
    }

    /// Whether a change of a file is a reload.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watches.load(Ordering::Relaxed)
    }

    /// The configuration in use. Waits for a reload under way.
    #[must_use]
    pub fn configuration(&self) -> Config {
        self.lock().good.config.clone()
    }

    /// The files and folders that were read last, also where something in them was wrong.
    #[must_use]
    pub fn sources(&self) -> Arc<Vec<PathBuf>> {
        self.sources.pin()
    }

    /// How many reloads somebody has asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Reads and publishes; blocks on files.
    ///
    /// # Errors
    /// Every problem; nothing has changed then.
    pub fn reload(&self, cause: Cause) -> Result<Reloaded, Vec<String>> {
        let mut state = self.lock();
        match self.next(&mut state, cause) {
            Ok(Some(next)) => Ok(self.take_up(&mut state, next)),
            Ok(None) => {
                if Arc::ptr_eq(&state.read, &state.good) {
                    self.lasting.metrics.files_in_order();
                }
                Ok(self.reloaded(&state))
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

    fn take_up(&self, state: &mut State, next: Next) -> Reloaded {
        self.lasting.metrics.reloaded(true);
        let before = state.history.current().version.clone();
        self.publish(&next.live);
        self.certificates.publish(next.certificates);
        self.certificates.tell(&self.lasting.metrics);
        state.history.publish(kept(&next.live, next.inputs));
        state.good = Arc::clone(&state.read);
        let watches = state.good.config.catalog.watch;
        self.watches.store(watches, Ordering::Relaxed);
        if let Some((takers, prepared)) = self.takers.get().zip(next.prepared) {
            takers.take_up(prepared);
        }
        let done = self.reloaded(state);
        info!("{}", told(state, &before, &done.version));
        if !done.at_next_start.is_empty() {
            warn!(
                "not taken up before the next start: {}",
                done.at_next_start.join(", ")
            );
        }
        done
    }

    fn reloaded(&self, state: &State) -> Reloaded {
        Reloaded {
            version: state.history.current().version.clone(),
            at_next_start: at_next_start(&self.started_with, &state.good.config),
        }
    }

    /// What is to be published; nothing when nothing has changed.
    fn next(&self, state: &mut State, cause: Cause) -> Result<Option<Next>, Vec<String>> {
        let mut loaded = (self.load)()?;
        let named = loaded.named();
        let mut inputs = loaded.inputs();
        let before = (state.read_inputs, state.read_named, &state.read.config);
        if cause == Cause::Change && (inputs, named, &loaded.config) == before {
            debug!("the files say what they said before");
            return Ok(None);
        }
        // Kept as it was until everything is in order: a mistake does not end a rollback.
        let passed_over = state
            .passed_over
            .filter(|past| cause != Cause::Operator && *past == inputs);
        if passed_over.is_none() && state.history.made_of(&inputs).is_none() {
            // Should a file have changed since, this is about what it says now.
            loaded.files.fetch();
            inputs = loaded.inputs();
        }
        let files = std::mem::replace(&mut loaded.files, Files::empty());
        self.sources.publish(loaded.sources());
        (state.read_inputs, state.read_named) = (inputs, named);
        state.read = Arc::new(loaded);
        let certificates = certificates::read(&state.read.config.listen)?;
        let known = if passed_over.is_some() {
            Some(state.history.current())
        } else {
            state.history.made_of(&inputs)
        };
        let (catalog, inputs) = match known {
            Some(kept) => (Arc::clone(&kept.value.catalog), kept.inputs),
            None => (Arc::new(check(&files, &state.read.overrides)?), inputs),
        };
        let live = build(catalog, &state.read, &self.lasting)?;
        let takers = self.takers.get();
        let prepared = takers.map(|it| it.prepare(&state.good.config, &state.read.config));
        let prepared = prepared.transpose()?;
        state.passed_over = passed_over;
        Ok(Some(Next {
            live,
            certificates,
            prepared,
            inputs,
        }))
    }

    /// Goes back to the catalog before the one in use, or to the one of that version. It stays until the files of the
    /// catalog change, or an operator asks for a reload. The configuration stays.
    ///
    /// # Errors
    /// When no such version is kept, or it does not go with the configuration; nothing has changed then.
    pub fn rollback(&self, to: Option<&str>) -> Result<Box<str>, NoRollback> {
        let mut state = self.lock();
        let position = state
            .history
            .other(to)
            .map_err(|NotKept| NoRollback::NotKept)?;
        let before = state.history.current().version.clone();
        let target = state.history.at(position);
        let (catalog, inputs) = (Arc::clone(&target.value.catalog), target.inputs);
        let next = build(catalog, &state.good, &self.lasting).map_err(NoRollback::Mistakes)?;
        self.publish(&next);
        let version = next.version.clone();
        state.history.go_to(position, next);
        let read = state.read_inputs;
        state.passed_over = (inputs != read).then_some(read);
        warn!(
            "rolled back from {before}; the catalog is {version} until its files change, or POST /reload takes them up"
        );
        Ok((*version).into())
    }

    /// Publishes what is in use together with what providers have been found to list since.
    pub fn take_up_found(&self) {
        let _turn = self.lock();
        let next = self.live.pin().with_found(&self.lasting);
        self.live.publish(next);
    }

    /// Does `job`, which may take its time, on the thread of reloads; nothing when it panicked.
    pub async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let reloader = Arc::clone(self);
        self.lane.run(move || job(&reloader)).await
    }

    /// The versions that can be gone back to, and the one in use: newest first. Waits for a reload under way.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        let state = self.lock();
        let version = |(kept, in_use): (&Kept<_>, bool)| Version {
            version: kept.version.clone(),
            since: kept.since,
            in_use,
        };
        state.history.all().map(version).collect()
    }

    fn publish(&self, next: &Arc<Live>) {
        self.lasting.in_use(next);
        self.live.publish(Arc::clone(next));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept(live: &Arc<Live>, inputs: Inputs) -> Kept<Arc<Live>> {
    Kept {
        version: (*live.version).into(),
        inputs,
        since: Timestamp::now(),
        value: Arc::clone(live),
    }
}

/// The line in the log.
fn told(state: &State, before: &str, now: &str) -> String {
    if state.passed_over.is_some() {
        return format!(
            "reloaded; the catalog stays {now}, as rolled back to: its files are unchanged (POST /reload takes them up)"
        );
    }
    let as_before = if before == now { " as before" } else { "" };
    format!("reloaded; the catalog is {now}{as_before}")
}

/// Reloads off the caller's thread.
///
/// # Errors
/// As [`Reloader::reload`].
pub async fn reload(reloader: &Arc<Reloader>, cause: Cause) -> Result<Reloaded, Vec<String>> {
    // Before it waits for others: a process that is to take over is told of it.
    if cause != Cause::Change {
        reloader.asked.fetch_add(1, Ordering::Relaxed);
    }
    let done = reloader.aside(move |reloader| reloader.reload(cause)).await;
    done.unwrap_or_else(|| Err(vec!["the reload ended before its time".to_owned()]))
}
