//! Setting a gateway up: configuration, catalog, access keys and credentials of its own, in a folder of its own.
//! Every listener takes a free port.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tollgate::money::Credits;
use tollgate::store::{Billing, NewGrant, Store};
use toml::Table;

use super::Gateway;
use super::catalog::{self, CustomProvider};
use super::process::Process;
use crate::support::tls::Authority;
use crate::support::upstream::Upstream;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");

/// The user without rights.
const NOBODY: u32 = 65_534;

/// A gateway that has not been started yet.
pub struct Builder {
    config: Table,
    /// Files of the operator's catalog folder.
    catalog: Vec<(String, Value)>,
    /// Names of access keys, and further arguments of `keys create`.
    keys: Vec<(String, Vec<String>)>,
    /// Arguments of `provider-keys add`, and the keys that are stored.
    stored: Vec<(Vec<String>, String)>,
    /// What the configuration says once everything is set up.
    last: Vec<(String, toml::Value)>,
    environment: Vec<(String, String)>,
    /// What is started to serve, in place of the program itself.
    program: Option<PathBuf>,
    /// A program that starts it, with its arguments.
    under: Vec<String>,
    /// Whether what runs is a user without rights.
    nobody: bool,
    /// Accounts that pay beforehand, and what they are granted.
    prepaid: HashMap<String, Credits>,
    folder: TempDir,
    listeners: usize,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// The credential that the gateway holds for `provider`: number `index` of its keys.
pub fn upstream_key(provider: &str, index: usize) -> String {
    format!("sk-{provider}-{index}-upstream-secret")
}

/// The key that is stored under `name` for `account` and `provider`.
pub fn stored_key(account: &str, provider: &str, name: &str) -> String {
    format!("sk-{provider}-{account}-{name}-stored-secret")
}

/// A master key.
pub const MASTER_KEY: &str = "8d7f3a1e0c5b92d64f8e1a7c3b5d9f02e4c6a8b0d1f3e5c7a9b2d4f6081a3c5e";

/// A gateway with the shipped catalog, no provider keys, and one access key named `test`.
pub fn gateway() -> Builder {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("catalog")).expect("a catalog folder");
    let builder = Builder {
        config: Table::new(),
        catalog: Vec::new(),
        keys: vec![("test".to_owned(), Vec::new())],
        stored: Vec::new(),
        last: Vec::new(),
        environment: Vec::new(),
        program: None,
        under: Vec::new(),
        nobody: false,
        prepaid: HashMap::new(),
        folder,
        listeners: 1,
    };
    let mut listener = Table::new();
    listener.insert("address".to_owned(), "127.0.0.1:0".into());
    builder
        .config("listen", vec![listener])
        .config("admin.address", "127.0.0.1:0")
        .config("server.threads", 2)
        .config("store.path", "tollgate.db")
        .config("catalog.paths", vec!["catalog"])
        .config("log.access", "access.log")
        .config("credit.unpriced", "allow")
}

impl Builder {
    /// Sets a key of the configuration by its path: `config("limits.body", "1MiB")`.
    pub fn config(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        let mut names: Vec<&str> = path.split('.').collect();
        let last = names.pop().expect("a key");
        let mut table = &mut self.config;
        for name in names {
            let entry = table.entry(name).or_insert_with(|| Table::new().into());
            table = entry.as_table_mut().expect("a section");
        }
        table.insert(last.to_owned(), value.into());
        self
    }

    /// Points a provider of the shipped catalog at `upstream`, with one key. The base URL's path is `/v1`, but for
    /// `anthropic`, whose SDKs take it without.
    pub fn provider(self, id: &str, upstream: &Upstream) -> Self {
        let path = if id == "anthropic" { "" } else { "/v1" };
        self.provider_with(id, upstream, path, 1)
    }

    /// As `provider`, with the path of the base URL and the number of keys.
    pub fn provider_with(self, id: &str, upstream: &Upstream, path: &str, keys: usize) -> Self {
        let url = format!("{}{path}", upstream.origin());
        self.config(&format!("providers.{id}.base_url"), url)
            .credentials(id, keys)
    }

