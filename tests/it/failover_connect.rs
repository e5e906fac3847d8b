//! A provider that cannot be reached: none of the request was sent, so that the next address or candidate is tried in
//! every mode but `off`.

use serde_json::json;

use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, code, good};
use crate::support::gateway::{CustomProvider, Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Greeting, Upstream};

/// The time a connection may take where a test waits for it.
const CONNECT: &str = "250ms";

const MIB: usize = 1 << 20;

/// More than every buffer between the gateway and a provider that does not read.
const LARGE: usize = 20 * MIB;

const UNREACHED: &str = "one:twice-served;connect_failed";
const SECOND: &str = "two:twice-served;ok;status=200";

/// Asks in each mode; nothing reaches the first.
async fn passes_to_the_second(what: &str, gateway: &Gateway, first: &Upstream, second: &Upstream) {
    for mode in ["on", "safe"] {
        let before = second.count();
        let response = gateway
            .send(&chat(gateway, 0).header("tollgate-failover", mode))
            .await;
        assert_eq!(response.status, 200, "{what}, {mode}: {}", response.text());
        assert_eq!(attempts(&response), [UNREACHED, SECOND], "{what}, {mode}");
        assert_eq!(response.header("tollgate-model"), Some("two:twice-served"));
        assert_eq!(
            (first.count(), second.count() - before),
            (0, 1),
            "{what}, {mode}"
        );
    }
    let before = second.count();
    let response = gateway
        .send(&chat(gateway, 0).header("tollgate-failover", "off"))
        .await;
    assert_eq!(response.status, 502, "{what}: {}", response.text());
    assert_eq!(code(&response), "all_candidates_failed", "{what}");
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert_eq!(attempts(&response), [UNREACHED], "{what}");
    assert_eq!((first.count(), second.count()), (0, before), "{what}");
}

async fn check(what: &str, first: Upstream) {
    let pair = Pair::with_first(first, |gateway| gateway.config("timeouts.connect", CONNECT)).await;
    passes_to_the_second(what, &pair.gateway, &pair.first, &pair.second).await;
}

#[tokio::test]
async fn a_refused_connection() {
    check("refused", upstream::refusing()).await;
}

#[tokio::test]
async fn a_connection_that_hangs() {
    check("hanging", upstream::unreachable().await).await;
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let second = upstream::h1().reply(good()).start().await;
    let nowhere = json!({
        "provider": "one", "preset": "openai-compatible", "rank": 1999,
        "base_url": "http://does-not-exist.invalid:9/v1",
        "models": {MODEL: {"price": {"input": "1", "output": "2"}}},
    });
    let gateway = gateway()
        .catalog("one", nowhere)
        .credentials("one", 1)
        .custom(custom("two").model(MODEL), &second)
        .config("timeouts.connect", CONNECT)
        .start()
        .await;
    passes_to_the_second("no such name", &gateway, &upstream::refusing(), &second).await;
}

