//! The gateway beside a bare Pingora proxy and beside nginx: same mock upstream, same load, turn by
//! turn. `benches/README.md` says what is measured, how, and where the time goes.
//!
//! Mock upstream and load generator run in this process, on one thread and one core; each proxy is
//! a child of it on another core. All traffic stays on the loopback. The bare proxy is this program
//! itself, called with `bare LISTEN UPSTREAM THREADS`.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts far below 2^52, for people to read"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index made from a part of a length"
)]

mod awake;
mod bare;
mod cases;
mod credit;
mod events;
mod failover;
mod gateway;
mod http1;
mod load;
mod many_streams;
mod measure;
mod nginx;
mod options;
mod process;
mod report;
mod request;
mod stats;
mod subject;
mod swaps;
mod upstream;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use options::{Options, USAGE};
use process::Pins;
use subject::Stage;
use swaps::Swaps;
use tokio::signal::unix::{SignalKind, signal};
use upstream::{Stream, Upstream};

/// The gateway's own allocator, set up as there: the bare proxy must not differ in it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Jemalloc looks for this name at its start.
#[expect(unsafe_code, reason = "a name is given to a constant")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &std::ffi::CStr = tollgate::server::ALLOCATOR;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bare", listen, upstream, threads] => return run_bare(listen, upstream, threads),
        [.., "--help"] => {
            let _ = io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let options = Options::parse(arguments.into_iter());
    match options
        .map_err(io::Error::other)
        .and_then(|options| run(&options))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("end_to_end: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run_bare(listen: &str, upstream: &str, threads: &str) -> ExitCode {
    match (listen.parse(), upstream.parse(), threads.parse()) {
        (Ok(listen), Ok(upstream), Ok(threads)) => bare::run(listen, upstream, threads),
        _ => ExitCode::FAILURE,
    }
}

/// One thread for everything, the main thread: see [`process::Process::start`].
fn run(options: &Options) -> io::Result<()> {
    let pins = if options.unpinned {
        None
    } else {
        Pins::detect()
    };
    if let Some(pins) = pins {
        pins.bind_harness()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        // Whatever comes first: what the measurement holds, its children above all, is dropped.
        tokio::select! {
            result = measure(options, pins) => result,
            _ = tokio::signal::ctrl_c() => Err(io::ErrorKind::Interrupted.into()),
            _ = terminated.recv() => Err(io::ErrorKind::Interrupted.into()),
        }
    })
}

async fn measure(options: &Options, pins: Option<Pins>) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let stage = Stage {
        options,
        folder: folder.path(),
        upstream: upstream.address(),
        pins,
        threads: 1,
    };
    let machine = report::machine(pins);
    let mut text = format!("{machine}\n");
    let json = if let Some(streams) = options.streams {
        let stream = Stream {
            events: options.events,
            interval: options.interval,
            streams,
        };
        let turns = many_streams::turns(options, stream, &upstream, &stage, progress).await?;
        text.push_str(&report::streams::table(stream, &turns));
        report::streams::json(&machine, stream, &turns)
    } else if let Some(rate) = options.swaps {
        let swaps = Swaps {
            rate,
            models: options.models,
        };
        let rounds = swaps::rounds(options, swaps, &upstream, &stage, progress).await?;
        text.push_str(&report::swaps::table(swaps, &rounds));
        report::swaps::json(&machine, swaps, &rounds)
    } else if options.credit {
        let measured = credit::measure(options, &upstream, &stage, progress).await?;
        text.push_str(&report::credit::table(&measured));
        report::credit::json(&machine, &measured)
    } else if options.failover {
        let measured = failover::sizes(options, &upstream, &stage, progress).await?;
        text.push_str(&report::failover::table(&measured));
        report::failover::json(&machine, &measured)
    } else {
        let measured = measure::cases(options, &upstream, &stage, progress).await?;
        text.extend(measured.iter().map(report::cases::table));
        report::cases::json(&machine, &measured)
    };
    if let Some(path) = &options.json {
        fs::write(path, format!("{json:#}\n"))?;
    }
    io::stdout().write_all(text.as_bytes())
}

/// Tells people what is being done; results go to the standard output.
fn progress(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}
