//! An endpoint that fails is ejected: it is asked last, until one request finds it well again. Two providers of one
//! model behind a gateway, or two endpoints of one provider; what reaches each is counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, error, good};
use crate::support::bodies;
use crate::support::gateway::{Builder, Gateway, Metrics, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Reply, Upstream, behave, fault, payload};
use crate::support::wait;

/// So long that no probe comes into a test's way.
pub const LONG: &str = "1h";

/// Ejects after this many failures in a row, for as long as `backoff` says.
pub fn health(gateway: Builder, failures: i64, backoff: &str) -> Builder {
    gateway
        .config("health.passive", true)
        .config("health.failures", failures)
        .config("health.samples", 1_000)
        .config("health.backoff", backoff)
        .config("health.backoff_max", backoff)
}

/// Two providers, of which each is ejected after so many failures in a row.
pub async fn pair_that_ejects(failures: i64, backoff: &str) -> Pair {
    Pair::start(|gateway| health(gateway, failures, backoff)).await
}

/// Sends a request: its status, and how often each was reached by it.
pub async fn ask(pair: &Pair) -> (u16, Reached) {
    let (response, reached) = pair.send(&chat(&pair.gateway, 0)).await;
    (response.status, reached)
}

/// Whether the metrics say that the endpoints of a provider are in this state.
pub fn is(metrics: &Metrics, provider: &str, state: &str) -> bool {
    let labels = [("provider", provider), ("state", state)];
    metrics.sum("tollgate_endpoint_state", &labels) == 1.0
}

/// Waits until the metrics say so.
pub async fn until(gateway: &Gateway, provider: &str, state: &str) {
    gateway
        .metrics_until(state, |metrics| is(metrics, provider, state))
        .await;
}

/// Every way to fail, and what the client of the failed attempt gets when nothing else is tried.
fn failures() -> Vec<(&'static str, Behaviour)> {
    let mut all: Vec<(&str, Behaviour)> = vec![
        ("reset before the body", fault::reset_before_body()),
        ("reset after the body", fault::reset_after_body()),
        ("closed after the body", fault::close_after_body()),
        ("reset in the header", fault::reset_in_head()),
        ("no HTTP", fault::malformed("nonsense\r\n\r\n")),
        ("silence", fault::silent_after_body()),
    ];
    for status in [408, 500, 502, 503, 504, 520, 529] {
        all.push(("a status", error(status).into()));
    }
    all
}

