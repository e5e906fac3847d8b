//! A provider that refuses a key, or limits it: the next key of that provider, then the next candidate; which keys are
//! tried last afterwards; and when a `Retry-After` is waited for.

use std::time::{Duration, Instant, SystemTime};

use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, error, good};
use crate::support::gateway::{Gateway, upstream_key};
use crate::support::upstream::{self, Reply, Upstream};

/// One provider with three keys, then one with one key.
async fn several_keys() -> Pair {
    Pair::start(|gateway| gateway.credentials("one", 3)).await
}

/// The keys that reached `upstream` after its first `count` requests, by their numbers.
fn keys_since(upstream: &Upstream, id: &str, count: usize) -> Vec<usize> {
    let number = |credential: &str| {
        (0..9).find(|at| credential == format!("Bearer {}", upstream_key(id, *at)))
    };
    let deliveries = upstream.deliveries_since(count);
    let credentials = deliveries
        .iter()
        .map(|delivery| delivery.header("authorization").expect("a key"));
    credentials
        .map(|credential| number(credential).expect("a key of ours"))
        .collect()
}

async fn ask(gateway: &Gateway) -> u16 {
    gateway.send(&chat(gateway, 0)).await.status
}

#[tokio::test]
async fn the_next_key_comes_before_the_next_candidate() {
    for (status, outcome) in [
        (401, "auth"),
        (402, "auth"),
        (403, "auth"),
        (429, "rate_limited"),
    ] {
        for mode in ["on", "safe"] {
            let pair = several_keys().await;
            for _ in 0..3 {
                pair.first.push(error(status));
            }
            let (response, reached) = pair
                .send(&chat(&pair.gateway, 0).header("tollgate-failover", mode))
                .await;
            assert_eq!(
                (response.status, reached),
                (200, Reached(3, 1)),
                "{status}, {mode}"
            );
            assert_eq!(keys_since(&pair.first, "one", 0), [0, 1, 2], "{status}");
            assert_eq!(keys_since(&pair.second, "two", 0), [0], "{status}");
            let failed = format!("one:{MODEL};{outcome};status={status}");
            let told = [
                failed.clone(),
                failed.clone(),
                failed,
                format!("two:{MODEL};ok;status=200"),
            ];
            assert_eq!(attempts(&response), told, "{status}");
        }
    }
}

#[tokio::test]
async fn in_mode_off_a_refused_key_is_the_answer() {
    let pair = several_keys().await;
    for status in [403, 429, 402, 401] {
        let (response, reached) = pair
            .meet(error(status).header("retry-after-ms", "1"), "off", 0)
            .await;
        assert_eq!((response.status, reached), (status, Reached(1, 0)));
        assert_eq!(response.body, error(status).body());
    }
}

#[tokio::test]
async fn an_error_of_the_provider_skips_its_other_keys() {
    let pair = several_keys().await;
    let (response, reached) = pair.meet(error(503), "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
    assert_eq!(keys_since(&pair.first, "one", 0), [0]);
}

#[tokio::test]
async fn a_refused_key_is_tried_last_by_the_next_request() {
    for status in [401, 402, 429] {
        let pair = several_keys().await;
        pair.first.push(error(status));
        assert_eq!(ask(&pair.gateway).await, 200);
        assert_eq!(keys_since(&pair.first, "one", 0), [0, 1], "{status}");
        assert_eq!(ask(&pair.gateway).await, 200);
        assert_eq!(keys_since(&pair.first, "one", 2), [1], "{status}");
        // All that are well are tried before it, and it before the next candidate.
        pair.first.push(error(403));
        pair.first.push(error(403));
        assert_eq!(ask(&pair.gateway).await, 200);
        assert_eq!(keys_since(&pair.first, "one", 3), [1, 2, 0], "{status}");
        assert_eq!(pair.second.count(), 0);
    }
}

#[tokio::test]
async fn a_forbidden_request_sets_no_key_aside() {
    let pair = several_keys().await;
    for turn in 0..20 {
        pair.first.push(error(403));
        assert_eq!(ask(&pair.gateway).await, 200);
        assert_eq!(keys_since(&pair.first, "one", turn * 2), [0, 1]);
    }
}

#[tokio::test]
async fn a_limited_key_comes_back_when_its_time_is_over() {
    let pair = several_keys().await;
    pair.first.push(error(429).header("retry-after-ms", "1200"));
    let asked = Instant::now();
    assert_eq!(ask(&pair.gateway).await, 200);
    assert_eq!(ask(&pair.gateway).await, 200);
    if asked.elapsed() < Duration::from_millis(1200) {
        assert_eq!(keys_since(&pair.first, "one", 0), [0, 1, 1]);
    }
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert_eq!(ask(&pair.gateway).await, 200);
    assert_eq!(keys_since(&pair.first, "one", 3), [0]);
}

#[tokio::test]
async fn a_refused_key_stays_aside_over_a_reload() {
    let pair = several_keys().await;
    pair.first.push(error(401));
    assert_eq!(ask(&pair.gateway).await, 200);
    let reloads = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_reloads_total", &[]) >= 1.0
    };
    pair.gateway.signal("HUP");
    pair.gateway.metrics_until("a reload", reloads).await;
    assert_eq!(ask(&pair.gateway).await, 200);
    assert_eq!(keys_since(&pair.first, "one", 0), [0, 1, 1]);
}

