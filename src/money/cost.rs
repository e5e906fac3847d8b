//! Usage × price → credits.

use std::fmt;

use super::rates::{Lifetime, Rates, Sort, State};
use super::{Credits, Fee};
use crate::catalog::{Factor, Item, Mode, Price};
use crate::usage::{Tier, Usage};

/// What a request costs. The sum of both is exact but for one rounding, up, to a whole nano-dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// What the model costs, rounded up.
    pub model: Credits,
    /// The processing fee: what the sum, rounded up, leaves beside the model.
    pub fee: Credits,
}

impl Charge {
    /// Nothing.
    pub const ZERO: Self = Self {
        model: Credits::ZERO,
        fee: Credits::ZERO,
    };

    /// Both together; `None` where that cannot be kept.
    #[must_use]
    pub const fn total(self) -> Option<Credits> {
        self.model.checked_add(self.fee)
    }
}

/// Why a request has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncharged {
    /// The amount cannot be kept.
    Overflow,
    /// It used this, which has no price.
    NoPrice(Item),
}

impl fmt::Display for Uncharged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => out.write_str("the amount is too large to be kept"),
            Self::NoPrice(item) => {
                write!(out, "`{}` has no price", crate::catalog::show::name(item))
            }
        }
    }
}

impl std::error::Error for Uncharged {}

/// What `usage` costs at `price`, and the fee for it.
///
/// Each token is counted once: sound and images by their own prices where they have one, what came from a cache or went
/// into one by those. `docs/credit.md` has the whole rule.
///
/// # Errors
/// An amount past [`Credits::MAX`], or tokens that have no price.
pub fn charge(price: &Price, usage: &Usage, fee: &Fee) -> Result<Charge, Uncharged> {
    let rates = rates(price, usage);
    let mut sum = Sum::default();
    sum.input(&rates, usage)?;
    sum.output(&rates, usage)?;
    sum.ones(1, rates.get(Item::PerRequest).unwrap_or(0))?;
    sum.ones(usage.searches, rates.get(Item::PerWebSearch).unwrap_or(0))?;
    let model = sum.times(rates.factors())?;
    let total = model.plus(of_fee(fee, usage)?)?.credits()?;
    let model = model.credits()?;
    let fee = total.checked_sub(model).ok_or(Uncharged::Overflow)?;
    Ok(Charge { model, fee })
}

/// The fee alone, for a request whose model costs the account nothing: it goes on with the customer's own key.
///
/// # Errors
/// An amount past [`Credits::MAX`].
pub fn fee_only(usage: &Usage, fee: &Fee) -> Result<Charge, Uncharged> {
    let fee = Exact {
        over: of_fee(fee, usage)?,
        under: 1,
    };
    Ok(Charge {
        model: Credits::ZERO,
        fee: fee.credits()?,
    })
}

pub(super) fn of_fee(fee: &Fee, usage: &Usage) -> Result<u128, Uncharged> {
    let mut sum = Sum::default();
    sum.tokens(usage.input, fee.per_million_tokens.0)?;
    sum.tokens(usage.output, fee.per_million_tokens.0)?;
    sum.ones(1, fee.per_request.0)?;
    Ok(sum.0)
}

/// The prices in force for `usage`.
fn rates<'p>(price: &'p Price, usage: &Usage) -> Rates<'p> {
    let tier = tier_modes(usage.tier);
    let tier = tier.iter().find_map(|name| mode(price, name));
    let region = usage.us.then(|| mode(price, US)).flatten();
    Rates::of(price, [tier, region], usage.input)
}

/// The mode of a request that is served in the United States because it asked for that.
pub(super) const US: &str = "inference_geo_us";

/// What the catalog calls the prices of a service tier: the first that a price has counts, else the usual ones.
pub(super) const fn tier_modes(tier: Tier) -> &'static [&'static str] {
    match tier {
        Tier::Unsaid | Tier::Standard | Tier::Other => &[],
        Tier::Flex => &["flex"],
        Tier::Priority => &["priority"],
        Tier::Fast => &["fast", "priority"],
        Tier::Ultrafast => &["ultrafast"],
        Tier::Batch => &["batch"],
    }
}

pub(super) fn mode<'p>(price: &'p Price, name: &str) -> Option<&'p Mode> {
    let mut modes = price.modes.iter();
    modes
        .find(|(candidate, _)| **candidate == *name)
        .map(|(_, mode)| mode)
}

/// Dollars in 10⁻¹⁸: tokens times pico-dollars per million of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u128);

