//! Our side of a comparison.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::pages::day_of_second;
use super::report::folded;
use crate::store::Sum;

/// Our rows of a day and model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ours {
    /// In the order of `MEASURES`.
    pub(super) counts: [i128; 5],
    pub(super) estimated: i64,
}

/// Our rows by day and folded model, and by day alone.
pub(super) struct Books {
    rows: BTreeMap<(Date, String), Ours>,
    /// How each model is called.
    pub(super) names: BTreeMap<String, String>,
}

impl Books {
    pub(super) fn of(sums: &[Sum]) -> Self {
        let mut books = Self {
            rows: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for sum in sums {
            let second = sum.day.and_then(|day| day.checked_mul(86_400));
            let Some(day) = second.and_then(day_of_second) else {
                continue;
            };
            let name = sum.model.as_deref().unwrap_or_default();
            let model = folded(name);
            books
                .names
                .entry(model.clone())
                .or_insert_with(|| name.to_owned());
            for key in [(day, model), (day, String::new())] {
                books.rows.entry(key).or_default().add(sum);
            }
        }
        books
    }

    /// By model.
    pub(super) fn keys(&self) -> impl Iterator<Item = (Date, String)> {
        self.rows
            .keys()
            .filter(|(_, model)| !model.is_empty())
            .cloned()
    }

    pub(super) fn get(&self, day: Date, model: &str) -> Ours {
        let found = self.rows.get(&(day, model.to_owned()));
        found.copied().unwrap_or_default()
    }
}

impl Ours {
    fn add(&mut self, sum: &Sum) {
        let counts = &sum.counts;
        let cost = i128::from(sum.cost.charged.nanos()) + i128::from(sum.cost.absorbed.nanos());
        let values = [
            counts.input,
            counts.cached,
            counts.cache_write,
            counts.output,
        ];
        for (ours, value) in self
            .counts
            .iter_mut()
            .zip(values.map(i128::from).into_iter().chain([cost]))
        {
            *ours += value;
        }
        self.estimated += sum.estimated;
    }
}
