//! What the admin listener asks of the running gateway.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::reload::{self, Reloader};
use crate::access::Keyring;
use crate::admin::{Control, Readiness};
use crate::live::Live;
use crate::snapshot::Snapshot;

/// A view on the running gateway.
pub struct Status {
    live: Arc<Snapshot<Live>>,
    keys: Arc<Snapshot<Keyring>>,
    reloader: Arc<Reloader>,
    stopping: watch::Receiver<bool>,
}

impl Status {
    /// A view on what these hold.
    #[must_use]
    pub fn new(
        live: &Arc<Snapshot<Live>>,
        keys: &Arc<Snapshot<Keyring>>,
        reloader: &Arc<Reloader>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            live: Arc::clone(live),
            keys: Arc::clone(keys),
            reloader: Arc::clone(reloader),
            stopping,
        }
    }
}

#[async_trait]
impl Control for Status {
    fn readiness(&self) -> Readiness {
        Readiness {
            catalog: Some(self.live.pin().version.to_string()),
            access_keys: self.keys.pin().len() as u64,
            // The keys come from the store, and stay in memory when it fails: requests go on.
            store: true,
            draining: *self.stopping.borrow(),
        }
    }

    async fn reload(&self) -> Result<String, Vec<String>> {
        reload::reload(Arc::clone(&self.reloader))
            .await
            .map(String::from)
    }
}
