//! Names of providers: looked up in the background at a real DNS server, all addresses used, changes taken up, and the last
//! good addresses kept whatever becomes of the server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::pair::{self, MODEL, attempts, chat, good};
use crate::support::dns::{self, Answer, Dns, NAME, addresses};
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};
use crate::support::wait;

/// A provider at `NAME` and the port of `upstream`.
async fn start(
    upstream: &Upstream,
    dns: &Dns,
    configure: impl FnOnce(Builder) -> Builder,
) -> Gateway {
    let port = upstream.address().port();
    let endpoints = serde_json::json!([{"url": format!("http://{NAME}:{port}/v1")}]);
    let house = custom("house").model(MODEL).set("endpoints", endpoints);
    let builder = gateway()
        .custom(house, upstream)
        .config("dns.servers", vec![dns.address().to_string()])
        .config("dns.ttl_min", "1s");
    configure(builder).start().await
}

/// Upstreams at this port of 127.0.0.1 and 127.0.0.2.
async fn two() -> [Upstream; 2] {
    loop {
        let first = upstream::h1().reply(good()).start().await;
        let other = SocketAddr::from(([127, 0, 0, 2], first.address().port()));
        // Somebody else may have that port of the other address.
        if tokio::net::TcpListener::bind(other).await.is_ok() {
            let second = upstream::h1().reply(good()).at(other).start().await;
            return [first, second];
        }
    }
}

async fn two_providers() -> (Upstream, Upstream) {
    let start = || upstream::h1().reply(good()).start();
    (start().await, start().await)
}

