//! The ledger beside the store: opened before anything is served, written until the last request has ended.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{Clock, Counts, Estimated, Ledger, Settings, State, Writer};
use crate::metrics::Metrics;
use crate::store::Store;

/// How long the last of it may take to be written when the process ends.
const END_TIME: Duration = Duration::from_secs(5);

/// The ledger, and what writes it.
pub struct Books {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    writer: Writer,
}

impl Books {
    /// Opens the ledger of `store`, and counts what it does.
    ///
    /// # Errors
    /// There can be no thread for it; or a metric's name is taken.
    pub fn open(store: &Store, settings: Settings, metrics: &Metrics) -> Result<Self, Vec<String>> {
        let transactions = metrics.ledger().clone();
        let committed = move |commit: crate::ledger::Commit| {
            transactions.committed(commit.rows, commit.took);
        };
        let (ledger, writer) =
            Ledger::open(store.file(), settings, Clock::system(), committed).map_err(super::one)?;
        watch(metrics, &ledger).map_err(super::one)?;
        Ok(Self { ledger, writer })
    }

    /// Writes what is left, for as long as that may take. No request is under way any more.
    pub fn close(self) {
        if !self.writer.finish(END_TIME) {
            log::error!("the ledger was not written to its end");
        }
    }
}

/// Counts what the ledger does at each scrape.
fn watch(metrics: &Metrics, ledger: &Arc<Ledger>) -> prometheus::Result<()> {
    let of = |read: fn(&Ledger) -> u64| {
        let ledger = Arc::clone(ledger);
        move || read(&ledger)
    };
    metrics.gauge_of(
        "holds_open",
        "Attempts for which credit is held now.",
        of(Ledger::holds_open),
    )?;
    metrics.gauge_of(
        "oldest_hold_seconds",
        "Seconds for which the oldest of them has been held, to ten; 0 where there is none.",
        of(|ledger| ledger.oldest_hold().map_or(0, |age| age.as_secs())),
    )?;
    metrics.gauge_of(
        "ledger_up",
        "1 while what requests cost can be written down, 0 while it cannot.",
        of(|ledger| u64::from(ledger.state() == State::Up)),
    )?;
    metrics.gauge_of(
        "ledger_predecessors",
        "Processes that handed the ledger over to this one and have requests under way still.",
        of(Ledger::predecessors),
    )?;
    metrics.dollars_of(
        "credit_charged_dollars_total",
        "What accounts were charged, in US dollars.",
        of(|ledger| ledger.counts().charged()),
    )?;
    metrics.counter_of(
        "usage_rows_lost_total",
        "Attempts that could not be written down while the store failed. None of them had credit held.",
        of(|ledger| ledger.counts().lost()),
    )?;
    metrics.counter_of(
        "usage_rows_total",
        "Attempts that were written down.",
        of(|ledger| ledger.counts().rows()),
    )?;
    watch_doubts(metrics, ledger)
}

/// What is known of rows that are not as they should be.
fn watch_doubts(metrics: &Metrics, ledger: &Arc<Ledger>) -> prometheus::Result<()> {
    let counted = Arc::clone(ledger);
    metrics.counters_of(
        "usage_estimated_total",
        "Attempts whose usage was estimated, by why.",
        &["reason"],
        move || estimated(counted.counts()),
    )?;
    let counted = Arc::clone(ledger);
    metrics.counters_of(
        "usage_flagged_total",
        "Attempts whose charge is not what usage and price would say, by why.",
        &["flag"],
        move || flagged(counted.counts()),
    )
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn flagged(counts: &Counts) -> Vec<([String; 1], f64)> {
    let series = |(flag, count): (&str, u64)| ([flag.to_owned()], count as f64);
    counts.flagged().map(series).collect()
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn estimated(counts: &Counts) -> Vec<([String; 1], f64)> {
    let series = |(reason, count): (Estimated, u64)| ([reason.name().to_owned()], count as f64);
    counts.estimated().map(series).collect()
}
