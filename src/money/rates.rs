//! The prices that hold for one request: those of its service tier and its length, and what stands in for an item that
//! has none.

use smallvec::SmallVec;

use crate::catalog::{self, Factor, Item, Mode, Price, Tier};

/// The modes of a price that can hold at one time: that of the service tier, and that of the region.
const MODES: usize = 2;

/// Prices in force. The first of `layers` that has an item says its price.
pub(super) struct Rates<'p> {
    layers: SmallVec<[&'p catalog::Rates; 2 * MODES + 2]>,
    factors: [Factor; MODES],
}

impl<'p> Rates<'p> {
    /// Those of a request that read `input` tokens, served in these modes, the stronger first.
    pub(super) fn of(price: &'p Price, modes: [Option<&'p Mode>; MODES], input: u64) -> Self {
        let mut layers = SmallVec::new();
        for mode in modes.into_iter().flatten() {
            layers.extend(reached(&mode.tiers, input));
            layers.push(&mode.rates);
        }
        layers.extend(reached(&price.tiers, input));
        layers.push(&price.rates);
        Self {
            layers,
            factors: modes.map(|mode| mode.map_or(Factor::ONE, |mode| mode.factor)),
        }
    }

    /// The price of `item` itself, in pico-dollars, before [`Self::factors`].
    pub(super) fn get(&self, item: Item) -> Option<u64> {
        let found = self.layers.iter().find_map(|layer| layer.get(item));
        found.map(|price| price.0)
    }

    /// What every price is multiplied with.
    pub(super) fn factors(&self) -> [Factor; MODES] {
        self.factors
    }

    /// The price of an input token of this sort.
    pub(super) fn input(&self, sort: Sort, state: State) -> Option<u64> {
        let plain = self.get(Item::Input);
        let fresh = sort.input().and_then(|item| self.get(item)).or(plain)?;
        Some(match state {
            State::Fresh => fresh,
            State::Cached => self.cached(sort, fresh, plain),
            // To write is to read as well: it never costs less than that.
            State::Written(lifetime) => fresh.max(self.written(lifetime).unwrap_or(0)),
        })
    }

    /// Without a price of its own a cached token has that of text, unless its sort is dearer than text.
    fn cached(&self, sort: Sort, fresh: u64, plain: Option<u64>) -> u64 {
        let own = sort.cached().and_then(|item| self.get(item));
        let of_text = || {
            let as_text = sort == Sort::Text || plain.is_some_and(|plain| fresh <= plain);
            as_text.then(|| self.get(Item::CachedInput)).flatten()
        };
        own.or_else(of_text).unwrap_or(fresh)
    }

    /// Without a price of its own a longer life has that of the next shorter one.
    fn written(&self, lifetime: Lifetime) -> Option<u64> {
        let items = [Item::CacheWrite12h, Item::CacheWrite1h, Item::CacheWrite];
        let items = match lifetime {
            Lifetime::HalfDay => &items[..],
            Lifetime::Hour => &items[1..],
            Lifetime::Short => &items[2..],
        };
        items.iter().find_map(|item| self.get(*item))
    }

    /// The price of an output token of this sort. Sound and images have none but their own.
    pub(super) fn output(&self, sort: Sort) -> Result<u64, Item> {
        let item = match sort {
            Sort::Text => Item::Output,
            Sort::Audio => Item::AudioOutput,
            Sort::Image => Item::ImageOutput,
        };
        self.get(item).ok_or(item)
    }

    /// The price of a token that was thought.
    pub(super) fn reasoning(&self) -> Result<u64, Item> {
        self.get(Item::Reasoning)
            .map_or_else(|| self.output(Sort::Text), Ok)
    }
}

/// The prices of the longest length that `input` exceeds.
fn reached(tiers: &[Tier], input: u64) -> Option<&catalog::Rates> {
    let mut reached = tiers.iter().rev().filter(|tier| input > tier.above);
    reached.next().map(|tier| &tier.rates)
}

/// What tokens stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Text,
    Image,
    Audio,
}

impl Sort {
    const fn input(self) -> Option<Item> {
        match self {
            Self::Text => None,
            Self::Image => Some(Item::ImageInput),
            Self::Audio => Some(Item::AudioInput),
        }
    }

    const fn cached(self) -> Option<Item> {
        match self {
            Self::Text => None,
            Self::Image => Some(Item::CachedImageInput),
            Self::Audio => Some(Item::CachedAudioInput),
        }
    }
}

/// Where input tokens came from, or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Neither from a cache nor into one.
    Fresh,
    /// From a cache.
    Cached,
    /// Into a cache.
    Written(Lifetime),
}

/// How long a cache keeps what is written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// As long as the provider usually does.
    Short,
    Hour,
    HalfDay,
}
