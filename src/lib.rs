//! Tollgate: an AI gateway that a team runs itself, at its own network edge.
//!
//! A request travels client → access key → model → candidates → credentials → upstream → metrics.
//! The modules stand in that order: it is the order to read in.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests look at whole documents, and may wait"
    )
)]

// Flags, subcommands and exit codes.
pub mod cli;

// `tollgate dev`: everything on this machine.
pub mod dev;

// `tollgate.toml` as written → as checked.
pub mod config;

// Assembly: listeners, services, background tasks, shutdown.
pub mod server;

// The HTTP side: one short method a phase.
pub mod proxy;

// Pages of other origins, and what their browsers are told.
pub mod cors;

// Connections between their requests, and when a process that leaves closes them.
pub mod kept;

// The table of API shapes.
pub mod surface;

// Access key → caller, and what the caller may use.
pub mod access;

// The model's name in a body, and its replacement.
pub mod model;

// Providers, models, prices; immutable once built.
#[allow(
    clippy::disallowed_methods,
    reason = "its files are read when they are loaded, not by requests"
)]
pub mod catalog;

// Long work in steps, between which requests go first.
mod give_way;

// The catalog made ready for requests, as one value that a reload replaces.
pub mod live;

// Candidates in order, and what follows a failure.
pub mod routing;

// What proves to a provider who pays.
pub mod credentials;

// Provider keys of accounts: sealed for the store, opened for requests.
pub mod byok;

// Tables that requests are looked up in.
pub mod table;

// A provider's endpoints, addresses and connections.
pub mod upstream;

// What a request used, read from its answer.
pub mod usage;

// What requests cost: tokens × price → credits.
pub mod money;

// What accounts have, what is held of it, what they were charged.
pub mod ledger;

// Providers that list their models themselves.
pub mod discover;

// The embedded store: accounts and access keys.
pub mod store;

// Why a request goes where it goes, as a record.
pub mod explain;

// Every Prometheus family.
pub mod metrics;

// The process's log and the access log.
pub mod log;

// Traces and measures for an OpenTelemetry collector.
pub mod otel;

// What accounts have, used and were charged, in the forms that people and programs are shown.
pub mod statement;

// The operator's listener.
#[allow(
    clippy::disallowed_methods,
    reason = "an operator's few requests are read whole, within bounds; they are not those of the public listeners"
)]
pub mod admin;

// A provider that answers with what it was asked.
pub mod echo;

// References to secrets, and secrets that do not print.
pub mod secret;

// Small files that are read whole.
mod whole;

// A value that is replaced as a whole.
pub mod snapshot;
