//! What a request may cost at the most, by its own word or its key's.

use super::Cap;
use super::offers;
use super::unheld::Unheld;
use crate::live::Live;
use crate::money::Bound;
use crate::proxy::context::Routed;
use crate::surface::{Surface, Uses};

/// The bound under the limit of the request or its key, if it has one, and where the answer is ended then. One that cannot
/// be ended where it reaches the limit must not be able to: an answer that is no stream, or that its provider goes on
/// making when nobody reads it any more.
pub fn within(
    routed: &Routed,
    live: &Live,
    bound: Bound,
    surface: Surface,
) -> Result<(Bound, Option<Box<Cap>>), Unheld> {
    let Some(most) = routed.max_cost.filter(|most| *most < bound.worst) else {
        return Ok((bound, None));
    };
    let candidate = routed.plan.candidate();
    let provider = live.catalog.provider(candidate.provider);
    if surface.uses() == Uses::Talk {
        return Err(Unheld::of_limit(format!(
            "One answer of this conversation may cost up to ${}, which is more than Tollgate-Max-Cost or its access key allows (${most}).",
            bound.worst
        )));
    }
    // Gemini's streams need not be events, between which one could be ended.
    if !routed.streamed || provider.generates_on || surface.always_streams() {
        return Err(Unheld::of_limit(format!(
            "This request may cost up to ${}, which is more than Tollgate-Max-Cost or its access key allows (${most}). Bound its output (`max_tokens`), or ask for a stream of a provider that ends one when it is left.",
            bound.worst
        )));
    }
    let offer = offers::offer(live, candidate.provider, &candidate.model);
    let offered = offer.zip(routed.shape.as_ref());
    let within = offered.map(|(offer, asked)| {
        let fee = &live.terms.rule.fee;
        offer.output_within(asked, fee, most, bound.input_most, bound.output_most)
    });
    match (within, routed.shape) {
        (Some(Ok(Some(tokens))), Some(asked)) => {
            let cap = Cap::new(tokens, asked.choices.saturating_mul(asked.prompts));
            Ok((bound.capped(most), Some(Box::new(cap))))
        }
        _ => Err(Unheld::of_limit(format!(
            "The input of this request alone may cost more than Tollgate-Max-Cost or its access key allows (${most})."
        ))),
    }
}
