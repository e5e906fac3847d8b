//! What charging costs: the same requests at one gateway on a customer's own key and charged to credit, by CPU time, and by
//! the time that they take where the upstream takes 50 ms; and how many charged requests a second two cores serve, which
//! they share with this harness.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::gateway::{self, CREDIT, Keys, OWN};
use crate::load::{self, Load};
use crate::options::Options;
use crate::process::{Cpu, Pins};
use crate::request::{self, ModelAt};
use crate::subject::{Kind, Stage, Subject};
use crate::upstream::{Answer, Received, Upstream};

/// The longest that one run may take.
const RUN_MAX: Duration = Duration::from_mins(2);

/// How long until everything is written down.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of a body.
const BODY: usize = 1024;

/// How long the upstream takes, where it takes a while.
pub const UPSTREAM: Duration = Duration::from_millis(50);

/// Requests one by one at such an upstream.
const LATE: u32 = 200;

/// Connections, each of which waits for the upstream nearly all of the time: some 2,400 requests a second, whatever one
/// costs. So both kinds come at the same rate, and find the caches equally warm; and the requests, some eight seconds of them.
const CONNECTIONS: u32 = 128;
const REQUESTS: u32 = 20_000;

/// The same where as much is asked as is served.
const CONNECTIONS_MOST: u32 = 512;
const REQUESTS_MOST: u32 = 40_000;

/// Requests under load.
pub struct Turn {
    pub cpu: Cpu,
    pub requests: u32,
    pub elapsed: Duration,
}

/// One after the other, so that a slow minute of the machine falls on all. Latencies in nanoseconds, ascending.
pub struct Round {
    pub own: Turn,
    pub credit: Turn,
    /// Of requests one by one to an upstream that takes [`UPSTREAM`]: without a proxy, on an own key, charged.
    pub direct: Vec<u64>,
    pub own_late: Vec<u64>,
    pub credit_late: Vec<u64>,
    /// As many as two cores serve.
    pub own_most: Turn,
    pub credit_most: Turn,
}

pub async fn measure(
    options: &Options,
    upstream: &Upstream,
    stage: &Stage<'_>,
    progress: impl Fn(&str),
) -> io::Result<Vec<Round>> {
    progress("starting two gateways, of one and of two threads");
    let one = Lab::start(stage, upstream).await?;
    let folder = stage.folder.join("two");
    fs::create_dir_all(&folder)?;
    let shared = Stage {
        folder: &folder,
        pins: stage.pins.map(|pins| Pins {
            shared: true,
            ..pins
        }),
        threads: 2,
        ..*stage
    };
    let two = Lab::start(&shared, upstream).await?;
    let direct = stage.direct();
    let part = if options.quick { 10 } else { 1 };
    let (requests, requests_most) = (REQUESTS / part, REQUESTS_MOST / part);
    let late = LATE / part;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        progress(&format!("round {round} of {}", options.rounds));
        upstream.set_answer(late_by(false));
        let own = one.loaded(&one.keys.own, (CONNECTIONS, requests)).await?;
        let credit = one
            .loaded(&one.keys.credit, (CONNECTIONS, requests))
            .await?;
        upstream.set_answer(late_by(true));
        let direct = one.alone(&direct, &one.keys.own, late).await?;
        let own_late = one.alone(&one.gateway, &one.keys.own, late).await?;
        let credit_late = one.alone(&one.gateway, &one.keys.credit, late).await?;
        upstream.set_answer(late_by(false));
        let most = (CONNECTIONS_MOST, requests_most);
        let own_most = two.loaded(&two.keys.own, most).await?;
        let credit_most = two.loaded(&two.keys.credit, most).await?;
        rounds.push(Round {
            own,
            credit,
            direct,
            own_late,
            credit_late,
            own_most,
            credit_most,
        });
    }
    let warming_up = |requests: u32| u64::from(requests / 20 + requests);
    let count = u64::from(options.rounds);
    let alone = u64::from(late + warm_up(late));
    for account in [OWN, CREDIT] {
        let expected = count * (warming_up(requests) + alone);
        one.is_written(stage, account, expected).await?;
        let expected = count * warming_up(requests_most);
        two.is_written(&shared, account, expected).await?;
    }
    Ok(rounds)
}

fn late_by(exactly: bool) -> Answer {
    Answer::Late {
        after: UPSTREAM,
        exactly,
    }
}

/// Requests one by one before those that count.
fn warm_up(requests: u32) -> u32 {
    requests / 20 + 1
}

/// A gateway with its keys.
struct Lab<'a> {
    gateway: Subject,
    keys: Keys,
    upstream: &'a Upstream,
}

impl<'a> Lab<'a> {
    async fn start(stage: &Stage<'_>, upstream: &'a Upstream) -> io::Result<Self> {
        let (gateway, keys) = stage.start(Kind::Gateway).await?;
        Ok(Self {
            gateway,
            keys: keys.ok_or(io::ErrorKind::NotFound)?,
            upstream,
        })
    }

    /// So many connections with so many requests.
    async fn loaded(&self, key: &str, (connections, requests): (u32, u32)) -> io::Result<Turn> {
        let load = Load {
            connections,
            requests,
            ..self.load(&self.gateway, key)
        };
        let warming_up = Load {
            requests: requests / 20,
            ..load.clone()
        };
        let before = self.upstream.received();
        self.run(&warming_up).await?;
        let cpu = self.gateway.cpu()?;
        let run = self.run(&load).await?;
        let cpu = self.gateway.cpu()?.since(cpu);
        self.has_received(before, warming_up.requests + requests)?;
        Ok(Turn {
            cpu,
            requests,
            elapsed: run.elapsed,
        })
    }

    /// Requests one by one.
    async fn alone(&self, subject: &Subject, key: &str, requests: u32) -> io::Result<Vec<u64>> {
        let load = Load {
            requests,
            ..self.load(subject, key)
        };
        let warming_up = Load {
            requests: warm_up(requests),
            ..load.clone()
        };
        let before = self.upstream.received();
        self.run(&warming_up).await?;
        let run = self.run(&load).await?;
        self.has_received(before, warming_up.requests + requests)?;
        Ok(run.latencies)
    }

    fn load(&self, subject: &Subject, key: &str) -> Load {
        let body = request::body(BODY, ModelAt::Last, false);
        Load {
            target: subject.address,
            request: request::request(subject.address, key, &body),
            piece: usize::MAX,
            connections: 1,
            requests: 1,
        }
    }

    async fn run(&self, load: &Load) -> io::Result<load::Run> {
        let run = timeout(RUN_MAX, load::run(load)).await;
        run.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Each request must have reached the upstream, or something else was measured.
    fn has_received(&self, before: Received, sent: u32) -> io::Result<()> {
        let received = self.upstream.received().requests - before.requests;
        if received == u64::from(sent) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the upstream got {received} requests, not {sent}"
        )))
    }

    /// Each must be in the store, with what the upstream told of it; and those on the gateway's key must have cost something,
    /// the others nothing.
    async fn is_written(&self, stage: &Stage<'_>, account: &str, expected: u64) -> io::Result<()> {
        let program = stage.gateway_program();
        let config = stage.folder.join(gateway::CONFIG);
        let end = Instant::now() + WRITTEN_WITHIN;
        loop {
            let (attempts, cost) = gateway::written(Path::new(&program), &config, account)?;
            let charged = cost != "0";
            if attempts == expected && charged == (account == CREDIT) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::Error::other(format!(
                    "{account} has {attempts} attempts in the store, not {expected}, for {cost}"
                )));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
