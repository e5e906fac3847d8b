//! The process as the kernel sees it, under the names that every Prometheus client library uses for it. Read from
//! `/proc` at each scrape; where there is none the families are left out.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::proto::MetricType;

use super::Metrics;

/// Clock ticks a second in `/proc/PID/stat`: 100 on every Linux (`USER_HZ` is part of the kernel's interface).
const TICKS: f64 = 100.0;

/// Adds the families to `metrics`.
pub(super) fn register(metrics: &Metrics) -> prometheus::Result<()> {
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs_f64());
    metrics.pulled(
        "process_start_time_seconds",
        "Unix time, in seconds, at which the process started.",
        MetricType::GAUGE,
        move || started,
    )?;
    metrics.pulled(
        "process_cpu_seconds_total",
        "Seconds of processor time, user and system.",
        MetricType::COUNTER,
        cpu_seconds,
    )?;
    metrics.pulled(
        "process_resident_memory_bytes",
        "Bytes of resident memory.",
        MetricType::GAUGE,
        resident_bytes,
    )?;
    metrics.pulled(
        "process_open_fds",
        "Open file descriptors.",
        MetricType::GAUGE,
        open_files,
    )?;
    metrics.pulled(
        "process_max_fds",
        "File descriptors that may be open.",
        MetricType::GAUGE,
        max_files,
    )
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, with anything in it. `utime` and `stime` are 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS)
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024.0)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder that is being read.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

fn max_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        assert!(cpu_seconds().is_some_and(|seconds| (0.0..1e9).contains(&seconds)));
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000.0));
        assert!(open_files().is_some_and(|files| files >= 1.0));
        assert!(max_files().is_none_or(|files| files >= 1.0));
    }

    #[test]
    fn open_files_are_seen() {
        let files: Vec<_> = (0..200)
            .map(|_| fs::File::open("/proc/self/stat").expect("opens"))
            .collect();
        assert!(open_files().is_some_and(|open| open >= 200.0));
        drop(files);
    }
}
