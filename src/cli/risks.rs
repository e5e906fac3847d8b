//! What a configuration allows that few operators mean: `tollgate check` warns of it, each with what to do. Nothing here keeps a
//! gateway from starting.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::{AdminAddress, Config};
use crate::secret::SecretRef;

/// Letters that an admin token has at the least: below, it can be guessed, or was made up by a person.
const TOKEN_MIN: usize = 16;

/// Others may read it, write it, or look into it.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// Every risk of `config`, which stands in the file `path`.
#[must_use]
pub fn risks(config: &Config, path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    listeners(config, &mut found);
    token(config, &mut found);
    upstreams(config, &mut found);
    secrets(config, &mut found);
    writable(
        path,
        "whoever changes it decides where keys are sent",
        &mut found,
    );
    for catalog in &config.catalog.paths {
        writable(
            catalog,
            "whoever changes it decides where keys are sent",
            &mut found,
        );
    }
    store(&config.store.path, &mut found);
    master_keys(config, &mut found);
    found
}

fn listeners(config: &Config, found: &mut Vec<String>) {
    for (number, listen) in config.listen.iter().enumerate() {
        if listen.tls.is_none() && !listen.address.ip().to_canonical().is_loopback() {
            let address = listen.address;
            found.push(format!(
                "listen[{number}].address {address}: access keys come from other machines without encryption; set `tls`, or \
                 listen on 127.0.0.1 behind a proxy that speaks TLS"
            ));
        }
    }
    let admin = config.admin.as_ref().map(|admin| &admin.address);
    if let Some(AdminAddress::Tcp(address)) = admin
        && !address.ip().to_canonical().is_loopback()
    {
        found.push(format!(
            "admin.address {address}: other machines reach the admin listener, and its token goes without encryption; \
             listen on 127.0.0.1 or a Unix socket, and reach it through SSH or a proxy that speaks TLS"
        ));
    }
}

fn token(config: &Config, found: &mut Vec<String>) {
    let token = config.admin.as_ref().and_then(|admin| admin.token.as_ref());
    let Some(Ok(secret)) = token.map(SecretRef::resolve) else {
        return;
    };
    let length = secret.expose().chars().count();
    if length < TOKEN_MIN {
        found.push(format!(
            "admin.token: {length} characters can be guessed; `openssl rand -hex 32` makes a good one"
        ));
    }
}

fn upstreams(config: &Config, found: &mut Vec<String>) {
    for (name, provider) in &config.providers {
        let url = provider.base_url.as_deref().unwrap_or_default();
        if !provider.keys.is_empty() && url.starts_with("http://") && !is_of_this_machine(url) {
            found.push(format!(
                "providers.{name}.base_url: your key goes to {url} without encryption; use https"
            ));
        }
    }
}

