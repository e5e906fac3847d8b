//! A reload takes up what is neither a listener nor a thread: the admin token, where logs go, the collector, the ways of
//! looking names up. All of it, or nothing.

use serde_json::json;

use crate::pair::{self, MODEL};
use crate::reload_files::configure;
use crate::support::bodies;
use crate::support::client::{self, Response};
use crate::support::dns::{self, addresses};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};
use crate::support::wait;

/// Asks the admin listener with a token.
async fn with_token(gateway: &Gateway, method: &str, target: &str, token: &str) -> Response {
    let request = client::Request::new(method, target, None).bearer(token);
    client::send(gateway.admin(), &request).await
}

/// What is said of a reload that fails.
fn problems(answer: &Response) -> String {
    assert_eq!(answer.status, 422, "{}", answer.text());
    answer.json()["problems"].to_string()
}

async fn reloads(gateway: &Gateway) {
    let answer = gateway.post_admin("/reload").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json().get("at_next_start"), None);
}

async fn serves(gateway: &Gateway, model: &str) -> bool {
    gateway.chat(bodies::chat(model).build()).await.status == 200
}

#[tokio::test]
async fn another_admin_token_is_asked_for_and_the_old_one_is_no_more() {
    let start = gateway().config("catalog.watch", false);
    let token = start.folder().join("token");
    std::fs::write(&token, "the-first-token-of-them").expect("a file");
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let gateway = start
        .config("admin.token", "file:token")
        .custom(custom("house").model(MODEL), &upstream)
        .start()
        .await;
    let asked = async |token: &str| with_token(&gateway, "GET", "/metrics", token).await.status;
    assert_eq!(asked("the-first-token-of-them").await, 200);

    std::fs::write(&token, "the-second-token-of-them").expect("a file");
    let reload = with_token(&gateway, "POST", "/reload", "the-first-token-of-them").await;
    assert_eq!(reload.status, 200, "{}", reload.text());
    assert_eq!(reload.json().get("at_next_start"), None);
    assert_eq!(asked("the-first-token-of-them").await, 401);
    assert_eq!(asked("the-second-token-of-them").await, 200);

    // With one that is none nothing changes, the catalog neither.
    std::fs::write(&token, "").expect("a file");
    let fresh = json!({"virtual_models": {"fresh": [format!("house:{MODEL}")]}});
    gateway.write_catalog("more", &fresh);
    let reload = with_token(&gateway, "POST", "/reload", "the-second-token-of-them").await;
    assert!(
        problems(&reload).contains("admin.token"),
        "{}",
        reload.text()
    );
    assert_eq!(asked("the-second-token-of-them").await, 200);
    assert!(!serves(&gateway, "fresh").await);

    std::fs::write(&token, "the-third-token-of-them").expect("a file");
    gateway.signal("HUP");
    // Not by asking: whoever comes with wrong tokens is not listened to any more.
    let reloads = || {
        let lines = gateway.log_lines();
        let done = lines
            .iter()
            .filter(|line| line.contains("reloaded; the catalog"));
        done.count()
    };
    wait::until("the reload", || reloads() == 2).await;
    assert_eq!(asked("the-third-token-of-them").await, 200);
    assert!(serves(&gateway, "fresh").await);
}

#[tokio::test]
async fn a_token_file_that_changes_is_a_reload() {
    let start = gateway().config("catalog.watch", true);
    let token = start.folder().join("token");
    std::fs::write(&token, "the-first-token-of-them").expect("a file");
    let gateway = start.config("admin.token", "file:token").start().await;
    std::fs::write(&token, "the-second-token-of-them").expect("a file");
    gateway
        .log_until("the reload", |line| line.contains("reloaded; the catalog"))
        .await;
    let answer = with_token(&gateway, "GET", "/metrics", "the-second-token-of-them").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn logs_go_elsewhere_and_in_another_form() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model(MODEL), &upstream)
        .start()
        .await;
    let text =
        |name: &str| std::fs::read_to_string(gateway.folder().join(name)).unwrap_or_default();
    assert!(serves(&gateway, &format!("house:{MODEL}")).await);
    gateway.access_lines(1).await;

    // One that cannot be had changes neither.
    configure(&gateway, "log", "errors", "own.log");
    configure(&gateway, "log", "access", "nowhere/access.log");
    let reload = gateway.post_admin("/reload").await;
    assert!(
        problems(&reload).contains("log.access"),
        "{}",
        reload.text()
    );
    configure(&gateway, "log", "access", "access.log");
    configure(&gateway, "log", "errors", "nowhere/own.log");
    let reload = gateway.post_admin("/reload").await;
    assert!(
        problems(&reload).contains("log.errors"),
        "{}",
        reload.text()
    );
    assert!(serves(&gateway, &format!("house:{MODEL}")).await);
    gateway.access_lines(2).await;

    configure(&gateway, "log", "access", "other.log");
    configure(&gateway, "log", "errors", "own.log");
    configure(&gateway, "log", "format", "logfmt");
    reloads(&gateway).await;
    assert!(serves(&gateway, &format!("house:{MODEL}")).await);
    wait::until("a line of the request", || {
        text("other.log").contains("status=200")
    })
    .await;
    assert_eq!(gateway.access_log().len(), 2, "all of before, and no more");
    wait::until("a line", || {
        text("own.log").contains("reloaded; the catalog")
    })
    .await;
    let silent = gateway.log_lines().len();

    configure(&gateway, "log", "access", "off");
    configure(&gateway, "log", "errors", "stderr");
    configure(&gateway, "log", "format", "json");
    reloads(&gateway).await;
    gateway
        .log_until("a line as before", |line| {
            line.starts_with('{') && line.contains("reloaded; the catalog")
        })
        .await;
    assert!(gateway.log_lines().len() > silent);
    assert!(serves(&gateway, &format!("house:{MODEL}")).await);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_access_log_dropped_total", &[]), 0.0);
    assert!(!text("other.log").contains("{"));
}

