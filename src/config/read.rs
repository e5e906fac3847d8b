//! `tollgate.toml` as written → [`Config`] as checked: one function a section. Bounds have their names here; defaults
//! are those of the types.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::log::LevelFilter;

use super::address::{base_url, dns_server, free, is_provider_id, overlap, socket_address};
use super::byok::byok;
use super::cors::cors;
use super::credit::credit;
use super::file::{Report, Section, Value};
use super::health::health;
use super::keys;
use super::otel::otel;
use super::outside::{Outside, Reference};
use super::{
    Admin, AdminAddress, CatalogFiles, Config, Dns, Failover, FailoverMode, Health, Limits, Listen,
    Log, Problem, Provider, Server, Store, Timeouts, Tls, Upstream, cores,
};
use crate::log::Format;
use crate::log::access::Target;
use crate::secret::SecretRef;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Past this, more threads than any machine has cores are a slip of the hand.
const THREADS: RangeInclusive<usize> = 0..=1_024;
/// An hour is longer than any single request may take by default, with room.
const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
/// No program starts in less than a second for sure; one that takes longer than ten minutes hangs.
const UPGRADE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
/// Below 1 KiB no chat request fits; above 1 GiB no provider takes one.
const BODY: RangeInclusive<u64> = KIB..=GIB;
/// At least what a prompt of some length has, so that a `model` behind it is found.
const REPLAY_REQUEST: RangeInclusive<u64> = 64 * KIB..=GIB;
/// The memory of a large machine.
const REPLAY_TOTAL: RangeInclusive<u64> = MIB..=1_024 * GIB;
/// A million requests need two million file descriptors.
const REQUESTS: RangeInclusive<u64> = 1..=1_000_000;
/// Longer than a minute, a connection attempt is a hang.
const CONNECT: RangeInclusive<Duration> = MILLISECOND..=MINUTE;
/// A day: for batch-like jobs on one's own hardware.
const WAIT: RangeInclusive<Duration> = MILLISECOND..=DAY;
/// The contract of `Tollgate-Attempts`: at most ten are listed.
const ATTEMPTS: RangeInclusive<u8> = 1..=10;
/// Longer, the client's own retry is kinder than an open connection.
const RETRY_AFTER: RangeInclusive<Duration> = Duration::ZERO..=MINUTE;
/// What servers announce is at most some hundreds.
const H2_STREAMS: RangeInclusive<usize> = 1..=1_000;
/// Zero is off.
const H2_PING: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
/// Each one is a file descriptor here and at the provider.
const IDLE_CONNECTIONS: RangeInclusive<usize> = 1..=100_000;
/// TCP counts these in whole seconds, in 16 bits.
const TCP: RangeInclusive<Duration> = SECOND..=HOUR;
/// More often than each second, look-ups are a load on the resolver; a day is longer than names are good for.
const TTL: RangeInclusive<Duration> = SECOND..=DAY;
/// Less than a round trip is none; longer than a minute, the next look-up is due.
const LOOK_UP: RangeInclusive<Duration> = MILLISECOND..=MINUTE;
/// What resolvers of operating systems take at the most is three.
const DNS_SERVERS_MAX: usize = 8;
/// Less tells nothing apart; more than a session's beginning is none.
const AFFINITY_BODY: RangeInclusive<u64> = 16..=64 * KIB;
/// A line has up to 5 KiB; more than this is a place to store things.
const LOG_QUEUE: RangeInclusive<u64> = 64 * KIB..=GIB;
/// A list of models is not worth more than a request each second.
const DISCOVER: RangeInclusive<Duration> = SECOND..=DAY;
/// Less is gone before anybody has looked; more than a hundred years is a mistake.
const AUDIT_KEPT: RangeInclusive<Duration> = DAY..=Duration::from_secs(36_500 * 86_400);
/// The kernel's own limit is 127.
const PROBES: RangeInclusive<usize> = 1..=100;
/// The outcome of reading: a value, what it points at, and what is wrong.
pub(super) struct Outcome {
    config: Config,
    references: Vec<Reference>,
    problems: Vec<Problem>,
}

