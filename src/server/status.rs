//! What the admin listener asks of the running gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use log::info;
use tokio::sync::watch;

use super::health;
use super::reload::{self, Cause, Reloader};
use super::upgrade::Asking;
use crate::access::Keyring;
use crate::admin::{Control, LedgerState, NoRollback, NoUpgrade, Readiness, Reloaded, Version};
use crate::byok::keys::StoredKeys;
use crate::byok::master::Masters;
use crate::catalog::outline::Outline;
use crate::ledger::{Ledger, State};
use crate::snapshot::Snapshot;

/// A view on the running gateway.
pub struct Status {
    keys: Arc<Snapshot<Keyring>>,
    stored: Arc<Snapshot<StoredKeys>>,
    ledger: Arc<Ledger>,
    reloader: Arc<Reloader>,
    stopping: watch::Receiver<bool>,
    drained: Arc<AtomicBool>,
    asking: Asking,
}

impl Status {
    /// A view on what these hold.
    #[must_use]
    pub fn new(
        keys: &Arc<Snapshot<Keyring>>,
        stored: &Arc<Snapshot<StoredKeys>>,
        ledger: &Arc<Ledger>,
        reloader: &Arc<Reloader>,
        stopping: watch::Receiver<bool>,
        drained: &Arc<AtomicBool>,
        asking: Asking,
    ) -> Self {
        Self {
            keys: Arc::clone(keys),
            stored: Arc::clone(stored),
            ledger: Arc::clone(ledger),
            reloader: Arc::clone(reloader),
            stopping,
            drained: Arc::clone(drained),
            asking,
        }
    }
}

#[async_trait]
impl Control for Status {
    fn readiness(&self) -> Readiness {
        Readiness {
            catalog: Some(self.reloader.live().pin().version.to_string()),
            access_keys: self.keys.pin().len() as u64,
            // Requests that do not need them go on.
            provider_keys_unusable: self.stored.pin().unusable().len() as u64,
            // The keys come from the store, and stay in memory when it fails: requests go on.
            store: true,
            ledger: match self.ledger.state() {
                State::Up | State::InMemory => LedgerState::Up,
                State::Down => LedgerState::Down,
                State::Waiting => LedgerState::Waiting,
            },
            draining: *self.stopping.borrow() || self.drained.load(Ordering::Relaxed),
            ejected: health::ejected(&self.reloader.live().pin()),
        }
    }

    fn drain(&self, on: bool) {
        if self.drained.swap(on, Ordering::Relaxed) != on {
            info!(
                "{}",
                if on {
                    "drained: /readyz says 503"
                } else {
                    "no longer drained"
                }
            );
        }
    }

    async fn upgrade(&self) -> Result<u32, NoUpgrade> {
        self.asking.upgrade().await
    }

    async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        let done = reload::reload(&self.reloader, Cause::Operator).await?;
        Ok(Reloaded {
            catalog: done.version.into(),
            at_next_start: done.at_next_start,
        })
    }

    async fn rollback(&self, to: Option<String>) -> Result<String, NoRollback> {
        let done = self
            .reloader
            .aside(move |reloader| reloader.rollback(to.as_deref()))
            .await;
        match done {
            Some(Ok(version)) => Ok(version.into()),
            Some(Err(reload::NoRollback::NotKept)) => Err(NoRollback::NotKept),
            Some(Err(reload::NoRollback::Mistakes(problems))) => {
                Err(NoRollback::Problems(problems))
            }
            None => Err(NoRollback::Problems(vec![
                "the rollback ended before its time".to_owned(),
            ])),
        }
    }

    async fn versions(&self) -> Vec<Version> {
        let kept = self.reloader.aside(Reloader::versions).await;
        kept.unwrap_or_default().into_iter().map(version).collect()
    }

    async fn catalog(&self) -> Option<Vec<u8>> {
        let live = self.reloader.live().pin();
        let outlined = tokio::task::spawn_blocking(move || {
            // What the files say: whoever compares them with this has not asked the providers for their lists.
            let of_files = live.catalog.with_found(&[]);
            let outline = Outline::of(&of_files, |provider| live.is_enabled(provider));
            serde_json::to_vec(&outline)
        });
        outlined.await.ok()?.ok()
    }

    fn provider(&self, name: &str) -> Option<String> {
        let live = self.reloader.live().pin();
        let id = live.catalog.provider_by_name(name)?;
        Some(live.catalog.provider(id).id.to_string())
    }

    fn masters(&self) -> Arc<Masters> {
        Arc::clone(&self.reloader.live().pin().masters)
    }
}

fn version(kept: reload::Version) -> Version {
    Version {
        version: kept.version.into(),
        since: format!("{:.0}", kept.since),
        in_use: kept.in_use,
    }
}
