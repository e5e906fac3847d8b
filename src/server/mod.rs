//! Assembly: listeners, the proxy and admin services, background tasks, and the end of it all.
//!
//! Pingora's services are started here rather than by its `Server`, because that one sleeps its
//! whole grace period when it stops, binds its own sockets, and exits the process by itself.

mod allocator;
mod assembly;
mod audit;
mod byok;
mod catalog;
pub mod certificates;
mod checks;
mod connections;
mod descriptors;
mod discover;
mod fixed;
mod health;
mod history;
mod jitter;
mod lane;
mod ledger;
mod listen;
mod numbers;
mod otel;
pub mod reload;
mod run;
mod signals;
mod status;
mod takers;
mod tidy;
mod unix;
pub mod upgrade;
mod watch;
mod watchdog;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use log::info;
use pingora_runtime::Runtime;
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use crate::access::Keyring;
use crate::config::Config;
use crate::ledger::Settings;
use crate::live::{Lasting, Live};
use crate::log::access::AccessLog;
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::memory::ReplayMemory;
use crate::proxy::reject;
use crate::proxy::request_answer::Reads;
use crate::snapshot::Snapshot;
use crate::store::{self, Store, StoreError};
use crate::upstream::dns::{Resolver, Ways};
pub use allocator::ALLOCATOR;
use assembly::Assembly;
use connections::Connections;
use descriptors::Descriptors;
use ledger::Books;
use listen::Sockets;
use numbers::Keepers;
use otel::Telling;
use reload::{Load, Reloader};
use signals::Signals;
use status::Status;
use takers::Takers;
use unix::SocketFile;
use upgrade::predecessor::Predecessor;
use upgrade::{Upgrades, asking};

/// A gateway that is running. Dropping it stops it at once.
pub struct Running {
    /// The public listeners' addresses, in the configuration's order.
    pub public: Vec<SocketAddr>,
    /// The admin listener's address, where it is a TCP one.
    pub admin: Option<SocketAddr>,
    /// Reloads configuration and catalog.
    pub reloader: Arc<Reloader>,
    metrics: Arc<Metrics>,
    access_log: Arc<AccessLog>,
    /// True from when connections are accepted.
    opened: channel::Sender<bool>,
    /// True from when this is the service's main process.
    main: channel::Sender<bool>,
    stop: channel::Sender<bool>,
    /// Whether `/readyz` is to say 503.
    drained: Arc<AtomicBool>,
    connections: Arc<Connections>,
    /// Those of operators.
    operators: Arc<Connections>,
    upgrades: Option<Upgrades>,
    watchdog: JoinHandle<()>,
    /// Of the admin listener, where it is a Unix socket.
    socket_file: Option<SocketFile>,
    books: Option<Books>,
    telling: Arc<Telling>,
    control: Option<tokio::runtime::Runtime>,
    workers: Option<Runtime>,
    signals: Option<Signals>,
}

/// What there is before anything is read: a runtime for what is no request, and signals, which are taken from here on.
pub struct Begun {
    control: tokio::runtime::Runtime,
    signals: Signals,
}

impl Begun {
    /// Takes signals over.
    ///
    /// # Errors
    /// The system's, as lines for people.
    pub fn new() -> Result<Self, Vec<String>> {
        let control = control_runtime().map_err(one)?;
        let signals = {
            let _entered = control.enter();
            Signals::new().map_err(one)?
        };
        Ok(Self { control, signals })
    }

    /// Starts a gateway. One that is to take over from a process `before` accepts no connection until
    /// [`Running::take_over`]. None: a signal has said to stop meanwhile.
    ///
    /// # Errors
    /// Every problem, as lines for people; nothing listens then.
    pub fn start(
        mut self,
        load: Box<Load>,
        before: Option<&mut Predecessor>,
    ) -> Result<Option<Running>, Vec<String>> {
        let started = start(&self.control, &mut self.signals, load, before);
        if let Ok(Some(mut running)) = started {
            running.control = Some(self.control);
            running.signals = Some(self.signals);
            return Ok(Some(running));
        }
        // Without waiting for look-ups, which may take long where nobody answers.
        self.control.shutdown_background();
        started
    }
}

