//! Amounts as providers write them: with as many decimals as they like, some with an exponent.

use crate::money::Credits;

/// Decimals that are kept while amounts are added up; further ones are cut off.
const DECIMALS: i32 = 18;

/// An amount of dollars, in 10⁻¹⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

impl Amount {
    /// Reads `12.50`, `-3`, `0.003835980000000000000000000000`, `1.2e-05`; `shift` is the power of ten by which it is
    /// too large (2 for cents). `None` where it is no number, or too large to be added up.
    #[must_use]
    pub fn read(text: &str, shift: i32) -> Option<Self> {
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().ok()?;
        let (sign, number) = match number.strip_prefix('-') {
            Some(number) => (-1, number),
            None => (1, number),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let decimals = i32::try_from(fraction.len()).ok()?;
        let places = DECIMALS
            .checked_add(exponent)?
            .checked_sub(decimals)?
            .checked_sub(shift)?;
        let digits = match usize::try_from(places) {
            // Twice what an `i128` holds: whatever is longer is too large, or nothing but zeros.
            Ok(zeros) => format!("{digits}{}", "0".repeat(zeros.min(80))),
            Err(_) => {
                let dropped = usize::try_from(places.unsigned_abs()).ok()?;
                digits
                    .get(..digits.len().saturating_sub(dropped))?
                    .to_owned()
            }
        };
        let digits = digits.trim_start_matches('0');
        let amount: i128 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        // So that a million of them can be added up.
        let bound = i128::MAX / 1_000_000;
        (amount <= bound).then_some(Self(sign * amount))
    }

    /// The sum, which does not go beyond what can be kept.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// In nano-dollars, rounded to the nearest; at the most what [`Credits`] can be.
    #[must_use]
    pub fn credits(self) -> Credits {
        const NANO: i128 = 1_000_000_000;
        let nanos = (self.0 + self.0.signum() * NANO / 2) / NANO;
        let most = i128::from(i64::MAX);
        Credits::from_nanos(i64::try_from(nanos.clamp(-most, most)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_digit_by_digit() {
        for (text, shift, nanos) in [
            ("12.50", 0, 12_500_000_000),
            ("-3", 0, -3_000_000_000),
            ("0.003835980000000000000000000000", 0, 3_835_980),
            ("0.0000000004", 0, 0),
            ("0.0000000005", 0, 1),
            ("-0.0000000005", 0, -1),
            ("1.2e-05", 0, 12_000),
            ("1E3", 0, 1_000_000_000_000),
            ("123.45", 2, 1_234_500_000),
            ("0", 2, 0),
            ("0.00000000000000000000000000000000000000000000000001", 0, 0),
            ("1e-300", 0, 0),
        ] {
            let amount = Amount::read(text, shift).map(|amount| amount.credits().nanos());
            assert_eq!(amount, Some(nanos), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            ".5",
            "1.2.3",
            "1,5",
            "$1",
            "NaN",
            "1e",
            "1e99999999999",
            "1e300",
            "--1",
            "+1",
            "999999999999999999999999999999",
        ] {
            assert_eq!(Amount::read(text, 0), None, "{text}");
        }
    }

    #[test]
    fn small_parts_add_up() {
        let part = Amount::read("0.0000000003", 0).expect("an amount");
        let sum = (0..10).fold(Amount::default(), |sum, _| sum.plus(part));
        assert_eq!(sum.credits().nanos(), 3);
    }
}
