//! The HTTP side: `impl ProxyHttp for Gateway`, one short method a phase, in phase order.

mod address;
mod admit;
mod affinity;
mod attempt;
mod attempts;
mod azure;
mod blame;
mod body;
mod candidates;
mod charge;
mod context;
mod credit_answer;
mod decide;
mod decoded;
mod edits;
mod error_answer;
pub mod explain;
mod fault;
mod finish;
mod flow;
mod form;
mod framing;
pub mod headers_out;
mod held;
mod id;
pub mod inbound;
mod keys;
mod limited;
mod look;
mod masked;
mod members;
pub mod memory;
mod meter;
mod models;
mod order;
mod pace;
mod packed;
mod pass;
mod path_model;
mod preflight;
mod quota;
mod record;
mod refuse;
pub mod reject;
mod replay;
mod report;
mod request;
pub mod request_answer;
mod response;
mod seen;
mod state;
mod steps;
mod tail;
mod trace;
mod way;
mod websocket;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::access::Keyring;
use crate::byok::keys::StoredKeys;
use crate::kept;
use crate::ledger::Ledger;
use crate::live::Live;
use crate::log::access::AccessLog;
use crate::metrics::Metrics;
use crate::otel::Current;
use crate::snapshot::Snapshot;
use crate::surface::Dialect;
use crate::upstream::joined::Announced;
use crate::upstream::peer;
use body::Unread;
use charge::How;
use context::{RequestContext, Routed};
use id::RequestIds;
use memory::ReplayMemory;
use request_answer::Reads;
use seen::Seen;

/// The gateway: what every request shares.
pub struct Gateway {
    /// The catalog and the providers.
    pub live: Arc<Snapshot<Live>>,
    /// The access keys.
    pub keys: Arc<Snapshot<Keyring>>,
    /// The provider keys that accounts have stored.
    pub stored: Arc<Snapshot<StoredKeys>>,
    /// The memory for request bodies.
    pub memory: Arc<ReplayMemory>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where each request is written down.
    pub access_log: Arc<AccessLog>,
    /// Accounts, and what is charged to them.
    pub ledger: Arc<Ledger>,
    /// What callers are told of their requests.
    pub reads: Arc<Reads>,
    /// Where requests are told to a collector, if there is one.
    pub telemetry: Arc<Current>,
    ids: RequestIds,
}

impl Gateway {
    /// A gateway; `seed` is random and makes its request ids differ from other processes'.
    #[must_use]
    #[allow(
        clippy::too_many_arguments,
        reason = "each is another thing, and it is called once"
    )]
    pub fn new(
        live: Arc<Snapshot<Live>>,
        keys: Arc<Snapshot<Keyring>>,
        stored: Arc<Snapshot<StoredKeys>>,
        memory: Arc<ReplayMemory>,
        metrics: Arc<Metrics>,
        access_log: Arc<AccessLog>,
        ledger: Arc<Ledger>,
        reads: Arc<Reads>,
        telemetry: Arc<Current>,
        seed: [u64; 2],
    ) -> Self {
        Self {
            live,
            keys,
            stored,
            memory,
            metrics,
            access_log,
            ledger,
            reads,
            telemetry,
            ids: RequestIds::new(seed),
        }
    }
}