/// What there is before anything is bound or opened.
struct Known {
    config: Config,
    descriptors: Descriptors,
    metrics: Arc<Metrics>,
    lasting: Arc<Lasting>,
    reloader: Arc<Reloader>,
}

impl Known {
    /// Reads configuration and catalog, and makes what lasts beyond them.
    fn read(control: &tokio::runtime::Runtime, load: Box<Load>) -> Result<Self, Vec<String>> {
        let loaded = load()?;
        let config = loaded.config.clone();
        let descriptors = Descriptors::default();
        descriptors.provide(&config);
        descriptors::enough(&config).map_err(one)?;
        let metrics = Arc::new(Metrics::new(&reject::code_names()).map_err(one)?);
        let resolver = Resolver::new(control.handle().clone(), Ways::of(&config.dns));
        let lasting = Arc::new(Lasting::new(resolver, Arc::clone(&metrics)));
        let reloader = async { Reloader::new(load, loaded, Arc::clone(&lasting)) };
        let reloader = Arc::new(control.block_on(reloader)?);
        Ok(Self {
            config,
            descriptors,
            metrics,
            lasting,
            reloader,
        })
    }
}

/// What a process does before it listens, and what is to be had from then on.
fn start(
    control: &tokio::runtime::Runtime,
    signals: &mut Signals,
    load: Box<Load>,
    before: Option<&mut Predecessor>,
) -> Result<Option<Running>, Vec<String>> {
    let Known {
        config,
        descriptors,
        metrics,
        lasting,
        reloader,
    } = Known::read(control, load)?;
    let live = Arc::clone(reloader.live());

    let successor = before.is_some();
    // Whatever may be missing or taken comes before the store, which is not made or changed for nothing.
    let mut sockets = Sockets::new(before);
    let bound = sockets
        .bind_all(&config, reloader.certificates())
        .map_err(one)?;
    let socket_file = bound.socket_file();
    let access_log = Arc::new(
        AccessLog::open(&config.log.access, config.log.format, config.log.queue)
            .map_err(|error| vec![format!("log.access: {error}")])?,
    );
    let door = config.admin.as_ref().map(takers::door).transpose()?;
    let lost = otel::watch(&metrics).map_err(one)?;
    let telling = Arc::new(Telling::start(&config, &lasting.resolver, lost)?);

    let opened = signals.unless_stopped(open(&config, &live));
    let Some(opened) = control.block_on(opened) else {
        info!("stopped before it served");
        return Ok(None);
    };
    let (store, keyring, stored) = opened.map_err(one)?;
    let keys = Arc::new(Snapshot::new(keyring));
    let settings = Settings {
        recovered: config.credit.recovered,
        successor,
    };
    let books = Books::open(&store, settings, &metrics)?;
    let memory = ReplayMemory::new(config.limits.replay_total);
    let connections = Connections::new(config.limits.connections);
    let keepers = Keepers {
        memory: &memory,
        access_log: &access_log,
        connections: &connections,
        live: &live,
        stored: stored.keys(),
    };
    numbers::watch(&metrics, &keepers).map_err(one)?;

    let (stop, stopping) = channel::channel(false);
    let (opened, opening) = channel::channel(!successor);
    let (main, becoming) = channel::channel(!successor);
    let (asking, asked) = asking();
    let drained = Arc::default();
    let mut assembly = Assembly {
        config: &config,
        sockets,
        workers: assembly::workers(config.server.threads),
        connections: Arc::clone(&connections),
        operators: Connections::new(u64::MAX),
        opening,
        stopping,
    };
    let reads = Arc::new(Reads::new(Arc::clone(&store)));
    let gateway = || {
        Ok::<_, Vec<String>>(Gateway::new(
            Arc::clone(&live),
            Arc::clone(&keys),
            Arc::clone(stored.keys()),
            Arc::clone(&memory),
            Arc::clone(&metrics),
            Arc::clone(&access_log),
            Arc::clone(&books.ledger),
            Arc::clone(&reads),
            Arc::clone(telling.current()),
            seed().map_err(one)?,
        ))
    };
    let status = Status::new(
        &keys,
        stored.keys(),
        &books.ledger,
        &reloader,
        stop.subscribe(),
        &drained,
        asking,
    );
    let (audit_kept, keeping) = channel::channel(config.store.audit_kept);
    let admin = config.admin.as_ref().map(|admin| admin.address.clone());
    reloader.tell(Takers {
        memory: Arc::clone(&memory),
        connections: Arc::clone(&connections),
        descriptors,
        access_log: Arc::clone(&access_log),
        telling: Arc::clone(&telling),
        lasting: Arc::clone(&lasting),
        ledger: Arc::clone(&books.ledger),
        audit_kept,
        admin: admin.zip(door.clone()),
    });
    let public = assembly.serve_public(bound.public, gateway)?;
    reloader.certificates().tell(&metrics);
    let admin = assembly.serve_admin(bound.admin, control, &metrics, &store, status, door)?;
    let Assembly {
        workers,
        sockets,
        operators,
        ..
    } = assembly;
    let watched = watchdog::run(watchdog::threads(&workers));
    let watchdog = control.spawn(when_open(becoming, watched));
    let beside = Beside {
        store,
        keys,
        stored,
        audit_kept: keeping,
        lasting,
        access_log: Arc::clone(&access_log),
        reloader: Arc::clone(&reloader),
    };
    beside.run(control, &stop);
    let upgrades = Upgrades::new(
        asked,
        sockets.into_kept(),
        Arc::clone(&reloader),
        Arc::clone(&drained),
        Arc::clone(&books.ledger),
        Arc::clone(&metrics),
    );
    let running = Running {
        public,
        admin,
        reloader,
        metrics,
        access_log,
        opened,
        main,
        stop,
        drained,
        connections,
        operators,
        upgrades: Some(upgrades),
        watchdog,
        socket_file,
        books: Some(books),
        telling,
        control: None,
        workers: Some(workers),
        signals: None,
    };
    if *running.opened.borrow() {
        running.tell_addresses();
    }
    Ok(Some(running))
}

