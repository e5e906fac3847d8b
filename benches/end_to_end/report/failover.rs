//! Requests with and without a failover.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::failover::{Measured, Round, Turn};
use crate::stats::{quantile, spread};

/// Seconds of CPU time for a thousand requests.
fn cpu(turn: &Turn) -> f64 {
    turn.cpu.total().as_secs_f64() * 1e3 / f64::from(turn.requests)
}

fn micros(turn: &Turn, part: f64) -> f64 {
    quantile(&turn.latencies, part).as_secs_f64() * 1e6
}

/// The table.
pub fn table(measured: &[Measured]) -> String {
    let mut text = String::from(
        "\nthe first candidate answers well, and: it fails, and the second one does\n",
    );
    for Measured { body, rounds } in measured {
        let middle = |of: &dyn Fn(&Round) -> f64| spread(rounds.iter().map(of));
        let plain = middle(&|round| cpu(&round.plain));
        let failing = middle(&|round| cpu(&round.failing));
        let ratio = middle(&|round| cpu(&round.failing) / cpu(&round.plain));
        let added = middle(&|round| micros(&round.failing, 0.5) - micros(&round.plain, 0.5));
        if let (Some(plain), Some(failing), Some(ratio), Some(added)) =
            (plain, failing, ratio, added)
        {
            let _ = writeln!(
                text,
                "  {body:>8} bytes: CPU s/1,000 {:.4} and {:.4}, ratio {:.2} ({:.2} to {:.2}); {:.0} us more at p50",
                plain.median,
                failing.median,
                ratio.median,
                ratio.lowest,
                ratio.highest,
                added.median,
            );
        }
    }
    text
}

/// Every number of every round.
pub fn json(machine: &str, measured: &[Measured]) -> Value {
    let turn = |turn: &Turn| {
        json!({
            "requests": turn.requests,
            "cpu_seconds": turn.cpu.total().as_secs_f64(),
            "p50_microseconds": micros(turn, 0.5),
            "p99_microseconds": micros(turn, 0.99),
        })
    };
    let sizes: Vec<Value> = measured
        .iter()
        .map(|Measured { body, rounds }| {
            let rounds: Vec<Value> = rounds
                .iter()
                .map(|round| json!({"plain": turn(&round.plain), "failing": turn(&round.failing)}))
                .collect();
            json!({"body": body, "rounds": rounds})
        })
        .collect();
    json!({"machine": machine, "sizes": sizes})
}
