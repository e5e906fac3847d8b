//! Signals and systemd: SIGHUP reloads, SIGTERM and SIGINT stop, and the service manager is told.

use std::sync::Arc;

use log::{info, warn};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::{self, Reloader};
use crate::log::access::AccessLog;

/// Says that the gateway is ready, and serves signals until one says to stop.
pub async fn serve_until_stopped(reloader: &Arc<Reloader>, access_log: &AccessLog) {
    let kinds = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()];
    let [Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)] = kinds.map(signal) else {
        warn!("signals cannot be received; stopping");
        return;
    };
    tell(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            () = received(&mut hangup) => {
                again(reloader, access_log).await;
            }
            () = received(&mut terminate) => break,
            () = received(&mut interrupt) => break,
        }
    }
    tell(&[NotifyState::Stopping]);
    info!("stopping: no new connections, waiting for the requests under way");
}

async fn received(signal: &mut Signal) {
    signal.recv().await;
}

/// Reloads everything, and opens the access log anew for whoever has moved it away.
async fn again(reloader: &Arc<Reloader>, access_log: &AccessLog) {
    let reloading = NotifyState::monotonic_usec_now().map(|now| [NotifyState::Reloading, now]);
    if let Ok(states) = reloading {
        tell(&states);
    }
    access_log.reopen();
    let _ = reload::reload(Arc::clone(reloader)).await;
    tell(&[NotifyState::Ready]);
}

/// Tells systemd, where it listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd was not told: {error}");
    }
}
