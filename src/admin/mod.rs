//! The operator's listener: metrics, health, readiness, reload, rollback, and the API over the store. Never on a public
//! listener. Absent: what the process reports and does, which is asked of [`Control`].

mod answer;
mod api;
mod body;
mod drain;
mod fault;
mod guard;
mod levels;
mod openapi;
mod operation;
mod page;
mod plain;
mod process;
mod query;
mod route;
mod strict;
mod told;
mod tries;
mod upgrade;
mod versions;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http::Method;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::byok::master::Masters;
use crate::kept;
use crate::metrics::Metrics;
use crate::store::Store;

pub use guard::{Door, Guard};
pub use openapi::document as openapi;
pub use upgrade::NoUpgrade;
pub use versions::{NoRollback, Version};

use answer::Answer;
use fault::{Code, Fault};
use guard::Refusal;
use route::{Access, Call};
use tries::Tries;

/// Operations on the store under way at one time; the store has a handful of connections.
const CALLS_MAX: usize = 32;

/// Of them: those that may go through very many rows. Each keeps a connection for as long, and others need some.
const HEAVY_MAX: usize = 2;

/// The rest of the process, as the admin listener sees it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Whether requests can be served now. Must not wait for anything slow.
    fn readiness(&self) -> Readiness;

    /// Reads configuration, secrets, certificates and catalog again. Returns what is in use afterwards, or all problems
    /// found, in which case nothing has changed.
    async fn reload(&self) -> Result<Reloaded, Vec<String>>;

    /// Goes back to the catalog before the one in use, or to the kept one of that version; returns its version.
    async fn rollback(&self, to: Option<String>) -> Result<String, NoRollback>;

    /// Has readiness say no, so that requests are sent elsewhere, or no longer. What comes is served all the same.
    fn drain(&self, on: bool);

    /// Has the program's file started anew and take over; returns the process that did.
    async fn upgrade(&self) -> Result<u32, NoUpgrade>;

    /// The versions of the catalog that are kept, newest first.
    async fn versions(&self) -> Vec<Version>;

    /// What users see of the catalog in use, as JSON; `None` before the first.
    async fn catalog(&self) -> Option<Vec<u8>>;

    /// The id of the provider that goes by this id or alias in the catalog in use.
    fn provider(&self, name: &str) -> Option<String>;

    /// The master keys in use.
    fn masters(&self) -> Arc<Masters>;
}

/// What is in use after a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Version of the catalog.
    pub catalog: String,
    /// Keys of the configuration that say otherwise than at the start, and are as they were until the next.
    pub at_next_start: Vec<&'static str>,
}

/// Whether what requests cost is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    /// It is.
    Up,
    /// It cannot be: the store fails.
    Down,
    /// The ledger is another process's, or could not be read yet.
    Waiting,
}

/// Whether requests can be served, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Version of the catalog in use; `None` before the first.
    pub catalog: Option<String>,
    /// Access keys known.
    pub access_keys: u64,
    /// Stored provider keys that cannot be opened.
    pub provider_keys_unusable: u64,
    /// Whether the store answers.
    pub store: bool,
    /// Whether what requests cost is written down. Where it is not, requests on the operator's keys are refused, and others
    /// go on, so that this process is ready.
    pub ledger: LedgerState,
    /// Whether the process is ending, or is to get no more requests.
    pub draining: bool,
    /// Endpoints that are not ready: `PROVIDER/ENDPOINT`. Requests go elsewhere meanwhile, so that this process is ready.
    pub ejected: Vec<String>,
}

impl Readiness {
    /// Whether a load balancer should send requests here.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.catalog.is_some() && self.store && !self.draining
    }
}

/// The app of the admin listener.
pub struct AdminApp {
    metrics: Arc<Metrics>,
    control: Arc<dyn Control>,
    store: Arc<Store>,
    door: Arc<Door>,
    tries: Tries,
    calls: Semaphore,
    heavy: Semaphore,
}

impl AdminApp {
    /// Serves `metrics`, `control` and `store` to whom the guard at `door` lets in. `/healthz`, and of `/readyz` the bare answer, are
    /// for everybody who can connect: load balancers have no token.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        control: Arc<dyn Control>,
        store: Arc<Store>,
        door: Arc<Door>,
    ) -> Self {
        Self {
            metrics,
            control,
            store,
            tries: Tries::default(),
            door,
            calls: Semaphore::new(CALLS_MAX),
            heavy: Semaphore::new(HEAVY_MAX),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn answer(&self, session: &mut ServerSession) -> Answer {
        let header = session.req_header();
        let (row, params) = match route::find(&header.method, header.uri.path()) {
            Ok(found) => found,
            Err(fault) => return fault.answer(),
        };
        let posted = self.door.posted();
        let guard = &posted.guard;
        let allowed = match row.access {
            Access::Guarded => self.check(guard, session),
            // Load balancers have no token.
            Access::Open if !header.headers.contains_key(AUTHORIZATION) => {
                guard.check(header).map_err(refused)
            }
            Access::Open => self.check(guard, session),
        };
        let is_allowed = allowed.is_ok();
        if let (Access::Guarded, Err(fault)) = (row.access, allowed) {
            return fault.answer();
        }
        let who = told::who(&posted.let_in, session.req_header());
        let call = Call {
            session,
            params,
            allowed: is_allowed,
            who: &who,
        };
        let answer = (row.run)(self, call).await;
        told::tell(self, row, &who, &answer).await;
        answer
    }

    /// Whether the guard lets it in, if it has not come with too many wrong tokens.
    fn check(&self, guard: &Guard, session: &ServerSession) -> Result<(), Fault> {
        let peer = session.client_addr().and_then(SocketAddr::as_inet);
        let peer = peer.map(std::net::SocketAddr::ip);
        let now = Instant::now();
        if let Some(wait) = self.tries.barred(peer, now) {
            return Err(Fault::barred(wait));
        }
        guard.check(session.req_header()).map_err(|refusal| {
            let header = session.req_header();
            // None at all is no guess.
            let is_guess = refusal == Refusal::Token && header.headers.contains_key(AUTHORIZATION);
            if is_guess && self.tries.wrong(peer, now) {
                let from = peer.map_or_else(|| "the socket".to_owned(), |peer| peer.to_string());
                log::warn!(
                    "too many wrong admin tokens from {from}: it is not listened to for a while"
                );
            }
            refused(refusal)
        })
    }
}

#[async_trait]
impl ServeHttp for AdminApp {
    async fn response(&self, session: &mut ServerSession) -> Answer {
        let _busy = kept::request_begins();
        let mut answer = self.answer(session).await;
        if !session.is_body_done() {
            // What nobody asked for is not read, so the connection cannot be used again.
            session.set_keepalive(None);
        }
        if session.req_header().method == Method::HEAD {
            answer.body_mut().clear();
        }
        answer
    }
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Token => Fault::new(
            Code::InvalidToken,
            "send `Authorization: Bearer` with the token of `admin.token`",
        ),
        Refusal::Browser => Fault::new(
            Code::NotForWebPages,
            "web pages are not served; use an IP address or localhost as the host, or set `admin.token`",
        ),
    }
}

#[cfg(test)]
mod tests;
