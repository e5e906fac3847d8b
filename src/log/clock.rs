//! Time of day in log lines: RFC 3339, UTC, milliseconds. The date and second are kept, since the next line is most
//! often of the same second. The time is an argument: no clock is read here.

use jiff::Timestamp;
use jiff::tz::Offset;

/// Bytes of `2026-11-23T06:03:41`.
const SECOND_BYTES: usize = 19;

/// Writes times, and remembers the last second it wrote.
pub(super) struct Clock {
    second: i64,
    text: [u8; SECOND_BYTES],
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00",
        }
    }

    /// Appends the time `unix_ms` milliseconds after 1970 as `2026-11-23T06:03:41.250Z`.
    pub(super) fn write(&mut self, unix_ms: i64, out: &mut Vec<u8>) {
        let second = unix_ms.div_euclid(1_000);
        if second != self.second {
            self.turn_to(second);
        }
        let millisecond = unix_ms.rem_euclid(1_000);
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&[
            b'.',
            digit(millisecond / 100),
            digit(millisecond / 10),
            digit(millisecond),
            b'Z',
        ]);
    }

    /// A second that no calendar has (before the year 0, after 9999) leaves the text as it is.
    fn turn_to(&mut self, second: i64) {
        let Ok(time) = Timestamp::from_second(second) else {
            return;
        };
        let time = Offset::UTC.to_datetime(time);
        let year = i64::from(time.year());
        if year < 0 {
            return;
        }
        self.second = second;
        for (at, power) in [1_000, 100, 10, 1].into_iter().enumerate() {
            self.text[at] = digit(year / power);
        }
        let pairs = [
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
        ];
        for (pair, at) in pairs.into_iter().zip([5, 8, 11, 14, 17]) {
            self.text[at] = digit(i64::from(pair) / 10);
            self.text[at + 1] = digit(i64::from(pair));
        }
    }
}

/// The last decimal digit of a number that is not negative.
#[inline]
pub(super) fn digit(number: i64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_library_writes_them() {
        let mut clock = Clock::new();
        let step = 37 * 3_600_000 + 61_007;
        for unix_ms in
            (0..60_000)
                .map(|n| n * step)
                .chain([0, 1, 999, 1_000, 1_001, 951_782_400_000, -1])
        {
            let mut out = Vec::new();
            clock.write(unix_ms, &mut out);
            let expected = format!(
                "{:.3}",
                Timestamp::from_millisecond(unix_ms).expect("in range")
            );
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn a_time_out_of_range_does_no_harm() {
        let mut clock = Clock::new();
        for unix_ms in [i64::MAX, i64::MIN, -99_999_999_999_999] {
            let mut out = Vec::new();
            clock.write(unix_ms, &mut out);
            assert_eq!(out.len(), SECOND_BYTES + 5);
        }
    }
}
