//! Active checks, made by a task for each endpoint whose provider asks for them. What they come to is kept with all else
//! that is measured of the endpoint, so that it outlives a reload; the tasks follow the catalog in use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, warn};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::jitter::with_jitter;
use crate::catalog::ProviderId;
use crate::live::Live;
use crate::snapshot::Snapshot;
use crate::upstream::Endpoint;
use crate::upstream::check::{Checker, Settings};
use crate::upstream::health::Change;

/// How often it is looked whether there is another catalog.
const TICK: Duration = Duration::from_millis(250);

/// Checks under way at one time.
const CHECKS_MAX: usize = 32;

/// Checks for as long as `stopped` does not end.
pub async fn run(live: Arc<Snapshot<Live>>, stopped: impl Future<Output = ()>) {
    let mut watch = Watch {
        tasks: HashMap::new(),
        turns: Arc::new(Semaphore::new(CHECKS_MAX)),
    };
    let mut followed: Option<Arc<Live>> = None;
    tokio::pin!(stopped);
    loop {
        let current = live.pin();
        if !followed
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, &current))
        {
            watch.follow(&current).await;
            followed = Some(current);
        }
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// The tasks there are.
struct Watch {
    tasks: HashMap<Name, Task>,
    turns: Arc<Semaphore>,
}

/// The names of a provider and of its endpoint.
type Name = (Box<str>, Box<str>);

/// One endpoint of a catalog.
#[derive(Clone)]
struct Place {
    live: Arc<Live>,
    provider: ProviderId,
    endpoint: usize,
}

impl Place {
    fn endpoint(&self) -> &Endpoint {
        &self.live.upstream(self.provider).endpoints[self.endpoint]
    }

    fn name(&self) -> Name {
        let provider = &self.live.upstream(self.provider).id;
        ((**provider).into(), self.endpoint().name.clone())
    }
}

/// The task of one endpoint. Ends when it is dropped.
struct Task {
    settings: Settings,
    place: Place,
    running: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Watch {
    /// Has a task for each endpoint that `live` wants checked, and none for others.
    async fn follow(&mut self, live: &Arc<Live>) {
        let mut wanted: HashMap<Name, (Place, Settings)> = wanted(live).collect();
        let mut kept = HashMap::new();
        let mut ended = Vec::new();
        for (name, mut task) in self.tasks.drain() {
            match wanted.remove(&name) {
                Some((place, settings))
                    if settings == task.settings
                        && place.endpoint().is_same(task.place.endpoint()) =>
                {
                    // Lets go of the catalog before.
                    task.place = place;
                    kept.insert(name, task);
                }
                Some(other) => {
                    ended.push((task, Some(other.0.clone())));
                    wanted.insert(name, other);
                }
                None => ended.push((task, None)),
            }
        }
        self.tasks = kept;
        for (task, next) in ended {
            end(live, task, next).await;
        }
        for (name, (place, settings)) in wanted {
            let running = tokio::spawn(watch(
                place.clone(),
                settings.clone(),
                Arc::clone(&self.turns),
            ));
            let task = Task {
                settings,
                place,
                running,
            };
            self.tasks.insert(name, task);
        }
    }
}

/// Ends a task. What is checked no more is not held to be dead; what is checked in another way is, until it passes.
async fn end(live: &Live, mut task: Task, next: Option<Place>) {
    task.running.abort();
    let _ = (&mut task.running).await;
    let ended = task.place.endpoint();
    let goes_on = next.is_some_and(|next| std::ptr::eq(next.endpoint().seen(), ended.seen()));
    if goes_on {
        return;
    }
    let change = ended.seen().health().checked(true);
    let is_there = live
        .endpoints()
        .any(|(_, endpoint)| std::ptr::eq(endpoint.seen(), ended.seen()));
    if let Some(change) = change.filter(|_| is_there) {
        let (provider, endpoint) = task.place.name();
        change.tell(&provider, &endpoint);
    }
}

/// The endpoints that are to be checked.
fn wanted(live: &Arc<Live>) -> impl Iterator<Item = (Name, (Place, Settings))> {
    let providers = live
        .catalog
        .provider_ids()
        .filter(|id| live.is_enabled(*id));
    providers.flat_map(move |provider| {
        let upstream = live.upstream(provider);
        let checked = upstream.check.iter().flat_map(|settings| {
            (0..upstream.endpoints.len()).map(move |endpoint| (endpoint, settings.clone()))
        });
        checked.map(move |(endpoint, settings)| {
            let place = Place {
                live: Arc::clone(live),
                provider,
                endpoint,
            };
            (place.name(), (place, settings))
        })
    })
}

/// Checks one endpoint, the first time at once.
async fn watch(place: Place, settings: Settings, turns: Arc<Semaphore>) {
    let (provider, name) = place.name();
    let seen = Arc::clone(place.endpoint().shared_seen());
    let asked = settings.clone();
    let made = tokio::task::spawn_blocking(move || Checker::new(place.endpoint(), &asked)).await;
    let checker = match made {
        Ok(Ok(checker)) => checker,
        Ok(Err(why)) => {
            return warn!("{provider}: endpoint {name} cannot be checked: {why}");
        }
        Err(why) => {
            return warn!("{provider}: endpoint {name} is not checked: {why}");
        }
    };
    let health = seen.health();
    let mut verdict = Verdict::new(!health.checks_fail());
    loop {
        let outcome = match turns.acquire().await {
            Ok(_turn) => checker.check().await,
            Err(_) => return,
        };
        if let Err(why) = &outcome {
            debug!("{provider}: a check of endpoint {name} failed: {why}");
        }
        if let Some(well) = verdict.observe(outcome.is_ok(), &settings)
            && let Some(change) = health.checked(well)
        {
            match (change, outcome) {
                (Change::Ejected { why, .. }, Err(reason)) => {
                    warn!("{provider}: endpoint {name} is ejected: {why} ({reason})");
                }
                _ => change.tell(&provider, &name),
            }
        }
        tokio::time::sleep(with_jitter(settings.interval)).await;
    }
}

/// Whether an endpoint is alive by its checks, which must agree for a while before that changes.
#[derive(Debug)]
struct Verdict {
    well: bool,
    /// Checks in a row that said otherwise.
    against: u32,
}

impl Verdict {
    fn new(well: bool) -> Self {
        Self { well, against: 0 }
    }

    /// What it is from now on, where this check changes it.
    fn observe(&mut self, passed: bool, settings: &Settings) -> Option<bool> {
        if passed == self.well {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = if passed {
            settings.healthy
        } else {
            settings.unhealthy
        };
        if self.against < enough {
            return None;
        }
        *self = Self::new(passed);
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_must_agree_for_a_while() {
        let settings = Settings {
            http: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
        };
        let mut verdict = Verdict::new(true);
        for (passed, changed) in [
            (true, None),
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(false)),
            (false, None),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(true)),
            (true, None),
        ] {
            assert_eq!(verdict.observe(passed, &settings), changed);
        }
    }
}
