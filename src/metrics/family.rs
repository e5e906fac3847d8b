//! How families are made: names with the common prefix, labels, and buckets.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use super::PREFIX;

/// Seconds. From an answer of our own to the longest request that the defaults allow.
const REQUEST_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    600.0, 1_800.0,
];

/// Seconds. To the default of `timeouts.first_byte`.
const FIRST_BYTE_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];

/// Seconds: 10 µs to 100 ms.
pub(super) const OVERHEAD_SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1,
];

/// The families whose series a provider has.
#[derive(Clone)]
pub(super) struct Families {
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: HistogramVec,
    pub(super) first_byte: HistogramVec,
    pub(super) attempts: IntCounterVec,
    pub(super) key_failures: IntCounterVec,
    pub(super) tokens: IntCounterVec,
}

/// Makes families and registers them.
pub(super) struct Adder<'r>(pub(super) &'r Registry);

impl Adder<'_> {
    pub(super) fn families(&self) -> prometheus::Result<Families> {
        Ok(Families {
            requests: self.counters(
                "requests_total",
                "Requests answered.",
                &["surface", "provider", "status_class", "credential"],
            )?,
            request_seconds: self.histograms(
                "request_seconds",
                "Seconds from the header of a request to the last byte of its response.",
                &["surface", "provider"],
                REQUEST_SECONDS,
            )?,
            first_byte: self.histograms(
                "upstream_first_byte_seconds",
                "Seconds from the beginning of an attempt to the header of its response.",
                &["provider"],
                FIRST_BYTE_SECONDS,
            )?,
            attempts: self.counters(
                "attempts_total",
                "Attempts at a provider, by how they ended.",
                &["provider", "outcome"],
            )?,
            key_failures: self.counters(
                "key_failures_total",
                "Answers that spoke of a provider key of ours, by what they said.",
                &["provider", "reason"],
            )?,
            tokens: self.counters(
                "tokens_total",
                "Tokens used, as providers report them. Each is of one kind.",
                &["provider", "kind"],
            )?,
        })
    }

    pub(super) fn register<C: Collector + Clone + 'static>(
        &self,
        family: C,
    ) -> prometheus::Result<C> {
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::with_opts(Opts::new(
            format!("{PREFIX}{name}"),
            help,
        ))?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::with_opts(Opts::new(
            format!("{PREFIX}{name}"),
            help,
        ))?)
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(
            Opts::new(format!("{PREFIX}{name}"), help),
            labels,
        )?)
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(
            Opts::new(format!("{PREFIX}{name}"), help),
            labels,
        )?)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(bounds.to_vec());
        self.register(Histogram::with_opts(options)?)
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }
}
