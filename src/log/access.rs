//! The access log: one line a request, without bodies, secrets and query strings. Recording a line copies it into
//! memory and never waits for the file or pipe it goes to; a thread writes what has gathered. When that cannot keep up,
//! lines are dropped and counted. Absent: rotation (see [`AccessLog::reopen`]) and any choice of members.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::format::Format;
use super::line;
use super::output::Output;
use super::spool::{Log, PENDING_MAX, Sink, Spool};
use crate::snapshot::Snapshot;
use crate::usage::Usage;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error, between the diagnostics.
    Stderr,
    /// A file, appended to; made when it is absent.
    File(PathBuf),
}

/// What is told of one request. Texts are cut to what a line should hold; of `path` only what precedes a `?` is
/// written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// Arrival, in milliseconds since 1970 (UTC).
    pub time_ms: i64,
    /// Our id of the request.
    pub request_id: &'a str,
    /// The client's, from `X-Client-Request-Id`.
    pub client_request_id: Option<&'a str>,
    /// Address of the connection.
    pub client: Option<IpAddr>,
    /// The access key's id; never the key.
    pub key_id: Option<&'a str>,
    /// Who pays.
    pub account: Option<&'a str>,
    /// As the client sent it.
    pub method: &'a str,
    /// As the client sent it.
    pub path: &'a str,
    /// The surface's name.
    pub surface: Option<&'a str>,
    /// The model that was asked for.
    pub model: Option<&'a str>,
    /// The provider that answered.
    pub provider: Option<&'a str>,
    /// The name of its endpoint that did.
    pub endpoint: Option<&'a str>,
    /// That provider's model id.
    pub upstream_model: Option<&'a str>,
    /// The source of the credential: `gateway`, `byok`, `request`.
    pub credential: Option<&'a str>,
    /// Status of the response; 0 when the client was gone before one.
    pub status: u16,
    /// Code of a refusal or error of our own.
    pub code: Option<&'a str>,
    /// The attempts, as in `Tollgate-Attempts`.
    pub attempts: Option<&'a str>,
    /// The edits, as in `Tollgate-Edits`.
    pub edits: Option<&'a str>,
    /// Whether the response was streamed.
    pub stream: bool,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// What the request used, and how well that is known.
    pub usage: Option<(&'static str, Usage)>,
    /// What was charged for the attempt that answered, or was tried last.
    pub cost: Option<Cost>,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// What of it the request waited for its turn.
    pub queue: Option<Duration>,
    /// What of it the provider took.
    pub upstream: Option<Duration>,
    /// From the beginning of the attempt that answered to its response header.
    pub first_byte: Option<Duration>,
    /// What of it the gateway took before the request went on.
    pub overhead: Option<Duration>,
    /// Version of the catalog that the request was served from.
    pub catalog: Option<&'a str>,
    /// The trace that it is a part of, where that is told to a collector.
    pub trace: Option<[u8; 16]>,
}

/// What a request has cost its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// What was charged, in nano-dollars.
    pub charged: i64,
    /// What was held before, in nano-dollars; none where nothing is held.
    pub held: Option<i64>,
    /// Why the charge is an estimate, if it is one.
    pub estimated: Option<&'static str>,
}

/// What a thread keeps from line to line.
struct Scratch {
    line: Vec<u8>,
    clock: Clock,
}

thread_local! {
    /// A line is written here first, so that the lock that all threads share is held for one copy only.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch { line: Vec::new(), clock: Clock::new() });
}

/// The access log. Dropping it writes what is left, for two seconds at the most.
pub struct AccessLog {
    output: Snapshot<Output>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Opens `target` and starts the thread that writes to it, for which at most `queue` bytes wait.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not be started.
    pub fn open(target: &Target, format: Format, queue: usize) -> io::Result<Self> {
        let dropped = Arc::default();
        let output = Output::open(Log::Access, target, format, queue, &dropped)?;
        Ok(Self {
            output: Snapshot::new(output),
            dropped,
        })
    }

    /// Opens something else that the lines may go to, for [`AccessLog::take_up`].
    ///
    /// # Errors
    /// The file cannot be opened, or the thread not be started.
    pub fn prepare(&self, target: &Target, format: Format, queue: usize) -> io::Result<Output> {
        Output::open(Log::Access, target, format, queue, &self.dropped)
    }

