//! Provider keys as they are measured: what a provider's own words on its limits do, how an operator is told, and how
//! requests are spread over the keys by weight.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::pair::{self, MODEL, Pair, chat, error, good};
use crate::support::client::post;
use crate::support::gateway::{Gateway, custom, gateway, upstream_key};
use crate::support::upstream::{self, Reply, Upstream};

/// A header field.
type Field<'t> = (&'t str, &'t str);

/// The credentials of the first candidate, as the running gateway explains them.
async fn credentials(gateway: &Gateway) -> Vec<Value> {
    let body = json!({"model": format!("one:{MODEL}")}).to_string();
    let asked = post("/tollgate/v1/explain", body).bearer(gateway.key());
    let told = gateway.send(&asked).await.json();
    let credentials = &told["candidates"][0]["credentials"];
    credentials.as_array().expect("a list").clone()
}

async fn several() -> Pair {
    Pair::start(|gateway| gateway.credentials("one", 3)).await
}

/// Sends a request whose first delivery meets `reply`.
async fn meets(pair: &Pair, reply: Reply) {
    let (response, _) = pair.meet(reply, "on", 0).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn a_key_over_its_limits_is_left_alone_for_as_long_as_its_provider_says() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(300));
    let rows: &[(&[Field<'_>], RangeInclusive<u64>)] = &[
        (&[("retry-after", "300")], 200..=300),
        (&[("retry-after", &date)], 200..=300),
        (
            &[("retry-after-ms", "300000"), ("retry-after", "9")],
            200..=300,
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "12"),
                ("x-ratelimit-reset-requests", "30m"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "5m0s"),
            ],
            200..=300,
        ),
        (
            &[
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2999-01-01T00:00:00Z"),
            ],
            3_000..=3_600,
        ),
        // No word is taken for more than an hour, and without any it is a short time.
        (&[("retry-after", "86400")], 3_000..=3_600),
        (&[], 1..=5),
    ];
    for (fields, expected) in rows {
        let pair = several().await;
        let reply = fields
            .iter()
            .fold(error(429), |reply, (name, value)| reply.header(name, value));
        meets(&pair, reply).await;
        let told = credentials(&pair.gateway).await;
        // A short time may be over before it is asked for.
        if let Some(last) = told.iter().find(|key| key["state"] == "set_aside") {
            assert_eq!(
                (&last["number"], &last["reason"]),
                (&json!(1), &json!("rate_limited"))
            );
            let seconds = last["seconds"].as_u64().expect("seconds");
            assert!(expected.contains(&seconds), "{fields:?}: {seconds}");
        } else {
            assert!(*expected.start() < 100, "{fields:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn of_the_keys_that_are_set_aside_the_soonest_to_return_is_tried_first() {
    let pair = several().await;
    pair.first.push(error(429).header("retry-after", "3000"));
    pair.first.push(error(401));
    pair.first.push(error(429).header("retry-after", "2000"));
    let (response, _) = pair.send(&chat(&pair.gateway, 0)).await;
    assert_eq!(response.status, 200);
    let told = credentials(&pair.gateway).await;
    let shown: Vec<_> = told
        .iter()
        .map(|key| (key["number"].as_u64(), key["reason"].as_str()))
        .collect();
    let expected = [
        (Some(2), Some("refused")),
        (Some(3), Some("rate_limited")),
        (Some(1), Some("rate_limited")),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn the_operator_is_told_once_for_each_change_and_never_the_secret() {
    let one = custom("one").model(MODEL);
    let first = upstream::h1().reply(error(401)).start().await;
    let second = upstream::h1().reply(good()).start().await;
    let key = |at: usize, name: &str| {
        let mut entry = toml::Table::new();
        entry.insert("key".to_owned(), format!("env:KEY_{at}").into());
        if !name.is_empty() {
            entry.insert("name".to_owned(), name.into());
        }
        entry
    };
    let gateway = gateway()
        .custom(one, &first)
        .custom(custom("two").model(MODEL), &second)
        .environment("KEY_0", &upstream_key("one", 0))
        .environment("KEY_1", &upstream_key("one", 1))
        .config("providers.one.keys", vec![key(0, ""), key(1, "spare")])
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    }
    first.otherwise(good());
    assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    gateway
        .log_until("the key's return", |line| line.contains("serves again"))
        .await;
    let lines = gateway.log_lines();
    let told: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("provider one: key"))
        .collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    for (line, words) in told.iter().zip([
        "provider one: key 1 is set aside for 60 s: the provider does not accept it",
        "provider one: key 2 (spare) is set aside for 60 s: the provider does not accept it",
        "provider one: key 1 serves again",
    ]) {
        assert!(
            line.contains(words) && line.to_lowercase().contains("warn"),
            "{line}"
        );
    }
    assert!(!gateway.everything_written().contains("upstream-secret"));
    let metrics = pair::idle(&gateway).await;
    let labels = [("provider", "one"), ("reason", "refused")];
    assert_eq!(metrics.sum("tollgate_key_failures_total", &labels), 40.0);
    assert_eq!(metrics.sum("tollgate_keys_set_aside", &labels), 1.0);
    let told = credentials(&gateway).await;
    assert_eq!(
        (&told[0]["number"], &told[0]["state"]),
        (&json!(1), &json!("ready"))
    );
    assert_eq!(
        (&told[1]["number"], &told[1]["name"]),
        (&json!(2), &json!("spare"))
    );
}

/// A provider with two keys, the first with three shares and the second with one.
async fn weighted() -> (Upstream, Gateway) {
    let upstream = upstream::h1().reply(good()).start().await;
    let key = |at: usize, weight: i64| {
        let mut entry = toml::Table::new();
        entry.insert("key".to_owned(), format!("env:KEY_{at}").into());
        entry.insert("weight".to_owned(), weight.into());
        entry
    };
    let gateway = gateway()
        .custom(custom("one").model(MODEL), &upstream)
        .environment("KEY_0", &upstream_key("one", 0))
        .environment("KEY_1", &upstream_key("one", 1))
        .config("providers.one.keys", vec![key(0, 3), key(1, 1)])
        .config("providers.one.keys_use", "weighted")
        .start()
        .await;
    (upstream, gateway)
}

/// How many of the deliveries after the first `count` came with the first key.
fn with_first(upstream: &Upstream, count: usize) -> usize {
    let first = format!("Bearer {}", upstream_key("one", 0));
    let deliveries = upstream.deliveries_since(count);
    deliveries
        .iter()
        .filter(|delivery| delivery.header("authorization") == Some(&first))
        .count()
}

#[tokio::test]
async fn requests_are_spread_over_the_keys_by_their_weights() {
    let (upstream, gateway) = weighted().await;
    for _ in 0..40 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    }
    let first = with_first(&upstream, 0);
    assert!((28..=32).contains(&first), "{first} of 40");
    // A reload goes on where it was, and a key that is set aside has no turn.
    gateway.signal("HUP");
    let reloaded = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_reloads_total", &[]) >= 1.0
    };
    gateway.metrics_until("a reload", reloaded).await;
    let refused = format!("Bearer {}", upstream_key("one", 0));
    let bad = error(401);
    while credentials(&gateway)
        .await
        .iter()
        .all(|key| key["state"] == "ready")
    {
        upstream.push(bad.clone());
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    }
    let last = upstream.deliveries();
    let well = last
        .last()
        .and_then(|last| last.header("authorization").map(str::to_owned));
    let before = upstream.count();
    for _ in 0..12 {
        assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 200);
    }
    let first = with_first(&upstream, before);
    assert_eq!(
        first,
        if well.as_deref() == Some(&*refused) {
            12
        } else {
            0
        }
    );
}

