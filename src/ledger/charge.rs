//! Who is charged what for an attempt, in nano-dollars.

use super::{ChargeTo, Closing};

/// A million dollars: the most that is held or charged for one attempt. No request costs a hundredth of it; what is above
/// is a mistake, and must not fill the books, which end at nine billion.
pub const CHARGE_MAX: i64 = 1_000_000 * DOLLAR;

/// Ten thousand dollars: the most that the operator bears for one attempt in the books, whatever a provider reports.
const ABSORBED_MAX: i64 = 10_000 * DOLLAR;

/// Nano-dollars.
const DOLLAR: i64 = 1_000_000_000;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// To the account, for the model.
    pub model: i64,
    /// To the account, as a fee.
    pub fee: i64,
    /// To the operator, for the model.
    pub absorbed: i64,
}

impl Charge {
    /// What `closing` says.
    pub fn of(closing: &Closing, void: bool) -> Self {
        if void {
            return Self::default();
        }
        let (model, fee) = (closing.model.nanos().max(0), closing.fee.nanos().max(0));
        match closing.charge_to {
            ChargeTo::Account => Self {
                model,
                fee,
                absorbed: 0,
            },
            ChargeTo::Operator => Self {
                absorbed: model.min(ABSORBED_MAX),
                ..Self::default()
            },
        }
    }

    /// What the account is charged.
    pub const fn total(&self) -> i64 {
        self.model.saturating_add(self.fee)
    }

    /// Brings the total down to `most`: the operator bears what the model costs above it, and goes without the rest of
    /// the fee. Says whether there was anything above.
    pub fn keep_to(&mut self, most: i64) -> bool {
        if self.total() <= most {
            return false;
        }
        self.fee = self.fee.min(most);
        let model = self.model.min(most - self.fee);
        self.absorbed = self
            .absorbed
            .saturating_add(self.model - model)
            .min(ABSORBED_MAX);
        self.model = model;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Credits;

    fn closing(model: i64, fee: i64, charge_to: ChargeTo) -> Closing {
        Closing {
            model: Credits::from_nanos(model),
            fee: Credits::from_nanos(fee),
            charge_to,
            ..Closing::default()
        }
    }

    #[test]
    fn what_is_above_a_bound_is_the_operators() {
        // model, fee, bound → model, fee, absorbed
        let table = [
            ([7, 2, 9], [7, 2, 0]),
            ([7, 2, 8], [6, 2, 1]),
            ([7, 2, 2], [0, 2, 7]),
            ([7, 2, 1], [0, 1, 7]),
            ([7, 2, 0], [0, 0, 7]),
            ([i64::MAX, i64::MAX, 5], [0, 5, ABSORBED_MAX]),
        ];
        for ([model, fee, most], expected) in table {
            let mut charge = Charge::of(&closing(model, fee, ChargeTo::Account), false);
            let bounded = charge.keep_to(most);
            let found = [charge.model, charge.fee, charge.absorbed];
            assert_eq!(found, expected, "{model} {fee} {most}");
            assert_eq!(bounded, expected != [model, fee, 0]);
        }
    }

    #[test]
    fn nothing_is_charged_for_what_is_void_and_no_fee_for_what_the_operator_bears() {
        let void = Charge::of(&closing(7, 2, ChargeTo::Account), true);
        assert_eq!(void, Charge::default());
        let borne = Charge::of(&closing(7, 2, ChargeTo::Operator), false);
        assert_eq!([borne.model, borne.fee, borne.absorbed], [0, 0, 7]);
        let negative = Charge::of(&closing(-7, -2, ChargeTo::Account), false);
        assert_eq!(negative, Charge::default());
    }
}
