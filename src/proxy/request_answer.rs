//! `GET /tollgate/v1/requests/{id}`: the attempts of one request, what each used, what it cost and why; for the account
//! that made it only. A request of another account is not told apart from one that never was.
//!
//! It reads the store, on threads of the store's own; no more than a few reads are under way at one time.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use pingora_proxy::Session;
use tokio::sync::Semaphore;

use super::Gateway;
use super::admit::{self, Next};
use super::body::Unread;
use super::context::RequestContext;
use super::id::RequestId;
use super::reject::{Code, Rejection};
use crate::access::AccountId;
use crate::ledger::Ledger;
use crate::statement::request::Request;
use crate::store::{RowState, Store, UsageRow};

/// Reads under way at one time, over all requests: the store has a handful of connections, and others need them too.
const READS_MAX: usize = 2;

/// The longest wait for one of them: a read takes less than a millisecond.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Pauses before a further look, for whoever asks as soon as its answer has come: what an attempt cost is known a moment
/// after its last byte has been sent. One that is under way still, or never was, is told after all of them.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
];

/// Reads of the store for answers to callers.
pub struct Reads {
    store: Arc<Store>,
    places: Semaphore,
}

impl Reads {
    /// Reads of `store`.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            places: Semaphore::new(READS_MAX),
        }
    }

    /// The attempts of a request, once none of them is under way; or as they are after a while.
    async fn attempts(
        &self,
        ledger: &Ledger,
        request: &str,
        account: AccountId,
    ) -> Result<Vec<UsageRow>, Rejection> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let written = ledger.all_written().await;
            let rows = self.read(request, account).await?;
            // What another process has told has ended, and is not charged yet.
            let ended = rows.iter().all(|row| row.state != RowState::Held);
            if !rows.is_empty() && ended {
                return Ok(rows);
            }
            match (written, pauses.next()) {
                // It may be one of those that wait to be written.
                (Err(_), _) if rows.is_empty() => return Err(store_unavailable()),
                (Err(_), _) | (Ok(()), None) => return Ok(rows),
                (Ok(()), Some(pause)) => tokio::time::sleep(pause).await,
            }
        }
    }

    /// The attempts of a request, as they are in the store.
    async fn read(&self, request: &str, account: AccountId) -> Result<Vec<UsageRow>, Rejection> {
        let place = tokio::time::timeout(PLACE_WAIT, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(Rejection::new(
                Code::Overloaded,
                "As many requests are looked up as may be at one time. Try again shortly.",
            ));
        };
        let rows = self.store.attempts_of(request, Some(account)).await;
        rows.map_err(|error| {
            log::error!("a request could not be looked up: {error}");
            store_unavailable()
        })
    }
}

pub(super) fn store_unavailable() -> Rejection {
    Rejection::new(
        Code::StoreUnavailable,
        "The gateway's store does not answer. Try again shortly.",
    )
}

fn unknown() -> Rejection {
    Rejection::new(
        Code::UnknownRequest,
        "Your account has made no request of this id that went to a provider. The id of a request is in \
         `Tollgate-Request-Id` of its answer.",
    )
}

impl Gateway {
    /// Answers `GET /tollgate/v1/requests/{id}`.
    pub(super) async fn request(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        id: &str,
    ) -> Result<Next, Unread> {
        admit::allow(session, &[Method::GET, Method::HEAD])?;
        self.identify(session, ctx, None)?;
        let Some(caller) = ctx.caller.clone() else {
            return Err(Unread::Gone);
        };
        if !RequestId::is_one(id) {
            return Err(unknown().into());
        }
        let account = caller.account.id;
        let rows = self.reads.attempts(&self.ledger, id, account).await?;
        let told = Request::of(rows).ok_or_else(unknown)?;
        self.tell(session, ctx, &told).await
    }

    /// Answers with `told` as JSON.
    pub(super) async fn tell(
        &self,
        session: &mut Session,
        ctx: &mut RequestContext,
        told: &impl serde::Serialize,
    ) -> Result<Next, Unread> {
        let text = serde_json::to_vec(told)
            .map_err(|_| Rejection::new(Code::Internal, "The answer could not be written down."))?;
        let sent = self.answer_json(session, ctx, text.into()).await;
        sent.map(|()| Next::Answered).map_err(|_| Unread::Gone)
    }
}
