//! `tollgate dev`: everything on this machine, with nothing to set up. An access key is printed,
//! the providers whose usual key variables are set are used, local model servers are found, and
//! the `echo` provider answers beside them.

pub mod local;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::access::AccountId;
use crate::access::key::has_prefix;
use crate::access::policy::PolicyEntry;
use crate::byok::master::MasterKey;
use crate::catalog::{Catalog, Files, Overrides, Provider};
use crate::cli::serve::on_store;
use crate::config::{self, AdminAddress, Config};
use crate::echo;
use crate::log::access::Target;
use crate::log::logger;
use crate::money::Credits;
use crate::secret::SecretRef;
use crate::server::Begun;
use crate::server::reload::{self, Loaded};
use crate::server::upgrade::predecessor::Predecessor;
use crate::store::{self, NewGrant, NewKey, Store};
use crate::surface::Surface;
use local::Found;

/// Its data folder where nobody names another.
pub const DATA: &str = "data/dev";

/// The access key's name and file.
const KEY_NAME: &str = "dev";
const KEY_FILE: &str = "dev-key";

/// The file of the master key for stored provider keys.
pub const MASTER_FILE: &str = "master-key";

/// The account it belongs to.
const ACCOUNT: &str = "default";

/// What that account has at first: $100.
const FIRST_CREDIT: Credits = Credits::from_nanos(100_000_000_000);

/// Providers that run on this machine, if at all.
const LOCAL: [&str; 3] = ["ollama", "vllm", "lmstudio"];

