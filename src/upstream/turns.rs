//! Whose turn it is: weights → an order of endpoints, made once, so that a request only counts.

/// Steps of an order, about: enough for a share of a thousandth among dozens of endpoints. More endpoints with more
/// uneven weights get shares that are rounded.
const STEPS_MAX: u64 = 1 << 16;

/// The endpoints in an order in which each stands as often as its weight says, spread evenly (smooth weighted round
/// robin: at each step all gain their weight, the richest is next and pays the sum).
pub(super) fn of(weights: &[u32]) -> Box<[u16]> {
    let weights = reduced(weights);
    let sum: i64 = weights.iter().sum();
    let mut wealth = vec![0; weights.len()];
    let mut order = Vec::new();
    for _ in 0..sum {
        let mut richest = 0;
        for (at, weight) in weights.iter().enumerate() {
            wealth[at] += weight;
            if wealth[at] > wealth[richest] {
                richest = at;
            }
        }
        wealth[richest] -= sum;
        order.push(u16::try_from(richest).unwrap_or(0));
    }
    order.into()
}

/// Smaller weights with the same shares.
fn reduced(weights: &[u32]) -> Vec<i64> {
    let common = weights.iter().copied().fold(0, greatest_common_divisor);
    let common = u64::from(common.max(1));
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let scale = total / common / STEPS_MAX + 1;
    let reduce = |weight: &u32| i64::try_from(u64::from(*weight) / common / scale).unwrap_or(1);
    weights.iter().map(|weight| reduce(weight).max(1)).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(*of(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*of(&[1_000, 1_000]), [0, 1]);
        assert_eq!(*of(&[7]), [0]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn an_order_has_an_end_whatever_the_weights() {
        let weights: Vec<u32> = (0..500).map(|at| 1_000 - at).collect();
        let order = of(&weights);
        assert!(order.len() < 2 * 65_536, "{}", order.len());
        for at in 0..500 {
            assert!(order.contains(&at));
        }
    }

    #[test]
    fn each_stands_as_often_as_its_weight_says_and_never_long_in_a_row() {
        assert_eq!(*of(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        for weights in [&[3, 1][..], &[1_000, 1], &[2, 4, 6], &[1, 999, 500, 3]] {
            let order = of(weights);
            let all: u32 = weights.iter().sum();
            for (at, weight) in weights.iter().enumerate() {
                let times = order
                    .iter()
                    .filter(|turn| usize::from(**turn) == at)
                    .count();
                assert_eq!(times * all as usize, *weight as usize * order.len());
                // In every stretch from the beginning on, within one turn of its share.
                let mut had = 0.0;
                for (step, turn) in order.iter().enumerate() {
                    had += f64::from(u8::from(usize::from(*turn) == at));
                    let share = f64::from(*weight) / f64::from(all);
                    let due = share * (step as f64 + 1.0);
                    assert!(
                        (had - due).abs() <= weights.len() as f64,
                        "{weights:?} {at} {step}"
                    );
                }
            }
        }
    }
}
