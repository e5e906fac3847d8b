//! Sends Tollgate's own answers to the client.

use std::time::Instant;

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::context::RequestContext;
use super::reject::{Code, Rejection};
use super::response;
use super::{Gateway, address, packed, websocket};
use crate::surface::{Dialect, Surface};

/// The largest rest of a body that is read to keep a connection, in bytes.
const DRAIN_MAX: usize = 64 * 1024;

/// How long that may take: the answer waits for it.
const DRAIN_TIME: Duration = Duration::from_millis(50);

/// How long a body is read on after a refusal, so that the client sees the answer and not a reset.
const LINGER: Duration = Duration::from_secs(2);

static JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Gateway {
    /// Answers with a refusal. An unread body is read on for a moment; the connection is kept only
    /// when little is left of it, and announced as closing otherwise.
    ///
    /// # Errors
    /// Pingora's, when the client is gone.
    pub(super) async fn refuse(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        rejection: &Rejection,
    ) -> Result<()> {
        ctx.refused = Some(rejection.code);
        self.metrics.rejection(rejection.code.index());
        let body = rejection.body(ctx.dialect, ctx.id());
        let mut header = own_header(rejection.code.status(), body.len())?;
        if let Some(time) = rejection.retry_after() {
            // Rounded up: who comes in time is let in.
            let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            header.insert_header(RETRY_AFTER, millis.div_ceil(1_000))?;
            header.insert_header("retry-after-ms", millis)?;
        }
        if rejection.code == Code::MethodNotAllowed {
            // Surfaces are posted to; all else that is served is read.
            header.insert_header(
                ALLOW,
                if ctx.surface.is_some_and(Surface::is_websocket) {
                    "GET"
                } else if ctx.surface.is_some()
                    || session.req_header().uri.path() == address::EXPLAIN
                {
                    "POST"
                } else {
                    "GET, HEAD"
                },
            )?;
        }
        if let Some(protocol) = websocket::protocol(rejection.code) {
            header.insert_header(UPGRADE, protocol)?;
        }
        if rejection.code == Code::UpgradeRequired {
            header.insert_header(SEC_WEBSOCKET_VERSION, websocket::VERSION)?;
        }
        if rejection.code == Code::UnsupportedEncoding {
            header.insert_header(ACCEPT_ENCODING, packed::ACCEPTED)?;
        }
        if !rejection.code.worth_a_retry() {
            header.insert_header("x-should-retry", "false")?;
        }
        response::decorate(&mut header, ctx, Instant::now())?;
        if let Some(wait) = &rejection.wait {
            response::limits(&mut header, &wait.levels, ctx.dialect)?;
        }
        // Where the SDKs look for the id of an error's request.
        let usual = if ctx.dialect == Dialect::Anthropic {
            "request-id"
        } else {
            "x-request-id"
        };
        header.insert_header(usual, ctx.id.to_header())?;
        self.answer(session, ctx, header, body).await
    }

    /// Answers with JSON of our own.
    ///
    /// # Errors
    /// Pingora's, when the client is gone.
    pub(super) async fn answer_json(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        body: Bytes,
    ) -> Result<()> {
        let mut header = own_header(200, body.len())?;
        response::identify(&mut header, ctx)?;
        self.answer(session, ctx, header, body).await
    }

    /// Sends an answer of our own; an empty `body` is none.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        header: ResponseHeader,
        body: Bytes,
    ) -> Result<()> {
        let closing = !read_out(session).await;
        if closing {
            session.set_keepalive(None);
        }
        session.set_total_drain_timeout(Some(LINGER));
        session.set_write_timeout(Some(ctx.live.client_patience));
        let head = session.req_header().method == http::Method::HEAD || body.is_empty();
        session
            .write_response_header(Box::new(header), head)
            .await?;
        if !head {
            ctx.sent = body.len() as u64;
            session.write_response_body(Some(body), true).await?;
        }
        if closing {
            let _ = tokio::time::timeout(LINGER, session.drain_request_body()).await;
        }
        Ok(())
    }
}

/// Reads the rest of the body where that is so little that it is cheaper than a new connection;
/// true when nothing is left of it.
async fn read_out(session: &mut Session) -> bool {
    if session.is_body_done() {
        return true;
    }
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if headers.contains_key(EXPECT) || length.is_some_and(|length| length > DRAIN_MAX) {
        return false;
    }
    let reading = async {
        let mut read = 0;
        while let Ok(Some(piece)) = session.read_request_body().await {
            read += piece.len();
            if read > DRAIN_MAX {
                return;
            }
        }
    };
    tokio::time::timeout(DRAIN_TIME, reading).await.is_ok() && session.is_body_done()
}

/// The header of an answer of our own.
fn own_header(status: u16, length: usize) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(status, Some(8))?;
    header.insert_header(CONTENT_TYPE, JSON.clone())?;
    header.insert_header(CONTENT_LENGTH, length)?;
    Ok(header)
}
