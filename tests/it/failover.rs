//! What holds for every failover: who sets the mode, how often and how long something else is tried, and what is told
//! and counted of it. What each failure leads to is in the files named `failover_…`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, code, error, good};
use crate::support::bodies;
use crate::support::client::Response;
use crate::support::gateway::{Builder, custom, gateway};
use crate::support::upstream::{self, Behaviour, Reply, fault};

/// A failure that only mode `off` does not pass on.
fn busy() -> Behaviour {
    error(503).into()
}

/// A failure that only mode `on` passes on.
fn lost() -> Behaviour {
    fault::close_after_body()
}

/// What mode a request was in, by what became of two failures.
async fn mode_of(pair: &Pair, key: &str, header: Option<&str>) -> &'static str {
    let mut passed = Vec::new();
    for failure in [busy(), lost()] {
        pair.first.push(failure);
        let body = bodies::chat(MODEL).build();
        let mut request = crate::support::client::post("/v1/chat/completions", body)
            .bearer(pair.gateway.key_named(key));
        if let Some(mode) = header {
            request = request.header("Tollgate-Failover", mode);
        }
        let (response, reached) = pair.send(&request).await;
        assert_eq!(reached.0, 1, "{}", response.text());
        passed.push(reached.1 == 1);
    }
    match passed[..] {
        [true, true] => "on",
        [true, false] => "safe",
        [false, false] => "off",
        _ => panic!("no mode is like this: {passed:?}"),
    }
}

#[tokio::test]
async fn the_header_beats_the_key_and_the_key_beats_the_configuration() {
    for configured in [None, Some("on"), Some("safe"), Some("off")] {
        let pair = Pair::start(|mut gateway| {
            if let Some(mode) = configured {
                gateway = gateway.config("failover.mode", mode);
            }
            for mode in pair::MODES {
                gateway = gateway.key(mode, &["--failover", mode]);
            }
            gateway
        })
        .await;
        let default = configured.unwrap_or("on");
        assert_eq!(mode_of(&pair, "test", None).await, default);
        for key in pair::MODES {
            assert_eq!(mode_of(&pair, key, None).await, key, "under {default}");
        }
        for header in pair::MODES {
            assert_eq!(
                mode_of(&pair, "test", Some(header)).await,
                header,
                "under {default}"
            );
            assert_eq!(
                mode_of(&pair, "off", Some(header)).await,
                header,
                "under {default}"
            );
            assert_eq!(
                mode_of(&pair, "on", Some(header)).await,
                header,
                "under {default}"
            );
        }
    }
}

#[tokio::test]
async fn a_mode_that_is_none_is_refused() {
    let pair = Pair::start(|gateway| gateway).await;
    for wrong in ["", "sometimes", "on, off", "\u{fc}"] {
        let request = chat(&pair.gateway, 0).header("tollgate-failover", wrong);
        let (response, reached) = pair.send(&request).await;
        assert_eq!(
            (response.status, reached),
            (400, Reached(0, 0)),
            "{wrong:?}"
        );
        assert_eq!(code(&response), "invalid_request");
        assert!(
            response.text().contains("Tollgate-Failover"),
            "{}",
            response.text()
        );
    }
}

#[tokio::test]
async fn the_header_stays_at_the_gateway() {
    let pair = Pair::start(|gateway| gateway).await;
    let (response, _) = pair.meet(busy(), "safe", 0).await;
    assert_eq!(response.status, 200);
    for delivery in [pair.first.delivery(), pair.second.delivery()] {
        let ours = delivery
            .fields
            .iter()
            .filter(|(name, _)| name.to_lowercase().starts_with("tollgate"));
        assert_eq!(ours.count(), 0, "{delivery:?}");
    }
}

