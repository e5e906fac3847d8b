//! Keeps the stored provider keys that requests pin up to date, with the store and with the master keys of the
//! configuration. A key that cannot be opened is told of once, and the others go on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;

use log::{error, warn};

use crate::byok::keys::StoredKeys;
use crate::byok::master::Masters;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::store::{Changes, Complaints, POLL, Store, StoreError};

/// Keys named in one line of the log.
const NAMED_MAX: usize = 16;

/// Reads the stored keys whenever there is something new.
pub struct Follower {
    store: Arc<Store>,
    live: Arc<Snapshot<Live>>,
    keys: Arc<Snapshot<StoredKeys>>,
    changes: Changes,
    /// Those with which the keys were opened last.
    masters: Option<Arc<Masters>>,
    /// What was told of keys that cannot be used.
    told: BTreeMap<String, String>,
}

impl Follower {
    /// Reads the keys as they are now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(store: Arc<Store>, live: Arc<Snapshot<Live>>) -> Result<Self, StoreError> {
        let mut follower = Self {
            changes: store.provider_key_changes(),
            store,
            live,
            keys: Arc::default(),
            masters: None,
            told: BTreeMap::new(),
        };
        follower.look().await?;
        Ok(follower)
    }

    /// What requests pin.
    pub fn keys(&self) -> &Arc<Snapshot<StoredKeys>> {
        &self.keys
    }

    /// Follows changes until `stopped` is ready.
    pub async fn run(mut self, stopped: impl Future<Output = ()>) {
        let mut stopped = pin!(stopped);
        let mut complaints = Complaints::new("stored provider keys");
        loop {
            let look = async {
                complaints.note(self.look().await);
                tokio::time::sleep(POLL).await;
            };
            tokio::select! {
                () = &mut stopped => return,
                () = look => {}
            }
        }
    }

    /// Reads the keys where they or the master keys have changed. The revision is read before them: a change in between
    /// is found by the next look.
    async fn look(&mut self) -> Result<(), StoreError> {
        let masters = Arc::clone(&self.live.pin().masters);
        let known = self.masters.as_ref();
        let same = known.is_some_and(|known| Arc::ptr_eq(known, &masters));
        if !self.changes.changed().await? && same {
            return Ok(());
        }
        match self.store.list_provider_keys().await {
            Ok(rows) => {
                if !same {
                    let problems = masters.problems.iter();
                    problems.for_each(|problem| error!("byok.master_keys: {problem}"));
                }
                let before = self.keys.pin();
                self.publish(StoredKeys::new(&rows, &masters.keys, &before));
                self.masters = Some(masters);
                Ok(())
            }
            Err(error) => {
                self.changes.forget();
                Err(error)
            }
        }
    }

    fn publish(&mut self, next: StoredKeys) {
        let unusable = unusable(&next);
        self.keys.publish(next);
        if unusable != self.told && !unusable.is_empty() {
            warn!("{}", words(&unusable));
        }
        self.told = unusable;
    }
}

fn unusable(keys: &StoredKeys) -> BTreeMap<String, String> {
    let each = keys.unusable().iter();
    each.map(|(id, why)| (id.to_string(), why.to_string()))
        .collect()
}

fn words(unusable: &BTreeMap<String, String>) -> String {
    let mut words = format!("{} stored provider key(s) cannot be used", unusable.len());
    for (id, why) in unusable.iter().take(NAMED_MAX) {
        let _ = write!(words, "; {id}: {why}");
    }
    if unusable.len() > NAMED_MAX {
        words.push_str("; and others");
    }
    words
}

/// Counts the keys at each scrape.
pub fn watch(metrics: &Metrics, keys: &Arc<Snapshot<StoredKeys>>) -> prometheus::Result<()> {
    let keys = Arc::clone(keys);
    metrics.gauges_of(
        "provider_keys",
        "Provider keys that accounts have stored and that are enabled, by whether they can be opened.",
        &["state"],
        move || {
            let keys = keys.pin();
            let count = |state: &str, count: usize| {
                ([state.to_owned()], u32::try_from(count).map_or(f64::MAX, f64::from))
            };
            vec![count("usable", keys.usable()), count("unusable", keys.unusable().len())]
        },
    )
}
