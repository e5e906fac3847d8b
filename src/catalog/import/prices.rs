//! The amounts of one model as they are found, one by one, and what a file says of them in the end.

use std::collections::BTreeMap;

use crate::catalog::file::{Decimal, Members, ModeEntry, ModelEntry, Rates, TierEntry};
use crate::catalog::price::Item;

/// For which requests an amount holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct When {
    /// The service tier; empty for the usual one.
    pub(super) mode: String,
    /// Prompts of more tokens than this; 0 for all.
    pub(super) above: u64,
}

/// Why a model has no price.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoPrice {
    pub(super) why: &'static str,
    pub(super) detail: Option<String>,
}

impl NoPrice {
    fn new(why: &'static str) -> Self {
        Self { why, detail: None }
    }
}

/// What was found of one model.
#[derive(Debug, Default)]
pub(super) struct Prices {
    amounts: BTreeMap<When, BTreeMap<Item, Decimal>>,
    /// Why an amount could not be taken; the model then has no price, for what is left of it would be too low.
    broken: Option<String>,
}

impl Prices {
    /// Takes an amount.
    pub(super) fn add(&mut self, when: When, item: Item, amount: Result<Decimal, String>) {
        match amount {
            Ok(amount) => {
                self.amounts.entry(when).or_default().insert(item, amount);
            }
            Err(why) => self.broken = Some(why),
        }
    }

    /// The usual amount of `item`.
    pub(super) fn usual(&self, item: Item) -> Option<&Decimal> {
        self.amounts.get(&When::default())?.get(&item)
    }

    /// Takes an amount away, where another that is there says the same.
    pub(super) fn remove(&mut self, item: Item) {
        for amounts in self.amounts.values_mut() {
            amounts.remove(&item);
        }
    }

    /// Whether every amount is 0: free of charge, or not known, which most lists write alike.
    fn is_free(&self) -> bool {
        let mut all = self.amounts.values().flat_map(BTreeMap::values);
        all.all(|amount| &*amount.0 == "0")
    }

    /// Writes the price into `entry`. `free` says that 0 is meant.
    ///
    /// # Errors
    /// Why there is none; `entry` is as it was.
    pub(super) fn write(mut self, free: bool, entry: &mut ModelEntry) -> Result<(), NoPrice> {
        if let Some(detail) = self.broken {
            return Err(NoPrice {
                why: "an amount that no price can hold exactly",
                detail: Some(detail),
            });
        }
        if self.amounts.is_empty() {
            return Err(NoPrice::new("the list has none"));
        }
        if !free && self.is_free() {
            return Err(NoPrice::new(
                "0, which may mean free or not known; set it yourself",
            ));
        }
        let Some(usual) = self.amounts.remove(&When::default()) else {
            return Err(NoPrice::new("of batches or long prompts only"));
        };
        entry.price = Some(rates(usual));
        let mut modes: BTreeMap<String, ModeEntry> = BTreeMap::new();
        let mut tiers = Vec::new();
        for (When { mode, above }, amounts) in self.amounts {
            let price = rates(amounts);
            match (mode.is_empty(), above) {
                (true, above) => tiers.push(TierEntry { above, price }),
                (false, 0) => modes.entry(mode).or_default().price = Some(price),
                (false, above) => {
                    let mode = modes.entry(mode).or_default();
                    let tier = TierEntry { above, price };
                    mode.tiers.get_or_insert_default().push(tier);
                }
            }
        }
        entry.tiers = (!tiers.is_empty()).then(|| tiers.into());
        let modes = modes.into_iter().map(|(name, mode)| (name, Some(mode)));
        let modes = Members(modes.collect::<BTreeMap<_, _>>());
        entry.modes = (!modes.0.is_empty()).then_some(modes);
        Ok(())
    }
}

fn rates(amounts: BTreeMap<Item, Decimal>) -> Rates {
    let rates = amounts.into_iter();
    Members(rates.map(|(item, amount)| (item, Some(amount))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mode: &str, above: u64) -> When {
        When {
            mode: mode.to_owned(),
            above,
        }
    }

    fn amount(text: &str) -> Result<Decimal, String> {
        Ok(Decimal(text.into()))
    }

    #[test]
    fn tiers_and_modes_find_their_places() {
        let mut prices = Prices::default();
        for (when, item, text) in [
            (at("batch", 272_000), Item::Input, "2.5"),
            (at("", 272_000), Item::Input, "5"),
            (at("", 0), Item::Input, "2.5"),
            (at("batch", 0), Item::Input, "1.25"),
            (at("", 128_000), Item::Input, "4"),
            (at("", 0), Item::Output, "0"),
        ] {
            prices.add(when, item, amount(text));
        }
        let mut entry = ModelEntry::default();
        prices.write(false, &mut entry).expect("a price");
        let text = serde_json::to_string(&entry).expect("JSON");
        assert_eq!(
            text,
            r#"{"price":{"input":"2.5","output":"0"},"tiers":[{"above":128000,"price":{"input":"4"}},{"above":272000,"price":{"input":"5"}}],"modes":{"batch":{"price":{"input":"1.25"},"tiers":[{"above":272000,"price":{"input":"2.5"}}]}}}"#
        );
    }

    #[test]
    fn half_a_price_is_none() {
        let refused = |found: &[(When, Result<Decimal, String>)], free| {
            let mut prices = Prices::default();
            for (when, amount) in found {
                prices.add(when.clone(), Item::Input, amount.clone());
            }
            let mut entry = ModelEntry::default();
            let told = prices.write(free, &mut entry);
            assert!(entry.price.is_none() || told.is_ok());
            told.err()
                .map(|none| none.detail.unwrap_or(none.why.to_owned()))
        };
        assert_eq!(refused(&[], false).as_deref(), Some("the list has none"));
        let broken = [
            (at("", 0), amount("1")),
            (at("batch", 0), Err("odd".to_owned())),
        ];
        assert_eq!(refused(&broken, false).as_deref(), Some("odd"));
        let only_batch = [(at("batch", 0), amount("1"))];
        assert!(refused(&only_batch, false).is_some_and(|why| why.contains("only")));
        let zero = [(at("", 0), amount("0"))];
        assert!(refused(&zero, false).is_some_and(|why| why.starts_with("0,")));
        assert_eq!(refused(&zero, true), None);
    }
}
