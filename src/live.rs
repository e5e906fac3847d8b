//! Everything that a reload replaces, as one value: the catalog, the providers made ready for
//! requests, and the limits of a request. A request pins it at its first byte.
//!
//! What is measured (the health of keys, addresses, what endpoints speak, whose turn it is) lives
//! outside and is handed in, so that a reload does not forget it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use pingora::protocols::tls::CaType;
use sha2::{Digest, Sha256};

use crate::byok::master::{MasterKeys, Masters};
use crate::catalog::{self, Auth, Catalog, ProviderId};
use crate::config::{self, Config, KeysUse};
use crate::cors::Cors;
use crate::credentials::{Key, KeyHealth, Keys, Reason, Scheme};
use crate::discover::known::Known;
use crate::give_way::give_way;
use crate::metrics::{Metrics, ProviderMetrics};
use crate::money::Terms;
use crate::routing::failover::{Mode, Rules};
use crate::secret::SecretRef;
use crate::snapshot::Snapshot;
use crate::upstream::check;
use crate::upstream::choose::Balance;
use crate::upstream::dns::Resolver;
use crate::upstream::measured::Measured;
use crate::upstream::peer::Transport;
use crate::upstream::{self, Endpoint, EndpointParts, Home, Route, Times, Upstream};

/// One immutable bundle. A clone shares the providers and all that the files say.
#[derive(Clone)]
pub struct Live {
    /// What is served. Shared with those who keep it for later.
    pub catalog: Arc<Catalog>,
    /// The catalog's version as a header or label.
    pub version: Arc<str>,
    /// When something else is tried.
    pub rules: Rules,
    /// Attempts of one request at the most.
    pub attempts: u8,
    /// The largest request body, in bytes.
    pub body_max: u64,
    /// The largest body kept for another attempt, in bytes.
    pub replay_max: u64,
    /// Requests under way at one time at the most.
    pub requests_max: u64,
    /// Bytes at the beginning of a body that tell which session it belongs to, where nothing else does.
    pub affinity_body: usize,
    /// How long a client may stop reading or sending.
    pub client_patience: Duration,
    /// Pages of which origins may ask.
    pub cors: Cors,
    /// How often a provider is asked for its models.
    pub discover: Duration,
    /// On what terms requests are charged.
    pub terms: Terms,
    /// What opens the provider keys that accounts have stored.
    pub masters: Arc<Masters>,
    upstreams: Arc<[Ready]>,
}

/// A provider, with the times and counters that are its own.
struct Ready {
    upstream: Upstream,
    total: Duration,
    enabled: bool,
    metrics: Arc<ProviderMetrics>,
}

impl Live {
    /// The provider of that id.
    #[must_use]
    pub fn upstream(&self, id: ProviderId) -> &Upstream {
        &self.upstreams[id.index()].upstream
    }

    /// Whether the operator has it switched on.
    #[must_use]
    pub fn is_enabled(&self, id: ProviderId) -> bool {
        self.upstreams[id.index()].enabled
    }

    /// The endpoints of all providers that are switched on.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Upstream, &Endpoint)> {
        let enabled = self.upstreams.iter().filter(|ready| ready.enabled);
        enabled.flat_map(|ready| {
            let endpoints = ready.upstream.endpoints.iter();
            endpoints.map(|endpoint| (&ready.upstream, endpoint))
        })
    }

    /// How long a request that begins at this provider may take, all attempts together.
    #[must_use]
    pub fn total(&self, id: ProviderId) -> Duration {
        self.upstreams[id.index()].total
    }

    /// How many keys of each provider are set aside at the time `now`, for everybody or for some account, for each
    /// reason.
    pub fn keys_set_aside(&self, now: Instant) -> impl Iterator<Item = (&str, Reason, usize)> {
        let upstreams = self.upstreams.iter().map(|ready| &ready.upstream);
        let with_keys = upstreams.filter(|upstream| !upstream.keys.is_empty());
        with_keys.flat_map(move |upstream| {
            Reason::ALL.map(|reason| {
                let aside = |key: &&Arc<Key>| {
                    let aside = key.health().aside_for_anybody(now);
                    aside.is_some_and(|aside| aside.reason == reason)
                };
                let count = upstream.keys.iter().filter(aside).count();
                (&*upstream.id, reason, count)
            })
        })
    }

    /// The same with what is known now of the models that providers list themselves.
    #[must_use]
    pub fn with_found(&self, lasting: &Lasting) -> Self {
        Self {
            catalog: Arc::new(lasting.found.beside(&self.catalog)),
            ..self.clone()
        }
    }

    /// What is counted for it.
    #[must_use]
    pub fn provider_metrics(&self, id: ProviderId) -> &ProviderMetrics {
        &self.upstreams[id.index()].metrics
    }
}

