//! The process that is to take over, as the one sees it that serves: started, waited for, told to go; ended, where it does
//! not come that far.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::process::Child;
use std::time::Duration;

use log::{info, warn};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::channel::{self, Go, LINE_MAX, Name, New, Old};
use super::program::Program;

/// How long one that was told to go may take to say that it does.
const SERVING_TIME: Duration = Duration::from_secs(5);

/// A process that is to take over. Dropped before it has said that it serves, it is ended.
#[derive(Debug)]
pub struct Successor {
    /// The program's.
    file: String,
    channel: UnixStream,
    process: Process,
    serves: bool,
}

/// Its process.
#[derive(Debug)]
enum Process {
    /// It may be there: it is in the group of this one, which starts it.
    Launched(Child),
    /// It is this one: by a handle, so that no other that has got its id later is meant.
    Started { id: u32, handle: OwnedFd },
    /// It has ended.
    Gone,
}

impl Process {
    fn started(id: u32) -> Self {
        let handle = pid(id).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        handle.map_or(Self::Gone, |handle| Self::Started { id, handle })
    }

    fn signal(&self, signal: Signal) {
        // It may have ended.
        let _ = match self {
            Self::Launched(launcher) => match pid(launcher.id()) {
                // Nobody has waited for it yet, so its id is nobody else's.
                Some(group) => kill_process_group(group, signal),
                None => Ok(()),
            },
            Self::Started { handle, .. } => pidfd_send_signal(handle, signal),
            Self::Gone => Ok(()),
        };
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Waits for one that ends by itself, elsewhere.
fn reap(mut launcher: Child) {
    std::thread::spawn(move || launcher.wait());
}

impl Successor {
    /// Starts `program` with the listening `sockets`, and waits until it is ready, for no longer than `patience`.
    ///
    /// # Errors
    /// Why it is not ready, as lines for people; nothing of it is left then.
    pub async fn start(
        program: Program,
        sockets: Vec<(Name, OwnedFd)>,
        patience: Duration,
    ) -> Result<Self, Vec<String>> {
        let file = program.file().display().to_string();
        info!("upgrade: starting {file}");
        let launched = Self::launched(&program, &sockets);
        let mut successor =
            launched.map_err(|error| vec![format!("{file} cannot be started: {error}")])?;
        match tokio::time::timeout(patience, successor.until_ready()).await {
            Ok(outcome) => outcome.map(|()| successor),
            Err(_) => Err(vec![format!(
                "{file} was not ready within {patience:?} (server.upgrade) and was ended"
            )]),
        }
    }

    fn launched(program: &Program, sockets: &[(Name, OwnedFd)]) -> io::Result<Self> {
        let (ours, theirs) = Pair::pair()?;
        channel::send_sockets(&ours, sockets)?;
        ours.set_nonblocking(true)?;
        Ok(Self {
            file: program.file().display().to_string(),
            channel: UnixStream::from_std(ours)?,
            process: Process::Launched(program.launch(theirs.into())?),
            serves: false,
        })
    }

    async fn until_ready(&mut self) -> Result<(), Vec<String>> {
        let mut ready = false;
        while !ready || matches!(self.process, Process::Launched(_)) {
            match self.hear().await {
                // Should it have ended already, it says why next, or is gone.
                Ok(New::Started(id)) => self.is(Process::started(id)),
                // It may be quicker than who has started it.
                Ok(New::Ready) => ready = true,
                Ok(New::Failed(problems)) => return Err(problems),
                Ok(said) => return Err(self.out_of_turn(&said)),
                Err(error) => return Err(self.ended(&error, "it was ready")),
            }
        }
        // It is told to end: systemd could not be told of it, nor it of signals.
        if self.id() == 0 {
            return Err(vec![format!(
                "{}: its process cannot be watched (pidfd_open, which Linux has from 5.3 on and a container may forbid); \
                 restart instead",
                self.file
            )]);
        }
        Ok(())
    }

    fn is(&mut self, process: Process) {
        if let Process::Launched(launcher) = std::mem::replace(&mut self.process, process) {
            reap(launcher);
        }
    }

    /// Its process id; 0 before it has one.
    #[must_use]
    pub fn id(&self) -> u32 {
        match &self.process {
            Process::Started { id, .. } => *id,
            Process::Launched(_) | Process::Gone => 0,
        }
    }

    /// Tells it to accept connections, and waits until it says that it does.
    ///
    /// # Errors
    /// Why it does not, as lines for people. It is to be dropped then.
    pub async fn go(&mut self, go: Go) -> Result<(), Vec<String>> {
        let told = async {
            self.say(&Old::Go(go)).await?;
            self.hear().await
        };
        match tokio::time::timeout(SERVING_TIME, told).await {
            Ok(Ok(New::Serving)) => {
                self.serves = true;
                Ok(())
            }
            Ok(Ok(said)) => Err(self.out_of_turn(&said)),
            Ok(Err(error)) => Err(self.ended(&error, "it served")),
            Err(_) => Err(vec![format!(
                "{} was ready, but did not serve within {SERVING_TIME:?}, and was ended",
                self.file
            )]),
        }
    }

    /// Tells it that it is the service's main process.
    pub async fn main(&mut self, word: Go) {
        if let Err(error) = self.say(&Old::Main(word)).await {
            warn!("upgrade: process {} is gone: {error}", self.id());
        }
    }

    async fn say(&mut self, said: &Old) -> io::Result<()> {
        self.channel.write_all(&channel::line(said)?).await
    }

    fn out_of_turn(&self, said: &New) -> Vec<String> {
        vec![format!("{} said {said:?} out of turn", self.file)]
    }

    fn ended(&self, error: &io::Error, before: &str) -> Vec<String> {
        let file = &self.file;
        vec![if channel::is_gone(error) {
            format!("{file} ended before {before}; what it wrote is in the log")
        } else {
            format!("{file} is not one that can take over: {error}")
        }]
    }

    /// Has it read everything again, as a signal says that came here.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// The next that it says.
    async fn hear(&mut self) -> io::Result<New> {
        let mut line = Vec::new();
        loop {
            match self.channel.read_u8().await? {
                b'\n' => return channel::read(&line),
                _ if line.len() >= LINE_MAX => {
                    return Err(io::Error::other("a line without an end"));
                }
                byte => line.push(byte),
            }
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            // Should it not be there yet, it finds this, and does not take the end of the channel for that of this process.
            let _ = channel::line(&Old::Stop).and_then(|line| self.channel.try_write(&line));
            self.process.signal(Signal::KILL);
        }
        self.is(Process::Gone);
    }
}
