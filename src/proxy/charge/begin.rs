//! Before an attempt is sent: what it may cost is held, and on the disk before the client has a byte of its answer.

use std::sync::Arc;
use std::time::Instant;

use pingora::{Error, ErrorType};

use super::offers::Offers;
use super::unheld::Unheld;
use super::{Kept, Open};
use super::{fee, limit, offers};
use crate::access::Caller;
use crate::ledger::{Caps, Ledger, Opening, State, StoreDown};
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Metrics};
use crate::money::{Bound, Credits, Size};
use crate::proxy::attempt;
use crate::proxy::context::{RequestContext, Routed};
use crate::proxy::members;
use crate::routing::failover::{Mode, Verdict};
use crate::routing::plan::UpstreamModel;
use crate::surface::{Surface, Uses};

/// Who asks for what.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// In which API shape; none: it is passed on as it is.
    pub surface: Option<Surface>,
    /// The request's id.
    pub request: &'a str,
}

/// Begins to keep the attempt that was opened: holds what it may cost, where that is charged. Waits for nothing, but while
/// another process is about to hand the ledger over, or has it already. `now` was just read; returns it, or what
/// time it is when that was waited for.
///
/// # Errors
/// Why it is not to be sent: what the client is told if nothing else is left to try.
pub async fn begin(
    routed: &mut Routed,
    live: &Live,
    ledger: &Arc<Ledger>,
    asker: Asker<'_>,
    mut now: Instant,
) -> Result<Instant, Unheld> {
    let Some(surface) = asker.surface.filter(|it| it.uses() != Uses::Nothing) else {
        return Ok(now);
    };
    let bound = if is_charged_now(routed, live) {
        reckoned(routed, live, surface)?
    } else {
        None
    };
    if ledger.ready().await {
        now = Instant::now();
    }
    let mut strict = live.terms.rule.size == Size::Strict;
    let kept = match bound {
        Some(bound) => {
            let (bound, cap) = limit::within(routed, live, bound, surface)?;
            strict |= cap.is_some() || surface.uses() == Uses::Talk;
            // Nothing is held for what has no price, and its fee is owed all the same.
            strict &= bound.worst > Credits::ZERO;
            let opening = opening(routed, live, (asker, surface), bound, strict);
            let hold = ledger.obtain(opening, &caps(asker.caller)).await;
            now = Instant::now();
            let hold = hold.map_err(|refused| Unheld::of(refused, ledger.now()))?;
            routed.current.cap = cap;
            Kept::Held(hold, bound)
        }
        None if !live.terms.byok_without_store && !is_written(ledger) => {
            return Err(Unheld::of_rule());
        }
        None => {
            let payable = fee::payable(ledger, live, asker.caller, &caps(asker.caller));
            payable.map_err(|refused| Unheld::of(refused, ledger.now()))?;
            // Nothing can be charged for it, whatever comes of it.
            if !live.terms.writes_unheld() {
                return Ok(now);
            }
            Kept::Noted(opening(routed, live, (asker, surface), NOTHING, strict))
        }
    };
    routed.current.open = Some(Box::new(Open {
        ledger: Arc::clone(ledger),
        kept,
        strict,
        started: ledger.at(now),
        upstream_id: None,
    }));
    Ok(now)
}

/// Whether what happens now can be written down.
fn is_written(ledger: &Ledger) -> bool {
    matches!(ledger.state(), State::Up | State::InMemory)
}

/// Whether the credential that is tried is one with which the model is charged.
fn is_charged_now(routed: &Routed, live: &Live) -> bool {
    let candidate = routed.plan.candidate();
    let source = routed.plan.credential().source;
    offers::is_charged(live, candidate.provider, &candidate.model, source)
}

