//! A panic in any phase ends its own request, and nothing of it stays behind.

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::gateway;
use crate::support::upstream::{self, Reply};

const PHASES: [&str; 8] = [
    "request_filter",
    "upstream_peer",
    "connected_to_upstream",
    "upstream_request_filter",
    "upstream_response_filter",
    "response_filter",
    "response_body_filter",
    "logging",
];

#[tokio::test]
async fn a_panic_in_any_phase_ends_its_own_request_and_leaks_nothing() {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let gateway = gateway().provider("openai", &upstream).start().await;
    let body = bodies::chat("openai:gpt-4o").size(100_000).build();
    for phase in PHASES {
        let request = gateway
            .post("/v1/chat/completions", body.clone())
            .header("Tollgate-Test-Panic", phase);
        let mut connection = client::h1(gateway.address()).await;
        let answer = connection.try_send(&request).await;
        let whole = answer.is_ok_and(|answer| answer.is_whole() && answer.status == 200);
        assert!(
            !whole || phase == "logging",
            "{phase}: answered as if nothing had happened"
        );
        assert_eq!(
            gateway.chat(body.clone()).await.status,
            200,
            "after a panic in {phase}"
        );
    }
    let released = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_in_flight", &[]) == 0.0
            && metrics.sum("tollgate_replay_bytes", &[]) == 0.0
    };
    gateway
        .metrics_until("everything given back", released)
        .await;
}
