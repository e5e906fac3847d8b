//! The listeners' services, put together and started.

use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora::apps::HttpServerOptions;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora_proxy::{HttpProxy, ProcessCustomSession, ProxyServiceBuilder};
use pingora_runtime::{Runtime, RuntimeBuilder};
use tokio::sync::watch as channel;

use super::connections::{BeforeTls, Connections, Limited};
use super::listen::{Bound, BoundAdmin, Sockets};
use super::status::Status;
use super::{one, when_open};
use crate::admin::{AdminApp, Door};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::store::Store;
use crate::upstream::joining::Joining;

/// Pingora's bound on attempts; the request's own is tighter.
const PINGORA_RETRIES: usize = 64;

/// Runs requests: one single-threaded runtime a thread, as Pingora's own server does.
pub(super) fn workers(threads: usize) -> Runtime {
    RuntimeBuilder::new(threads, "worker")
        .work_steal(false)
        .build()
}

/// The proxy, with a connector that joins writes to upstreams.
fn joining(
    gateway: Gateway,
    conf: &Arc<ServerConf>,
    options: HttpServerOptions,
) -> Option<HttpProxy<Gateway, Joining>> {
    let connector = Joining::new(conf);
    // No client speaks a protocol of our own.
    let none: ProcessCustomSession<_, _> = Arc::new(|_, _, _| Box::pin(async { None }));
    let service = ProxyServiceBuilder::new(conf, gateway)
        .custom(connector, none)
        .server_options(options)
        .build();
    owned(service)
}

/// The application of a service that is not wanted: Pingora makes a proxy with a connector only within one.
#[expect(
    unsafe_code,
    reason = "a service lends its application, and gives it to nobody"
)]
fn owned<A>(service: Service<A>) -> Option<A> {
    let mut service = ManuallyDrop::new(service);
    let application = service.app_logic_mut()?;
    // SAFETY: it is initialised and borrowed from nobody else, and the service, which would own it as well, is neither used nor
    // dropped from here on.
    Some(unsafe { std::ptr::read(application) })
}

/// What the services of a gateway are made of.
pub(super) struct Assembly<'a> {
    pub(super) config: &'a Config,
    pub(super) sockets: Sockets<'a>,
    pub(super) workers: Runtime,
    pub(super) connections: Arc<Connections>,
    pub(super) operators: Arc<Connections>,
    pub(super) opening: channel::Receiver<bool>,
    pub(super) stopping: channel::Receiver<bool>,
}

impl Assembly<'_> {
    /// One service for all listeners that agree on h2c, so that they share their upstream
    /// connections.
    pub(super) fn serve_public(
        &mut self,
        bound: Vec<Bound>,
        gateway: impl Fn() -> Result<Gateway, Vec<String>>,
    ) -> Result<Vec<SocketAddr>, Vec<String>> {
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
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        let proxy = joining(gateway, &Arc::new(self.pingora()), options)
            .ok_or_else(|| one("the proxy is not where it was put"))?;
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

    pub(super) fn serve_admin(
        &mut self,
        bound: Option<BoundAdmin>,
        control: &tokio::runtime::Runtime,
        metrics: &Arc<Metrics>,
        store: &Arc<Store>,
        status: Status,
        door: Option<Arc<Door>>,
    ) -> Result<Option<SocketAddr>, Vec<String>> {
        let Some(door) = door else {
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
        let address = match bound {
            Some(BoundAdmin::Tcp(bound)) => {
                let address = bound.address;
                let handed = self.sockets.hand_over(vec![bound], &mut service);
                handed.map_err(one)?;
                Some(address)
            }
            Some(BoundAdmin::Unix(bound)) => {
                let handed = self.sockets.hand_over_unix(bound, &mut service);
                handed.map_err(one)?;
                None
            }
            None => return Ok(None),
        };
        let (table, stopping) = (self.sockets.table(), self.stopping.clone());
        let serve = async move { service.start_service(Some(table), stopping, 1).await };
        control.spawn(when_open(self.opening.clone(), serve));
        Ok(address)
    }
}
