//! Traces and measures for an OpenTelemetry collector: OTLP over HTTP, as protobuf, by the semantic conventions for GenAI.
//!
//! A request leaves one record behind when it has ended, in a bounded queue; a thread of its own makes spans and measures of
//! it and sends them. Nobody waits for a collector: where it is down or slow, records and spans are dropped and counted.
//!
//! Absent: gRPC, logs, contents of requests and answers, and OpenTelemetry's own SDK. Its span processor neither counts what
//! it drops where others could read it, nor sends by the one TLS and HTTP that is here already; what is left of it is this.

mod context;
mod exporter;
mod measures;
mod names;
mod post;
mod proto;
mod spans;
mod told;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

pub use context::{TRACEPARENT, TRACESTATE, Trace};
pub use exporter::Exporter;
pub use post::Collector;
pub use told::{Attempt, Finished};

use context::Ratio;

use crate::snapshot::Snapshot;

/// The telemetry in use, where there is a collector; a reload replaces it.
pub type Current = Snapshot<Option<Arc<Telemetry>>>;

/// What is told, and how much of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether spans are.
    pub traces: bool,
    /// Whether measures are.
    pub metrics: bool,
    /// The share of requests without a trace of their client's that begin one, from 0 to 1.
    pub sample: f64,
    /// Whether providers are sent a `traceparent` that names the attempt's span.
    pub propagate: bool,
    /// Records that wait at the most; spans, too.
    pub queue: usize,
}

/// What was lost.
#[derive(Debug, Default)]
pub struct Lost {
    /// Requests of which nothing is told: the queue was full.
    pub requests: AtomicU64,
    /// Spans that no collector got.
    pub spans: AtomicU64,
    /// Times that sending to the collector failed.
    pub exports: AtomicU64,
}

/// Records in boxes: what is moved under the lock is small.
#[allow(clippy::vec_box, reason = "see above")]
type Queue = Vec<Box<Finished>>;

/// Where requests leave their records. Cheap to ask, and never waits.
#[derive(Debug)]
pub struct Telemetry {
    settings: Settings,
    ratio: Ratio,
    queue: Mutex<Queue>,
    lost: Arc<Lost>,
}

impl Telemetry {
    /// Tells what `settings` say; what is lost is counted in `lost`.
    #[must_use]
    pub fn new(settings: Settings, lost: Arc<Lost>) -> Arc<Self> {
        Arc::new(Self {
            ratio: Ratio::of(settings.sample),
            settings,
            queue: Mutex::default(),
            lost,
        })
    }

    /// The trace of a request with these headers, where it has one that is told: its client's, or one that begins here.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap) -> Option<Box<Trace>> {
        if !self.settings.traces {
            return None;
        }
        Trace::begin(headers, self.ratio).map(Box::new)
    }

    /// Whether providers are told of traces.
    #[must_use]
    pub fn propagates(&self) -> bool {
        self.settings.propagate
    }

    /// Whether a record of a request with this trace is of use.
    #[must_use]
    pub fn wants(&self, trace: Option<&Trace>) -> bool {
        self.settings.metrics || trace.is_some()
    }

    /// Takes the record of a request that has ended.
    pub fn finished(&self, record: Box<Finished>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() < self.settings.queue {
            queue.push(record);
            return;
        }
        drop(queue);
        self.lost.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been left here since the last call.
    fn take(&self) -> Queue {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_records_and_counts_them() {
        let lost = Arc::new(Lost::default());
        let settings = Settings {
            traces: true,
            metrics: true,
            sample: 1.0,
            propagate: false,
            queue: 3,
        };
        let telemetry = Telemetry::new(settings, Arc::clone(&lost));
        for _ in 0..5 {
            telemetry.finished(Box::default());
        }
        assert_eq!(lost.requests.load(Ordering::Relaxed), 2);
        assert_eq!((telemetry.take().len(), telemetry.take().len()), (3, 0));
        telemetry.finished(Box::default());
        assert_eq!(telemetry.take().len(), 1);
    }
}
