//! A provider as requests reach it: endpoints with their addresses, routes with their headers,
//! keys. Built once when a catalog is loaded, so that the request path only picks.
//!
//! Not here: which provider is chosen (`routing`) and what it is asked (`proxy`).

pub mod addresses;
pub mod check;
pub mod choose;
pub mod dns;
mod downgrade;
pub mod hash;
pub mod health;
pub mod joined;
pub mod joining;
pub mod load;
mod lookup;
pub mod measured;
pub mod peer;
pub mod pick;
mod turns;
pub mod walk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use pingora::protocols::tls::CaType;
use pingora::tls::RootCertStore;
use pingora::utils::tls::WrappedX509;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::credentials::{Keys, Scheme};
use crate::surface::{self, Surface};
use choose::{Balance, Table};
use dns::Host;
use health::Rank;
use load::Load;
use measured::Seen;
use peer::Transport;

/// The times of one provider's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// TCP and TLS together.
    pub connect: Duration,
    /// Until the response header, where the response is not streamed.
    pub first_byte: Duration,
    /// The same where it is.
    pub first_byte_stream: Duration,
    /// Between two pieces of a response.
    pub idle: Duration,
}

/// One provider.
#[derive(Debug)]
pub struct Upstream {
    /// Its id in the catalog.
    pub id: Arc<str>,
    /// Where it is.
    pub endpoints: Box<[Endpoint]>,
    /// How each surface is asked; none: it does not speak it.
    pub routes: [Option<Route>; surface::COUNT],
    /// How it is asked for what is no surface.
    pub home: Option<Box<Home>>,
    /// Where it lists its models; empty where it is not asked.
    pub lists: Box<[Route]>,
    /// The operator's keys.
    pub keys: Keys,
    /// Whether it works without a key.
    pub keyless: bool,
    /// The times of its attempts.
    pub times: Times,
    /// When its endpoints are ejected.
    pub health: health::Settings,
    /// How its endpoints are checked, if they are.
    pub check: Option<check::Settings>,
    balance: Balance,
    table: Table,
    next: Arc<AtomicUsize>,
    load: Arc<Load>,
    requests_max: u64,
}

/// One endpoint (replica) of a provider.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name in metrics and logs.
    pub name: Box<str>,
    /// The `Host` (or `:authority`) it is asked with.
    pub authority: HeaderValue,
    weight: u32,
    requests_max: u64,
    host: Arc<Host>,
    tls: bool,
    sni: Box<str>,
    ca: Option<Arc<CaType>>,
    transport: Transport,
    seen: Arc<Seen>,
}

/// How a surface of a provider is asked, beside what the catalog says of it.
#[derive(Debug)]
pub struct Route {
    /// Path and query, where they are the same for every model.
    pub fixed: Option<PathAndQuery>,
    /// How the key goes along.
    pub scheme: Scheme,
    /// Headers set where the client sent none.
    pub defaults: Box<[(HeaderName, HeaderValue)]>,
}

/// How a provider is asked for what is no surface.
#[derive(Debug)]
pub struct Home {
    /// Where its API begins.
    pub own: Route,
    /// At another version of it.
    pub other: Route,
}

impl Home {
    /// How it is asked there.
    #[must_use]
    pub fn of(&self, at_home: bool) -> &Route {
        if at_home { &self.own } else { &self.other }
    }
}

/// What is needed to make an [`Endpoint`].
pub struct EndpointParts<'a> {
    /// Its name in metrics and logs.
    pub name: &'a str,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The name for SNI and for the certificate.
    pub sni: &'a str,
    /// The `Host` header.
    pub authority: HeaderValue,
    /// Its share of the requests.
    pub weight: u32,
    /// Requests under way there at the most.
    pub requests_max: u64,
    /// Where it is.
    pub host: Arc<Host>,
    /// Roots of trust in place of the system's.
    pub ca: Option<Arc<CaType>>,
    /// How to connect.
    pub transport: Transport,
    /// What is known of it.
    pub seen: Arc<Seen>,
}

impl Upstream {
    /// A provider whose endpoints take turns by the count `turns`.
    #[must_use]
    pub fn new(
        id: &str,
        endpoints: Box<[Endpoint]>,
        routes: [Option<Route>; surface::COUNT],
        keys: Keys,
        keyless: bool,
        times: Times,
        turns: Arc<AtomicUsize>,
    ) -> Self {
        let shares = endpoints.iter().map(|it| (&*it.name, it.weight));
        Self {
            table: Table::new(shares),
            id: id.into(),
            endpoints,
            routes,
            home: None,
            lists: Box::default(),
            keys,
            keyless,
            times,
            health: health::Settings::default(),
            check: None,
            balance: Balance::default(),
            next: turns,
            load: Arc::default(),
            requests_max: u64::MAX,
        }
    }

