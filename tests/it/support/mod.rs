//! The toolkit of the tests: fake providers, raw clients, and the real gateway between them, all on loopback.
//! No test of the gateway is in here; `selftest` holds the tests of the toolkit itself.

#![allow(
    dead_code,
    unused_imports,
    reason = "a toolkit: a part may wait for the test that needs it"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at whole documents, so they may build trees of them"
)]

pub mod bodies;
pub mod client;
pub mod disk;
pub mod dns;
pub mod edits;
pub mod gateway;
pub mod http1;
pub mod packed;
#[cfg(test)]
mod selftest;
pub mod sha;
pub mod shim;
mod socket;
pub mod tls;
pub mod upstream;
pub mod wait;
pub mod websocket;
