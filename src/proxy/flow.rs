//! How much of a body Pingora has taken and not yet written: a piece is counted until it is dropped. The end of a body that waits
//! to be written at once (`upstream/joined.rs`) counts as written.
//!
//! Pingora takes pieces into a pipe of four, and polls the client's session no more while that is
//! full. Whoever must keep looking at the clock and the client hands over less.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::upstream::peer;

/// Pieces that are handed over and not yet written, at most.
pub const PIECES_UNWRITTEN: usize = 2;

/// The longest body whose pieces are not counted, in bytes: it fits the pipe and, in all likelihood, the socket's buffer.
pub const UNCOUNTED_MAX: usize = 64 * 1024;

/// Counts the pieces of one attempt.
#[derive(Debug)]
pub struct Flow {
    unwritten: AtomicUsize,
    quick: AtomicBool,
    written: Notify,
    last_written: Mutex<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            unwritten: AtomicUsize::new(0),
            quick: AtomicBool::new(false),
            written: Notify::new(),
            last_written: Mutex::new(Instant::now()),
        }
    }
}

impl Flow {
    /// Pieces that were handed over and are not yet written.
    pub fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Acquire)
    }

    /// Whether another piece may be handed over.
    pub fn has_room(&self) -> bool {
        self.unwritten() < PIECES_UNWRITTEN
    }

    /// Whether the last piece was on its way for no longer than [`peer::QUICK`]; false before there was one.
    pub fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Acquire)
    }

    /// When a piece was last written, or given up.
    pub fn last_written(&self) -> Instant {
        *self
            .last_written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a piece has been written since it last returned.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// The piece, counted until Pingora lets go of it: it has been written, or given up.
    pub fn count(self: &Arc<Self>, piece: Bytes) -> Bytes {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        let until = Until {
            flow: Arc::clone(self),
            since: Instant::now(),
        };
        held(piece, until)
    }
}

/// As [`Flow::written`]; never, where nothing is counted.
pub async fn written(flow: Option<&Flow>) {
    match flow {
        Some(flow) => flow.written().await,
        None => std::future::pending().await,
    }
}

/// The piece, and what ends when the connection has taken it.
pub fn watched(piece: Bytes) -> (Bytes, oneshot::Receiver<()>) {
    let (until, taken) = oneshot::channel();
    (held(piece, until), taken)
}

/// The piece, and what is dropped when Pingora lets go of it: it has been written, or given up.
pub fn held<U: Send + 'static>(piece: Bytes, until: U) -> Bytes {
    Bytes::from_owner(Held {
        piece,
        _until: until,
    })
}

/// A piece on its way, and what its end is told to by being dropped.
struct Held<U> {
    piece: Bytes,
    _until: U,
}

impl<U> AsRef<[u8]> for Held<U> {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

struct Until {
    flow: Arc<Flow>,
    since: Instant,
}

impl Drop for Until {
    fn drop(&mut self) {
        let Self { flow, since } = self;
        let now = Instant::now();
        let quick = now.duration_since(*since) <= peer::QUICK;
        flow.quick.store(quick, Ordering::Release);
        *flow
            .last_written
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = now;
        flow.unwritten.fetch_sub(1, Ordering::AcqRel);
        flow.written.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn there_is_room_again_when_every_part_of_a_piece_is_gone() {
        let flow = Arc::new(Flow::default());
        let first = flow.count(Bytes::from_static(b"first"));
        assert!(flow.has_room());
        let second = flow.count(Bytes::from_static(b"second"));
        assert!(!flow.has_room());
        assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"second"[..]));
        let part = second.slice(1..2);
        drop(second);
        assert_eq!(flow.unwritten(), 2);
        drop(part);
        assert!(flow.has_room());
        // Told also to who asks afterwards.
        flow.written().await;
        drop(first);
        assert_eq!(flow.unwritten(), 0);
    }

    #[test]
    fn an_upstream_is_as_quick_as_it_was_with_the_last_piece() {
        let flow = Arc::new(Flow::default());
        assert!(!flow.is_quick());
        let taken_after = |time: Duration| {
            flow.unwritten.fetch_add(1, Ordering::AcqRel);
            drop(Until {
                flow: Arc::clone(&flow),
                since: Instant::now().checked_sub(time).expect("a time before"),
            });
        };
        // However long this test may stand still, it took longer.
        taken_after(peer::QUICK * 2);
        assert!(!flow.is_quick());
        flow.quick.store(true, Ordering::Release);
        taken_after(peer::QUICK * 2);
        assert!(!flow.is_quick());
        // A time that has not come is none at all.
        flow.unwritten.fetch_add(1, Ordering::AcqRel);
        drop(Until {
            flow: Arc::clone(&flow),
            since: Instant::now() + Duration::from_secs(3_600),
        });
        assert!(flow.is_quick());
    }

    #[tokio::test]
    async fn the_end_of_a_watched_piece_is_told() {
        let (piece, mut taken) = watched(Bytes::new());
        assert!(
            taken
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Empty)
        );
        drop(piece);
        assert!(taken.await.is_err());
    }
}