    /// Adds a custom provider that stands for `upstream`, with one key, behind those that were added before.
    pub fn custom(self, provider: CustomProvider, upstream: &Upstream) -> Self {
        let base_url = format!("{}{}", upstream.origin(), provider.path);
        let rank = 2000 + self.catalog.len();
        let mut provider = provider.set("base_url", base_url.into());
        if provider.file.get("rank").is_none() {
            provider = provider.set("rank", rank.into());
        }
        let id = provider.id.clone();
        self.catalog(&id, provider.file).credentials(&id, 1)
    }

    /// Adds a file to the operator's catalog folder.
    pub fn catalog(mut self, name: &str, file: Value) -> Self {
        self.catalog.push((name.to_owned(), file));
        self
    }

    /// Adds a virtual model.
    pub fn virtual_model(self, name: &str, models: &[&str]) -> Self {
        let file = serde_json::json!({"virtual_models": {name: models}});
        self.catalog(&format!("virtual-{}", name.replace(['/', ':'], "-")), file)
    }

    /// Gives a provider `count` keys (see `upstream_key`).
    pub fn credentials(mut self, provider: &str, count: usize) -> Self {
        let mut references = Vec::new();
        for index in 0..count {
            let shouted = provider.to_uppercase().replace(['-', '.'], "_");
            let name = format!("TEST_KEY_{shouted}_{index}");
            references.push(format!("env:{name}"));
            self.environment.push((name, upstream_key(provider, index)));
        }
        self.config(&format!("providers.{provider}.keys"), references)
    }

    /// Adds an access key, with further arguments of `keys create`: `key("narrow", &["--allow-model", "gpt-*"])`.
    pub fn key(mut self, name: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        self.keys.push((name.to_owned(), arguments));
        self
    }

    /// Stores a provider key of an account that has an access key (see `stored_key`), with further arguments of
    /// `provider-keys add`. The master key is in the file `master-key`.
    pub fn stored(mut self, account: &str, provider: &str, name: &str, more: &[&str]) -> Self {
        let words = ["--account", account, "--provider", provider, "--name", name];
        let arguments = ["provider-keys", "add"].iter().chain(&words).chain(more);
        let arguments = arguments.map(ToString::to_string).collect();
        self.stored
            .push((arguments, stored_key(account, provider, name)));
        self.master_key("master-key", MASTER_KEY)
            .config("byok.master_key", "file:master-key")
    }

    /// Serves from a link to the program, the file `tollgate` of its folder, so that something else can be put in its place.
    pub fn replaceable(mut self) -> Self {
        let link = self.folder.path().join("tollgate");
        std::os::unix::fs::symlink(PROGRAM, &link).expect("a link");
        self.program = Some(link);
        self
    }

