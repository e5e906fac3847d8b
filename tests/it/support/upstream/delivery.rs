//! What an upstream has received: one [`Delivery`] a request, and the [`Log`] that keeps them and wakes who waits.
//! How requests are read off the wire is in `serve_h1` and `serve_h2`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use crate::support::http1::Fields;
use crate::support::{http1, sha, wait};

/// The most of a request body that is kept, in bytes; its digest covers all of it.
pub const KEPT_MAX: usize = 1024 * 1024;

/// How the request said where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body was announced.
    None,
    /// HTTP/1.1 `Content-Length`.
    Length,
    /// HTTP/1.1 chunked.
    Chunked,
    /// HTTP/2 (`content-length`, if any, is among the fields).
    H2,
}

/// A request whose head has arrived.
#[derive(Clone)]
pub struct Delivery {
    /// Its place in the order of arrival at this upstream, from 0.
    pub number: usize,
    /// The connection it came on, numbered from 0 in the order of acceptance.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// `Host` or `:authority`.
    pub authority: String,
    /// The other header fields, in order.
    pub fields: Fields,
    /// How the end of the body was announced.
    pub framing: Framing,
    /// Body bytes received so far.
    pub length: u64,
    /// SHA-256 of the body bytes; set when its reading has ended, complete or not.
    pub sha256: Option<String>,
    /// The body's first [`KEPT_MAX`] bytes.
    pub body: Vec<u8>,
    /// Whether the body arrived to its end.
    pub complete: bool,
    /// When the head arrived.
    pub at: Instant,
    /// When the body was complete.
    pub complete_at: Option<Instant>,
    /// When the peer went away (end of connection, or a stream reset) before the exchange was over.
    pub gone_at: Option<Instant>,
}

impl Delivery {
    /// The first value of a header field, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        http1::field(&self.fields, name)
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The whole body.
    ///
    /// # Panics
    /// When it is incomplete or larger than what is kept.
    pub fn bytes(&self) -> Bytes {
        assert!(
            self.complete,
            "delivery {} is incomplete ({} bytes)",
            self.number, self.length
        );
        assert!(
            self.length <= KEPT_MAX as u64,
            "a body of {} bytes is not kept whole",
            self.length
        );
        Bytes::copy_from_slice(&self.body)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes()).expect("a JSON body")
    }
}

/// Without the body, which may be long.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("number", &self.number)
            .field("connection", &self.connection)
            .field(
                "request",
                &format_args!("{} {}{}", self.method, self.authority, self.target),
            )
            .field("fields", &self.fields)
            .field("framing", &self.framing)
            .field("length", &self.length)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

/// Everything that arrived at one upstream.
pub struct Log {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    deliveries: Vec<Delivery>,
    accepted: usize,
    open: usize,
    open_max: usize,
    complaints: Vec<String>,
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::channel(()).0,
        })
    }

    /// The requests so far, in order of arrival.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries_since(0)
    }

    pub(super) fn deliveries_since(&self, count: usize) -> Vec<Delivery> {
        self.lock()
            .deliveries
            .get(count..)
            .unwrap_or_default()
            .to_vec()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().deliveries.len()
    }

    pub(super) fn accepted(&self) -> usize {
        self.lock().accepted
    }

    pub(super) fn open(&self) -> (usize, usize) {
        let state = self.lock();
        (state.open, state.open_max)
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    /// Waits until `condition` holds of the deliveries, which it returns.
    pub(super) async fn until(
        &self,
        what: &str,
        condition: impl Fn(&[Delivery]) -> bool,
    ) -> Vec<Delivery> {
        let mut changed = self.changed.subscribe();
        let seen = async {
            loop {
                changed.mark_unchanged();
                {
                    let state = self.lock();
                    if condition(&state.deliveries) {
                        return state.deliveries.clone();
                    }
                }
                let _ = changed.changed().await;
            }
        };
        wait::within(what, seen).await
    }

    /// Waits until `condition` holds of the connections accepted and open.
    pub(super) async fn until_connections(&self, condition: impl Fn(usize, usize) -> bool) {
        let mut changed = self.changed.subscribe();
        let seen = async {
            loop {
                changed.mark_unchanged();
                let (accepted, open) = (self.accepted(), self.open().0);
                if condition(accepted, open) {
                    return;
                }
                let _ = changed.changed().await;
            }
        };
        wait::within("connections at an upstream", seen).await;
    }

    /// Counts a connection in, and out again when the guard is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> Connected {
        let mut state = self.lock();
        let number = state.accepted;
        state.accepted += 1;
        state.open += 1;
        state.open_max = state.open_max.max(state.open);
        drop(state);
        self.changed.send_replace(());
        Connected {
            number,
            log: self.clone(),
        }
    }

    /// Keeps a note on bytes that were no request.
    pub(super) fn complain(&self, what: String) {
        self.lock().complaints.push(what);
        self.changed.send_replace(());
    }

    /// Adds a request whose head has just arrived.
    pub(super) fn arrived(self: &Arc<Self>, mut delivery: Delivery) -> Recorder {
        let mut state = self.lock();
        let number = state.deliveries.len();
        delivery.number = number;
        state.deliveries.push(delivery);
        drop(state);
        self.changed.send_replace(());
        Recorder {
            log: self.clone(),
            number,
            digest: sha::Digest::default(),
            done: false,
        }
    }

    fn update(&self, number: usize, change: impl FnOnce(&mut Delivery)) {
        if let Some(delivery) = self.lock().deliveries.get_mut(number) {
            change(delivery);
        }
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection in the log.
pub(super) struct Connected {
    pub(super) number: usize,
    log: Arc<Log>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.log.lock().open -= 1;
        self.log.changed.send_replace(());
    }
}

/// Writes the rest of one delivery into the log while its body is read.
pub(super) struct Recorder {
    log: Arc<Log>,
    number: usize,
    digest: sha::Digest,
    done: bool,
}

impl Recorder {
    /// The delivery as it stands.
    pub(super) fn delivery(&self) -> Delivery {
        self.log.lock().deliveries[self.number].clone()
    }

    /// Bytes received so far.
    pub(super) fn length(&self) -> u64 {
        self.log.lock().deliveries[self.number].length
    }

    /// Adds a piece of the body.
    pub(super) fn piece(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        self.log.update(self.number, |delivery| {
            delivery.length += piece.len() as u64;
            let room = KEPT_MAX.saturating_sub(delivery.body.len());
            delivery
                .body
                .extend_from_slice(&piece[..piece.len().min(room)]);
        });
    }

    /// The body has come to its end.
    pub(super) fn complete(&mut self) {
        if !self.done {
            self.done = true;
            let sha256 = self.digest.hex();
            self.log.update(self.number, |delivery| {
                delivery.complete = true;
                delivery.complete_at = Some(Instant::now());
                delivery.sha256 = Some(sha256);
            });
        }
    }

    /// The peer went away.
    pub(super) fn gone(&mut self) {
        self.log.update(self.number, |delivery| {
            delivery.gone_at.get_or_insert_with(Instant::now);
        });
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.done {
            let sha256 = self.digest.hex();
            self.log
                .update(self.number, |delivery| delivery.sha256 = Some(sha256));
        }
    }
}
