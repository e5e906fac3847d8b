//! What it costs to choose an endpoint: among 1, 8 and 64, by each algorithm, all well, and with half of them ejected.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::upstream::choose::{Balance, Draw, Look, Table, choose};
use tollgate::upstream::hash;

const COUNTS: [usize; 3] = [1, 8, 64];

const ALL: [(&str, Balance); 3] = [
    ("round_robin", Balance::RoundRobin),
    ("least_inflight", Balance::LeastInflight),
    ("affinity", Balance::Affinity),
];

fn table(count: usize) -> Table {
    let names: Vec<String> = (0..count).map(|at| format!("replica-{at}")).collect();
    let weights = (0..count).map(|at| 1 + u32::try_from(at % 3).unwrap_or(0));
    let all: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(weights).collect();
    Table::new(all.into_iter())
}

/// The draw of request `number`, as a request makes it.
fn draw(number: usize) -> Draw {
    let bits = hash::mix(number as u64);
    Draw {
        turn: number,
        affinity: bits,
        chance: hash::mix(bits),
    }
}

fn choosing(c: &mut Criterion) {
    for (what, ejected) in [("well", 0), ("half_ejected", 2)] {
        let mut group = c.benchmark_group(format!("choose/{what}"));
        for (name, balance) in ALL {
            for count in COUNTS {
                let table = table(count);
                let mut number = 0;
                group.bench_function(BenchmarkId::new(name, count), |bencher| {
                    bencher.iter(|| {
                        number += 1;
                        choose(&table, balance, &draw(number), |at| {
                            let rank = u8::from(ejected > 0 && at % ejected == 1);
                            Some(Look {
                                rank,
                                load: black_box(at as u64 % 5),
                            })
                        })
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, choosing);
criterion_main!(benches);
