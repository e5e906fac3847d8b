//! Another program takes over from this one while it runs, and no connection is refused or cut. The one that serves starts
//! the other, gives it the listening sockets, and leaves once that one says that it serves: until then nothing has
//! changed, so one that fails costs nothing. docs/upgrade.md says why it is done this way.

pub mod channel;
pub mod predecessor;
pub mod program;
pub mod successor;

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{error, warn};
use tokio::sync::{mpsc, oneshot};

use super::reload::Reloader;
use crate::admin::NoUpgrade;
use crate::ledger::Ledger;
use crate::metrics::{Metrics, Upgrade};
use channel::{Go, Name};
use program::Program;
use successor::Successor;

/// Requests for an upgrade that may wait to be looked at.
const ASKED_MAX: usize = 8;

/// The first process of a container ends it by its own end.
const FIRST_PROCESS: u32 = 1;

/// What came of it: the process that took over.
pub type Outcome = Result<u32, NoUpgrade>;

/// Where an upgrade is asked for.
#[derive(Clone, Debug)]
pub struct Asking(mpsc::Sender<oneshot::Sender<Outcome>>);

impl Asking {
    /// Asks for one, and waits for what comes of it. It goes on should nobody wait any more.
    ///
    /// # Errors
    /// One is under way, or every problem; this process goes on then.
    pub async fn upgrade(&self) -> Outcome {
        let stopping = || NoUpgrade::Problems(vec!["the gateway is stopping".to_owned()]);
        let (reply, replied) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| stopping())?;
        replied.await.map_err(|_| stopping())?
    }
}

/// Starts those that are to take over.
pub struct Upgrades {
    asked: mpsc::Receiver<oneshot::Sender<Outcome>>,
    program: std::io::Result<Program>,
    sockets: Vec<(Name, OwnedFd)>,
    reloader: Arc<Reloader>,
    drained: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    starting: Option<Starting>,
}

/// One that starts.
struct Starting {
    outcome: Pin<Box<dyn Future<Output = Result<Successor, Vec<String>>> + Send>>,
    reply: Option<oneshot::Sender<Outcome>>,
    word: Word,
}

/// What one that takes over has to know, as it is when that is asked for.
#[derive(Clone)]
struct Word {
    reloader: Arc<Reloader>,
    /// Reloads that had been asked for before it was started.
    reloads: u64,
    drained: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
}

impl Word {
    fn now(&self) -> Go {
        Go {
            reload: self.reloader.asked() != self.reloads,
            drained: self.drained.load(Ordering::Relaxed),
            main_follows: true,
            ledger_elsewhere: self.ledger.is_elsewhere(),
        }
    }
}

/// One that serves.
pub struct Serving {
    /// The process.
    pub successor: Successor,
    word: Word,
    reply: Option<oneshot::Sender<Outcome>>,
}

impl Serving {
    /// Tells it that it is the service's main process.
    pub async fn is_main(&mut self) {
        self.successor.main(self.word.now()).await;
    }

    /// Tells who asked that it has taken over.
    pub fn tell(&mut self) {
        if let Some(reply) = self.reply.take() {
            // Nobody may be waiting any more.
            let _ = reply.send(Ok(self.successor.id()));
        }
    }
}

/// Where upgrades are asked for, for [`Upgrades`].
pub fn asking() -> (Asking, mpsc::Receiver<oneshot::Sender<Outcome>>) {
    let (asking, asked) = mpsc::channel(ASKED_MAX);
    (Asking(asking), asked)
}

impl Upgrades {
    /// Upgrades that are `asked` for, with these listening sockets.
    pub fn new(
        asked: mpsc::Receiver<oneshot::Sender<Outcome>>,
        sockets: Vec<(Name, OwnedFd)>,
        reloader: Arc<Reloader>,
        drained: Arc<AtomicBool>,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            asked,
            program: Program::of_this_process(),
            sockets,
            reloader,
            drained,
            ledger,
            metrics,
            starting: None,
        }
    }

    /// Begins one that a signal asks for.
    pub fn begin(&mut self) {
        self.begin_for(None);
    }

    /// Serves those who ask, until one that was started serves. What is under way goes on when this is asked anew.
    pub async fn serving(&mut self) -> Serving {
        loop {
            let outcome = tokio::select! {
                Some(reply) = self.asked.recv() => {
                    self.begin_for(Some(reply));
                    continue;
                }
                outcome = outcome(&mut self.starting) => outcome,
            };
            let Some(starting) = self.starting.take() else {
                continue;
            };
            match outcome {
                Ok(successor) => {
                    return Serving {
                        successor,
                        word: starting.word,
                        reply: starting.reply,
                    };
                }
                Err(problems) => self.failed(starting.reply, problems),
            }
        }
    }

    fn begin_for(&mut self, reply: Option<oneshot::Sender<Outcome>>) {
        if self.starting.is_some() {
            warn!("upgrade: one is under way already");
            self.metrics.upgrade(Upgrade::Refused);
            if let Some(reply) = reply {
                let _ = reply.send(Err(NoUpgrade::UnderWay));
            }
            return;
        }
        match self.prepared() {
            Ok((program, sockets)) => {
                let word = Word {
                    reloader: Arc::clone(&self.reloader),
                    reloads: self.reloader.asked(),
                    drained: Arc::clone(&self.drained),
                    ledger: Arc::clone(&self.ledger),
                };
                let patience = self.reloader.configuration().server.upgrade;
                self.starting = Some(Starting {
                    outcome: Box::pin(started(program, sockets, patience, word.clone())),
                    reply,
                    word,
                });
            }
            Err(problem) => self.failed(reply, vec![problem]),
        }
    }

    fn prepared(&self) -> Result<(Program, Vec<(Name, OwnedFd)>), String> {
        if std::process::id() == FIRST_PROCESS {
            return Err("this is the first process of a container, which ends with it; start another container".to_owned());
        }
        let program = self.program.as_ref();
        let program =
            program.map_err(|error| format!("the program's file is not known: {error}"))?;
        let copy = |(name, socket): &(Name, OwnedFd)| Ok((name.clone(), socket.try_clone()?));
        let sockets: std::io::Result<Vec<_>> = self.sockets.iter().map(copy).collect();
        let sockets = sockets.map_err(|error| format!("the listening sockets: {error}"))?;
        Ok((program.clone(), sockets))
    }

    fn failed(&self, reply: Option<oneshot::Sender<Outcome>>, problems: Vec<String>) {
        self.metrics.upgrade(Upgrade::Failed);
        for problem in &problems {
            error!("upgrade: {problem}");
        }
        warn!("upgrade failed; this process goes on");
        if let Some(reply) = reply {
            let _ = reply.send(Err(NoUpgrade::Problems(problems)));
        }
    }
}

/// Starts one, and has it serve when it is ready.
async fn started(
    program: Program,
    sockets: Vec<(Name, OwnedFd)>,
    patience: Duration,
    word: Word,
) -> Result<Successor, Vec<String>> {
    let mut successor = Successor::start(program, sockets, patience).await?;
    successor.go(word.now()).await?;
    Ok(successor)
}

/// What comes of the one that starts, where one does.
async fn outcome(starting: &mut Option<Starting>) -> Result<Successor, Vec<String>> {
    match starting {
        Some(starting) => starting.outcome.as_mut().await,
        None => std::future::pending().await,
    }
}
