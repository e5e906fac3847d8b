//! The process before, as the one sees it that is to take over from it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use log::warn;
use tokio::sync::oneshot;

use super::channel::{self, Go, Name, New, Old, Purpose};
use super::program;

/// How long the process before may take to say that this one is the service's main process.
const MAIN_TIME: Duration = Duration::from_secs(15);

/// The channel to the process before, and what it has handed over.
#[derive(Debug)]
pub struct Predecessor {
    channel: UnixStream,
    sockets: Vec<(Name, OwnedFd)>,
}

impl Predecessor {
    /// The process before, where this one is to take over from it.
    ///
    /// # Errors
    /// It hands nothing over.
    pub fn of_this_process() -> io::Result<Option<Self>> {
        if !program::is_successor() {
            return Ok(None);
        }
        let mut channel = UnixStream::from(program::standard_input()?);
        // No other process is to have an end of the channel: that it is closed says that this one has ended.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        let sockets = channel::receive_sockets(&mut channel)?;
        Ok(Some(Self { channel, sockets }))
    }

    /// The listening socket that the configuration has at `place`, where it was handed over.
    pub fn socket(&mut self, purpose: Purpose, place: &str) -> Option<OwnedFd> {
        let wanted = |(name, _): &(Name, OwnedFd)| name.purpose == purpose && name.place == place;
        let at = self.sockets.iter().position(wanted)?;
        Some(self.sockets.remove(at).1)
    }

    /// Says why this process cannot take over.
    pub fn failed(mut self, problems: &[String]) {
        self.say(&New::Failed(problems.to_vec()));
    }

    /// Says that everything is ready, and waits for what the process before says to that. Nothing: this process is to end.
    /// When the one before is gone, it is this one's turn. Sockets that nobody asked for are closed.
    pub async fn go(mut self) -> Option<(Go, Granted)> {
        self.sockets.clear();
        self.say(&New::Ready);
        match next(self.channel).await {
            Ok((Ok(Old::Go(go)), channel)) => Some((go, Granted(channel))),
            Ok((Err(error), channel)) if channel::is_gone(&error) => {
                warn!("the process before has ended before it handed over");
                Some((Go::default(), Granted(channel)))
            }
            _ => None,
        }
    }

    fn say(&mut self, said: &New) {
        let line = channel::line(said);
        if let Err(error) = line.and_then(|line| self.channel.write_all(&line)) {
            warn!("the process before was not told: {error}");
        }
    }
}

/// The next that the process before says, and the channel.
fn next(mut channel: UnixStream) -> oneshot::Receiver<(io::Result<Old>, UnixStream)> {
    let (tell, told) = oneshot::channel();
    // Not a task: should this process be told to end meanwhile, nothing waits for the thread.
    std::thread::spawn(move || {
        let said = channel::read_line(&mut channel);
        let _ = tell.send((said, channel));
    });
    told
}

/// That connections may be accepted.
#[derive(Debug)]
pub struct Granted(UnixStream);

impl Granted {
    /// Says that they are.
    pub fn serving(&mut self) {
        // Should the one before be gone, it need not know.
        let line = channel::line(&New::Serving);
        let _ = line.and_then(|line| self.0.write_all(&line));
    }

    /// Waits until the process before says that this one is the main process.
    pub async fn main(self) -> Last {
        match tokio::time::timeout(MAIN_TIME, next(self.0)).await {
            Ok(Ok((Ok(Old::Main(word)), _))) => Last::Main(word),
            Ok(Ok((Ok(Old::Stop), _))) => Last::Stop,
            _ => {
                warn!("the process before does not say that this one is the main process");
                Last::Nothing
            }
        }
    }
}

/// The last that the process before says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// This is the main process, and has to know this.
    Main(Go),
    /// This process is to end: that one has not heard in time that it serves, and serves on.
    Stop,
    /// It is gone, or says nothing.
    Nothing,
}
