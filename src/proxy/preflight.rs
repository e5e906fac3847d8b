//! What a browser asks before it lets a page ask: answered here, without a key and without an upstream.

use http::Method;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::Gateway;
use super::admit::Next;
use super::body::Unread;
use super::context::RequestContext;
use super::response;
use crate::cors;

/// Whether a request is one.
#[must_use]
pub fn is(request: &RequestHeader) -> bool {
    request.method == Method::OPTIONS && cors::is_preflight(&request.headers)
}

impl Gateway {
    /// Answers it, of a page that may ask.
    pub(super) async fn preflight(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Next, Unread> {
        let asked = &session.req_header().headers;
        let header = response::preflight(ctx, asked).map_err(|_| Unread::Gone)?;
        let sent = self.answer(session, ctx, header, bytes::Bytes::new()).await;
        sent.map(|()| Next::Answered).map_err(|_| Unread::Gone)
    }
}
