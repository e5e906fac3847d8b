//! The thread that makes spans and measures of what requests have left behind, and sends them. It has three tasks, so that
//! a collector that is slow keeps nobody from taking records off the queue.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{info, warn};
use pingora::connectors::TransportConnector;
use prost::Message;
use tokio::sync::watch;

use super::measures::Measures;
use super::post::{Collector, Failed};
use super::proto::{
    self, MetricsRequest, Resource, ResourceMetrics, ResourceSpans, ScopeMetrics, ScopeSpans, Span,
    TraceRequest, attribute,
};
use super::{Telemetry, spans};

/// How often the queue is emptied.
const TICK: Duration = Duration::from_millis(100);

/// How long spans gather, unless there are many.
const GATHER: Duration = Duration::from_secs(1);

/// Spans of one message.
const BATCH: usize = 512;

/// How often a message is sent before it is given up, and the pause after the first time, which doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long the end of the process waits for a collector.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Where spans and measures are sent.
const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";

/// The thread. Dropping it sends what is left, for two seconds at the most.
pub struct Exporter {
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl Exporter {
    /// Starts it: `telemetry` goes to `collector` as of `service`; measures once every `period`.
    ///
    /// # Errors
    /// The thread or its runtime cannot be started.
    pub fn start(
        telemetry: Arc<Telemetry>,
        collector: Collector,
        service: &str,
        period: Duration,
    ) -> io::Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = mpsc::channel();
        let resource = resource(service);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("otel".to_owned())
            .spawn(move || {
                let sender = Sender {
                    measures: RefCell::new(Measures::new(now())),
                    spans: RefCell::default(),
                    connector: TransportConnector::new(None),
                    failing: RefCell::default(),
                    telemetry,
                    collector,
                    resource,
                    period,
                };
                runtime.block_on(sender.run(stopping));
                // Nobody may wait for it any more.
                let _ = end.send(());
            })?;
        Ok(Self { stop, ended })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        // What is not sent by then is not sent.
        let _ = self.ended.recv_timeout(CLOSE_MAX);
    }
}

/// Who tells it.
fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", service),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", instance()),
        ],
    }
}

/// Differs from process to process.
fn instance() -> String {
    let half = || getrandom::u64().unwrap_or_default();
    format!("{:016x}{:016x}", half(), half())
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

struct Sender {
    telemetry: Arc<Telemetry>,
    collector: Collector,
    connector: TransportConnector,
    resource: Resource,
    period: Duration,
    measures: RefCell<Measures>,
    /// Spans that wait.
    spans: RefCell<VecDeque<Span>>,
    /// Whether the last message was not taken, by the path that it went to.
    failing: RefCell<Vec<&'static str>>,
}

impl Sender {
    /// Until it is told to stop; then sends what is left, once.
    async fn run(&self, stopping: watch::Receiver<bool>) {
        let stopped = async || {
            let mut stopping = stopping.clone();
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let work = async { tokio::join!(self.gather(), self.send_spans(), self.send_measures()) };
        tokio::select! {
            _ = work => {}
            () = stopped() => {}
        }
        self.take();
        while let Some(batch) = self.batch() {
            let sent = self.post(TRACES, &self.traces(&batch)).await;
            if sent.is_err() {
                self.lose(batch.len());
                break;
            }
        }
        let _ = self.post_measures().await;
    }

    /// Takes what requests have left.
    async fn gather(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            self.take();
        }
    }

    fn take(&self) {
        let settings = &self.telemetry.settings;
        let mut lost = 0;
        for told in self.telemetry.take() {
            if settings.metrics {
                self.measures.borrow_mut().note(&told);
            }
            let mut waiting = self.spans.borrow_mut();
            let spans = spans::of(&told);
            if waiting.len() + spans.len() > settings.queue {
                // All of a request or none of it.
                lost += spans.len();
            } else {
                waiting.extend(spans);
            }
        }
        self.lose(lost);
    }

    async fn send_spans(&self) {
        let mut pause = GATHER;
        loop {
            let many = async {
                while self.spans.borrow().len() < BATCH {
                    tokio::time::sleep(TICK).await;
                }
            };
            let _ = tokio::time::timeout(pause, many).await;
            pause = GATHER;
            if let Some(batch) = self.batch() {
                self.send_batch(batch).await;
            }
            if self.spans.borrow().len() >= BATCH {
                pause = Duration::ZERO;
            }
        }
    }

    /// Sends a batch until it is taken, or it has to be given up. What waits is bounded meanwhile.
    async fn send_batch(&self, batch: Vec<Span>) {
        let kept = Kept {
            sender: self,
            batch,
        };
        let message = self.traces(&kept.batch);
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.post(TRACES, &message).await {
                Ok(()) => return kept.done(),
                Err(Failed::Forever(_)) => return kept.lost(),
                Err(Failed::Now(_, after)) => {
                    tokio::time::sleep(after.unwrap_or(pause).min(PAUSE_MAX)).await;
                    pause = pause.saturating_mul(2);
                }
            }
        }
        match self.post(TRACES, &message).await {
            Ok(()) => kept.done(),
            Err(_) => kept.lost(),
        }
    }

    async fn send_measures(&self) {
        loop {
            tokio::time::sleep(self.period).await;
            // One that is lost costs nothing: the next says all again.
            let _ = self.post_measures().await;
        }
    }

    async fn post_measures(&self) -> Result<(), Failed> {
        let metrics = self.measures.borrow().metrics(now());
        if metrics.is_empty() {
            return Ok(());
        }
        let request = MetricsRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(proto::scope()),
                    metrics,
                }],
                schema_url: proto::SCHEMA.to_owned(),
            }],
        };
        self.post(METRICS, &request.encode_to_vec()).await
    }

    async fn post(&self, path: &'static str, message: &[u8]) -> Result<(), Failed> {
        let sent = self.collector.send(&self.connector, path, message).await;
        let mut failing = self.failing.borrow_mut();
        let before = failing.iter().position(|other| *other == path);
        match (&sent, before) {
            (Ok(()), Some(at)) => {
                failing.swap_remove(at);
                info!("the collector takes {path} again");
            }
            (Err(Failed::Now(why, _) | Failed::Forever(why)), None) => {
                failing.push(path);
                warn!("the collector does not take {path}: {why}");
            }
            _ => {}
        }
        if sent.is_err() {
            let lost = &self.telemetry.lost;
            lost.exports.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// The next spans, if there are any.
    fn batch(&self) -> Option<Vec<Span>> {
        let mut waiting = self.spans.borrow_mut();
        let count = waiting.len().min(BATCH);
        (count > 0).then(|| waiting.drain(..count).collect())
    }

    fn traces(&self, spans: &[Span]) -> Vec<u8> {
        let request = TraceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(proto::scope()),
                    spans: spans.to_vec(),
                }],
                schema_url: proto::SCHEMA.to_owned(),
            }],
        };
        request.encode_to_vec()
    }

    fn lose(&self, spans: usize) {
        let lost = &self.telemetry.lost;
        lost.spans.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// A batch on its way. Where that is broken off, it goes back to those that wait.
struct Kept<'a> {
    sender: &'a Sender,
    batch: Vec<Span>,
}

impl Kept<'_> {
    fn done(mut self) {
        self.batch.clear();
    }

    fn lost(mut self) {
        self.sender.lose(self.batch.len());
        self.batch.clear();
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let mut waiting = self.sender.spans.borrow_mut();
        for span in self.batch.drain(..).rev() {
            waiting.push_front(span);
        }
    }
}
