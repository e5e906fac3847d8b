//! What the ledger counts, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Estimated, Flags};

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Counts {
    rows: AtomicU64,
    charged: AtomicU64,
    flagged: [AtomicU64; Flags::NAMES.len()],
    lost: AtomicU64,
    estimated: [AtomicU64; Estimated::ALL.len()],
}

impl Counts {
    /// Attempts that were written down, or are about to be.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Of them, those of each flag.
    pub fn flagged(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.flagged.iter();
        Flags::NAMES
            .into_iter()
            .zip(counts)
            .map(|((_, name), count)| (name, count.load(Ordering::Relaxed)))
    }

    /// What accounts were charged, in nano-dollars.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }

    /// Rows without a hold that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Attempts whose usage was estimated, by reason.
    pub fn estimated(&self) -> impl Iterator<Item = (Estimated, u64)> {
        let counts = self.estimated.iter();
        Estimated::ALL
            .into_iter()
            .zip(counts.map(|count| count.load(Ordering::Relaxed)))
    }

    pub(super) fn add_row(&self, charged: i64, flags: Flags) {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.charged
            .fetch_add(u64::try_from(charged).unwrap_or(0), Ordering::Relaxed);
        for ((flag, _), count) in Flags::NAMES.iter().zip(&self.flagged) {
            if flags.has(*flag) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn add_lost(&self, rows: u64) {
        self.lost.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn add_estimated(&self, reason: Option<Estimated>) {
        let place = Estimated::ALL
            .iter()
            .position(|known| Some(*known) == reason);
        if let Some(count) = place.and_then(|place| self.estimated.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
