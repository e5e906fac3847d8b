//! What was loaded last, and how that went.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use super::family::Adder;

/// What came of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// This process has taken over from another.
    Done,
    /// Another could not take over.
    Failed,
    /// One was under way already.
    Refused,
}

impl Upgrade {
    const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Refused];

    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// The families of reloads and upgrades, of the catalog and of certificates.
pub(super) struct Configuration {
    catalog: IntGaugeVec,
    reloads: IntCounter,
    failures: IntCounter,
    in_order: IntGauge,
    succeeded_at: IntGauge,
    certificates: IntGaugeVec,
    upgrades: IntCounterVec,
}

impl Configuration {
    pub(super) fn new(add: &Adder<'_>) -> prometheus::Result<Self> {
        let made = Self {
            catalog: add.gauges(
                "catalog_info",
                "1 for the version of the catalog in use.",
                &["version"],
            )?,
            reloads: add.counter("reloads_total", "Reloads, failed ones included.")?,
            failures: add.counter(
                "reload_failures_total",
                "Reloads that changed nothing, for mistakes in the files.",
            )?,
            in_order: add.gauge(
                "last_reload_successful",
                "1 while the files were in order when they were read last, 0 while a restart would fail.",
            )?,
            succeeded_at: add.gauge(
                "last_reload_success_timestamp_seconds",
                "Unix time, in seconds, at which what is in use was loaded.",
            )?,
            certificates: add.gauges(
                "certificate_expiry_timestamp_seconds",
                "Unix time, in seconds, at which the certificate of a TLS listener expires, or one of its chain.",
                &["listener"],
            )?,
            upgrades: add.counters(
                "upgrades_total",
                "Upgrades while it ran: that this process took over, or that another could not.",
                &["outcome"],
            )?,
        };
        for outcome in Upgrade::ALL {
            made.upgrades.with_label_values(&[outcome.label()]);
        }
        made.loaded();
        Ok(made)
    }

    fn loaded(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
        self.in_order.set(1);
        self.succeeded_at.set(now);
    }
}

impl Metrics {
    /// Says which catalog is in use.
    pub fn catalog_in_use(&self, version: &str) {
        let catalog = &self.configuration.catalog;
        catalog.reset();
        catalog.with_label_values(&[version]).set(1);
    }

    /// Counts a reload.
    pub fn reloaded(&self, succeeded: bool) {
        let configuration = &self.configuration;
        configuration.reloads.inc();
        if succeeded {
            configuration.loaded();
        } else {
            configuration.failures.inc();
            configuration.in_order.set(0);
        }
    }

    /// Says that the files say again what is in use: a mistake was taken back before it was ever loaded.
    pub fn files_in_order(&self) {
        self.configuration.in_order.set(1);
    }

    /// Counts an upgrade.
    pub fn upgrade(&self, outcome: Upgrade) {
        let upgrades = &self.configuration.upgrades;
        upgrades.with_label_values(&[outcome.label()]).inc();
    }

    /// Says when, in Unix seconds, the certificate that a listener serves expires.
    pub fn certificate_expires(&self, listener: &str, expires: i64) {
        let certificates = &self.configuration.certificates;
        certificates.with_label_values(&[listener]).set(expires);
    }
}