#[tokio::test]
async fn tls_that_fails() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let elsewhere = ours.server_for(&["elsewhere.test"]);
    let firsts = [
        ("another authority", upstream::h1_tls(&theirs)),
        ("another name", upstream::h1_tls(&ours).identity(&elsewhere)),
        (
            "no handshake",
            upstream::h2_tls(&ours).always(Greeting::Hang),
        ),
        (
            "no TLS",
            upstream::h2_tls(&ours).always(Greeting::Raw("HTTP/1.1 200 OK\r\n\r\n".into())),
        ),
        ("a reset", upstream::h2_tls(&ours).always(Greeting::Reset)),
        ("a close", upstream::h2_tls(&ours).always(Greeting::Close)),
    ];
    for (what, first) in firsts {
        let first = first.start().await;
        let trusting = |gateway: crate::support::gateway::Builder| {
            gateway.config("timeouts.connect", CONNECT).trust(&ours)
        };
        let pair = Pair::with_first(first, trusting).await;
        passes_to_the_second(what, &pair.gateway, &pair.first, &pair.second).await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_as_it_begins() {
    for greeting in [Greeting::Reset, Greeting::Close] {
        let first = upstream::h1().always(greeting.clone()).start().await;
        let pair = Pair::with_first(first, |gateway| gateway).await;
        let ask = async |size, mode| {
            let request = chat(&pair.gateway, size).header("tollgate-failover", mode);
            let (response, reached) = pair.send(&request).await;
            let context = format!("{greeting:?}, {size} bytes, {mode}: {}", response.text());
            (response, reached, context)
        };
        // In `safe` only one that no buffer on the way holds: a smaller one may have left as a whole before the end of the
        // connection is seen, and then counts as delivered.
        for (size, mode) in [(0, "on"), (MIB, "on"), (LARGE, "safe")] {
            let (response, reached, context) = ask(size, mode).await;
            assert_eq!(
                (response.status, reached),
                (200, Reached(0, 1)),
                "{context}"
            );
            let second = pair.second.deliveries().pop().expect("a delivery");
            assert!(second.complete && second.length >= size as u64, "{context}");
        }
        for size in [0, MIB, LARGE] {
            let (response, reached, context) = ask(size, "off").await;
            let told = (response.status, code(&response));
            assert_eq!(told, (502, "all_candidates_failed".to_owned()), "{context}");
            assert_eq!(reached, Reached(0, 0), "{context}");
        }
    }
}

/// A provider with these endpoints, in this order.
fn endpoints(id: &str, upstreams: &[&Upstream]) -> CustomProvider {
    let url = |upstream: &&Upstream| json!({"url": upstream.origin()});
    let list: Vec<_> = upstreams.iter().map(url).collect();
    custom(id).model(MODEL).set("endpoints", list.into())
}

#[tokio::test]
async fn the_next_address_of_a_provider_comes_before_the_next_candidate() {
    for count in [1, 2] {
        let dead: Vec<_> = (0..count).map(|_| upstream::refusing()).collect();
        let alive = upstream::h1().reply(good()).start().await;
        let second = upstream::h1().reply(good()).start().await;
        let all: Vec<_> = dead.iter().chain([&alive]).collect();
        let gateway = gateway()
            .custom(endpoints("one", &all), &alive)
            .custom(custom("two").model(MODEL), &second)
            .start()
            .await;
        // Endpoints take turns to be the first, and which one follows is chance; wherever a request begins, it ends at
        // the one that lives.
        let mut failed = Vec::new();
        for turn in 0..=count {
            let request = chat(&gateway, 0).header("tollgate-failover", "safe");
            let response = gateway.send(&request).await;
            assert_eq!(response.status, 200, "{}", response.text());
            let mut told = attempts(&response);
            assert_eq!(
                told.pop().as_deref(),
                Some("one:twice-served;ok;status=200"),
                "turn {turn}"
            );
            assert!(
                told.iter().all(|attempt| attempt == UNREACHED),
                "turn {turn}: {told:?}"
            );
            failed.push(told.len());
        }
        assert_eq!(
            failed.iter().filter(|failed| **failed == 0).count(),
            1,
            "{failed:?}"
        );
        assert!(failed.iter().all(|failed| *failed <= count), "{failed:?}");
        assert_eq!((alive.count(), second.count()), (count + 1, 0));
    }
}

#[tokio::test]
async fn all_addresses_of_a_provider_come_before_the_next_candidate() {
    let dead = [upstream::refusing(), upstream::refusing()];
    let second = upstream::h1().reply(good()).start().await;
    let gateway = gateway()
        .custom(endpoints("one", &[&dead[0], &dead[1]]), &dead[0])
        .custom(custom("two").model(MODEL), &second)
        .start()
        .await;
    let response = gateway.send(&chat(&gateway, 0)).await;
    assert_eq!(attempts(&response), [UNREACHED, UNREACHED, SECOND]);
    let off = gateway
        .send(&chat(&gateway, 0).header("tollgate-failover", "off"))
        .await;
    assert_eq!(
        (off.status, attempts(&off)),
        (502, vec![UNREACHED.to_owned()])
    );
    assert_eq!(second.count(), 1);
}

#[tokio::test]
async fn no_candidate_can_be_reached() {
    let (first, second) = (upstream::refusing(), upstream::refusing());
    let gateway = pair::before(&first, &second).start().await;
    let response = gateway.send(&chat(&gateway, 0)).await;
    assert_eq!(
        (response.status, code(&response).as_str()),
        (502, "all_candidates_failed")
    );
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert_eq!(
        attempts(&response),
        [UNREACHED, "two:twice-served;connect_failed"]
    );
    let message = response.json()["error"]["message"].to_string();
    assert!(
        message.contains("one:twice-served") && message.contains("two:twice-served"),
        "{message}"
    );
    // Where the providers are is not the client's business.
    assert!(
        !response.text().contains(&first.address().to_string()),
        "{}",
        response.text()
    );
    pair::idle(&gateway).await;
}
