//! The gateway under test: its configuration file, its access key, and how it is started.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary that Cargo has built beside the benchmark, with the same profile.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tollgate");
/// The variable that the configuration takes the upstream's key from.
pub const KEY_VARIABLE: &str = "TOLLGATE_BENCH_KEY";

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

/// Writes the configuration into `folder`: one worker thread, the embedded store, an access log,
/// and the full built-in catalog with `openai` at the mock upstream, beneath what is in `catalog`.
pub fn write_config(folder: &Path, addresses: Addresses) -> io::Result<PathBuf> {
    let Addresses {
        listen,
        admin,
        upstream,
    } = addresses;
    let store = folder.join("tollgate.db");
    let log = folder.join("gateway-access.log");
    let catalog = folder.join("catalog");
    fs::create_dir_all(&catalog)?;
    let (store, log, catalog) = (store.display(), log.display(), catalog.display());
    let text = format!(
        r#"
[server]
threads = 1

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

[providers.openai]
base_url = "http://{upstream}/v1"
keys = ["env:{KEY_VARIABLE}"]
"#
    );
    let path = folder.join("tollgate.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Makes an access key in the configured store.
pub fn create_key(program: &Path, config: &Path) -> io::Result<String> {
    let mut command = Command::new(program);
    command
        .args(["keys", "create", "--name", "bench", "--config"])
        .arg(config);
    let output = command.env(KEY_VARIABLE, "sk-bench").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let key = said
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("tg-"));
    key.map(str::to_owned).ok_or_else(|| {
        let problem = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!(
            "`tollgate keys create` printed no key: {said}{problem}"
        ))
    })
}

/// The arguments that serve a configuration.
pub fn serve_arguments(config: &Path) -> Vec<OsString> {
    vec!["serve".into(), "--config".into(), config.into()]
}
