//! Durations and sizes as people write them: a whole number and its unit (`"3s"`, `"64MiB"`). A bare number is refused:
//! nobody can see whether `600` are seconds or milliseconds.

use std::time::Duration;

/// A unit of time and its length in milliseconds.
const TIME: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A unit of size and its length in bytes. `KB` and its kin are decimal, as disks and IEC 80000-13 have it.
const SIZE: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads `"250ms"`, `"3s"`, `"10m"`, `"1h"`, `"2d"`; `"0"` needs no unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    number_and_unit(text, TIME).map(Duration::from_millis)
}

/// Reads `"512B"`, `"64KiB"`, `"64MiB"`, `"1GiB"`, `"1MB"`; `"0"` needs no unit.
pub(super) fn size(text: &str) -> Option<u64> {
    number_and_unit(text, SIZE)
}

/// Writes a duration as [`duration`] reads it, in the largest unit that loses nothing.
pub(super) fn show_duration(value: Duration) -> String {
    let milliseconds = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    show(
        milliseconds,
        &[
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ],
    )
}

/// Writes a size as [`size`] reads it, in the largest binary unit that loses nothing.
pub(super) fn show_size(bytes: u64) -> String {
    show(
        bytes,
        &[
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
            ("B", 1),
        ],
    )
}

fn number_and_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start_matches(' ');
    if number == 0 && unit.is_empty() {
        return Some(0);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    match units.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("3s", 3_000),
            ("3 s", 3_000),
            ("10m", 600_000),
            ("10min", 600_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("7B", 7),
            ("1KiB", 1_024),
            ("64MiB", 67_108_864),
            ("64 MiB", 67_108_864),
            ("1GiB", 1 << 30),
            ("1KB", 1_000),
            ("2MB", 2_000_000),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for text in [
            "",
            "3",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1e3s",
            "3S",
            "1s ",
            " 1s",
            "1h30m",
            "3x",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        for text in [
            "",
            "64",
            "B",
            "64M",
            "64mib",
            "64Mb",
            "1.5GiB",
            "18446744073709551615GiB",
            "1 000B",
        ] {
            assert_eq!(size(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for milliseconds in [
            0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000,
        ] {
            let value = Duration::from_millis(milliseconds);
            assert_eq!(duration(&show_duration(value)), Some(value));
        }
        for bytes in [0, 1, 1_023, 1_024, 1 << 20, 3 << 30, (1 << 30) + 1] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_size(64 << 20), "64MiB");
    }
}
