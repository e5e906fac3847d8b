//! How many clients may be connected at one time. One more is closed as soon as it is accepted, before TLS and before
//! anything is read from it: it costs a file descriptor for a moment, and no memory.
//!
//! Pingora tells where a connection begins, not where it ends. A slot is therefore held by what lives as long as the
//! connection: by the call that serves it, and under TLS, which comes before that call, by the stream itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::http::ResponseHeader;
use pingora::listeners::PreTlsProcess;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{GetProxyDigest, Stream};
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType, Result};

use crate::kept::Leaving;
use crate::proxy::inbound::Inbound;
use crate::upstream::load::{Load, Slot};

/// The connections of clients, over all public listeners.
#[derive(Debug)]
pub struct Connections {
    limit: AtomicU64,
    open: Arc<Load>,
    refused: AtomicU64,
    leaving: Leaving,
}

impl Connections {
    /// None yet; at most `limit` at one time.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            open: Arc::default(),
            refused: AtomicU64::new(0),
            leaving: Leaving::default(),
        })
    }

    /// From now on at most `limit`. None that is there is closed for it.
    pub fn limit_to(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Has those that are idle closed after a while, rather than at once when the process ends.
    pub fn leave(&self) {
        self.leaving.leave();
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.under_way()
    }

    /// How many are to end before the process may: none, unless it leaves.
    #[must_use]
    pub fn waited_for(&self) -> u64 {
        if self.leaving.is() { self.open() } else { 0 }
    }

    /// How many were closed as they came.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Slot> {
        let slot = self.open.take(self.limit.load(Ordering::Relaxed));
        if slot.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }
}

/// An application behind a limit of connections.
pub struct Limited<A> {
    app: Arc<A>,
    connections: Arc<Connections>,
}

impl<A> Limited<A> {
    /// `app` serves those connections that there is room for.
    pub fn new(app: A, connections: Arc<Connections>) -> Self {
        Self {
            app: Arc::new(app),
            connections,
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Limited<A> {
    /// Called once a connection; both HTTP versions are served to their end within it.
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let counted = stream.get_proxy_digest().is_some();
        let _slot = if counted {
            None
        } else {
            Some(self.connections.take()?)
        };
        let stream = Box::new(Inbound::new(stream));
        let served = self.app.process_new(stream, shutdown);
        self.connections.leaving.serve(served).await
    }

    async fn cleanup(&self) {
        // It closes what is idle at once.
        if !self.connections.leaving.is() {
            self.app.cleanup().await;
        }
    }
}

/// Counts a connection before its TLS handshake.
pub struct BeforeTls(pub Arc<Connections>);

#[async_trait]
impl PreTlsProcess for BeforeTls {
    async fn process(&self, stream: &mut TcpStream) -> Result<()> {
        let Some(slot) = self.0.take() else {
            let limit = self.0.limit.load(Ordering::Relaxed);
            return Err(Error::explain(
                ErrorType::AcceptError,
                format!("{limit} connections, as many as limits.connections allows"),
            ));
        };
        // The one place of a stream that is for what its user keeps there.
        let header = ResponseHeader::build(http::StatusCode::OK, Some(0))?;
        stream.set_proxy_digest(ProxyDigest::new(Box::new(header), Some(Box::new(slot))));
        Ok(())
    }
}
