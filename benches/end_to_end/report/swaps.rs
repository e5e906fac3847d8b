//! Requests with and without swaps beside them.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::stats::{quantile, spread};
use crate::swaps::{Round, Swaps, Turn};

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

fn micros(turn: &Turn, part: f64) -> f64 {
    quantile(&turn.latencies, part).as_secs_f64() * 1e6
}

/// What the gateway adds to this quantile in a round, without swaps and with them.
fn added(round: &Round, part: f64) -> [f64; 2] {
    let direct = micros(&round.direct, part);
    [&round.quiet, &round.swapping].map(|turn| micros(turn, part) - direct)
}

/// The table.
pub fn table(swaps: Swaps, rounds: &[Round]) -> String {
    let requests = |turn: fn(&Round) -> &Turn| {
        let each = rounds.iter().map(|round| turn(round).latencies.len());
        each.sum::<usize>()
    };
    let made: u32 = rounds.iter().map(|round| round.swapping.swaps).sum();
    let mut text = format!(
        "\n{made} swaps, {} a second, {} models beside the shipped ones; {} requests without them and {} with, none failed\n",
        swaps.rate,
        swaps.models,
        requests(|round| &round.quiet),
        requests(|round| &round.swapping),
    );
    for part in QUANTILES {
        let middle = |at: usize| spread(rounds.iter().map(|round| added(round, part)[at]));
        let ratio = spread(rounds.iter().map(|round| {
            let [quiet, swapping] = added(round, part);
            swapping / quiet
        }));
        if let (Some(quiet), Some(swapping), Some(ratio)) = (middle(0), middle(1), ratio) {
            let _ = writeln!(
                text,
                "  added p{:<5} {:>8.0} us quiet  {:>8.0} us swapping  ratio {:.2} ({:.2} to {:.2})",
                part * 100.0,
                quiet.median,
                swapping.median,
                ratio.median,
                ratio.lowest,
                ratio.highest,
            );
        }
    }
    let cpu = |turn: fn(&Round) -> &Turn| {
        let each = rounds.iter().map(|round| turn(round).cpu.total());
        each.sum::<std::time::Duration>().as_secs_f64()
    };
    let (quiet, swapping) = (cpu(|round| &round.quiet), cpu(|round| &round.swapping));
    let _ = writeln!(
        text,
        "  CPU {quiet:.2} s quiet, {swapping:.2} s swapping: {:.2} ms a swap",
        (swapping - quiet) * 1e3 / f64::from(made.max(1)),
    );
    let memory: Vec<String> = rounds
        .iter()
        .map(|round| format!("{:.1}", round.swapping.resident as f64 / 1024.0))
        .collect();
    let first = rounds.first().map_or(0, |round| round.quiet.resident);
    let _ = writeln!(
        text,
        "  resident MiB: {:.1} before the first swap of the rounds, then {} after each",
        first as f64 / 1024.0,
        memory.join(", "),
    );
    text
}

/// Every number of every round.
pub fn json(machine: &str, swaps: Swaps, rounds: &[Round]) -> Value {
    let turn = |turn: &Turn| {
        let latencies: Vec<Value> = QUANTILES
            .iter()
            .map(|&part| json!([part, micros(turn, part)]))
            .collect();
        json!({
            "requests": turn.latencies.len(),
            "latency_microseconds": latencies,
            "cpu_seconds": turn.cpu.total().as_secs_f64(),
            "swaps": turn.swaps,
            "resident_kib": turn.resident,
        })
    };
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|round| {
            json!({
                "direct": turn(&round.direct),
                "quiet": turn(&round.quiet),
                "swapping": turn(&round.swapping),
            })
        })
        .collect();
    json!({"machine": machine, "rate": swaps.rate, "models": swaps.models, "rounds": rounds})
}
