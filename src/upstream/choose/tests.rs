use super::*;

const ALL: [Balance; 3] = [
    Balance::RoundRobin,
    Balance::LeastInflight,
    Balance::Affinity,
];

/// So many requests that a share is known to about half a percent.
const MANY: usize = 40_000;

fn table(weights: &[u32]) -> Table {
    let names: Vec<String> = (0..weights.len())
        .map(|at| format!("replica-{at}"))
        .collect();
    Table::new(
        names
            .iter()
            .map(String::as_str)
            .zip(weights.iter().copied()),
    )
}

/// The draw of request `number`.
fn draw(number: usize) -> Draw {
    Draw {
        turn: number,
        affinity: hash::of([b"session", &number.to_le_bytes()]),
        chance: hash::of([b"chance", &number.to_le_bytes()]),
    }
}

const WELL: Option<Look<u8>> = Some(Look { rank: 0, load: 0 });
const EJECTED: Option<Look<u8>> = Some(Look { rank: 1, load: 0 });

/// How often each is chosen.
fn counts(
    weights: &[u32],
    balance: Balance,
    look: impl Fn(usize) -> Option<Look<u8>>,
) -> Vec<usize> {
    let table = table(weights);
    let mut counts = vec![0; weights.len()];
    for number in 0..MANY {
        counts[choose(&table, balance, &draw(number), &look).expect("one")] += 1;
    }
    counts
}

fn about(count: usize, share: f64) -> bool {
    (count as f64 / MANY as f64 - share).abs() < 0.02
}

#[test]
fn each_gets_the_share_that_its_weight_says() {
    for balance in ALL {
        let counts = counts(&[1, 2, 5], balance, |_| WELL);
        for (count, share) in counts.iter().zip([0.125, 0.25, 0.625]) {
            assert!(about(*count, share), "{balance:?}: {counts:?}");
        }
    }
}

#[test]
fn health_comes_before_everything_else() {
    for balance in ALL {
        let look = |at: usize| match at {
            0 | 1 => EJECTED,
            // Better, however loaded it is.
            2 => Some(Look {
                rank: 0,
                load: 1_000,
            }),
            _ => None,
        };
        assert_eq!(counts(&[9, 9, 1, 9], balance, look), [0, 0, MANY, 0]);
    }
}

#[test]
fn the_last_are_never_taken_away() {
    for balance in ALL {
        assert_eq!(
            counts(&[1, 1], balance, |at| EJECTED.filter(|_| at == 1)),
            [0, MANY]
        );
        assert_eq!(counts(&[1], balance, |_| EJECTED), [MANY]);
        assert_eq!(
            choose::<u8>(&table(&[1, 1]), balance, &draw(1), |_| None),
            None
        );
        assert_eq!(
            choose::<u8>(&table(&[1]), balance, &draw(1), |_| None),
            None
        );
        assert_eq!(choose(&table(&[]), balance, &draw(1), |_| WELL), None);
    }
}

#[test]
fn the_share_of_one_that_is_gone_is_spread_over_the_others_by_weight() {
    for balance in ALL {
        let counts = counts(&[4, 1, 3], balance, |at| WELL.filter(|_| at != 0));
        assert!(
            about(counts[1], 0.25) && about(counts[2], 0.75),
            "{balance:?}: {counts:?}"
        );
    }
}

#[test]
fn turns_are_kept_exactly() {
    let table = table(&[3, 1]);
    let taken: Vec<_> = (0..8)
        .map(|turn| {
            let draw = Draw { turn, ..draw(turn) };
            choose(&table, Balance::RoundRobin, &draw, |_| WELL).expect("one")
        })
        .collect();
    assert_eq!(taken, [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn the_less_loaded_of_two_is_taken_in_relation_to_its_weight() {
    let loads = |loads: [u64; 2]| {
        move |at: usize| {
            Some(Look {
                rank: 0_u8,
                load: loads[at],
            })
        }
    };
    let least = Balance::LeastInflight;
    assert_eq!(counts(&[1, 1], least, loads([7, 0])), [0, MANY]);
    assert_eq!(counts(&[1, 1], least, loads([0, 1])), [MANY, 0]);
    assert_eq!(counts(&[3, 1], least, loads([5, 2])), [MANY, 0]);
    assert_eq!(counts(&[3, 1], least, loads([7, 2])), [0, MANY]);
    // As much for its weight as the other: by weight.
    assert!(about(counts(&[3, 1], least, loads([6, 2]))[0], 0.75));
    assert_eq!(counts(&[1_000, 1], least, loads([u64::MAX, 9])), [0, MANY]);
}

#[test]
fn of_many_the_most_loaded_is_never_taken() {
    let look = |at: usize| {
        Some(Look {
            rank: 0_u8,
            load: at as u64,
        })
    };
    let counts = counts(&[1; 64], Balance::LeastInflight, look);
    assert_eq!(counts[63], 0);
    assert!(
        counts[..32].iter().sum::<usize>() > MANY * 7 / 10,
        "{counts:?}"
    );
}

#[test]
fn one_that_dies_moves_only_its_own_sessions_and_gets_them_back() {
    for weights in [vec![1; 4], vec![1, 2, 3, 4], vec![5; 64]] {
        let table = table(&weights);
        let dead = weights.len() / 2;
        let at = |number: usize, look: &dyn Fn(usize) -> Option<Look<u8>>| {
            choose(&table, Balance::Affinity, &draw(number), look).expect("one")
        };
        for number in 0..2_000 {
            let home = at(number, &|_| WELL);
            for gone in [None, EJECTED] {
                let meanwhile = at(number, &|at| if at == dead { gone } else { WELL });
                assert_ne!(meanwhile, dead);
                assert!(home == dead || meanwhile == home, "moved for nothing");
            }
            assert_eq!(at(number, &|_| WELL), home);
        }
    }
}

#[test]
fn a_new_one_takes_sessions_and_moves_none_between_the_others() {
    let (before, after) = (table(&[1; 4]), table(&[1; 5]));
    let mut moved = 0;
    for number in 0..MANY {
        let home = choose(&before, Balance::Affinity, &draw(number), |_| WELL);
        let now = choose(&after, Balance::Affinity, &draw(number), |_| WELL);
        assert!(now == home || now == Some(4));
        moved += usize::from(now != home);
    }
    assert!(about(moved, 0.2), "{moved}");
}

#[test]
fn a_session_belongs_to_a_name_and_not_to_a_place_in_the_list() {
    let names = ["a", "b", "c", "d"];
    let table = |names: &[&'static str]| Table::new(names.iter().copied().map(|name| (name, 1)));
    let (before, after) = (table(&names), table(&["d", "b", "a", "c"]));
    for number in 0..1_000 {
        let home = choose(&before, Balance::Affinity, &draw(number), |_| WELL).expect("one");
        let now = choose(&after, Balance::Affinity, &draw(number), |_| WELL).expect("one");
        assert_eq!(names[home], ["d", "b", "a", "c"][now]);
    }
}

#[test]
fn more_than_fit_the_stack_are_chosen_from_as_well() {
    for balance in ALL {
        let counts = counts(&[1; 300], balance, |_| WELL);
        assert!(counts.iter().all(|count| *count > 50), "{balance:?}");
    }
}
