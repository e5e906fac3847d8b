//! Requests to go on as a WebSocket. Where that cannot be served they are told so at once, with 426, and clients that
//! speak plain HTTP as well go on with that.

mod handshake;

use pingora_proxy::Session;

use super::Gateway;
use super::address::Address;
use super::admit::Next;
use super::body::Unread;
use super::context::RequestContext;
use super::reject::{Code, Rejection};

pub use handshake::{VERSION, is_asked};

/// What `Upgrade` says in a refusal with this code: the protocol to come with (RFC 9110, section 15.5.22).
#[must_use]
pub const fn protocol(code: Code) -> Option<&'static str> {
    match code {
        Code::WebsocketNotSupported => Some("HTTP/1.1"),
        Code::UpgradeRequired => Some("websocket"),
        _ => None,
    }
}

impl Gateway {
    /// Answers a request to go on as a WebSocket.
    pub(super) async fn websocket(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        address: Address<'_>,
    ) -> Result<Next, Unread> {
        // What follows may be frames, and is never read as a request.
        session.set_keepalive(None);
        if let Address::Surface { surface, .. } | Address::InPath { surface, .. } = address {
            ctx.surface = Some(surface);
        }
        handshake::check(session.req_header())?;
        Err(not_served().into())
    }
}

fn not_served() -> Rejection {
    Rejection::new(
        Code::WebsocketNotSupported,
        "There is no WebSocket at this path. Ask the same over plain HTTP, without `Upgrade`: answers stream with `\"stream\": true`.",
    )
}
