//! Telling a collector, where the configuration names one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderValue;

use super::one;
use crate::config::{Config, Otel};
use crate::metrics::Metrics;
use crate::otel::{Collector, Exporter, Lost, Settings, Telemetry};
use crate::upstream::dns::Resolver;
use crate::upstream::load_ca;
use crate::upstream::peer::Transport;

/// Has metrics say what is lost on the way to a collector; without one that is nothing.
pub(super) fn watch(metrics: &Metrics) -> prometheus::Result<Arc<Lost>> {
    let lost = Arc::new(Lost::default());
    let (requests, spans, exports) = (Arc::clone(&lost), Arc::clone(&lost), Arc::clone(&lost));
    metrics.counter_of(
        "otel_requests_dropped_total",
        "Requests of which a collector is told nothing, because the queue was full.",
        move || requests.requests.load(Ordering::Relaxed),
    )?;
    metrics.counter_of(
        "otel_spans_dropped_total",
        "Spans that no collector took.",
        move || spans.spans.load(Ordering::Relaxed),
    )?;
    metrics.counter_of(
        "otel_exports_failed_total",
        "Messages to the collector that it did not take, each time that they were sent.",
        move || exports.exports.load(Ordering::Relaxed),
    )?;
    Ok(lost)
}

/// Starts telling, if there is a collector.
///
/// # Errors
/// What is wrong with its certificates or headers, for people; or the thread cannot be started.
pub(super) fn start(
    config: &Config,
    resolver: &Resolver,
    lost: Arc<Lost>,
) -> Result<Option<(Arc<Telemetry>, Exporter)>, Vec<String>> {
    let otel = &config.otel;
    if !otel.traces && !otel.metrics {
        return Ok(None);
    }
    let Some(collector) = collector(otel, config, resolver)? else {
        return Ok(None);
    };
    let settings = Settings {
        traces: otel.traces,
        metrics: otel.metrics,
        sample: otel.sample,
        propagate: otel.propagate,
        queue: otel.queue,
    };
    let telemetry = Telemetry::new(settings, lost);
    let told = Arc::clone(&telemetry);
    let exporter = Exporter::start(told, collector, &otel.service, otel.period).map_err(one)?;
    Ok(Some((telemetry, exporter)))
}

fn collector(
    otel: &Otel,
    config: &Config,
    resolver: &Resolver,
) -> Result<Option<Collector>, Vec<String>> {
    let Some(endpoint) = &otel.endpoint else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    for (name, secret) in &otel.headers {
        let value = secret.resolve().map_err(one)?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| one(format!("otel.headers.{name}: is no value of a header")))?;
        value.set_sensitive(true);
        headers.push((name.clone(), value));
    }
    let own = otel.ca_file.as_ref();
    let ca = own.map(|path| load_ca(path)).transpose().map_err(one)?;
    let authority = HeaderValue::from_str(&endpoint.authority).map_err(one)?;
    Ok(Some(Collector {
        host: resolver.host(&endpoint.host, endpoint.port),
        tls: endpoint.tls,
        name: endpoint.host.as_str().into(),
        authority,
        prefix: endpoint.prefix.as_str().into(),
        headers,
        ca,
        transport: Transport::of(&config.upstream),
        timeout: otel.timeout,
    }))
}
