//! The dearest way in which a request can be served: most tokens, dearest sort, service tier, region and length.

use std::iter;

use smallvec::{SmallVec, smallvec};

use super::betas::LONG_INPUT;
use super::bound::{Offer, Rule, Unbounded};
use super::cost::{Sum, US, mode, of_fee, tier_modes};
use super::rates::{Lifetime, Rates, Sort, State};
use super::shape::{Asked, AskedTier};
use super::{Credits, Fee};
use crate::catalog::file::Modality;
use crate::catalog::{Item, Mode};
use crate::surface::{Surface, Uses};
use crate::usage::{Tier, Usage};

/// Tokens that a provider may write before, between and behind what it is sent: frames of messages, a preamble.
const FRAME: u64 = 512;

/// The same where there are tools, of which the model is told in the provider's words.
const TOOL_FRAME: u64 = 4_096;

impl<'c> Offer<'c> {
    /// What no bound can be given for, whatever the numbers.
    pub(super) fn check(&self, asked: &Asked) -> Result<(), Unbounded> {
        let writes = |modality| self.model.output.has(modality);
        let priced = |item| self.price.rates.get(item).is_some();
        let unseen = [Item::ImageOutput, Item::VideoOutput, Item::PerImage];
        if writes(Modality::Image) || writes(Modality::Video) || unseen.into_iter().any(priced) {
            return Err(Unbounded::Output);
        }
        if self.model.searches {
            return Err(Unbounded::Searches);
        }
        if asked.marks.beyond_bytes() && priced(Item::VideoInput) {
            return Err(Unbounded::Video);
        }
        Ok(())
    }

    /// Input tokens at the most. A token is a byte at least, but for what stands for something else, which only the
    /// model's own limit bounds.
    pub(super) fn input(&self, asked: &Asked) -> Result<u64, Unbounded> {
        let limits = [self.model.max_input, self.model.context];
        let limit = limits.into_iter().flatten().min();
        if let Some(limit) = limit.filter(|limit| asked.betas.long_input && *limit < LONG_INPUT) {
            return self.long_input(asked, limit);
        }
        if asked.marks.beyond_bytes() && asked.surface != Surface::Embeddings {
            let limit = limit.ok_or(Unbounded::References)?;
            // Each picture has the limit of its own there.
            let many = asked.surface.uses() == Uses::Input;
            return Ok(if many {
                limit.saturating_mul(asked.bytes)
            } else {
                limit
            });
        }
        let frame = if asked.tools { TOOL_FRAME } else { FRAME };
        let bytes = asked.bytes.saturating_add(frame);
        Ok(match limit {
            // Each text has the limit of its own there.
            _ if asked.surface.uses() == Uses::Input => bytes,
            Some(limit) => bytes.min(limit.saturating_mul(asked.prompts)),
            None => bytes,
        })
    }

    /// The same where the request lifts the model's usual limit. Beyond it there is a price of its own.
    fn long_input(&self, asked: &Asked, usual: u64) -> Result<u64, Unbounded> {
        let frame = if asked.tools { TOOL_FRAME } else { FRAME };
        let most = if asked.marks.beyond_bytes() {
            LONG_INPUT
        } else {
            asked.bytes.saturating_add(frame)
        };
        let priced = self.price.tiers.iter().any(|tier| tier.above <= usual);
        if most > usual && !priced {
            return Err(Unbounded::LongInput);
        }
        Ok(most)
    }

    /// Output tokens of one answer at the most.
    pub(super) fn output(&self, asked: &Asked, rule: &Rule) -> u64 {
        if matches!(asked.surface.uses(), Uses::Input | Uses::Nothing) {
            return 0;
        }
        let known = self.model.max_output.or(self.model.context);
        match (self.cap(asked), known) {
            (Some(cap), Some(known)) if !asked.betas.long_output => cap.min(known),
            (cap, known) => cap.or(known).unwrap_or(rule.output_unknown),
        }
    }

    /// The bound that the request sets itself, where the provider keeps to it.
    fn cap(&self, asked: &Asked) -> Option<u64> {
        let route = self.provider.route(asked.surface);
        match asked.surface {
            // What of it does not come true is paid for on top.
            Surface::Chat if asked.predicted => None,
            Surface::Chat => {
                let other = asked.max_completion_tokens;
                let other = other.filter(|_| route.is_some_and(|it| it.max_completion_tokens));
                // Of two the provider takes one.
                asked.max_tokens.max(other)
            }
            Surface::Responses
            | Surface::GenerateContent
            | Surface::StreamGenerateContent
            | Surface::Realtime => asked.max_output_tokens,
            // What they take for a bound is not known.
            Surface::ResponsesCompact | Surface::Decisions => None,
            _ => asked.max_tokens,
        }
    }