impl Outcome {
    /// The value, unless something is wrong with it or with what it points at.
    pub(super) fn into_result(
        mut self,
        check: impl FnOnce(&[Reference]) -> Vec<Problem>,
    ) -> Result<Config, Vec<Problem>> {
        self.problems.extend(check(&self.references));
        if self.problems.is_empty() {
            return Ok(self.config);
        }
        self.problems.sort_by_key(|problem| problem.place);
        Err(self.problems)
    }
}

/// Reads the whole file.
pub(super) fn config(text: &str, path: &Path) -> Outcome {
    let report = Report::new(path, text);
    let reader = Reader {
        folder: path.parent().unwrap_or(Path::new("")),
        references: RefCell::default(),
    };
    let document = report.parse();
    let config = match &document {
        Some(document) => reader.top(Section::top(document.get_ref(), &report)),
        None => Config::default(),
    };
    Outcome {
        config,
        references: reader.references.into_inner(),
        problems: report.into_problems(),
    }
}

struct Reader<'f> {
    /// What relative paths are relative to.
    folder: &'f Path,
    references: RefCell<Vec<Reference>>,
}

impl Reader<'_> {
    fn top(&self, top: Section<'_>) -> Config {
        let default = Config::default();
        let timeouts = top.section("timeouts").map_or(default.timeouts, timeouts);
        let upstream = top
            .section("upstream")
            .map_or(default.upstream, |section| self.upstream(section));
        let health = top
            .section("health")
            .map_or_else(Health::default, |own| health(own, &default.health));
        let listen = top
            .get("listen")
            .map_or(default.listen, |value| self.listeners(&value));
        let config = Config {
            server: top.section("server").map_or(default.server, server),
            admin: match top.section("admin") {
                Some(section) => self.admin(section, &listen),
                None => default_admin(&top, &listen, default.admin),
            },
            listen,
            store: self.store(top.section("store"), default.store),
            credit: top.section("credit").map_or(default.credit, credit),
            byok: top.section("byok").map_or(default.byok, |section| {
                byok(section, |value| self.reference(value))
            }),
            catalog: top
                .section("catalog")
                .map_or(default.catalog, |section| self.catalog(section)),
            cors: top.section("cors").map_or(default.cors, cors),
            limits: top.section("limits").map_or(default.limits, limits),
            failover: top.section("failover").map_or(default.failover, failover),
            dns: top.section("dns").map_or(default.dns, dns),
            log: top
                .section("log")
                .map_or(default.log, |section| self.log(section)),
            otel: top.section("otel").map_or(default.otel, |section| {
                let certificates = |value: Value<'_>| self.path(Some(value), Outside::Certificates);
                otel(section, |value| self.secret(value), certificates)
            }),
            providers: top
                .section("providers")
                .map_or(default.providers, |section| {
                    self.providers(&section, &timeouts, &health, &upstream)
                }),
            timeouts,
            health,
            upstream,
        };
        top.finish();
        config
    }

    fn listeners(&self, value: &Value<'_>) -> Vec<Listen> {
        let mut listeners: Vec<Listen> = Vec::new();
        let Some(elements) = value.elements("written [[listen]], once for each listener") else {
            return listeners;
        };
        if elements.is_empty() {
            value.wrong("must have at least one listener; leave the section out for the default");
        }
        for section in elements.into_iter().filter_map(Value::section) {
            let address = section
                .get("address")
                .and_then(|value| free(&value, socket_address(&value)?, &listeners));
            let tls = section.section("tls").and_then(|section| self.tls(section));
            let h2c = section.flag("h2c");
            if h2c == Some(true) && tls.is_some() {
                section.wrong(
                    "`h2c` is HTTP/2 without TLS; beside `tls` leave it out (HTTP/2 is negotiated)",
                );
            }
            if !section.has("address") {
                section.wrong("needs an `address`, as \"127.0.0.1:8080\"");
            }
            section.finish();
            let default = Listen::default();
            listeners.push(Listen {
                address: address.unwrap_or(default.address),
                h2c: tls.is_none() && h2c.unwrap_or(default.h2c),
                tls,
            });
        }
        listeners
    }

    fn tls(&self, section: Section<'_>) -> Option<Tls> {
        let certificate = self.path(section.get("certificate"), Outside::Certificates);
        let key = self.path(section.get("key"), Outside::PrivateKey);
        if !section.has("certificate") || !section.has("key") {
            section.wrong("needs both `certificate` and `key`, each the path of a PEM file");
        }
        section.finish();
        Some(Tls {
            certificate: certificate?,
            key: key?,
        })
    }

    fn admin(&self, section: Section<'_>, listen: &[Listen]) -> Option<Admin> {
        let token = section.get("token").and_then(|value| self.token(&value));
        let written = section.get("address");
        let off = written.as_ref().is_some_and(|value| value.is("off"));
        let address = match &written {
            Some(value) if !off => self.admin_address(value, listen),
            _ => None,
        };
        if let (Some(AdminAddress::Tcp(address)), Some(value)) = (&address, &written)
            && !address.ip().is_loopback()
            && !section.has("token")
        {
            value.wrong("other machines can reach this address: set `token`, or use a loopback address or unix:PATH");
        }
        section.finish();
        let address = address.unwrap_or(Admin::default().address);
        (!off).then_some(Admin { address, token })
    }

    fn admin_address(&self, value: &Value<'_>, listen: &[Listen]) -> Option<AdminAddress> {
        let text = value.text()?;
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(AdminAddress::Unix(self.folder.join(path)));
        }
        let Ok(address) = text.parse() else {
            value.wrong(
                "must be an IP address and port, as \"127.0.0.1:8081\", a Unix socket, as \
                 \"unix:/run/tollgate.sock\", or \"off\"",
            );
            return None;
        };
        free(value, address, listen).map(AdminAddress::Tcp)
    }

    fn store(&self, section: Option<Section<'_>>, default: Store) -> Store {
        let Some(section) = section else {
            return Store {
                path: self.folder.join(default.path),
                ..default
            };
        };
        let path = section.get("path").and_then(|value| value.text());
        let store = Store {
            path: self.folder.join(path.map_or(default.path, PathBuf::from)),
            audit_kept: section
                .duration("audit_kept", AUDIT_KEPT)
                .unwrap_or(default.audit_kept),
        };
        section.finish();
        store
    }

    fn catalog(&self, section: Section<'_>) -> CatalogFiles {
        let default = CatalogFiles::default();
        let paths = section
            .get("paths")
            .and_then(|value| value.elements("an array of paths"));
        let paths = paths.map(|paths| {
            paths
                .into_iter()
                .filter_map(|path| self.path(Some(path), Outside::Path))
                .collect()
        });
        let catalog = CatalogFiles {
            builtin: section.flag("builtin").unwrap_or(default.builtin),
            paths: paths.unwrap_or(default.paths),
            watch: section.flag("watch").unwrap_or(default.watch),
            discover: section
                .duration("discover", DISCOVER)
                .unwrap_or(default.discover),
        };
        section.finish();
        catalog
    }

    fn log(&self, section: Section<'_>) -> Log {
        let default = Log::default();
        let level = section.word(
            "level",
            &[
                ("off", LevelFilter::Off),
                ("error", LevelFilter::Error),
                ("warn", LevelFilter::Warn),
                ("info", LevelFilter::Info),
                ("debug", LevelFilter::Debug),
                ("trace", LevelFilter::Trace),
            ],
        );
        let format = section.word(
            "format",
            &[("json", Format::Json), ("logfmt", Format::Logfmt)],
        );
        let target = |name| {
            let text = section.get(name)?.text()?;
            Some(match text {
                "off" => Target::Off,
                "stdout" => Target::Stdout,
                "stderr" => Target::Stderr,
                path => Target::File(self.folder.join(path)),
            })
        };
        let (errors, access) = (target("errors"), target("access"));
        let queue = section.size("queue", LOG_QUEUE);
        section.finish();
        Log {
            level: level.unwrap_or(default.level),
            format: format.unwrap_or(default.format),
            errors: errors.unwrap_or(default.errors),
            queue: queue
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.queue),
            access: access.unwrap_or(default.access),
        }
    }

    fn upstream(&self, section: Section<'_>) -> Upstream {
        let default = Upstream::default();
        let ping = section.duration("h2_ping", H2_PING);
        let upstream = Upstream {
            h2_streams: section
                .number("h2_streams", H2_STREAMS)
                .unwrap_or(default.h2_streams),
            h2_ping: ping.or(default.h2_ping).filter(|time| !time.is_zero()),
            idle_connections: section
                .number("idle_connections", IDLE_CONNECTIONS)
                .unwrap_or(default.idle_connections),
            idle_time: section
                .duration("idle_time", WAIT)
                .unwrap_or(default.idle_time),
            keepalive_time: section
                .duration("keepalive_time", TCP)
                .unwrap_or(default.keepalive_time),
            keepalive_interval: section
                .duration("keepalive_interval", TCP)
                .unwrap_or(default.keepalive_interval),
            keepalive_probes: section
                .number("keepalive_probes", PROBES)
                .unwrap_or(default.keepalive_probes),
            user_timeout: section
                .duration("user_timeout", TCP)
                .unwrap_or(default.user_timeout),
            affinity_body: section
                .size("affinity_body", AFFINITY_BODY)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.affinity_body),
            ca_file: self.path(section.get("ca_file"), Outside::Certificates),
        };
        section.finish();
        upstream
    }

    fn providers(
        &self,
        section: &Section<'_>,
        timeouts: &Timeouts,
        health: &Health,
        upstream: &Upstream,
    ) -> BTreeMap<String, Provider> {
        let mut providers = BTreeMap::new();
        for (id, value) in section.entries() {
            if !is_provider_id(id) {
                value.wrong("a provider id has lower-case letters, digits, `-`, `_` and `.` only, at most 64 of them");
            }
            if let Some(section) = value.section() {
                let provider = self.provider(section, timeouts, health, upstream);
                providers.insert(id.to_owned(), provider);
            }
        }
        providers
    }

    fn provider(
        &self,
        section: Section<'_>,
        timeouts: &Timeouts,
        general: &Health,
        upstream: &Upstream,
    ) -> Provider {
        let (keys, keys_use) = keys::read(&section, |value| self.secret(value));
        let own_ca = self.path(section.get("ca_file"), Outside::Certificates);
        let provider = Provider {
            enabled: section.flag("enabled").unwrap_or(true),
            keys,
            keys_use,
            requests: section.number("requests", REQUESTS),
            base_url: section.get("base_url").and_then(|value| base_url(&value)),
            ca_file: own_ca.or_else(|| upstream.ca_file.clone()),
            timeouts: section
                .section("timeouts")
                .map_or_else(|| timeouts.clone(), |own| provider_timeouts(own, timeouts)),
            health: section
                .section("health")
                .map_or_else(|| *general, |own| health(own, general)),
            place: section.place(),
        };
        section.finish();
        provider
    }

    /// A path, noted among what is looked at later.
    fn path(&self, value: Option<Value<'_>>, what: fn(PathBuf) -> Outside) -> Option<PathBuf> {
        let value = value?;
        let path = self.folder.join(value.text()?);
        self.note(&value, what(path.clone()));
        Some(path)
    }

    /// A reference to a secret, noted among what is looked at later.
    fn secret(&self, value: &Value<'_>) -> Option<SecretRef> {
        let reference = self.reference(value)?;
        self.note(value, Outside::Secret(reference.clone()));
        Some(reference)
    }

    /// As `secret`, of what clients present.
    fn token(&self, value: &Value<'_>) -> Option<SecretRef> {
        let reference = self.reference(value)?;
        self.note(value, Outside::Token(reference.clone()));
        Some(reference)
    }

    /// A reference to a secret. A file is relative to the configuration's folder.
    fn reference(&self, value: &Value<'_>) -> Option<SecretRef> {
        match SecretRef::parse(value.text()?) {
            Ok(SecretRef::File(path)) => Some(SecretRef::File(self.folder.join(path))),
            Ok(other) => Some(other),
            Err(error) => {
                value.wrong(error.to_string());
                None
            }
        }
    }

    fn note(&self, value: &Value<'_>, what: Outside) {
        let reference = Reference {
            place: value.place(),
            key: value.key.clone(),
            what,
        };
        self.references.borrow_mut().push(reference);
    }
}

