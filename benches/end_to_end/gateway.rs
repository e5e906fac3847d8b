//! The gateway under test: its configuration file, its access key, and how it is started.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The binary that Cargo has built beside the benchmark, with the same profile.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");
/// The variable that the configuration takes the upstream's key from.
pub const KEY_VARIABLE: &str = "TOLLGATE_BENCH_KEY";
/// The variable that it takes the master key from, under which accounts' own keys are sealed.
const MASTER_VARIABLE: &str = "TOLLGATE_BENCH_MASTER_KEY";
/// Any.
const MASTER_KEY: &str = "8d7f3a1e0c5b92d64f8e1a7c3b5d9f02e4c6a8b0d1f3e5c7a9b2d4f6081a3c5e";
/// What all of them say to the upstream, which does not look at it.
const PROVIDER_KEY: &str = "sk-bench";

/// The configuration in its folder.
pub const CONFIG: &str = "tollgate.toml";

/// The account with a provider key of its own, and the one that pays from its credit.
pub const OWN: &str = "own";
pub const CREDIT: &str = "credit";

/// Where proxies listen. Connections to it come from 127.0.0.1, so that one that is tried before the
/// proxy listens cannot, with the proxy's port for its own, be connected to itself.
pub const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Addresses of one gateway.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub upstream: SocketAddr,
}

/// Keeps what costs an account nothing out of the store.
pub const NO_ROWS: &str = "[credit]\nrows = \"charged\"\n";

/// Writes the configuration into `folder`: so many worker threads, the embedded store, an access log, and the full built-in
/// catalog with `openai` at the mock upstream, beneath what is in `catalog`; and `more` sections.
pub fn write_config(
    folder: &Path,
    addresses: Addresses,
    threads: u32,
    more: &str,
) -> io::Result<PathBuf> {
    let Addresses {
        listen,
        admin,
        upstream,
    } = addresses;
    // Not beside the configuration: that folder is watched, and each transaction would be seen.
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    let store = data.join("tollgate.db");
    let log = folder.join("gateway-access.log");
    let catalog = folder.join("catalog");
    fs::create_dir_all(&catalog)?;
    let (store, log, catalog) = (store.display(), log.display(), catalog.display());
    let text = format!(
        r#"
[server]
threads = {threads}

[[listen]]
address = "{listen}"

[admin]
address = "{admin}"

[store]
path = "{store}"

[catalog]
paths = ["{catalog}"]

[log]
access = "{log}"

[byok]
master_key = "env:{MASTER_VARIABLE}"

[providers.openai]
base_url = "http://{upstream}/v1"
keys = ["env:{KEY_VARIABLE}"]

{more}"#
    );
    let path = folder.join(CONFIG);
    fs::write(&path, text)?;
    Ok(path)
}

/// Access keys of two accounts.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of one that has a provider key of its own: nothing is charged.
    pub own: String,
    /// Of one that pays from its credit for the gateway's.
    pub credit: String,
}

/// What its commands and the gateway itself find in their environment.
pub fn environment() -> Vec<(&'static str, String)> {
    vec![
        (KEY_VARIABLE, PROVIDER_KEY.to_owned()),
        (MASTER_VARIABLE, MASTER_KEY.to_owned()),
    ]
}

/// Makes both accounts with their keys in the configured store.
pub fn create_keys(program: &Path, config: &Path) -> io::Result<Keys> {
    let run = |arguments: &[&str], input: &str| command(program, config, arguments, input);
    run(&["accounts", "create", OWN], "")?;
    run(&["accounts", "create", CREDIT], "")?;
    run(&["credit", "grant", CREDIT, "1000000"], "")?;
    let stored = [
        "provider-keys",
        "add",
        "--account",
        OWN,
        "--provider",
        "openai",
    ];
    run(&stored, PROVIDER_KEY)?;
    let key = |account| {
        let said = run(
            &["keys", "create", "--name", "bench", "--account", account],
            "",
        )?;
        let mut lines = said.lines().map(str::trim);
        let key = lines.find(|line| line.starts_with("tg-"));
        key.map(str::to_owned).ok_or_else(|| {
            io::Error::other(format!("`tollgate keys create` printed no key: {said}"))
        })
    };
    Ok(Keys {
        own: key(OWN)?,
        credit: key(CREDIT)?,
    })
}

/// Attempts of an account that are written down and were no estimate, and what they cost, as it is shown.
pub fn written(program: &Path, config: &Path, account: &str) -> io::Result<(u64, String)> {
    let asked = [
        "usage",
        "--by",
        "account",
        "--account",
        account,
        "--format",
        "csv",
    ];
    let said = command(program, config, &asked, "")?;
    let mut lines = said.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (Some(names), Some(line)) = (lines.next(), lines.next()) else {
        return Ok((0, String::new()));
    };
    let field = |name: &str| {
        let place = names.iter().position(|known| *known == name);
        place
            .and_then(|place| line.get(place).copied())
            .unwrap_or_default()
    };
    let number = |name: &str| field(name).parse::<u64>().map_err(io::Error::other);
    let certain = number("attempts")? - number("estimated")?;
    Ok((certain, field("total").to_owned()))
}

fn command(program: &Path, config: &Path, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).arg("--config").arg(config);
    command.envs(environment());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "tollgate {}: {problem}",
        arguments.join(" ")
    )))
}

/// The arguments that serve a configuration.
pub fn serve_arguments(config: &Path) -> Vec<OsString> {
    vec!["serve".into(), "--config".into(), config.into()]
}
