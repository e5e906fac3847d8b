//! Replicas of one provider behind a gateway: the ground of the tests of balance, sessions and limits. No tests.

use serde_json::{Value, json};

use crate::pair::{MODEL, good};
use crate::support::gateway::{Builder, CustomProvider, Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};

/// A provider's replicas, and a gateway before them.
pub struct Replicas {
    pub all: Vec<Upstream>,
    pub gateway: Gateway,
}

/// So many fake providers that answer well.
pub async fn upstreams(count: usize) -> Vec<Upstream> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(upstream::h1().reply(good()).start().await);
    }
    all
}

/// These replicas as the catalog has them.
pub fn endpoints(all: &[Upstream]) -> Vec<Value> {
    let endpoint = |(at, replica): (usize, &Upstream)| json!({"url": format!("{}/v1", replica.origin()), "name": format!("replica-{at}")});
    all.iter().enumerate().map(endpoint).collect()
}

/// The provider `house` with these replicas.
pub fn house(all: &[Upstream], balance: &str) -> CustomProvider {
    custom("house")
        .model(MODEL)
        .set("endpoints", endpoints(all).into())
        .set("balance", balance.into())
}

impl Replicas {
    /// So many replicas, among which requests are spread in this way.
    pub async fn start(count: usize, balance: &str) -> Self {
        Self::with(upstreams(count).await, balance, |gateway| gateway).await
    }

    /// These replicas; `configure` adds to the gateway's configuration.
    pub async fn with(
        all: Vec<Upstream>,
        balance: &str,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let builder = gateway().custom(house(&all, balance), &all[0]);
        let gateway = configure(builder).start().await;
        Self { all, gateway }
    }

    /// How many requests each replica has had.
    pub fn counts(&self) -> Vec<usize> {
        self.all.iter().map(Upstream::count).collect()
    }

    /// The replica that got the one request since `before`.
    ///
    /// # Panics
    /// When it was not one that got it, and once.
    pub fn reached(&self, before: &[usize]) -> usize {
        let more = self.counts();
        let reached: Vec<usize> = (0..more.len())
            .filter(|at| more[*at] != before[*at])
            .collect();
        assert_eq!(reached.len(), 1, "{before:?}, then {more:?}");
        reached[0]
    }
}
