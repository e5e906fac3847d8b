//! Telling a collector, where the configuration names one.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderName, HeaderValue};

use super::one;
use crate::config::{self, Config, Otel};
use crate::metrics::Metrics;
use crate::otel::{Collector, Current, Exporter, Lost, Settings, Telemetry};
use crate::snapshot::Snapshot;
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

/// What is told to a collector, as long as the configuration names one.
pub(super) struct Telling {
    current: Arc<Current>,
    lost: Arc<Lost>,
    state: Mutex<(MadeOf, Option<Exporter>)>,
}

/// All that decides what is told, and to whom: the same again is nothing new.
#[derive(PartialEq)]
struct MadeOf {
    otel: Otel,
    transport: config::Upstream,
    headers: Vec<(HeaderName, HeaderValue)>,
    authorities: Option<Vec<u8>>,
}

/// What is to be told from a reload on, and to whom.
pub(super) struct Next {
    made_of: MadeOf,
    telling: Option<(Arc<Telemetry>, Exporter)>,
}

impl Telling {
    /// Starts it, if there is a collector. What is lost on the way is counted in `lost`.
    ///
    /// # Errors
    /// What is wrong with its certificates or headers, for people; or the thread cannot be started.
    pub(super) fn start(
        config: &Config,
        resolver: &Resolver,
        lost: Arc<Lost>,
    ) -> Result<Self, Vec<String>> {
        let Next { made_of, telling } = next(MadeOf::of(config)?, resolver, &lost)?;
        let (telemetry, exporter) = telling.unzip();
        Ok(Self {
            current: Arc::new(Snapshot::new(telemetry)),
            lost,
            state: Mutex::new((made_of, exporter)),
        })
    }

    /// Where requests leave their records.
    pub(super) fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// Makes ready what `config` says; nothing where that is what is in use.
    ///
    /// # Errors
    /// As [`Telling::start`]; nothing has changed then.
    pub(super) fn prepare(
        &self,
        config: &Config,
        resolver: &Resolver,
    ) -> Result<Option<Next>, Vec<String>> {
        let made_of = MadeOf::of(config)?;
        if made_of == self.lock().0 {
            return Ok(None);
        }
        next(made_of, resolver, &self.lost).map(Some)
    }

    /// Takes it into use. What requests have left before is sent to where it was to go.
    pub(super) fn take_up(&self, next: Next) {
        let (telemetry, exporter) = next.telling.unzip();
        self.current.publish(telemetry);
        let before = std::mem::replace(&mut *self.lock(), (next.made_of, exporter));
        // It may wait for a collector. Where there is no thread to be had, it does so here.
        let end = std::thread::Builder::new().name("otel-end".to_owned());
        drop(end.spawn(move || drop(before)));
    }

    /// Sends what is left, for two seconds at the most.
    pub(super) fn end(&self) {
        let exporter = self.lock().1.take();
        drop(exporter);
    }

    fn lock(&self) -> MutexGuard<'_, (MadeOf, Option<Exporter>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MadeOf {
    fn of(config: &Config) -> Result<Self, Vec<String>> {
        let otel = &config.otel;
        let mut headers = Vec::new();
        for (name, secret) in &otel.headers {
            let value = secret.resolve().map_err(one)?;
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| one(format!("otel.headers.{name}: is no value of a header")))?;
            value.set_sensitive(true);
            headers.push((name.clone(), value));
        }
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|error| one(format!("otel.ca_file: {}: {error}", path.display())))
        };
        Ok(Self {
            authorities: otel.ca_file.as_ref().map(read).transpose()?,
            otel: otel.clone(),
            transport: config.upstream.clone(),
            headers,
        })
    }
}

fn next(made_of: MadeOf, resolver: &Resolver, lost: &Arc<Lost>) -> Result<Next, Vec<String>> {
    let otel = &made_of.otel;
    let collector = match otel.traces || otel.metrics {
        true => collector(&made_of, resolver)?,
        false => None,
    };
    let Some(collector) = collector else {
        return Ok(Next {
            made_of,
            telling: None,
        });
    };
    let settings = Settings {
        traces: otel.traces,
        metrics: otel.metrics,
        sample: otel.sample,
        propagate: otel.propagate,
        queue: otel.queue,
    };
    let telemetry = Telemetry::new(settings, Arc::clone(lost));
    let told = Arc::clone(&telemetry);
    let exporter = Exporter::start(told, collector, &otel.service, otel.period).map_err(one)?;
    Ok(Next {
        made_of,
        telling: Some((telemetry, exporter)),
    })
}

fn collector(made_of: &MadeOf, resolver: &Resolver) -> Result<Option<Collector>, Vec<String>> {
    let otel = &made_of.otel;
    let Some(endpoint) = &otel.endpoint else {
        return Ok(None);
    };
    let own = otel.ca_file.as_ref();
    let ca = own.map(|path| load_ca(path)).transpose().map_err(one)?;
    let authority = HeaderValue::from_str(&endpoint.authority).map_err(one)?;
    Ok(Some(Collector {
        host: resolver.host(&endpoint.host, endpoint.port),
        tls: endpoint.tls,
        name: endpoint.host.as_str().into(),
        authority,
        prefix: endpoint.prefix.as_str().into(),
        headers: made_of.headers.clone(),
        ca,
        transport: Transport::of(&made_of.transport),
        timeout: otel.timeout,
    }))
}