#[tokio::test]
async fn an_endpoint_that_fails_is_not_asked_any_more_while_another_serves() {
    for (what, failure) in failures() {
        let pair = Pair::start(|gateway| {
            health(gateway, 3, LONG).config("providers.one.timeouts.first_byte", "100ms")
        })
        .await;
        pair.first.otherwise(failure);
        for _ in 0..3 {
            assert_eq!(ask(&pair).await, (200, Reached(1, 1)), "{what}");
        }
        for _ in 0..5 {
            assert_eq!(ask(&pair).await, (200, Reached(0, 1)), "{what}");
        }
        let (response, _) = pair.send(&chat(&pair.gateway, 0)).await;
        assert_eq!(attempts(&response), [format!("two:{MODEL};ok;status=200")]);
    }
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_ejected_as_well() {
    let refusing = upstream::refusing();
    let pair = Pair::with_first(refusing, |gateway| health(gateway, 2, LONG)).await;
    for number in 0..5 {
        let (response, _) = pair.send(&chat(&pair.gateway, 0)).await;
        assert_eq!(attempts(&response).len(), if number < 2 { 2 } else { 1 });
    }
}

#[tokio::test]
async fn an_answer_of_200_that_is_an_error_is_a_failure_and_passes_as_it_came() {
    let body: &[u8] = br#"{ "error": {"message": "boom", "type": "server_error", "code": 502} }"#;
    let events = [
        "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
    ];
    let mut replies = vec![
        Reply::json(200, Bytes::from_static(body)),
        // Cut in the middle of the word.
        Reply::json(200, Bytes::new())
            .piece(&body[..5])
            .piece(&body[5..])
            .chunked(),
    ];
    for event in events {
        let event = Bytes::from_static(event.as_bytes());
        replies.push(Reply::sse(
            [event.slice(..9), event.slice(9..)],
            Duration::ZERO,
        ));
    }
    for reply in replies {
        let pair = pair_that_ejects(2, LONG).await;
        pair.first.otherwise(reply.clone());
        for _ in 0..2 {
            let (response, reached) = pair.send(&chat(&pair.gateway, 0)).await;
            assert_eq!((response.status, reached), (200, Reached(1, 0)));
            assert_eq!(response.body, reply.body());
        }
        until(&pair.gateway, "one", "ejected").await;
        assert_eq!(ask(&pair).await, (200, Reached(0, 1)));
    }
}

#[tokio::test]
async fn any_answer_of_200_ends_a_row_of_failures_however_it_ends() {
    let authority = Authority::new();
    for tls in [false, true] {
        let first = match tls {
            true => upstream::h2_tls(&authority),
            false => upstream::h1(),
        };
        let first = first.reply(good()).start().await;
        let pair =
            Pair::with_first(first, |gateway| health(gateway, 2, LONG).trust(&authority)).await;
        // Nothing tells before the end whether these are answers.
        for reply in [
            Reply::json(200, "{"),
            Reply::json(200, "{").chunked(),
            Reply::json(200, ""),
            Reply::sse([Bytes::from_static(b": nothing\n\n")], Duration::ZERO),
            good(),
        ] {
            pair.first.push(error(503));
            assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
            pair.first.push(reply);
            assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
        }
        assert!(is(&pair.gateway.metrics().await, "one", "ready"));
    }
}

#[tokio::test]
async fn a_provider_that_fails_every_second_request_is_ejected() {
    let pair = Pair::start(|gateway| {
        health(gateway, 1_000, LONG)
            .config("health.samples", 10)
            .config("health.window", "1h")
    })
    .await;
    for _ in 0..20 {
        pair.first.push(good());
        pair.first.push(error(503));
    }
    for number in 0..10 {
        let expected = Reached(1, number % 2);
        assert_eq!(ask(&pair).await, (200, expected), "{number}");
    }
    assert_eq!(ask(&pair).await, (200, Reached(0, 1)));
}

#[tokio::test]
async fn of_two_endpoints_the_one_that_is_well_gets_all_requests() {
    let sick = upstream::h1().reply(error(503)).start().await;
    let well = upstream::h1().reply(good()).start().await;
    let endpoints = json!([
        {"url": format!("{}/v1", sick.origin()), "name": "sick"},
        {"url": format!("{}/v1", well.origin()), "name": "well"}
    ]);
    let house = custom("house").model(MODEL).set("endpoints", endpoints);
    let gateway = health(gateway(), 2, LONG)
        .custom(house, &well)
        .start()
        .await;
    let labels = [("endpoint", "sick"), ("state", "ejected")];
    let mut asked = 0;
    while gateway
        .metrics()
        .await
        .sum("tollgate_endpoint_state", &labels)
        == 0.0
    {
        gateway.send(&chat(&gateway, 0)).await;
        asked += 1;
        assert!(asked < 100, "never ejected");
    }
    assert_eq!(sick.count(), 2);
    for _ in 0..20 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    }
    assert_eq!(sick.count(), 2);
}

#[tokio::test]
async fn when_all_are_ejected_all_are_tried_still() {
    let pair = pair_that_ejects(1, LONG).await;
    pair.first.otherwise(error(503));
    pair.second.otherwise(error(500));
    for _ in 0..4 {
        assert_eq!(ask(&pair).await, (500, Reached(1, 1)));
    }
    // What answers well again is back at once, whatever its back-off.
    pair.second.otherwise(good());
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    assert_eq!(ask(&pair).await, (200, Reached(0, 1)));

    let alone = upstream::h1().reply(error(503)).start().await;
    let gateway = health(gateway(), 1, LONG)
        .custom(custom("one").model(MODEL), &alone)
        .start()
        .await;
    for count in 1..=5 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 503);
        assert_eq!(alone.count(), count);
    }
}

