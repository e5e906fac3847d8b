//! Keeps the lists of those providers fresh that are asked for their models, and publishes what they say. A provider
//! that does not answer keeps its last list, and says so in the log once, not at each attempt.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::{info, warn};
use pingora::connectors::TransportConnector;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::jitter::with_jitter;
use super::reload::Reloader;
use crate::catalog::{FoundModel, ProviderId};
use crate::discover::ask::ask;
use crate::discover::known::Site;
use crate::live::{Lasting, Live};
use crate::snapshot::Snapshot;

/// How often it is looked whether somebody is to be asked; also how soon one is that a reload brought.
const TICK: Duration = Duration::from_millis(250);

/// How soon a provider that gave no list is asked again, where it is asked less often otherwise.
const RETRY: Duration = Duration::from_secs(10);

/// Providers that are asked at one time.
const ASKED_MAX: usize = 8;

/// Asks for as long as `stopped` does not end.
pub async fn run(
    reloader: Arc<Reloader>,
    lasting: Arc<Lasting>,
    stopped: impl Future<Output = ()>,
) {
    let (answer, mut answers) = mpsc::channel(ASKED_MAX);
    let mut watch = Watch {
        live: Arc::clone(reloader.live()),
        reloader,
        lasting,
        sites: HashMap::new(),
        connector: Arc::default(),
        answer,
    };
    tokio::pin!(stopped);
    loop {
        watch.ask_those_due();
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(TICK) => {}
            Some((site, answer)) = answers.recv() => watch.take(site, answer).await,
        }
    }
}

/// What came of asking.
type Answer = Result<Vec<FoundModel>, String>;

/// Made by the first who asks: it reads the system's roots of trust, which takes time and memory.
type Connector = OnceLock<TransportConnector>;

struct Watch {
    reloader: Arc<Reloader>,
    live: Arc<Snapshot<Live>>,
    lasting: Arc<Lasting>,
    sites: HashMap<Site, Progress>,
    connector: Arc<Connector>,
    answer: mpsc::Sender<(Site, Answer)>,
}

/// How it goes with one provider.
struct Progress {
    due: Instant,
    under_way: bool,
    /// Whether the last answer was a list; `None` before the first.
    well: Option<bool>,
}

impl Watch {
    fn ask_those_due(&mut self) {
        let live = self.live.pin();
        let wanted: HashMap<Site, ProviderId> = sites(&live).collect();
        self.sites.retain(|site, _| wanted.contains_key(site));
        self.lasting.found.retain(|site| wanted.contains_key(site));
        let now = Instant::now();
        let mut under_way = self.sites.values().filter(|it| it.under_way).count();
        for (site, id) in wanted {
            let progress = self.sites.entry(site.clone()).or_insert(Progress {
                due: now,
                under_way: false,
                well: None,
            });
            if progress.under_way || progress.due > now || under_way >= ASKED_MAX {
                continue;
            }
            progress.under_way = true;
            under_way += 1;
            let (live, connector) = (Arc::clone(&live), Arc::clone(&self.connector));
            let answer = self.answer.clone();
            tokio::spawn(async move {
                let connector = connector.get_or_init(|| TransportConnector::new(None));
                let asked = ask(live.upstream(id), connector).await;
                let _ = answer.send((site, asked)).await;
            });
        }
    }

    async fn take(&mut self, site: Site, answer: Answer) {
        // A reload may have taken the provider away meanwhile.
        let Some(progress) = self.sites.get_mut(&site) else {
            return;
        };
        let (metrics, name) = (&self.lasting.metrics, &site.provider);
        let before = progress.well.replace(answer.is_ok());
        let every = self.live.pin().discover;
        let pause = if answer.is_ok() {
            every
        } else {
            every.min(RETRY)
        };
        progress.under_way = false;
        progress.due = Instant::now() + with_jitter(pause);
        metrics.discovery(name, answer.is_ok());
        match answer {
            Ok(list) => {
                let count = list.len();
                if self.lasting.found.keep(&site, list) {
                    info!("discovery: {name} lists {count} model(s)");
                    self.publish().await;
                } else if before == Some(false) {
                    info!("discovery: {name} answers again, with {count} model(s)");
                }
                self.lasting.metrics.discovered(name, count);
            }
            Err(why) if before != Some(false) => {
                let count = self.lasting.found.count(&site);
                warn!(
                    "discovery: {name} gives no list of its models: {why}; the {count} found before stay"
                );
            }
            Err(_) => {}
        }
    }

    /// Where reloads are made, in its turn among them.
    async fn publish(&self) {
        let done = self.reloader.aside(Reloader::take_up_found).await;
        if done.is_none() {
            warn!("discovery: what was found is published with the next list or reload");
        }
    }
}

/// The providers that are to be asked.
fn sites(live: &Live) -> impl Iterator<Item = (Site, ProviderId)> {
    let catalog = &live.catalog;
    catalog.provider_ids().filter_map(|id| {
        let provider = catalog.provider(id);
        let asked = provider.discovery.is_some() && live.is_enabled(id);
        asked.then(|| (Site::of(provider), id))
    })
}
