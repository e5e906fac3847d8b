//! Numbers of other people's lists, kept as the text that they were written in: an amount of money passes through no
//! floating point here.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

use crate::catalog::file::Decimal;
use crate::catalog::price;

/// Digits that an exponent may move the point by: nothing that is paid has more.
const EXPONENT_MAX: i32 = 40;

/// Digits of a number at the most: a price has a dozen.
const DIGITS_MAX: usize = 60;

/// A JSON number, or a JSON string that holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number(Box<str>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(&Box::<RawValue>::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("neither a number nor a number in quotes"))
    }
}

impl Number {
    /// The number in `value`, if it is one.
    pub(super) fn of(value: &RawValue) -> Option<Self> {
        let text = value.get().trim();
        let bare = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text)
            .trim();
        parts(bare).map(|_| Self(bare.into()))
    }

    /// The price in `value`, see [`Number::price`].
    ///
    /// # Errors
    /// When it is no number, or none that a price can keep.
    pub(super) fn price_of(value: &RawValue, places: i32) -> Result<Decimal, String> {
        let number = Self::of(value).ok_or_else(|| format!("`{}` is no number", value.get()))?;
        number.price(places)
    }

    /// The number with the point moved `places` to the right, as a price is written.
    ///
    /// # Errors
    /// When it is negative, too large, or has more digits than a price can keep.
    pub(super) fn price(&self, places: i32) -> Result<Decimal, String> {
        let text = moved(&self.0, places).ok_or_else(|| format!("`{}` is no amount", self.0))?;
        let decimal = Decimal(text.into());
        price::parse(&decimal).map(|_| decimal)
    }

    /// Whether it is 0.
    pub(super) fn is_zero(&self) -> bool {
        moved(&self.0, 0).is_some_and(|text| text == "0")
    }

    /// The number as a count, if it is one.
    pub(super) fn count(&self) -> Option<u64> {
        moved(&self.0, 0)?.parse().ok()
    }
}

/// A decimal number in its parts.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let one = !whole.is_empty() || !fraction.is_empty();
    if whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    (one && digits(whole) && digits(fraction)).then_some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    })
}

/// `text` times ten to the `places`, without zeros that say nothing.
fn moved(text: &str, places: i32) -> Option<String> {
    let parts = parts(text)?;
    let places = parts.exponent.checked_add(places)?;
    if places.unsigned_abs() > EXPONENT_MAX.unsigned_abs() {
        return None;
    }
    let digits = format!("{}{}", parts.whole, parts.fraction);
    // Where the point stands among the digits; it may lie outside of them.
    let point = i32::try_from(parts.whole.len()).ok()? + places;
    let (whole, fraction) = if point <= 0 {
        let zeros = usize::try_from(-point).ok()?;
        (String::new(), format!("{}{digits}", "0".repeat(zeros)))
    } else {
        let point = usize::try_from(point).ok()?;
        let filled = format!("{digits:0<point$}");
        let (whole, fraction) = filled.split_at(point);
        (whole.to_owned(), fraction.to_owned())
    };
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let sign = if parts.negative && !(whole.is_empty() && fraction.is_empty()) {
        "-"
    } else {
        ""
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn a_price_keeps_every_digit() {
        for (written, places, price) in [
            ("1.5e-07", 6, "0.15"),
            ("2.5e-06", 6, "2.5"),
            ("1e-05", 6, "10"),
            ("0.000003", 6, "3"),
            ("\"0.00000015\"", 6, "0.15"),
            ("3e-08", 6, "0.03"),
            ("1.4999999999e-07", 6, "0.14999999999"),
            ("6E-6", 6, "6"),
            ("1.25e+1", 0, "12.5"),
            ("0", 6, "0"),
            ("-0.0", 6, "0"),
            ("0.0001", 0, "0.0001"),
            ("100", 0, "100"),
            ("007.50", 0, "7.5"),
            ("1e-12", 0, "0.000000000001"),
        ] {
            // Numbers with zeros before them are no JSON, but strings may hold them.
            let json = if written.starts_with("00") {
                format!("\"{written}\"")
            } else {
                written.to_owned()
            };
            let price_of = number(&json).price(places);
            assert_eq!(price_of, Ok(Decimal(price.into())), "{written}");
        }
    }

    #[test]
    fn what_no_price_can_keep_is_refused() {
        for (written, reason) in [
            ("-1", "negative"),
            ("\"-1\"", "negative"),
            ("1e-19", "13 decimals"),
            ("6.000000000000001e-08", "decimals"),
            ("1e30", "too large"),
            ("1e900", "no amount"),
            ("1e-99999999999", "no"),
        ] {
            let told = serde_json::from_str::<Number>(written)
                .map_err(|error| error.to_string())
                .and_then(|number| number.price(6));
            let told = told.expect_err(written);
            assert!(told.contains(reason), "{written}: {told}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for written in [
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"free\"",
            "\"1,5\"",
            "\".\"",
            "\"1.2.3\"",
        ] {
            assert!(
                serde_json::from_str::<Number>(written).is_err(),
                "{written}"
            );
        }
    }

    #[test]
    fn a_count_is_a_whole_number() {
        for (written, count) in [
            ("128000", Some(128_000)),
            ("1e6", Some(1_000_000)),
            ("200000.0", Some(200_000)),
            ("0.5", None),
            ("-1", None),
            ("\"1e-2147483648\"", None),
            ("\"1e2147483647\"", None),
        ] {
            assert_eq!(number(written).count(), count, "{written}");
        }
        assert!(number("0.0").is_zero() && number("0e5").is_zero() && !number("1e-30").is_zero());
    }

    /// The slow twin of `moved`: the point goes one digit at a time.
    fn moved_slowly(whole: &str, fraction: &str, places: i32) -> String {
        let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
        for _ in 0..places {
            if fraction.is_empty() {
                fraction.push('0');
            }
            whole.push(fraction.remove(0));
        }
        for _ in places..0 {
            if whole.is_empty() {
                whole.push('0');
            }
            fraction.insert(0, whole.pop().unwrap_or('0'));
        }
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    proptest::proptest! {
        #[test]
        fn a_moved_point_agrees_with_one_that_goes_step_by_step(
            whole in "[0-9]{1,12}", fraction in "[0-9]{0,12}", exponent in -20..20_i32, places in -6..7_i32,
        ) {
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{whole}{point}{fraction}e{exponent}");
            let slowly = moved_slowly(&whole, &fraction, exponent + places);
            proptest::prop_assert_eq!(moved(&text, places), Some(slowly), "{}", text);
        }
    }
}
