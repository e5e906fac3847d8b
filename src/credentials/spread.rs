//! The keys of one provider, and with which of them a request begins.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Key, Payer};

/// 2^64 divided by the golden ratio: steps of this length, taken around a circle, stay spread evenly however many
/// there are (Knuth, The Art of Computer Programming, vol. 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The keys of one provider, in the operator's order.
#[derive(Debug, Default)]
pub struct Keys {
    list: Box<[Arc<Key>]>,
    /// Counts the requests, where they are spread over the keys; none: each begins with the first.
    turns: Option<Arc<AtomicUsize>>,
}

impl Keys {
    /// Keys of which each request begins with the first.
    #[must_use]
    pub fn ordered(list: Box<[Arc<Key>]>) -> Self {
        Self { list, turns: None }
    }

    /// Keys that requests are spread over by their weights; `turns` counts the requests.
    #[must_use]
    pub fn weighted(list: Box<[Arc<Key>]>, turns: Arc<AtomicUsize>) -> Self {
        Self {
            list,
            turns: Some(turns),
        }
    }

    /// All keys for a request of `payer`, from the one that it is the turn of; after the last comes the first. Those that are set aside have
    /// no turn as long as another is ready, and their share goes to the ready ones by their weights.
    pub fn in_turn(&self, payer: Payer, now: Instant) -> impl Iterator<Item = &Arc<Key>> {
        let (before, from) = self.list.split_at(self.first(payer, now));
        from.iter().chain(before)
    }

    fn first(&self, payer: Payer, now: Instant) -> usize {
        let Some(turns) = self.turns.as_ref().filter(|_| self.list.len() > 1) else {
            return 0;
        };
        let turn = turns.fetch_add(1, Ordering::Relaxed) as u64;
        let weights = || {
            self.list.iter().map(|key| {
                let ready = key.health().aside(payer, now).is_none();
                if ready { key.weight() } else { 0 }
            })
        };
        drawn(weights, turn)
    }
}

impl Deref for Keys {
    type Target = [Arc<Key>];

    fn deref(&self) -> &[Arc<Key>] {
        &self.list
    }
}

/// Which of the `weights` turn number `turn` falls on; the first where all are zero.
fn drawn<W: Iterator<Item = u32>>(weights: impl Fn() -> W, turn: u64) -> usize {
    let sum: u64 = weights().map(u64::from).sum();
    let share = (u128::from(turn.wrapping_mul(GOLDEN)) * u128::from(sum)) >> 64;
    let mut passed = 0;
    let at = weights().position(|weight| {
        passed += u128::from(weight);
        share < passed
    });
    at.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::credentials::{KeyHealth, Said};

    const ONE: Payer = Payer(1);

    #[test]
    fn each_gets_its_share_at_any_time() {
        for weights in [&[1, 1][..], &[3, 1], &[100, 10, 1], &[5, 0, 5], &[7]] {
            let sum: u32 = weights.iter().sum();
            let mut had = vec![0_u32; weights.len()];
            for turn in 0..3_000 {
                had[drawn(|| weights.iter().copied(), turn)] += 1;
                for (had, weight) in had.iter().zip(weights) {
                    let due = f64::from(*weight) / f64::from(sum) * (turn as f64 + 1.0);
                    assert!((f64::from(*had) - due).abs() < 4.0, "{weights:?} {turn}");
                }
            }
        }
        assert_eq!(drawn(|| [0, 0].into_iter(), 5), 0);
    }

    fn key(secret: &str, weight: u32) -> Arc<Key> {
        let key = Key::new(secret, Arc::new(KeyHealth::default())).expect("a key");
        Arc::new(key.with_weight(weight))
    }

    #[test]
    fn the_share_of_a_key_that_is_set_aside_goes_to_the_others() {
        let list = [key("a", 8), key("b", 3), key("c", 1)];
        let keys = Keys::weighted(list.clone().into(), Arc::default());
        let now = Instant::now();
        list[0].health().hear(Said::Refused, ONE, now);
        let mut first = [0; 3];
        for _ in 0..400 {
            let order: Vec<_> = keys.in_turn(ONE, now).collect();
            assert_eq!(order.len(), 3);
            let at = list.iter().position(|key| Arc::ptr_eq(key, order[0]));
            first[at.expect("one of them")] += 1;
        }
        assert!(
            first[0] == 0 && (295..=305).contains(&first[1]),
            "{first:?}"
        );
        // All are set aside: still each is there.
        list[1].health().hear(Said::Refused, ONE, now);
        list[2].health().hear(Said::Refused, ONE, now);
        assert_eq!(keys.in_turn(ONE, now).count(), 3);
        let later = now + Duration::from_secs(3600);
        let firsts = (0..12).filter_map(|_| keys.in_turn(ONE, later).next());
        assert!(firsts.filter(|key| Arc::ptr_eq(key, &list[0])).count() >= 6);
    }

    #[test]
    fn in_order_each_request_begins_with_the_first() {
        let list = [key("a", 1), key("b", 1)];
        let keys = Keys::ordered(list.clone().into());
        for _ in 0..3 {
            let order: Vec<_> = keys.in_turn(ONE, Instant::now()).collect();
            assert!(Arc::ptr_eq(order[0], &list[0]) && Arc::ptr_eq(order[1], &list[1]));
        }
        assert_eq!(Keys::default().in_turn(ONE, Instant::now()).count(), 0);
    }
}
