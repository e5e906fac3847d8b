//! CPU time and latency of the cases, each beside the bare proxy's.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::measure::{Measured, Turn};
use crate::stats::{Spread, quantile, spread};
use crate::subject::Kind;

/// The table of one case.
pub fn table(measured: &Measured) -> String {
    let mut text = format!("\n{}\n", measured.case.title);
    let _ = writeln!(
        text,
        "  {:<8} {:>12} {:>10} {:>8} {:>22} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "",
        "CPU s/1,000",
        "lowest",
        "kernel %",
        "to bare (low..high)",
        "per s",
        "p50 us",
        "p99 us",
        "added p50",
        "added p99"
    );
    for kind in [Kind::Direct].into_iter().chain(Kind::PROXIES) {
        if let Some(summary) = Summary::of(measured, kind) {
            text.push_str(&summary.line(kind));
        }
    }
    let gateways = [Kind::Gateway, Kind::NoRows].into_iter();
    text.extend(gateways.filter_map(|kind| beside_bare(measured, kind)));
    text
}

/// A gateway beside the bare proxy, if both took part: the bar, and the added latency.
fn beside_bare(measured: &Measured, kind: Kind) -> Option<String> {
    let gateway = Summary::of(measured, kind)?;
    let bare = Summary::of(measured, Kind::Bare)?;
    let ratio = gateway.to_bare?.median;
    let verdict = measured.case.bar.map_or(String::new(), |bar| {
        let met = if ratio <= bar { "met" } else { "not met" };
        format!(" (bar {bar:.2}: {met})")
    });
    Some(format!(
        "  {} to bare: CPU {ratio:.3}{verdict}, lowest to lowest {:.3}; added p50 {:.2}, added p99 {:.2}\n",
        kind.name(),
        gateway.cpu.lowest / bare.cpu.lowest,
        gateway.added_p50 / bare.added_p50,
        gateway.added_p99 / bare.added_p99
    ))
}

/// Medians over the rounds. Times in microseconds.
struct Summary {
    /// Seconds of CPU time for 1,000 requests or events.
    cpu: Spread,
    /// Part of the CPU time that was the kernel's, in per cent.
    kernel: f64,
    /// Of the CPU times of one round.
    to_bare: Option<Spread>,
    per_second: f64,
    p50: f64,
    p99: f64,
    added_p50: f64,
    added_p99: f64,
}

impl Summary {
    /// `None` if the subject took no part.
    fn of(measured: &Measured, kind: Kind) -> Option<Summary> {
        let turns: Vec<(&Turn, &[Turn])> = measured
            .rounds
            .iter()
            .filter_map(|round| Some((turn_of(round, kind)?, round.as_slice())))
            .collect();
        let median = |of: &dyn Fn(&Turn, &[Turn]) -> f64| {
            spread(turns.iter().map(|(turn, round)| of(turn, round))).map(|spread| spread.median)
        };
        let ratios = turns.iter().filter_map(|(turn, round)| {
            let bare = turn_of(round, Kind::Bare)?;
            (kind != Kind::Direct).then(|| cpu_per_1000(turn) / cpu_per_1000(bare))
        });
        let added = |turn: &Turn, round: &[Turn], part| {
            let direct =
                turn_of(round, Kind::Direct).map_or(0.0, |direct| microseconds(direct, part));
            microseconds(turn, part) - direct
        };
        Some(Summary {
            cpu: spread(turns.iter().map(|(turn, _)| cpu_per_1000(turn)))?,
            kernel: median(&|turn, _| kernel_percent(turn))?,
            to_bare: spread(ratios),
            per_second: median(&|turn, _| f64::from(turn.units) / turn.elapsed.as_secs_f64())?,
            p50: median(&|turn, _| microseconds(turn, 0.5))?,
            p99: median(&|turn, _| microseconds(turn, 0.99))?,
            added_p50: median(&|turn, round| added(turn, round, 0.5))?,
            added_p99: median(&|turn, round| added(turn, round, 0.99))?,
        })
    }

    fn line(&self, kind: Kind) -> String {
        let name = kind.name();
        if kind == Kind::Direct {
            return format!(
                "  {name:<8} {:>12} {:>10} {:>8} {:>22} {:>10} {:>10.0} {:>10.0}\n",
                "", "", "", "", "", self.p50, self.p99
            );
        }
        let ratio = self.to_bare.map_or(String::new(), |ratio| {
            format!(
                "{:.3} ({:.3}..{:.3})",
                ratio.median, ratio.lowest, ratio.highest
            )
        });
        format!(
            "  {name:<8} {:>12.4} {:>10.4} {:>8.0} {ratio:>22} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>10.0}\n",
            self.cpu.median,
            self.cpu.lowest,
            self.kernel,
            self.per_second,
            self.p50,
            self.p99,
            self.added_p50,
            self.added_p99
        )
    }
}

fn turn_of(round: &[Turn], kind: Kind) -> Option<&Turn> {
    round.iter().find(|turn| turn.kind == kind)
}

/// Seconds of CPU time for 1,000 requests or events.
fn cpu_per_1000(turn: &Turn) -> f64 {
    turn.cpu.total().as_secs_f64() * 1000.0 / f64::from(turn.units)
}

fn kernel_percent(turn: &Turn) -> f64 {
    100.0 * turn.cpu.kernel.as_secs_f64() / turn.cpu.total().as_secs_f64()
}

fn microseconds(turn: &Turn, part: f64) -> f64 {
    quantile(&turn.latencies, part).as_secs_f64() * 1e6
}

/// Every number of every round.
pub fn json(machine: &str, measured: &[Measured]) -> Value {
    let turn = |turn: &Turn| {
        json!({
            "subject": turn.kind.name(),
            "user_seconds": turn.cpu.user.as_secs_f64(),
            "kernel_seconds": turn.cpu.kernel.as_secs_f64(),
            "units": turn.units,
            "elapsed_seconds": turn.elapsed.as_secs_f64(),
            "cpu_seconds_per_1000": cpu_per_1000(turn),
            "p50_microseconds": microseconds(turn, 0.5),
            "p99_microseconds": microseconds(turn, 0.99),
        })
    };
    let case = |measured: &Measured| {
        let rounds: Vec<Vec<Value>> = measured
            .rounds
            .iter()
            .map(|round| round.iter().map(turn).collect())
            .collect();
        json!({ "case": measured.case.name, "bar": measured.case.bar, "rounds": rounds })
    };
    json!({ "machine": machine, "cases": measured.iter().map(case).collect::<Vec<_>>() })
}
