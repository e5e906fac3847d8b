//! What is told of attempts agrees wherever it is told: in the answer's header, in the log, and in the metrics.

use std::collections::BTreeMap;

use crate::pair::{self, MODEL, attempts, chat, error, good};
use crate::support::gateway::{Metrics, custom, gateway};
use crate::support::upstream::{self, Behaviour, fault};

/// An attempt: its provider, what became of it, and the status of its answer if there was one.
type Told = (String, String, Option<u16>);

/// `one:m;server_error;status=503` in its parts.
fn parsed(attempt: &str) -> Told {
    let mut parts = attempt.split(';');
    let candidate = parts.next().expect("a candidate");
    let provider = candidate
        .strip_suffix(&format!(":{MODEL}"))
        .expect("the model");
    let outcome = parts.next().expect("an outcome");
    let status = parts.next().map(|status| {
        let digits = status.strip_prefix("status=").expect("a status");
        digits.parse().expect("a number")
    });
    (provider.to_owned(), outcome.to_owned(), status)
}

#[tokio::test]
async fn five_different_failures_are_told_alike_everywhere() {
    let dead = upstream::refusing();
    let failing: [(&str, &str, Option<u16>, Behaviour); 5] = [
        ("busy", "server_error", Some(503), error(503).into()),
        ("limited", "rate_limited", Some(429), error(429).into()),
        ("keyless", "auth", Some(401), error(401).into()),
        ("breaking", "broken", None, fault::close_after_body()),
        ("silent", "timeout", None, fault::silent_after_body()),
    ];
    let mut builder = gateway()
        .config("providers.silent.timeouts.first_byte", "400ms")
        .custom(custom("dead").model(MODEL), &dead);
    let mut upstreams = Vec::new();
    for (id, _, _, does) in &failing {
        let upstream = upstream::h1().otherwise(does.clone()).start().await;
        builder = builder.custom(custom(id).model(MODEL), &upstream);
        upstreams.push(upstream);
    }
    let well = upstream::h1().reply(good()).start().await;
    let gateway = builder
        .custom(custom("well").model(MODEL), &well)
        .start()
        .await;

    let told = |id: &str, outcome: &str, status| (id.to_owned(), outcome.to_owned(), status);
    let mut expected = vec![told("dead", "connect_failed", None)];
    expected.extend(
        failing
            .iter()
            .map(|(id, outcome, status, _)| told(id, outcome, *status)),
    );
    expected.push(told("well", "ok", Some(200)));

    let response = gateway.send(&chat(&gateway, 1000)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let header: Vec<Told> = attempts(&response)
        .iter()
        .map(|attempt| parsed(attempt))
        .collect();
    assert_eq!(header, expected);
    assert!(
        upstreams
            .iter()
            .chain([&well])
            .all(|upstream| upstream.count() == 1)
    );

    // The log says the same, times included.
    let lines = gateway.access_lines(1).await;
    assert_eq!(
        lines[0]["attempts"].as_str(),
        response.header("tollgate-attempts")
    );
    assert_eq!(
        (&lines[0]["provider"], &lines[0]["status"]),
        (&"well".into(), &200.into())
    );

    let metrics = pair::idle(&gateway).await;
    agree(&metrics, &expected);
}

/// Whether the metrics have counted these attempts of one request, and no others.
fn agree(metrics: &Metrics, told: &[Told]) {
    for (provider, outcome, _) in told {
        let labels = [
            ("provider", provider.as_str()),
            ("outcome", outcome.as_str()),
        ];
        assert_eq!(
            metrics.sum("tollgate_attempts_total", &labels),
            1.0,
            "{labels:?}"
        );
    }
    assert_eq!(
        metrics.sum("tollgate_attempts_total", &[]),
        told.len() as f64
    );
    // Whatever was followed by a further attempt is the reason for it.
    let mut reasons = BTreeMap::<&str, f64>::new();
    for (_, outcome, _) in &told[..told.len() - 1] {
        *reasons.entry(outcome).or_default() += 1.0;
    }
    for (reason, count) in &reasons {
        let counted = metrics.sum("tollgate_failovers_total", &[("reason", reason)]);
        assert_eq!(counted, *count, "{reason}");
    }
    assert_eq!(
        metrics.sum("tollgate_failovers_total", &[]),
        (told.len() - 1) as f64
    );
}

/// A request that nobody answers well: every attempt but the last is the reason for a further one.
#[tokio::test]
async fn failures_without_a_good_end_are_told_alike_everywhere() {
    let (first, second) = (upstream::h1().start().await, upstream::refusing());
    first.push(error(503));
    let gateway = pair::before(&first, &second).start().await;
    let response = gateway.send(&chat(&gateway, 1000)).await;
    assert_eq!(response.status, 503, "{}", response.text());
    let header: Vec<Told> = attempts(&response)
        .iter()
        .map(|attempt| parsed(attempt))
        .collect();
    let lines = gateway.access_lines(1).await;
    assert_eq!(
        lines[0]["attempts"].as_str(),
        response.header("tollgate-attempts")
    );
    assert_eq!(header.len(), 2);
    agree(&pair::idle(&gateway).await, &header);
}
