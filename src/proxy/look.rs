//! Looks into the body of an error answer, where only that says whether it speaks of the key or of the request: an
//! account without credit is a 400 at one provider and a 429 at another. The catalog knows the words (`errors`).
//!
//! A status that is the answer if the words are missing is held back meanwhile (`held`); any other is looked into as it
//! passes.

use std::time::Instant;

use log::debug;
use pingora::http::ResponseHeader;

use super::Gateway;
use super::attempt;
use super::context::{RequestContext, Routed};
use super::decoded::Decoded;
use super::keys;
use crate::catalog::Provider;
use crate::credentials::Said;
use crate::live::Live;
use crate::metrics::AttemptOutcome;
use crate::routing::failover::Verdict;

/// How much of a body is looked into, in bytes, on the wire and after it has been decoded. The error bodies of providers have some hundreds.
const LOOK_MAX: usize = 16 * 1024;

/// A body being looked into.
pub struct Look {
    /// The answer's header, as the upstream sent it.
    header: Box<ResponseHeader>,
    /// The beginning of its body.
    body: Decoded,
    /// Bytes of it that may still come, as they are on the wire.
    room: usize,
    /// Whether the client waits for what is found.
    held: bool,
}

impl Look {
    /// A look at the answer with this header; none where its body is coded in a way that is not known.
    pub fn new(header: &ResponseHeader) -> Option<Box<Self>> {
        Some(Box::new(Self {
            body: Decoded::new(&header.headers, LOOK_MAX)?,
            room: LOOK_MAX,
            header: Box::new(header.clone()),
            held: false,
        }))
    }

    /// The client waits for what is found.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Takes a piece in; returns what the body says of the key, if that is known now, and whether there is more to see.
    fn take(&mut self, piece: &[u8], provider: &Provider) -> (Option<Said>, bool) {
        let before = self.body.seen().len();
        let piece = &piece[..piece.len().min(self.room)];
        self.room -= piece.len();
        let more = self.body.take(piece) && self.room > 0;
        let seen = self.body.seen();
        let new = |words: &str| &seen[before.saturating_sub(words.len())..];
        let holds = |words: Option<&str>| {
            let found = |words: &str| memchr::memmem::find(new(words), words.as_bytes());
            words.and_then(found).is_some()
        };
        (said(provider, self.header.status.as_u16(), holds), more)
    }
}

/// What the catalog knows of the provider's answers with this status whose words `hold`.
fn said(provider: &Provider, status: u16, hold: impl Fn(Option<&str>) -> bool) -> Option<Said> {
    let any = |answers: &[crate::catalog::Answer]| {
        let known = |answer: &crate::catalog::Answer| {
            answer.status == status && hold(answer.contains.as_deref())
        };
        answers.iter().any(known)
    };
    if any(&provider.out_of_credit) {
        Some(Said::OutOfCredit)
    } else if any(&provider.bad_key) {
        Some(Said::Refused)
    } else {
        None
    }
}

/// What the status alone says of the key, by the catalog.
pub fn by_status(provider: &Provider, status: u16) -> Option<Said> {
    said(provider, status, |words| words.is_none())
}

/// Whether only the body says what an answer with this status means. Of a key that was refused, and of an account that
/// has to pay, the status says enough.
pub fn is_wanted(provider: &Provider, status: u16) -> bool {
    !matches!(status, 401 | 402) && said(provider, status, |words| words.is_some()).is_some()
}

/// Whether the answer at hand is held back until it is known what it means.
pub fn is_held(ctx: &RequestContext) -> bool {
    let look = ctx.routed.as_ref().and_then(|routed| routed.look.as_ref());
    look.is_some_and(|look| look.held)
}

impl Gateway {
    /// Looks at a piece of the body; `end`: it is the last.
    pub(super) fn look(&self, ctx: &mut RequestContext, piece: &[u8], end: bool) {
        let Some(routed) = ctx.routed.as_deref_mut() else {
            return;
        };
        let Some(look) = routed.look.as_mut() else {
            return;
        };
        let provider = routed.plan.candidate().provider;
        let provider = ctx.live.catalog.provider(provider);
        let (said, more) = look.take(piece, provider);
        if said.is_some() || end || !more {
            self.looked(ctx, said);
        }
    }

    /// Draws the conclusion of a look: the body said this, or nothing. Does nothing where there is no look.
    pub(super) fn looked(&self, ctx: &mut RequestContext, said: Option<Said>) {
        let Some(routed) = ctx.routed.as_deref_mut() else {
            return;
        };
        let Some(look) = routed.look.take() else {
            return;
        };
        let live = ctx.live.clone();
        let now = Instant::now();
        let status = look.header.status.as_u16();
        debug!("an answer with status {status} says {said:?} of its key");
        match said {
            Some(said) => keys::heed(routed, &live, said, now),
            None => keys::heed_status(routed, &live, status, &look.header.headers, now),
        }
        let verdict = said.map(|_| attempt::after_refused_key(routed, &live, now));
        if !look.held {
            // A limit that is waited for ends by itself; an empty account does not.
            if let Some(wait @ Verdict::Wait(_)) = routed.current.verdict {
                let verdict = verdict.unwrap_or(wait);
                routed.current.verdict = Some(verdict);
                if verdict != Verdict::Answer {
                    self.metrics.failover(attempt::outcome_of(status));
                }
            }
            return;
        }
        match verdict {
            Some(verdict) if verdict != Verdict::Answer => {
                let Look { header, .. } = *look;
                turn_away(routed, &live, verdict);
                routed.replay.withhold_held(header);
                self.metrics.failover(AttemptOutcome::Auth);
                ctx.sent = 0;
            }
            _ => {
                let outcome = attempt::outcome_of(status);
                let provider = routed.plan.candidate().provider;
                live.provider_metrics(provider).attempt(outcome);
                routed.replay.release();
                self.answering(&look.header, ctx, now);
            }
        }
    }
}

/// The answer that was held back is not the client's: the attempt has failed, and `verdict` follows.
fn turn_away(routed: &mut Routed, live: &Live, verdict: Verdict) {
    routed.attempts.amend_last(AttemptOutcome::Auth);
    routed.current.verdict = Some(verdict);
    routed.shown = None;
    let provider = routed.plan.candidate().provider;
    live.provider_metrics(provider)
        .attempt(AttemptOutcome::Auth);
}