async fn ask(gateway: &Gateway) -> Vec<String> {
    let response = gateway.send(&chat(gateway, 0)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    attempts(&response)
}

/// Asks until `upstream` gets a request.
async fn ask_until(gateway: &Gateway, upstream: &Upstream) {
    let before = upstream.count();
    let reached = async {
        while upstream.count() == before {
            ask(gateway).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait::within("a request at the new address", reached).await;
}

#[tokio::test]
async fn all_addresses_of_a_name_are_used() {
    let [first, second] = two().await;
    let dns = dns::start(addresses(&["127.0.0.1", "127.0.0.2"], 60)).await;
    let gateway = start(&first, &dns, |gateway| gateway).await;
    ask_until(&gateway, &first).await;
    ask_until(&gateway, &second).await;
}

#[tokio::test]
async fn a_dead_address_costs_one_request_an_attempt_and_then_none() {
    let well = upstream::h1().reply(good()).start().await;
    // Nobody listens there.
    let dns = dns::start(addresses(&["127.0.0.1", "127.0.0.3"], 60)).await;
    let gateway = start(&well, &dns, |gateway| gateway).await;
    let mut failed = 0;
    for _ in 0..30 {
        failed += ask(&gateway).await.len() - 1;
    }
    assert_eq!(well.count(), 30);
    assert!(
        failed <= 1,
        "{failed} attempts at an address that was known to be dead"
    );
}

#[tokio::test]
async fn a_change_is_taken_up_when_its_time_to_live_is_over() {
    let [first, second] = two().await;
    let dns = dns::start(addresses(&["127.0.0.1"], 2)).await;
    let gateway = start(&first, &dns, |gateway| gateway).await;
    ask(&gateway).await;
    assert_eq!((first.count(), second.count()), (1, 0));
    dns.answers(addresses(&["127.0.0.2"], 2));
    ask_until(&gateway, &second).await;
    let before = first.count();
    for _ in 0..5 {
        ask(&gateway).await;
    }
    assert_eq!(first.count(), before, "the old address is gone");
    // A and AAAA are asked for together, and again not before the time is over.
    let asked = dns.asked_at();
    let pause = asked[2] - asked[0];
    assert!(pause >= Duration::from_millis(1_900), "{pause:?}");
}

#[tokio::test]
async fn a_time_to_live_counts_within_its_bounds() {
    let [first, second] = two().await;
    // A day, which is too long.
    let dns = dns::start(addresses(&["127.0.0.1"], 86_400)).await;
    let gateway = start(&first, &dns, |gateway| gateway.config("dns.ttl_max", "1s")).await;
    ask(&gateway).await;
    dns.answers(addresses(&["127.0.0.2"], 86_400));
    ask_until(&gateway, &second).await;
    // Nothing, which is too short.
    let dns = dns::start(addresses(&["127.0.0.1"], 0)).await;
    let gateway = start(&first, &dns, |gateway| {
        gateway
            .config("dns.ttl_min", "1h")
            .config("dns.ttl_max", "1h")
    })
    .await;
    ask(&gateway).await;
    let asked = dns.asked();
    tokio::time::sleep(Duration::from_secs(2)).await;
    ask(&gateway).await;
    assert_eq!(dns.asked(), asked);
}

#[tokio::test]
async fn the_last_good_addresses_stay_while_look_ups_fail_or_hang() {
    let upstream = upstream::h1().reply(good()).start().await;
    let dns = dns::start(addresses(&["127.0.0.1"], 1)).await;
    let gateway = start(&upstream, &dns, |gateway| gateway).await;
    ask(&gateway).await;
    let only_v6 = Answer::ByFamily(Box::new([addresses(&["::1"], 1), Answer::Fails]));
    for answer in [Answer::Fails, addresses(&[], 1), only_v6] {
        dns.answers(answer.clone());
        dns.wait_asked(8).await;
        assert_eq!(ask(&gateway).await.len(), 1, "{answer:?}");
    }
    dns.answers(Answer::Hangs);
    dns.wait_asked(2).await;
    // The look-up hangs for ten seconds.
    let began = Instant::now();
    for _ in 0..5 {
        ask(&gateway).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    // Said once while it lasted, not at each look-up.
    let lines = gateway.log_lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("its last addresses stay"));
    assert!((1..=2).contains(&told.count()), "{lines:#?}");
}

/// Nobody has looked the name up before, and nobody says anything: the time of a connection bounds that as well.
#[tokio::test]
async fn a_first_look_up_that_hangs_passes_to_the_next_candidate() {
    let (first, second) = two_providers().await;
    let dns = dns::start(Answer::Hangs).await;
    let gateway = start(&first, &dns, |gateway| {
        gateway
            .custom(custom("spare").model(MODEL), &second)
            .config("health.passive", false)
            .config("timeouts.connect", "250ms")
    })
    .await;
    for (count, mode) in [(1, "on"), (2, "safe")] {
        let began = Instant::now();
        let request = chat(&gateway, 0).header("tollgate-failover", mode);
        let response = gateway.send(&request).await;
        let took = began.elapsed();
        assert_eq!(response.status, 200, "{mode}: {}", response.text());
        let told = [
            format!("house:{MODEL};connect_failed"),
            format!("spare:{MODEL};ok;status=200"),
        ];
        assert_eq!(attempts(&response), told, "{mode}");
        assert_eq!((first.count(), second.count()), (0, count), "{mode}");
        // The look-up itself has ten seconds.
        assert!(took < Duration::from_secs(5), "{mode}: {took:?}");
    }
    let request = chat(&gateway, 0).header("tollgate-failover", "off");
    assert_eq!(gateway.send(&request).await.status, 502);
    assert_eq!((first.count(), second.count()), (0, 2));
    assert!(dns.asked() > 0);
    let failed = [("provider", "house"), ("outcome", "connect_failed")];
    let metrics = pair::idle(&gateway).await;
    assert_eq!(metrics.sum("tollgate_attempts_total", &failed), 3.0);
    let reason = [("reason", "connect_failed")];
    assert_eq!(metrics.sum("tollgate_failovers_total", &reason), 2.0);
}

#[tokio::test]
async fn a_name_that_was_never_found_fails_at_once_and_is_found_when_it_comes() {
    let upstream = upstream::h1().reply(good()).start().await;
    let dns = dns::start(Answer::Fails).await;
    let gateway = start(&upstream, &dns, |gateway| gateway).await;
    let began = Instant::now();
    let response = gateway.send(&chat(&gateway, 0)).await;
    assert_eq!(response.status, 502, "{}", response.text());
    assert!(began.elapsed() < Duration::from_secs(10));
    dns.answers(addresses(&["127.0.0.1"], 60));
    let found = async {
        while gateway.send(&chat(&gateway, 0)).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    wait::within("the name's first address", found).await;
}
