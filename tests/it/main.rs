//! Tests of the gateway as its users see it: the real program, between real clients and fake providers, on loopback.
//! One file a feature; the toolkit is in `support`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why"
)]

mod bodies;
mod support;
mod panics;
mod reload;
mod shutdown;
mod setup;
mod tidy;
mod access;
mod ask;
mod errors;
mod models;
mod routing;
mod secrets;
mod upstream_request;
mod early_answer;
mod failover;
mod failover_connect;
mod failover_keys;
mod failover_lost;
mod failover_status;
mod framing;
mod h2_upstream;
mod limits;
mod pair;
mod streaming;
