//! Scriptable fake providers over real sockets on loopback: HTTP/1.1 and HTTP/2, plain and TLS. Each keeps a record of
//! every request that reached it, and does with each what its script says. It knows nothing of the gateway.

mod delivery;
pub mod fault;
pub mod frame;
mod gate;
pub mod payload;
mod pump;
mod reply;
mod script;
mod serve_h1;
mod serve_h2;
mod start;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

pub use delivery::{Delivery, Framing, KEPT_MAX};
pub use gate::{Gate, gate};
pub use reply::{Reply, ReplyFraming};
pub use script::{Behaviour, End, Step, Upto, behave};
pub use serve_h2::Settings;
pub use start::{Builder, black_hole, h1, h1_tls, h2_tls, h2c, refusing, unreachable};

use crate::support::socket::Task;
use delivery::Log;
use script::Script;

/// What happens to a connection when it has been accepted.
#[derive(Clone, Debug)]
pub enum Greeting {
    /// It is served.
    Serve,
    /// It is closed in order at once.
    Close,
    /// It is reset at once.
    Reset,
    /// Nothing is read or sent, for ever.
    Hang,
    /// These bytes are sent (in place of a TLS handshake, on a TLS upstream), then it is closed.
    Raw(Bytes),
}

/// What the tasks of one upstream share.
struct Shared {
    log: Arc<Log>,
    script: Script,
    settings: Settings,
}

/// A running fake provider. Dropping it closes its port and ends its connections.
pub struct Upstream {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    cut: watch::Sender<Option<End>>,
    /// What keeps the port: a task that accepts, or a socket that does not.
    _port: Box<dyn Port>,
}

/// Something that keeps a port taken while it lives.
trait Port: Send + Sync {}
impl Port for Task {}
impl Port for tokio::net::TcpSocket {}
impl<A: Send + Sync, B: Send + Sync> Port for (A, B) {}

/// An HTTP/1.1 upstream that answers every request with status 200 and `body`.
pub async fn json(body: impl Into<Bytes>) -> Upstream {
    h1().reply(Reply::json(200, body)).start().await
}

impl Upstream {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` or `https://…`, without a path.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Its origin with `localhost` for a host name.
    pub fn origin_by_name(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.address.port())
    }

    /// Adds a behaviour for the next request that has none yet.
    pub fn push(&self, behaviour: impl Into<Behaviour>) {
        self.shared.script.push(behaviour.into());
    }

    /// Changes what is done once no pushed behaviour is left.
    pub fn otherwise(&self, behaviour: impl Into<Behaviour>) {
        let behaviour = behaviour.into();
        self.shared.script.otherwise(move |_| behaviour.clone());
    }

    /// As `otherwise`, chosen for each request.
    pub fn each(&self, choose: impl Fn(&Delivery) -> Behaviour + Send + Sync + 'static) {
        self.shared.script.otherwise(choose);
    }

    /// Every request whose head has arrived, in order of arrival.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.log.deliveries()
    }

    /// The only delivery so far.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn delivery(&self) -> Delivery {
        let mut all = self.deliveries();
        assert_eq!(all.len(), 1, "deliveries at {}", self.address);
        all.remove(0)
    }

    /// The requests that arrived after the first `count`.
    pub fn deliveries_since(&self, count: usize) -> Vec<Delivery> {
        self.shared.log.deliveries_since(count)
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        self.shared.log.count()
    }

    /// How many connections were accepted, ever.
    pub fn connections(&self) -> usize {
        self.shared.log.accepted()
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.log.open().0
    }

    /// The most connections that were open at a time.
    pub fn open_connections_max(&self) -> usize {
        self.shared.log.open().1
    }

    /// What arrived that was no HTTP.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.log.complaints()
    }

    /// Waits until `count` requests have arrived.
    pub async fn wait_for(&self, count: usize) -> Vec<Delivery> {
        self.wait_until(&format!("{count} deliveries"), |all| all.len() >= count)
            .await
    }

    /// Waits until `count` requests have arrived with their whole bodies.
    pub async fn wait_complete(&self, count: usize) -> Vec<Delivery> {
        let complete = |all: &[Delivery]| all.iter().filter(|one| one.complete).count() >= count;
        self.wait_until(&format!("{count} complete deliveries"), complete)
            .await
    }

    /// Waits until `condition` holds of the deliveries; `what` names it if it never does.
    pub async fn wait_until(
        &self,
        what: &str,
        condition: impl Fn(&[Delivery]) -> bool,
    ) -> Vec<Delivery> {
        self.shared.log.until(what, condition).await
    }

    /// Waits until `count` connections have been accepted, ever.
    pub async fn wait_accepted(&self, count: usize) {
        self.shared
            .log
            .until_connections(|accepted, _| accepted >= count)
            .await;
    }

    /// Waits until no more than `count` connections are open.
    pub async fn wait_open_at_most(&self, count: usize) {
        self.shared
            .log
            .until_connections(|_, open| open <= count)
            .await;
    }

    /// Ends every open connection, idle or not, by a reset or in order (`End::Reset`, else as `End::Abandon`), and
    /// waits until they are gone. Later ones are served.
    pub async fn cut_connections(&self, end: End) {
        self.cut.send_replace(Some(end));
        self.wait_open_at_most(0).await;
    }
}
