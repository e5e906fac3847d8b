//! The ground of the tests of credit: a provider whose model has a price, an account that pays beforehand, and the books
//! as the store has them. No tests.

use std::time::Duration;

use tollgate::money::Credits;
use tollgate::store::{AccountDetails, RowId, RowState, Store, UsageRow, Used};

use crate::pair::MODEL;
use crate::support::bodies;
use crate::support::client::{Request, Response};
use crate::support::gateway::{Builder, CustomProvider, Gateway, custom, gateway};
use crate::support::tls::Authority;
use crate::support::upstream::payload::{self, Usage};
use crate::support::upstream::{self, Reply, Upstream};
use crate::support::wait;

/// What the provider says was used, where nothing else is said.
pub const USAGE: Usage = Usage {
    input: 31,
    output: 17,
};

/// Nano-dollars a token: the model costs $1 and $2 for a million.
pub const INPUT: i64 = 1_000;
pub const OUTPUT: i64 = 2_000;

/// What [`USAGE`] costs.
pub const COST: i64 = 31 * INPUT + 17 * OUTPUT;

/// What the account is granted.
pub const GRANT: &str = "10";

/// A provider, a gateway before it, and what that has written down.
pub struct Till {
    pub upstream: Upstream,
    pub gateway: Gateway,
    pub store: Store,
    pub authority: Authority,
}

pub fn nanos(nanos: i64) -> Credits {
    Credits::from_nanos(nanos)
}

/// A provider that tells its usage where it is asked, on every surface.
pub fn provider(id: &str) -> CustomProvider {
    let surfaces = serde_json::json!({
        "chat": {"path": "/chat/completions", "include_usage": true},
        "completions": {"path": "/completions"},
        "responses": {"path": "/responses"},
        "embeddings": {"path": "/embeddings"},
        "messages": {"path": "/messages"},
        "count_tokens": {"path": "/messages/count_tokens"},
    });
    custom(id).model(MODEL).set("surfaces", surfaces)
}

impl Till {
    pub async fn new() -> Self {
        Self::with(upstream::h1(), |gateway| gateway).await
    }

    /// Over this upstream; `configure` adds to the gateway's configuration.
    pub async fn with(
        upstream: upstream::Builder,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let authority = Authority::new();
        Self::behind(authority, upstream, |_| provider("one"), configure).await
    }

    pub async fn behind(
        authority: Authority,
        upstream: upstream::Builder,
        provider: impl FnOnce(&Upstream) -> CustomProvider,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let answer = Reply::json(200, payload::chat_json(MODEL, USAGE));
        let upstream = upstream.reply(answer).start().await;
        let gateway = gateway()
            .config("health.passive", false)
            .config("credit.unpriced", "refuse")
            .prepaid("default", GRANT)
            .trust(&authority)
            .custom(provider(&upstream), &upstream);
        let gateway = configure(gateway);
        let file = gateway.store_file();
        let gateway = gateway.start().await;
        let store = Store::open_file(&file).await.expect("the store");
        Self {
            upstream,
            gateway,
            store,
            authority,
        }
    }

    /// A chat request.
    pub fn chat(&self) -> Request {
        self.post(&bodies::chat(MODEL))
    }

    /// A chat request for a stream.
    pub fn stream(&self) -> Request {
        self.post(&bodies::chat(MODEL).member("stream", "true"))
    }

    pub fn post(&self, body: &bodies::Body) -> Request {
        self.gateway.post("/v1/chat/completions", body.build())
    }

    pub async fn send(&self, request: &Request) -> Response {
        self.gateway.send(request).await
    }

    /// All rows, in order, once there are `count` and none is open.
    pub async fn rows(&self, count: usize) -> Vec<UsageRow> {
        let what = format!("{count} rows that have ended");
        let seen = async {
            loop {
                let page = self
                    .store
                    .usage_page(&Used::default(), RowId(0), 1_000)
                    .await;
                let rows = page.expect("rows");
                let is_open = |row: &UsageRow| row.state == RowState::Held;
                if rows.len() >= count && !rows.iter().any(is_open) {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let rows = wait::within(&what, seen).await;
        assert_eq!(rows.len(), count, "{rows:?}");
        rows
    }

    /// The only row, once it has ended.
    pub async fn row(&self) -> UsageRow {
        self.rows(1).await.remove(0)
    }

    /// The account of the access key named `test`.
    pub async fn account(&self) -> AccountDetails {
        let account = self.store.account_named("default").await;
        account.expect("an account")
    }

    /// The books agree with the rows, nothing is held, and the account has been charged so much.
    pub async fn is_charged(&self, spent: i64) {
        let checked = self.store.check().await.expect("a look at the books");
        assert_eq!(checked.faults, Vec::<String>::new());
        let account = self.account().await;
        let granted: Credits = GRANT.parse().expect("an amount");
        assert_eq!(account.held, Credits::ZERO);
        assert_eq!(
            account.balance,
            granted.checked_sub(nanos(spent)).expect("a balance")
        );
    }
}
