//! Tests of the gateway as its users see it: the real program, between real clients and fake providers, on loopback.
//! One file a feature; the toolkit is in `support`.

#![allow(
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