/// Twelve models of one provider that always answers so, asked for one after another.
async fn twelve(
    answer: Behaviour,
    configure: impl FnOnce(Builder) -> Builder,
) -> (Response, usize, Duration) {
    let upstream = upstream::h1().otherwise(answer).start().await;
    let names: Vec<String> = (1..=12).map(|number| format!("m{number}")).collect();
    let provider = names
        .iter()
        .fold(custom("one"), |provider, name| provider.model(name));
    let gateway = configure(gateway().custom(provider, &upstream))
        .start()
        .await;
    let others = json!(names[1..]).to_string();
    let body = bodies::chat(&names[0]).member("models", &others).build();
    let asked = Instant::now();
    let response = gateway.chat(body).await;
    let took = asked.elapsed();
    pair::idle(&gateway).await;
    (response, upstream.count(), took)
}

#[tokio::test]
async fn no_more_than_ten_attempts_are_made() {
    let (response, count, _) = twelve(busy(), |gateway| gateway).await;
    assert_eq!((response.status, count), (503, 10));
    assert_eq!(response.body, error(503).body());
    let told: Vec<String> = (1..=10)
        .map(|number| format!("one:m{number};server_error;status=503"))
        .collect();
    assert_eq!(attempts(&response), told);

    let (response, count, _) = twelve(lost(), |gateway| gateway).await;
    assert_eq!(
        (response.status, code(&response).as_str(), count),
        (502, "all_candidates_failed", 10)
    );
}

#[tokio::test]
async fn no_more_attempts_are_made_than_configured() {
    for most in [1, 3] {
        let (response, count, _) =
            twelve(busy(), |gateway| gateway.config("failover.attempts", most)).await;
        assert_eq!(
            (response.status, count),
            (503, usize::try_from(most).expect("small"))
        );
    }
}

#[tokio::test]
async fn one_deadline_covers_all_attempts() {
    let times = |gateway: Builder| {
        gateway
            .config("timeouts.first_byte", "400ms")
            .config("timeouts.total", "1s")
    };
    let (response, count, took) = twelve(fault::silent_after_body(), times).await;
    assert_eq!(
        (response.status, code(&response).as_str()),
        (504, "upstream_timeout")
    );
    assert_eq!(count, 3);
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(3),
        "{took:?}"
    );
    assert_eq!(
        attempts(&response),
        ["one:m1;timeout", "one:m2;timeout", "one:m3;timeout"]
    );
}

