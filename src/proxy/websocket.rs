//! Requests to go on as a WebSocket: `realtime`, and paths of one provider. What happens before it is open is that of
//! any request without a body: key, model, candidates, attempts. Once the upstream has answered 101 it is a tunnel, whose
//! frames pass as they are; a tap reads on a copy what the upstream says was used.
//!
//! `handshake` checks what asks for it, `query` has the model, `tunnel` is its state, `line` the way between the sockets,
//! `conversation` what passes there; `frames` and `tap` read it. Where the gateway pays, `paid` holds and charges by what is read: `client` and `asks` of what the client sends, `news` of
//! what the server does (both by `members`), `charged` says what must be held, and `end` is how the gateway ends it.
//!
//! Where a WebSocket cannot be served that is said at once, with 426, and clients that speak plain HTTP as well go on with
//! that.

mod asks;
mod charged;
mod client;
mod conversation;
mod end;
mod frames;
mod handshake;
mod line;
mod members;
mod news;
mod paid;
mod query;
mod tap;
mod tunnel;

use http::Method;
use pingora_proxy::Session;

use super::Gateway;
use super::address::Address;
use super::admit::{self, Next};
use super::body::{self, InPath, Unread};
use super::context::RequestContext;
use super::pass;
use super::reject::{Code, Rejection};
use super::{quota, replay};
use crate::surface::Surface;

pub use charged::{Purse, Stop};
pub use handshake::{VERSION, is_asked};
pub use query::with_model;
pub use tunnel::{Tunnel, from_client, is_opened, linger, open};

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
    /// Answers a request to go on as a WebSocket, or makes its plan.
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
        match address {
            Address::Surface { surface, provider } if surface.is_websocket() => {
                self.realtime(session, ctx, surface, provider).await
            }
            Address::Surface { provider, .. } | Address::Unknown { provider }
                if pass::is_passed(session, ctx, provider) =>
            {
                // It is none of the surface's own requests.
                let surface = ctx.surface.take();
                let passed = self.pass(session, ctx, provider).await;
                let next = passed.map_err(|unread| or_http(unread, surface))?;
                if let Some(routed) = ctx.routed.as_deref_mut() {
                    routed.tunnel = Some(Tunnel::passed());
                    routed.replay.upgrades();
                }
                Ok(next)
            }
            _ => Err(not_served().into()),
        }
    }

    /// Makes the plan of a WebSocket whose model stands in the query.
    async fn realtime(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        surface: Surface,
        provider: Option<&str>,
    ) -> Result<Next, Unread> {
        let controls = self.identify(session, ctx, provider)?;
        let query = session.req_header().uri.query().unwrap_or_default();
        let named = query::named(query)?.map(|name| {
            Box::new(InPath {
                name: name.into(),
                surface,
                plain: query::is_plain(query),
            })
        });
        self.check_load(ctx)?;
        let admitted = quota::enter(ctx.caller.as_ref())?;
        let bounds = admit::bounds(&ctx.live);
        session.set_write_timeout(Some(bounds.client));
        let mut body = body::unread(session.as_mut(), false, &bounds).await?;
        body.in_path = named;
        let stored = self.stored.pin();
        let headers = &session.req_header().headers;
        let mut routed = admit::route(ctx, surface, &controls, &stored, headers, body, &bounds)?;
        routed.tunnel = Some(Tunnel::metered());
        routed.streamed = true;
        routed.replay.upgrades();
        quota::reserve(admitted, Some(surface), &mut routed)?;
        replay::install(session, routed.replay.clone());
        ctx.routed = Some(routed);
        Ok(Next::Proxy)
    }
}

/// The refusal of a request for a surface that is a WebSocket and comes without a handshake.
#[must_use]
pub fn only(method: &Method) -> Rejection {
    if *method == Method::GET {
        return Rejection::new(
            Code::UpgradeRequired,
            "This path is a WebSocket. Open it with a WebSocket client, as `wss://…/v1/realtime?model=…`.",
        );
    }
    Rejection::new(
        Code::MethodNotAllowed,
        "This path is a WebSocket, which is asked for with GET.",
    )
}

/// Where a surface is served over plain HTTP, too, a refusal to pass its WebSocket on is one to go on with that.
fn or_http(unread: Unread, surface: Option<Surface>) -> Unread {
    match unread {
        Unread::Rejected(rejection)
            if rejection.code == Code::NotOnGatewayCredential && surface.is_some() =>
        {
            Rejection::new(
                Code::WebsocketNotSupported,
                "On the gateway's key there is no WebSocket at this path, because nobody could say before what it costs. Ask the same over plain HTTP, without `Upgrade`; or use a provider key of your own.",
            )
            .into()
        }
        other => other,
    }
}

fn not_served() -> Rejection {
    Rejection::new(
        Code::WebsocketNotSupported,
        "There is no WebSocket at this path. Ask the same over plain HTTP, without `Upgrade`: answers stream with `\"stream\": true`.",
    )
}
