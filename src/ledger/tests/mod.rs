//! What the tests of the ledger share.

mod crashes;
mod failing;
mod kept;
mod memory;
mod succession;

use std::sync::atomic::AtomicI64;

use super::*;
use crate::credentials::Source;

/// 2027-01-15, 08:00 UTC, in Unix milliseconds.
const NOW: i64 = 1_800_000_000_000;

const DAY: i64 = 86_400_000;

const ACME: AccountId = AccountId(1);

fn dollars(text: &str) -> Credits {
    match text.strip_prefix('-') {
        Some(debt) => Credits::from_nanos(-dollars(debt).nanos()),
        None => text.parse().unwrap(),
    }
}

fn account(billing: Billing, grants: &[(i64, &str, Option<i64>)]) -> StoredAccount {
    let grant = |(id, amount, expires): &(i64, &str, Option<i64>)| StoredGrant {
        id: GrantId(*id),
        remaining: dollars(amount).nanos(),
        expires: *expires,
    };
    let grants: Vec<_> = grants.iter().map(grant).collect();
    StoredAccount {
        id: ACME,
        billing,
        closed: false,
        balance: grants.iter().map(|grant| grant.remaining).sum(),
        grants,
    }
}

fn opening(hold: &str) -> Opening {
    Opening {
        request: "req_1".into(),
        attempt: 1,
        account: ACME,
        key: "0123456789AB".parse().unwrap(),
        provider: "openai".into(),
        model: "gpt".into(),
        surface: "chat",
        credential: Source::Gateway,
        catalog: "1".into(),
        hold: dollars(hold),
        estimate: dollars(hold),
        strict: true,
    }
}

fn cost(model: &str) -> Closing {
    Closing {
        model: dollars(model),
        ..Closing::default()
    }
}

/// A clock that stands at a time until it is moved.
fn clock_at(millis: i64) -> (Clock, Arc<AtomicI64>) {
    let time = Arc::new(AtomicI64::new(millis));
    let clock = Clock::manual(Arc::clone(&time), Arc::new(AtomicI64::new(0)));
    (clock, time)
}
