//! How much of a body Pingora has taken and not yet written: a piece is counted until it is dropped.
//!
//! Pingora takes pieces into a pipe of four, and polls the client's session no more while that is
//! full. Whoever must keep looking at the clock and the client hands over less.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

/// Pieces that are handed over and not yet written, at most.
pub const PIECES_UNWRITTEN: usize = 2;

/// The longest body whose pieces are not counted, in bytes: it fits the pipe and, in all likelihood, the socket's buffer.
pub const UNCOUNTED_MAX: usize = 64 * 1024;

/// Counts the pieces of one attempt.
#[derive(Debug)]
pub struct Flow {
    unwritten: AtomicUsize,
    written: Notify,
    last_written: Mutex<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            unwritten: AtomicUsize::new(0),
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
        Bytes::from_owner(Held {
            piece,
            _until: Until(Arc::clone(self)),
        })
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
    let held = Held {
        piece,
        _until: until,
    };
    (Bytes::from_owner(held), taken)
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

struct Until(Arc<Flow>);

impl Drop for Until {
    fn drop(&mut self) {
        let Self(flow) = self;
        *flow
            .last_written
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        flow.unwritten.fetch_sub(1, Ordering::AcqRel);
        flow.written.notify_one();
    }
}

#[cfg(test)]
mod tests {
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
