//! What the ledger costs: CPU time and waiting of a request that is held and settled, and of one that is only written
//! down, on the disk of the working directory, at a rate of requests that each last 50 ms.
//!
//!     cargo bench --bench ledger -- [--rate 2000] [--seconds 5] [--folder DIR]
//!
//! The CPU time of the same loop without a ledger is taken off.

#![allow(missing_docs, reason = "a benchmark")]

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tollgate::access::AccountId;
use tollgate::credentials::Source;
use tollgate::ledger::{Caps, Clock, Closing, Commit, Ledger, Opening, Settings, WAIT_MAX};
use tollgate::money::Credits;
use tollgate::store::{Billing, Store};

/// How long an upstream takes.
const UPSTREAM: Duration = Duration::from_millis(50);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let options = Options::parse(env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let out = &mut io::stdout();
    let idle = runtime.block_on(measure(&options, Kind::Nothing))?;
    for (name, kind) in [
        ("written down", Kind::Record),
        ("held, settled", Kind::Hold),
    ] {
        let found = runtime.block_on(measure(&options, kind))?;
        writeln!(
            out,
            "{name:13} {:5.0} requests/s: {:5.1} us of CPU each; {:5.0} commits/s of {:4.1} rows, {:.2} ms; \
             on the disk after {:.2} ms p50, {:.2} ms p99",
            found.rate,
            (found.cpu - idle.cpu) * 1e6,
            found.commits,
            found.rows,
            found.commit * 1e3,
            found.median * 1e3,
            found.slow * 1e3,
        )?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Record,
    Hold,
}

struct Found {
    rate: f64,
    /// Seconds a request.
    cpu: f64,
    /// A second.
    commits: f64,
    /// A commit.
    rows: f64,
    /// Seconds.
    commit: f64,
    median: f64,
    slow: f64,
}

#[derive(Default)]
struct Commits {
    count: AtomicU64,
    rows: AtomicU64,
    nanos: AtomicU64,
}

async fn measure(options: &Options, kind: Kind) -> Outcome<Found> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let store = Store::open(folder.path()).await?;
    let billing = Billing::Postpaid { limit: None };
    let account = store.create_account_billed("bench", billing, 1).await?.id;
    let commits = Arc::new(Commits::default());
    let counting = Arc::clone(&commits);
    let observe = move |commit: Commit| {
        let nanos = u64::try_from(commit.took.as_nanos()).unwrap_or(u64::MAX);
        counting.count.fetch_add(1, Ordering::Relaxed);
        counting
            .rows
            .fetch_add(commit.rows as u64, Ordering::Relaxed);
        counting.nanos.fetch_add(nanos, Ordering::Relaxed);
    };
    let (ledger, writer) =
        Ledger::open(store.file(), Settings::default(), Clock::system(), observe)?;

    let (began, before) = (Instant::now(), cpu()?);
    let total = options.rate * options.seconds;
    let mut asked = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for number in 0..total {
        while (began.elapsed().as_secs_f64() * options.rate as f64) < number as f64 {
            tick.tick().await;
        }
        let ledger = Arc::clone(&ledger);
        asked.push(tokio::spawn(request(
            ledger,
            kind,
            opening(account, number),
        )));
    }
    let mut waits = Vec::new();
    for one in asked {
        waits.push(one.await?.as_secs_f64());
    }
    ledger.all_written().await?;
    let (elapsed, used) = (began.elapsed().as_secs_f64(), cpu()? - before);
    if !writer.finish(WAIT_MAX) {
        return Err("it does not end".into());
    }
    waits.sort_unstable_by(f64::total_cmp);
    let count = commits.count.load(Ordering::Relaxed) as f64;
    Ok(Found {
        rate: total as f64 / elapsed,
        cpu: used / total as f64,
        commits: count / elapsed,
        rows: commits.rows.load(Ordering::Relaxed) as f64 / count,
        commit: commits.nanos.load(Ordering::Relaxed) as f64 / count / 1e9,
        median: waits[waits.len() / 2],
        slow: waits[waits.len() * 99 / 100],
    })
}

/// Returns how long the hold took to be on the disk.
async fn request(ledger: Arc<Ledger>, kind: Kind, opening: Opening) -> Duration {
    let started = ledger.now();
    let closing = Closing {
        model: Credits::from_nanos(123_456),
        outcome: "success",
        status: Some(200),
        upstream_id: Some("chatcmpl-0123456789abcdefghij".into()),
        ..Closing::default()
    };
    if kind != Kind::Hold {
        tokio::time::sleep(UPSTREAM).await;
        if kind == Kind::Record {
            ledger.record(
                opening,
                started,
                Closing {
                    model: Credits::ZERO,
                    ..closing
                },
            );
        }
        return Duration::ZERO;
    }
    let Ok(hold) = ledger.hold(opening, &Caps::default()) else {
        return Duration::MAX;
    };
    let began = Instant::now();
    let waited = async {
        match hold.durable().await {
            Ok(()) => began.elapsed(),
            Err(_) => Duration::MAX,
        }
    };
    let (waited, ()) = tokio::join!(waited, tokio::time::sleep(UPSTREAM));
    hold.settle(closing);
    waited
}

fn opening(account: AccountId, number: u64) -> Opening {
    Opening {
        request: format!("req_01k0{number:022}").into(),
        attempt: 1,
        account,
        key: "0123456789AB".parse().unwrap_or_else(|_| unreachable!()),
        provider: "openai".into(),
        model: "gpt-4o-mini-2024-07-18".into(),
        surface: "chat",
        credential: Source::Gateway,
        catalog: "0123456789ab".into(),
        hold: Credits::from_nanos(1_000_000),
        estimate: Credits::from_nanos(500_000),
        strict: true,
    }
}

/// Seconds of CPU time of this process, in steps of 10 ms.
fn cpu() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(ticks as f64 / 100.0)
}

struct Options {
    rate: u64,
    seconds: u64,
    folder: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            rate: 2_000,
            seconds: 5,
            folder: PathBuf::from("."),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or("a value is missing");
            match argument.as_str() {
                "--rate" => options.rate = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--folder" => options.folder = value()?.into(),
                // What cargo itself adds.
                "--bench" => {}
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        Ok(options)
    }
}
