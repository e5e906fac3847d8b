//! Limits of what is under way: at an endpoint, at a provider, and connections of clients. Past an endpoint's limit another
//! endpoint is taken, past a provider's another candidate, and past all of them the answer is 503 at once. The process's own
//! limit of requests is in `limits`.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::pair::{self, MODEL, attempts, chat, code, good};
use crate::replicas::{Replicas, endpoints, upstreams};
use crate::support::client::{self, Protocol, Response};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Gate, Reply, Upstream, behave, fault, payload};

/// The longest a refusal may take: nothing is waited for, but tests share a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Endpoints with this limit each, and the provider with another.
async fn limited(all: Vec<Upstream>, endpoint: u32, provider: u32) -> Replicas {
    let mut endpoints = endpoints(&all);
    for endpoint_entry in &mut endpoints {
        endpoint_entry["requests"] = json!(endpoint);
    }
    let house = custom("house")
        .model(MODEL)
        .set("endpoints", endpoints.into())
        .set("requests", json!(provider));
    let gateway = gateway().custom(house, &all[0]).start().await;
    Replicas { all, gateway }
}

/// Holds the requests that reach `all` at a gate.
fn hold(all: &[Upstream]) -> Gate {
    let gate = upstream::gate();
    for upstream in all {
        upstream.otherwise(behave().read().hold(&gate).send(good()));
    }
    gate
}

/// Sends `count` requests at the same time.
fn send(gateway: &Gateway, count: usize) -> JoinSet<Response> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let (request, address) = (chat(gateway, 0), gateway.address());
        requests.spawn(async move { client::send(address, &request).await });
    }
    requests
}

/// The same; each says how long it took as well.
fn send_timed(gateway: &Gateway, count: usize) -> JoinSet<(Response, Duration)> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let (request, address) = (chat(gateway, 0), gateway.address());
        requests.spawn(async move {
            let began = Instant::now();
            (client::send(address, &request).await, began.elapsed())
        });
    }
    requests
}

