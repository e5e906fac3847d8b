//! `GET /tollgate/v1/credit`: what the caller's account has, and what its access key may use of it still. From memory:
//! right at the moment that it is told, and nothing is waited for.

use http::Method;
use pingora_proxy::Session;
use serde::Serialize;

use super::Gateway;
use super::admit::{self, Next};
use super::body::Unread;
use super::context::RequestContext;
use super::request_answer::store_unavailable;
use crate::access::limits::LimitsEntry;
use crate::ledger::{Spent, Standing, State};
use crate::money::Credits;
use crate::statement::account::Pays;
use crate::statement::time::Time;

/// An account's credit. Amounts are decimal dollars.
#[derive(Serialize)]
struct Credit<'a> {
    account: &'a str,
    billing: Pays,
    /// How far below zero the balance may go; null: it is prepaid, or has no limit.
    limit: Option<Credits>,
    balance: Credits,
    held: Credits,
    /// What can be used still; null: without end.
    available: Option<Credits>,
    /// When something of the balance expires.
    next_expiry: Option<Time>,
    key: Key,
}

/// What the access key may use. Null where there is no limit.
#[derive(Serialize)]
struct Key {
    id: String,
    spend_day: Option<Cap>,
    spend_month: Option<Cap>,
    /// The most that one request may cost.
    max_cost: Option<Credits>,
}

/// What may be charged in a time.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Cap {
    cap: Credits,
    /// What was charged and is held.
    used: Credits,
    left: Credits,
    /// When the next time begins.
    resets: Time,
}

impl Cap {
    fn of(cap: Option<Credits>, (used, resets): (Credits, i64)) -> Option<Self> {
        let cap = cap?;
        let left = cap.nanos().saturating_sub(used.nanos()).max(0);
        Some(Self {
            cap,
            used,
            left: Credits::from_nanos(left),
            resets: Time(resets),
        })
    }
}

impl Key {
    fn new(id: String, limits: &LimitsEntry, spent: &Spent) -> Self {
        Self {
            id,
            spend_day: Cap::of(limits.spend_day, spent.day),
            spend_month: Cap::of(limits.spend_month, spent.month),
            max_cost: limits.max_cost,
        }
    }
}

impl<'a> Credit<'a> {
    fn new(account: &'a str, standing: &Standing, next_expiry: Option<i64>, key: Key) -> Self {
        let (billing, limit) = Pays::of(standing.billing);
        Self {
            account,
            billing,
            limit,
            balance: standing.balance,
            held: standing.held,
            available: standing.available,
            next_expiry: next_expiry.map(Time),
            key,
        }
    }
}

impl Gateway {
    /// Answers `GET /tollgate/v1/credit`.
    pub(super) async fn credit(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Next, Unread> {
        admit::allow(session, &[Method::GET, Method::HEAD])?;
        self.identify(session, ctx, None)?;
        let Some(caller) = ctx.caller.clone() else {
            return Err(Unread::Gone);
        };
        let account = caller.account.id;
        self.ledger.ready().await;
        let standing = self.ledger.standing(account);
        // What another process has changed is not seen while the store fails, or is that process's.
        let Some(standing) = standing.filter(|_| self.ledger.state() == State::Up) else {
            return Err(store_unavailable().into());
        };
        let spent = self.ledger.spent(caller.key_id);
        let key = Key::new(caller.key_id.to_string(), caller.policy.limits(), &spent);
        let expiry = self.ledger.next_expiry(account);
        let told = Credit::new(&caller.account.name, &standing, expiry, key);
        self.tell(session, ctx, &told).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_cap_is_not_below_zero() {
        let amount = |text: &str| text.parse::<Credits>().unwrap();
        let of = |used: &str| Cap::of(Some(amount("10")), (amount(used), 7)).unwrap();
        let expected = |used: &str, left: &str| Cap {
            cap: amount("10"),
            used: amount(used),
            left: amount(left),
            resets: Time(7),
        };
        assert_eq!(of("0"), expected("0", "10"));
        assert_eq!(of("9.5"), expected("9.5", "0.5"));
        assert_eq!(of("10.5"), expected("10.5", "0"));
        assert_eq!(Cap::of(None, (amount("1"), 7)), None);
    }
}