/// A provider with one key, and no other candidate.
struct Alone {
    upstream: Upstream,
    gateway: Gateway,
}

impl Alone {
    async fn start() -> Self {
        let upstream = upstream::h1().reply(good()).start().await;
        let one = crate::support::gateway::custom("one").model(MODEL);
        let gateway = crate::support::gateway::gateway()
            .custom(one, &upstream)
            .start()
            .await;
        Self { upstream, gateway }
    }

    /// Meets these answers in turn; returns the status, the number of deliveries, and the times between them.
    async fn meets(&self, answers: &[Reply]) -> (u16, usize, Vec<Duration>) {
        let before = self.upstream.count();
        answers
            .iter()
            .for_each(|answer| self.upstream.push(answer.clone()));
        let response = self.gateway.send(&chat(&self.gateway, 0)).await;
        let deliveries = self.upstream.deliveries_since(before);
        let pauses = deliveries
            .windows(2)
            .map(|two| two[1].at - two[0].at)
            .collect();
        (response.status, deliveries.len(), pauses)
    }
}

fn limited(name: &str, value: &str) -> Reply {
    error(429).header(name, value)
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_in_every_form_when_nothing_else_is_left() {
    let alone = Alone::start().await;
    let (status, count, pauses) = alone.meets(&[limited("retry-after-ms", "150")]).await;
    assert_eq!((status, count), (200, 2));
    assert!(pauses[0] >= Duration::from_millis(150), "{pauses:?}");

    let (status, count, pauses) = alone.meets(&[limited("retry-after", "1")]).await;
    assert_eq!((status, count), (200, 2));
    assert!(pauses[0] >= Duration::from_secs(1), "{pauses:?}");

    // A date has no fractions: what is left until it is between one second and two.
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    let (status, count, pauses) = alone.meets(&[limited("retry-after", &date)]).await;
    assert_eq!((status, count), (200, 2));
    assert!(
        pauses[0] >= Duration::from_millis(500),
        "{date}: {pauses:?}"
    );

    // The finer one counts where both are there.
    let both = limited("retry-after", "60").header("retry-after-ms", "20");
    assert_eq!(alone.meets(&[both]).await.1, 2);
}

#[tokio::test]
async fn it_is_waited_for_twice_at_the_most() {
    let alone = Alone::start().await;
    let soon = limited("retry-after-ms", "50");
    assert_eq!(alone.meets(&[soon.clone(), soon.clone()]).await.0, 200);
    assert_eq!(alone.upstream.count(), 3);
    let last = limited("retry-after-ms", "50").header("x-number", "three");
    let (status, count, _) = alone.meets(&[soon.clone(), soon, last]).await;
    assert_eq!((status, count), (429, 3));
}

#[tokio::test]
async fn a_limit_that_does_not_end_soon_is_the_answer() {
    let alone = Alone::start().await;
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let long = [
        ("retry-after", "6"),
        ("retry-after-ms", "5001"),
        ("retry-after", date.as_str()),
        ("retry-after", "soon"),
        ("x", "1"),
    ];
    for (name, value) in long {
        let asked = Instant::now();
        let (status, count, _) = alone.meets(&[limited(name, value)]).await;
        assert_eq!((status, count), (429, 1), "{name}: {value}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{name}: {value}");
    }
}

#[tokio::test]
async fn other_statuses_are_not_waited_for() {
    let alone = Alone::start().await;
    for status in [401, 403, 500, 503, 529] {
        let (answered, count, _) = alone
            .meets(&[error(status).header("retry-after-ms", "10")])
            .await;
        assert_eq!((answered, count), (status, 1));
    }
}

#[tokio::test]
async fn what_is_left_is_tried_before_a_limit_is_waited_for() {
    let pair = Pair::start(|gateway| gateway).await;
    pair.second.push(limited("retry-after-ms", "300"));
    let (response, reached) = pair.meet(limited("retry-after-ms", "200"), "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 2)));
    let second = pair.second.deliveries();
    assert!(second[1].at - second[0].at >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_wait_that_would_outlast_the_deadline_is_not_begun() {
    let pair = Pair::start(|gateway| gateway.config("timeouts.total", "1s")).await;
    pair.second
        .push(limited("retry-after", "3").header("x-last", "yes"));
    let asked = Instant::now();
    let (response, reached) = pair.meet(error(503), "on", 0).await;
    assert_eq!(
        (response.status, reached),
        (429, Reached(1, 1)),
        "{}",
        response.text()
    );
    assert_eq!(response.header("x-last"), Some("yes"));
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_goes_away_while_a_limit_is_waited_for_costs_nothing_more() {
    let alone = Alone::start().await;
    alone.upstream.push(limited("retry-after-ms", "1000"));
    let mut client = crate::support::client::h1(alone.gateway.address()).await;
    let request = chat(&alone.gateway, 0);
    tokio::select! {
        _ = client.begin(&request) => panic!("answered"),
        _ = alone.upstream.wait_complete(1) => {}
    }
    drop(client);
    pair::idle(&alone.gateway).await;
    assert_eq!(alone.upstream.count(), 1, "sent for a client that is gone");
}
