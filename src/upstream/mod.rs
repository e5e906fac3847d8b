//! A provider as requests reach it: endpoints with their addresses, routes with their headers,
//! keys. Built once when a catalog is loaded, so that the request path only picks.
//!
//! Not here: which provider is chosen (`routing`) and what it is asked (`proxy`).

pub mod check;
pub mod dns;
pub mod health;
pub mod measured;
pub mod peer;
mod turns;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use pingora::protocols::tls::CaType;
use pingora::tls::RootCertStore;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::WrappedX509;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use smallvec::SmallVec;

use crate::config;
use crate::credentials::{Key, Scheme};
use crate::surface::{self, Surface};
use dns::Host;
use health::Rank;
use measured::Seen;
use peer::Transport;

/// The times of one provider's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// TCP and TLS together.
    pub connect: Duration,
    /// Until the response header.
    pub first_byte: Duration,
    /// Between two pieces of a response.
    pub idle: Duration,
}

/// One provider.
#[derive(Debug)]
pub struct Upstream {
    /// Its id in the catalog.
    pub id: Box<str>,
    /// Where it is.
    pub endpoints: Box<[Endpoint]>,
    /// How each surface is asked; none: it does not speak it.
    pub routes: [Option<Route>; surface::COUNT],
    /// Where it lists its models; empty where it is not asked.
    pub lists: Box<[Route]>,
    /// The operator's keys, in order.
    pub keys: Box<[Arc<Key>]>,
    /// Whether it works without a key.
    pub keyless: bool,
    /// The times of its attempts.
    pub times: Times,
    /// When its endpoints are ejected.
    pub health: health::Settings,
    /// How its endpoints are checked, if they are.
    pub check: Option<check::Settings>,
    /// The endpoints in the order in which requests begin at them; then it begins anew.
    turns: Box<[u16]>,
    next: Arc<AtomicUsize>,
}

/// One endpoint (replica) of a provider.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name in metrics and logs.
    pub name: Box<str>,
    /// The `Host` (or `:authority`) it is asked with.
    pub authority: HeaderValue,
    weight: u32,
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
    /// Where it is.
    pub host: Arc<Host>,
    /// Roots of trust in place of the system's.
    pub ca: Option<Arc<CaType>>,
    /// How to connect.
    pub transport: Transport,
    /// What is known of it.
    pub seen: Arc<Seen>,
}

/// An address picked for an attempt.
pub struct Picked<'a> {
    /// The endpoint it belongs to.
    pub endpoint: &'a Endpoint,
    /// That endpoint's place among those of the provider.
    pub index: usize,
    /// The peer to connect to.
    pub peer: Box<HttpPeer>,
    /// How many addresses there are to choose from.
    pub of: usize,
}

impl Upstream {
    /// A provider whose endpoints take turns by the count `turns`.
    #[must_use]
    pub fn new(
        id: &str,
        endpoints: Box<[Endpoint]>,
        routes: [Option<Route>; surface::COUNT],
        keys: Box<[Arc<Key>]>,
        keyless: bool,
        times: Times,
        turns: Arc<AtomicUsize>,
    ) -> Self {
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self {
            id: id.into(),
            endpoints,
            routes,
            lists: Box::default(),
            keys,
            keyless,
            times,
            health: health::Settings::of(&config::Health::default()),
            check: None,
            turns: turns::of(&weights),
            next: turns,
        }
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

    /// Where the next request begins among the endpoints: at one that is to be probed, else they take turns, each as
    /// often as its weight says, those that are ejected left out while another is ready.
    pub fn turn(&self, now: Instant) -> usize {
        if let Some(probed) = self.probe(now) {
            return probed;
        }
        if self.turns.len() < 2 {
            return 0;
        }
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = |step: usize| usize::from(self.turns[at.wrapping_add(step) % self.turns.len()]);
        let ready = |turn: &usize| self.endpoints[*turn].seen.health().rank(now) == Rank::Ready;
        let mut turns = (0..self.turns.len()).map(turn);
        turns.find(ready).unwrap_or_else(|| turn(0))
    }

    /// Claims the probe of an endpoint that waits for one, and says which it is.
    pub fn probe(&self, now: Instant) -> Option<usize> {
        let claimed = |endpoint: &Endpoint| endpoint.seen.health().claim(now);
        self.endpoints.iter().position(claimed)
    }

    /// Where its best endpoint stands.
    #[must_use]
    pub fn rank(&self, now: Instant) -> Rank {
        let ranks = self.endpoints.iter().map(|it| it.seen.health().rank(now));
        ranks.min().unwrap_or(Rank::Ejected)
    }

    /// The addresses of all endpoints in order, beginning with endpoint `turn`; the `choose`
    /// function is told how many there are and says which it wants. `None` when no endpoint has
    /// an address, after waiting for first answers no longer than a connection may take.
    pub async fn pick(
        &self,
        turn: usize,
        choose: impl FnOnce(usize) -> usize,
    ) -> Option<Picked<'_>> {
        let count = self.endpoints.len();
        let mut known = SmallVec::<[_; 1]>::new();
        for at in 0..count {
            let index = (turn + at) % count;
            let endpoint = &self.endpoints[index];
            if let Some(addresses) = endpoint.host.first_addresses(self.times.connect).await {
                known.push((index, endpoint, addresses));
            }
        }
        let of = known.iter().map(|(.., addresses)| addresses.len()).sum();
        let mut wanted = choose(of);
        for (index, endpoint, addresses) in known {
            if let Some(address) = addresses.get(wanted) {
                let peer = peer::template(
                    *address,
                    endpoint.tls,
                    &endpoint.sni,
                    endpoint.ca.as_ref(),
                    &endpoint.transport,
                );
                return Some(Picked {
                    endpoint,
                    index,
                    peer,
                    of,
                });
            }
            wanted -= addresses.len();
        }
        None
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
