//! The command line of the benchmark.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::subject::Kind;

pub const USAGE: &str = "\
Measures the gateway beside a bare Pingora proxy and beside nginx.

    cargo bench --bench end_to_end -- [OPTIONS]

    --quick            one short round: shows that it runs, its numbers mean little
    --rounds N         rounds, in each of which every proxy has its turn (default 9)
    --only NAME        only the cases whose name begins so (may be repeated)
    --without NAME     leave out gateway, no-rows, bare or nginx (may be repeated)
    --connections N    requests at one time, in place of each case's own number, which its bar is for
    --streams N        instead of the cases: N streams at once through each proxy
    --events N         events of each of these streams (default 100)
    --interval-ms N    time between two events of such a stream (default 100)
    --drowsy           let the harness sleep where it has nothing to do
    --unpinned         leave it to the kernel on which core each thread runs
    --swaps N          instead of the cases: N swaps of the catalog a second beside requests, for 30 s
    --models N         models that the catalog has then beside the shipped ones (default none)
    --failover         instead of the cases: what it costs when the first candidate fails
    --credit           instead of the cases: charged requests beside those on a customer's own key, an upstream that takes
                       50 ms, and as many charged requests as two cores serve
    --gateway FILE     another gateway binary
    --bare FILE        another binary for the bare proxy, called as this one calls itself
    --nginx-gathers-bodies   nginx with `proxy_request_buffering on`
    --json FILE        also write every number of every round to FILE
";

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    pub quick: bool,
    pub rounds: u32,
    /// Beginnings of the names of the cases wanted; empty: all.
    pub only: Vec<String>,
    pub without: Vec<Kind>,
    /// Requests at one time, in place of a case's own.
    pub connections: Option<u32>,
    /// Streams at once, where that is what is measured.
    pub streams: Option<u32>,
    pub events: u32,
    pub interval: Duration,
    /// Whether the harness may sleep.
    pub drowsy: bool,
    /// Whether no process is bound to a core.
    pub unpinned: bool,
    /// Swaps of the catalog a second, where they are what is measured.
    pub swaps: Option<u32>,
    pub models: u32,
    /// Whether a failover is what is measured.
    pub failover: bool,
    /// Whether it is what charging costs.
    pub credit: bool,
    pub gateway: Option<OsString>,
    pub bare: Option<OsString>,
    pub nginx_gathers_bodies: bool,
    pub json: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            quick: false,
            rounds: 9,
            only: Vec::new(),
            without: Vec::new(),
            connections: None,
            streams: None,
            events: 100,
            interval: Duration::from_millis(100),
            drowsy: false,
            unpinned: false,
            swaps: None,
            models: 0,
            failover: false,
            credit: false,
            gateway: None,
            bare: None,
            nginx_gathers_bodies: false,
            json: None,
        }
    }
}

impl Options {
    /// Reads the arguments after the program's name; an error is for the user to read.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                // `cargo bench` says which kind of target it runs.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--rounds" => options.rounds = number(&value()?)?,
                "--only" => options.only.push(value()?),
                "--without" => options.without.push(kind(&value()?)?),
                "--connections" => options.connections = Some(number(&value()?)?),
                "--streams" => options.streams = Some(number(&value()?)?),
                "--events" => options.events = number(&value()?)?,
                "--interval-ms" => {
                    options.interval = Duration::from_millis(number(&value()?)?.into());
                }
                "--drowsy" => options.drowsy = true,
                "--unpinned" => options.unpinned = true,
                "--swaps" => options.swaps = Some(number(&value()?)?),
                "--failover" => options.failover = true,
                "--credit" => options.credit = true,
                "--models" => options.models = number(&value()?)?,
                "--gateway" => options.gateway = Some(value()?.into()),
                "--bare" => options.bare = Some(value()?.into()),
                "--nginx-gathers-bodies" => options.nginx_gathers_bodies = true,
                "--json" => options.json = Some(value()?.into()),
                _ => return Err(format!("{argument} is no option\n\n{USAGE}")),
            }
        }
        if options.quick {
            options.rounds = 1;
        }
        Ok(options)
    }

    pub fn wants_case(&self, name: &str) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|beginning| name.starts_with(beginning.as_str()))
    }

    /// The proxies wanted, in the order of their turns.
    pub fn proxies(&self) -> Vec<Kind> {
        Kind::PROXIES
            .into_iter()
            .filter(|kind| !self.without.contains(kind))
            .collect()
    }
}

/// All numbers here are counts of at least one.
fn number(value: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{value} is no number above 0"))
}

fn kind(value: &str) -> Result<Kind, String> {
    let found = Kind::PROXIES.into_iter().find(|kind| kind.name() == value);
    found.ok_or_else(|| format!("{value} is none of gateway, no-rows, bare and nginx"))
}