impl Sum {
    fn input(&mut self, rates: &Rates<'_>, usage: &Usage) -> Result<(), Uncharged> {
        let audio = usage.audio_input.min(usage.input);
        let image = usage.image_input.min(usage.input - audio);
        let mut left = [
            (Sort::Text, usage.input - audio - image),
            (Sort::Image, image),
            (Sort::Audio, audio),
        ];
        // Which of the cached tokens were sound or images may be told.
        let mut rest = usage.cached;
        for (nth, told) in [(1, usage.cached_image), (2, usage.cached_audio)] {
            let (sort, left) = &mut left[nth];
            let taken = told.min(*left).min(rest);
            self.input_of(rates, *sort, State::Cached, taken)?;
            *left -= taken;
            rest -= taken;
        }
        let states = [
            (State::Cached, rest),
            (State::Written(Lifetime::HalfDay), usage.cache_write_12h),
            (State::Written(Lifetime::Hour), usage.cache_write_1h),
            (State::Written(Lifetime::Short), usage.cache_write),
            (State::Fresh, usage.input),
        ];
        // Of others it is not: text goes first.
        for (state, mut count) in states {
            for (sort, left) in &mut left {
                let taken = count.min(*left);
                self.input_of(rates, *sort, state, taken)?;
                count -= taken;
                *left -= taken;
            }
        }
        Ok(())
    }

    fn input_of(
        &mut self,
        rates: &Rates<'_>,
        sort: Sort,
        state: State,
        count: u64,
    ) -> Result<(), Uncharged> {
        if count == 0 {
            return Ok(());
        }
        let price = rates.input(sort, state);
        self.tokens(count, price.ok_or(Uncharged::NoPrice(Item::Input))?)
    }

    fn output(&mut self, rates: &Rates<'_>, usage: &Usage) -> Result<(), Uncharged> {
        let audio = usage.audio_output.min(usage.output);
        let image = usage.image_output.min(usage.output - audio);
        let reasoning = usage.reasoning.min(usage.output - audio - image);
        let text = usage.output - audio - image - reasoning;
        for (count, price) in [
            (text, rates.output(Sort::Text)),
            (image, rates.output(Sort::Image)),
            (audio, rates.output(Sort::Audio)),
            (reasoning, rates.reasoning()),
        ] {
            if count > 0 {
                self.tokens(count, price.map_err(Uncharged::NoPrice)?)?;
            }
        }
        Ok(())
    }

    pub(super) fn tokens(&mut self, count: u64, price: u64) -> Result<(), Uncharged> {
        // Cannot overflow: both are below 2⁶⁴.
        self.add(u128::from(count) * u128::from(price))
    }

    pub(super) fn ones(&mut self, count: u64, price: u64) -> Result<(), Uncharged> {
        let cost = (u128::from(count) * u128::from(price)).checked_mul(MILLION);
        self.add(cost.ok_or(Uncharged::Overflow)?)
    }

    fn add(&mut self, cost: u128) -> Result<(), Uncharged> {
        self.0 = self.0.checked_add(cost).ok_or(Uncharged::Overflow)?;
        Ok(())
    }

    pub(super) fn times(self, factors: [Factor; 2]) -> Result<Exact, Uncharged> {
        let mut exact = Exact {
            over: self.0,
            under: 1,
        };
        for factor in factors.into_iter().filter(|factor| *factor != Factor::ONE) {
            let (over, under) = reduced(factor.0, Factor::ONE.0);
            exact.over = exact.over.checked_mul(over).ok_or(Uncharged::Overflow)?;
            exact.under = exact.under.checked_mul(under).ok_or(Uncharged::Overflow)?;
        }
        Ok(exact)
    }
}

/// Units of a price that is per token.
const MILLION: u128 = 1_000_000;

/// What one nano-dollar is in [`Sum`].
const NANO: u128 = 1_000_000_000;

/// A sum as a fraction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact {
    over: u128,
    under: u128,
}

impl Exact {
    pub(super) fn plus(self, sum: u128) -> Result<Self, Uncharged> {
        let sum = sum.checked_mul(self.under);
        let over = sum.and_then(|sum| self.over.checked_add(sum));
        Ok(Self {
            over: over.ok_or(Uncharged::Overflow)?,
            ..self
        })
    }

    /// The one rounding, up.
    pub(super) fn credits(self) -> Result<Credits, Uncharged> {
        let nano = self.under.checked_mul(NANO).ok_or(Uncharged::Overflow)?;
        let nanos = i64::try_from(self.over.div_ceil(nano));
        nanos
            .map(Credits::from_nanos)
            .map_err(|_| Uncharged::Overflow)
    }
}

/// The fraction in lowest terms, so that products stay small.
fn reduced(over: u64, under: u64) -> (u128, u128) {
    let (mut divisor, mut rest) = (over, under);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let divisor = divisor.max(1);
    (u128::from(over / divisor), u128::from(under / divisor))
}

#[cfg(test)]
pub(super) mod tests;