    /// Requests are spread over its endpoints in this way.
    #[must_use]
    pub fn with_balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// It takes `requests_max` requests at one time at the most, counted by `load`.
    #[must_use]
    pub fn with_limit(mut self, load: Arc<Load>, requests_max: u64) -> Self {
        self.load = load;
        self.requests_max = requests_max;
        self
    }

    /// It is asked like this for what is no surface.
    #[must_use]
    pub fn with_home(mut self, home: Option<Home>) -> Self {
        self.home = home.map(Box::new);
        self
    }

    /// It is asked there for its models.
    #[must_use]
    pub fn with_lists(mut self, lists: Box<[Route]>) -> Self {
        self.lists = lists;
        self
    }

    /// Its endpoints are ejected as these say, rather than by default.
    #[must_use]
    pub fn with_health(mut self, health: health::Settings) -> Self {
        self.health = health;
        self
    }

    /// Its endpoints are checked like this.
    #[must_use]
    pub fn with_check(mut self, check: Option<check::Settings>) -> Self {
        self.check = check;
        self
    }

    /// How `surface` is asked.
    #[must_use]
    pub fn route(&self, surface: Surface) -> Option<&Route> {
        self.routes[surface as usize].as_ref()
    }

    /// Claims the probe of an endpoint that waits for one, and says which it is.
    pub fn probe(&self, now: Instant) -> Option<usize> {
        // One that is full could not be asked, and nobody else could probe it meanwhile.
        let claimed =
            |endpoint: &Endpoint| !endpoint.is_full() && endpoint.seen.health().claim(now);
        self.endpoints.iter().position(claimed)
    }

    /// Where its best endpoint stands.
    #[must_use]
    pub fn rank(&self, now: Instant) -> Rank {
        let ranks = self.endpoints.iter().map(|it| it.seen.health().rank(now));
        ranks.min().unwrap_or(Rank::Ejected)
    }

    /// Whether it matters to which session a request belongs.
    #[must_use]
    pub fn keeps_sessions(&self) -> bool {
        self.balance == Balance::Affinity
    }

    /// Counts a request that begins here, where its endpoints take turns.
    pub fn turn(&self) -> usize {
        if self.balance != Balance::RoundRobin || self.endpoints.len() < 2 {
            return 0;
        }
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Endpoint {
    /// An endpoint that is made of these.
    #[must_use]
    pub fn new(parts: EndpointParts<'_>) -> Self {
        Self {
            name: parts.name.into(),
            authority: parts.authority,
            weight: parts.weight,
            requests_max: parts.requests_max,
            host: parts.host,
            tls: parts.tls,
            sni: parts.sni.into(),
            ca: parts.ca,
            transport: parts.transport,
            seen: parts.seen,
        }
    }

    /// Whether `other` is the same place, spoken to in the same way.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same_roots = match (&self.ca, &other.ca) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same_roots && Arc::ptr_eq(&self.seen, &other.seen) && self.authority == other.authority
    }

    /// The host that it is at, by name or by address, and its port.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        self.host.place()
    }

    /// What is known of it from talking to it.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The same for those who keep it.
    #[must_use]
    pub fn shared_seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Counts the requests under way there.
    #[must_use]
    pub fn load(&self) -> &Arc<Load> {
        self.seen.load()
    }
}

/// Reads roots of trust from a PEM file.
///
/// # Errors
/// What is wrong with the file, for people.
pub fn load_ca(path: &Path) -> Result<Arc<CaType>, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    // Checked as a whole first: Pingora's own parser takes the bytes on trust.
    pingora::tls::load_ca_file_into_store(path, &mut RootCertStore::empty())
        .map_err(|error| fault(&error))?;
    let found = CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))?;
    let roots: Vec<WrappedX509> = found
        .filter_map(Result::ok)
        .map(|der| WrappedX509::new(der.to_vec(), pingora::utils::tls::parse_x509))
        .collect();
    if roots.is_empty() {
        return Err(fault(&"holds no PEM certificate"));
    }
    Ok(roots.into())
}