/// Flags of `tollgate dev`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tollgate dev\n  tollgate dev --listen 127.0.0.1:9000 --admin 127.0.0.1:9001 --data /tmp/tollgate"
)]
pub struct Options {
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where metrics and readiness are
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Where the store is; the access key stays the same as long as this does
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
    /// Print as a JSON object what to connect to, and with which key
    #[arg(long)]
    json: bool,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// Every problem that keeps it from starting.
pub fn run(options: &Options) -> Result<(), Vec<String>> {
    if let Some(before) = Predecessor::of_this_process().map_err(|error| vec![error.to_string()])? {
        let problem = "`tollgate dev` hands over to no other process: stop it, and start it anew";
        before.failed(&[problem.to_owned()]);
        return Err(vec![problem.to_owned()]);
    }
    logger::init(&logger::Settings::default()).map_err(|error| vec![error.to_string()])?;
    let key = access_key(&options.data)?;
    let master = master_key(&options.data).map_err(|error| vec![error.to_string()])?;
    if !options.admin.ip().is_loopback() {
        return Err(vec![format!(
            "--admin {}: other machines can reach this address, and `dev` asks for no token; use one of loopback",
            options.admin
        )]);
    }
    let surroundings = Surroundings::explore(options.listen)?;
    let told = surroundings.tell();
    let mut config = surroundings.config(options)?;
    config.byok.master_keys = vec![master];
    let path = PathBuf::from("dev");
    let load = move || {
        Ok(Loaded {
            config: config.clone(),
            path: path.clone(),
            files: surroundings.files(),
            overrides: surroundings.overrides(),
        })
    };
    let Some(running) = Begun::new()?.start(Box::new(load), None)? else {
        return Ok(());
    };
    if let Some(address) = running.public.first() {
        greet(options.json, *address, running.admin, &key, &told);
    }
    running.run();
    Ok(())
}

/// The access key of this data folder, made at the first start.
fn access_key(data: &Path) -> Result<String, Vec<String>> {
    let file = data.join(KEY_FILE);
    let mut key = String::new();
    on_store(data.join(store::FILE), async |store: &Store, _| {
        if let Some(kept) = kept_key(&file, store).await? {
            key = kept;
            return Ok(());
        }
        let now = jiff::Timestamp::now().as_second();
        let (account, _) = store.ensure_account(ACCOUNT, now).await?;
        store.grant(&first_credit(account.id), now).await?;
        let new = NewKey {
            name: KEY_NAME.to_owned(),
            expires: None,
            policy: PolicyEntry::default(),
        };
        let made = store.create_key(account.id, &new, now).await?;
        key = made.shown.expose().to_owned();
        write_private(&file, &key)?;
        Ok(())
    })?;
    Ok(key)
}

/// Credit to begin with, so that a request on the keys of this machine's environment needs no further command.
fn first_credit(account: AccountId) -> NewGrant {
    NewGrant {
        account,
        amount: FIRST_CREDIT,
        expires: None,
        note: "to begin with".to_owned(),
        // Given once, however often a key is made.
        idempotency: Some("dev".to_owned()),
    }
}

/// The key in `file`, if the store still takes it.
async fn kept_key(file: &Path, store: &Store) -> Result<Option<String>, crate::store::StoreError> {
    let Ok(text) = fs::read_to_string(file) else {
        return Ok(None);
    };
    let keyring = store.load_keyring().await?;
    let now = jiff::Timestamp::now().as_second();
    let known = keyring.authenticate(text.trim(), now).is_ok();
    Ok(known.then(|| text.trim().to_owned()))
}

/// Where the master key of this data folder is, made at the first start. One that is there is never written over: what it
/// has sealed would be lost.
fn master_key(data: &Path) -> std::io::Result<SecretRef> {
    let file = data.join(MASTER_FILE);
    if !file.try_exists()? {
        let key = MasterKey::generate().map_err(std::io::Error::other)?;
        let unfinished = data.join(format!(".{MASTER_FILE}.{}", std::process::id()));
        write_private(&unfinished, key.to_hex().expose())?;
        // Unlike a rename, it fails where another process was faster.
        let made = fs::hard_link(&unfinished, &file);
        fs::remove_file(&unfinished)?;
        if !file.try_exists()? {
            made?;
        }
    }
    Ok(SecretRef::File(file))
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")
}

/// What is there on this machine: keys in the environment, model servers, and the echo provider.
struct Surroundings {
    echo: SocketAddr,
    /// Local servers: provider id → base URL.
    servers: BTreeMap<String, String>,
    found: Vec<Found>,
    /// Provider id → the variable that holds its key.
    keys: BTreeMap<String, String>,
    /// Variables with a key that is not used, and why.
    left: Vec<(String, &'static str)>,
    /// The base URLs that the environment gives.
    base_urls: BTreeMap<String, String>,
    providers: Vec<String>,
    _runtime: tokio::runtime::Runtime,
    _stop: tokio::sync::watch::Sender<bool>,
}

impl Surroundings {
    fn explore(listen: SocketAddr) -> Result<Self, Vec<String>> {
        let one = |error: std::io::Error| vec![error.to_string()];
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.map_err(one)?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind((
            std::net::Ipv4Addr::LOCALHOST,
            0,
        )));
        let listener = listener.map_err(one)?;
        let echo = listener.local_addr().map_err(one)?;
        let (stop, stopping) = tokio::sync::watch::channel(false);
        runtime.spawn(echo::serve(listener, stopping));
        let mut servers = said_to_be();
        let hints: Vec<(&str, &str)> = servers.iter().map(|(id, url)| (&**id, &**url)).collect();
        let found = runtime.block_on(local::find(&hints));
        servers.extend(
            found
                .iter()
                .map(|found| (found.provider.to_owned(), found.base_url.clone())),
        );
        let mut surroundings = Self {
            echo,
            servers,
            found,
            keys: BTreeMap::new(),
            left: Vec::new(),
            base_urls: Overrides::from_env(variables()).base_urls,
            providers: Vec::new(),
            _runtime: runtime,
            _stop: stop,
        };
        let catalog = reload::check(&surroundings.files(), &surroundings.overrides())?;
        for (provider, variable, value) in keys(&catalog) {
            match unusable(provider, &value, &surroundings.overrides(), listen) {
                Some(why) => surroundings.left.push((variable, why)),
                None => drop(surroundings.keys.insert(provider.id.to_string(), variable)),
            }
        }
        surroundings.providers = catalog
            .providers()
            .iter()
            .map(|provider| provider.id.to_string())
            .collect();
        Ok(surroundings)
    }

    fn config(&self, options: &Options) -> Result<Config, Vec<String>> {
        let mut config = Config::default();
        config.listen = vec![config::Listen {
            address: options.listen,
            ..config::Listen::default()
        }];
        config.admin = Some(config::Admin {
            address: AdminAddress::Tcp(options.admin),
            token: None,
        });
        config.store.path = options.data.join(store::FILE);
        config.catalog.watch = false;
        // What one machine asks for, and no more files than a shell gives.
        config.limits.connections = 2_000;
        config.limits.requests = 1_000;
        config.log.access = Target::Stderr;
        for id in &self.providers {
            let provider = self.provider(id, &config)?;
            config.providers.insert(id.clone(), provider);
        }
        Ok(config)
    }

