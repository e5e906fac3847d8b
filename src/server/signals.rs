//! Signals and systemd: SIGHUP reloads, SIGUSR1 opens the logs anew, SIGTERM and SIGINT stop, and the service manager
//! is told.

use std::io;
use std::sync::Arc;

use log::{info, warn};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::{self, Cause, Reloader};
use crate::log::access::AccessLog;
use crate::log::logger;

/// The signals that are handled. They are from the moment this is made: whoever sees that the
/// gateway listens may send one.
pub struct Signals {
    hangup: Signal,
    user1: Signal,
    terminate: Signal,
    interrupt: Signal,
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
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Says that the gateway is ready, and serves signals until one says to stop.
    pub async fn serve_until_stopped(mut self, reloader: &Arc<Reloader>, access_log: &AccessLog) {
        tell(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                _ = self.hangup.recv() => again(reloader, access_log).await,
                _ = self.user1.recv() => reopen(access_log),
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        tell(&[NotifyState::Stopping]);
        info!("stopping: no new connections, waiting for the requests under way");
    }
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

/// Tells systemd, where it listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd was not told: {error}");
    }
}
