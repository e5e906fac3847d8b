//! Two providers of one model behind a gateway, `one` before `two`: the ground of the tests that ask what is tried next,
//! and how often each of the two was reached. No tests.

use crate::support::bodies;
use crate::support::client::{Request, Response};
use crate::support::gateway::{Builder, Gateway, Metrics, custom, gateway};
use crate::support::upstream::{self, Behaviour, Reply, Upstream, payload};

/// The model that both providers have, by the same id: no edit.
pub const MODEL: &str = "twice-served";

/// What the gateway is asked to do when an attempt fails.
pub const MODES: [&str; 3] = ["on", "safe", "off"];

/// Two providers, and a gateway before them.
pub struct Pair {
    pub first: Upstream,
    pub second: Upstream,
    pub gateway: Gateway,
}

/// How often each provider was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached(pub usize, pub usize);

/// A gateway before these two, not yet started. It ejects nobody: each attempt meets what its test says.
pub fn before(first: &Upstream, second: &Upstream) -> Builder {
    gateway()
        .config("health.passive", false)
        .custom(custom("one").model(MODEL), first)
        .custom(custom("two").model(MODEL), second)
}

/// A good answer.
pub fn good() -> Reply {
    Reply::json(200, payload::chat_json(MODEL, payload::USAGE))
}

/// An error of a provider, in the format of OpenAI.
pub fn error(status: u16) -> Reply {
    Reply::json(
        status,
        payload::openai_error("not now", "server_error", "busy"),
    )
}

/// A chat request for `MODEL` of `size` bytes (0: as small as can be), `model` first.
pub fn chat(gateway: &Gateway, size: usize) -> Request {
    gateway.post(
        "/v1/chat/completions",
        bodies::chat(MODEL).size(size).build(),
    )
}

/// The attempts that a response tells of, without their times: `one:m;server_error;status=503`.
pub fn attempts(response: &Response) -> Vec<String> {
    let told = response.header("tollgate-attempts").unwrap_or_default();
    let attempt = |text: &str| {
        let (attempt, time) = text.rsplit_once(";ms=").expect("a time");
        assert!(time.parse::<u64>().is_ok(), "milliseconds: {told}");
        attempt.to_owned()
    };
    told.split(", ")
        .filter(|text| !text.is_empty())
        .map(attempt)
        .collect()
}

/// The code of an answer of the gateway's own, in the format of OpenAI.
pub fn code(response: &Response) -> String {
    response.json()["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Waits until the gateway has no request under way and keeps no body.
pub async fn idle(gateway: &Gateway) -> Metrics {
    let nothing = |metrics: &Metrics| {
        [
            "tollgate_in_flight",
            "tollgate_streams_open",
            "tollgate_replay_bytes",
        ]
        .iter()
        .all(|name| metrics.sum(name, &[]) == 0.0)
    };
    gateway.metrics_until("an idle gateway", nothing).await
}

impl Pair {
    /// Both HTTP/1.1 and answering well; `configure` adds to the gateway's configuration.
    pub async fn start(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let first = upstream::h1().reply(good()).start().await;
        Self::with_first(first, configure).await
    }

    /// As `start`, with another first provider.
    pub async fn with_first(first: Upstream, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let second = upstream::h1().reply(good()).start().await;
        let gateway = configure(before(&first, &second)).start().await;
        Self {
            first,
            second,
            gateway,
        }
    }

    /// How often each was reached so far.
    pub fn reached(&self) -> Reached {
        Reached(self.first.count(), self.second.count())
    }

    /// Leaves a connection to the first that has been used and is free again.
    pub async fn warm(&self) {
        let response = self.gateway.send(&chat(&self.gateway, 0)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        idle(&self.gateway).await;
    }

    /// Sends a request and says how often each was reached by it.
    pub async fn send(&self, request: &Request) -> (Response, Reached) {
        let before = self.reached();
        let response = self.gateway.send(request).await;
        let after = self.reached();
        (response, Reached(after.0 - before.0, after.1 - before.1))
    }

    /// As `send`: a chat request of `size` bytes, in a mode, whose first delivery meets `fault`.
    pub async fn meet(
        &self,
        fault: impl Into<Behaviour>,
        mode: &str,
        size: usize,
    ) -> (Response, Reached) {
        self.first.push(fault);
        let request = chat(&self.gateway, size).header("tollgate-failover", mode);
        self.send(&request).await
    }
}