/// The default admin listener, whose address a public listener may have taken.
fn default_admin(top: &Section<'_>, listen: &[Listen], admin: Option<Admin>) -> Option<Admin> {
    let taken = |address: SocketAddr| listen.iter().any(|other| overlap(other.address, address));
    if let (
        Some(Admin {
            address: AdminAddress::Tcp(address),
            ..
        }),
        Some(value),
    ) = (&admin, top.get("listen"))
        && taken(*address)
    {
        value.wrong(format!(
            "{address} is where the admin listener is by default; set `admin.address` too"
        ));
    }
    admin
}

fn server(section: Section<'_>) -> Server {
    let default = Server::default();
    let threads = section
        .number("threads", THREADS)
        .filter(|threads| *threads > 0);
    let drain = section.duration("drain", DRAIN);
    let upgrade = section.duration("upgrade", UPGRADE);
    section.finish();
    Server {
        threads: threads.unwrap_or_else(cores),
        drain: drain.unwrap_or(default.drain),
        upgrade: upgrade.unwrap_or(default.upgrade),
    }
}

fn limits(section: Section<'_>) -> Limits {
    let default = Limits::default();
    let body = section.size("body", BODY).unwrap_or(default.body);
    let replay_total = section
        .size("replay_total", REPLAY_TOTAL)
        .unwrap_or(default.replay_total);
    let replay_request = section.size("replay_request", REPLAY_REQUEST);
    if replay_request.is_some_and(|bytes| bytes > replay_total)
        && let Some(value) = section.get("replay_request")
    {
        value.wrong("must not exceed `limits.replay_total`, which all requests share");
    }
    let requests = section.number("requests", REQUESTS);
    let connections = section.number("connections", REQUESTS);
    section.finish();
    Limits {
        body,
        replay_request: replay_request.unwrap_or(body.min(replay_total)),
        replay_total,
        requests: requests.unwrap_or(default.requests),
        connections: connections.unwrap_or(default.connections),
    }
}