/// What outlives a reload.
pub struct Lasting {
    /// Looks names up.
    pub resolver: Resolver,
    /// Counts.
    pub metrics: Arc<Metrics>,
    measured: Measured,
    /// The models that providers list themselves.
    pub found: Known,
    keys: Mutex<HashMap<[u8; 32], Arc<KeyHealth>>>,
    masters: Snapshot<Masters>,
}

impl Lasting {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(resolver: Resolver, metrics: Arc<Metrics>) -> Self {
        Self {
            resolver,
            metrics,
            measured: Measured::default(),
            found: Known::default(),
            keys: Mutex::default(),
            masters: Snapshot::default(),
        }
    }

    /// The master keys that `references` name. While one of them cannot be read, those that are in use stay; and where they
    /// are the same, so is the value.
    fn masters(&self, references: &[SecretRef]) -> Arc<Masters> {
        let before = self.masters.pin();
        let (keys, problems) = MasterKeys::read(references);
        let stay = !problems.is_empty() && before.keys.ids().next().is_some();
        if stay {
            problems.iter().for_each(|problem| {
                log::error!("byok.master_keys: {problem}; those that were read before stay in use");
            });
        }
        if stay || (keys.same_as(&before.keys) && problems == before.problems) {
            return before;
        }
        Arc::new(Masters { keys, problems })
    }

    /// Requests pin `live` from now on.
    pub fn in_use(&self, live: &Live) {
        self.metrics.catalog_in_use(&live.version);
        if !Arc::ptr_eq(&self.masters.peek(), &live.masters) {
            self.masters.publish(Arc::clone(&live.masters));
        }
    }

    /// The health of a key of a provider; known by digest, so that no secret is kept here.
    fn key_health(&self, provider: &str, secret: &str) -> Arc<KeyHealth> {
        let digest = Sha256::new()
            .chain_update(provider)
            .chain_update([0])
            .chain_update(secret)
            .finalize();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(keys.entry(digest.into()).or_default())
    }
}

/// A mistake that only shows when catalog and configuration come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Brings `catalog` and `config` together; `path` is the configuration's file, for messages.
///
/// # Errors
/// Every mistake found.
pub fn build(
    catalog: Arc<Catalog>,
    config: &Config,
    path: &Path,
    lasting: &Lasting,
) -> Result<Live, Vec<Mistake>> {
    assemble(catalog, config, path, lasting, Secrets::Read)
}

/// As [`build`], to look at and not to send anything with: there are as many keys as the configuration names, but no
/// secret and no certificate is read. The operator's shell need not have what the service has.
///
/// # Errors
/// Every mistake found.
pub fn build_without_secrets(
    catalog: Arc<Catalog>,
    config: &Config,
    path: &Path,
    lasting: &Lasting,
) -> Result<Live, Vec<Mistake>> {
    assemble(catalog, config, path, lasting, Secrets::Passed)
}

/// What becomes of the references to secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    /// They are followed.
    Read,
    /// They are passed over.
    Passed,
}

fn assemble(
    catalog: Arc<Catalog>,
    config: &Config,
    path: &Path,
    lasting: &Lasting,
    secrets: Secrets,
) -> Result<Live, Vec<Mistake>> {
    let mut builder = Builder {
        config,
        path,
        lasting,
        secrets,
        mistakes: Vec::new(),
    };
    let (settings, mistakes) = sections(config, path, &catalog);
    builder.mistakes.extend(mistakes);
    let masters = match secrets {
        Secrets::Read => lasting.masters(&config.byok.master_keys),
        Secrets::Passed => Arc::default(),
    };
    let upstreams = catalog
        .providers()
        .iter()
        .enumerate()
        .map(|(at, provider)| {
            give_way();
            builder.ready(provider, settings.get(&at).copied())
        })
        .collect();
    if !builder.mistakes.is_empty() {
        return Err(builder.mistakes);
    }
    Ok(Live {
        version: catalog.version().into(),
        catalog: Arc::new(lasting.found.beside(&catalog)),
        discover: config.catalog.discover,
        terms: config.credit.terms,
        masters,
        rules: Rules {
            mode: mode(config.failover.mode),
            retry_after_max: config.failover.retry_after_max,
        },
        attempts: config.failover.attempts,
        body_max: config.limits.body,
        replay_max: config.limits.replay_request,
        requests_max: config.limits.requests,
        affinity_body: config.upstream.affinity_body,
        client_patience: config.timeouts.client,
        cors: Cors::new(&config.cors.origins),
        upstreams,
    })
}

