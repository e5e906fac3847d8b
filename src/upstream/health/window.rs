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

/// The counts of the last [`SLICES`] slices.
#[derive(Debug, Default)]
pub struct Window {
    /// The number of the newest slice, counted from the beginning of time.
    newest: u64,
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
    /// Slice `number` has begun: forgets what is older than the window. One that is over (a clock read a moment ago by
    /// another thread, or a length that a reload changed) is taken for the newest.
    pub fn roll(&mut self, number: u64) {
        let passed = number.saturating_sub(self.newest);
        for step in 1..=passed.min(SLICES) {
            *self.count(self.newest + step) = Count::default();
        }
        self.newest += passed;
        if passed > SLICES {
            self.counts = Default::default();
        }
    }

    /// The number of the newest slice.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds to the newest slice.
    pub fn add(&mut self, successes: u64, failures: u64) {
        let count = self.count(self.newest);
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

    fn sums(window: &Window) -> (u64, u64) {
        let sums = window.sums();
        (sums.failures, sums.all)
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_slice_by_slice() {
        let mut window = Window::default();
        window.roll(100);
        window.add(1, 2);
        window.roll(105);
        window.add(4, 0);
        assert_eq!(sums(&window), (2, 7));
        window.roll(109);
        assert_eq!(sums(&window), (2, 7));
        window.roll(110);
        assert_eq!(sums(&window), (0, 4));
        window.roll(115);
        assert_eq!(sums(&window), (0, 0));
    }

    #[test]
    fn a_long_silence_empties_it() {
        let mut window = Window::default();
        window.roll(7);
        window.add(3, 3);
        window.roll(7 + 1_000);
        assert_eq!(sums(&window), (0, 0));
        window.add(1, 0);
        window.roll(3);
        assert_eq!((window.newest(), sums(&window)), (1_007, (0, 1)));
    }
}