fn is_refused(response: &Response) {
    assert_eq!(
        (response.status, code(response).as_str()),
        (503, "overloaded"),
        "{}",
        response.text()
    );
    let after = response.header("retry-after");
    assert!(after.is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    assert_eq!(response.header("x-should-retry"), None);
}

#[tokio::test]
async fn the_limit_of_each_endpoint_holds_exactly_and_more_is_refused_at_once() {
    let replicas = limited(upstreams(2).await, 3, 1_000).await;
    let gate = hold(&replicas.all);
    let mut requests = send_timed(&replicas.gateway, 40);
    // Thirty-four come back while six are held.
    for _ in 0..34 {
        let (response, took) = requests
            .join_next()
            .await
            .expect("a request")
            .expect("an answer");
        is_refused(&response);
        assert_eq!(attempts(&response), [format!("house:{MODEL};full")]);
        assert!(took < AT_ONCE, "{took:?}");
    }
    gate.held(6).await;
    assert_eq!(replicas.counts(), [3, 3]);
    gate.open();
    assert!(
        requests
            .join_all()
            .await
            .iter()
            .all(|(response, _)| response.status == 200)
    );
    // Every place is there again.
    pair::idle(&replicas.gateway).await;
    let gate = hold(&replicas.all);
    let requests = send(&replicas.gateway, 6);
    gate.held(6).await;
    gate.open();
    assert!(
        requests
            .join_all()
            .await
            .iter()
            .all(|response| response.status == 200)
    );
}

#[tokio::test]
async fn a_full_provider_is_passed_over_for_the_next_candidate() {
    let [first, second] = [
        upstream::h1().reply(good()).start().await,
        upstream::h1().reply(good()).start().await,
    ];
    let one = custom("one").model(MODEL).set("requests", json!(1_000));
    let gateway = gateway()
        .custom(one, &first)
        .custom(custom("two").model(MODEL), &second)
        .config("providers.one.requests", 2)
        .start()
        .await;
    let gate = hold(std::slice::from_ref(&first));
    let held = send(&gateway, 2);
    gate.held(2).await;
    for _ in 0..5 {
        let response = gateway.send(&chat(&gateway, 0)).await;
        let told = [
            format!("one:{MODEL};full"),
            format!("two:{MODEL};ok;status=200"),
        ];
        assert_eq!((response.status, attempts(&response)), (200, told.to_vec()));
    }
    // Who asked for nothing else gets nothing else.
    let request = chat(&gateway, 0).header("tollgate-failover", "off");
    is_refused(&gateway.send(&request).await);
    assert_eq!((first.count(), second.count()), (2, 5));
    gate.open();
    assert!(
        held.join_all()
            .await
            .iter()
            .all(|response| response.status == 200)
    );
    let metrics = pair::idle(&gateway).await;
    let passed = [("provider", "one"), ("outcome", "full")];
    assert_eq!(metrics.sum("tollgate_attempts_total", &passed), 6.0);
    assert_eq!(
        metrics.sum("tollgate_failovers_total", &[("reason", "full")]),
        5.0
    );
}

#[tokio::test]
async fn a_place_comes_back_however_the_request_ends() {
    let replicas = limited(upstreams(1).await, 1, 1).await;
    let upstream = &replicas.all[0];
    // A place is given back when the request has ended, which its client may see a moment earlier: whoever asks next would
    // be refused, and leave the upstream's next behaviour to the request after it.
    let well = || async {
        pair::idle(&replicas.gateway).await;
        let response = replicas.gateway.send(&chat(&replicas.gateway, 0)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        pair::idle(&replicas.gateway).await;
    };
    well().await;
    for behaviour in [
        pair::error(500).into(),
        pair::error(400).into(),
        fault::close_after_body(),
        fault::reset_in_head(),
        fault::truncated(good(), 10),
    ] {
        upstream.push(behaviour);
        let mut client = client::h1(replicas.gateway.address()).await;
        let _ = client.try_send(&chat(&replicas.gateway, 0)).await;
        well().await;
    }
    // The client goes away before the answer, and in the middle of it.
    let gate = upstream::gate();
    upstream.push(behave().read().hold(&gate).send(good()));
    let mut client = client::h1(replicas.gateway.address()).await;
    let request = chat(&replicas.gateway, 0);
    tokio::select! {
        _ = client.begin(&request) => panic!("answered"),
        () = gate.held(1) => {}
    }
    is_refused(&replicas.gateway.send(&request).await);
    drop(client);
    well().await;
    let stream = Reply::sse(payload::chat_sse(MODEL, 3, None), Duration::ZERO);
    upstream.push(fault::stalled(stream, 40));
    let mut client = client::h1(replicas.gateway.address()).await;
    drop(client.begin(&request).await.expect("a head"));
    is_refused(&replicas.gateway.send(&request).await);
    drop(client);
    well().await;
    for phase in [
        "connected_to_upstream",
        "upstream_response_filter",
        "response_filter",
    ] {
        let request = chat(&replicas.gateway, 0).header("Tollgate-Test-Panic", phase);
        let mut client = client::h1(replicas.gateway.address()).await;
        let _ = client.try_send(&request).await;
        well().await;
    }
}

#[tokio::test]
async fn a_thousand_requests_before_a_limit_of_ten_cost_no_memory() {
    let replicas = limited(upstreams(1).await, 10, 10).await;
    let gate = hold(&replicas.all);
    let held = send(&replicas.gateway, 10);
    gate.held(10).await;
    let flood = || async {
        let mut refused = 0;
        for _ in 0..10 {
            for response in send(&replicas.gateway, 100).join_all().await {
                is_refused(&response);
                refused += 1;
            }
        }
        refused
    };
    // The first flood fills what the allocator and the log keep.
    assert_eq!(flood().await, 1_000);
    let before = replicas.gateway.memory_now();
    assert_eq!(flood().await, 1_000);
    let grown = replicas.gateway.memory_now().saturating_sub(before);
    assert!(
        grown < 4 << 20,
        "{grown} bytes more after a thousand refusals"
    );
    assert_eq!(replicas.counts(), [10]);
    gate.open();
    assert!(
        held.join_all()
            .await
            .iter()
            .all(|response| response.status == 200)
    );
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_as_they_come() {
    let upstream = upstream::h1().reply(good()).start().await;
    let authority = Authority::new();
    let gateway = gateway()
        .custom(custom("one").model(MODEL), &upstream)
        .config("limits.connections", 4)
        .tls(&authority)
        .start()
        .await;
    let (plain, tls) = (gateway.address(), gateway.tls_address());
    let mut clients = Vec::new();
    for (protocol, address) in [
        (Protocol::H1, plain),
        (Protocol::H2c, plain),
        (Protocol::H1Tls, tls),
        (Protocol::H2Tls, tls),
    ] {
        let mut client = client::Client::connect(protocol, address, &authority).await;
        assert_eq!(
            client.send(&chat(&gateway, 0)).await.status,
            200,
            "{protocol:?}"
        );
        clients.push(client);
    }
    for address in [plain, tls] {
        for _ in 0..5 {
            client::h1(address).await.closed().await;
        }
    }
    // Those that were there before are served as ever.
    for client in &mut clients {
        assert_eq!(client.send(&chat(&gateway, 0)).await.status, 200);
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_connections_open", &[]), 4.0);
    assert_eq!(metrics.sum("tollgate_connections_refused_total", &[]), 10.0);
    // A place comes back when its connection ends, also one that never got as far as TLS.
    drop(clients);
    let none = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_connections_open", &[]) == 0.0
    };
    gateway.metrics_until("no connection", none).await;
    let silent = client::h1(tls).await;
    let one = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_connections_open", &[]) == 1.0
    };
    gateway
        .metrics_until("a connection before its handshake", one)
        .await;
    drop(silent);
    gateway.metrics_until("no connection", none).await;
}