fn dns(section: Section<'_>) -> Dns {
    let default = Dns::default();
    let written = section
        .get("servers")
        .and_then(|value| value.elements("an array of IP addresses"));
    if written
        .as_ref()
        .is_some_and(|servers| servers.len() > DNS_SERVERS_MAX)
    {
        section.wrong(format!("has at most {DNS_SERVERS_MAX} `servers`"));
    }
    let ttl_min = section.duration("ttl_min", TTL);
    let ttl_max = section.duration("ttl_max", TTL);
    let (min, max) = (
        ttl_min.unwrap_or(default.ttl_min),
        ttl_max.unwrap_or(default.ttl_max),
    );
    if min > max {
        section.wrong("`ttl_min` must not be longer than `ttl_max`");
    }
    let dns = Dns {
        servers: written.iter().flatten().filter_map(dns_server).collect(),
        ttl_min: min,
        ttl_max: max,
        timeout: section
            .duration("timeout", LOOK_UP)
            .unwrap_or(default.timeout),
    };
    section.finish();
    dns
}

fn timeouts(section: Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        client: section.duration("client", WAIT).unwrap_or(default.client),
        ..provider_waits(&section, &default)
    };
    section.finish();
    timeouts
}

/// What a provider may have otherwise: `client` is of the request, whichever provider answers it.
fn provider_timeouts(section: Section<'_>, general: &Timeouts) -> Timeouts {
    let timeouts = provider_waits(&section, general);
    section.finish();
    timeouts
}

fn provider_waits(section: &Section<'_>, default: &Timeouts) -> Timeouts {
    let first_byte = section.duration("first_byte", WAIT);
    Timeouts {
        connect: section
            .duration("connect", CONNECT)
            .unwrap_or(default.connect),
        first_byte: first_byte.unwrap_or(default.first_byte),
        first_byte_stream: section
            .duration("first_byte_stream", WAIT)
            .or(first_byte)
            .unwrap_or(default.first_byte_stream),
        idle: section.duration("idle", WAIT).unwrap_or(default.idle),
        total: section.duration("total", WAIT).unwrap_or(default.total),
        ..default.clone()
    }
}

fn failover(section: Section<'_>) -> Failover {
    let default = Failover::default();
    let modes = [
        ("on", FailoverMode::On),
        ("safe", FailoverMode::Safe),
        ("off", FailoverMode::Off),
    ];
    let failover = Failover {
        mode: section.word("mode", &modes).unwrap_or(default.mode),
        attempts: section
            .number("attempts", ATTEMPTS)
            .unwrap_or(default.attempts),
        retry_after_max: section
            .duration("retry_after_max", RETRY_AFTER)
            .unwrap_or(default.retry_after_max),
    };
    section.finish();
    failover
}