/// Has the header of an HTTP/1.1 request and what is in memory of its body leave together.
fn join_writes(routed: &Routed) {
    let current = &routed.current;
    let announced = current.announced.as_ref();
    if announced.is_some_and(|to| routed.replay.announce(to)) {
        return;
    }
    if let Some(socket) = current.socket {
        routed.replay.cork(socket);
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        let arrived = SystemTime::now();
        RequestContext {
            id: self.ids.next(arrived),
            started: Instant::now(),
            arrived,
            dialect: Dialect::OpenAi,
            live: self.live.pin(),
            caller: None,
            surface: None,
            refused: None,
            seen: Seen::default(),
            trace: None,
            routed: None,
            sent: 0,
            in_flight: self.metrics.request_begins(),
            busy: kept::request_begins(),
        }
    }

    /// None of Pingora's modules: they compress and decompress, and bytes pass as they are.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<bool> {
        fault::injected(session, "request_filter");
        self.begin_trace(session.req_header(), ctx);
        match self.admit(session, ctx).await {
            Ok(admit::Next::Proxy) => Ok(false),
            Ok(admit::Next::Answered) => Ok(true),
            Err(Unread::Rejected(rejection)) => {
                self.refuse(session, ctx, &rejection).await?;
                Ok(true)
            }
            Err(Unread::Gone) => Err(Error::new_down(ErrorType::ConnectionClosed)),
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        fault::injected(session, "upstream_peer");
        attempt::open(session, ctx, self).await
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        fault::injected(session, "connected_to_upstream");
        if let Some(routed) = ctx.routed.as_deref_mut() {
            routed.current.connected = true;
            routed.current.socket = Some(fd);
            routed.current.announced = Announced::of(digest);
            routed.current.reused = reused;
            routed.way.note(&ctx.live, routed, true);
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        fault::injected(session, "upstream_request_filter");
        let http2 = request.version == http::Version::HTTP_2;
        if let Some(routed) = ctx.routed.as_deref_mut() {
            if routed.tunnel.is_none() {
                routed.endpoint(&ctx.live).seen().saw_http2(http2);
            }
            routed.current.permit = None;
            let piece_max = if http2 {
                [peer::PIECE_MAX_H2; 2]
            } else {
                [peer::PIECE_MAX_H1, peer::PIECE_MAX_H1_QUICK]
            };
            // A connection of HTTP/1.1 that was there was not waited for.
            let waited = http2 || !routed.current.reused;
            routed
                .replay
                .connected(piece_max, waited.then(Instant::now));
        }
        let written = self
            .rewrite(session, request, ctx)
            .and_then(|()| self.put_trace(request, &session.req_header().headers, ctx));
        if let Some(routed) = ctx.routed.as_deref_mut() {
            attempt::note_written(routed, &ctx.live, written.is_ok());
            if written.is_ok() && !http2 {
                join_writes(routed);
            }
        }
        written
    }

    /// Pingora's look at a request whose held answer is due.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        websocket::from_client(session, ctx, &self.keys, body).await?;
        let due = ctx
            .routed
            .as_ref()
            .is_some_and(|routed| routed.replay.is_due());
        if due {
            self.looked(ctx, None);
            let nothing_new = Vec::new();
            session
                .downstream_session
                .response_duplex_vec(nothing_new)
                .await?;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        fault::injected(session, "upstream_response_filter");
        masked::answer(response, ctx)?;
        if !response.status.is_informational() || websocket::is_opened(ctx, response) {
            attempt::judge(ctx, &self.metrics, response);
        }
        Ok(())
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        masked::trailers(trailers, ctx);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        fault::injected(session, "response_filter");
        let opened = websocket::is_opened(ctx, response);
        if (response.status.is_informational() && !opened) || attempt::is_withheld(ctx) {
            return Ok(());
        }
        if response.status.is_success() || opened {
            charge::written(ctx).await?;
        }
        let now = attempt::judged(ctx).unwrap_or_else(Instant::now);
        response::decorate(response, ctx, now)?;
        if !look::is_held(ctx) {
            self.answering(response, ctx, now);
        }
        if opened {
            let patience = ctx.live.client_patience;
            websocket::open(session, ctx, patience);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<std::time::Duration>> {
        fault::injected(session, "response_body_filter");
        self.look(ctx, body.as_deref().unwrap_or_default(), end_of_stream);
        if let Some(data) = body.as_mut().filter(|_| !attempt::is_withheld(ctx)) {
            meter::feed(ctx.routed.as_deref_mut(), data);
            ctx.sent += data.len() as u64;
        }
        report::body(ctx, body.as_deref(), end_of_stream);
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let routed = ctx.routed.as_deref();
        let fresh = routed.is_some_and(|routed| routed.plan.fresh());
        let mut ended = attempt::ended_unconnected(&error, fresh);
        let downgraded =
            |routed: &Routed| !fresh && routed.endpoint(&ctx.live).seen().refuses_http1();
        if ended == attempt::Ended::NotConnected && routed.is_some_and(downgraded) {
            ended = attempt::Ended::Stale;
        }
        // No socket was to be had here: that says nothing of who was to be connected to.
        let ours = *error.etype() == ErrorType::InternalError;
        if let Some(routed) =
            routed.filter(|routed| !ours && attempt::is_unreachable(routed, ended))
        {
            routed.way.note(&ctx.live, routed, false);
        }
        if let Some(routed) = ctx.routed.as_deref_mut() {
            routed.current.blameless |= ours;
        }
        error.set_retry(attempt::next(ctx, &self.metrics, ended));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        _session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut RequestContext,
        reused: bool,
    ) -> Box<Error> {
        self.looked(ctx, None);
        if *error.etype() == ErrorType::InvalidH2
            && let Some(routed) = ctx.routed.as_deref()
        {
            routed.endpoint(&ctx.live).seen().saw_invalid_http2();
        }
        let ended = attempt::ended(&error, reused);
        error.set_retry(attempt::next(ctx, &self.metrics, ended));
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut RequestContext,
    ) -> FailToProxy {
        self.fail(session, error, ctx).await
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        ctx: &mut RequestContext,
    ) {
        fault::injected(session, "logging");
        self.looked(ctx, None);
        if error.is_none() {
            // A body may end without a last piece of its own.
            report::body(ctx, None, true);
        }
        let routed = ctx.routed.as_deref_mut();
        // What failed has been closed before.
        let told = routed
            .and_then(|routed| charge::close(routed, &ctx.live, ctx.surface, How::Whole, false));
        if let Some(routed) = ctx.routed.as_deref() {
            let frames = routed.tunnel.as_ref().and_then(|tunnel| tunnel.sent());
            ctx.sent = frames.unwrap_or(ctx.sent);
        }
        self.record(session, ctx, told);
        if let Some(routed) = &ctx.routed {
            replay::uninstall(session, &routed.replay);
        }
        inbound::Inbound::next_request(session.as_downstream());
        websocket::linger(session, ctx).await;
    }

    /// Pingora's own error lines would print the path with its query, and a key with it.
    fn request_summary(&self, _session: &Session, ctx: &RequestContext) -> String {
        ctx.id().to_owned()
    }

    /// The access log says it, once a request.
    fn suppress_error_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
    ) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
