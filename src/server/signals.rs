//! Signals and systemd: SIGHUP reloads, SIGUSR1 opens the logs anew, SIGUSR2 has another program take over, SIGTERM,
//! SIGINT and SIGQUIT stop, and the service manager is told.

use std::io;
use std::sync::Arc;

use log::{info, warn};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::{self, Cause, Reloader};
use super::upgrade::successor::Successor;
use super::upgrade::{Serving, Upgrades};
use crate::log::access::AccessLog;
use crate::log::logger;

/// The signals that are handled. They are from the moment this is made: whoever sees that the
/// gateway listens may send one.
pub struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// Takes the signals over; must be called within a runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Says that the gateway is ready, and serves signals until one says to stop, or another process serves.
    pub async fn serve(
        &mut self,
        reloader: &Arc<Reloader>,
        access_log: &AccessLog,
        upgrades: &mut Upgrades,
    ) -> End {
        tell(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                _ = self.hangup.recv() => again(reloader, access_log).await,
                _ = self.user1.recv() => reopen(access_log),
                _ = self.user2.recv() => upgrades.begin(),
                serving = upgrades.serving() => return End::Upgraded(serving),
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.quit.recv() => break,
            }
        }
        tell(&[NotifyState::Stopping]);
        info!("stopping: no new connections, waiting for the requests under way");
        End::Stop
    }

    /// Ready when one says to stop.
    pub async fn stop(&mut self) {
        any_of(&mut self.terminate, &mut self.interrupt, &mut self.quit).await;
    }

    /// What `job` comes to; none where a signal says to stop before that.
    pub async fn unless_stopped<T>(&mut self, job: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop() => None,
            done = job => Some(done),
        }
    }

    /// Serves signals while what is under way ends.
    pub async fn serve_stopping(&mut self, access_log: &AccessLog) {
        loop {
            tokio::select! {
                // Whoever turns logs over sends either.
                _ = self.hangup.recv() => reopen(access_log),
                _ = self.user1.recv() => reopen(access_log),
                _ = self.user2.recv() => warn!("upgrade: this process is stopping"),
                () = any_of(&mut self.terminate, &mut self.interrupt, &mut self.quit) => stopping(),
            }
        }
    }

    /// Serves signals while the process leaves, which goes on meanwhile. What is meant for the one that has taken over is
    /// passed on to it: whoever sends a signal may have looked before that.
    pub async fn serve_leaving(&mut self, successor: &Successor, access_log: &AccessLog) {
        let successor_id = successor.id();
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    reopen(access_log);
                    successor.hang_up();
                }
                _ = self.user1.recv() => reopen(access_log),
                _ = self.user2.recv() => warn!("upgrade: process {successor_id} serves; ask that one"),
                () = any_of(&mut self.terminate, &mut self.interrupt, &mut self.quit) => stopping(),
            }
        }
    }
}

async fn any_of(terminate: &mut Signal, interrupt: &mut Signal, quit: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
    }
}

fn stopping() {
    info!("stopping already; waiting for the requests under way");
}

/// Why signals are served no longer.
pub enum End {
    /// One says to stop.
    Stop,
    /// Another process serves as well.
    Upgraded(Serving),
}

/// Opens both logs anew, for whoever has moved them away.
fn reopen(access_log: &AccessLog) {
    access_log.reopen();
    logger::reopen();
}

/// Reloads everything, and opens the logs anew.
async fn again(reloader: &Arc<Reloader>, access_log: &AccessLog) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
    reopen(access_log);
    // What was wrong has been logged and counted.
    let _ = reload::reload(reloader, Cause::Signal).await;
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that another process is the service's main one. It takes nothing more from this one then.
pub fn hand_over(process: u32) {
    tell(&[NotifyState::MainPid(process)]);
}

/// Tells systemd, where it listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd was not told: {error}");
    }
}