/// Messages with spans that a collector has got.
fn traces(collector: &Upstream) -> usize {
    let deliveries = collector.deliveries();
    let with_spans = deliveries.iter().filter(|it| it.target == "/v1/traces");
    with_spans.count()
}

#[tokio::test]
async fn another_collector_is_told_from_then_on() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let [first, second] = [upstream::json("").await, upstream::json("").await];
    let start = gateway().config("catalog.watch", false);
    let secret = start.folder().join("collector-key");
    std::fs::write(&secret, "one").expect("a file");
    let gateway = start
        .custom(custom("house").model(MODEL), &upstream)
        .start()
        .await;
    let model = format!("house:{MODEL}");
    assert!(serves(&gateway, &model).await);

    configure(&gateway, "otel", "endpoint", first.origin());
    reloads(&gateway).await;
    assert!(serves(&gateway, &model).await);
    wait::until("a trace", || traces(&first) == 1).await;

    // A header that is not there: everything stays.
    let header = |value: &str| toml::Table::from_iter([("x-key".to_owned(), value.into())]);
    configure(&gateway, "otel", "endpoint", second.origin());
    configure(&gateway, "otel", "headers", header("file:not-there"));
    let reload = gateway.post_admin("/reload").await;
    assert!(problems(&reload).contains("not-there"), "{}", reload.text());
    assert!(serves(&gateway, &model).await);
    wait::until("another", || traces(&first) == 2).await;

    configure(&gateway, "otel", "headers", header("file:collector-key"));
    reloads(&gateway).await;
    assert!(serves(&gateway, &model).await);
    wait::until("a trace", || traces(&second) == 1).await;
    // The same again begins nothing anew; another secret does.
    std::fs::write(&secret, "two").expect("a file");
    reloads(&gateway).await;
    assert!(serves(&gateway, &model).await);
    wait::until("another", || traces(&second) == 2).await;
    let keys: Vec<_> = second.deliveries();
    let keys = keys.iter().filter(|it| it.target == "/v1/traces");
    let keys: Vec<_> = keys.filter_map(|it| it.header("x-key")).collect();
    assert_eq!(keys, ["one", "two"]);
    assert_eq!(traces(&first), 2);

    configure(&gateway, "otel", "traces", false);
    configure(&gateway, "otel", "metrics", false);
    reloads(&gateway).await;
    assert!(serves(&gateway, &model).await);
    assert_eq!(gateway.stop().await, Some(0));
    assert_eq!(traces(&second), 2);
}

#[tokio::test]
async fn names_are_looked_up_at_another_server_at_once() {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let [first, second] = [
        dns::start(addresses(&["127.0.0.1"], 3_600)).await,
        // Nobody listens there.
        dns::start(addresses(&["127.0.0.9"], 3_600)).await,
    ];
    let port = upstream.address().port();
    let endpoints = json!([{"url": format!("http://{}:{port}/v1", dns::NAME)}]);
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(
            custom("house").model(MODEL).set("endpoints", endpoints),
            &upstream,
        )
        .config("dns.servers", vec![first.address().to_string()])
        .start()
        .await;
    let model = format!("house:{MODEL}");
    assert!(serves(&gateway, &model).await);

    let servers = |dns: &dns::Dns| toml::Value::Array(vec![dns.address().to_string().into()]);
    configure(&gateway, "dns", "servers", servers(&second));
    reloads(&gateway).await;
    let gone = async { while serves(&gateway, &model).await {} };
    wait::within("the other address", gone).await;
    assert!(second.asked() > 0);

    // An answer that holds for an hour is no reason to wait.
    configure(&gateway, "dns", "servers", servers(&first));
    reloads(&gateway).await;
    let back = async { while !serves(&gateway, &model).await {} };
    wait::within("the first address", back).await;
    let asked = first.asked();
    // The same ways are no reason to ask again.
    configure(&gateway, "limits", "connections", 1_000);
    reloads(&gateway).await;
    assert!(serves(&gateway, &model).await);
    assert_eq!(first.asked(), asked);
}

#[tokio::test]
async fn what_is_fixed_keeps_the_guard_that_it_has() {
    let start = gateway().config("catalog.watch", false);
    let token = start.folder().join("token");
    std::fs::write(&token, "the-first-token-of-them").expect("a file");
    let gateway = start.config("admin.token", "file:token").start().await;
    // A listener elsewhere, which needs no token, is to come; the one that there is needs one still.
    let text = std::fs::read_to_string(gateway.config_file()).expect("the configuration");
    let mut table: toml::Table = text.parse().expect("a configuration");
    let admin = toml::Table::from_iter([("address".to_owned(), "127.0.0.1:1".into())]);
    table.insert("admin".to_owned(), admin.into());
    std::fs::write(gateway.config_file(), table.to_string()).expect("written");
    let reload = with_token(&gateway, "POST", "/reload", "the-first-token-of-them").await;
    assert_eq!(reload.json()["at_next_start"], json!(["admin.address"]));
    assert_eq!(gateway.ask_admin("/metrics").await.status, 401);
    let answer = with_token(&gateway, "GET", "/metrics", "the-first-token-of-them").await;
    assert_eq!(answer.status, 200);
}
