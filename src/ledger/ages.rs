//! Since when the holds that are open have been: counted by spans of time, so that the oldest is known at once, and a
//! hold costs no entry of its own.

use std::collections::VecDeque;

/// Milliseconds of a span. The age of the oldest hold is off by no more than this.
const SPAN_MS: i64 = 10_000;

/// Spans in order, each with the holds that began in it and are open. The first has one; later ones may have none.
#[derive(Debug, Default)]
pub struct Ages(VecDeque<(Since, u32)>);

/// The span in which a hold began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since(i64);

impl Ages {
    /// A hold begins at the Unix millisecond `now`.
    pub fn begin(&mut self, now: i64) -> Since {
        let since = Since(now.div_euclid(SPAN_MS));
        match self.0.back_mut() {
            Some((last, count)) if *last >= since => {
                *count += 1;
                *last
            }
            _ => {
                self.0.push_back((since, 1));
                since
            }
        }
    }

    /// A hold that began in that span ends.
    pub fn end(&mut self, since: Since) {
        if let Ok(place) = self.0.binary_search_by_key(&since, |(span, _)| *span)
            && let Some((_, count)) = self.0.get_mut(place)
        {
            *count = count.saturating_sub(1);
        }
        while self.0.front().is_some_and(|(_, count)| *count == 0) {
            self.0.pop_front();
        }
    }

    /// The Unix millisecond since which the oldest has been open, to the span.
    pub fn oldest(&self) -> Option<i64> {
        let (Since(span), _) = self.0.front()?;
        Some(span.saturating_mul(SPAN_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_000_000_000;

    #[test]
    fn the_oldest_is_the_oldest_that_is_open_whatever_ends_first() {
        let mut ages = Ages::default();
        assert_eq!(ages.oldest(), None);
        let holds: Vec<Since> = [0, 3_000, 10_000, 25_000, 25_001]
            .map(|after| ages.begin(NOON + after))
            .to_vec();
        assert_eq!(ages.oldest(), Some(NOON));
        ages.end(holds[2]);
        ages.end(holds[0]);
        assert_eq!(ages.oldest(), Some(NOON), "the second is of the same span");
        ages.end(holds[1]);
        assert_eq!(ages.oldest(), Some(NOON + 20_000));
        ages.end(holds[4]);
        assert_eq!(ages.oldest(), Some(NOON + 20_000));
        ages.end(holds[3]);
        assert_eq!((ages.oldest(), ages.0.len()), (None, 0));
    }

    #[test]
    fn a_clock_that_stands_behind_counts_in_the_last_span() {
        let mut ages = Ages::default();
        let first = ages.begin(NOON);
        let second = ages.begin(NOON - 60_000);
        assert_eq!(first, second);
        ages.end(first);
        assert_eq!(ages.oldest(), Some(NOON));
        ages.end(second);
        assert_eq!(ages.oldest(), None);
    }

    #[test]
    fn what_is_kept_is_bounded_by_time_and_not_by_holds() {
        let mut ages = Ages::default();
        let leaked = ages.begin(NOON);
        for hold in 0..100_000 {
            let since = ages.begin(NOON + hold);
            ages.end(since);
        }
        assert!(ages.0.len() <= 11, "{}", ages.0.len());
        assert_eq!(ages.oldest(), Some(NOON));
        ages.end(leaked);
        assert!(ages.0.is_empty());
    }
}
