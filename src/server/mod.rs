//! Assembly: listeners, the proxy and admin services, background tasks, and the end of it all.
//!
//! Pingora's services are started here rather than by its `Server`, because that one sleeps its
//! whole grace period when it stops, binds its own sockets, and exits the process by itself.

mod audit;
mod byok;
mod catalog;
pub mod certificates;
mod checks;
mod connections;
mod discover;
mod fixed;
mod health;
mod history;
mod jitter;
mod lane;
mod ledger;
mod listen;
mod otel;
pub mod reload;
mod run;
mod signals;
mod status;
mod takers;
mod tidy;
pub mod upgrade;
mod watch;
mod watchdog;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pingora::apps::HttpServerOptions;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora_proxy::HttpProxy;
use pingora_runtime::{Runtime, RuntimeBuilder};
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use crate::admin::{AdminApp, Door};
use crate::config::{AdminAddress, Config};
use crate::credentials::Reason;
use crate::ledger::Settings;
use crate::live::{Lasting, Live};
use crate::log::access::AccessLog;
use crate::log::logger;
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::memory::ReplayMemory;
use crate::proxy::reject;
use crate::proxy::request_answer::Reads;
use crate::snapshot::Snapshot;
use crate::store::{self, Store};
use crate::upstream::dns::{Resolver, Ways};
use certificates::Certificates;
use connections::{BeforeTls, Connections, Limited};
use ledger::Books;
use listen::{Bound, Sockets};
use otel::Telling;
use reload::{Load, Reloader};
use signals::Signals;
use status::Status;
use takers::Takers;
use upgrade::channel::Purpose;
use upgrade::predecessor::Predecessor;
use upgrade::{Upgrades, asking};

/// Pingora's bound on attempts; the request's own is tighter.
const PINGORA_RETRIES: usize = 64;

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
    books: Option<Books>,
    telling: Arc<Telling>,
    control: Option<tokio::runtime::Runtime>,
    workers: Option<Runtime>,
    signals: Option<Signals>,
}

