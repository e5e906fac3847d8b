//! Catalog swaps beside requests: does one fail, how much slower are they, and does the memory stay flat? Requests come
//! at a fixed rate that the gateway is far from filled by, so that what a swap takes of it shows as latency, and not as
//! fewer requests.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, interval_at, sleep};

use crate::http1::Reader;
use crate::load;
use crate::options::Options;
use crate::process::Cpu;
use crate::request::{self, ModelAt};
use crate::subject::{Kind, Stage, Subject};
use crate::upstream::{Answer, Upstream};

/// Connections, each of which asks once in [`EACH`]: 2,000 requests a second in all.
const CONNECTIONS: u32 = 64;
const EACH: Duration = Duration::from_millis(32);
/// Bytes of each request's body.
const BODY: usize = 1024;
/// Rounds, and the time of the turns of one: six times five seconds with swaps.
const ROUNDS: u32 = 6;
const TURN: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(2);

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Swaps {
    /// Swaps a second.
    pub rate: u32,
    /// Models that the catalog has beside the shipped ones.
    pub models: u32,
}

/// Some seconds of requests.
pub struct Turn {
    /// Nanoseconds, ascending.
    pub latencies: Vec<u64>,
    pub cpu: Cpu,
    pub swaps: u32,
    /// Resident memory afterwards, in KiB.
    pub resident: u64,
}

/// One after another: straight to the mock upstream, through the gateway, and through it with swaps. What the harness
/// does for a swap (it writes a file and asks) it does in all of them, but where the gateway does not notice.
pub struct Round {
    pub direct: Turn,
    pub quiet: Turn,
    pub swapping: Turn,
}

pub async fn rounds(
    options: &Options,
    swaps: Swaps,
    upstream: &Upstream,
    stage: &Stage<'_>,
    progress: impl Fn(&str),
) -> io::Result<Vec<Round>> {
    upstream.set_answer(Answer::Json);
    let files = Files::write(&stage.folder.join("catalog"), swaps.models)?;
    progress(&format!("starting gateway, {} models more", swaps.models));
    let (gateway, keys) = stage.start(Kind::Gateway).await?;
    let key = keys.map(|keys| keys.own).unwrap_or_default();
    let direct = stage.direct();
    let (rounds, time) = if options.quick {
        (1, Duration::from_secs(1))
    } else {
        (ROUNDS, TURN)
    };
    let admin = gateway.admin.ok_or(io::ErrorKind::NotConnected)?;
    let mut swapper = Swapper::connect(admin, files, true).await?;
    let elsewhere = Files::write(&stage.folder.join("elsewhere"), 0)?;
    let mut nobody = Swapper::connect(upstream.address(), elsewhere, false).await?;
    // Both versions are known from now on.
    swapper.swap().await?;
    swapper.swap().await?;
    paced(&gateway, &key, WARM_UP.min(time)).await?;
    let mut measured = Vec::new();
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}"));
        let direct = turn(&direct, &key, time / 2, &mut nobody, swaps.rate).await?;
        let quiet = turn(&gateway, &key, time, &mut nobody, swaps.rate).await?;
        let swapping = turn(&gateway, &key, time, &mut swapper, swaps.rate).await?;
        measured.push(Round {
            direct,
            quiet,
            swapping,
        });
    }
    Ok(measured)
}

async fn turn(
    subject: &Subject,
    key: &str,
    time: Duration,
    swapper: &mut Swapper,
    rate: u32,
) -> io::Result<Turn> {
    let before = subject.cpu()?;
    let (latencies, swaps) =
        tokio::try_join!(paced(subject, key, time), swapper.swap_for(time, rate))?;
    Ok(Turn {
        latencies,
        cpu: subject.cpu()?.since(before),
        swaps,
        resident: subject.resident()?,
    })
}

