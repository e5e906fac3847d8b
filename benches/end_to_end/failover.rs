//! What one failover costs: the same requests at one gateway, where the first candidate answers well, and where it
//! answers with a failure that is kept from the client, and the second one answers well.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::load::{self, Load};
use crate::options::Options;
use crate::process::Cpu;
use crate::request::{self, ModelAt};
use crate::subject::{Kind, Stage, Subject};
use crate::upstream::{Answer, Received, Upstream};

/// The longest that one run may take.
const RUN_MAX: Duration = Duration::from_mins(2);

/// Virtual models: the good provider alone, and behind the failing one.
const PLAIN: &str = "bench-plain";
const BEHIND: &str = "bench-behind-failing";

/// Bytes of a body, connections, requests under load, and requests one by one.
const SIZES: [(usize, u32, u32, u32); 3] = [
    (1024, 16, 20_000, 1_000),
    (100 * 1024, 8, 6_000, 500),
    (1_000_000, 4, 1_000, 150),
];

/// Requests of one kind.
pub struct Turn {
    pub cpu: Cpu,
    pub requests: u32,
    /// Nanoseconds, ascending, of requests one by one.
    pub latencies: Vec<u64>,
}

/// One after the other, so that a slow minute of the machine falls on both.
pub struct Round {
    pub plain: Turn,
    pub failing: Turn,
}

/// The rounds of one size of bodies, in bytes.
pub struct Measured {
    pub body: usize,
    pub rounds: Vec<Round>,
}

pub async fn sizes(
    options: &Options,
    upstream: &Upstream,
    stage: &Stage<'_>,
    progress: impl Fn(&str),
) -> io::Result<Vec<Measured>> {
    let failing = Upstream::start().await?;
    failing.set_answer(Answer::Failure);
    upstream.set_answer(Answer::Json);
    write_catalog(stage, failing.address())?;
    progress("starting gateway");
    let (gateway, keys) = stage.start(Kind::Gateway).await?;
    let lab = Lab {
        gateway,
        key: keys.map(|keys| keys.own).unwrap_or_default(),
        good: upstream,
        failing: &failing,
    };
    let mut measured = Vec::new();
    for (body, connections, requests, alone) in SIZES {
        let part = if options.quick { 10 } else { 1 };
        let mut rounds = Vec::new();
        for round in 1..=options.rounds {
            progress(&format!(
                "{body} bytes: round {round} of {}",
                options.rounds
            ));
            let work = Work {
                body,
                connections,
                requests: requests / part,
                alone: alone / part,
            };
            rounds.push(Round {
                plain: lab.turn(work, PLAIN, 0).await?,
                failing: lab.turn(work, BEHIND, 1).await?,
            });
        }
        measured.push(Measured { body, rounds });
    }
    Ok(measured)
}

/// The failing provider wants no key and has no price: an account without credit goes there, too.
fn write_catalog(stage: &Stage<'_>, failing: SocketAddr) -> io::Result<()> {
    let folder = stage.folder.join("catalog");
    fs::create_dir_all(&folder)?;
    let provider = format!(
        r#"{{"provider":"failing","preset":"ollama","base_url":"http://{failing}/v1",
            "models":{{"gpt-4o-mini":{{"kind":"chat"}}}}}}"#
    );
    fs::write(folder.join("failing.json"), provider)?;
    let names = format!(
        r#"{{"virtual_models":{{"{PLAIN}":["openai:gpt-4o-mini"],
            "{BEHIND}":["failing:gpt-4o-mini","openai:gpt-4o-mini"]}}}}"#
    );
    fs::write(folder.join("names.json"), names)
}

#[derive(Clone, Copy)]
struct Work {
    body: usize,
    connections: u32,
    requests: u32,
    alone: u32,
}

struct Lab<'a> {
    gateway: Subject,
    key: String,
    good: &'a Upstream,
    failing: &'a Upstream,
}

impl Lab<'_> {
    /// Asks for `model`, for which the failing provider is asked `failures` times a request.
    async fn turn(&self, work: Work, model: &str, failures: u64) -> io::Result<Turn> {
        let turn = timeout(RUN_MAX, self.ask(work, model, failures)).await;
        turn.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn ask(&self, work: Work, model: &str, failures: u64) -> io::Result<Turn> {
        let body = request::body_for(model, work.body, ModelAt::Last, false);
        let request = request::request(self.gateway.address, &self.key, &body);
        let alone = Load {
            target: self.gateway.address,
            request,
            piece: work.body * 2,
            connections: 1,
            requests: work.alone,
        };
        let loaded = Load {
            connections: work.connections,
            requests: work.requests,
            ..alone.clone()
        };
        let warming_up = Load {
            requests: work.requests / 20,
            ..loaded.clone()
        };
        let before = (self.good.received(), self.failing.received());
        load::run(&warming_up).await?;
        let cpu = self.gateway.cpu()?;
        load::run(&loaded).await?;
        let cpu = self.gateway.cpu()?.since(cpu);
        let latencies = load::run(&alone).await?.latencies;
        let sent = u64::from(warming_up.requests + loaded.requests + alone.requests);
        check("good", before.0, self.good.received(), sent)?;
        check(
            "failing",
            before.1,
            self.failing.received(),
            sent * failures,
        )?;
        Ok(Turn {
            cpu,
            requests: work.requests,
            latencies,
        })
    }
}

/// Each request must have reached each provider as often as it should, or something else was measured.
fn check(name: &str, before: Received, after: Received, expected: u64) -> io::Result<()> {
    let requests = after.requests - before.requests;
    if requests == expected {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the {name} provider got {requests} requests, not {expected}"
    )))
}
