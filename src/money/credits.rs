//! Money of accounts: whole nano-dollars, checked at every step.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::{Serialize, Serializer};

/// Digits after the point that an amount may have: what one nano-dollar is.
const DECIMALS: usize = 9;

/// Nano-dollars of a dollar.
const DOLLAR: i64 = 1_000_000_000;

/// An amount of money in 10⁻⁹ US dollars, from −9,223,372,036.854775808 to 9,223,372,036.854775807 dollars. Below zero it
/// is a debt, or a correction; what people type in is never below zero. Written as a decimal number of dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// Why a text is no amount; it says what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAnAmount {
    /// No decimal number.
    NotANumber,
    /// Below zero.
    Negative,
    /// More decimals than can be kept.
    TooFine,
    /// More than can be kept.
    TooLarge,
}

impl fmt::Display for NotAnAmount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => out.write_str(
                "not an amount; write dollars as digits and at most one point, such as 12.50",
            ),
            Self::Negative => out.write_str("an amount is not below zero"),
            Self::TooFine => write!(
                out,
                "too many decimals; an amount has at most {DECIMALS} (nano-dollars)"
            ),
            Self::TooLarge => write!(out, "too large; the most is {}", Credits::MAX),
        }
    }
}

impl std::error::Error for NotAnAmount {}

impl Credits {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that can be kept.
    pub const MAX: Self = Self(i64::MAX);

    /// So many nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The sum; `None` where it cannot be kept.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The difference; `None` where it cannot be kept.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl FromStr for Credits {
    type Err = NotAnAmount;

    /// Reads what people type in: dollars, such as `12.50`.
    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(rest) = whole.strip_prefix('-')
            && digits(rest)
            && digits(fraction)
        {
            return Err(NotAnAmount::Negative);
        }
        if !digits(whole) || !digits(fraction) {
            return Err(NotAnAmount::NotANumber);
        }
        if fraction.len() > DECIMALS {
            return Err(NotAnAmount::TooFine);
        }
        let nanos = format!("{whole}{fraction:0<DECIMALS$}").parse();
        nanos.map(Self).map_err(|_| NotAnAmount::TooLarge)
    }
}

/// Dollars, exact, without zeros at the end: `12.5`, `-0.000000001`.
impl fmt::Display for Credits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, nanos) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, rest) = (nanos / DOLLAR.unsigned_abs(), nanos % DOLLAR.unsigned_abs());
        let text = format!("{sign}{whole}.{rest:09}");
        out.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// As a decimal string, so that no reader makes a binary fraction of it.
impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Credits;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an amount of dollars as a string, such as \"12.50\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Credits, E> {
                text.parse().map_err(E::custom)
            }
        }

        from.deserialize_str(Text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<i64, NotAnAmount> {
        text.parse::<Credits>().map(Credits::nanos)
    }

    #[test]
    fn an_amount_keeps_every_digit() {
        let table = [
            ("0", 0),
            ("12.50", 12_500_000_000),
            ("12.5", 12_500_000_000),
            ("0.000000001", 1),
            ("007", 7_000_000_000),
            ("9223372036.854775807", i64::MAX),
        ];
        for (text, nanos) in table {
            assert_eq!(read(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_reason() {
        use NotAnAmount::{Negative, NotANumber, TooFine, TooLarge};
        let table = [
            ("", NotANumber),
            (".5", NotANumber),
            ("1.", NotANumber),
            ("1e3", NotANumber),
            ("1.2.3", NotANumber),
            ("+1", NotANumber),
            (" 1", NotANumber),
            ("$1", NotANumber),
            ("1,5", NotANumber),
            ("NaN", NotANumber),
            ("-", NotANumber),
            ("--1", NotANumber),
            ("١", NotANumber),
            ("-1", Negative),
            ("-0", Negative),
            ("-0.01", Negative),
            ("0.0000000001", TooFine),
            ("1.0000000000", TooFine),
            ("9223372036.854775808", TooLarge),
            ("99999999999999999999999999", TooLarge),
        ];
        for (text, reason) in table {
            assert_eq!(read(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn it_is_shown_without_zeros_at_its_end() {
        let table = [
            (0, "0"),
            (1, "0.000000001"),
            (-1, "-0.000000001"),
            (12_500_000_000, "12.5"),
            (100_000_000_000, "100"),
            (-100_000_000_000, "-100"),
            (i64::MAX, "9223372036.854775807"),
            (i64::MIN, "-9223372036.854775808"),
        ];
        for (nanos, text) in table {
            assert_eq!(Credits::from_nanos(nanos).to_string(), text);
        }
        assert_eq!(format!("{:>6}", Credits::from_nanos(DOLLAR)), "     1");
    }

    #[test]
    fn in_json_it_is_a_string() {
        let amount = Credits::from_nanos(1_250_000_000);
        assert_eq!(serde_json::to_string(&amount).unwrap(), "\"1.25\"");
        let read = |text| serde_json::from_str::<Credits>(text);
        assert_eq!(read("\"1.25\"").unwrap(), amount);
        for text in ["1.25", "null", "\"-1\"", "\"1.2345678901\"", "{}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sums_that_cannot_be_kept_are_none() {
        let one = Credits::from_nanos(1);
        assert_eq!(Credits::MAX.checked_add(one), None);
        assert_eq!(Credits::from_nanos(i64::MIN).checked_sub(one), None);
        assert_eq!(one.checked_sub(one), Some(Credits::ZERO));
        assert!(Credits::ZERO.checked_sub(one).unwrap().is_negative());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(nanos in 0..=i64::MAX) {
            let amount = Credits::from_nanos(nanos);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }
}
