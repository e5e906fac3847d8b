//! Many streams at once: does every event arrive, in order, how late, and what memory does an open
//! stream take? Each proxy is started for its turn alone, so that its memory is of these streams.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::load::{self, Load, Streams};
use crate::options::Options;
use crate::process::Cpu;
use crate::request::{self, ModelAt};
use crate::subject::{Kind, Stage, Subject};
use crate::upstream::{Answer, Stream, Upstream};

/// Bytes of each request's body.
const BODY: usize = 1024;
/// Plain requests before the memory is read for the first time.
const WARM_UP: u32 = 2_000;

/// What one subject did with all streams.
pub struct Turn {
    pub kind: Kind,
    /// Delay of every event, in nanoseconds, ascending.
    pub delays: Vec<u64>,
    pub cpu: Cpu,
    /// Resident memory before the first stream, in KiB.
    pub resident_before: u64,
    /// Resident memory with all streams open and flowing, in KiB.
    pub resident_open: u64,
}

/// Gives every subject its turn. A lost event or one out of order is an error.
pub async fn turns(
    options: &Options,
    stream: Stream,
    upstream: &Upstream,
    stage: &Stage<'_>,
    progress: impl Fn(&str),
) -> io::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for kind in [Kind::Direct].into_iter().chain(options.proxies()) {
        progress(&format!(
            "{} streams of {} events: {}",
            stream.streams,
            stream.events,
            kind.name()
        ));
        let (subject, keys) = stage.start(kind).await?;
        let key = keys.map(|keys| keys.own);
        let turn = one(
            &subject,
            key.as_deref().unwrap_or("tg-none"),
            stream,
            upstream,
        )
        .await;
        turns.push(turn.map_err(|error| io::Error::other(format!("{}: {error}", kind.name())))?);
    }
    Ok(turns)
}

async fn one(
    subject: &Subject,
    key: &str,
    stream: Stream,
    upstream: &Upstream,
) -> io::Result<Turn> {
    let request = |streamed| {
        let body = request::body(BODY, ModelAt::Last, streamed);
        request::request(subject.address, key, &body)
    };
    upstream.set_answer(Answer::Json);
    let warm_up = Load {
        target: subject.address,
        request: request(false),
        piece: usize::MAX,
        connections: 4,
        requests: WARM_UP,
    };
    load::run(&warm_up).await?;
    let resident_before = subject.resident()?;
    let cpu_before = subject.cpu()?;

    upstream.set_answer(Answer::Stream(stream));
    let begun = Arc::new(AtomicU32::new(0));
    let streams = Streams {
        target: subject.address,
        request: request(true),
        count: stream.streams,
        events: stream.events,
        epoch: upstream.epoch(),
    };
    // Twice the time that the upstream takes, and some for opening.
    let patience = stream.interval * stream.events * 2 + Duration::from_secs(30);
    let (delays, resident_open) = tokio::join!(
        timeout(patience, load::stream(&streams, Arc::clone(&begun))),
        resident_when_open(subject, stream, &begun),
    );
    Ok(Turn {
        kind: subject.kind,
        delays: delays.map_err(|_| io::ErrorKind::TimedOut)??,
        cpu: subject.cpu()?.since(cpu_before),
        resident_before,
        resident_open: resident_open?,
    })
}

/// Memory a quarter of a stream's time after the last of them has begun. The count of those that
/// have begun does not come together when one of them fails: then the streams' own error is the
/// result, so this gives up after their time.
async fn resident_when_open(
    subject: &Subject,
    stream: Stream,
    begun: &AtomicU32,
) -> io::Result<u64> {
    let whole = stream.interval * stream.events;
    let opened = async {
        while begun.load(Relaxed) < stream.streams {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(whole / 4).await;
    };
    let _ = timeout(whole, opened).await;
    subject.resident()
}
