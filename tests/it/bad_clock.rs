//! A clock that jumps, while the gateway runs and between two of its lives: requests go on, and the books stay right. No
//! kernel lets it be set before 1970.

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::shim::Shim;
use crate::support::upstream::{self, Reply, Upstream, payload};

const MODEL: &str = "m";
const YEAR: i64 = 366 * 86_400;

async fn before(shim: &Shim) -> (Builder, Upstream) {
    let answer = Reply::json(200, payload::chat_json(MODEL, payload::USAGE));
    let upstream = upstream::h1().otherwise(answer).start().await;
    let priced = serde_json::json!({MODEL: {"kind": "chat", "context": 100_000,
        "price": {"input": "1", "output": "2"}}});
    let mut builder = gateway()
        .config("credit.unpriced", "refuse")
        .prepaid("default", "100")
        .key(
            "often",
            &["--requests-per-minute", "100000", "--spend-day", "50"],
        )
        .custom(custom("one").set("models", priced), &upstream);
    for (name, value) in shim.environment() {
        builder = builder.environment(name, &value);
    }
    (builder, upstream)
}

/// Both keys are served, ten times.
async fn serves(gateway: &Gateway, when: &str) {
    for name in ["test", "often"].repeat(5) {
        let body = bodies::chat("one:m").build();
        let request = client::post("/v1/chat/completions", body).bearer(gateway.key_named(name));
        let answer = gateway.send(&request).await;
        assert_eq!(answer.status, 200, "{when}, {name}: {}", answer.text());
    }
    assert_eq!(gateway.ask_admin("/readyz").await.status, 200, "{when}");
}

/// As many rows as requests, and books that agree.
async fn has_rows(gateway: &Gateway, count: f64) {
    gateway
        .metrics_until("every row", |metrics| {
            metrics.sum("tollgate_usage_rows_total", &[]) >= count
                && metrics.sum("tollgate_holds_open", &[]) == 0.0
        })
        .await;
    let checked = gateway.run(&["credit", "check", "--direct"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let panicked = |line: &String| line.contains("panic");
    assert!(!gateway.log_lines().iter().any(panicked));
}

#[tokio::test]
async fn under_requests_it_costs_nobody_anything() {
    let shim = Shim::build();
    let (builder, _upstream) = before(&shim).await;
    let gateway = builder.start().await;
    serves(&gateway, "at first").await;
    let mut rows = 10.0;
    for (ahead, when) in [
        (3_600, "an hour ahead"),
        (-3_600, "two hours back"),
        (20 * YEAR, "twenty years ahead"),
        (-30 * YEAR, "fifty years back"),
        (0, "right again"),
    ] {
        shim.set_ahead(ahead);
        serves(&gateway, when).await;
        rows += 10.0;
        has_rows(&gateway, rows).await;
    }
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test]
async fn at_the_start_it_keeps_nothing_from_being_served() {
    for (ahead, when) in [
        (-40 * YEAR, "forty years back"),
        (40 * YEAR, "forty years ahead"),
    ] {
        let shim = Shim::build();
        let (builder, _upstream) = before(&shim).await;
        let store = builder.store_file();
        let first = builder.start().await;
        serves(&first, "at first").await;
        first.signal("TERM");
        assert_eq!(first.ended().await, Some(0));
        shim.set_ahead(ahead);
        let (builder, _upstream) = before(&shim).await;
        let store = store.to_str().expect("UTF-8");
        let second = builder.config("store.path", store).start().await;
        serves(&second, when).await;
        has_rows(&second, 10.0).await;
        assert_eq!(second.stop().await, Some(0));
    }
}
