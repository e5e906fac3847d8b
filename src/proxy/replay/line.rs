//! A connection that carries something else than an answer from now on, as a WebSocket does. The replay session stays where
//! it is, because there both directions can be waited in; what passes is another's matter.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::Result;
use pingora::protocols::http::{HttpTask, ServerSession};

use super::shared::Shared;

/// Both directions of such a connection, between Pingora and the client's own session.
#[async_trait]
pub trait Line: Send + Sync {
    /// What comes from the client; nothing but an empty piece where Pingora is to look without. None: it has ended, and
    /// what is on its way upstream is still written. Is dropped and called again at any time.
    async fn read(&self, real: &mut ServerSession) -> Result<Option<Bytes>>;

    /// Writes to the client; true: it has ended.
    async fn write(&self, real: &mut ServerSession, tasks: Vec<HttpTask>) -> Result<bool>;

    /// Whether it has ended on our side.
    fn is_over(&self) -> bool;
}

impl Shared {
    /// From now on it is that.
    pub fn becomes(&self, line: Arc<dyn Line>) {
        // There is no second one: nothing is tried again after it.
        let _ = self.line.set(line);
    }

    pub(super) fn line(&self) -> Option<&dyn Line> {
        self.line.get().map(AsRef::as_ref)
    }
}
