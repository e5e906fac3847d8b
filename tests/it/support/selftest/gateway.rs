//! The handle of the gateway's process: started, asked, signalled, gone when dropped.

use serde_json::json;

use super::super::client::get;
use super::super::gateway::{custom, gateway, upstream_key};
use super::super::upstream::{self, payload};
use super::super::{bodies, wait};

#[tokio::test]
async fn a_gateway_starts_serves_and_stops() {
    let upstream = upstream::json(payload::chat_json("small", payload::USAGE)).await;
    let gateway = gateway()
        .custom(custom("one").model("small"), &upstream)
        .start()
        .await;
    assert!(gateway.key().starts_with("tg-"));

    let response = gateway.chat(bodies::chat("small").build()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.json()["usage"]["completion_tokens"],
        payload::USAGE.output
    );
    let delivery = upstream.delivery();
    assert_eq!(delivery.path(), "/v1/chat/completions");
    let credential = format!("Bearer {}", upstream_key("one", 0));
    assert_eq!(delivery.header("authorization"), Some(credential.as_str()));
    assert_eq!(delivery.json()["model"], "small");

    let lines = gateway.access_lines(1).await;
    assert_eq!(
        (&lines[0]["status"], &lines[0]["path"]),
        (&json!(200), &json!("/v1/chat/completions"))
    );
    let counted = |metrics: &super::super::gateway::Metrics| {
        metrics.sum("tollgate_requests_total", &[("surface", "chat")]) >= 1.0
    };
    gateway.metrics_until("a counted request", counted).await;
    assert!(gateway.memory_peak() >= gateway.memory_now() && gateway.memory_now() > 1 << 20);
    assert!(gateway.open_files() > 3);
    gateway
        .log_until("the admin listener", |line| line.contains("(admin)"))
        .await;
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test]
async fn a_dropped_gateway_is_gone() {
    let gateway = gateway().start().await;
    let (process, folder) = (
        format!("/proc/{}", gateway.id()),
        gateway.folder().to_owned(),
    );
    let address = gateway.address();
    drop(gateway);
    assert!(!std::path::Path::new(&process).exists() && !folder.exists());
    let connect = wait::within("a refusal", tokio::net::TcpStream::connect(address));
    connect.await.expect_err("nobody listens");
}

#[tokio::test]
async fn a_mistake_in_the_configuration_ends_it() {
    let finished = gateway().config("bad", true).run(&["serve"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("tollgate.toml:"), "{finished:?}");
}

#[tokio::test]
async fn the_admin_listener_is_apart() {
    let gateway = gateway().no_key().key("other", &[]).start().await;
    assert!(gateway.key_named("other").starts_with("tg-"));
    assert_eq!(gateway.ask_admin("/metrics").await.status, 200);
    assert_ne!(gateway.send(&get("/metrics")).await.status, 200);
}
