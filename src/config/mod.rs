//! How this process runs: `tollgate.toml`, checked as a whole. What it serves is the catalog's.
//!
//! [`Config::load`] returns either a value that needs no further checks or every mistake at once. Options end here:
//! what the file leaves out has its default, and nothing behind this module asks whether a value was set. Whether a
//! provider exists is not checked here, since only the catalog knows; [`Provider::place`] is kept for that message.

mod address;
mod byok;
mod cors;
mod credit;
mod file;
mod files;
mod health;
mod keys;
mod otel;
mod outside;
mod problem;
mod read;
mod units;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use ::log::LevelFilter;

use crate::log::access::Target;
use crate::log::{Format, PENDING_MAX};
use crate::secret::SecretRef;
use crate::whole;

pub(crate) use outside::PEM_BYTES_MAX;

pub use byok::Byok;
pub use cors::Cors;
pub use credit::Credit;
pub use health::Health;
pub use keys::{KeysUse, ProviderKey};
pub use otel::{Endpoint as Collector, Otel};
pub use problem::{Place, Problem};

/// Bytes that the file may have. A thousand providers need a fifth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Everything `tollgate.toml` says, with the defaults of what it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[[listen]]`: the public listeners; at least one.
    pub listen: Vec<Listen>,
    /// `[admin]`: the operator's listener; `None` when it is off.
    pub admin: Option<Admin>,
    /// `[store]`
    pub store: Store,
    /// `[credit]`
    pub credit: Credit,
    /// `[byok]`
    pub byok: Byok,
    /// `[catalog]`
    pub catalog: CatalogFiles,
    /// `[cors]`
    pub cors: Cors,
    /// `[limits]`
    pub limits: Limits,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[failover]`
    pub failover: Failover,
    /// `[health]`
    pub health: Health,
    /// `[log]`
    pub log: Log,
    /// `[otel]`
    pub otel: Otel,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[dns]`
    pub dns: Dns,
    /// `[providers.ID]`, by the id as written.
    pub providers: BTreeMap<String, Provider>,
}

/// `[server]`: the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Worker threads; at least 1.
    pub threads: usize,
    /// How long requests under way may go on after SIGTERM.
    pub drain: Duration,
    /// How long a program that is to take over may take to be ready.
    pub upgrade: Duration,
}

/// `[[listen]]`: one public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether HTTP/2 without TLS is understood. Always false beside TLS, where ALPN decides.
    pub h2c: bool,
    /// Certificate and key, where the listener speaks TLS.
    pub tls: Option<Tls>,
}

/// `listen.tls`: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, then its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[admin]`: the operator's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub address: AdminAddress,
    /// The bearer token it asks for. Always there on an address that other machines can reach.
    pub token: Option<SecretRef>,
}

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// `[store]`: accounts, access keys and usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The `SQLite` file; made when it is absent.
    pub path: PathBuf,
    /// How long the audit keeps what operators changed.
    pub audit_kept: Duration,
}

/// `[catalog]`: what is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogFiles {
    /// Whether the catalog inside the binary is the ground that `paths` are laid on.
    pub builtin: bool,
    /// Files and folders; later ones override earlier ones.
    pub paths: Vec<PathBuf>,
    /// Whether a change of a file is a reload.
    pub watch: bool,
    /// How often a provider that is asked for its models is asked.
    pub discover: Duration,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a request body may have.
    pub body: u64,
    /// Bytes of a body that are kept for a further attempt.
    pub replay_request: u64,
    /// Bytes kept for all requests together. At least `replay_request`.
    pub replay_total: u64,
    /// Requests under way at one time; past it they are answered 503 `overloaded`.
    pub requests: u64,
    /// Connections of clients at one time; past it they are closed as they come.
    pub connections: u64,
}

/// `[timeouts]`, or what a provider has instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS connection to a provider.
    pub connect: Duration,
    /// From the end of the request to the first byte of the response, where that is not streamed.
    pub first_byte: Duration,
    /// The same where it is.
    pub first_byte_stream: Duration,
    /// Silence within a response, or of a provider that takes no more of the request.
    pub idle: Duration,
    /// The whole request with all its attempts.
    pub total: Duration,
    /// A client that stops reading or sending.
    pub client: Duration,
}

/// `[failover]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// When a next candidate is tried.
    pub mode: FailoverMode,
    /// Attempts for one request, the first included; 1 to 10.
    pub attempts: u8,
    /// The longest `Retry-After` that is waited for when nothing else is left to try.
    pub retry_after_max: Duration,
}

/// When a next candidate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverMode {
    /// Also after the request was delivered and no answer came.
    On,
    /// Only when the request was not delivered, or the provider answered with an error.
    Safe,
    /// Never.
    Off,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How much of our own doings is told.
    pub level: LevelFilter,
    /// The form of lines, of both logs.
    pub format: Format,
    /// Where our own doings are told.
    pub errors: Target,
    /// How many bytes of each log wait at the most for who reads it.
    pub queue: usize,
    /// Where the line of each request goes.
    pub access: Target,
}