/// Asks on all connections for `time`. Any answer but the mock upstream's own is an error.
async fn paced(subject: &Subject, key: &str, time: Duration) -> io::Result<Vec<u64>> {
    let body = request::body(BODY, ModelAt::Last, false);
    let request = request::request(subject.address, key, &body);
    let end = Instant::now() + time;
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let begin = Instant::now() + EACH * number / CONNECTIONS;
        connections.spawn(one(subject.address, request.clone(), begin, end));
    }
    let mut latencies = Vec::new();
    while let Some(joined) = connections.join_next().await {
        latencies.extend(joined??);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

async fn one(
    address: SocketAddr,
    request: Bytes,
    begin: Instant,
    end: Instant,
) -> io::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    let mut ticks = interval_at(begin.into(), EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        ticks.tick().await;
        latencies.push(load::exchange(&mut reader, &mut write, &request, BODY * 2).await?);
    }
    Ok(latencies)
}

/// The catalog folder: one file that is swapped, beside those that stay.
#[derive(Clone)]
struct Files {
    swapped: PathBuf,
    unfinished: PathBuf,
}

impl Files {
    fn write(folder: &Path, models: u32) -> io::Result<Files> {
        fs::create_dir_all(folder)?;
        let files = Files {
            swapped: folder.join("swapped.json"),
            unfinished: folder.join(".swapped"),
        };
        files.put(false)?;
        if models > 0 {
            fs::write(folder.join("large.json"), large(models))?;
        }
        Ok(files)
    }

    /// One of two versions. Blocks, for as long as the file system wants to.
    fn put(&self, second: bool) -> io::Result<()> {
        let model = if second { "gpt-4o" } else { "gpt-4o-mini" };
        let text = format!(r#"{{"virtual_models":{{"house":["openai:{model}"]}}}}"#);
        fs::write(&self.unfinished, text)?;
        fs::rename(&self.unfinished, &self.swapped)
    }
}

fn large(models: u32) -> String {
    let mut text = String::from(
        r#"{"provider":"large","base_url":"http://127.0.0.1:1","surfaces":{"chat":{"path":"/c"}},"models":{"#,
    );
    for n in 0..models {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}"acme/model-{n}":{{"aliases":["model-{n}-latest"],"kind":"chat","context":131072,"price":{{"input":"0.15","output":"0.6"}}}}"#
        );
    }
    text.push_str("}}");
    text
}

/// Puts the other version in place and has it published, over one connection to the admin listener; or does the same
/// where it means nothing.
struct Swapper {
    files: Files,
    reader: Reader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    request: String,
    second: bool,
    last: Vec<u8>,
    /// Whether each answer names another version.
    swaps: bool,
}

impl Swapper {
    async fn connect(address: SocketAddr, files: Files, swaps: bool) -> io::Result<Swapper> {
        let stream = loop {
            // The admin listener is there a moment after the public one, which has been waited for.
            match TcpStream::connect(address).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    sleep(Duration::from_millis(5)).await;
                }
                connected => break connected?,
            }
        };
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Swapper {
            files,
            reader: Reader::new(read),
            write,
            request: format!(
                "POST /reload HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n"
            ),
            second: false,
            last: Vec::new(),
            swaps,
        })
    }

    /// The answer must name another version than the one before.
    async fn swap(&mut self) -> io::Result<()> {
        self.second = !self.second;
        let (files, second) = (self.files.clone(), self.second);
        tokio::task::spawn_blocking(move || files.put(second)).await??;
        self.write.write_all(self.request.as_bytes()).await?;
        let head = self.reader.head().await?;
        let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut answer = Vec::new();
        let body = self.reader.body(head.framing, |piece| answer.extend(piece));
        body.await?;
        if head.status != 200 || (self.swaps && answer == self.last) {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Err(io::Error::other(format!("no swap: {answer}")));
        }
        self.last = answer;
        Ok(())
    }

    /// Swaps that come late are made up for.
    async fn swap_for(&mut self, time: Duration, rate: u32) -> io::Result<u32> {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        let swaps = rate * u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        for _ in 0..swaps {
            ticks.tick().await;
            self.swap().await?;
        }
        Ok(swaps)
    }
}