    /// Serves as a child of `program`, called with these arguments: `under("prlimit", &["--nofile=64"])`.
    pub fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let words = [program].into_iter().chain(arguments.iter().copied());
        self.under = words.map(str::to_owned).collect();
        self
    }

    /// Has `run` be that of a user without rights, in a folder where everybody may make files. `None`, and a line that
    /// says so, where this user cannot become another.
    pub fn by_nobody(mut self) -> Option<Self> {
        let owner = std::fs::metadata(self.folder.path()).expect("a folder");
        if std::os::unix::fs::MetadataExt::uid(&owner) != 0 {
            eprintln!("skipped: only root becomes another user");
            return None;
        }
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(self.folder.path(), everybody).expect("permissions");
        self.nobody = true;
        Some(self)
    }

    /// As `config`, from when keys are made and stored on: what the gateway starts with.
    pub fn start_with(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        self.last.push((path.to_owned(), value.into()));
        self
    }

    /// Writes a file with a master key.
    pub fn master_key(self, file: &str, key: &str) -> Self {
        std::fs::write(self.folder.path().join(file), key).expect("a file");
        self
    }

    /// Has an account pay beforehand: it is granted so many dollars.
    pub fn prepaid(mut self, account: &str, dollars: &str) -> Self {
        let amount = dollars.parse().expect("an amount");
        self.prepaid.insert(account.to_owned(), amount);
        self
    }

    /// Makes no access key named `test`.
    pub fn no_key(mut self) -> Self {
        self.keys.retain(|(name, _)| name != "test");
        self
    }

    /// Sets an environment variable of the process; it has no others of ours but `PATH`.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a public TLS listener with a certificate of `authority`.
    pub fn tls(mut self, authority: &Authority) -> Self {
        let identity = authority.server();
        let mut tls = Table::new();
        tls.insert(
            "certificate".to_owned(),
            identity.certificate_file.display().to_string().into(),
        );
        tls.insert(
            "key".to_owned(),
            identity.key_file.display().to_string().into(),
        );
        let mut listener = Table::new();
        listener.insert("address".to_owned(), "127.0.0.1:0".into());
        listener.insert("tls".to_owned(), tls.into());
        let listeners = self.config["listen"].as_array_mut().expect("listeners");
        listeners.push(listener.into());
        self.listeners = listeners.len();
        self
    }

    /// Trusts `authority` for TLS to providers, in place of the system's.
    pub fn trust(self, authority: &Authority) -> Self {
        self.config("upstream.ca_file", authority.file().display().to_string())
    }

    /// The store's file.
    ///
    /// # Panics
    /// When the configuration names none.
    pub fn store_file(&self) -> PathBuf {
        let path = self.config["store"]["path"].as_str();
        self.folder.path().join(path.expect("a path"))
    }

    /// The folder in which the gateway will run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the gateway and waits until it listens.
    ///
    /// # Panics
    /// When it ends instead; with what it wrote.
    pub async fn start(self) -> Gateway {
        let program = self.program.as_deref().unwrap_or(Path::new(PROGRAM));
        let mut command = command_of(program, self.folder.path(), &["serve"], &self.environment);
        if let Some((outer, arguments)) = self.under.split_first() {
            let mut outer = Command::new(outer);
            outer
                .args(arguments)
                .arg(command.get_program())
                .args(command.get_args());
            bare(&mut outer, self.folder.path(), &self.environment);
            command = outer;
        }
        self.start_by(command).await
    }

    /// Starts the gateway inside this test program, run once more for its test `name` alone, with `variable` set to the
    /// configuration's path: for what can be seen from inside only. That test serves when it finds the variable.
    ///
    /// # Panics
    /// When it ends instead; with what it wrote.
    pub async fn start_inside_test(self, name: &str, variable: &str) -> Gateway {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args([name, "--exact", "--nocapture"]);
        bare(&mut command, self.folder.path(), &self.environment);
        command.env(variable, self.folder.path().join("tollgate.toml"));
        self.start_by(command).await
    }

    async fn start_by(mut self, mut command: Command) -> Gateway {
        self.write();
        let keys = self.make_keys();
        self.set_accounts().await;
        for (arguments, secret) in &self.stored {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let stored = run_with(self.folder.path(), &arguments, &self.environment, secret);
            assert_eq!(stored.code, Some(0), "{arguments:?}: {stored:?}");
        }
        for (path, value) in std::mem::take(&mut self.last) {
            self = self.config(&path, value);
        }
        self.write();
        let process = Process::start(&mut command);
        let ready = |lines: &[String]| {
            let addresses = listening(lines, "public");
            let admin = listening(lines, "admin").first().copied();
            admin
                .filter(|_| addresses.len() >= self.listeners)
                .map(|admin| (addresses, admin))
        };
        let listening = process.find("the gateway's listeners", ready).await;
        let Some((addresses, admin)) = listening else {
            panic!("the gateway did not start:\n{}", process.lines().join("\n"));
        };
        Gateway {
            process,
            addresses,
            admin,
            keys,
            environment: self.environment,
            folder: self.folder,
        }
    }

    /// Writes the configuration and runs a subcommand that ends by itself: `serve` with a mistake in it, `check` …
    pub fn run(&self, arguments: &[&str]) -> Finished {
        run_by(self.command(arguments), "")
    }

    /// Writes the configuration; a call of the program with it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.write();
        let mut command = command(self.folder.path(), arguments, &self.environment);
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn write(&self) {
        let text = toml::to_string(&self.config).expect("a configuration");
        std::fs::write(self.folder.path().join("tollgate.toml"), text).expect("a file");
        for (name, file) in &self.catalog {
            catalog::write(&self.folder.path().join("catalog"), name, file);
        }
    }

    /// Accounts pay afterwards, without limit, but for those that a test wants to be prepaid.
    async fn set_accounts(&self) {
        let file = self.store_file();
        if !file.exists() {
            return;
        }
        let store = Store::open_file(&file).await.expect("the store");
        for row in store.list_accounts().await.expect("accounts") {
            let id = row.account.id;
            let prepaid = self.prepaid.get(&*row.account.name);
            let unlimited = Billing::Postpaid { limit: None };
            let billing = prepaid.map_or(unlimited, |_| Billing::Prepaid);
            store.set_billing(id, billing).await.expect("a billing");
            if let Some(amount) = prepaid.filter(|amount| **amount > Credits::ZERO) {
                let grant = NewGrant {
                    account: id,
                    amount: *amount,
                    expires: None,
                    note: String::new(),
                    idempotency: None,
                };
                store.grant(&grant, 1_700_000_000).await.expect("a grant");
            }
        }
        store.close().await;
    }

    fn make_keys(&self) -> HashMap<String, String> {
        let make = |(name, arguments): &(String, Vec<String>)| {
            let mut all = vec!["keys", "create", "--name", name];
            all.extend(arguments.iter().map(String::as_str));
            let made = run(self.folder.path(), &all, &self.environment);
            let key = made.stdout.lines().find(|line| line.starts_with("tg-"));
            let key = key.unwrap_or_else(|| panic!("keys create {name}: {made:?}"));
            (name.clone(), key.to_owned())
        };
        self.keys.iter().map(make).collect()
    }
}

