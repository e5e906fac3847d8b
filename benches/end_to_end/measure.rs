//! Runs the cases: in every round each proxy has its turn, so that a slow minute of the machine
//! falls on all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::awake::Awake;
use crate::cases::{CASES, Case, Work};
use crate::gateway::Keys;
use crate::load::{self, Load, Streams};
use crate::options::Options;
use crate::process::Cpu;
use crate::request::{self, PREFIX};
use crate::subject::{Kind, Stage, Subject};
use crate::upstream::{Answer, Received, Stream, Upstream};

/// The longest that one run may take.
const RUN_MAX: Duration = Duration::from_mins(2);

/// One turn of one subject. Times in nanoseconds are ascending.
pub struct Turn {
    pub kind: Kind,
    /// CPU time of the proxy under load.
    pub cpu: Cpu,
    /// Requests or events that it was spent on.
    pub units: u32,
    pub elapsed: Duration,
    /// Latencies one by one; for streams, the delay of each event.
    pub latencies: Vec<u64>,
}

/// A case with the turns of all rounds.
pub struct Measured {
    pub case: &'static Case,
    pub rounds: Vec<Vec<Turn>>,
}

/// Measures every case wanted; `progress` is told what is being done.
pub async fn cases(
    options: &Options,
    upstream: &Upstream,
    stage: &Stage<'_>,
    progress: impl Fn(&str),
) -> io::Result<Vec<Measured>> {
    let _awake = (!options.drowsy).then(Awake::keep);
    // Who asks for no key is sent one as long.
    let nobodys = "tg-".to_owned() + &"0".repeat(60);
    let nobodys = Keys {
        own: nobodys.clone(),
        credit: nobodys,
    };
    let mut subjects = vec![(stage.direct(), nobodys.clone())];
    for kind in options.proxies() {
        progress(&format!("starting {}", kind.name()));
        let (subject, keys) = stage.start(kind).await?;
        subjects.push((subject, keys.unwrap_or_else(|| nobodys.clone())));
    }
    let mut measured = Vec::new();
    for case in CASES.iter().filter(|case| options.wants_case(case.name)) {
        let mut rounds = Vec::new();
        for round in 1..=options.rounds {
            progress(&format!(
                "{}: round {round} of {}",
                case.title, options.rounds
            ));
            let mut turns = Vec::new();
            for (subject, keys) in &subjects {
                let runner = Runner {
                    upstream,
                    subject,
                    case,
                    key: case.pays.of(keys),
                };
                let work = if options.quick {
                    case.work.quick()
                } else {
                    case.work
                };
                let work = options.connections.map_or(work, |count| work.over(count));
                let turn = timeout(RUN_MAX, runner.turn(work)).await;
                let turn = turn.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                turns.push(turn.map_err(|error| failed(subject.kind, case, &error))?);
            }
            rounds.push(turns);
        }
        measured.push(Measured { case, rounds });
    }
    Ok(measured)
}

fn failed(kind: Kind, case: &Case, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}, {}: {error}", kind.name(), case.title))
}

/// One subject, one case.
struct Runner<'a> {
    upstream: &'a Upstream,
    subject: &'a Subject,
    case: &'a Case,
    key: &'a str,
}

impl Runner<'_> {
    async fn turn(&self, work: Work) -> io::Result<Turn> {
        let streamed = matches!(work, Work::Events(_));
        let body = request::body(self.case.body, self.case.model_at, streamed);
        let request = request::request(self.subject.address, self.key, &body);
        match work {
            Work::Requests {
                connections,
                requests,
                alone,
            } => {
                self.upstream.set_answer(Answer::Json);
                self.requests(request, connections, requests, alone).await
            }
            Work::Events(stream) => {
                self.upstream.set_answer(Answer::Stream(stream));
                self.events(request, stream).await
            }
        }
    }

    async fn requests(
        &self,
        request: Bytes,
        connections: u32,
        requests: u32,
        alone: u32,
    ) -> io::Result<Turn> {
        let alone = Load {
            target: self.subject.address,
            request,
            piece: self.case.piece,
            connections: 1,
            requests: alone,
        };
        let loaded = Load {
            connections,
            requests,
            ..alone.clone()
        };
        let warming_up = Load {
            requests: requests / 20,
            ..loaded.clone()
        };
        let before = self.upstream.received();
        load::run(&warming_up).await?;
        let mut turn = Turn {
            kind: self.subject.kind,
            cpu: Cpu::default(),
            units: requests,
            elapsed: Duration::ZERO,
            latencies: Vec::new(),
        };
        let mut sent = warming_up.requests + alone.requests;
        if self.subject.kind != Kind::Direct {
            let cpu_before = self.subject.cpu()?;
            let run = load::run(&loaded).await?;
            turn.cpu = self.subject.cpu()?.since(cpu_before);
            turn.elapsed = run.elapsed;
            sent += loaded.requests;
        }
        turn.latencies = load::run(&alone).await?.latencies;
        self.check_received(before, sent)?;
        Ok(turn)
    }

    async fn events(&self, request: Bytes, stream: Stream) -> io::Result<Turn> {
        let streams = Streams {
            target: self.subject.address,
            request,
            count: stream.streams,
            events: stream.events,
            epoch: self.upstream.epoch(),
        };
        let received = self.upstream.received();
        let cpu_before = self.subject.cpu()?;
        let started = std::time::Instant::now();
        let delays = load::stream(&streams, Arc::new(AtomicU32::new(0))).await?;
        let turn = Turn {
            kind: self.subject.kind,
            cpu: self.subject.cpu()?.since(cpu_before),
            units: stream.streams * stream.events,
            elapsed: started.elapsed(),
            latencies: delays,
        };
        self.check_received(received, stream.streams)?;
        Ok(turn)
    }

    /// Every request must have reached the upstream, with every byte of its body; from the gateway,
    /// with the upstream's own name for the model.
    fn check_received(&self, before: Received, sent: u32) -> io::Result<()> {
        let spliced = if self.subject.kind.names_model() {
            PREFIX
        } else {
            0
        };
        let sent = u64::from(sent);
        let expected = Received {
            requests: before.requests + sent,
            body_bytes: before.body_bytes + sent * (self.case.body as u64 - spliced),
        };
        let received = self.upstream.received();
        if received == expected {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the upstream has {received:?}, not {expected:?}"
        )))
    }
}
