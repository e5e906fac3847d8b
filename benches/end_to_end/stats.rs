//! Quantiles and medians.

use std::time::Duration;

/// The value below which `part` (0 to 1) of the ascending `sorted` lies; zero if there is none.
pub fn quantile(sorted: &[u64], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).round() as usize;
    Duration::from_nanos(sorted.get(at).copied().unwrap_or_default())
}

/// Middle, lowest and highest of some numbers.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

/// `None` if there are no numbers.
pub fn spread(numbers: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (&lowest, &highest) = (sorted.first()?, sorted.last()?);
    let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some(Spread {
        median: f64::midpoint(below, above),
        lowest,
        highest,
    })
}
