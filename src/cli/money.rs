//! Amounts for people.

use crate::money::Credits;

/// Dollars with cents, and with all further decimals that there are: `12.50`, `-0.000000001`.
pub fn dollars(amount: Credits) -> String {
    /// Decimals that an amount of money has in everybody's eyes.
    const CENTS: usize = 2;
    let text = amount.to_string();
    let decimals = text
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let point = if decimals == 0 { "." } else { "" };
    format!(
        "{text}{point}{}",
        "0".repeat(CENTS.saturating_sub(decimals))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_cents_and_lose_nothing() {
        for (nanos, expected) in [
            (0, "0.00"),
            (12_500_000_000, "12.50"),
            (-3_000_000_000, "-3.00"),
            (1_234_000_000, "1.234"),
            (-1, "-0.000000001"),
        ] {
            assert_eq!(dollars(Credits::from_nanos(nanos)), expected);
        }
    }
}
