//! Charged requests beside those on a customer's own key.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::credit::{Round, Turn, UPSTREAM};
use crate::stats::{quantile, spread};

/// The most that a charged request may cost, as a multiple of the CPU time of one on an own key.
const CPU_BAR: f64 = 1.3;
/// Microseconds by which it may be later at the median.
const LATE_BAR: f64 = 100.0;
/// How many a second there must be.
const RATE_BAR: f64 = 2_000.0;

/// Seconds of CPU time for a thousand requests.
fn cpu(turn: &Turn) -> f64 {
    turn.cpu.total().as_secs_f64() * 1e3 / f64::from(turn.requests)
}

fn rate(turn: &Turn) -> f64 {
    f64::from(turn.requests) / turn.elapsed.as_secs_f64()
}

fn micros(latencies: &[u64], part: f64) -> f64 {
    quantile(latencies, part).as_secs_f64() * 1e6
}

/// The table.
pub fn table(rounds: &[Round]) -> String {
    let mut text = String::from(
        "\n1 KiB on a customer's own key, and charged, the upstream takes 50 ms; median of the rounds (lowest to highest)\n",
    );
    let mut line = |what: &str, of: &dyn Fn(&Round) -> f64, digits: usize, bar: &str| {
        if let Some(found) = spread(rounds.iter().map(of)) {
            let _ = writeln!(
                text,
                "  {what:<66} {:.digits$} ({:.digits$} to {:.digits$}){bar}",
                found.median, found.lowest, found.highest,
            );
        }
    };
    line("byok-1k: CPU s/1,000", &|round| cpu(&round.own), 4, "");
    line("credit-1k: CPU s/1,000", &|round| cpu(&round.credit), 4, "");
    let bar = format!("; bar {CPU_BAR}");
    line(
        "credit-1k to byok-1k",
        &|round| cpu(&round.credit) / cpu(&round.own),
        2,
        &bar,
    );
    let late = UPSTREAM.as_millis();
    let p50 = |latencies: &[u64]| micros(latencies, 0.5);
    let what = format!("byok, upstream of {late} ms: us added at p50");
    line(
        &what,
        &|round| p50(&round.own_late) - p50(&round.direct),
        0,
        "",
    );
    let what = format!("credit, upstream of {late} ms: us added at p50");
    line(
        &what,
        &|round| p50(&round.credit_late) - p50(&round.direct),
        0,
        "",
    );
    let bar = format!("; bar {LATE_BAR}");
    line(
        "  of which by charging",
        &|round| p50(&round.credit_late) - p50(&round.own_late),
        0,
        &bar,
    );
    let bar = format!("; bar {RATE_BAR}");
    let most = "requests a second, two cores shared with the harness";
    let what = format!("byok: {most}");
    line(&what, &|round| rate(&round.own_most), 0, "");
    let what = format!("credit: {most}");
    line(&what, &|round| rate(&round.credit_most), 0, &bar);
    let cpu_ratio = |round: &Round| cpu(&round.credit_most) / cpu(&round.own_most);
    line("  CPU, credit to byok", &cpu_ratio, 2, "");
    text
}

/// Every number of every round.
pub fn json(machine: &str, rounds: &[Round]) -> Value {
    let turn = |turn: &Turn| {
        json!({
            "requests": turn.requests,
            "seconds": turn.elapsed.as_secs_f64(),
            "cpu_seconds": turn.cpu.total().as_secs_f64(),
        })
    };
    let late = |latencies: &[u64]| {
        json!({
            "p50_microseconds": micros(latencies, 0.5),
            "p99_microseconds": micros(latencies, 0.99),
        })
    };
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|round| {
            json!({
                "byok-1k": turn(&round.own),
                "credit-1k": turn(&round.credit),
                "direct-late": late(&round.direct),
                "byok-late": late(&round.own_late),
                "credit-late": late(&round.credit_late),
                "byok-most": turn(&round.own_most),
                "credit-most": turn(&round.credit_most),
            })
        })
        .collect();
    json!({"machine": machine, "rounds": rounds})
}
