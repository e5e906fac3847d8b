//! The health of endpoints as operators see it: in the log, in explanations and in the metrics.

use serde_json::json;

use crate::health_passive::{LONG, ask, ask_until_probed, pair_that_ejects, until};
use crate::pair::{MODEL, Reached, error, good};
use crate::support::bodies;

#[tokio::test]
async fn each_change_is_one_line_in_the_log_and_none_is_told_a_request() {
    let pair = pair_that_ejects(2, "100ms").await;
    pair.first.otherwise(error(503));
    for _ in 0..30 {
        assert_eq!(ask(&pair).await.0, 200);
    }
    ask_until_probed(&pair).await;
    pair.first.otherwise(good());
    ask_until_probed(&pair).await;
    until(&pair.gateway, "one", "ready").await;
    for _ in 0..10 {
        assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
    }
    let about = format!("one: endpoint {} is", pair.first.address());
    pair.gateway
        .log_until("the return", |line| line.contains("is ready again"))
        .await;
    let lines = pair.gateway.log_lines();
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&about)).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("\"warn\"") && lines[0].contains("ejected"));
    assert!(lines[0].contains("2 failures in a row"), "{}", lines[0]);
    assert!(lines[1].contains("\"info\"") && lines[1].contains("ready again"));
}

#[tokio::test]
async fn an_explanation_shows_the_state_and_the_order() {
    let pair = pair_that_ejects(1, LONG).await;
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    let body = bodies::chat(MODEL).build();
    let told = pair.gateway.post("/tollgate/v1/explain", body);
    let told = pair.gateway.send(&told).await.json();
    let candidates = told["candidates"].as_array().expect("a list");
    let seen: Vec<_> = candidates
        .iter()
        .map(|it| (&it["provider"], &it["endpoints"][0]["state"]))
        .collect();
    let expected = [
        (json!("two"), json!("ready")),
        (json!("one"), json!("ejected")),
    ];
    let expected: Vec<_> = expected.iter().map(|(one, two)| (one, two)).collect();
    assert_eq!(seen, expected);
    let wait = candidates[1]["endpoints"][0]["probe_in_seconds"].as_u64();
    assert!(
        wait.is_some_and(|wait| (1..=3_600).contains(&wait)),
        "{told}"
    );
}

#[tokio::test]
async fn each_endpoint_is_in_one_state() {
    let pair = pair_that_ejects(1, LONG).await;
    let states = async || {
        let metrics = pair.gateway.metrics().await;
        let value = |provider, state| {
            let labels = [("provider", provider), ("state", state)];
            assert!(metrics.has("tollgate_endpoint_state", &labels));
            metrics.sum("tollgate_endpoint_state", &labels)
        };
        ["one", "two"].map(|it| ["ready", "ejected", "probing"].map(|state| value(it, state)))
    };
    assert_eq!(states().await, [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    assert_eq!(states().await, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]);
}
