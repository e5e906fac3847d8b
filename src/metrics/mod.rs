//! Every Prometheus family. Label values are enums and names of the catalog: a request cannot mint a series. Each
//! [`Metrics`] has a registry of its own; there is no global one. Absent: what is measured elsewhere, which is read
//! from there at each scrape ([`Metrics::counter_of`], [`Metrics::gauge_of`], [`Metrics::gauges_of`]).

mod configuration;
mod family;
mod labels;
mod ledger;
mod process;
mod provider;
mod pulled;
mod states;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::MetricType;
use prometheus::{
    Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

pub use labels::{
    AttemptOutcome, CredentialLabel, KeyFailure, Label, ReplayLost, StatusClass, TokenKind,
};
pub use ledger::LedgerMetrics;
pub use provider::ProviderMetrics;
pub use states::InState;

use configuration::Configuration;
pub use configuration::Upgrade;
use family::{Adder, Families, OVERHEAD_SECONDS};
use provider::NONE;
use pulled::{Pulled, PulledSeries};
use states::States;

/// What every name begins with, but those of the process.
const PREFIX: &str = "tollgate_";

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Every family of the process.
pub struct Metrics {
    registry: Registry,
    families: Families,
    overhead: Histogram,
    failovers: Box<[IntCounter]>,
    replay_lost: Box<[IntCounter]>,
    rejections: Box<[IntCounter]>,
    in_flight: IntGauge,
    streams_open: IntGauge,
    configuration: Configuration,
    ignored_headers: IntCounter,
    discoveries: IntCounterVec,
    discovered: IntGaugeVec,
    ledger: LedgerMetrics,
    /// By name. Asked when a catalog is published, never by a request.
    providers: Mutex<BTreeMap<Box<str>, Arc<ProviderMetrics>>>,
    none: Arc<ProviderMetrics>,
}

/// Counts one in a gauge for as long as it lives.
#[must_use = "what is not kept is not counted"]
pub struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All families, at zero. `rejection_codes` are the codes of refusals; a refusal is counted by its position there.
    ///
    /// # Errors
    /// Never with valid label values; a mistake in a family's name or labels would show here.
    pub fn new(rejection_codes: &[&'static str]) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let add = Adder(&registry);
        let families = add.families()?;
        let failovers = add.counters(
            "failovers_total",
            "Further attempts, by what ended the one before.",
            &["reason"],
        )?;
        let replay_lost = add.counters(
            "replay_lost_total",
            "Requests whose body was passed on without being kept, so that it could be sent once only.",
            &["reason"],
        )?;
        let rejections = add.counters(
            "rejections_total",
            "Requests refused or failed here, by code.",
            &["code"],
        )?;
        let build = add.gauges(
            "build_info",
            "1 for the version of the program.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            overhead: add.histogram(
                "gateway_overhead_seconds",
                "Seconds from the header of a request to that of its answer, less the time of the attempts.",
                OVERHEAD_SECONDS,
            )?,
            failovers: AttemptOutcome::ALL
                .iter()
                .map(|reason| failovers.with_label_values(&[reason.label()]))
                .collect(),
            replay_lost: ReplayLost::ALL
                .iter()
                .map(|reason| replay_lost.with_label_values(&[reason.label()]))
                .collect(),
            rejections: rejection_codes
                .iter()
                .map(|code| rejections.with_label_values(&[code]))
                .collect(),
            in_flight: add.gauge("in_flight", "Requests under way.")?,
            streams_open: add.gauge("streams_open", "Streamed responses under way.")?,
            configuration: Configuration::new(&add)?,
            ignored_headers: add.counter(
                "ignored_headers_total",
                "Tollgate-* request headers that mean nothing.",
            )?,
            discoveries: add.counters(
                "discoveries_total",
                "Times that a provider was asked for its models.",
                &["provider", "outcome"],
            )?,
            discovered: add.gauges(
                "discovered_models",
                "Models in the last list that a provider gave.",
                &["provider"],
            )?,
            ledger: LedgerMetrics::new(&add)?,
            none: Arc::new(ProviderMetrics::new(NONE, families.clone())),
            providers: Mutex::default(),
            families,
            registry,
        };
        process::register(&metrics)?;
        Ok(metrics)
    }

    /// The series of a provider, made at the first call with its name. Takes a lock: to be called when a catalog is
    /// published, and kept with the provider.
    #[must_use]
    pub fn provider(&self, name: &str) -> Arc<ProviderMetrics> {
        let mut providers = self
            .providers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = providers.get(name) {
            return Arc::clone(known);
        }
        let made = Arc::new(ProviderMetrics::new(name, self.families.clone()));
        providers.insert(name.into(), Arc::clone(&made));
        made
    }

    /// The series of requests that no provider answered.
    #[must_use]
    pub fn no_provider(&self) -> &Arc<ProviderMetrics> {
        &self.none
    }

    /// Records what the gateway itself took of a request.
    pub fn overhead(&self, time: Duration) {
        self.overhead.observe(time.as_secs_f64());
    }

    /// Counts a further attempt, by how the one before it ended.
    pub fn failover(&self, reason: AttemptOutcome) {
        if let Some(counter) = self.failovers.get(reason.index()) {
            counter.inc();
        }
    }

    /// Counts a request whose body was not kept for a further attempt.
    pub fn replay_lost(&self, reason: ReplayLost) {
        if let Some(counter) = self.replay_lost.get(reason.index()) {
            counter.inc();
        }
    }

    /// Counts a refusal by its position among the codes given to [`Metrics::new`]; another position counts nothing.
    pub fn rejection(&self, code: usize) {
        if let Some(counter) = self.rejections.get(code) {
            counter.inc();
        }
    }

    /// Counts a `Tollgate-*` request header that could not be read and does not matter.
    pub fn ignored_header(&self) {
        self.ignored_headers.inc();
    }

    /// Counts a request as under way until the value is dropped.
    pub fn request_begins(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    /// Counts a streamed response as under way until the value is dropped.
    pub fn stream_begins(&self) -> Counted {
        Counted::new(&self.streams_open)
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.get()).unwrap_or(0)
    }

    /// Counts that a provider was asked for its models.
    pub fn discovery(&self, provider: &str, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.discoveries
            .with_label_values(&[provider, outcome])
            .inc();
    }

    /// Says how many models a provider lists.
    pub fn discovered(&self, provider: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.discovered.with_label_values(&[provider]).set(count);
    }

    /// The families of the ledger's transactions.
    #[must_use]
    pub const fn ledger(&self) -> &LedgerMetrics {
        &self.ledger
    }

    /// Adds a counter of US dollars without labels (`tollgate_` + `name`) that is `read`, in nano-dollars, at each scrape.
    ///
    /// # Errors
    /// The name is taken, or no name of a metric.
    pub fn dollars_of(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        self.pulled(
            &format!("{PREFIX}{name}"),
            help,
            MetricType::COUNTER,
            move || Some(float(read()) / 1e9),
        )
    }

    /// Adds a counter without labels (`tollgate_` + `name`) that is `read` at each scrape.
    ///
    /// # Errors
    /// The name is taken, or no name of a metric.
    pub fn counter_of(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        self.pulled(
            &format!("{PREFIX}{name}"),
            help,
            MetricType::COUNTER,
            move || Some(float(read())),
        )
    }

    /// Adds a gauge without labels (`tollgate_` + `name`) that is `read` at each scrape.
    ///
    /// # Errors
    /// The name is taken, or no name of a metric.
    pub fn gauge_of(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        self.pulled(
            &format!("{PREFIX}{name}"),
            help,
            MetricType::GAUGE,
            move || Some(float(read())),
        )
    }

    /// Adds gauges (`tollgate_` + `name`) that say which of `states` each of some things is in. The things, named by
    /// `labels`, are `read` at each scrape.
    ///
    /// # Errors
    /// The name is taken, or no name of a metric or label.
    pub fn states_of(
        &self,
        name: &str,
        help: &str,
        labels: &'static [&'static str],
        states: &'static [&'static str],
        read: impl Fn() -> Vec<InState> + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        let name = format!("{PREFIX}{name}");
        self.registry
            .register(Box::new(States::new(&name, help, labels, states, read)?))
    }

    /// Adds a gauge (`tollgate_` + `name`) with labels, all series of which are `read` at each scrape. Label values must
    /// come from closed sets and from the catalog.
    ///
    /// # Errors
    /// The name is taken, or no name of a metric.
    pub fn gauges_of<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &'static [&'static str; N],
        read: impl Fn() -> Vec<([String; N], f64)> + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        let name = format!("{PREFIX}{name}");
        let series = PulledSeries::new(&name, help, MetricType::GAUGE, labels, read)?;
        self.registry.register(Box::new(series))
    }

    /// As [`Metrics::gauges_of`], with counters.
    ///
    /// # Errors
    /// The name is taken, or no name of a metric.
    pub fn counters_of<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: &'static [&'static str; N],
        read: impl Fn() -> Vec<([String; N], f64)> + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        let name = format!("{PREFIX}{name}");
        let series = PulledSeries::new(&name, help, MetricType::COUNTER, labels, read)?;
        self.registry.register(Box::new(series))
    }

    fn pulled(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        self.registry
            .register(Box::new(Pulled::new(name, help, kind, read)?))
    }

    /// Everything in the text format of Prometheus, of type [`CONTENT_TYPE`]. Grows with providers × surfaces, never
    /// with requests.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 << 10);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            // Half an answer would be taken for a whole one.
            ::log::error!("cannot write the metrics: {error}");
            out.clear();
        }
        out
    }
}

/// Exact up to 2^53, which no count here reaches.
#[allow(clippy::cast_precision_loss)]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