fn is_of_this_machine(url: &str) -> bool {
    let authority = url.trim_start_matches("http://");
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn secrets(config: &Config, found: &mut Vec<String>) {
    let mut named: Vec<(String, &Path)> = Vec::new();
    if let Some(SecretRef::File(file)) = config.admin.as_ref().and_then(|it| it.token.as_ref()) {
        named.push(("admin.token".to_owned(), file));
    }
    for (name, provider) in &config.providers {
        for key in &provider.keys {
            if let SecretRef::File(file) = &key.secret {
                named.push((format!("providers.{name}.keys"), file));
            }
        }
    }
    for reference in &config.byok.master_keys {
        if let SecretRef::File(file) = reference {
            named.push(("byok.master_keys".to_owned(), file));
        }
    }
    for (number, listen) in config.listen.iter().enumerate() {
        if let Some(tls) = &listen.tls {
            named.push((format!("listen[{number}].tls.key"), &tls.key));
        }
    }
    for (key, file) in named {
        let shown = file.display();
        match mode(file) {
            Some(mode) if mode & (OTHERS_READ | OTHERS_WRITE) != 0 => found.push(format!(
                "{key}: every user of this machine may read or write {shown}; `chmod 600 {shown}`, or 640 with the \
                 gateway's group"
            )),
            _ => {}
        }
    }
}

fn writable(path: &Path, why: &str, found: &mut Vec<String>) {
    if mode(path).is_some_and(|mode| mode & OTHERS_WRITE != 0) {
        let shown = path.display();
        found.push(format!(
            "every user of this machine may write {shown}: {why}; `chmod o-w {shown}`"
        ));
    }
}

/// Usage, accounts and the digests of access keys; and sealed provider keys.
fn store(file: &Path, found: &mut Vec<String>) {
    let folder = file.parent().unwrap_or(Path::new("."));
    if mode(folder).is_some_and(|mode| mode & OTHERS_WRITE != 0) {
        let shown = folder.display();
        found.push(format!(
            "store.path: every user of this machine may write in {shown}, and so replace the store; `chmod 700 {shown}`"
        ));
    }
    if mode(file).is_some_and(|mode| mode & (OTHERS_READ | OTHERS_WRITE) != 0) {
        let shown = file.display();
        found.push(format!(
            "store.path: every user of this machine may read or write {shown}; `chmod 600 {shown}`, and its -wal and -shm"
        ));
    }
}

/// A copy of the folder, as a backup is one, must not hold both what is sealed and what opens it.
fn master_keys(config: &Config, found: &mut Vec<String>) {
    let whole = |path: &Path| fs::canonicalize(path).ok();
    let store = config.store.path.parent().and_then(whole);
    for reference in &config.byok.master_keys {
        let SecretRef::File(file) = reference else {
            continue;
        };
        let beside = file.parent().and_then(whole);
        if beside.is_some() && beside == store {
            found.push(format!(
                "byok.master_keys: {} lies beside the store, so that a copy of the folder opens every stored key; keep it \
                 elsewhere, or hand it over by LoadCredential=",
                file.display()
            ));
        }
    }
}

/// The permissions of what is there and may be looked at; that it is not is told elsewhere.
fn mode(path: &Path) -> Option<u32> {
    let looked = fs::metadata(path).ok()?;
    Some(looked.permissions().mode())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// What is told of a configuration in a folder of its own, in which each of `files` (name, mode) holds `text`.
    fn told(config: &str, files: &[(&str, u32)], text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        set_mode(folder.path(), 0o755);
        for (name, mode) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, text).expect("a file");
            set_mode(&path, *mode);
        }
        let path = folder.path().join("tollgate.toml");
        fs::write(&path, config).expect("a file");
        set_mode(&path, 0o644);
        let config = Config::parse(config, &path).expect("good");
        risks(&config, &path)
    }

    #[test]
    fn what_is_usual_is_no_risk() {
        assert_eq!(told("", &[], ""), Vec::<String>::new());
        let good = "
            [[listen]]
            address = \"0.0.0.0:443\"
            tls = { certificate = \"c.pem\", key = \"k.pem\" }
            [[listen]]
            address = \"[::1]:8080\"
            [admin]
            address = \"127.0.0.1:8081\"
            token = \"file:token\"
            [store]
            path = \"data/tollgate.db\"
            [byok]
            master_key = \"file:master\"
            [providers.openai]
            keys = [\"file:key\"]
            [providers.local]
            base_url = \"http://127.0.0.1:11434/v1\"
            keys = [\"file:key\"]
        ";
        let files = [
            ("c.pem", 0o644),
            ("k.pem", 0o640),
            ("token", 0o600),
            ("master", 0o400),
            ("key", 0o640),
            ("data/tollgate.db", 0o600),
        ];
        assert_eq!(told(good, &files, "0123456789abcdef"), Vec::<String>::new());
    }

    #[test]
    fn each_risk_is_told_with_what_to_do() {
        let open = [("x", 0o644), ("tollgate.db", 0o600)];
        /// A configuration, files beside it with their modes, and words of its only warning.
        type Case<'a> = (&'a str, &'a [(&'a str, u32)], &'a [&'a str]);
        let cases: [Case<'_>; 9] = [
            (
                "[[listen]]\naddress = \"0.0.0.0:80\"",
                &[],
                &["listen[0].address", "set `tls`"],
            ),
            (
                "[admin]\naddress = \"[::]:8081\"\ntoken = \"env:NO_SUCH_TOKEN\"",
                &[],
                &["admin.address [::]:8081", "Unix socket"],
            ),
            (
                "[admin]\ntoken = \"file:t\"",
                &[("t", 0o600)],
                &["admin.token: 6 characters", "openssl"],
            ),
            (
                "[providers.openai]\nkeys = [\"file:x\"]",
                &open,
                &["providers.openai.keys: every user", "chmod 600"],
            ),
            (
                "[[listen]]\naddress = \"127.0.0.1:1\"\ntls = { certificate = \"c\", key = \"k\" }",
                &[("k", 0o604)],
                &["listen[0].tls.key", "chmod 600"],
            ),
            (
                "[providers.openai]\nkeys = [\"env:K\"]\nbase_url = \"http://proxy.example/v1\"",
                &[],
                &["providers.openai.base_url", "https"],
            ),
            (
                "[store]\npath = \"s/t.db\"",
                &[("s/t.db", 0o644)],
                &["store.path: every user", "s/t.db`"],
            ),
            (
                "[catalog]\npaths = [\"c.json\"]",
                &[("c.json", 0o666)],
                &["c.json: whoever", "chmod o-w"],
            ),
            (
                "[store]\npath = \"t.db\"\n[byok]\nmaster_key = \"file:m\"",
                &[("m", 0o600)],
                &["byok.master_keys", "LoadCredential="],
            ),
        ];
        for (config, files, words) in cases {
            let found = told(config, files, "s3cret");
            assert_eq!(found.len(), 1, "{config}: {found:?}");
            for word in words {
                assert!(found[0].contains(word), "{word}: {found:?}");
            }
            assert!(!found[0].contains("s3cret"), "{found:?}");
        }
    }
}