/// `[upstream]`: connections to providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Requests at one time on one HTTP/2 connection.
    pub h2_streams: usize,
    /// HTTP/2 PING on a connection in use; `None` when off.
    pub h2_ping: Option<Duration>,
    /// Idle connections kept for all providers together.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle_time: Duration,
    /// Silence after which TCP asks whether the other side is alive.
    pub keepalive_time: Duration,
    /// Time between those probes.
    pub keepalive_interval: Duration,
    /// Probes without an answer after which a connection is dead.
    pub keepalive_probes: usize,
    /// How long sent bytes may go unacknowledged (`TCP_USER_TIMEOUT`).
    pub user_timeout: Duration,
    /// Bytes at the beginning of a body that tell sessions apart that have no name.
    pub affinity_body: usize,
    /// Certificate authorities in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[dns]`: look-ups of providers' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The servers asked, in place of the system's ways; none: as the system is configured.
    pub servers: Vec<SocketAddr>,
    /// The shortest time between two look-ups of a name, whatever its TTL.
    pub ttl_min: Duration,
    /// The longest; at least `ttl_min`.
    pub ttl_max: Duration,
    /// A look-up that takes longer has failed.
    pub timeout: Duration,
}

/// `[providers.ID]`: a provider of the catalog, as this process uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Whether it is used at all.
    pub enabled: bool,
    /// The operator's keys, in their order.
    pub keys: Vec<ProviderKey>,
    /// Which of them a request begins with.
    pub keys_use: KeysUse,
    /// Requests under way there at one time, in place of the catalog's limit.
    pub requests: Option<u64>,
    /// In place of the catalog's: `http` or `https`, without a trailing slash.
    pub base_url: Option<String>,
    /// Certificate authorities in place of the system's: its own, else those of `[upstream]`.
    pub ca_file: Option<PathBuf>,
    /// Its own, and for the rest those of `[timeouts]`.
    pub timeouts: Timeouts,
    /// Its own, and for the rest what `[health]` says.
    pub health: Health,
    /// Where its section begins, for a message of somebody who knows more of it.
    pub place: Place,
}

impl Config {
    /// Reads `path` and everything it points at (certificates, keys, secrets, catalog folders).
    ///
    /// # Errors
    /// Every mistake found, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let text = text_of(path)?;
        read::config(&text, path).into_result(|references| outside::missing(path, references))
    }

    /// As [`Config::load`], without a look at what the file points at: for commands that talk to a running gateway, and
    /// need neither its secrets nor its certificates.
    ///
    /// # Errors
    /// Every mistake found, in the order of the file.
    pub fn load_values(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::parse(&text_of(path)?, path)
    }

    /// Reads `text` as the content of `path`; no file is opened.
    ///
    /// # Errors
    /// Every mistake found, in the order of the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        read::config(text, path).into_result(|_| Vec::new())
    }
}

fn text_of(path: &Path) -> Result<String, Vec<Problem>> {
    let whole_file = |message: String| vec![Problem::new(path, None, "", message)];
    let bytes = whole::read(path, FILE_BYTES_MAX).map_err(|error| {
        whole_file(match error.kind() {
            io::ErrorKind::FileTooLarge => {
                "is larger than 1 MiB; is it a configuration file?".to_owned()
            }
            _ => format!("cannot be read: {}", whole::reason(&error)),
        })
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
        let message = "is not UTF-8 from here on; save the file as UTF-8";
        vec![Problem::new(
            path,
            Some(Place::of(&before, at)),
            "",
            message,
        )]
    })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            listen: vec![Listen::default()],
            admin: Some(Admin::default()),
            store: Store::default(),
            credit: Credit::default(),
            byok: Byok::default(),
            catalog: CatalogFiles::default(),
            cors: Cors::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            failover: Failover::default(),
            health: Health::default(),
            log: Log::default(),
            otel: Otel::default(),
            upstream: Upstream::default(),
            dns: Dns::default(),
            providers: BTreeMap::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: cores(),
            drain: Duration::from_mins(5),
            upgrade: Duration::from_mins(1),
        }
    }
}

/// Processor cores this process may use, as of its start: to find out takes a dozen system calls, and threads are not
/// changed by a reload.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: loopback(8080),
            h2c: true,
            tls: None,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: AdminAddress::Tcp(loopback(8081)),
            token: None,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("../data/tollgate.db"),
            audit_kept: Duration::from_secs(400 * 86_400),
        }
    }
}

impl Default for CatalogFiles {
    fn default() -> Self {
        Self {
            builtin: true,
            paths: Vec::new(),
            watch: true,
            discover: Duration::from_secs(60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let body = 64 << 20;
        Self {
            body,
            replay_request: body,
            replay_total: 512 << 20,
            requests: 10_000,
            connections: 20_000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_mins(10),
            first_byte_stream: Duration::from_mins(10),
            idle: Duration::from_mins(10),
            total: Duration::from_mins(30),
            client: Duration::from_mins(1),
        }
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            mode: FailoverMode::On,
            attempts: 10,
            retry_after_max: Duration::from_secs(5),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            format: Format::Json,
            errors: Target::Stderr,
            queue: PENDING_MAX,
            access: Target::Stdout,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            h2_streams: 100,
            h2_ping: Some(Duration::from_secs(30)),
            idle_connections: 512,
            idle_time: Duration::from_mins(1),
            keepalive_time: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(5),
            keepalive_probes: 3,
            user_timeout: Duration::from_secs(35),
            affinity_body: 512,
            ca_file: None,
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            ttl_min: Duration::from_secs(5),
            ttl_max: Duration::from_mins(5),
            timeout: Duration::from_secs(10),
        }
    }
}
