//! The tables that people read, and the JSON that keeps every number.

pub mod cases;
pub mod credit;
pub mod failover;
pub mod streams;
pub mod swaps;

use std::fs;

use crate::process::Pins;

/// Processor, kernel, cores and load: without them a number says nothing.
pub fn machine(pins: Option<Pins>) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let bound = pins.map_or("nothing bound to a core".to_owned(), |pins| {
        format!(
            "proxies on core {}, harness on core {}",
            pins.proxy, pins.harness
        )
    });
    format!(
        "{model}, {cores} cores, Linux {}, load average {load}; {bound}",
        kernel.trim()
    )
}
