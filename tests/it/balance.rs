//! How requests are spread over the replicas of a provider, and that one replica stands in for another before another
//! provider does. Turns by weight are in `endpoints`, sessions in `sessions`.

use tokio::task::JoinSet;

use crate::pair::{MODEL, attempts, chat, error, good};
use crate::replicas::{Replicas, house, upstreams};
use crate::support::client;
use crate::support::gateway::{Metrics, custom, gateway};
use crate::support::upstream::{self, behave, fault};
use crate::support::wait;

/// Sends `count` requests one after another; all are answered.
async fn ask(replicas: &Replicas, count: usize) {
    for _ in 0..count {
        let response = replicas.gateway.send(&chat(&replicas.gateway, 0)).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[tokio::test]
async fn the_idle_one_of_two_is_taken_when_the_other_hangs() {
    let replicas = Replicas::start(2, "least_inflight").await;
    let gates = [upstream::gate(), upstream::gate()];
    for (replica, gate) in replicas.all.iter().zip(&gates) {
        replica.otherwise(behave().read().hold(gate).send(good()));
    }
    // Each goes to the one that has fewer: three to each.
    let mut held = JoinSet::new();
    for number in 1..=6 {
        let (request, address) = (chat(&replicas.gateway, 0), replicas.gateway.address());
        held.spawn(async move { client::send(address, &request).await.status });
        let arrived = || replicas.counts().iter().sum::<usize>() == number;
        wait::until("a request", arrived).await;
    }
    assert_eq!(replicas.counts(), [3, 3]);
    gates[1].open();
    let under_way = |metrics: &Metrics| metrics.sum("tollgate_in_flight", &[]) == 3.0;
    replicas
        .gateway
        .metrics_until("three that hang", under_way)
        .await;
    ask(&replicas, 30).await;
    assert_eq!(replicas.counts(), [3, 33]);
    gates[0].open();
    assert_eq!(held.join_all().await, [200; 6]);
}

#[tokio::test]
async fn idle_replicas_share_the_requests() {
    let replicas = Replicas::start(3, "least_inflight").await;
    ask(&replicas, 60).await;
    // Twenty each on the average; fewer than four is a chance of one in a million.
    assert!(
        replicas.counts().iter().all(|count| *count >= 4),
        "{:?}",
        replicas.counts()
    );
}

#[tokio::test]
async fn another_replica_is_tried_before_another_provider() {
    for balance in ["round_robin", "least_inflight", "affinity"] {
        let all = upstreams(3).await;
        let second = upstream::h1().reply(good()).start().await;
        let gateway = gateway()
            .custom(house(&all, balance), &all[0])
            .custom(custom("two").model(MODEL), &second)
            .start()
            .await;
        let replicas = Replicas { all, gateway };
        for replica in &replicas.all {
            replica.push(error(503));
        }
        let response = replicas.gateway.send(&chat(&replicas.gateway, 0)).await;
        assert_eq!(response.status, 200, "{balance}: {}", response.text());
        assert_eq!(replicas.counts(), [1, 1, 1], "{balance}");
        let failed = format!("house:{MODEL};server_error;status=503");
        let told = [
            failed.clone(),
            failed.clone(),
            failed,
            format!("two:{MODEL};ok;status=200"),
        ];
        assert_eq!(attempts(&response), told, "{balance}");
    }
}

#[tokio::test]
async fn a_replica_that_dies_with_the_request_is_stood_in_for_in_mode_on_only() {
    for (mode, status, reached) in [("on", 200, 2), ("safe", 502, 1), ("off", 502, 1)] {
        let replicas = Replicas::start(2, "round_robin").await;
        replicas.all[0].push(fault::close_after_body());
        let request = chat(&replicas.gateway, 0).header("tollgate-failover", mode);
        let response = replicas.gateway.send(&request).await;
        assert_eq!(response.status, status, "{mode}: {}", response.text());
        assert_eq!(replicas.counts().iter().sum::<usize>(), reached, "{mode}");
    }
}

#[tokio::test]
async fn when_all_replicas_fail_the_last_answer_is_passed_on() {
    let replicas = Replicas::start(3, "round_robin").await;
    for replica in &replicas.all {
        replica.otherwise(error(503));
    }
    let response = replicas.gateway.send(&chat(&replicas.gateway, 0)).await;
    assert_eq!(
        (response.status, response.body.clone()),
        (503, error(503).body())
    );
    assert_eq!(replicas.counts(), [1, 1, 1]);
}
