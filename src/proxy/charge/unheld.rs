//! Why an attempt is not made on the gateway's credential.

use std::time::Duration;

use crate::access::allowance::Levels;
use crate::ledger::{Refused, Window};
use crate::metrics::AttemptOutcome;
use crate::proxy::reject::{Code, Rejection};

/// Why an attempt is not made.
pub struct Unheld {
    /// How the attempt that was not made is told.
    pub outcome: AttemptOutcome,
    /// What the client is told if nothing else is left to try.
    pub rejection: Rejection,
}

impl Unheld {
    /// It is not served on the gateway's credential.
    pub fn of_request(rejection: Rejection) -> Self {
        Self {
            outcome: AttemptOutcome::NoCredit,
            rejection,
        }
    }

    pub fn of_limit(words: String) -> Self {
        Self {
            outcome: AttemptOutcome::NoCredit,
            rejection: Rejection::new(Code::SpendCapReached, words),
        }
    }

    /// `now` is the ledger's, in milliseconds.
    pub fn of(refused: Refused, now: i64) -> Self {
        let (outcome, code, words) = match refused {
            Refused::Insufficient { needed, available } => (
                AttemptOutcome::NoCredit,
                Code::InsufficientCredit,
                format!(
                    "The account has ${available} of credit available, and up to ${needed} would be needed. Bound the output (`max_tokens`), wait for other requests to end, or ask the operator for credit."
                ),
            ),
            Refused::CapReached { window, cap, .. } => (
                AttemptOutcome::NoCredit,
                Code::SpendCapReached,
                format!(
                    "The access key may spend ${cap} a {}, and this request could go above it.",
                    match window {
                        Window::Day => "day",
                        Window::Month => "month",
                    }
                ),
            ),
            Refused::Closed => (
                AttemptOutcome::NoCredit,
                Code::InsufficientCredit,
                "The account is closed.".to_owned(),
            ),
            Refused::StoreDown => (
                AttemptOutcome::NoStore,
                Code::StoreUnavailable,
                "The gateway cannot write down what requests cost, and sends nothing that it would have to pay for. Try again shortly."
                    .to_owned(),
            ),
        };
        let rejection = Rejection::new(code, words);
        let rejection = match refused {
            Refused::CapReached { resets, .. } => {
                let seconds = resets.saturating_sub(now.div_euclid(1_000));
                let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1));
                rejection.waiting(wait, Levels::default())
            }
            _ => rejection,
        };
        Self { outcome, rejection }
    }

    pub fn of_store() -> Self {
        Self::of(Refused::StoreDown, 0)
    }

    /// `byok_without_store = false`.
    pub fn of_rule() -> Self {
        let words = "The gateway cannot write down what is used, and by its operator's rule sends nothing meanwhile. Try again shortly.";
        Self {
            outcome: AttemptOutcome::NoStore,
            rejection: Rejection::new(Code::StoreUnavailable, words),
        }
    }
}
