//! Traces and measures as a collector gets them: over HTTP, read by the messages of OpenTelemetry's own crate.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::pair::{self, MODEL};
use crate::support::bodies;
use crate::support::client::{self, Request};
use crate::support::gateway::{Builder, Gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream, fault, payload};
use crate::support::wait;

/// A trace of a client's, and what it says of it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// A gateway before two providers, which tells a collector.
struct Told {
    first: Upstream,
    second: Upstream,
    collector: Upstream,
    gateway: Gateway,
}

async fn told_to(collector: Upstream, configure: impl FnOnce(Builder) -> Builder) -> Told {
    let first = upstream::h1().reply(pair::good()).start().await;
    let second = upstream::h1().reply(pair::good()).start().await;
    let builder = pair::before(&first, &second)
        .config("otel.endpoint", collector.origin())
        .config("otel.period", "1s");
    let gateway = configure(builder).start().await;
    Told {
        first,
        second,
        collector,
        gateway,
    }
}

async fn told(configure: impl FnOnce(Builder) -> Builder) -> Told {
    told_to(upstream::json("").await, configure).await
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The value of an attribute; empty where it is absent.
fn of(attributes: &[KeyValue], key: &str) -> String {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found
        .next()
        .and_then(|it| it.value.as_ref()?.value.as_ref());
    assert!(found.next().is_none(), "{key} occurs twice");
    value.map(text).unwrap_or_default()
}

fn is_ours(resource: Option<&Resource>) {
    let attributes = &resource.expect("a resource").attributes;
    assert_eq!(of(attributes, "service.name"), "tollgate");
    assert_eq!(of(attributes, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(of(attributes, "service.instance.id").len(), 32);
}

impl Told {
    fn chat(&self) -> Request {
        pair::chat(&self.gateway, 0)
    }

    /// A chat request within a trace of the client's.
    fn traced(&self) -> Request {
        self.chat()
            .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
    }

    /// All spans that the collector was sent so far, as often as they were.
    fn sent(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for delivery in self.collector.deliveries() {
            if delivery.target != "/v1/traces" || !delivery.complete {
                continue;
            }
            let media = delivery.header("content-type");
            assert_eq!(media, Some("application/x-protobuf"));
            let message = ExportTraceServiceRequest::decode(&delivery.body[..]).expect("OTLP");
            for resource in message.resource_spans {
                is_ours(resource.resource.as_ref());
                spans.extend(
                    resource
                        .scope_spans
                        .into_iter()
                        .flat_map(|scope| scope.spans),
                );
            }
        }
        spans
    }

    /// As [`Self::sent`], once there are `count`.
    async fn spans(&self, count: usize) -> Vec<Span> {
        wait::until("spans", || self.sent().len() >= count).await;
        let spans = self.sent();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// The series of a metric as they were sent last.
    fn series(&self, name: &str) -> Vec<HistogramDataPoint> {
        let sent = self.collector.deliveries();
        let mut all = sent
            .iter()
            .filter(|delivery| delivery.target == "/v1/metrics" && delivery.complete);
        let Some(last) = all.next_back() else {
            return Vec::new();
        };
        let message = ExportMetricsServiceRequest::decode(&last.body[..]).expect("OTLP");
        let mut points = Vec::new();
        for resource in message.resource_metrics {
            is_ours(resource.resource.as_ref());
            let metrics = resource.scope_metrics.into_iter().flat_map(|it| it.metrics);
            for metric in metrics.filter(|metric| metric.name == name) {
                let Some(Data::Histogram(histogram)) = metric.data else {
                    panic!("{name} is no histogram");
                };
                assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
                points.extend(histogram.data_points);
            }
        }
        points
    }

    async fn counts(&self, name: &str) -> f64 {
        self.gateway.metrics().await.sum(name, &[])
    }
}

#[tokio::test]
async fn a_failover_is_a_span_with_one_in_it_for_each_attempt() {
    let told = told(|builder| builder).await;
    told.first.otherwise(pair::error(503));
    let request = told.traced().header("tracestate", "vendor=1");
    let answer = told.gateway.send(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spans = told.spans(3).await;
    for span in &spans {
        assert_eq!(hexadecimal(&span.trace_id), TRACE);
        assert_eq!(span.trace_state, "vendor=1");
        assert_eq!(span.flags & 0xff, 1);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    let [whole, failed, good] = &spans[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!(
        (whole.kind, &*whole.name),
        (SERVER, "POST /v1/chat/completions")
    );
    assert_eq!(hexadecimal(&whole.parent_span_id), PARENT);
    assert_eq!(whole.flags, 0x301, "a parent of another process");
    assert!(whole.status.is_none());
    let id = answer.header("tollgate-request-id").expect("an id");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/chat/completions"),
        ("http.response.status_code", "200"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", MODEL),
        ("tollgate.request.id", id),
        ("tollgate.account", "default"),
        ("tollgate.credential", "gateway"),
        ("tollgate.stream", "false"),
        ("error.type", ""),
    ] {
        assert_eq!(of(&whole.attributes, key), value, "{key}");
    }
    for (span, provider, upstream, status, error, input) in [
        (failed, "one", &told.first, "503", "503", ""),
        (good, "two", &told.second, "200", "", "9"),
    ] {
        assert_eq!(
            (span.kind, &*span.name),
            (CLIENT, &*format!("chat {MODEL}"))
        );
        assert_eq!(span.parent_span_id, whole.span_id);
        assert_eq!(span.flags, 0x101);
        assert!(span.start_time_unix_nano >= whole.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= whole.end_time_unix_nano);
        let address = upstream.address();
        for (key, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", provider),
            ("gen_ai.request.model", MODEL),
            ("server.address", "127.0.0.1"),
            ("server.port", &address.port().to_string()),
            ("http.response.status_code", status),
            ("error.type", error),
            ("gen_ai.usage.input_tokens", input),
        ] {
            assert_eq!(of(&span.attributes, key), value, "{key} of {provider}");
        }
        let code = span.status.as_ref().map_or(0, |status| status.code);
        assert_eq!(code == ERROR, !error.is_empty(), "{provider}");
    }
    assert!(failed.end_time_unix_nano <= good.start_time_unix_nano);
    let mut ids: Vec<_> = spans
        .iter()
        .map(|span| hexadecimal(&span.span_id))
        .collect();
    ids.push(PARENT.to_owned());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let line = told.gateway.access_lines(1).await.remove(0);
    assert_eq!(line["trace_id"], TRACE);
}

#[tokio::test]
async fn measures_are_those_of_the_conventions() {
    let told = told(|builder| builder.config("otel.sample", 0.0)).await;
    told.first.otherwise(pair::error(503));
    for _ in 0..3 {
        assert_eq!(told.gateway.send(&told.chat()).await.status, 200);
    }
    let durations = "gen_ai.client.operation.duration";
    let all = || {
        told.series(durations)
            .iter()
            .map(|it| it.count)
            .sum::<u64>()
    };
    wait::until("measures", || all() == 6).await;
    let series = told.series(durations);
    for (provider, error) in [("one", "503"), ("two", "")] {
        let found = series
            .iter()
            .find(|point| of(&point.attributes, "gen_ai.provider.name") == provider);
        let point = found.expect(provider);
        assert_eq!(
            (point.count, of(&point.attributes, "error.type")),
            (3, error.to_owned())
        );
        assert_eq!(of(&point.attributes, "gen_ai.operation.name"), "chat");
        assert_eq!(of(&point.attributes, "gen_ai.request.model"), MODEL);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), 3);
        assert_eq!(
            (point.bucket_counts.len(), point.explicit_bounds.len()),
            (15, 14)
        );
        assert!(point.sum.expect("a sum") > 0.0);
        assert!(point.start_time_unix_nano < point.time_unix_nano);
    }
    let series = told.series("gen_ai.client.token.usage");
    for (kind, sum) in [("input", 27.0), ("output", 36.0)] {
        let found = series
            .iter()
            .find(|point| of(&point.attributes, "gen_ai.token.type") == kind);
        let point = found.expect(kind);
        assert_eq!((point.count, point.sum), (3, Some(sum)));
        assert_eq!(of(&point.attributes, "gen_ai.provider.name"), "two");
    }
    assert!(told.sent().is_empty(), "no trace was asked for");
}

#[tokio::test]
async fn what_the_client_says_of_its_trace_is_heeded_and_else_the_share_is() {
    let told = told(|builder| builder.config("otel.sample", 0)).await;
    for quiet in [
        told.chat(),
        told.chat()
            .header("traceparent", &format!("00-{TRACE}-{PARENT}-00")),
        told.chat().header("traceparent", "nonsense"),
    ] {
        assert_eq!(told.gateway.send(&quiet).await.status, 200);
    }
    assert_eq!(told.gateway.send(&told.traced()).await.status, 200);
    let spans = told.spans(2).await;
    assert!(
        spans
            .iter()
            .all(|span| hexadecimal(&span.trace_id) == TRACE)
    );
}

#[tokio::test]
async fn traces_that_begin_here_are_roots_and_headers_go_on_as_they_came() {
    let told = told(|builder| builder).await;
    let given = [
        None,
        Some("nonsense".to_owned()),
        Some(format!("00-{TRACE}-{PARENT}-01")),
        Some(format!("00-{TRACE}-{PARENT}-00")),
    ];
    for value in &given {
        let request = match value {
            Some(value) => told.chat().header("traceparent", value),
            None => told.chat(),
        };
        let answer = told.gateway.send(&request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("tollgate-edits"), None);
    }
    let passed: Vec<_> = told
        .first
        .deliveries()
        .iter()
        .map(|delivery| delivery.header("traceparent").map(str::to_owned))
        .collect();
    assert_eq!(passed, given);
    let spans = told.spans(6).await;
    let roots: Vec<_> = spans
        .iter()
        .filter(|span| span.parent_span_id.is_empty())
        .collect();
    assert_eq!(roots.len(), 2);
    assert_ne!(roots[0].trace_id, roots[1].trace_id);
    assert!(
        roots
            .iter()
            .all(|root| root.kind == SERVER && root.flags == 0x101)
    );
}

#[tokio::test]
async fn providers_are_told_of_attempts_where_that_is_configured() {
    let told = told(|builder| builder.config("otel.propagate", true)).await;
    told.first.otherwise(pair::error(503));
    let request = told.traced().header("tracestate", "vendor=1");
    let answer = told.gateway.send(&request).await;
    assert_eq!(answer.header("tollgate-edits"), Some("E6"));
    let spans = told.spans(3).await;
    for (span, upstream) in [(&spans[1], &told.first), (&spans[2], &told.second)] {
        let delivery = upstream.delivery();
        let own = format!("00-{TRACE}-{}-01", hexadecimal(&span.span_id));
        assert_eq!(delivery.header("traceparent"), Some(&*own));
        assert_eq!(delivery.header("tracestate"), Some("vendor=1"));
        assert_eq!(delivery.body, bodies::chat(MODEL).size(0).build());
    }
    // What is in no trace that is told goes on as it came.
    let quiet = format!("00-{TRACE}-{PARENT}-00");
    let answer = told
        .gateway
        .send(&told.chat().header("traceparent", &quiet))
        .await;
    assert_eq!(answer.header("tollgate-edits"), None);
    assert_eq!(
        told.second.deliveries()[1].header("traceparent"),
        Some(&*quiet)
    );
    // Of a trace that nobody could read nothing is left.
    let stray = told.chat().header("tracestate", "vendor=1");
    assert_eq!(told.gateway.send(&stray).await.status, 200);
    let delivery = told.second.deliveries().remove(2);
    assert_eq!(delivery.header("tracestate"), None);
    assert!(delivery.header("traceparent").is_some());
}

#[tokio::test]
async fn what_fails_says_why() {
    let told = told(|builder| builder).await;
    let events = payload::chat_sse(MODEL, 3, None);
    let broken = Reply::sse(events, Duration::ZERO);
    told.first.push(fault::reset_in_answer(broken, 100));
    let body = bodies::chat(MODEL).member("stream", "true").build();
    let stream = told.gateway.post("/v1/chat/completions", body);
    let answer = told.gateway.send(&stream).await;
    assert_eq!(answer.status, 200);
    let spans = told.spans(2).await;
    for span in &spans {
        assert_eq!(of(&span.attributes, "error.type"), "all_candidates_failed");
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(ERROR));
    }
    assert_eq!(of(&spans[0].attributes, "tollgate.stream"), "true");
    // A refusal is the client's: a span without an error, and no attempt.
    let body = bodies::chat(MODEL).build();
    let refused = client::post("/v1/chat/completions", body).bearer("tg-wrong");
    assert_eq!(told.gateway.send(&refused).await.status, 401);
    let spans = told.spans(3).await;
    let refusal = &spans[2];
    assert_eq!(
        of(&refusal.attributes, "tollgate.code"),
        "invalid_access_key"
    );
    assert_eq!(
        (
            refusal.status.as_ref(),
            &*of(&refusal.attributes, "error.type")
        ),
        (None, "")
    );
}

#[tokio::test]
async fn what_is_left_is_sent_when_the_gateway_ends() {
    let told = told(|builder| builder.config("otel.period", "1h")).await;
    assert_eq!(told.gateway.send(&told.traced()).await.status, 200);
    told.gateway.signal("TERM");
    assert_eq!(told.gateway.ended().await, Some(0));
    assert_eq!(told.sent().len(), 2);
    assert_eq!(told.series("gen_ai.client.operation.duration").len(), 1);
}

#[tokio::test]
async fn a_collector_is_known_by_its_certificate_and_told_by_a_key() {
    let authority = Authority::new();
    let collector = upstream::h1_tls(&authority)
        .reply(Reply::json(200, ""))
        .start()
        .await;
    let told = told_to(collector, |builder| {
        let by_name = builder.folder().join("collector-key");
        std::fs::write(by_name, "s3cret\n").expect("a file");
        builder
            .config("otel.ca_file", authority.file().display().to_string())
            .config("otel.headers.x-collector-key", "file:collector-key")
            .config("otel.metrics", false)
    })
    .await;
    assert_eq!(told.gateway.send(&told.traced()).await.status, 200);
    wait::until("a message", || told.collector.count() > 0).await;
    let delivery = &told.collector.deliveries()[0];
    assert_eq!(delivery.header("x-collector-key"), Some("s3cret"));
    assert!(!told.gateway.everything_written().contains("s3cret"));
}

#[tokio::test]
async fn a_collector_that_is_not_ready_is_asked_again() {
    let told = told(|builder| builder.config("otel.metrics", false)).await;
    told.collector
        .push(Reply::json(503, "").header("retry-after", "1"));
    assert_eq!(told.gateway.send(&told.traced()).await.status, 200);
    wait::until("a second message", || told.collector.count() == 2).await;
    let messages = told.collector.deliveries();
    assert_eq!(messages[0].body, messages[1].body);
    assert_eq!(told.counts("tollgate_otel_exports_failed_total").await, 1.0);
    assert_eq!(told.counts("tollgate_otel_spans_dropped_total").await, 0.0);
}

#[tokio::test]
async fn what_a_collector_refuses_is_lost_and_counted() {
    let told = told(|builder| builder.config("otel.metrics", false)).await;
    told.collector.push(Reply::json(400, ""));
    assert_eq!(told.gateway.send(&told.traced()).await.status, 200);
    let lost = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_otel_spans_dropped_total", &[]) == 2.0
    };
    told.gateway.metrics_until("lost spans", lost).await;
    assert_eq!(told.gateway.send(&told.traced()).await.status, 200);
    wait::until("another message", || told.collector.count() == 2).await;
}

/// Requests are served, what nobody takes is dropped and counted, and the end of the process does not wait.
async fn costs_nothing(told: Told) {
    for _ in 0..60 {
        let answer = told.gateway.send(&told.traced()).await;
        assert_eq!(answer.status, 200);
    }
    let lost = |metrics: &crate::support::gateway::Metrics| {
        metrics.sum("tollgate_otel_spans_dropped_total", &[])
            + metrics.sum("tollgate_otel_requests_dropped_total", &[])
            > 0.0
    };
    told.gateway.metrics_until("what was dropped", lost).await;
    assert_eq!(told.gateway.send(&told.chat()).await.status, 200);
    told.gateway.signal("TERM");
    assert_eq!(told.gateway.ended().await, Some(0));
}

#[tokio::test]
async fn a_collector_that_is_down_costs_nothing() {
    let told = told_to(upstream::refusing(), |builder| {
        builder.config("otel.queue", 16)
    })
    .await;
    costs_nothing(told).await;
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_nothing() {
    let collector = upstream::h1().reply(Reply::json(200, "")).start().await;
    collector.otherwise(fault::silent_after_body());
    let told = told_to(collector, |builder| builder.config("otel.queue", 16)).await;
    costs_nothing(told).await;
}