/// What those need who work beside requests for as long as the gateway serves.
struct Beside {
    store: Arc<Store>,
    keys: Arc<Snapshot<Keyring>>,
    stored: byok::Follower,
    audit_kept: channel::Receiver<Duration>,
    lasting: Arc<Lasting>,
    access_log: Arc<AccessLog>,
    reloader: Arc<Reloader>,
}

impl Beside {
    fn run(self, control: &tokio::runtime::Runtime, stop: &channel::Sender<bool>) {
        let audit = audit::run(Arc::clone(&self.store), self.audit_kept, stopped(stop));
        control.spawn(audit);
        control.spawn(store::watch(self.store, self.keys, stopped(stop)));
        control.spawn(self.stored.run(stopped(stop)));
        let reloader = Arc::clone(&self.reloader);
        control.spawn(discover::run(reloader, self.lasting, stopped(stop)));
        let live = Arc::clone(self.reloader.live());
        control.spawn(checks::run(live, stopped(stop)));
        let reloader = Arc::clone(&self.reloader);
        control.spawn(tidy::run(reloader, self.access_log, stopped(stop)));
        let _entered = control.enter();
        watch::watch(self.reloader);
    }
}

/// The store, and what requests need of it.
async fn open(
    config: &Config,
    live: &Arc<Snapshot<Live>>,
) -> Result<(Arc<Store>, Keyring, byok::Follower), StoreError> {
    let store = Arc::new(Store::open_file(&config.store.path).await?);
    let keyring = store.load_keyring().await?;
    let stored = byok::Follower::start(Arc::clone(&store), Arc::clone(live)).await?;
    Ok((store, keyring, stored))
}

/// Does `job` once connections may be accepted; never when they never are.
async fn when_open(mut opening: channel::Receiver<bool>, job: impl Future<Output = ()>) {
    if opening.wait_for(|open| *open).await.is_ok() {
        job.await;
    }
}

/// Ready once the process is to stop.
fn stopped(stop: &channel::Sender<bool>) -> impl Future<Output = ()> + use<> {
    let mut stopping = stop.subscribe();
    async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

fn one(error: impl std::fmt::Display) -> Vec<String> {
    vec![error.to_string()]
}

fn seed() -> Result<[u64; 2], getrandom::Error> {
    Ok([getrandom::u64()?, getrandom::u64()?])
}

/// Runs what is not a request: look-ups, the store, reloads, the admin listener.
fn control_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
}