/// Asks until the first is reached once more; all the others are served by the second.
pub async fn ask_until_probed(pair: &Pair) {
    let before = pair.first.count();
    wait::within("a probe", async {
        while pair.first.count() == before {
            assert_eq!(ask(pair).await.0, 200);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_good_probe_brings_it_back_and_a_bad_one_does_not() {
    let pair = pair_that_ejects(1, "100ms").await;
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    pair.first.push(error(503));
    ask_until_probed(&pair).await;
    until(&pair.gateway, "one", "ejected").await;
    ask_until_probed(&pair).await;
    until(&pair.gateway, "one", "ready").await;
    for _ in 0..5 {
        assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_at_one_time_one_is_the_probe() {
    let pair = Arc::new(pair_that_ejects(1, "5s").await);
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    let gate = upstream::gate();
    pair.first.push(behave().read().hold(&gate).send(good()));
    let due = async {
        let body = bodies::chat(MODEL).build();
        loop {
            let request = pair.gateway.post("/tollgate/v1/explain", body.clone());
            let told = pair.gateway.send(&request).await.json();
            // It stands last while it is ejected, and in its place when it may be probed.
            if told["candidates"][0]["provider"] == "one" {
                break;
            }
            assert_eq!(told["candidates"][1]["provider"], "one");
            assert_eq!(told["candidates"][1]["endpoints"][0]["state"], "ejected");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait::within("the end of the back-off", due).await;
    let asking = (0..32).map(|_| {
        let pair = Arc::clone(&pair);
        tokio::spawn(async move { pair.gateway.send(&chat(&pair.gateway, 0)).await.status })
    });
    let asking: Vec<_> = asking.collect();
    gate.held(1).await;
    pair.second.wait_for(1 + 31).await;
    assert_eq!((gate.held_max(), pair.first.count()), (1, 2));
    assert!(is(&pair.gateway.metrics().await, "one", "probing"));
    gate.open();
    for status in asking {
        assert_eq!(status.await.expect("no panic"), 200);
    }
    until(&pair.gateway, "one", "ready").await;
    assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
}

#[tokio::test]
async fn a_probe_whose_client_goes_away_is_made_again() {
    let pair = Arc::new(pair_that_ejects(1, "300ms").await);
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    pair.first.push(fault::silent_after_body());
    let patient = Arc::clone(&pair);
    let probing = tokio::spawn(async move { ask_until_probed(&patient).await });
    pair.first.wait_complete(2).await;
    probing.abort();
    assert!(probing.await.is_err(), "the probe was answered");
    ask_until_probed(&pair).await;
    until(&pair.gateway, "one", "ready").await;
    assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
}

#[tokio::test]
async fn what_the_client_or_a_key_is_to_blame_for_ejects_nobody() {
    let pair = pair_that_ejects(1, LONG).await;
    for status in [400, 401, 402, 403, 404, 409, 413, 422, 429, 451, 501] {
        pair.first.push(error(status));
        pair.first.push(error(status));
        ask(&pair).await;
        ask(&pair).await;
    }
    let refusal = payload::openai_error("too long", "invalid_request_error", "context_length");
    pair.first.push(Reply::json(200, refusal));
    assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
    assert!(is(&pair.gateway.metrics().await, "one", "ready"));
    assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
}

#[tokio::test]
async fn clients_that_go_away_and_uploads_that_break_eject_nobody() {
    let pair = Arc::new(pair_that_ejects(1, LONG).await);
    pair.first.push(fault::silent_after_body());
    let patient = Arc::clone(&pair);
    let leaving = tokio::spawn(async move { ask(&patient).await });
    pair.first.wait_complete(1).await;
    leaving.abort();
    pair::idle(&pair.gateway).await;
    // The upstream cuts off what is too large for it.
    pair.first.push(fault::reset_in_body(64 * 1024));
    let large = chat(&pair.gateway, 8 << 20);
    let (response, _) = pair.send(&large).await;
    assert_eq!(response.status, 200);
    assert!(is(&pair.gateway.metrics().await, "one", "ready"));
    assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
}

#[tokio::test]
async fn a_refused_stream_that_is_taken_the_second_time_ejects_nobody() {
    let authority = Authority::new();
    let first = upstream::h2_tls(&authority).reply(good()).start().await;
    let pair = Pair::with_first(first, |gateway| health(gateway, 1, LONG).trust(&authority)).await;
    for refusal in [fault::refused_stream(), fault::goaway_below()] {
        let (response, reached) = pair.meet(refusal, "on", 0).await;
        assert_eq!((response.status, reached), (200, Reached(2, 0)));
    }
    // Refused twice, it is the provider's failure.
    pair.first.push(fault::refused_stream());
    pair.first.push(fault::refused_stream());
    assert_eq!(ask(&pair).await, (200, Reached(2, 1)));
    assert_eq!(ask(&pair).await, (200, Reached(0, 1)));
}

#[tokio::test]
async fn what_was_ejected_stays_so_over_a_reload() {
    let pair = pair_that_ejects(1, LONG).await;
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    assert_eq!(pair.gateway.post_admin("/reload").await.status, 200);
    assert!(is(&pair.gateway.metrics().await, "one", "ejected"));
    assert_eq!(ask(&pair).await, (200, Reached(0, 1)));
}

#[tokio::test]
async fn a_request_on_the_clients_own_key_stays_with_its_provider() {
    let pair = pair_that_ejects(1, LONG).await;
    pair.first.push(error(503));
    assert_eq!(ask(&pair).await, (200, Reached(1, 1)));
    let body = bodies::chat(MODEL).build();
    let own = crate::support::client::post("/v1/chat/completions", body)
        .header("tollgate-key", pair.gateway.key())
        .bearer("sk-of-the-client");
    let (response, reached) = pair.send(&own).await;
    assert_eq!((response.status, reached), (200, Reached(1, 0)));
    // And it was well: the endpoint is back.
    assert_eq!(ask(&pair).await, (200, Reached(1, 0)));
}

#[tokio::test]
async fn two_providers_at_one_address_are_ejected_apart() {
    let shared = upstream::h1()
        .each(|delivery| match delivery.path() {
            path if path.starts_with("/sick") => error(503).into(),
            _ => good().into(),
        })
        .start()
        .await;
    let at = |path: &str| format!("{}{path}", shared.origin());
    let house = |id: &str| custom(id).model(MODEL);
    let builder = health(gateway(), 1, LONG)
        .custom(house("one"), &shared)
        .custom(house("two"), &shared)
        .config("providers.one.base_url", at("/sick/v1"))
        .config("providers.two.base_url", at("/well/v1"));
    let gateway = builder.start().await;
    for _ in 0..3 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    }
    assert_eq!(count_below(&shared, "/sick"), 1);
    assert_eq!(count_below(&shared, "/well"), 3);
}

fn count_below(upstream: &Upstream, path: &str) -> usize {
    let deliveries = upstream.deliveries();
    deliveries
        .iter()
        .filter(|delivery| delivery.path().starts_with(path))
        .count()
}

#[tokio::test]
async fn a_provider_may_have_settings_of_its_own_and_may_be_left_alone() {
    let pair = Pair::start(|gateway| {
        health(gateway, 1, LONG)
            .config("providers.one.health.failures", 3)
            .config("providers.two.health.passive", false)
    })
    .await;
    pair.first.otherwise(error(503));
    pair.second.otherwise(error(503));
    for _ in 0..2 {
        assert_eq!(ask(&pair).await, (503, Reached(1, 1)));
        assert!(is(&pair.gateway.metrics().await, "one", "ready"));
    }
    assert_eq!(ask(&pair).await, (503, Reached(1, 1)));
    let metrics = pair.gateway.metrics().await;
    assert!(is(&metrics, "one", "ejected") && is(&metrics, "two", "ready"));
}
