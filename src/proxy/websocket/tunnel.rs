//! A request that is to become a WebSocket, and has become one once its upstream has answered 101.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::tap::Tap;
use crate::proxy::context::{RequestContext, Routed};
use crate::proxy::replay;
use crate::usage::Report;

/// What is known of it.
#[derive(Default)]
pub struct Tunnel {
    /// Reads what was used; none where that is nobody's matter.
    tap: Option<Tap>,
    /// Whether it is open.
    open: bool,
    /// Bytes of frames that the client has sent.
    received: u64,
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
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return;
    };
    replay::uninstall(session, &routed.replay);
    session.set_read_timeout(None);
    session.set_write_timeout(Some(patience));
    if let Some(tunnel) = &mut routed.tunnel {
        tunnel.open = true;
    }
}

fn opened(ctx: &mut RequestContext) -> Option<&mut Tunnel> {
    let tunnel = ctx.routed.as_deref_mut()?.tunnel.as_deref_mut()?;
    tunnel.open.then_some(tunnel)
}

/// Bytes of frames are on their way from the client.
pub fn from_client(ctx: &mut RequestContext, bytes: Option<&Bytes>) {
    if let (Some(tunnel), Some(bytes)) = (opened(ctx), bytes) {
        tunnel.received += bytes.len() as u64;
    }
}

/// Bytes of frames are on their way to the client.
pub fn from_upstream(ctx: &mut RequestContext, bytes: Option<&Bytes>) {
    let tap = opened(ctx).and_then(|tunnel| tunnel.tap.as_mut());
    if let (Some(tap), Some(bytes)) = (tap, bytes) {
        tap.feed(bytes);
    }
}