    /// What so many tokens cost at the most.
    pub(super) fn dearest(
        &self,
        asked: &Asked,
        fee: &Fee,
        input: u64,
        output: u64,
    ) -> Result<Credits, Unbounded> {
        let region = asked.us.then(|| mode(self.price, US)).flatten();
        let mut most = Credits::ZERO;
        for tier in or_none(self.tier(asked)?) {
            for region in or_none(region) {
                let modes = [tier, region];
                for length in self.lengths(modes, input) {
                    let rates = Rates::of(self.price, modes, length);
                    let cost = self.cost(asked, &rates, fee, length, output)?;
                    most = most.max(cost);
                }
            }
        }
        Ok(most)
    }

    fn cost(
        &self,
        asked: &Asked,
        rates: &Rates<'_>,
        fee: &Fee,
        input: u64,
        output: u64,
    ) -> Result<Credits, Unbounded> {
        let mut sum = Sum::default();
        sum.tokens(input, dearest_input(asked, rates)?)?;
        if output > 0 {
            sum.tokens(output, self.dearest_output(asked, rates)?)?;
        }
        sum.ones(1, rates.get(Item::PerRequest).unwrap_or(0))?;
        let usage = Usage {
            input,
            output,
            ..Usage::default()
        };
        let model = sum.times(rates.factors())?;
        Ok(model.plus(of_fee(fee, &usage)?)?.credits()?)
    }

    fn dearest_output(&self, asked: &Asked, rates: &Rates<'_>) -> Result<u64, Unbounded> {
        let no_price = Unbounded::NoPrice;
        let text = rates.output(Sort::Text).map_err(no_price)?;
        let mut most = text.max(rates.reasoning().map_err(no_price)?);
        let writes = |modality| self.model.output.has(modality);
        let speaks = writes(Modality::Audio);
        if asked.beyond_text || (speaks && !writes(Modality::Text)) {
            match rates.output(Sort::Audio) {
                Ok(audio) => most = most.max(audio),
                Err(item) if speaks => return Err(Unbounded::NoPrice(item)),
                Err(_) => {}
            }
        }
        Ok(most)
    }

    /// The service tier that may serve the request in place of the usual one; none where that is never dearer.
    fn tier(&self, asked: &Asked) -> Result<Option<&'c Mode>, Unbounded> {
        let AskedTier::Named(tier) = asked.tier else {
            return match asked.tier {
                AskedTier::Unknown => Err(Unbounded::Tier),
                _ => Ok(None),
            };
        };
        let mut names = tier_modes(tier).iter();
        match names.find_map(|name| mode(self.price, name)) {
            Some(mode) => Ok(Some(mode)),
            None if tier == Tier::Flex => Ok(None),
            None => Err(Unbounded::Tier),
        }
    }

    /// The longest input of each length that has prices of its own, up to `input`.
    fn lengths(
        &self,
        modes: [Option<&Mode>; 2],
        input: u64,
    ) -> impl Iterator<Item = u64> + use<'c> {
        let of_modes = modes.into_iter().flatten().flat_map(|mode| &*mode.tiers);
        let all = self.price.tiers.iter().chain(of_modes);
        let all = all.map(|tier| tier.above).filter(|above| *above < input);
        let mut lengths: SmallVec<[u64; 8]> = all.collect();
        lengths.push(input);
        lengths.into_iter()
    }
}

/// Without a mode, and in it if there is one.
fn or_none(mode: Option<&Mode>) -> impl Iterator<Item = Option<&Mode>> {
    iter::once(None).chain(mode.map(Some))
}

fn dearest_input(asked: &Asked, rates: &Rates<'_>) -> Result<u64, Unbounded> {
    let sorts = if asked.marks.beyond_bytes() {
        &[Sort::Text, Sort::Image, Sort::Audio][..]
    } else {
        &[Sort::Text]
    };
    let mut states: SmallVec<[State; 5]> = smallvec![State::Fresh, State::Cached];
    // Elsewhere caches are written to without being asked for.
    if asked.marks.cache || asked.surface != Surface::Messages {
        states.push(State::Written(Lifetime::Short));
    }
    if asked.marks.hour {
        states.push(State::Written(Lifetime::Hour));
    }
    if asked.half_day {
        states.push(State::Written(Lifetime::HalfDay));
    }
    let prices = sorts
        .iter()
        .flat_map(|sort| states.iter().map(|state| rates.input(*sort, *state)));
    let most = prices.collect::<Option<SmallVec<[u64; 16]>>>();
    let most = most.and_then(|prices| prices.into_iter().max());
    most.ok_or(Unbounded::NoPrice(Item::Input))
}