fn mode(mode: config::FailoverMode) -> Mode {
    match mode {
        config::FailoverMode::On => Mode::On,
        config::FailoverMode::Safe => Mode::Safe,
        config::FailoverMode::Off => Mode::Off,
    }
}

fn balance(balance: catalog::Balance) -> Balance {
    match balance {
        catalog::Balance::RoundRobin => Balance::RoundRobin,
        catalog::Balance::LeastInflight => Balance::LeastInflight,
        catalog::Balance::Affinity => Balance::Affinity,
    }
}

fn limit(requests: Option<u64>) -> u64 {
    requests.unwrap_or(u64::MAX)
}

/// The sections of `[providers]`, by the provider's place in the catalog; and those that are for none, or for one that
/// another is for.
#[must_use]
pub fn sections<'c>(
    config: &'c Config,
    path: &Path,
    catalog: &Catalog,
) -> (HashMap<usize, &'c config::Provider>, Vec<Mistake>) {
    let (mut matched, mut mistakes) = (HashMap::new(), Vec::new());
    for (name, section) in &config.providers {
        let config::Place { line, column } = section.place;
        let mut wrong = |what: &str| {
            let place = format!("{}:{line}:{column}", path.display());
            mistakes.push(Mistake(format!("{place}: providers.{name}: {what}")));
        };
        let Some(id) = catalog.provider_by_name(name) else {
            wrong("the catalog has no such provider; see `tollgate models --providers`");
            continue;
        };
        if matched.insert(id.index(), section).is_some() {
            wrong("another section is for the same provider; keep one");
        }
    }
    (matched, mistakes)
}

struct Builder<'a> {
    config: &'a Config,
    path: &'a Path,
    lasting: &'a Lasting,
    secrets: Secrets,
    mistakes: Vec<Mistake>,
}

impl<'a> Builder<'a> {
    fn wrong(&mut self, what: impl fmt::Display) {
        self.mistakes.push(Mistake(what.to_string()));
    }

    fn ready(&mut self, provider: &catalog::Provider, own: Option<&config::Provider>) -> Ready {
        let timeouts = own.map_or(&self.config.timeouts, |own| &own.timeouts);
        let times = Times {
            connect: timeouts.connect,
            first_byte: timeouts.first_byte,
            first_byte_stream: timeouts.first_byte_stream,
            idle: timeouts.idle,
        };
        let health = own.map_or(&self.config.health, |own| &own.health);
        let ca = self.ca(provider, own);
        let endpoints = provider
            .endpoints
            .iter()
            .map(|entry| self.endpoint(provider, entry, ca.as_ref()));
        let endpoints = endpoints.flatten().collect();
        let routes = std::array::from_fn(|at| {
            provider.routes[at]
                .as_ref()
                .and_then(|route| self.route(provider, route))
        });
        let home = self.home(provider);
        let lists = provider.discovery.iter().flat_map(|it| &it.lists);
        let lists = lists
            .filter_map(|route| self.route(provider, route))
            .collect();
        let keys = own.map_or_else(Keys::default, |own| self.keys(provider, own));
        Ready {
            upstream: Upstream::new(
                &provider.id,
                endpoints,
                routes,
                keys,
                provider.key_optional,
                times,
                self.lasting.measured.turns(&provider.id),
            )
            .with_home(home)
            .with_lists(lists)
            .with_health(*health)
            .with_check(
                provider
                    .health
                    .as_ref()
                    .and_then(|it| self.check(provider, it)),
            )
            .with_balance(balance(provider.balance))
            .with_limit(
                self.lasting.measured.load(&provider.id),
                limit(
                    own.and_then(|own| own.requests)
                        .or(provider.requests.map(u64::from)),
                ),
            ),
            total: timeouts.total,
            enabled: own.is_none_or(|own| own.enabled),
            metrics: self.lasting.metrics.provider(&provider.id),
        }
    }

    fn ca(
        &mut self,
        provider: &catalog::Provider,
        own: Option<&config::Provider>,
    ) -> Option<Arc<CaType>> {
        let file = own
            .and_then(|own| own.ca_file.as_deref())
            .or(provider.ca_file.as_deref())
            .or(self.config.upstream.ca_file.as_deref())
            .filter(|_| self.secrets == Secrets::Read)?;
        match upstream::load_ca(file) {
            Ok(roots) => Some(roots),
            Err(why) => {
                self.wrong(format_args!("provider {}: ca_file {why}", provider.id));
                None
            }
        }
    }