#[tokio::test]
async fn an_earlier_error_is_passed_on_when_the_deadline_passes() {
    let second = upstream::h1()
        .otherwise(fault::silent_after_body())
        .start()
        .await;
    let first = upstream::h1()
        .reply(error(503).header("x-mine", "yes"))
        .start()
        .await;
    let gateway = pair::before(&first, &second)
        .config("timeouts.total", "700ms")
        .start()
        .await;
    let response = gateway.send(&chat(&gateway, 0)).await;
    assert_eq!(
        (response.status, response.header("x-mine")),
        (503, Some("yes")),
        "{}",
        response.text()
    );
    assert_eq!(response.body, error(503).body());
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[tokio::test]
async fn the_deadline_ends_an_answer_that_is_too_long() {
    let pair = Pair::start(|gateway| gateway.config("timeouts.total", "700ms")).await;
    let endless = fault::stalled(Reply::json(200, "[1,").claimed(100), 3);
    let asked = Instant::now();
    let (response, reached) = pair.meet(endless, "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 0)));
    assert!(!response.is_whole());
    assert!(
        asked.elapsed() >= Duration::from_millis(700) && asked.elapsed() < Duration::from_secs(3)
    );
    pair.first.wait_open_at_most(0).await;
    pair::idle(&pair.gateway).await;
}

#[tokio::test]
async fn every_attempt_is_counted_and_logged() {
    let pair = Pair::start(|gateway| gateway.config("timeouts.first_byte", "300ms")).await;
    let failures = [
        (busy(), "server_error"),
        (error(429).into(), "rate_limited"),
        (error(403).into(), "auth"),
        (lost(), "broken"),
        (fault::silent_after_body(), "timeout"),
    ];
    let count = failures.len();
    for (failure, outcome) in failures.clone() {
        let (response, reached) = pair.meet(failure, "on", 0).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 1)),
            "{outcome}"
        );
        let first = attempts(&response).remove(0);
        assert!(
            first.starts_with(&format!("one:{MODEL};{outcome}")),
            "{first}"
        );
    }
    let (response, _) = pair.meet(error(422), "on", 0).await;
    assert_eq!(
        attempts(&response),
        [format!("one:{MODEL};client_error;status=422")]
    );

    let counted = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_requests_total", &[("surface", "chat")]) >= 6.0
    };
    let metrics = pair
        .gateway
        .metrics_until("six counted requests", counted)
        .await;
    let attempts_of = |provider, outcome| {
        metrics.sum(
            "tollgate_attempts_total",
            &[("provider", provider), ("outcome", outcome)],
        )
    };
    for (_, outcome) in &failures {
        assert_eq!(attempts_of("one", outcome), 1.0, "{outcome}");
        assert_eq!(
            metrics.sum("tollgate_failovers_total", &[("reason", outcome)]),
            1.0,
            "{outcome}"
        );
    }
    assert_eq!(attempts_of("one", "client_error"), 1.0);
    assert_eq!(attempts_of("one", "ok"), 0.0);
    assert_eq!(attempts_of("two", "ok"), 5.0);
    assert_eq!(metrics.sum("tollgate_attempts_total", &[]), 11.0);
    assert_eq!(metrics.sum("tollgate_failovers_total", &[]), 5.0);

    let lines = pair.gateway.access_lines(count + 1).await;
    let told = lines[0]["attempts"].as_str().expect("attempts");
    assert!(
        told.starts_with("one:twice-served;server_error;status=503;ms="),
        "{told}"
    );
    assert!(
        told.contains(", two:twice-served;ok;status=200;ms="),
        "{told}"
    );
    assert_eq!(lines[0]["provider"], "two");
}

#[tokio::test]
async fn a_failover_that_ends_in_nothing_is_not_counted_as_one() {
    let (first, second) = (upstream::refusing(), upstream::refusing());
    let gateway = pair::before(&first, &second).start().await;
    assert_eq!(gateway.send(&chat(&gateway, 0)).await.status, 502);
    let metrics = pair::idle(&gateway).await;
    assert_eq!(
        metrics.sum("tollgate_attempts_total", &[("outcome", "connect_failed")]),
        2.0
    );
    assert_eq!(metrics.sum("tollgate_failovers_total", &[]), 1.0);
    assert_eq!(
        metrics.sum(
            "tollgate_rejections_total",
            &[("code", "all_candidates_failed")]
        ),
        1.0
    );
}

#[tokio::test]
async fn the_models_of_a_list_and_of_a_virtual_model_are_tried_in_order() {
    let upstream = upstream::h1().reply(good()).start().await;
    let provider = ["a", "b", "c"]
        .into_iter()
        .fold(custom("one"), |provider, name| provider.model(name));
    let gateway = gateway()
        .custom(provider, &upstream)
        .virtual_model("any", &["one:c", "one:a"])
        .start()
        .await;
    let list = json!(["any", "a", "b"]).to_string();
    for _ in 0..2 {
        upstream.push(busy());
    }
    let response = gateway
        .chat(bodies::chat("b").member("models", &list).build())
        .await;
    // `b` comes once only, although it is named twice.
    let told = [
        "one:b;server_error;status=503",
        "one:c;server_error;status=503",
        "one:a;ok;status=200",
    ];
    assert_eq!(
        (response.status, attempts(&response)),
        (200, told.map(str::to_owned).to_vec())
    );
    let asked: Vec<_> = upstream
        .deliveries()
        .iter()
        .map(|delivery| delivery.json()["model"].clone())
        .collect();
    assert_eq!(asked, ["b", "c", "a"]);
}
