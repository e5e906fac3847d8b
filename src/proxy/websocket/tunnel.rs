//! A request that is to become a WebSocket, and has become one once its upstream has answered 101.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::paid::Paid;
use super::tap::Tap;
use crate::proxy::charge::{Asker, Charged, How, Till};
use crate::proxy::context::{RequestContext, Routed};
use crate::proxy::replay;
use crate::usage::Report;

/// How long a client that was told of the end is read from, so that it reads that before its connection is reset.
const LINGER: Duration = Duration::from_secs(2);

/// How soon the connection upstream is closed then.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What is known of it.
#[derive(Default)]
pub struct Tunnel {
    /// Reads what was used; none where that is nobody's matter.
    tap: Option<Tap>,
    /// Whether it is open.
    open: bool,
    /// Bytes of frames that the client has sent.
    received: u64,
    /// How it is paid for, where the gateway pays.
    paid: Option<Box<Paid>>,
}

impl Tunnel {
    /// One of a surface, whose usage is read.
    #[must_use]
    pub fn metered() -> Box<Self> {
        Box::new(Self {
            tap: Some(Tap::default()),
            ..Self::default()
        })
    }

    /// One that is passed on as it is.
    #[must_use]
    pub fn passed() -> Box<Self> {
        Box::default()
    }

    /// Bytes of frames that the client has sent.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Settles what it has cost, where the gateway pays.
    #[must_use]
    pub fn settle(&mut self, how: How) -> Option<Charged> {
        self.paid.as_mut().map(|paid| paid.settle(how))
    }

    /// What was used, where it was open and is read.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.tap.as_ref().filter(|_| self.open).map(Tap::report)
    }
}

/// Whether this answer makes a WebSocket of the request.
#[must_use]
pub fn is_opened(ctx: &RequestContext, response: &ResponseHeader) -> bool {
    let asks = |routed: &Routed| routed.tunnel.is_some();
    response.status == StatusCode::SWITCHING_PROTOCOLS && ctx.routed.as_deref().is_some_and(asks)
}

/// Opens it: from here on there is no other attempt, and no clock but the upstream's silence. The replay session has
/// nothing more to do, and Pingora carries frames on the client's own session only. `patience`: a client that takes
/// nothing for so long is gone.
pub fn open(session: &mut Session, ctx: &mut RequestContext, patience: Duration) {
    let (live, surface) = (ctx.live.clone(), ctx.surface);
    let (Some(routed), Some(caller)) = (ctx.routed.as_deref_mut(), ctx.caller.as_deref()) else {
        return;
    };
    replay::uninstall(session, &routed.replay);
    session.set_read_timeout(None);
    session.set_write_timeout(Some(patience));
    let request = ctx.id.as_str();
    let till = surface.and_then(|it| {
        let asker = Asker {
            caller,
            surface,
            request,
        };
        Till::open(routed, &live, it, asker)
    });
    let paid = till.map(|till| Paid::new(till, routed.model(&live)));
    if let Some(tunnel) = &mut routed.tunnel {
        tunnel.open = true;
        tunnel.paid = paid;
    }
}

fn opened(ctx: &mut RequestContext) -> Option<&mut Tunnel> {
    let tunnel = ctx.routed.as_deref_mut()?.tunnel.as_deref_mut()?;
    tunnel.open.then_some(tunnel)
}

fn over() -> Box<Error> {
    Error::new_down(ErrorType::ConnectionClosed)
}

/// Bytes of frames are on their way from the client; none of them: it has gone.
///
/// # Errors
/// The conversation has ended, and they do not go on.
pub async fn from_client(
    session: &mut Session,
    ctx: &mut RequestContext,
    body: &mut Option<Bytes>,
) -> Result<()> {
    let Some(tunnel) = opened(ctx) else {
        return Ok(());
    };
    tunnel.received += body.as_ref().map_or(0, Bytes::len) as u64;
    let (Some(paid), Some(tap)) = (tunnel.paid.as_deref_mut(), tunnel.tap.as_ref()) else {
        return Ok(());
    };
    let Some(bytes) = body.as_ref() else {
        paid.left();
        return Ok(());
    };
    if paid.has_ended() {
        paid.skip(bytes);
        return Err(over());
    }
    let passed = paid.client_says(bytes).await;
    if !paid.is_ending() {
        return Ok(());
    }
    *body = Some(bytes.slice(..passed));
    let Some(told) = paid.tell(tap) else {
        // Behind what the server is sending.
        session.set_read_timeout(Some(LINGER));
        return Ok(());
    };
    // Pingora takes frames only once its 101 has gone out.
    if session.was_upgraded() {
        let task = HttpTask::UpgradedBody(Some(told.into()), false);
        let client = &mut session.downstream_session;
        client.response_duplex_vec(vec![task]).await?;
    }
    if passed == 0 {
        return Err(over());
    }
    // What stood before it goes on.
    session.set_read_timeout(Some(AT_ONCE));
    Ok(())
}

/// Bytes of frames are on their way to the client. How long they are kept back.
pub fn from_upstream(
    session: &mut Session,
    ctx: &mut RequestContext,
    body: &mut Option<Bytes>,
) -> Option<Duration> {
    let tunnel = opened(ctx)?;
    let tap = tunnel.tap.as_mut()?;
    let Some(paid) = tunnel.paid.as_deref_mut() else {
        tap.feed(body.as_deref().unwrap_or_default());
        return None;
    };
    let pause = paid.upstream_says(tap, body);
    if paid.has_ended() {
        session.set_read_timeout(Some(AT_ONCE));
    }
    pause
}

/// Waits a moment for a client that was told of the end to close: what it has still sent would reset the connection, and
/// that takes away what it has not read.
pub async fn linger(session: &mut Session, ctx: &mut RequestContext) {
    let paid = opened(ctx).and_then(|tunnel| tunnel.paid.as_deref_mut());
    let Some(paid) = paid.filter(|paid| paid.has_ended()) else {
        return;
    };
    session.set_read_timeout(None);
    let client = &mut session.downstream_session;
    let drained = async {
        let mut closed = paid.skip(&[]);
        while !closed && let Ok(Some(bytes)) = client.read_request_body().await {
            closed = paid.skip(&bytes);
        }
    };
    // Whoever goes on sending has had its time.
    let _ = tokio::time::timeout(LINGER, drained).await;
}
