//! Reloading configuration and catalog by signal and by the admin listener; a mistake changes nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::bodies;
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

/// A reload that is asked for while another runs reads the files after it was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_asked_for_at_one_time_each_see_what_was_written_before() {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let operators: Vec<_> = (0..8)
        .map(|number| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move {
                for round in 0..4 {
                    let name = format!("fresh-{number}-{round}");
                    let file = json!({"virtual_models": {&name: ["house:small"]}});
                    gateway.write_catalog(&name, &file);
                    let reload = gateway.post_admin("/reload").await;
                    assert_eq!(reload.status, 200, "{}", reload.text());
                    let answer = gateway.chat(bodies::chat(&name).build()).await;
                    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
                }
            })
        })
        .collect();
    for operator in operators {
        wait::within("an operator", operator)
            .await
            .expect("each saw its file");
    }
}

#[tokio::test]
async fn of_many_hangups_the_last_one_is_not_lost() {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway()
        .config("catalog.watch", false)
        .custom(custom("house").model("small"), &upstream)
        .start()
        .await;
    for number in 0..20 {
        let name = format!("fresh-{number}");
        gateway.write_catalog("more", &json!({"virtual_models": {name: ["house:small"]}}));
        gateway.signal("HUP");
    }
    let last = async {
        while gateway.chat(bodies::chat("fresh-19").build()).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("the last one", last).await;
}
