//! Checks of endpoints, without a request: one that fails them is asked last until it passes again, whatever requests
//! say; and the checks follow the catalog.

use std::time::Duration;

use serde_json::{Value, json};

use crate::health_passive::{health, is};
use crate::pair::{MODEL, chat, good};
use crate::support::gateway::{Builder, CustomProvider, Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Delivery, Reply, Upstream};
use crate::support::wait;

/// A provider that answers requests well and checks as `checks` says.
async fn checked(checks: impl Into<Behaviour>) -> Upstream {
    let checks = checks.into();
    upstream::h1().each(behaviour(checks)).start().await
}

fn behaviour(checks: Behaviour) -> impl Fn(&Delivery) -> Behaviour + Send + Sync + 'static {
    move |delivery| {
        if is_check(delivery) {
            checks.clone()
        } else {
            good().into()
        }
    }
}

fn is_check(delivery: &Delivery) -> bool {
    delivery.method == "GET"
}

fn checks(upstream: &Upstream) -> Vec<Delivery> {
    let all = upstream.deliveries().into_iter();
    all.filter(is_check).collect()
}

fn requests(upstream: &Upstream) -> usize {
    let all = upstream.deliveries();
    all.iter().filter(|it| !is_check(it)).count()
}

fn alive() -> Reply {
    Reply::status(200)
}

/// A provider whose check is quick.
fn house(id: &str, check: &Value) -> CustomProvider {
    let mut entry =
        json!({"path": "../health", "interval": "100ms", "timeout": "2s", "unhealthy": 2});
    for (name, value) in check.as_object().expect("members") {
        entry[name] = value.clone();
    }
    custom(id).model(MODEL).set("health", entry)
}

/// `one`, which is checked, before `two`.
async fn two(one: &Upstream, other: &Upstream, check: &Value) -> Gateway {
    before(one, other, check).start().await
}

fn before(one: &Upstream, other: &Upstream, check: &Value) -> Builder {
    gateway()
        .config("catalog.watch", false)
        .custom(house("one", check), one)
        .custom(custom("two").model(MODEL), other)
}

async fn until(gateway: &Gateway, state: &str) {
    gateway
        .metrics_until(state, |metrics| is(metrics, "one", state))
        .await;
}

async fn ask(gateway: &Gateway) -> u16 {
    gateway.send(&chat(gateway, 0)).await.status
}

async fn until_checked(upstream: &Upstream, count: usize) {
    wait::until("checks", || checks(upstream).len() >= count).await;
}

#[tokio::test]
async fn a_check_that_fails_ejects_and_one_that_passes_brings_back_without_a_request() {
    let one = checked(alive()).await;
    let other = checked(alive()).await;
    let gateway = two(&one, &other, &json!({})).await;
    until_checked(&one, 2).await;
    until(&gateway, "ready").await;
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!((requests(&one), requests(&other)), (1, 0));

    one.each(behaviour(Reply::status(503).into()));
    until(&gateway, "ejected").await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!((requests(&one), requests(&other)), (1, 3));
    let ready = gateway.ask_admin("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json()["ejected"],
        json!([format!("one/{}", one.address())])
    );

    one.each(behaviour(alive().into()));
    until(&gateway, "ready").await;
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!((requests(&one), requests(&other)), (2, 3));
    // Two changes, two lines.
    gateway
        .log_until("the return", |line| line.contains("is ready again"))
        .await;
    let lines = gateway.log_lines();
    let about = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(about("is ejected: its checks fail (it answers 503)"), 1);
    assert_eq!(about("is ready again"), 1);
    // The other provider asks for no check.
    assert!(checks(&other).is_empty());
}

#[tokio::test]
async fn checks_come_no_more_often_than_was_said() {
    let one = checked(alive()).await;
    let _gateway = two(&one, &one, &json!({"interval": "500ms"})).await;
    until_checked(&one, 4).await;
    let all = checks(&one);
    // Three pauses; the first check may have been seen late.
    let between = all[3].at - all[0].at;
    assert!(between >= Duration::from_millis(1_350), "{between:?}");
}

#[tokio::test]
async fn a_check_says_what_the_operator_wrote_and_no_key() {
    let one = checked(alive()).await;
    let check =
        json!({"headers": {"X-Who": "me", "Authorization": "Bearer given"}, "host": "inner:1"});
    let _gateway = two(&one, &one, &check).await;
    until_checked(&one, 1).await;
    let first = checks(&one).remove(0);
    assert_eq!(first.path(), "/health");
    assert_eq!(first.header("host"), Some("inner:1"));
    assert_eq!(first.header("x-who"), Some("me"));
    assert_eq!(first.header("authorization"), Some("Bearer given"));

    let plain = checked(alive()).await;
    let _gateway = two(&plain, &plain, &json!({})).await;
    until_checked(&plain, 1).await;
    let first = checks(&plain).remove(0);
    assert_eq!(
        first.header("host"),
        Some(plain.address().to_string().as_str())
    );
    for name in ["authorization", "x-api-key", "api-key"] {
        assert_eq!(first.header(name), None);
    }
}

