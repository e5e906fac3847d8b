//! Going back to an earlier catalog, what ends that, and what a swap does not forget.

use serde_json::json;

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Gateway, Metrics, custom, gateway};
use crate::support::upstream::{self, Reply, Upstream, gate};
use crate::support::wait;

/// A gateway that has had two catalogs: `either` was `small` first and is `large` now.
async fn after_two(watch: bool) -> (Gateway, Upstream, [String; 2]) {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .config("catalog.watch", watch)
        .config("log.level", "debug")
        .custom(
            custom("house")
                .model("small")
                .model("large")
                .model("middling"),
            &upstream,
        )
        .virtual_model("either", &["house:small"])
        .start()
        .await;
    let first = version(&gateway).await;
    either_is(&gateway, "large");
    let second = reload(&gateway).await;
    assert_ne!(first, second);
    assert_eq!(answers(&gateway).await, "house:large");
    (gateway, upstream, [first, second])
}

fn either_is(gateway: &Gateway, model: &str) {
    gateway.write_catalog(
        "virtual-either",
        &json!({"virtual_models": {"either": [format!("house:{model}")]}}),
    );
}

async fn reload(gateway: &Gateway) -> String {
    let answer = gateway.post_admin("/reload").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["catalog"]
        .as_str()
        .expect("a version")
        .to_owned()
}

async fn rollback(gateway: &Gateway) -> String {
    let answer = gateway.post_admin("/catalog/rollback").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["catalog"]
        .as_str()
        .expect("a version")
        .to_owned()
}

/// The version in use, which metrics and readiness agree on.
async fn version(gateway: &Gateway) -> String {
    let ready = gateway.ask_admin("/readyz").await.json();
    let version = ready["catalog"].as_str().expect("a version").to_owned();
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.sum("tollgate_catalog_info", &[("version", &version)]),
        1.0
    );
    assert_eq!(metrics.sum("tollgate_catalog_info", &[]), 1.0);
    version
}