    fn endpoint(
        &mut self,
        provider: &catalog::Provider,
        entry: &catalog::Endpoint,
        ca: Option<&Arc<CaType>>,
    ) -> Option<Endpoint> {
        let Ok(authority) = HeaderValue::from_str(&entry.authority) else {
            self.wrong(format_args!(
                "provider {}: {} cannot be a Host header",
                provider.id, entry.authority
            ));
            return None;
        };
        let tls = entry.scheme == catalog::Scheme::Https;
        let sni = provider.tls_name.as_deref().unwrap_or(&entry.host);
        Some(Endpoint::new(EndpointParts {
            name: &entry.name,
            tls,
            sni,
            authority,
            weight: entry.weight,
            requests_max: limit(entry.requests.map(u64::from)),
            host: self.lasting.resolver.host(&entry.host, entry.port),
            ca: ca.cloned(),
            transport: Transport::of(&self.config.upstream),
            seen: self
                .lasting
                .measured
                .endpoint(&provider.id, tls, sni, &entry.host, entry.port),
        }))
    }

    fn check(
        &mut self,
        provider: &catalog::Provider,
        check: &catalog::HealthCheck,
    ) -> Option<check::Settings> {
        let http = match &check.http {
            Some(http) => match ask(http) {
                Some(ask) => Some(ask),
                None => {
                    self.wrong(format_args!(
                        "provider {}: its health check of {} cannot be sent",
                        provider.id, http.path
                    ));
                    return None;
                }
            },
            None => None,
        };
        Some(check::Settings {
            http,
            interval: check.interval,
            timeout: check.timeout,
            healthy: check.healthy,
            unhealthy: check.unhealthy,
        })
    }

    fn home(&mut self, provider: &catalog::Provider) -> Option<Home> {
        Some(Home {
            own: self.route(provider, &provider.home.own)?,
            other: self.route(provider, &provider.home.other)?,
        })
    }

    fn route(&mut self, provider: &catalog::Provider, route: &catalog::Route) -> Option<Route> {
        let scheme = match &route.auth {
            Auth::None => Some(Scheme::None),
            Auth::Bearer => Some(Scheme::Bearer),
            Auth::Header(name) => HeaderName::from_bytes(name.as_bytes())
                .ok()
                .map(Scheme::Header),
        };
        let defaults = route.headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        let made = scheme.zip(defaults.collect::<Option<Vec<_>>>());
        if made.is_none() {
            self.wrong(format_args!(
                "provider {}: a header of {} cannot be sent",
                provider.id, route.path
            ));
        }
        let (scheme, defaults) = made?;
        let fixed = match &route.query {
            Some(query) => format!("{}?{query}", route.path),
            None => route.path.to_string(),
        };
        Some(Route {
            // A path with a place for the model is no valid target by itself.
            fixed: fixed.parse().ok().filter(|_| !route.path.contains('{')),
            scheme,
            defaults: defaults.into(),
        })
    }

    fn keys(&mut self, provider: &catalog::Provider, own: &config::Provider) -> Keys {
        let mut list = Vec::with_capacity(own.keys.len());
        for (entry, place) in own.keys.iter().zip(1..) {
            let key = self.key(provider, &entry.secret);
            list.extend(key.map(|key| {
                let named = key.at(place, entry.name.as_deref());
                Arc::new(named.with_weight(entry.weight))
            }));
        }
        match own.keys_use {
            KeysUse::Ordered => Keys::ordered(list.into()),
            KeysUse::Weighted => {
                let turns = format!("keys of {}", provider.id);
                Keys::weighted(list.into(), self.lasting.measured.turns(&turns))
            }
        }
    }

    fn key(&mut self, provider: &catalog::Provider, reference: &SecretRef) -> Option<Key> {
        if self.secrets == Secrets::Passed {
            return Key::new("-", Arc::default()).ok();
        }
        let file = self.path.display();
        let secret = match reference.resolve() {
            Ok(secret) => secret,
            Err(why) => {
                self.wrong(format_args!(
                    "{file}: providers.{}.keys: {why}",
                    provider.id
                ));
                return None;
            }
        };
        let health = self.lasting.key_health(&provider.id, secret.expose());
        match Key::new(secret.expose(), health) {
            Ok(key) => Some(key),
            Err(_) => {
                self.wrong(format_args!(
                    "{file}: providers.{}.keys: {reference} holds a byte that no header can carry",
                    provider.id
                ));
                None
            }
        }
    }
}

/// What a check asks for, as it is sent.
fn ask(http: &catalog::HttpCheck) -> Option<check::Ask> {
    let header = |(name, value): &(Box<str>, Box<str>)| {
        let mut value = HeaderValue::from_str(value).ok()?;
        // It may be a key of the operator's.
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
    };
    let host = http.host.as_deref().map(HeaderValue::from_str);
    Some(check::Ask {
        path: http.path.parse().ok()?,
        host: host.transpose().ok()?,
        headers: http.headers.iter().map(header).collect::<Option<_>>()?,
        statuses: http.statuses.clone(),
    })
}
