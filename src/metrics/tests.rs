//! The families as Prometheus sees them.

use super::*;
use crate::surface::Surface;

const CODES: &[&str] = &["invalid_access_key", "model_not_found"];

fn metrics() -> Metrics {
    Metrics::new(CODES).expect("the families are well formed")
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render()).expect("UTF-8")
}

/// The value of the series written as `series`.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = text(metrics);
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_request_is_counted_under_its_labels_and_no_others() {
    let metrics = metrics();
    let openai = metrics.provider("openai");
    openai.request(
        Some(Surface::Chat),
        200,
        CredentialLabel::Byok,
        Duration::from_millis(30),
    );
    openai.request(
        Some(Surface::Chat),
        201,
        CredentialLabel::Byok,
        Duration::from_millis(40),
    );
    metrics
        .no_provider()
        .request(None, 404, CredentialLabel::None, Duration::ZERO);
    let expected = [
        "tollgate_requests_total{credential=\"byok\",provider=\"openai\",status_class=\"2xx\",surface=\"chat\"} 2",
        "tollgate_requests_total{credential=\"none\",provider=\"none\",status_class=\"4xx\",surface=\"none\"} 1",
    ];
    let text = text(&metrics);
    let found: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tollgate_requests_total{"))
        .collect();
    assert_eq!(found, expected);
    let seconds = "tollgate_request_seconds_count{provider=\"openai\",surface=\"chat\"}";
    assert_eq!(value(&metrics, seconds), Some(2.0));
}

#[test]
fn every_combination_of_labels_has_a_series_of_its_own() {
    let metrics = metrics();
    let provider = metrics.provider("p");
    let surfaces = || {
        crate::surface::TABLE
            .iter()
            .map(|row| Some(row.surface))
            .chain([None])
    };
    let statuses = [0, 101, 200, 302, 404, 500];
    for surface in surfaces() {
        for status in statuses {
            for credential in CredentialLabel::ALL {
                provider.request(surface, status, *credential, Duration::ZERO);
            }
        }
    }
    let text = text(&metrics);
    let series: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tollgate_requests_total{"))
        .collect();
    assert_eq!(
        series.len(),
        surfaces().count() * statuses.len() * CredentialLabel::ALL.len()
    );
    assert!(series.iter().all(|line| line.ends_with(" 1")));
}

#[test]
fn attempts_failovers_and_first_bytes_are_counted() {
    let metrics = metrics();
    let groq = metrics.provider("groq");
    groq.attempt(AttemptOutcome::RateLimited);
    groq.first_byte(Duration::from_secs(3));
    metrics.failover(AttemptOutcome::RateLimited);
    metrics.overhead(Duration::from_micros(60));
    for (series, expected) in [
        (
            "tollgate_attempts_total{outcome=\"rate_limited\",provider=\"groq\"}",
            1.0,
        ),
        ("tollgate_failovers_total{reason=\"rate_limited\"}", 1.0),
        ("tollgate_failovers_total{reason=\"timeout\"}", 0.0),
        (
            "tollgate_upstream_first_byte_seconds_bucket{provider=\"groq\",le=\"2.5\"}",
            0.0,
        ),
        (
            "tollgate_upstream_first_byte_seconds_bucket{provider=\"groq\",le=\"5\"}",
            1.0,
        ),
        (
            "tollgate_gateway_overhead_seconds_bucket{le=\"0.00005\"}",
            0.0,
        ),
        (
            "tollgate_gateway_overhead_seconds_bucket{le=\"0.0001\"}",
            1.0,
        ),
    ] {
        assert_eq!(
            value(&metrics, series),
            Some(expected),
            "{series}\n{}",
            text(&metrics)
        );
    }
}

#[test]
fn a_refusal_is_counted_under_its_code() {
    let metrics = metrics();
    metrics.rejection(1);
    metrics.rejection(CODES.len());
    assert_eq!(
        value(
            &metrics,
            "tollgate_rejections_total{code=\"model_not_found\"}"
        ),
        Some(1.0)
    );
    assert_eq!(
        value(
            &metrics,
            "tollgate_rejections_total{code=\"invalid_access_key\"}"
        ),
        Some(0.0)
    );
}

#[test]
fn what_is_under_way_is_counted_until_it_is_dropped_also_by_a_panic() {
    let metrics = metrics();
    let first = metrics.request_begins();
    let stream = metrics.stream_begins();
    let second = metrics.request_begins();
    assert_eq!(
        (
            metrics.in_flight(),
            value(&metrics, "tollgate_streams_open")
        ),
        (2, Some(1.0))
    );
    let unwound = std::panic::catch_unwind(move || {
        let _second = second;
        std::panic::resume_unwind(Box::new("a phase"));
    });
    drop((first, stream));
    assert!(unwound.is_err());
    assert_eq!(
        (
            metrics.in_flight(),
            value(&metrics, "tollgate_streams_open")
        ),
        (0, Some(0.0))
    );
}

#[test]
fn only_the_catalog_in_use_is_shown() {
    let metrics = metrics();
    metrics.catalog_in_use("one");
    metrics.catalog_in_use("two");
    assert_eq!(
        value(&metrics, "tollgate_catalog_info{version=\"two\"}"),
        Some(1.0)
    );
    assert!(!text(&metrics).contains("\"one\""));
}

#[test]
fn reloads_and_ignored_headers_are_counted() {
    let metrics = metrics();
    metrics.reloaded(true);
    metrics.reloaded(false);
    metrics.ignored_header();
    assert_eq!(value(&metrics, "tollgate_reloads_total"), Some(2.0));
    assert_eq!(value(&metrics, "tollgate_reload_failures_total"), Some(1.0));
    assert_eq!(value(&metrics, "tollgate_ignored_headers_total"), Some(1.0));
}

#[test]
fn a_number_kept_elsewhere_is_read_at_each_scrape() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let metrics = metrics();
    let bytes = Arc::new(AtomicU64::new(7));
    let held = Arc::clone(&bytes);
    metrics
        .gauge_of("replay_bytes", "Held.", move || {
            held.load(Ordering::Relaxed)
        })
        .expect("a new name");
    metrics
        .counter_of("access_log_dropped_total", "Dropped.", || 3)
        .expect("a new name");
    assert_eq!(value(&metrics, "tollgate_replay_bytes"), Some(7.0));
    bytes.store(9, Ordering::Relaxed);
    assert_eq!(value(&metrics, "tollgate_replay_bytes"), Some(9.0));
    assert!(text(&metrics).contains("# TYPE tollgate_access_log_dropped_total counter\n"));
    assert!(metrics.gauge_of("in_flight", "Taken.", || 0).is_err());
}

#[test]
fn a_provider_has_one_set_of_series_however_often_a_catalog_is_published() {
    let metrics = metrics();
    assert!(Arc::ptr_eq(
        &metrics.provider("openai"),
        &metrics.provider("openai")
    ));
    assert!(!Arc::ptr_eq(
        &metrics.provider("openai"),
        &metrics.provider("groq")
    ));
}

#[test]
fn two_instances_share_nothing() {
    let (one, other) = (metrics(), metrics());
    one.ignored_header();
    assert_eq!(value(&other, "tollgate_ignored_headers_total"), Some(0.0));
}

#[test]
fn things_are_in_one_state_each_and_vanish() {
    let metrics = Metrics::new(&[]).expect("valid");
    let things = Arc::new(Mutex::new(vec![InState {
        names: vec!["p".to_owned(), "e".to_owned()],
        state: "bad",
    }]));
    let read = Arc::clone(&things);
    metrics
        .states_of(
            "thing_state",
            "Help.",
            &["who", "name"],
            &["good", "bad"],
            move || read.lock().expect("no panic").clone(),
        )
        .expect("a new name");
    let text = || String::from_utf8(metrics.render()).expect("text");
    let shown = text();
    assert!(
        shown.contains("# TYPE tollgate_thing_state gauge\n"),
        "{shown}"
    );
    for line in [
        "tollgate_thing_state{name=\"e\",state=\"good\",who=\"p\"} 0\n",
        "tollgate_thing_state{name=\"e\",state=\"bad\",who=\"p\"} 1\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    things.lock().expect("no panic").clear();
    assert!(!text().contains("thing_state"));
}
