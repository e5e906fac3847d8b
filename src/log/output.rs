//! What the lines of a log go to, and in which form: one value, which a reload replaces.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::access::Target;
use super::format::Format;
use super::spool::{Log, Sink, Spool};

/// An open target. Dropping it writes what is left, for two seconds at the most.
pub struct Output {
    pub(super) spool: Option<Spool>,
    pub(super) format: Format,
}

impl Output {
    /// Opens `target` and starts the thread that writes to it, for which at most `queue` bytes wait. Lines that it does not
    /// take are counted in `dropped`.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not be started.
    pub(super) fn open(
        log: Log,
        target: &Target,
        format: Format,
        queue: usize,
        dropped: &Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let spool = sink.map(|sink| Spool::start(log, sink, queue, Arc::clone(dropped)));
        Ok(Self {
            spool: spool.transpose()?,
            format,
        })
    }

    /// Has a file opened by its name again. Returns at once.
    pub(super) fn reopen(&self) {
        if let Some(spool) = &self.spool {
            spool.reopen();
        }
    }

    /// Waits until everything that was told before is written, for `limit` at the most; returns whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.flush(limit))
    }
}