#[tokio::test]
async fn the_statuses_of_one_that_is_alive_are_the_operators_to_say() {
    for (status, statuses, state) in [
        (204, json!({}), "ready"),
        (401, json!({}), "ejected"),
        (401, json!({"statuses": ["200-299", "401"]}), "ready"),
        (200, json!({"statuses": ["204"]}), "ejected"),
    ] {
        let one = checked(Reply::status(status)).await;
        let gateway = two(&one, &one, &statuses).await;
        until_checked(&one, 3).await;
        until(&gateway, state).await;
    }
}

#[tokio::test]
async fn silence_and_a_refused_connection_are_failures() {
    let silent = checked(upstream::fault::silent_after_body()).await;
    let check = json!({"timeout": "100ms"});
    let gateway = two(&silent, &silent, &check).await;
    until(&gateway, "ejected").await;
    // As a last resort it is asked still.
    assert_eq!(ask(&gateway).await, 200);

    for kind in ["http", "tcp"] {
        let (refusing, well) = (upstream::refusing(), checked(alive()).await);
        let gateway = two(&refusing, &well, &json!({"type": kind})).await;
        until(&gateway, "ejected").await;
        let response = gateway.send(&chat(&gateway, 0)).await;
        let told = response.header("tollgate-attempts").expect("a header");
        assert!(told.starts_with("two:"), "{told}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_for_a_check_of_tcp_and_tls_is_checked_with_the_endpoints_roots() {
    let authority = Authority::new();
    for kind in ["tcp", "http"] {
        let one = upstream::h1_tls(&authority)
            .each(behaviour(alive().into()))
            .start()
            .await;
        let check = json!({"type": kind});
        let trusting = before(&one, &one, &check).trust(&authority).start().await;
        one.wait_accepted(3).await;
        until(&trusting, "ready").await;
        let doubting = before(&one, &one, &check).start().await;
        until(&doubting, "ejected").await;
    }
}

#[tokio::test]
async fn requests_and_checks_must_both_say_that_it_is_well() {
    let one = checked(alive()).await;
    let other = checked(alive()).await;
    let gateway = health(before(&one, &other, &json!({})), 1, "1h")
        .start()
        .await;
    until_checked(&one, 1).await;
    one.each(|delivery| match is_check(delivery) {
        true => alive().into(),
        false => Reply::status(500).into(),
    });
    assert_eq!(ask(&gateway).await, 200);
    let passed = checks(&one).len();
    until_checked(&one, passed + 3).await;
    assert!(is(&gateway.metrics().await, "one", "ejected"));
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!((requests(&one), requests(&other)), (1, 2));
}

#[tokio::test]
async fn what_checks_found_outlives_a_reload_and_they_go_on() {
    let one = checked(Reply::status(503)).await;
    let other = checked(alive()).await;
    let gateway = two(&one, &other, &json!({})).await;
    until(&gateway, "ejected").await;
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    assert!(is(&gateway.metrics().await, "one", "ejected"));
    let before = checks(&one).len();
    until_checked(&one, before + 2).await;
    assert!(is(&gateway.metrics().await, "one", "ejected"));
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!((requests(&one), requests(&other)), (0, 1));
}

#[tokio::test]
async fn checks_follow_the_catalog() {
    let one = checked(Reply::status(503)).await;
    let other = checked(alive()).await;
    let gateway = two(&one, &other, &json!({})).await;
    until(&gateway, "ejected").await;

    // Another path: what was found before holds until it passes there.
    gateway.write_catalog(
        "z",
        &json!({"provider": "one", "health": {"path": "../ok"}}),
    );
    one.each(|delivery| match delivery.path() {
        "/health" => Reply::status(503).into(),
        _ => good().into(),
    });
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    until(&gateway, "ready").await;
    assert_eq!(checks(&one).last().expect("a check").path(), "/ok");

    // Fails again, and then nobody asks for a check any more.
    gateway.write_catalog(
        "z",
        &json!({"provider": "one", "health": {"path": "../health"}}),
    );
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    until(&gateway, "ejected").await;
    gateway.write_catalog("z", &json!({"provider": "one", "health": {"type": "none"}}));
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    until(&gateway, "ready").await;
    stay_unchecked(&one).await;

    // And the provider goes, with its series.
    gateway.write_catalog("z", &json!({"provider": "one", "health": {"type": "http"}}));
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    until(&gateway, "ejected").await;
    gateway.write_catalog("z", &json!({"provider": "one", "disabled": true}));
    remove_section(&gateway, "one");
    let reload = gateway.post_admin("/reload").await;
    assert_eq!(reload.status, 200, "{}", reload.text());
    let metrics = gateway.metrics().await;
    assert!(!metrics.has("tollgate_endpoint_state", &[("provider", "one")]));
    assert!(is(&metrics, "two", "ready"));
    stay_unchecked(&one).await;
}

/// Ten intervals without a check, after those under way have ended.
async fn stay_unchecked(upstream: &Upstream) {
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = checks(upstream).len();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(checks(upstream).len(), before);
}

/// Takes the section of a provider out of the configuration: the catalog has no such provider any more.
fn remove_section(gateway: &Gateway, provider: &str) {
    let file = gateway.config_file();
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let mut table: toml::Table = text.parse().expect("TOML");
    let providers = table["providers"].as_table_mut().expect("providers");
    providers.remove(provider).expect("a section");
    std::fs::write(&file, table.to_string()).expect("written");
}
