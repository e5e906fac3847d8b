//! What the ledger writes.

use std::time::Duration;

use prometheus::Histogram;

use super::family::Adder;

/// Seconds. From a fast disk to the time after which a client is told that the store is down.
const COMMIT_SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Rows. From a single request to what gathers while a slow disk writes.
const BATCH_ROWS: &[f64] = &[
    0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0,
];

/// The families of its transactions.
#[derive(Clone)]
pub struct LedgerMetrics {
    seconds: Histogram,
    rows: Histogram,
}

impl LedgerMetrics {
    pub(super) fn new(add: &Adder<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            seconds: add.histogram(
                "ledger_commit_seconds",
                "Seconds of a transaction of the ledger, until it was on the disk.",
                COMMIT_SECONDS,
            )?,
            rows: add.histogram(
                "ledger_batch_rows",
                "Rows that began or ended in a transaction of the ledger.",
                BATCH_ROWS,
            )?,
        })
    }

    /// Records a transaction.
    pub fn committed(&self, rows: usize, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        self.rows.observe(super::float(rows as u64));
    }
}
