//! The most that a request can cost, before it is sent.

use std::fmt;

use super::cost::Uncharged;
use super::shape::Asked;
use super::{Credits, Fee};
use crate::catalog::file::Modality;
use crate::catalog::show::name;
use crate::catalog::{Item, Model, Price, Provider};
use crate::surface::Surface;

/// What is offered at a price.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'c> {
    /// Who offers it.
    pub provider: &'c Provider,
    /// The model.
    pub model: &'c Model,
    /// What it costs.
    pub price: &'c Price,
}

/// By what rule money is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The fee on top.
    pub fee: Fee,
    /// How much of what a request could cost is held.
    pub size: Size,
    /// Tokens of an answer that is taken for usual; what a request costs that nobody saw the end of goes by it.
    pub expected_output: u64,
    /// The longest answer of a model of which neither the output nor the context is known, where the request has no
    /// bound of its own, in tokens.
    pub output_unknown: u64,
}

/// How much of what a request could cost is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// All of it.
    #[default]
    Strict,
    /// What it is likely to cost.
    Expected,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            fee: Fee::NONE,
            size: Size::Strict,
            expected_output: 1_024,
            output_unknown: 65_536,
        }
    }
}

/// What is held for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The amount to hold. Under [`Size::Strict`] no answer costs more, as long as the catalog says the truth.
    pub hold: Credits,
    /// What it costs if nobody sees its end; no more than `hold`.
    pub estimate: Credits,
    /// Input tokens, by the published rule.
    pub input_estimate: u64,
    /// Input tokens at the most.
    pub input_most: u64,
    /// Output tokens at the most, of all choices together.
    pub output_most: u64,
    /// What it costs at the most, as long as the catalog says the truth; `hold`, under [`Size::Strict`].
    pub worst: Credits,
}

/// Why a request is not sent on the gateway's credential to this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbounded {
    /// This is used and has no price.
    NoPrice(Item),
    /// The service tier asked for has no price.
    Tier,
    /// It writes images, sound or video that answers do not count.
    Output,
    /// Answers of this surface do not tell what was used, or nothing bounds it before.
    Untold(Surface),
    /// It searches the web as often as it likes.
    Searches,
    /// It is sent pictures or files, and how much it reads at the most is not known.
    References,
    /// A header lets it read more than its usual limit, for which there are no prices.
    LongInput,
    /// It is sent video, which answers do not count.
    Video,
    /// How much an answer of a conversation reads and writes at the most is not known.
    Endless,
    /// The amount is more than can be kept.
    Overflow,
}

impl fmt::Display for Unbounded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrice(item) => write!(out, "the catalog has no price for `{}`", name(item)),
            Self::Tier => out.write_str("the catalog has no price for the service tier asked for"),
            Self::Output => out.write_str("what it writes besides text is not counted in answers"),
            Self::Untold(surface) => write!(
                out,
                "what a request of `{}` costs can neither be bounded before nor read from its answer",
                surface.name()
            ),
            Self::Searches => out.write_str("it searches the web as often as it likes"),
            Self::References => out.write_str(
                "the request refers to pictures or files, and the catalog has no `context` for the model",
            ),
            Self::LongInput => out.write_str(
                "`anthropic-beta` lets it read more than the model's usual limit, and the catalog has no price for that",
            ),
            Self::Endless => out.write_str(
                "the catalog has no `context` and `max_output` for it, which bound an answer of a conversation",
            ),
            Self::Video => out.write_str("video that it reads is not counted in answers"),
            Self::Overflow => out.write_str("it could cost more than can be kept"),
        }
    }
}

impl std::error::Error for Unbounded {}

impl From<Uncharged> for Unbounded {
    fn from(why: Uncharged) -> Self {
        match why {
            Uncharged::Overflow => Self::Overflow,
            Uncharged::NoPrice(item) => Self::NoPrice(item),
        }
    }
}

impl Bound {
    /// The same under a limit of the client's own. Where it could cost more, `most` is held, and no more is charged.
    #[must_use]
    pub fn capped(self, most: Credits) -> Self {
        if most >= self.worst {
            return self;
        }
        Self {
            hold: most,
            estimate: self.estimate.min(most),
            ..self
        }
    }
}

impl<'c> Offer<'c> {
    /// What is held for a request of this shape.
    ///
    /// # Errors
    /// Why the request cannot be charged.
    pub fn hold(&self, asked: &Asked, rule: &Rule) -> Result<Bound, Unbounded> {
        self.check(asked)?;
        let (input_most, output_each) = (self.input(asked)?, self.output(asked, rule));
        let answers = asked.choices.saturating_mul(asked.prompts);
        let output_most = output_each.saturating_mul(answers);
        let input_estimate = asked.estimate.min(input_most);
        let expected = output_each
            .min(rule.expected_output)
            .saturating_mul(answers);
        let worst = self.dearest(asked, &rule.fee, input_most, output_most)?;
        let estimate = self
            .dearest(asked, &rule.fee, input_estimate, expected)?
            .min(worst);
        Ok(Bound {
            hold: match rule.size {
                Size::Strict => worst,
                Size::Expected => estimate,
            },
            estimate,
            input_estimate,
            input_most,
            output_most,
            worst,
        })
    }
}

impl Offer<'_> {
    /// What is held for one answer within a conversation: all that the model's context can hold, and its longest answer, by
    /// the dearest prices; `output`: the most tokens that this answer may have. Always strict, since a conversation goes on
    /// for as long as it is paid for.
    ///
    /// # Errors
    /// Why it cannot be charged.
    pub fn hold_talk(&self, rule: &Rule, output: Option<u64>) -> Result<Bound, Unbounded> {
        let needed = [
            Item::Input,
            Item::Output,
            Item::AudioInput,
            Item::AudioOutput,
        ];
        let images = self.model.input.has(Modality::Image);
        let needed = needed.into_iter().chain(images.then_some(Item::ImageInput));
        for item in needed {
            if self.price.rates.get(item).is_none() {
                return Err(Unbounded::NoPrice(item));
            }
        }
        let reads = self.model.max_input.or(self.model.context);
        if reads.is_none() || self.model.max_output.is_none() {
            return Err(Unbounded::Endless);
        }
        let rule = Rule {
            size: Size::Strict,
            ..*rule
        };
        let bound = self.hold(&Asked::talk(output), &rule)?;
        // Nothing, as long as none is under way.
        let estimate = Credits::ZERO;
        Ok(Bound { estimate, ..bound })
    }
}

impl<'c> Offer<'c> {
    /// How many output tokens, up to `limit`, `most` pays for beside `input` tokens of input; none if it does not even
    /// pay for those. By the dearest prices that the request allows, so that what is cut there costs no more.
    ///
    /// # Errors
    /// Why the request cannot be charged.
    pub fn output_within(
        &self,
        asked: &Asked,
        fee: &Fee,
        most: Credits,
        input: u64,
        limit: u64,
    ) -> Result<Option<u64>, Unbounded> {
        self.check(asked)?;
        let fits = |output| match self.dearest(asked, fee, input, output) {
            Ok(cost) => Ok(cost <= most),
            Err(Unbounded::Overflow) => Ok(false),
            Err(why) => Err(why),
        };
        if fits(limit)? {
            return Ok(Some(limit));
        }
        if !fits(0)? {
            return Ok(None);
        }
        // The cost grows with the output; what is sought lies between what fits and what does not.
        let (mut fit, mut beyond) = (0, limit);
        while beyond - fit > 1 {
            let middle = fit + (beyond - fit) / 2;
            if fits(middle)? {
                fit = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(Some(fit))
    }
}

#[cfg(test)]
mod tests;