    fn provider(&self, id: &str, config: &Config) -> Result<config::Provider, Vec<String>> {
        let reference = self
            .keys
            .get(id)
            .map(|variable| SecretRef::parse(&format!("env:{variable}")));
        let key = reference
            .transpose()
            .map_err(|error| vec![error.to_string()])?;
        Ok(config::Provider {
            enabled: true,
            keys: key.map(config::ProviderKey::plain).into_iter().collect(),
            keys_use: config::KeysUse::Ordered,
            requests: None,
            base_url: None,
            ca_file: None,
            timeouts: config.timeouts.clone(),
            health: config.health,
            place: config::Place { line: 1, column: 1 },
        })
    }

    fn files(&self) -> Files {
        let mut files = Files::builtin();
        files.add_text("dev/echo.json", echo_file(self.echo));
        for id in self.servers.keys() {
            let found = self.found.iter().find(|found| found.provider == id);
            let listed = found.map_or(&[][..], |found| &found.models);
            files.add_text(&format!("dev/{id}.json"), server_file(id, listed));
        }
        files
    }

    fn overrides(&self) -> Overrides {
        let mut base_urls = self.base_urls.clone();
        base_urls.extend(self.servers.clone());
        Overrides { base_urls }
    }

    /// What was found, for people.
    fn tell(&self) -> String {
        let mut told = String::from("  echo       echo:anything, without any provider\n");
        for id in self.keys.keys() {
            let _ = writeln!(told, "  {id:<10} with the key in {}", self.keys[id]);
        }
        for (variable, why) in &self.left {
            let _ = writeln!(told, "  not used: {variable}, {why}");
        }
        for found in &self.found {
            let _ = writeln!(
                told,
                "  {:<10} at {}, {} model(s)",
                found.provider,
                found.base_url,
                found.models.len()
            );
        }
        told
    }
}

/// The environment, as far as it is text.
fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

/// Where the environment says that local servers are: `OLLAMA_BASE_URL` and so on.
fn said_to_be() -> BTreeMap<String, String> {
    let said = |id: &str| std::env::var(format!("{}_BASE_URL", id.to_ascii_uppercase())).ok();
    let said = LOCAL
        .iter()
        .filter_map(|id| Some((id.to_string(), said(id).filter(|url| !url.is_empty())?)));
    said.collect()
}

/// The first of each provider's usual variables that is set, and what it holds.
fn keys(catalog: &Catalog) -> impl Iterator<Item = (&Provider, String, String)> {
    let set = |provider| {
        let provider: &Provider = provider;
        let mut held = provider.env.iter().filter_map(|name| {
            let value = std::env::var(&**name).ok().filter(|it| !it.is_empty());
            Some((name, value?))
        });
        let (variable, value) = held.next()?;
        Some((provider, variable.to_string(), value))
    };
    catalog.providers().iter().filter_map(set)
}

/// Why a key in the environment is not one for its provider: whoever has pasted the lines that `dev` prints has set the
/// variables that it looks at, too.
fn unusable(
    provider: &Provider,
    key: &str,
    overrides: &Overrides,
    listen: SocketAddr,
) -> Option<&'static str> {
    let aliases = provider.aliases.iter().map(|alias| &**alias);
    let names: Vec<&str> = std::iter::once(&*provider.id).chain(aliases).collect();
    match overrides.base_url(&names) {
        Some((_, url)) if is_at(url, listen) => Some("because its base URL is this gateway"),
        None if has_prefix(key) => {
            Some("because it is a gateway's access key, and no base URL is set")
        }
        _ => None,
    }
}

/// Whether a URL is one of this listener.
fn is_at(url: &str, listen: SocketAddr) -> bool {
    let host = url.strip_prefix("http://").unwrap_or(url);
    let host = host.split('/').next().unwrap_or_default();
    let localhost = format!("localhost:{}", listen.port());
    host == listen.to_string() || host.eq_ignore_ascii_case(&localhost)
}

