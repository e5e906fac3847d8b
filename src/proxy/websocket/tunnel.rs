//! A request that is to become a WebSocket, and has become one once its upstream has answered 101.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::charged::Stop;
use super::conversation::Conversation;
use super::line::Line;
use super::paid::Paid;
use super::tap::Tap;
use crate::access::{Keyring, Refusal};
use crate::proxy::charge::{Asker, Charged, How, Till};
use crate::proxy::context::{RequestContext, Routed};
use crate::proxy::reject::Code;
use crate::snapshot::Snapshot;
use crate::usage::Report;

/// How long a client that was told of the end is read from, so that it reads that before its connection is reset.
const LINGER: Duration = Duration::from_secs(2);

/// What is known of it.
#[derive(Default)]
pub struct Tunnel {
    /// Whether it is read what was used.
    metered: bool,
    /// Once it is open.
    line: Option<Arc<Line>>,
}

impl Tunnel {
    /// One of a surface, whose usage is read.
    #[must_use]
    pub fn metered() -> Box<Self> {
        Box::new(Self {
            metered: true,
            line: None,
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
        self.line.as_ref().map_or(0, |line| line.bytes().0)
    }

    /// Bytes of frames that went to the client, if it is open.
    #[must_use]
    pub fn sent(&self) -> Option<u64> {
        self.line.as_ref().map(|line| line.bytes().1)
    }

    /// Settles what it has cost, where the gateway pays.
    #[must_use]
    pub fn settle(&self, how: How) -> Option<Charged> {
        self.line.as_ref()?.settle(how)
    }

    /// What was used, where it was open and is read.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let line = self.line.as_ref().filter(|_| self.metered)?;
        line.report()
    }
}

/// Whether this answer makes a WebSocket of the request.
#[must_use]
pub fn is_opened(ctx: &RequestContext, response: &ResponseHeader) -> bool {
    let asks = |routed: &Routed| routed.tunnel.is_some();
    response.status == StatusCode::SWITCHING_PROTOCOLS && ctx.routed.as_deref().is_some_and(asks)
}

/// Opens it: from here on there is no other attempt, and no clock but the upstream's silence. `patience`: a client that takes
/// nothing for so long is gone.
pub fn open(session: &mut Session, ctx: &mut RequestContext, patience: Duration) {
    let (live, surface) = (ctx.live.clone(), ctx.surface);
    let (Some(routed), Some(caller)) = (ctx.routed.as_deref_mut(), ctx.caller.as_deref()) else {
        return;
    };
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
        let tap = if tunnel.metered {
            Tap::default()
        } else {
            Tap::deaf()
        };
        let conversation = Conversation::new(tap, paid, tunnel.metered);
        let line = Arc::new(Line::new(conversation));
        routed.replay.becomes(line.clone());
        tunnel.line = Some(line);
    }
}

fn opened(ctx: &RequestContext) -> Option<&Line> {
    let tunnel = ctx.routed.as_deref()?.tunnel.as_deref()?;
    tunnel.line.as_deref()
}

/// Bytes of frames are on their way from the client, or it is time to look; none of them: it has gone.
///
/// # Errors
/// The client cannot be told of the end.
pub async fn from_client(
    session: &mut Session,
    ctx: &RequestContext,
    keys: &Snapshot<Keyring>,
    body: &mut Option<Bytes>,
) -> Result<()> {
    let Some(line) = opened(ctx) else {
        return Ok(());
    };
    let Some(bytes) = body.as_mut() else {
        line.left().await;
        return Ok(());
    };
    if line.must_look(Instant::now()).await
        && let Some(stop) = ctx.caller.as_deref().and_then(|caller| {
            let stands = keys.pin().stands(caller.key_id, unix_now());
            stands.err().map(fallen)
        })
    {
        line.stop(stop).await;
    }
    let (passed, is_ending) = line.client_says(bytes).await;
    *bytes = passed;
    if is_ending && !line.is_told() {
        // It is told here, if the server is not in the middle of a frame; what has passed is still written upstream.
        let client = &mut session.downstream_session;
        client.response_duplex_vec(Vec::new()).await?;
    }
    Ok(())
}

/// The Unix second that it is.
fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The access key does not stand any more.
fn fallen(why: Refusal) -> Stop {
    let words = match why {
        Refusal::Disabled => {
            "The access key of this conversation was disabled. The operator of this gateway can enable it again."
        }
        Refusal::Expired => {
            "The access key of this conversation has expired. Ask the operator of this gateway for a new one."
        }
        _ => {
            "The access key of this conversation was revoked. Ask the operator of this gateway for a new one."
        }
    };
    Stop {
        code: Code::InvalidAccessKey,
        words,
    }
}

/// Waits a moment for a client that was told of the end to close: what it has still sent would reset the connection, and
/// that takes away what it has not read.
pub async fn linger(session: &mut Session, ctx: &RequestContext) {
    let Some(line) = opened(ctx).filter(|line| line.is_told()) else {
        return;
    };
    session.set_read_timeout(None);
    let client = &mut session.downstream_session;
    let drained = async {
        let mut closed = line.skip(&[]).await;
        while !closed && let Ok(Some(bytes)) = client.read_request_body().await {
            closed = line.skip(&bytes).await;
        }
    };
    // Whoever goes on sending has had its time.
    let _ = tokio::time::timeout(LINGER, drained).await;
}
