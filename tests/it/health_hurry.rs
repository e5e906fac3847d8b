//! What a client can bring about ejects nothing for others: a time shorter than the provider's own, or a request that
//! cannot be written as the provider takes it.

use crate::health_passive::{LONG, health, is};
use crate::pair::{self, MODEL, Pair, chat};
use crate::support::client::post;
use crate::support::gateway::{custom, gateway};
use crate::support::upstream::{self, fault};

#[tokio::test]
async fn a_time_of_the_access_key_ejects_nothing() {
    let pair = Pair::start(|gateway| {
        health(gateway, 2, LONG)
            .config("providers.one.timeouts.first_byte", "500ms")
            .key("hasty", &["--timeout", "first_byte=50ms"])
    })
    .await;
    pair.first.otherwise(fault::silent_after_body());
    let ask = async |name: &str| {
        let body = format!(r#"{{"model":"{MODEL}"}}"#);
        let request = post("/v1/chat/completions", body).bearer(pair.gateway.key_named(name));
        assert_eq!(pair.gateway.send(&request).await.status, 200);
    };
    for _ in 0..4 {
        ask("hasty").await;
    }
    assert_eq!(pair.first.count(), 4, "it goes on being asked");
    assert!(is(&pair::idle(&pair.gateway).await, "one", "ready"));
    for _ in 0..2 {
        ask("test").await;
    }
    assert!(is(&pair::idle(&pair.gateway).await, "one", "ejected"));
}

#[tokio::test]
async fn a_time_of_the_request_ejects_nothing() {
    let unreachable = upstream::unreachable().await;
    let builder = gateway()
        .custom(custom("one").model(MODEL), &unreachable)
        .config("timeouts.connect", "500ms");
    let gateway = health(builder, 2, LONG).start().await;
    for _ in 0..4 {
        let request = chat(&gateway, 0).header("tollgate-timeout", "50ms");
        assert_eq!(gateway.send(&request).await.status, 504);
    }
    assert!(is(&pair::idle(&gateway).await, "one", "ready"));
    for _ in 0..2 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 502);
    }
    assert!(is(&pair::idle(&gateway).await, "one", "ejected"));
}

#[tokio::test]
async fn a_request_that_cannot_be_written_is_the_clients_mistake() {
    let upstream = upstream::h1().reply(pair::good()).start().await;
    // Taken as it comes, and too long with the path that the provider has before it.
    let path = format!("/{}/v1", "p".repeat(2_000));
    let one = custom("one")
        .preset("openai-compatible", &path)
        .model(MODEL);
    let builder = gateway().custom(one, &upstream);
    let gateway = health(builder, 1, LONG).start().await;
    let query = "q=".to_owned() + &"x".repeat(64_000);
    let body = format!(r#"{{"model":"{MODEL}"}}"#);
    let request = post(&format!("/chat/completions?{query}"), body).bearer(gateway.key());
    let response = gateway.send(&request).await;
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.json()["error"]["code"], "invalid_request");
    assert_eq!(upstream.count(), 0);
    assert!(is(&pair::idle(&gateway).await, "one", "ready"));
}