fn echo_file(address: SocketAddr) -> String {
    let surfaces: BTreeMap<_, _> = crate::surface::TABLE
        .iter()
        .filter(|row| crate::echo::serves(row.path))
        .map(|row| {
            let way = serde_json::json!({
                "path": row.path,
                "include_usage": matches!(row.surface, Surface::Chat | Surface::Completions),
                "max_completion_tokens": row.surface == Surface::Chat,
            });
            (row.name, way)
        })
        .collect();
    serde_json::json!({
        "provider": "echo",
        "name": "Echo",
        "rank": 900,
        "base_url": format!("http://{address}/v1"),
        "auth": "none",
        "key_optional": true,
        "surfaces": surfaces,
        "models": models(echo::LISTED),
    })
    .to_string()
}

/// A local server, as its preset describes it, with the models it lists; those that it gets later are discovered.
fn server_file(id: &str, listed: &[String]) -> String {
    let models = models(listed.iter().map(String::as_str));
    serde_json::json!({ "provider": id, "preset": id, "discover": true, "models": models })
        .to_string()
}

/// Models of which nothing is known but that they are there.
fn models<'a>(ids: impl IntoIterator<Item = &'a str>) -> serde_json::Value {
    ids.into_iter()
        .map(|id| (id.to_owned(), serde_json::json!({})))
        .collect()
}

/// Says where it is. Who has closed standard output does not want to know.
fn greet(json: bool, public: SocketAddr, admin: Option<SocketAddr>, key: &str, told: &str) {
    let text = match json {
        true => format!(
            "{:#}\n",
            serde_json::json!({"address": public, "admin": admin, "access_key": key})
        ),
        false => greeting(public, admin, key, told),
    };
    let mut out = std::io::stdout();
    let _ = std::io::Write::write_all(&mut out, text.as_bytes());
    let _ = std::io::Write::flush(&mut out);
}

fn greeting(public: SocketAddr, admin: Option<SocketAddr>, key: &str, told: &str) -> String {
    let admin = admin.map_or_else(String::new, |admin| {
        format!("metrics at http://{admin}/metrics\n")
    });
    format!(
        "Tollgate is ready at http://{public}
{admin}
Providers:
{told}
Access key:
{key}

Try it:
  curl http://{public}/v1/chat/completions \\
    -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{\"model\": \"echo:hello\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'

Point an SDK at it:
  export OPENAI_BASE_URL=http://{public}/v1 OPENAI_API_KEY={key}
  export ANTHROPIC_BASE_URL=http://{public} ANTHROPIC_API_KEY={key}
"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_lines_that_are_printed_do_not_make_a_gateway_its_own_provider() {
        let catalog = crate::catalog::resolve(&Files::builtin(), &Overrides::default());
        let catalog = catalog.expect("the shipped one");
        let openai = catalog.provider(catalog.provider_by_name("openai").expect("there"));
        let listen: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let with = |url: &str, key: &str| {
            let set = [("OPENAI_BASE_URL".to_owned(), url.to_owned())];
            unusable(openai, key, &Overrides::from_env(set), listen).is_some()
        };
        for (url, key, unusable) in [
            ("", "sk-1", false),
            ("", "tg-2f8k1m0q", true),
            ("http://127.0.0.1:8080/v1", "tg-2f8k1m0q", true),
            ("http://localhost:8080", "sk-1", true),
            ("http://127.0.0.1:80801/v1", "sk-1", false),
            ("http://127.0.0.1:8090/echo/v1", "tg-2f8k1m0q", false),
        ] {
            assert_eq!(with(url, key), unusable, "{url} {key}");
        }
    }

    #[test]
    fn the_master_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let reference = master_key(folder.path()).unwrap();
        let first = reference.resolve().unwrap();
        assert!(first.expose().parse::<MasterKey>().is_ok());
        assert_eq!(master_key(folder.path()).unwrap(), reference);
        assert_eq!(reference.resolve().unwrap(), first);
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let mode = fs::metadata(folder.path().join(MASTER_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_account_begins_with_a_hundred_dollars_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = access_key(folder.path()).unwrap();
        assert_eq!(access_key(folder.path()).unwrap(), first);
        // The key's file is lost: another key is made, of the same account.
        fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
        assert_ne!(access_key(folder.path()).unwrap(), first);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let grants = runtime.block_on(async {
            let store = Store::open(folder.path()).await.unwrap();
            let (account, _) = store.ensure_account(ACCOUNT, 0).await.unwrap();
            store.grants(account.id).await.unwrap()
        });
        let amounts: Vec<_> = grants.iter().map(|row| row.grant.amount).collect();
        assert_eq!(amounts, [FIRST_CREDIT]);
    }
}