/// Which model `either` is.
async fn answers(gateway: &Gateway) -> String {
    let answer = gateway.chat(bodies::chat("either").build()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("tollgate-model").expect("a model").to_owned()
}

#[tokio::test]
async fn a_rollback_outlasts_a_hangup_and_a_reload_by_an_operator_ends_it() {
    let (gateway, _upstream, [first, second]) = after_two(false).await;
    assert_eq!(rollback(&gateway).await, first);
    assert_eq!(version(&gateway).await, first);
    assert_eq!(answers(&gateway).await, "house:small");
    gateway.signal("HUP");
    gateway
        .log_until("the reload", |line| line.contains("the catalog stays"))
        .await;
    assert_eq!(answers(&gateway).await, "house:small");
    assert_eq!(reload(&gateway).await, second);
    assert_eq!(answers(&gateway).await, "house:large");
}

#[tokio::test]
async fn a_rollback_ends_when_a_file_says_something_else() {
    let (gateway, _upstream, [first, _]) = after_two(true).await;
    gateway
        .log_until("the watch has looked", |line| line.contains("said before"))
        .await;
    assert_eq!(rollback(&gateway).await, first);
    let looks = || {
        let lines = gateway.log_lines();
        lines
            .iter()
            .filter(|line| line.contains("said before"))
            .count()
    };
    let before = looks();
    either_is(&gateway, "large");
    wait::until("another look", || looks() > before).await;
    assert_eq!(
        answers(&gateway).await,
        "house:small",
        "the same file again"
    );
    let reloads = |metrics: &Metrics| metrics.sum("tollgate_reloads_total", &[]);
    let count = reloads(&gateway.metrics().await);
    gateway.write_catalog(
        "virtual-either",
        &json!({"virtual_models": {"either": ["house:large"], "other": ["house:small"]}}),
    );
    gateway
        .metrics_until("the reload", |metrics| reloads(metrics) > count)
        .await;
    assert_eq!(answers(&gateway).await, "house:large");
    // What was rolled back from is forgotten.
    assert_eq!(rollback(&gateway).await, first);
}

/// A file is broken for a moment: neither that nor its mending ends the rollback.
#[tokio::test]
async fn a_rollback_outlasts_a_mistake() {
    let (gateway, _upstream, [first, _]) = after_two(false).await;
    assert_eq!(rollback(&gateway).await, first);
    gateway.write_catalog("virtual-either", &json!({"virtual_models": {"either": []}}));
    assert_ne!(gateway.post_admin("/reload").await.status, 200);
    assert_eq!(version(&gateway).await, first);
    either_is(&gateway, "large");
    gateway.signal("HUP");
    gateway
        .log_until("the reload", |line| line.contains("the catalog stays"))
        .await;
    assert_eq!(version(&gateway).await, first);
    assert_eq!(answers(&gateway).await, "house:small");
}

#[tokio::test]
async fn three_versions_are_kept_and_each_can_be_gone_to() {
    let (gateway, _upstream, [first, second]) = after_two(false).await;
    either_is(&gateway, "middling");
    let third = reload(&gateway).await;
    let kept = || async {
        let answer = gateway.ask_admin("/catalog/versions").await.json();
        let versions = answer["versions"].as_array().expect("versions").clone();
        versions
            .iter()
            .map(|kept| {
                let version = kept["version"].as_str().expect("a version").to_owned();
                (version, kept["in_use"] == true)
            })
            .collect::<Vec<_>>()
    };
    let all = [&third, &second, &first];
    let with = |in_use: &String| {
        all.map(|version| (version.clone(), version == in_use))
            .to_vec()
    };
    assert_eq!(kept().await, with(&third));
    assert_eq!(rollback(&gateway).await, second);
    assert_eq!(rollback(&gateway).await, first);
    assert_eq!(kept().await, with(&first));
    let none = gateway.post_admin("/catalog/rollback").await;
    assert_eq!(none.status, 409, "{}", none.text());
    assert_eq!(version(&gateway).await, first);
    let forward = format!("/catalog/rollback?version={third}");
    assert_eq!(gateway.post_admin(&forward).await.status, 200);
    assert_eq!(answers(&gateway).await, "house:middling");
    either_is(&gateway, "small");
    assert_eq!(
        reload(&gateway).await,
        first,
        "the same content, the same version"
    );
    assert_eq!(kept().await.len(), 3);
}

#[tokio::test]
async fn the_command_line_reloads_goes_back_and_lists() {
    let (gateway, _upstream, [first, second]) = after_two(false).await;
    let admin = gateway.admin().to_string();
    let run = |words: &[&str]| gateway.run(&[words, &["--admin", &admin]].concat());
    let listed = run(&["catalog", "versions"]);
    let lines: Vec<_> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{listed:?}");
    assert!(
        lines[1].starts_with(&second) && lines[1].ends_with("yes"),
        "{listed:?}"
    );
    assert!(
        lines[2].starts_with(&first) && lines[2].ends_with("no"),
        "{listed:?}"
    );

    let back = run(&["catalog", "rollback"]);
    assert!(
        back.code == Some(0) && back.stdout.contains(&first),
        "{back:?}"
    );
    assert_eq!(version(&gateway).await, first);
    let no_more = run(&["catalog", "rollback"]);
    assert!(
        no_more.code == Some(1) && no_more.stderr.contains("is kept"),
        "{no_more:?}"
    );
    let again = run(&["reload"]);
    assert!(
        again.code == Some(0) && again.stdout.contains(&second),
        "{again:?}"
    );

    gateway.write_catalog(
        "zz-broken",
        &json!({"virtual_models": {"either": ["either"]}}),
    );
    let mistake = run(&["reload"]);
    assert!(
        mistake.code == Some(1) && mistake.stderr.contains("zz-broken.json:1:"),
        "{mistake:?}"
    );
    assert_eq!(version(&gateway).await, second);
    let unasked = gateway.run(&["reload", "--admin", "127.0.0.1:1"]);
    assert!(
        unasked.code == Some(4) && unasked.stderr.contains("127.0.0.1:1"),
        "{unasked:?}"
    );
}

#[tokio::test]
async fn a_swap_forgets_neither_whose_turn_it_is_nor_what_is_under_way() {
    let hold = gate();
    let upstreams = [
        upstream::h1().reply(Reply::json(200, "{}")).start().await,
        upstream::h1().reply(Reply::json(200, "{}")).start().await,
    ];
    let slow = upstream::h1()
        .reply(Reply::json(200, r#"{"slow":true}"#).hold_before(0, &hold))
        .start()
        .await;
    let endpoints: Vec<_> = upstreams
        .iter()
        .map(|upstream| json!({"url": format!("{}/v1", upstream.origin())}))
        .collect();
    let gateway = gateway()
        .config("catalog.watch", false)
        .catalog(
            "house",
            json!({
                "provider": "house", "preset": "vllm", "endpoints": endpoints, "models": {"small": {}},
                "health": {"type": "none"}
            }),
        )
        .custom(custom("slow").model("tortoise"), &slow)
        .start()
        .await;
    let mut connection = client::h1(gateway.address()).await;
    let request = gateway.post(
        "/v1/chat/completions",
        bodies::chat("slow:tortoise").build(),
    );
    let under_way = tokio::spawn(async move { connection.send(&request).await });
    slow.wait_for(1).await;
    for round in 0..10 {
        gateway.write_catalog(
            "more",
            &json!({"virtual_models": {format!("round-{round}"): ["house:small"]}}),
        );
        reload(&gateway).await;
        let body = bodies::chat("house:small").build();
        assert_eq!(gateway.chat(body).await.status, 200);
        gateway
            .metrics_until("the one under way alone", |metrics| {
                metrics.sum("tollgate_in_flight", &[]) == 1.0
            })
            .await;
    }
    assert_eq!(upstreams.each_ref().map(Upstream::count), [5, 5]);
    hold.open();
    let answer = under_way.await.expect("no panic");
    assert_eq!(answer.json()["slow"], true, "{}", answer.text());
}
