//! Delays and memory of many streams at once.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::many_streams::Turn;
use crate::stats::quantile;
use crate::subject::Kind;
use crate::upstream::Stream;

const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

/// The table of many streams at once.
pub fn table(stream: Stream, turns: &[Turn]) -> String {
    let mut text = format!(
        "\n{} streams at once, {} events each, one every {} ms; every event came, in order\n  {:<8}",
        stream.streams,
        stream.events,
        stream.interval.as_millis(),
        ""
    );
    for title in [
        "p50 us",
        "p90",
        "p99",
        "p99.9",
        "max",
        "added p50",
        "added p99",
        "us CPU/event",
        "KiB/stream",
    ] {
        let _ = write!(text, " {title:>12}");
    }
    text.push('\n');
    for turn in turns {
        let _ = write!(text, "  {:<8}", turn.kind.name());
        for number in numbers_of(stream, turns, turn) {
            let _ = write!(text, " {number:>12.1}");
        }
        text.push('\n');
    }
    text
}

/// The columns of [`table`].
fn numbers_of(stream: Stream, turns: &[Turn], turn: &Turn) -> Vec<f64> {
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    let of = |turn: &Turn, part| micros(quantile(&turn.delays, part));
    let mut numbers: Vec<f64> = QUANTILES.iter().map(|&part| of(turn, part)).collect();
    if let Some(direct) = turns.iter().find(|turn| turn.kind == Kind::Direct)
        && turn.kind != Kind::Direct
    {
        numbers.extend([0.5, 0.99].map(|part| of(turn, part) - of(direct, part)));
        numbers.push(micros(turn.cpu.total()) / turn.delays.len().max(1) as f64);
        let grown = turn.resident_open.saturating_sub(turn.resident_before);
        numbers.push(grown as f64 / f64::from(stream.streams));
    }
    numbers
}

/// Every number of [`table`].
pub fn json(machine: &str, stream: Stream, turns: &[Turn]) -> Value {
    let turn = |turn: &Turn| {
        let delays: Vec<Value> = QUANTILES
            .iter()
            .map(|&part| json!([part, quantile(&turn.delays, part).as_secs_f64() * 1e6]))
            .collect();
        json!({
            "subject": turn.kind.name(),
            "delay_microseconds": delays,
            "user_seconds": turn.cpu.user.as_secs_f64(),
            "kernel_seconds": turn.cpu.kernel.as_secs_f64(),
            "resident_before_kib": turn.resident_before,
            "resident_open_kib": turn.resident_open,
        })
    };
    json!({
        "machine": machine,
        "streams": stream.streams,
        "events": stream.events,
        "interval_seconds": stream.interval.as_secs_f64(),
        "turns": turns.iter().map(turn).collect::<Vec<_>>(),
    })
}