/// What is held for the candidate. Where a key of the customer's own came first, that is reckoned only now.
fn reckoned(routed: &mut Routed, live: &Live, surface: Surface) -> Result<Option<Bound>, Unheld> {
    let candidate = routed.plan.candidate();
    if candidate.bound.is_some() {
        return Ok(candidate.bound);
    }
    members::chargeable(routed.body.scanner.members(), &routed.body.bytes)
        .map_err(Unheld::of_request)?;
    let mut offers = Offers::new(live, surface, &routed.body, routed.unpriced);
    let bound = offers.bound(candidate.provider, &candidate.model);
    let shape = offers.into_asked();
    let bound = bound.map_err(|why| {
        let provider = &live.upstream(candidate.provider).id;
        let name = format!("{provider}:{}", routed.model(live));
        Unheld::of_request(why.rejection(live, &name))
    })?;
    routed.shape = shape;
    if let Some(bound) = bound {
        routed.plan.hold(bound);
    }
    Ok(bound)
}

const NOTHING: Bound = Bound {
    hold: Credits::ZERO,
    estimate: Credits::ZERO,
    input_estimate: 0,
    input_most: 0,
    output_most: 0,
    worst: Credits::ZERO,
};

/// What an access key may spend.
pub(super) fn caps(caller: &Caller) -> Caps {
    let limits = caller.policy.limits();
    Caps {
        day: limits.spend_day,
        month: limits.spend_month,
    }
}

pub(super) fn opening(
    routed: &Routed,
    live: &Live,
    (asker, surface): (Asker<'_>, Surface),
    bound: Bound,
    strict: bool,
) -> Opening {
    let candidate = routed.plan.candidate();
    Opening {
        request: asker.request.into(),
        attempt: u32::from(routed.plan.attempts()) + 1,
        account: asker.caller.account.id,
        key: asker.caller.key_id,
        provider: Arc::clone(&live.upstream(candidate.provider).id),
        model: match &candidate.model {
            UpstreamModel::Known(model) => Arc::clone(&live.catalog.model(*model).id),
            UpstreamModel::Written(name) => Arc::from(&**name),
        },
        surface: surface.name(),
        credential: routed.plan.credential().source,
        catalog: Arc::clone(&live.version),
        hold: bound.hold,
        estimate: bound.estimate,
        strict,
    }
}

/// Passes over all that would go on with such keys at this candidate; true when something else is left. Nothing is where
/// the ledger cannot be written, and nothing goes on without it.
pub fn pass_over(routed: &mut Routed, live: &Live, metrics: &Metrics, why: Unheld) -> bool {
    attempt::note_unmade(routed, live, why.outcome);
    routed.way.end();
    let stopped = why.outcome == AttemptOutcome::NoStore && !live.terms.byok_without_store;
    let may = routed.rules.mode != Mode::Off && !stopped;
    let place = routed.plan.candidate_index();
    let source = routed.plan.credential().source;
    if may && routed.plan.leave(source, true) {
        if routed.plan.candidate_index() == place {
            // Another key of the same provider may go to the same place.
            routed
                .way
                .advance(Verdict::NextKey, crate::proxy::way::Failed::Endpoint);
        }
        metrics.failover(why.outcome);
        return true;
    }
    routed.fault = Some(why.rejection);
    false
}

/// Waits until what is held for the attempt under way is on the disk.
///
/// # Errors
/// It cannot be written, and the client is not to have the answer.
pub async fn written(ctx: &mut RequestContext) -> pingora::Result<()> {
    let Some(routed) = ctx.routed.as_deref_mut() else {
        return Ok(());
    };
    let open = routed.current.open.as_deref();
    let Some(Kept::Held(hold, _)) = open.map(|open| &open.kept) else {
        return Ok(());
    };
    let Err(StoreDown) = hold.durable().await else {
        return Ok(());
    };
    routed.current.unwritable = true;
    routed.fault = Some(Unheld::of_store().rejection);
    Err(Error::explain(
        ErrorType::InternalError,
        "what is held cannot be written down",
    ))
}
