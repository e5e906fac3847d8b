//! The fee of what goes on with a key that the operator does not pay for. It is not held: what nobody waits for goes on
//! while the store fails. So whoever cannot pay the least of it is not served, and an account is overdrawn by the fees of
//! the requests that it has under way at the most.

use crate::access::Caller;
use crate::ledger::{Caps, Ledger, Refused};
use crate::live::Live;
use crate::money::{Charge, Credits, Fee, fee_only};
use crate::usage::Usage;

/// # Errors
/// The caller cannot pay for it.
pub fn payable(ledger: &Ledger, live: &Live, caller: &Caller, caps: &Caps) -> Result<(), Refused> {
    if !live.terms.asks_a_fee() {
        return Ok(());
    }
    let least = least(&live.terms.rule.fee);
    ledger.affords(caller.account.id, caller.key_id, least, caps)
}

/// The least that the fee of any request comes to.
fn least(fee: &Fee) -> Credits {
    let Charge { fee, .. } = fee_only(&Usage::default(), fee).unwrap_or(Charge::ZERO);
    fee.max(Credits::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_fee_is_that_of_a_request_without_tokens_and_never_nothing() {
        let part = |text| Fee::part(text).unwrap();
        for (per_request, per_million_tokens, expected) in [
            ("0.001", "5", 1_000_000),
            ("0", "5", 1),
            ("0.000000000001", "0", 1),
        ] {
            let fee = Fee {
                per_million_tokens: part(per_million_tokens),
                per_request: part(per_request),
            };
            assert_eq!(least(&fee), Credits::from_nanos(expected));
        }
    }
}
