//! The end of a request that no attempt could answer: the last upstream's failure as it came, our
//! own words where there was none, or an error event where a stream had begun.

use std::time::Instant;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::protocols::http::ServerSession;
use pingora::{Error, Result};
use pingora_proxy::{FailToProxy, Session};

use super::Gateway;
use super::context::RequestContext;
use super::flow;
use super::reject::{Code, Rejection};
use super::replay::{self, Cause, Withheld};
use super::response;
use crate::metrics::AttemptOutcome;

/// What a client that went away is written down as (nginx's 499).
const CLIENT_CLOSED: u16 = 499;

impl Gateway {
    /// Says to the client what became of its request.
    pub(super) async fn fail(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut RequestContext,
    ) -> FailToProxy {
        let cause = ctx.routed.as_ref().and_then(|routed| routed.replay.cause());
        let left = ctx
            .routed
            .as_ref()
            .is_some_and(|routed| routed.replay.has_left());
        if left || cause == Some(Cause::ClientGone) || is_downstream(error, cause) {
            return closed(CLIENT_CLOSED);
        }
        if let Some(routed) = &ctx.routed {
            // No attempt follows: from here on the client is spoken to directly.
            replay::uninstall(session, &routed.replay);
        }
        // Pingora closes the connection after this, whatever it is told; the client should know.
        session.set_keepalive(None);
        if session.response_written().is_some() {
            return self.break_off(session, ctx, broken(cause)).await;
        }
        let withheld = ctx
            .routed
            .as_ref()
            .and_then(|routed| routed.replay.take_withheld());
        let told = match withheld {
            Some(withheld) if cause != Some(Cause::BadTail) && !is_unwritable(ctx) => {
                self.pass_on(session, ctx, withheld).await
            }
            _ => {
                let rejection = explain(ctx, cause);
                let code = rejection.code.status();
                self.refuse(session, ctx, &rejection).await.map(|()| code)
            }
        };
        FailToProxy {
            error_code: told.as_ref().copied().unwrap_or(CLIENT_CLOSED),
            can_reuse_downstream: told.is_ok() && cause != Some(Cause::BadTail),
        }
    }

    /// Sends the last upstream's failed answer on, as it came.
    async fn pass_on(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        withheld: Withheld,
    ) -> Result<u16> {
        // The answer is told as that of the candidate that gave it.
        if let Some(routed) = ctx.routed.as_deref_mut()
            && let Some(place) = routed.withheld_at
        {
            routed.plan.go_back(place);
        }
        let mut header = withheld.header;
        let status = header.status.as_u16();
        header.remove_header(&TRANSFER_ENCODING);
        header.insert_header(CONTENT_LENGTH, withheld.body.len())?;
        header.set_version(http::Version::HTTP_11);
        header.insert_header("x-should-retry", "false")?;
        response::decorate(&mut header, ctx, Instant::now())?;
        ctx.sent = withheld.body.len() as u64;
        session.write_response_header(header, false).await?;
        session
            .write_response_body(Some(withheld.body.freeze()), true)
            .await?;
        Ok(status)
    }

    /// Ends a response before its end, for this reason: with an error event where the client reads events, and in
    /// any case in a way that is not taken for a good end.
    async fn break_off(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        why: Rejection,
    ) -> FailToProxy {
        let typed = ctx.surface.is_some_and(|of| of.spec().typed_events);
        let event = ctx
            .routed
            .as_ref()
            .filter(|routed| routed.events)
            .map(|_| why.event(ctx.dialect, typed, ctx.id()));
        // The client may be gone as well; then there is nobody left to tell.
        if let ServerSession::H2(stream) = session.as_mut() {
            // The stream is reset next, and loses what is still queued on it.
            let (last, taken) = flow::watched(event.unwrap_or_default());
            if stream.write_body(last, false).await.is_ok() {
                let _ = tokio::time::timeout(ctx.live.client_patience, taken).await;
            }
        } else if let Some(event) = event {
            let _ = session.write_response_body(Some(event), false).await;
        }
        ctx.refused = Some(why.code);
        closed(why.code.status())
    }
}

fn closed(error_code: u16) -> FailToProxy {
    FailToProxy {
        error_code,
        can_reuse_downstream: false,
    }
}

/// Whether the end is that the ledger cannot be written, which says more than how an earlier attempt failed.
fn is_unwritable(ctx: &RequestContext) -> bool {
    let fault = ctx.routed.as_ref().and_then(|routed| routed.fault.as_ref());
    fault.is_some_and(|fault| fault.code == Code::StoreUnavailable)
}

fn is_downstream(error: &Error, cause: Option<Cause>) -> bool {
    cause.is_none() && *error.esource() == pingora::ErrorSource::Downstream
}

/// Why an answer has no end.
fn broken(cause: Option<Cause>) -> Rejection {
    if cause == Some(Cause::Capped) {
        return Rejection::new(
            Code::SpendCapReached,
            "The answer ends here: it has cost as much as Tollgate-Max-Cost or the access key allows. What came before is incomplete.",
        );
    }
    Rejection::new(
        Code::AllCandidatesFailed,
        "The upstream broke off in the middle of its answer. What came before is incomplete.",
    )
}

/// Our own words for a request that nobody answered.
fn explain(ctx: &RequestContext, cause: Option<Cause>) -> Rejection {
    let Some(routed) = &ctx.routed else {
        return Rejection::new(Code::Internal, "The gateway failed on this request.");
    };
    if let Some(fault) = routed
        .replay
        .take_tail_fault()
        .or_else(|| routed.fault.clone())
    {
        return fault;
    }
    let timed_out = matches!(cause, Some(Cause::FirstByte | Cause::Total | Cause::Idle))
        || Instant::now() >= routed.deadline
        || routed
            .attempts
            .iter()
            .last()
            .is_some_and(|last| last.outcome == AttemptOutcome::Timeout);
    let tried = response::attempts(&ctx.live, routed);
    if timed_out && tried.is_empty() {
        return Rejection::new(
            Code::UpstreamTimeout,
            "The time of the request was over before it could be sent on. Send its body faster, or allow it more time.",
        );
    }
    if timed_out {
        return Rejection::new(
            Code::UpstreamTimeout,
            format!("No upstream answered in time. Tried: {tried}"),
        );
    }
    Rejection::new(
        Code::AllCandidatesFailed,
        format!("No upstream could be reached, or none answered. Tried: {tried}"),
    )
}
