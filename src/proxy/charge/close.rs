//! The end of an attempt: what it cost is told to the ledger.

use super::ending::{Cost, End, How};
use super::offers;
use super::{Charged, Kept, Open};
use crate::credentials::Source;
use crate::ledger::{ChargeTo, Closing, Estimated, Flags};
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Label};
use crate::money::{self, Bound, Charge, Credits, Fee};
use crate::proxy::context::Routed;
use crate::surface::Surface;
use crate::usage::{Flaw, Form, Report, Usage};

/// Ends the attempt under way, if it is kept: it is settled, or void where it cost nothing. `given_up`: something else is
/// tried, so that the customer does not get what this one has cost. Returns what the answer has said of its usage, where it
/// was asked for that.
pub fn close(
    routed: &mut Routed,
    live: &Live,
    surface: Option<Surface>,
    how: How,
    given_up: bool,
) -> Option<Report> {
    let Some(open) = routed.current.open.take() else {
        if let Some(charged) = routed.tunnel.as_ref().and_then(|tunnel| tunnel.settle(how)) {
            routed.charged = Some(charged);
        }
        return None;
    };
    let end = end(routed, surface, how);
    let cost = match open.kept {
        // A conversation that was opened has its holds elsewhere, and one that was not has served nothing.
        Kept::Held(..) if routed.tunnel.is_some() => Cost::Nothing,
        _ => end.cost(),
    };
    let report = end.report.map(|(report, _)| report);
    let told = Told {
        routed,
        live,
        end: &end,
        surface,
        report,
    };
    let to_operator = given_up || routed.current.unwritable;
    let mut closing = told.closing(&open, cost);
    if to_operator && cost != Cost::Nothing {
        closing.charge_to = ChargeTo::Operator;
        closing.flags = closing.flags.with(Flags::GIVEN_UP);
    }
    routed.charged = Some(charged(&open, &closing));
    let Open {
        ledger,
        kept,
        started,
        ..
    } = *open;
    match (kept, cost) {
        (Kept::Held(hold, _), Cost::Nothing) => hold.void(closing),
        (Kept::Held(hold, _), _) => hold.settle(closing),
        (Kept::Noted(opening), Cost::Nothing) => ledger.record_void(opening, started, closing),
        (Kept::Noted(opening), _) => ledger.record(opening, started, closing),
    }
    report
}

fn end(routed: &Routed, surface: Option<Surface>, how: How) -> End {
    let current = &routed.current;
    // A list that comes bit by bit is a stream, whatever it is written as.
    let is_stream = surface.is_some_and(Surface::always_streams);
    let form = |form| if is_stream { Form::Events } else { form };
    End {
        how,
        sent: routed.sent(),
        status: current.status,
        error_only: current.error_only,
        typed: surface.is_some_and(|surface| surface.spec().typed_events),
        choices: routed
            .shape
            .map_or(1, |asked| asked.choices.saturating_mul(asked.prompts)),
        report: routed.report().map(|(report, of)| (report, form(of))),
    }
}

/// What the account is charged for it, as the ledger will.
fn charged(open: &Open, closing: &Closing) -> Charged {
    let total = closing.model.checked_add(closing.fee);
    let cost = match closing.charge_to {
        ChargeTo::Account => total.unwrap_or(Credits::MAX),
        ChargeTo::Operator => Credits::ZERO,
    };
    let held = match &open.kept {
        Kept::Held(hold, _) => Some(hold.amount()),
        Kept::Noted(_) => None,
    };
    let most = held.filter(|_| open.strict);
    Charged {
        held,
        cost: most.map_or(cost, |most| cost.min(most)),
        estimated: closing.estimated,
    }
}

/// What is known of an attempt that has ended.
struct Told<'a> {
    routed: &'a Routed,
    live: &'a Live,
    end: &'a End,
    surface: Option<Surface>,
    report: Option<Report>,
}

impl Told<'_> {
    fn closing(&self, open: &Open, cost: Cost) -> Closing {
        let id = open.upstream_id.as_ref().and_then(|id| id.to_str().ok());
        let last = self.routed.attempts.iter().last();
        let mut closing = Closing {
            outcome: last.map_or("", |last| AttemptOutcome::label(last.outcome)),
            status: self.end.status,
            upstream_id: id.map(Into::into),
            ..Closing::default()
        };
        if cost == Cost::Nothing {
            return closing;
        }
        let bound = match &open.kept {
            Kept::Held(_, bound) => Some(bound),
            Kept::Noted(_) => None,
        };
        if let Cost::Estimated(reason) = cost {
            closing.estimated = Some(reason);
        }
        if self
            .report
            .is_some_and(|report| report.flaw == Some(Flaw::Absurd))
        {
            closing.flags = closing.flags.with(Flags::ABSURD);
        }
        closing.usage = self.usage(bound, closing.estimated);
        let charge = self.charge(&mut closing, bound);
        (closing.model, closing.fee) = (charge.model, charge.fee);
        closing
    }

    /// What was used: by the provider's word, or where there is none, or not the last, what is known at the least.
    fn usage(&self, bound: Option<&Bound>, estimated: Option<Estimated>) -> Usage {
        let report = self.report;
        let mut usage = report.map(|report| report.usage).unwrap_or_default();
        if estimated.is_some() {
            if usage.input == 0 {
                let known = || {
                    let shape = self.routed.shape;
                    let asked = shape
                        .or_else(|| offers::read(self.live, self.surface?, &self.routed.body).ok());
                    asked.map(|asked| asked.estimate)
                };
                usage.input = bound
                    .map(|bound| bound.input_estimate)
                    .or_else(known)
                    .unwrap_or(0);
            }
            let generated = report.map_or(0, |report| report.generated);
            usage.output = usage.output.max(generated);
        }
        usage
    }

    /// What that comes to.
    fn charge(&self, closing: &mut Closing, bound: Option<&Bound>) -> Charge {
        let terms = &self.live.terms;
        if !terms.charge {
            return Charge::ZERO;
        }
        let fee = if self.end.is_success() {
            terms.rule.fee
        } else {
            Fee::NONE
        };
        let source = self.routed.plan.credential().source;
        if matches!(source, Source::Byok | Source::Request) {
            return money::fee_only(&closing.usage, &fee).unwrap_or(Charge::ZERO);
        }
        let candidate = self.routed.plan.candidate();
        let offer = offers::offer(self.live, candidate.provider, &candidate.model);
        let Some(offer) = offer else {
            closing.flags = closing.flags.with(Flags::UNPRICED);
            return money::fee_only(&closing.usage, &fee).unwrap_or(Charge::ZERO);
        };
        if let Some(asked) = &self.routed.shape {
            closing.usage = asked.complete(offer.price, closing.usage);
        }
        match money::charge(offer.price, &closing.usage, &fee) {
            Ok(charge) => charge,
            // What was used has no price, or a sum that nobody can pay.
            Err(_) => {
                closing.flags = closing.flags.with(Flags::UNPRICED);
                Charge {
                    model: bound.map_or(Credits::ZERO, |bound| bound.hold),
                    fee: Credits::ZERO,
                }
            }
        }
    }
}
