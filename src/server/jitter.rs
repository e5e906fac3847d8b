//! A little chance in what is done again and again.

use std::time::Duration;

/// Up to a tenth longer, so that several gateways do not come to it in step.
pub(super) fn with_jitter(pause: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(0) % 1_000;
    pause + pause / 10_000 * chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_gets_longer_by_a_tenth_at_the_most() {
        let pause = Duration::from_secs(60);
        for _ in 0..100 {
            let longer = with_jitter(pause);
            assert!((pause..=pause + pause / 10).contains(&longer), "{longer:?}");
        }
    }
}
