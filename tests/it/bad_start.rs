//! Starts that cannot be: said on standard error with what to do, over at once, and nothing is left behind, nor has
//! anything been changed.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::disk::SmallDisk;
use crate::support::gateway::{Builder, gateway};
use crate::support::shim::Shim;
use crate::support::tls::Authority;
use crate::support::upstream;

/// A part of every secret here.
const SECRET: &str = "never-to-be-seen";

/// Files and folders below `folder`, but for what tests write there and a log that has no line yet.
fn left(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            let is_empty_log = entry.file_name() == "access.log"
                && std::fs::metadata(&path).is_ok_and(|file| file.len() == 0);
            if entry.file_name() != "tollgate.toml" && !is_empty_log {
                found.insert(path.display().to_string());
            }
        }
    }
    found
}

/// The start is refused, with all of `told`.
#[track_caller]
fn is_refused(builder: &Builder, told: &[&str]) {
    drop(builder.command(&[]));
    let before = left(builder.folder());
    let ended = builder.run(&["serve"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in told {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    for never in [SECRET, "panicked", "listening on"] {
        assert!(!ended.stderr.contains(never), "{never}: {}", ended.stderr);
    }
    assert_eq!(left(builder.folder()), before);
}

fn listen_at(builder: Builder, address: &str) -> Builder {
    let mut listener = toml::Table::new();
    listener.insert("address".to_owned(), address.into());
    builder.config("listen", vec![listener])
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo").success());
}

#[test]
fn an_address_that_cannot_be_had() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let in_use = [&*address, "already in use", "another process listens there"];
    is_refused(&listen_at(gateway(), &address), &in_use);
    is_refused(&gateway().config("admin.address", &*address), &in_use);
    // With a Unix socket that had been bound by then.
    let both = listen_at(gateway(), &address).config("admin.address", "unix:admin.sock");
    is_refused(&both, &in_use);
    let nowhere = listen_at(gateway(), "192.0.2.1:8080");
    is_refused(
        &nowhere,
        &["192.0.2.1:8080", "no interface of this machine"],
    );
    drop(taken);
    TcpListener::bind(&*address).expect("nobody has it");
}

#[test]
fn a_path_that_is_no_place_for_a_socket() {
    let at = |path: &str| gateway().config("admin.address", format!("unix:{path}"));
    let taken = at("admin.sock");
    let file = taken.folder().join("admin.sock");
    let _listener = UnixListener::bind(&file).expect("a socket");
    is_refused(&taken, &["admin.sock", "another process listens there"]);
    let precious = at("admin.sock");
    let file = precious.folder().join("admin.sock");
    std::fs::write(&file, "precious").expect("a file");
    is_refused(&precious, &["admin.sock", "something else is there"]);
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "precious");
    is_refused(
        &at("no/admin.sock"),
        &["no/admin.sock", "make its folder first"],
    );
    is_refused(&at(&"n".repeat(200)), &["SUN_LEN"]);
}

#[test]
fn a_certificate_or_key_that_is_none() {
    let authority = Authority::new();
    let good = authority.server();
    let read = |path: &Path| std::fs::read_to_string(path).expect("PEM");
    let (certificate, key) = (read(&good.certificate_file), read(&good.key_file));
    let other = read(&Authority::new().server().key_file);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIHs\n-----END RSA PRIVATE KEY-----\n";
    let cases: [(Option<&str>, Option<&str>, &[&str]); 9] = [
        (
            None,
            Some(&key),
            &["listen[0].tls.certificate", "there is no such file"],
        ),
        (
            Some(&certificate),
            None,
            &["listen[0].tls.key", "there is no such file"],
        ),
        (Some(""), Some(&key), &["cert.pem", "it must be a PEM file"]),
        (
            Some(&certificate),
            Some(""),
            &["key.pem", "it must be a PEM file"],
        ),
        (
            Some(&key),
            Some(&certificate),
            &["cert.pem", "key.pem", "it must be a PEM file"],
        ),
        (
            Some(&certificate),
            Some(&other),
            &["cert.pem", "key.pem", "cannot be used together", "made for"],
        ),
        (
            Some(&certificate),
            Some(encrypted),
            &["key.pem", "needs a password", "openssl pkey"],
        ),
        (
            Some(&certificate),
            Some(old),
            &["key.pem", "needs a password"],
        ),
        (
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            Some(&key),
            &["cert.pem", "cannot be read"],
        ),
    ];
    for (certificate, key, told) in cases {
        let builder = with_tls();
        for (name, content) in [("cert.pem", certificate), ("key.pem", key)] {
            if let Some(content) = content {
                std::fs::write(builder.folder().join(name), content).expect("a file");
            }
        }
        is_refused(&builder, told);
        let ended = builder.run(&["serve"]);
        for part in [&other[40..80], "MIHs"] {
            assert!(!ended.stderr.contains(part), "{}", ended.stderr);
        }
    }
    let builder = with_tls();
    std::fs::write(builder.folder().join("cert.pem"), &certificate).expect("a file");
    fifo(&builder.folder().join("key.pem"));
    is_refused(&builder, &["listen[0].tls.key", "no regular file"]);
}

fn with_tls() -> Builder {
    let mut tls = toml::Table::new();
    tls.insert("certificate".to_owned(), "cert.pem".into());
    tls.insert("key".to_owned(), "key.pem".into());
    let mut listener = toml::Table::new();
    listener.insert("address".to_owned(), "127.0.0.1:0".into());
    listener.insert("tls".to_owned(), tls.into());
    gateway().config("listen", vec![listener])
}

/// Clients refuse it, and whoever can has to know: but it is no reason not to serve.
#[tokio::test]
async fn a_certificate_that_has_expired_is_warned_of() {
    let key = rcgen::KeyPair::generate().expect("a key");
    for (first, last, told) in [(2020, 2021, "has expired"), (2090, 2091, "valid from")] {
        let mut parameters = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("a name");
        parameters.not_before = rcgen::date_time_ymd(first, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(last, 1, 1);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let builder = with_tls();
        let file = |name: &str| builder.folder().join(name);
        std::fs::write(file("cert.pem"), certificate.pem()).expect("a file");
        std::fs::write(file("key.pem"), key.serialize_pem()).expect("a file");
        let checked = builder.run(&["check"]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert!(checked.stderr.contains(told), "{checked:?}");
        let gateway = builder.start().await;
        gateway
            .log_until("the warning", |line| line.contains(told))
            .await;
        assert_eq!(gateway.stop().await, Some(0));
    }
}

#[test]
fn a_token_that_is_none() {
    let at = |name: &str| gateway().config("admin.token", format!("file:{name}"));
    let long = SECRET.repeat(8_000);
    for (content, told) in [
        ("", "it is empty"),
        ("\n", "it is empty"),
        (" \t\r\n \n", "nothing but white space"),
        ("never-to-be-seen \n", "white space at an end"),
        ("never-to-be-seen\nnever-to-be-seen\n", "on one line"),
        (&long, "larger than 64 KiB"),
    ] {
        let builder = at("token");
        std::fs::write(builder.folder().join("token"), content).expect("a file");
        is_refused(&builder, &["admin.token", "token", told]);
    }
    is_refused(&at("absent"), &["admin.token", "there is no such file"]);
    is_refused(&at("/dev/zero"), &["admin.token", "no regular file"]);
    let folder = at("token");
    std::fs::create_dir(folder.folder().join("token")).expect("a folder");
    is_refused(&folder, &["admin.token", "it is a folder; name a file"]);
    let pipe = at("token");
    fifo(&pipe.folder().join("token"));
    is_refused(&pipe, &["admin.token", "no regular file"]);
    // And of a provider's key.
    let key = gateway().config("providers.openai.keys", vec!["file:key"]);
    fifo(&key.folder().join("key"));
    is_refused(&key, &["providers.openai.keys[0]", "no regular file"]);
}

/// As editors and `echo` write it.
#[tokio::test]
async fn a_token_with_a_line_break_behind_it_is_that_token() {
    let builder = gateway().config("admin.token", "file:token");
    std::fs::write(builder.folder().join("token"), "never-to-be-seen-0123\n").expect("a file");
    let gateway = builder.start().await;
    let admin = gateway.admin();
    let with = |token: &str| crate::support::client::get("/metrics").bearer(token);
    for (token, good) in [("never-to-be-seen-0123", true), ("never-to-be-seen", false)] {
        let request = with(token).header("host", &admin.to_string());
        let answer = crate::support::client::send(admin, &request).await;
        assert_eq!(answer.status != 401, good, "{token}: {}", answer.text());
    }
}

#[test]
fn a_log_that_cannot_be_written() {
    for key in ["log.access", "log.errors"] {
        let at = |path: &str| gateway().config(key, path);
        let folder = at("logs");
        std::fs::create_dir(folder.folder().join("logs")).expect("a folder");
        is_refused(&folder, &[key, "logs", "cannot be written", "directory"]);
        is_refused(&at("no/such.log"), &[key, "no/such.log", "No such file"]);
    }
}

/// Nobody need read it: what does not fit is dropped, as with every reader that is too slow.
#[tokio::test]
async fn a_log_that_is_a_pipe_without_a_reader_holds_nothing_up() {
    let builder = gateway()
        .config("log.access", "pipe")
        .config("providers.openai.enabled", false);
    fifo(&builder.folder().join("pipe"));
    let gateway = builder.start().await;
    let healthy = crate::support::client::get("/healthz");
    assert_eq!(gateway.send(&healthy).await.status, 200);
    assert_eq!(gateway.stop().await, Some(0));
}

#[test]
fn a_configuration_that_is_no_file() {
    let ended = |prepare: fn(&Path)| {
        let builder = gateway();
        let mut command = builder.command(&["serve"]);
        let file = builder.folder().join("tollgate.toml");
        std::fs::remove_file(&file).expect("removed");
        prepare(&file);
        let output = command.output().expect("the program");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(ended(|_| ()).contains("there is no such file"));
    assert!(ended(|file| std::fs::create_dir(file).expect("a folder")).contains("name a file"));
    assert!(ended(fifo).contains("no regular file"));
    assert!(ended(|file| std::fs::write(file, b"a = \xff").expect("a file")).contains("UTF-8"));
}

#[test]
fn keys_that_are_unknown_with_those_that_may_be_meant() {
    let builder = gateway()
        .config("timeouts.conect", "1s")
        .config("serverr.drain", "1s")
        .config("limits.conections", 4)
        .config("providers.openai.key", "env:X");
    is_refused(
        &builder,
        &[
            "timeouts.conect: unknown key; did you mean `connect`?",
            "serverr: unknown section; did you mean `server`?",
            "limits.conections: unknown key; did you mean `connections`?",
            "providers.openai.key: unknown key; did you mean `keys`?",
        ],
    );
}

#[test]
fn a_store_that_is_none() {
    let junk = gateway();
    let file = junk.store_file();
    std::fs::write(&file, "x".repeat(9_000)).expect("a file");
    is_refused(&junk, &["tollgate.db", "is no store of Tollgate"]);
    assert_eq!(
        std::fs::read_to_string(&file).expect("there"),
        "x".repeat(9_000)
    );
    let folder = gateway();
    std::fs::create_dir(folder.store_file()).expect("a folder");
    is_refused(&folder, &["tollgate.db", "is no store of Tollgate"]);
    let pipe = gateway();
    fifo(&pipe.store_file());
    is_refused(&pipe, &["tollgate.db", "is no store of Tollgate"]);
    let file_for_folder = gateway().config("store.path", "place/tollgate.db");
    std::fs::write(file_for_folder.folder().join("place"), "").expect("a file");
    is_refused(
        &file_for_folder,
        &["something else is in the place of its folder"],
    );
}

#[test]
fn a_disk_that_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    disk.fill();
    let file = disk.path().join("tollgate.db");
    let builder = gateway().config("store.path", file.to_str().expect("UTF-8"));
    let ended = builder.run(&["serve"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("free some"), "{ended:?}");
    // What it began is no store, and the next start makes one of it.
    disk.empty();
    let made = builder.run(&["keys", "list"]);
    assert_eq!(made.code, Some(0), "{made:?}");
}

#[test]
fn what_this_user_may_not_read_or_write() {
    let of_nobody = || gateway().by_nobody();
    let Some(store) = of_nobody() else { return };
    let to = |file: &Path, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file, permissions).expect("permissions");
    };
    let data = store.folder().join("data");
    std::fs::create_dir(&data).expect("a folder");
    to(&data, 0o755);
    is_refused(
        &store.config("store.path", "data/tollgate.db"),
        &["data/tollgate.db", "a folder it may write"],
    );

    let tell = |name: &str, configure: fn(Builder) -> Builder, told: &[&str]| {
        let Some(builder) = of_nobody() else { return };
        let builder = configure(builder);
        let file = builder.folder().join(name);
        std::fs::write(&file, SECRET).expect("a file");
        to(&file, 0o600);
        is_refused(&builder, told);
    };
    let secret: fn(Builder) -> Builder = |builder| builder.config("admin.token", "file:secret");
    tell(
        "secret",
        secret,
        &["admin.token", "this user may not read it"],
    );
    let log: fn(Builder) -> Builder = |builder| builder.config("log.access", "log");
    tell("log", log, &["log.access", "cannot be written"]);
    let errors: fn(Builder) -> Builder = |builder| builder.config("log.errors", "log");
    tell("log", errors, &["log.errors", "cannot be written"]);

    let Some(socket) = of_nobody() else { return };
    let run = socket.folder().join("run");
    std::fs::create_dir(&run).expect("a folder");
    to(&run, 0o755);
    is_refused(
        &socket.config("admin.address", "unix:run/admin.sock"),
        &["run/admin.sock", "a folder it may write"],
    );

    let Some(port) = of_nobody() else { return };
    is_refused(
        &listen_at(port, "127.0.0.1:81"),
        &["127.0.0.1:81", "CAP_NET_BIND_SERVICE"],
    );

    let Some(unreadable) = of_nobody() else {
        return;
    };
    let mut command = unreadable.command(&["serve"]);
    to(&unreadable.folder().join("tollgate.toml"), 0o600);
    let output = command.output().expect("the program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("this user may not read it"), "{told}");
}

/// Names of providers are looked up while the rest of the start goes on.
#[tokio::test]
async fn a_start_that_fails_waits_for_no_name_server() {
    let shim = Shim::build();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let upstream = upstream::refusing();
    let mut builder = listen_at(gateway(), &address)
        .environment("SHIM_SILENT", "1")
        .catalog(
            "silent",
            json!({"provider": "silent", "preset": "openai-compatible",
                "base_url": format!("http://silent.example:{}/v1", upstream.address().port()),
                "models": {"m": {"kind": "chat"}}}),
        )
        .credentials("silent", 1);
    for (name, value) in shim.environment() {
        builder = builder.environment(name, &value);
    }
    let waited = tokio::task::spawn_blocking(move || is_refused(&builder, &[&address]));
    crate::support::wait::within("the end of the start", waited)
        .await
        .expect("refused");
}