/// Starts a gateway. One that is to take over from a process `before` accepts no connection until
/// [`Running::take_over`].
///
/// # Errors
/// Every problem, as lines for people; nothing listens then.
pub fn start(load: Box<Load>, before: Option<&mut Predecessor>) -> Result<Running, Vec<String>> {
    let loaded = load()?;
    let config = loaded.config.clone();
    let control = control_runtime().map_err(one)?;
    let metrics = Arc::new(Metrics::new(&reject::code_names()).map_err(one)?);
    let resolver = Resolver::new(control.handle().clone(), Ways::of(&config.dns));
    let lasting = Arc::new(Lasting::new(resolver, Arc::clone(&metrics)));
    let reloader = control.block_on(async { Reloader::new(load, loaded, Arc::clone(&lasting)) })?;
    let reloader = Arc::new(reloader);
    let live = Arc::clone(reloader.live());

    let store = control
        .block_on(Store::open_file(&config.store.path))
        .map_err(one)?;
    let store = Arc::new(store);
    let keyring = control.block_on(store.load_keyring()).map_err(one)?;
    let keys = Arc::new(Snapshot::new(keyring));
    let stored = byok::Follower::start(Arc::clone(&store), Arc::clone(&live));
    let stored = control.block_on(stored).map_err(one)?;
    let settings = Settings {
        recovered: config.credit.recovered,
        successor: before.is_some(),
    };
    let books = Books::open(&store, settings, &metrics)?;
    let access_log = Arc::new(
        AccessLog::open(&config.log.access, config.log.format, config.log.queue).map_err(one)?,
    );
    let memory = ReplayMemory::new(config.limits.replay_total);
    watch_numbers(&metrics, &memory, &access_log).map_err(one)?;
    health::watch_states(&metrics, &live).map_err(one)?;
    catalog::watch(&metrics, &live).map_err(one)?;
    let connections = Connections::new(config.limits.connections);
    watch_connections(&metrics, &connections).map_err(one)?;
    watch_keys(&metrics, &live).map_err(one)?;
    byok::watch(&metrics, stored.keys()).map_err(one)?;

    let lost = otel::watch(&metrics).map_err(one)?;
    let telling = Arc::new(Telling::start(&config, &lasting.resolver, lost)?);

    let (stop, stopping) = channel::channel(false);
    let (opened, opening) = channel::channel(before.is_none());
    let (main, becoming) = channel::channel(before.is_none());
    let (asking, asked) = asking();
    let drained = Arc::default();
    let mut assembly = Assembly {
        config: &config,
        sockets: Sockets::new(before),
        workers: workers(config.server.threads),
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
    let door = config.admin.as_ref().map(takers::door).transpose()?;
    let (audit_kept, keeping) = channel::channel(config.store.audit_kept);
    let admin = config.admin.as_ref().map(|admin| admin.address.clone());
    reloader.tell(Takers {
        memory: Arc::clone(&memory),
        connections: Arc::clone(&connections),
        access_log: Arc::clone(&access_log),
        telling: Arc::clone(&telling),
        lasting: Arc::clone(&lasting),
        ledger: Arc::clone(&books.ledger),
        audit_kept,
        admin: admin.zip(door.clone()),
    });
    let public = assembly.serve_public(gateway, reloader.certificates())?;
    reloader.certificates().tell(&metrics);
    let admin = assembly.serve_admin(&control, &metrics, &store, status, door)?;
    let Assembly {
        workers,
        sockets,
        operators,
        ..
    } = assembly;
    control.spawn(audit::run(Arc::clone(&store), keeping, stopped(&stop)));
    control.spawn(store::watch(store, keys, stopped(&stop)));
    control.spawn(stored.run(stopped(&stop)));
    control.spawn(discover::run(
        Arc::clone(&reloader),
        lasting,
        stopped(&stop),
    ));
    control.spawn(checks::run(live, stopped(&stop)));
    let watched = watchdog::run(watchdog::threads(&workers));
    let watchdog = control.spawn(when_open(becoming, watched));
    control.spawn(tidy::run(
        Arc::clone(&reloader),
        Arc::clone(&access_log),
        stopped(&stop),
    ));
    {
        let _entered = control.enter();
        watch::watch(Arc::clone(&reloader));
    }
    let signals = {
        let _entered = control.enter();
        Signals::new().map_err(one)?
    };
    let upgrades = Upgrades::new(
        asked,
        sockets.into_kept(),
        Arc::clone(&reloader),
        Arc::clone(&drained),
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
        books: Some(books),
        telling,
        control: Some(control),
        workers: Some(workers),
        signals: Some(signals),
    };
    if *running.opened.borrow() {
        running.tell_addresses();
    }
    Ok(running)
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

/// Numbers that are kept elsewhere and read at each scrape.
fn watch_numbers(
    metrics: &Metrics,
    memory: &Arc<ReplayMemory>,
    access_log: &Arc<AccessLog>,
) -> prometheus::Result<()> {
    let memory = Arc::clone(memory);
    metrics.gauge_of("replay_bytes", "Bytes of request bodies held.", move || {
        memory.taken()
    })?;
    let access_log = Arc::clone(access_log);
    metrics.counter_of(
        "access_log_dropped_total",
        "Lines of the access log that its target was too slow for.",
        move || access_log.dropped(),
    )?;
    metrics.counter_of(
        "log_dropped_total",
        "Lines of the gateway's own log that its target was too slow for.",
        logger::dropped,
    )
}

fn watch_connections(metrics: &Metrics, connections: &Arc<Connections>) -> prometheus::Result<()> {
    let open = Arc::clone(connections);
    metrics.gauge_of(
        "connections_open",
        "Clients connected to the public listeners.",
        move || open.open(),
    )?;
    let refused = Arc::clone(connections);
    metrics.counter_of(
        "connections_refused_total",
        "Connections of clients that were closed as they came: limits.connections.",
        move || refused.refused(),
    )
}

/// The provider keys that are set aside, counted at each scrape.
fn watch_keys(metrics: &Metrics, live: &Arc<Snapshot<Live>>) -> prometheus::Result<()> {
    // What is served holds the metrics already.
    let live = Arc::downgrade(live);
    metrics.gauges_of(
        "keys_set_aside",
        "Provider keys of ours that are set aside now, by why.",
        &["provider", "reason"],
        move || {
            let Some(live) = live.upgrade() else {
                return Vec::new();
            };
            let live = live.pin();
            let aside = live.keys_set_aside(Instant::now());
            let series = |(provider, reason, count): (&str, Reason, usize)| {
                let labels = [provider.to_owned(), reason.name().to_owned()];
                (labels, u32::try_from(count).map_or(f64::MAX, f64::from))
            };
            aside.map(series).collect()
        },
    )
}

/// Runs what is not a request: look-ups, the store, reloads, the admin listener.
fn control_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
}

/// Runs requests: one single-threaded runtime a thread, as Pingora's own server does.
fn workers(threads: usize) -> Runtime {
    RuntimeBuilder::new(threads, "worker")
        .work_steal(false)
        .build()
}

struct Assembly<'a> {
    config: &'a Config,
    sockets: Sockets<'a>,
    workers: Runtime,
    connections: Arc<Connections>,
    operators: Arc<Connections>,
    opening: channel::Receiver<bool>,
    stopping: channel::Receiver<bool>,
}

