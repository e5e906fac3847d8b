//! A reload takes up certificates, secrets and settings too, all or nothing, and says what it cannot.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Finished, Gateway, custom, gateway};
use crate::support::tls::{Authority, Identity};
use crate::support::upstream::{self, Reply};
use crate::support::wait;

/// Whether who connects is shown a certificate of `authority`.
async fn shows(listener: SocketAddr, authority: &Authority) -> bool {
    let connected = TcpStream::connect(listener).await.expect("a connection");
    let connector = TlsConnector::from(authority.client(&["http/1.1"]));
    let name = ServerName::try_from("localhost").expect("a name");
    wait::within("a handshake", connector.connect(name, connected))
        .await
        .is_ok()
}

/// Puts a file in another's place, as those do who renew certificates.
fn replace(place: &Path, with: &Path) {
    let beside = place.with_extension("new");
    std::fs::copy(with, &beside).expect("copied");
    std::fs::rename(&beside, place).expect("renamed");
}

fn renew(old: &Authority, new: &Identity) {
    let [certificate, key] = old.server_files();
    replace(&certificate, &new.certificate_file);
    replace(&key, &new.key_file);
}

fn reload(gateway: &Gateway) -> Finished {
    let admin = gateway.admin().to_string();
    gateway.run(&["reload", "--admin", &admin])
}

/// Writes the configuration anew with `value` at `section.key`.
pub fn configure(gateway: &Gateway, section: &str, key: &str, value: impl Into<toml::Value>) {
    let text = std::fs::read_to_string(gateway.config_file()).expect("the configuration");
    let mut table: toml::Table = text.parse().expect("a configuration");
    let within = table
        .entry(section)
        .or_insert_with(|| toml::Table::new().into());
    let within = within.as_table_mut().expect("a section");
    within.insert(key.to_owned(), value.into());
    std::fs::write(gateway.config_file(), table.to_string()).expect("written");
}

#[tokio::test]
async fn who_connects_after_a_reload_is_shown_the_new_certificate() {
    let (old, new) = (Authority::new(), Authority::new());
    let gateway = gateway()
        .config("catalog.watch", false)
        .tls(&old)
        .start()
        .await;
    let listener = gateway.tls_address();
    let mut connected = client::h1_tls(listener, &old).await;
    assert_eq!(connected.send(&gateway.get("/healthz")).await.status, 200);

    renew(&old, &new.server());
    assert!(shows(listener, &old).await, "not before the reload");
    let reloaded = reload(&gateway);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert!(shows(listener, &new).await && !shows(listener, &old).await);
    assert_eq!(connected.send(&gateway.get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn with_a_certificate_that_does_not_go_with_its_key_nothing_of_a_reload_is_taken_up() {
    let (old, new) = (Authority::new(), Authority::new());
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .tls(&old)
        .start()
        .await;
    let [certificate, _] = old.server_files();
    replace(&certificate, &new.server().certificate_file);
    let fresh = serde_json::json!({"virtual_models": {"fresh": ["house:small"]}});
    gateway.write_catalog("more", &fresh);

    let refused = reload(&gateway);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("cannot be used together"),
        "{refused:?}"
    );
    let checked = gateway.run(&["check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(shows(gateway.tls_address(), &old).await);
    let asked = gateway.chat(bodies::chat("fresh").build()).await;
    assert_eq!(asked.status, 404, "{}", asked.text());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_reload_failures_total", &[]), 1.0);
    assert_eq!(metrics.sum("tollgate_last_reload_successful", &[]), 0.0);
}

#[tokio::test]
async fn renewed_files_are_taken_up_without_a_word() {
    let (old, new) = (Authority::new(), Authority::new());
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let start = gateway();
    let secret = start.folder().join("provider-key");
    std::fs::write(&secret, "sk-first").expect("a file");
    let gateway = start
        .custom(custom("house").model("small"), &upstream)
        .config("providers.house.keys", vec!["file:provider-key"])
        .tls(&old)
        .start()
        .await;
    renew(&old, &new.server());
    std::fs::write(&secret, "sk-second").expect("a file");

    let taken_up = async {
        let sent = async || {
            let before = upstream.deliveries().len();
            let asked = gateway.chat(bodies::chat("house:small").build()).await;
            assert_eq!(asked.status, 200, "{}", asked.text());
            upstream.deliveries_since(before)[0]
                .header("authorization")
                .map(str::to_owned)
        };
        while !shows(gateway.tls_address(), &new).await
            || sent().await.as_deref() != Some("Bearer sk-second")
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait::within("both", taken_up).await;
}

#[tokio::test]
async fn what_a_reload_cannot_change_is_said_and_all_else_is_changed() {
    let gateway = gateway().config("catalog.watch", false).start().await;
    let kept = client::h1(gateway.address()).await;
    configure(&gateway, "server", "threads", 3);
    configure(&gateway, "limits", "connections", 1);
    configure(&gateway, "log", "level", "debug");
    let reloaded = reload(&gateway);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert!(
        reloaded
            .stdout
            .contains("Not taken up before the next start: server.threads."),
        "{reloaded:?}"
    );
    let answer = gateway.post_admin("/reload").await.json();
    assert_eq!(
        answer["at_next_start"],
        serde_json::json!(["server.threads"])
    );
    gateway
        .log_until("a word about it", |line| {
            line.contains("next start: server.threads")
        })
        .await;
    gateway
        .log_until("the level", |line| {
            line.contains("the log's level is DEBUG")
        })
        .await;
    // One is connected.
    gateway
        .metrics_until("one refused", |metrics| {
            drop(std::net::TcpStream::connect(gateway.address()));
            metrics.sum("tollgate_connections_refused_total", &[]) > 0.0
        })
        .await;
    drop(kept);
}

#[tokio::test]
async fn following_files_can_be_switched_on_while_it_runs() {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    configure(&gateway, "catalog", "watch", true);
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    let fresh = serde_json::json!({"virtual_models": {"fresh": ["house:small"]}});
    gateway.write_catalog("more", &fresh);
    let served = async {
        while gateway.chat(bodies::chat("fresh").build()).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait::within("the new model", served).await;
}
