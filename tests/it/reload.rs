//! Reloading configuration and catalog: by signal, by file watch, under load; a mistake changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{custom, gateway};
use crate::support::upstream::{self, Reply};
use crate::support::wait;

#[tokio::test]
async fn a_hangup_brings_a_new_catalog_and_a_mistake_changes_nothing() {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    let ask = |name: &str| gateway.post("/v1/chat/completions", bodies::chat(name).build());
    assert_eq!(gateway.send(&ask("fresh")).await.status, 404);

    gateway.write_catalog(
        "more",
        &json!({"virtual_models": {"fresh": ["house:small"]}}),
    );
    gateway.signal("HUP");
    gateway
        .log_until("the reload", |line| line.contains("reloaded"))
        .await;
    assert_eq!(gateway.send(&ask("fresh")).await.status, 200);

    gateway.write_catalog("more", &json!({"virtual_models": {"fresh": ["fresh"]}}));
    gateway.signal("HUP");
    let line = gateway
        .log_until("the mistake", |line| line.contains("more.json:"))
        .await;
    assert!(line.contains("fresh"), "{line}");
    assert_eq!(gateway.send(&ask("fresh")).await.status, 200);
    let metrics = gateway
        .metrics_until("the failure counted", |metrics| {
            metrics.sum("tollgate_reload_failures_total", &[]) == 1.0
        })
        .await;
    assert_eq!(metrics.sum("tollgate_reloads_total", &[]), 2.0);
}

#[tokio::test]
async fn a_changed_file_is_a_reload() {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    gateway.write_catalog(
        "more",
        &json!({"virtual_models": {"fresh": ["house:small"]}}),
    );
    gateway
        .log_until("the reload", |line| line.contains("reloaded"))
        .await;
    assert_eq!(
        gateway.chat(bodies::chat("fresh").build()).await.status,
        200
    );
}

/// Two versions of a catalog send one name to two providers; each request must be wholly on one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_fail_no_request_and_split_none() {
    let one = upstream::h1()
        .reply(Reply::json(200, r#"{"model":"house:small"}"#))
        .start()
        .await;
    let two = upstream::h1()
        .reply(Reply::json(200, r#"{"model":"barn:large"}"#))
        .start()
        .await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .config("catalog.builtin", false)
        .catalog("house", provider("house", "small", &one))
        .catalog("barn", provider("barn", "large", &two))
        .credentials("house", 1)
        .credentials("barn", 1)
        .virtual_model("either", &["house:small"])
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, over, served) =
                (Arc::clone(&gateway), Arc::clone(&over), Arc::clone(&served));
            tokio::spawn(async move {
                let mut connection = client::h1(gateway.address()).await;
                let request = gateway.post(
                    "/v1/chat/completions",
                    bodies::chat("either").size(2_000).build(),
                );
                while !over.load(Ordering::Relaxed) {
                    let answer = connection.send(&request).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let told = answer.header("tollgate-model").expect("a model").to_owned();
                    let sent = answer.json()["model"].as_str().expect("a model").to_owned();
                    assert_eq!(told, sent, "a request on two versions");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(5);
    let mut swaps = 0_u64;
    while Instant::now() < end {
        let target = if swaps.is_multiple_of(2) {
            "barn:large"
        } else {
            "house:small"
        };
        gateway.write_catalog(
            "virtual-either",
            &json!({"virtual_models": {"either": [target]}}),
        );
        gateway.signal("HUP");
        swaps += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        wait::within("a client", client)
            .await
            .expect("no request failed");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_reload_failures_total", &[]), 0.0);
    assert!(
        metrics.sum("tollgate_reloads_total", &[]) >= 50.0,
        "{swaps} swaps asked for"
    );
    assert!(served.load(Ordering::Relaxed) > 100);
}

/// A provider that needs no preset.
fn provider(id: &str, model: &str, upstream: &upstream::Upstream) -> serde_json::Value {
    json!({
        "provider": id,
        "base_url": format!("{}/v1", upstream.origin()),
        "auth": "bearer",
        "surfaces": {"chat": {"path": "/chat/completions"}},
        "models": {model: {"kind": "chat"}},
    })
}
