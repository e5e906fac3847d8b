//! Checked values as the files write them, for whoever shows a catalog: names, and prices as decimal numbers.

use serde::Serialize;
use serde_json::Value;

use super::file::{Decimal, Modality};
use super::model::Modalities;
use super::price::{self, Factor, Item, PicoDollars, Price, Rates, Tier};

/// The name by which files call `value`: an item of a price, a kind, a modality, a status.
#[must_use]
pub fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

impl PicoDollars {
    /// The amount that is written as `text`.
    ///
    /// # Errors
    /// What is wrong with the text and what to write.
    pub fn read(text: &Decimal) -> Result<Self, String> {
        price::parse(text).map(Self)
    }

    /// The amount in dollars, exact, without zeros at its end.
    #[must_use]
    pub fn decimal(self) -> String {
        let (whole, rest) = (self.0 / Factor::ONE.0, self.0 % Factor::ONE.0);
        let text = format!("{whole}.{rest:012}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Modalities {
    /// The modalities in the set.
    pub fn iter(self) -> impl Iterator<Item = Modality> {
        const ALL: [Modality; 9] = [
            Modality::Text,
            Modality::Image,
            Modality::Audio,
            Modality::Video,
            Modality::Pdf,
            Modality::File,
            Modality::Embedding,
            Modality::Scores,
            Modality::Decision,
        ];
        ALL.into_iter().filter(move |modality| self.has(*modality))
    }
}

/// One amount of a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is paid for: `input`, `input above 200000`, `batch input`, `batch factor`, `image high/1024x1024`.
    pub what: String,
    /// The amount; of a factor the factor, in the same 10⁻¹².
    pub amount: PicoDollars,
}

impl Price {
    /// Every amount as text, by what is paid for.
    #[must_use]
    pub fn shown(&self) -> Vec<(String, String)> {
        let lines = self.lines().into_iter();
        lines
            .map(|line| (line.what, line.amount.decimal()))
            .collect()
    }

    /// Every amount, the usual ones first.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        add_rates(&mut lines, "", &self.rates, &self.tiers);
        for (mode, price) in &self.modes {
            if price.factor != Factor::ONE {
                lines.push(Line {
                    what: format!("{mode} factor"),
                    amount: PicoDollars(price.factor.0),
                });
            }
            add_rates(&mut lines, &format!("{mode} "), &price.rates, &price.tiers);
        }
        for (image, amount) in &self.images {
            lines.push(Line {
                what: format!("image {image}"),
                amount: *amount,
            });
        }
        lines
    }
}

fn add_rates(lines: &mut Vec<Line>, before: &str, rates: &Rates, tiers: &[Tier]) {
    let line = |item: Item, behind: &str, amount| Line {
        what: format!("{before}{}{behind}", name(&item)),
        amount,
    };
    lines.extend(rates.iter().map(|(item, amount)| line(item, "", amount)));
    for tier in tiers {
        let above = format!(" above {}", tier.above);
        let rates = tier.rates.iter();
        lines.extend(rates.map(|(item, amount)| line(item, &above, amount)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_files_write_it() {
        for (amount, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (75_000_000_000, "0.075"),
            (2_500_000_000_000, "2.5"),
            (10_000_000_000_000, "10"),
            (u64::MAX, "18446744.073709551615"),
        ] {
            assert_eq!(PicoDollars(amount).decimal(), text);
        }
    }

    #[test]
    fn a_price_is_shown_line_by_line() {
        let rates = |item, amount| Rates([(item, PicoDollars(amount))].into());
        let price = Price {
            rates: rates(Item::Input, 1),
            tiers: [Tier {
                above: 200_000,
                rates: rates(Item::CacheWrite1h, 2),
            }]
            .into(),
            modes: [(
                "batch".into(),
                crate::catalog::Mode {
                    factor: Factor(500_000_000_000),
                    rates: rates(Item::Output, 3),
                    tiers: Box::default(),
                },
            )]
            .into(),
            images: [("high/1024x1024".into(), PicoDollars(4))].into(),
        };
        let lines: Vec<(String, u64)> = price
            .lines()
            .into_iter()
            .map(|line| (line.what, line.amount.0))
            .collect();
        let expected = [
            ("input", 1),
            ("cache_write_1h above 200000", 2),
            ("batch factor", 500_000_000_000),
            ("batch output", 3),
            ("image high/1024x1024", 4),
        ];
        assert_eq!(
            lines,
            expected.map(|(what, amount)| (what.to_owned(), amount))
        );
    }
}
