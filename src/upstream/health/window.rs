//! A sliding window over successes and failures, in slices: as time goes on the oldest slice is forgotten. An array, so
//! that counting allocates nothing.

/// Slices of a window: what is counted is forgotten in steps of a tenth of it.
pub const SLICES: u64 = 10;

/// What came of the attempts of one slice.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    successes: u64,
    failures: u64,
}

/// A slice of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Its place, counted from the beginning of time.
    pub number: u64,
    /// How long it is, in milliseconds.
    pub length: u64,
}

/// The counts of the last [`SLICES`] slices.
#[derive(Debug, Default)]
pub struct Window {
    newest: Slice,
    counts: [Count; SLICES as usize],
}

/// What a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Failures.
    pub failures: u64,
    /// Failures and successes.
    pub all: u64,
}

impl Window {
    /// `slice` has begun: forgets what is older than the window. One that is over (by a clock that another thread read a
    /// moment ago) is taken for the newest. With slices of another length, after a reload, it begins anew.
    pub fn roll(&mut self, slice: Slice) {
        if slice.length != self.newest.length {
            self.clear();
            self.newest = slice;
            return;
        }
        let newest = self.newest.number;
        let passed = slice.number.saturating_sub(newest);
        for step in 1..=passed.min(SLICES) {
            *self.count(newest + step) = Count::default();
        }
        self.newest.number += passed;
    }

    /// The newest slice.
    pub fn newest(&self) -> Slice {
        self.newest
    }

    /// Adds to the newest slice.
    pub fn add(&mut self, successes: u64, failures: u64) {
        let count = self.count(self.newest.number);
        count.successes += successes;
        count.failures += failures;
    }

    /// Forgets all counts.
    pub fn clear(&mut self) {
        self.counts = Default::default();
    }

    /// What it holds.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums {
            failures: 0,
            all: 0,
        };
        for count in &self.counts {
            sums.failures += count.failures;
            sums.all += count.failures + count.successes;
        }
        sums
    }

    fn count(&mut self, number: u64) -> &mut Count {
        // Less than SLICES.
        let at = usize::try_from(number % SLICES).unwrap_or(0);
        &mut self.counts[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(number: u64) -> Slice {
        Slice { number, length: 50 }
    }

    fn sums(window: &Window) -> (u64, u64) {
        let sums = window.sums();
        (sums.failures, sums.all)
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_slice_by_slice() {
        let mut window = Window::default();
        window.roll(slice(100));
        window.add(1, 2);
        window.roll(slice(105));
        window.add(4, 0);
        assert_eq!(sums(&window), (2, 7));
        window.roll(slice(109));
        assert_eq!(sums(&window), (2, 7));
        window.roll(slice(110));
        assert_eq!(sums(&window), (0, 4));
        window.roll(slice(115));
        assert_eq!(sums(&window), (0, 0));
    }

    #[test]
    fn slices_of_another_length_begin_anew_and_slide_as_well() {
        let mut window = Window::default();
        window.roll(slice(1_000));
        window.add(1, 1);
        let longer = |number| Slice {
            number,
            length: 500,
        };
        window.roll(longer(100));
        assert_eq!(sums(&window), (0, 0));
        window.add(0, 1);
        window.roll(longer(109));
        assert_eq!(sums(&window), (1, 1));
        window.roll(longer(110));
        assert_eq!(sums(&window), (0, 0));
    }

    #[test]
    fn a_long_silence_empties_it() {
        let mut window = Window::default();
        window.roll(slice(7));
        window.add(3, 3);
        window.roll(slice(7 + 1_000));
        assert_eq!(sums(&window), (0, 0));
        window.add(1, 0);
        window.roll(slice(3));
        assert_eq!((window.newest(), sums(&window)), (slice(1_007), (0, 1)));
    }
}
