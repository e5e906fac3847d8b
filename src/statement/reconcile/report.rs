//! What a provider says was used: counts by day and model, whatever file it stands in.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::civil::Date;

use super::amount::Amount;

/// Counts of a model on a day. What a file does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens that were read, cached ones included.
    pub input: Option<u64>,
    /// Of them: read from a cache.
    pub cached: Option<u64>,
    /// Of them: written to a cache, for however long.
    pub cache_write: Option<u64>,
    /// Tokens that were written.
    pub output: Option<u64>,
    /// What it costs.
    pub cost: Option<Amount>,
}

impl Counts {
    /// Adds what another row says of the same.
    pub fn add(&mut self, other: &Self) {
        let tokens = |ours: &mut Option<u64>, theirs: Option<u64>| {
            if let Some(theirs) = theirs {
                *ours = Some(ours.unwrap_or_default().saturating_add(theirs));
            }
        };
        tokens(&mut self.input, other.input);
        tokens(&mut self.cached, other.cached);
        tokens(&mut self.cache_write, other.cache_write);
        tokens(&mut self.output, other.output);
        if let Some(cost) = other.cost {
            self.cost = Some(self.cost.unwrap_or_default().plus(cost));
        }
    }
}

/// What a provider says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whose report it is, where its form says so.
    pub provider: Option<String>,
    /// The days that it is about, those without usage included.
    pub days: Option<RangeInclusive<Date>>,
    /// By day and model, as `folded`; the model is empty for what a day comes to.
    pub rows: BTreeMap<(Date, String), Counts>,
    /// How the provider calls each model.
    pub names: BTreeMap<String, String>,
    /// Whether there are further pages of it.
    pub more: bool,
}

impl Report {
    /// Takes a day into account, though nothing was used on it.
    pub fn day(&mut self, day: Date) {
        let (first, last) = match self.days.take() {
            Some(days) => days.into_inner(),
            None => (day, day),
        };
        self.days = Some(first.min(day)..=last.max(day));
    }

    /// Adds a row; without a model it is about the day.
    pub fn row(&mut self, day: Date, model: Option<&str>, counts: &Counts) {
        self.day(day);
        let name = model.unwrap_or_default();
        let folded = folded(name);
        self.names
            .entry(folded.clone())
            .or_insert_with(|| name.to_owned());
        self.rows.entry((day, folded)).or_default().add(counts);
    }

    /// What several files or pages say together.
    ///
    /// # Errors
    /// What is wrong with one of them, and when a page is missing.
    pub fn of_all(texts: &[String]) -> Result<Self, String> {
        let mut all = Self::default();
        for (place, text) in texts.iter().enumerate() {
            let named = |problem: String| match texts.len() {
                1 => problem,
                _ => format!("report {}: {problem}", place + 1),
            };
            let report = super::read(text).map_err(named)?;
            all.merge(report).map_err(named)?;
        }
        if all.more {
            return Err("the report has further pages: give them too".to_owned());
        }
        Ok(all)
    }

    /// Adds the report of a further file.
    ///
    /// # Errors
    /// When it is another provider's.
    pub fn merge(&mut self, other: Self) -> Result<(), String> {
        match (&self.provider, &other.provider) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                return Err(format!("one file is of {ours}, another of {theirs}"));
            }
            (None, Some(_)) => self.provider.clone_from(&other.provider),
            _ => {}
        }
        if let Some(days) = other.days {
            self.day(*days.start());
            self.day(*days.end());
        }
        for (key, counts) in &other.rows {
            self.rows.entry(key.clone()).or_default().add(counts);
        }
        self.names.extend(other.names);
        self.more = other.more;
        Ok(())
    }
}

/// A model's name without what tells its releases apart: providers report `gpt-4o-2024-08-06` for `gpt-4o`, and
/// `Claude Sonnet 4.5` for `claude-sonnet-4-5-20250929`.
#[must_use]
pub fn folded(name: &str) -> String {
    let name = name.trim().to_lowercase().replace([' ', '.'], "-");
    let digits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some((front, date)) = name.rsplit_once('-')
        && digits(date, 8)
    {
        return front.to_owned();
    }
    let mut parts = name.rsplitn(4, '-');
    let (day, month, year, front) = (parts.next(), parts.next(), parts.next(), parts.next());
    match (front, year, month, day) {
        (Some(front), Some(year), Some(month), Some(day))
            if digits(year, 4) && digits(month, 2) && digits(day, 2) =>
        {
            front.to_owned()
        }
        _ => name.strip_suffix("-latest").unwrap_or(&name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_a_model_are_one() {
        for (name, expected) in [
            ("gpt-4o", "gpt-4o"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("gpt-4.1-mini-2025-04-14", "gpt-4-1-mini"),
            ("gpt-4.1-mini", "gpt-4-1-mini"),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("Claude Sonnet 4.5", "claude-sonnet-4-5"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
            ("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet"),
            ("20250929", "20250929"),
            ("text-embedding-3-small", "text-embedding-3-small"),
            ("", ""),
        ] {
            assert_eq!(folded(name), expected, "{name}");
        }
    }
}
