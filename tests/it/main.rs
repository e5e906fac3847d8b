//! Tests of the gateway as its users see it: the real program, between real clients and fake providers, on loopback.
//! One file a feature; the toolkit is in `support`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why"
)]

mod access;
mod addresses;
mod allocations;
mod ask;
mod attempts_seen;
mod azure;
mod balance;
mod bodies;
mod books;
mod byok;
mod byok_changes;
mod byok_master;
mod byok_secrets;
mod canaries;
mod catalog;
mod commands;
mod compressed;
mod credit;
mod credit_cap;
mod credit_endings;
mod credit_fee;
mod credit_leaving;
mod credit_store;
mod discover;
mod dns;
mod docs;
mod early_answer;
mod echoes;
mod endpoints;
mod errors;
mod every;
mod every_byte;
mod explain;
mod failover;
mod failover_connect;
mod failover_keys;
mod failover_lost;
mod failover_matrix;
mod failover_status;
mod forms;
mod framing;
mod framing_good;
mod gemini;
mod h2_refused;
mod h2_upstream;
mod header_limits;
mod headers;
mod health_active;
mod health_hurry;
mod health_passive;
mod health_seen;
mod json_surfaces;
mod key_limits;
mod keys_credit;
mod keys_health;
mod ledger;
mod limits;
mod limits_bodies;
mod logs;
mod models;
mod models_many;
mod operate;
mod otel;
mod overload;
mod own_answers;
mod own_requests;
mod pair;
mod panics;
mod passes;
mod realtime;
mod reload;
mod reload_all;
mod reload_files;
mod replay_lost;
mod replicas;
mod rollback;
mod routing;
mod safe_mode;
mod secrets;
mod segments;
mod series;
mod sessions;
mod setup;
mod shutdown;
mod state;
mod streaming;
mod streaming_broken;
mod succession;
mod support;
mod swaps;
mod talk;
mod tidy;
mod till;
mod timeouts;
mod upgrade;
mod upgrade_failed;
mod uploads_left;
mod upstream_names;
mod upstream_request;
mod usage;
mod usage_asked;
mod usage_golden;
mod watch;
mod websocket;
mod websocket_credit;
mod websocket_ends;