impl Assembly<'_> {
    /// One service for all listeners that agree on h2c, so that they share their upstream
    /// connections.
    fn serve_public(
        &mut self,
        gateway: impl Fn() -> Result<Gateway, Vec<String>>,
        certificates: &Certificates,
    ) -> Result<Vec<SocketAddr>, Vec<String>> {
        let mut bound = Vec::new();
        for listen in &self.config.listen {
            let (address, h2c) = (listen.address, listen.h2c);
            let listener = self.sockets.bind(Purpose::Public, address, h2c);
            let mut listener = listener.map_err(one)?;
            if listen.tls.is_some() {
                listener.tls = certificates.of(listen.address, listener.address);
            }
            bound.push(listener);
        }
        let addresses = bound.iter().map(|listener| listener.address).collect();
        let (with_h2c, without): (Vec<_>, Vec<_>) = bound
            .into_iter()
            .partition(|listener| listener.h2c || listener.tls.is_some());
        for (h2c, listeners) in [(true, with_h2c), (false, without)] {
            if !listeners.is_empty() {
                self.serve(gateway()?, h2c, listeners)?;
            }
        }
        Ok(addresses)
    }

    fn serve(
        &mut self,
        gateway: Gateway,
        h2c: bool,
        listeners: Vec<Bound>,
    ) -> Result<(), Vec<String>> {
        let mut proxy = HttpProxy::new(gateway, Arc::new(self.pingora()));
        proxy.handle_init_modules();
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        proxy.server_options = Some(options);
        let limited = Limited::new(proxy, Arc::clone(&self.connections));
        let mut service = Service::new("public".to_owned(), limited);
        self.sockets
            .hand_over(listeners, &mut service)
            .map_err(one)?;
        let before_tls = BeforeTls(Arc::clone(&self.connections));
        service
            .endpoints()
            .set_pre_tls_callback(Arc::new(before_tls));
        let (table, stopping) = (self.sockets.table(), self.stopping.clone());
        let serve = async move { service.start_service(Some(table), stopping, 1).await };
        let opening = self.opening.clone();
        self.workers.get_handle().spawn(when_open(opening, serve));
        Ok(())
    }

    fn pingora(&self) -> ServerConf {
        ServerConf {
            threads: self.config.server.threads,
            max_retries: PINGORA_RETRIES,
            upstream_keepalive_pool_size: self.config.upstream.idle_connections,
            ..ServerConf::default()
        }
    }

    fn serve_admin(
        &mut self,
        control: &tokio::runtime::Runtime,
        metrics: &Arc<Metrics>,
        store: &Arc<Store>,
        status: Status,
        door: Option<Arc<Door>>,
    ) -> Result<Option<SocketAddr>, Vec<String>> {
        let Some((admin, door)) = self.config.admin.as_ref().zip(door) else {
            return Ok(None);
        };
        let app = AdminApp::new(
            Arc::clone(metrics),
            Arc::new(status),
            Arc::clone(store),
            door,
        );
        let limited = Limited::new(app, Arc::clone(&self.operators));
        let mut service = Service::new("admin".to_owned(), limited);
        let address = match &admin.address {
            AdminAddress::Tcp(address) => {
                let bound = self.sockets.bind(Purpose::Admin, *address, false);
                let bound = bound.map_err(one)?;
                let address = bound.address;
                self.sockets
                    .hand_over(vec![bound], &mut service)
                    .map_err(one)?;
                Some(address)
            }
            AdminAddress::Unix(path) => {
                self.sockets
                    .hand_over_unix(path, &mut service)
                    .map_err(one)?;
                None
            }
        };
        let (table, stopping) = (self.sockets.table(), self.stopping.clone());
        let serve = async move { service.start_service(Some(table), stopping, 1).await };
        control.spawn(when_open(self.opening.clone(), serve));
        Ok(address)
    }
}
