//! Names like a given one, for the message that says there is no such model. Its cost is bounded whatever the name and
//! however large the catalog: a word of bits rules out most names, and edit distances are reckoned in a band, for so
//! many names at most.

use std::sync::Arc;

use super::Catalog;
use super::lookup::NAME_MAX;

/// Names that a message offers. More would be a list to read rather than a hint.
const OFFERED_MAX: usize = 3;

/// Edits beyond which a name is not like another, for long names; shorter ones allow a third of their length.
const EDITS_MAX: usize = 6;

/// Edit distances reckoned for one name. Only a catalog of names that all look alike comes near it.
const COMPARED_MAX: usize = 2_000;

/// All names with what is needed to rule them out.
#[derive(Debug, Default)]
pub(super) struct Near {
    names: Box<[(Mask, Arc<str>)]>,
}

/// Which letters and digits a name has: bit `n` for the bytes that are `n` modulo 64, in lower case.
type Mask = u64;

impl Near {
    pub(super) fn new(names: impl Iterator<Item = Arc<str>>) -> Self {
        // Sorted, so that equal catalogs give equal answers; mostly they come sorted, which costs next to nothing.
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.dedup();
        Self {
            names: names.into_iter().map(|name| (mask(&name), name)).collect(),
        }
    }

    /// At most [`OFFERED_MAX`] names of these and of `more`, the nearest first.
    fn nearest<'n>(&'n self, more: &'n Self, name: &str) -> Vec<&'n str> {
        let folded = name.to_ascii_lowercase();
        let mask = mask(&folded);
        let mut limit = (folded.len() / 3).clamp(1, EDITS_MAX);
        let mut best: Vec<(usize, &str)> = Vec::new();
        let mut compared = 0;
        for (other_mask, other) in self.names.iter().chain(&more.names) {
            // An edit changes at most one letter into one other: two bits.
            let apart = (mask ^ other_mask).count_ones() as usize;
            if apart > 2 * limit || other.len().abs_diff(folded.len()) > limit {
                continue;
            }
            compared += 1;
            if compared > COMPARED_MAX {
                break;
            }
            let Some(distance) = distance(folded.as_bytes(), other.as_bytes(), limit) else {
                continue;
            };
            best.insert(
                best.partition_point(|(kept, _)| *kept <= distance),
                (distance, other),
            );
            if best.len() > OFFERED_MAX {
                best.pop();
                limit = best.last().map_or(limit, |(kept, _)| *kept);
            }
        }
        best.into_iter().map(|(_, name)| name).collect()
    }
}

impl Catalog {
    /// At most three names like `name`, the nearest first, for the message that it means nothing. Where it is like
    /// `provider:model` but for the provider's name, that is the first of them.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Vec<String> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Vec::new();
        }
        let mut names: Vec<String> = self.mistyped_provider(name).into_iter().collect();
        names.extend(
            self.near
                .nearest(self.found.near(), name)
                .into_iter()
                .map(str::to_owned),
        );
        names.truncate(OFFERED_MAX);
        names
    }

    fn mistyped_provider(&self, name: &str) -> Option<String> {
        let (left, rest) = name.split_once(':')?;
        let left = left.to_ascii_lowercase();
        let limit = (left.len() / 3).min(2);
        let near = |id: &str| distance(left.as_bytes(), id.as_bytes(), limit);
        let (_, id) = self
            .providers()
            .iter()
            .filter_map(|p| Some((near(&p.id)?, &p.id)))
            .min()?;
        (!rest.is_empty()).then(|| format!("{id}:{rest}"))
    }
}

fn mask(name: &str) -> Mask {
    name.bytes()
        .fold(0, |mask, byte| mask | 1 << (byte.to_ascii_lowercase() & 63))
}

/// Edits (a byte put in, taken out or replaced) that make `b`, in any case, of `a`, which is in lower case; `None` when
/// more than `limit`. Only the band of the table that can be within `limit` is filled.
fn distance(a: &[u8], b: &[u8], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit || b.len() > NAME_MAX {
        return None;
    }
    let beyond = limit + 1;
    let mut row = [beyond; NAME_MAX + 1];
    for (column, cell) in row.iter_mut().enumerate().take(limit.min(b.len()) + 1) {
        *cell = column;
    }
    for (line, letter) in a.iter().enumerate() {
        let first = line.saturating_sub(limit);
        let last = (line + limit + 1).min(b.len());
        let mut diagonal = row[first];
        row[first] = if first == 0 { line + 1 } else { beyond };
        let mut left = row[first];
        let mut smallest = left;
        for column in first + 1..=last {
            let above = if column == line + limit + 1 {
                beyond
            } else {
                row[column]
            };
            let same = usize::from(*letter != b[column - 1].to_ascii_lowercase());
            let cell = (diagonal + same).min(above + 1).min(left + 1).min(beyond);
            diagonal = row[column];
            row[column] = cell;
            left = cell;
            smallest = smallest.min(cell);
        }
        if smallest > limit {
            return None;
        }
    }
    Some(row[b.len()]).filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The whole table, without a band.
    fn slow(a: &str, b: &str) -> usize {
        let (a, b) = (a.as_bytes(), b.to_ascii_lowercase());
        let b = b.as_bytes();
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for line in 0..=a.len() {
            for column in 0..=b.len() {
                table[line][column] = if line == 0 || column == 0 {
                    line + column
                } else {
                    let same = usize::from(a[line - 1] != b[column - 1]);
                    let replaced = table[line - 1][column - 1] + same;
                    replaced
                        .min(table[line - 1][column] + 1)
                        .min(table[line][column - 1] + 1)
                };
            }
        }
        table[a.len()][b.len()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_band_agrees_with_the_whole_table(a in "[abc]{0,12}", b in "[abcAB]{0,12}", limit in 0_usize..8) {
            let expected = Some(slow(&a, &b)).filter(|distance| *distance <= limit);
            prop_assert_eq!(distance(a.as_bytes(), b.as_bytes(), limit), expected);
        }
    }

    fn near(names: &[&str]) -> Near {
        Near::new(names.iter().map(|name| Arc::from(*name)))
    }

    #[test]
    fn the_nearest_come_first_and_the_far_not_at_all() {
        let near = near(&[
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4.1",
            "gpt-5",
            "claude-sonnet-4-5",
            "Claude-Haiku",
        ]);
        assert_eq!(near.nearest(&Near::default(), "gpt4o"), ["gpt-4o"]);
        assert_eq!(near.nearest(&Near::default(), "gpt-4"), ["gpt-4o", "gpt-5"]);
        assert_eq!(
            near.nearest(&Near::default(), "claude-sonnet-4.5"),
            ["claude-sonnet-4-5"]
        );
        assert_eq!(
            near.nearest(&Near::default(), "CLAUDE-HAIKO"),
            ["Claude-Haiku"]
        );
        assert_eq!(
            near.nearest(&Near::default(), "zzzzzzzz"),
            Vec::<&str>::new()
        );
        assert_eq!(near.nearest(&Near::default(), ""), Vec::<&str>::new());
    }

    #[test]
    fn at_most_three_are_offered() {
        let near = near(&[
            "aaaaaaaa1",
            "aaaaaaaa2",
            "aaaaaaaa3",
            "aaaaaaaa4",
            "aaaaaaaab",
        ]);
        assert_eq!(
            near.nearest(&Near::default(), "aaaaaaaa4"),
            ["aaaaaaaa4", "aaaaaaaa1", "aaaaaaaa2"]
        );
    }
}