/// Runs a subcommand to its end, with the configuration in `folder`.
pub(super) fn run(folder: &Path, arguments: &[&str], environment: &[(String, String)]) -> Finished {
    run_with(folder, arguments, environment, "")
}

/// As `run`, with `input` at its standard input.
pub(super) fn run_with(
    folder: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
    input: &str,
) -> Finished {
    run_by(command(folder, arguments, environment), input)
}

fn run_by(mut command: Command, input: &str) -> Finished {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program");
    // Who does not read it may have closed it.
    let _ = child
        .stdin
        .take()
        .expect("standard input")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the program");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A call of the program; `--config` goes behind the words of the subcommand, before its other arguments.
fn command(folder: &Path, arguments: &[&str], environment: &[(String, String)]) -> Command {
    command_of(Path::new(PROGRAM), folder, arguments, environment)
}

fn command_of(
    program: &Path,
    folder: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Command {
    let words = arguments
        .iter()
        .take_while(|word| !word.starts_with('-'))
        .count();
    let mut command = Command::new(program);
    command
        .args(&arguments[..words])
        .arg("--config")
        .arg(folder.join("tollgate.toml"))
        .args(&arguments[words..]);
    bare(&mut command, folder, environment);
    command
}

/// Runs `command` in `folder` and with no environment but this.
fn bare(command: &mut Command, folder: &Path, environment: &[(String, String)]) {
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("RUST_BACKTRACE", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)));
}

/// The addresses in lines like `… listening on 127.0.0.1:4711 (public) …`, in order.
fn listening(lines: &[String], kind: &str) -> Vec<SocketAddr> {
    let address = |line: &String| {
        let (address, rest) = line.split_once("listening on ")?.1.split_once(' ')?;
        rest.starts_with(&format!("({kind})"))
            .then(|| address.parse().ok())?
    };
    lines.iter().filter_map(address).collect()
}