/// A 402 or 429 may be for what one request asks: another account goes on with the key.
#[tokio::test]
async fn what_one_account_meets_moves_no_other() {
    for (status, everybodys) in [(402, false), (429, false), (401, true)] {
        let pair = Pair::start(|gateway| {
            let gateway = gateway.credentials("one", 2);
            gateway.key("other", &["--account", "other"])
        })
        .await;
        meets(&pair, error(status)).await;
        let asked_with = async |name: &str| {
            let before = pair.first.count();
            let body = format!(r#"{{"model":"{MODEL}"}}"#);
            let request = post("/v1/chat/completions", body).bearer(pair.gateway.key_named(name));
            assert_eq!(pair.gateway.send(&request).await.status, 200);
            let delivery = pair.first.deliveries_since(before).remove(0);
            delivery.header("authorization").expect("a key").to_owned()
        };
        let key = |at| format!("Bearer {}", upstream_key("one", at));
        assert_eq!(asked_with("test").await, key(1), "{status}");
        let other = if everybodys { key(1) } else { key(0) };
        assert_eq!(asked_with("other").await, other, "{status}");
        let aside = pair.gateway.metrics().await;
        assert_eq!(aside.sum("tollgate_keys_set_aside", &[]), 1.0, "{status}");
    }
}