    /// From now on lines go there; those before are written to where they were to go.
    pub fn take_up(&self, next: Output) {
        self.output.replace(next);
    }

    /// Closes what lines go to no longer. Waits for it, for two seconds at the most.
    pub fn tidy(&self) {
        self.output.tidy();
    }

    /// Writes to `writer`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn to_writer(writer: impl io::Write + Send + 'static, format: Format) -> io::Result<Self> {
        let dropped = Arc::default();
        let sink = Sink::writer(writer);
        let spool = Spool::start(Log::Access, sink, PENDING_MAX, Arc::clone(&dropped))?;
        let spool = Some(spool);
        Ok(Self {
            output: Snapshot::new(Output { spool, format }),
            dropped,
        })
    }

    /// Records one request. Never waits for the target.
    pub fn record(&self, entry: &Entry<'_>) {
        let output = self.output.peek();
        let Some(spool) = &output.spool else { return };
        let recorded = SCRATCH.try_with(|scratch| {
            let Scratch { line, clock } = &mut *scratch.borrow_mut();
            line.clear();
            line::write(line, output.format, clock, entry);
            spool.push(line);
        });
        if recorded.is_err() {
            spool.dropped(1); // the thread is ending, and its buffer has gone before it
        }
    }

    /// Whether lines are written at all: an entry need not be put together when not.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.output.peek().spool.is_some()
    }

    /// Lines that were not written, since the start: the target was too slow, or refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what was recorded so far to the file as it is open, then opens it by its name again: for rotation.
    /// Returns at once. If the name cannot be opened, the file as it is stays in use.
    pub fn reopen(&self) {
        self.output.peek().reopen();
    }

    /// Waits until everything recorded before is written, for `limit` at the most; returns whether it is. Blocks: not
    /// for the request path.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        self.output.pin().flush(limit)
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests read back what was written"
)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::{Arc, Barrier};

    const LONG: Duration = Duration::from_mins(1);

    fn entry(request_id: &str) -> Entry<'_> {
        Entry {
            request_id,
            method: "POST",
            path: "/v1/messages",
            status: 200,
            ..Entry::default()
        }
    }

    fn ids(text: &str) -> Vec<String> {
        let id = |line: &str| {
            let object: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            object["request_id"].as_str().expect("an id").to_owned()
        };
        text.lines().map(id).collect()
    }

    #[test]
    fn every_line_recorded_is_in_the_file_once_the_log_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let log =
            AccessLog::open(&Target::File(path.clone()), Format::Json, PENDING_MAX).expect("opens");
        let expected: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
        for id in &expected {
            log.record(&entry(id));
        }
        drop(log);
        assert_eq!(ids(&fs::read_to_string(path).expect("written")), expected);
    }

    #[test]
    fn lines_of_many_threads_are_whole_and_none_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let log = Arc::new(
            AccessLog::open(&Target::File(path.clone()), Format::Json, PENDING_MAX).expect("opens"),
        );
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let log = Arc::clone(&log);
                std::thread::spawn(move || {
                    for n in 0..1_000 {
                        log.record(&entry(&format!("{thread}-{n}")));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(log.flush(LONG));
        let mut found = ids(&fs::read_to_string(path).expect("written"));
        found.sort_unstable();
        found.dedup();
        assert_eq!((found.len(), log.dropped()), (4_000, 0));
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (
            folder.path().join("access.log"),
            folder.path().join("access.log.1"),
        );
        let log =
            AccessLog::open(&Target::File(path.clone()), Format::Json, PENDING_MAX).expect("opens");
        log.record(&entry("before"));
        fs::rename(&path, &old).expect("renamed");
        log.reopen();
        assert!(log.flush(LONG));
        log.record(&entry("after"));
        assert!(log.flush(LONG));
        assert_eq!(ids(&fs::read_to_string(old).expect("there")), ["before"]);
        assert_eq!(ids(&fs::read_to_string(path).expect("there")), ["after"]);
    }

    #[test]
    fn a_rotation_that_fails_goes_on_with_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inner, moved) = (folder.path().join("logs"), folder.path().join("moved"));
        fs::create_dir(&inner).expect("made");
        let log = AccessLog::open(
            &Target::File(inner.join("access.log")),
            Format::Json,
            PENDING_MAX,
        )
        .expect("opens");
        fs::rename(&inner, &moved).expect("renamed");
        log.reopen();
        log.record(&entry("kept"));
        assert!(log.flush(LONG));
        assert_eq!(
            ids(&fs::read_to_string(moved.join("access.log")).expect("there")),
            ["kept"]
        );
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let target = Target::File(path.clone());
        let log = AccessLog::open(&target, Format::Json, PENDING_MAX).expect("opens");
        log.record(&entry("before"));
        assert!(log.flush(LONG));
        let mut reader = fs::File::open(path).expect("opens");
        log.record(&entry("read"));
        drop(log);
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).expect("text");
        assert_eq!(ids(&text), ["before", "read"]);
    }

    #[test]
    fn an_existing_file_is_appended_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = Target::File(folder.path().join("access.log"));
        for id in ["first", "second"] {
            AccessLog::open(&target, Format::Json, PENDING_MAX)
                .expect("opens")
                .record(&entry(id));
        }
        let text = fs::read_to_string(folder.path().join("access.log")).expect("there");
        assert_eq!(ids(&text), ["first", "second"]);
    }

    #[test]
    fn lines_go_to_where_the_log_goes_now_and_none_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let target = |name: &str| Target::File(path(name));
        let log = AccessLog::open(&target("first"), Format::Json, PENDING_MAX).expect("opens");
        log.record(&entry("before"));
        let next = log.prepare(&target("second"), Format::Logfmt, PENDING_MAX);
        log.record(&entry("still"));
        log.take_up(next.expect("opens"));
        log.record(&entry("after"));
        log.tidy();
        let first = fs::read_to_string(path("first")).expect("written");
        assert_eq!(ids(&first), ["before", "still"]);
        let nowhere = log.prepare(&target("none/third"), Format::Json, PENDING_MAX);
        assert!(nowhere.is_err());
        let off = log.prepare(&Target::Off, Format::Json, PENDING_MAX);
        log.take_up(off.expect("opens"));
        log.tidy();
        assert!(!log.is_on());
        let second = fs::read_to_string(path("second")).expect("written");
        assert_eq!(second.matches("request_id=after").count(), 1, "{second}");
    }

    /// Blocks in its first write until the test lets it go on.
    struct Stuck(Arc<Barrier>, bool);

    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.1, true) {
                self.0.wait();
                self.0.wait();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_target_costs_lines_and_no_time() {
        let barrier = Arc::new(Barrier::new(2));
        let log =
            AccessLog::to_writer(Stuck(Arc::clone(&barrier), false), Format::Json).expect("starts");
        log.record(&entry("stuck"));
        barrier.wait(); // the writer is in its first write, and stays there
        let model = "m".repeat(256);
        for _ in 0..100_000 {
            log.record(&Entry {
                model: Some(&model),
                ..entry("more")
            });
        }
        let dropped = log.dropped();
        assert!((1..100_000).contains(&dropped), "{dropped}");
        assert!(!log.flush(Duration::from_millis(1)));
        barrier.wait();
        assert!(log.flush(LONG));
        log.record(&entry("again"));
        assert!(log.flush(LONG));
        assert_eq!(log.dropped(), dropped);
    }

    /// Refuses everything.
    struct Full;

    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_the_target_refuses_are_counted() {
        let log = AccessLog::to_writer(Full, Format::Json).expect("starts");
        for _ in 0..3 {
            log.record(&entry("lost"));
        }
        assert!(log.flush(LONG));
        assert_eq!(log.dropped(), 3);
    }

    #[test]
    fn a_log_that_is_off_takes_everything_and_keeps_nothing() {
        let log = AccessLog::open(&Target::Off, Format::Json, PENDING_MAX).expect("opens");
        log.record(&entry("x"));
        log.reopen();
        assert!(!log.is_on() && log.flush(Duration::ZERO) && log.dropped() == 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            AccessLog::open(
                &Target::File(folder.path().join("none/access.log")),
                Format::Json,
                PENDING_MAX
            )
            .is_err()
        );
    }
}
