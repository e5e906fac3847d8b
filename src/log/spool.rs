//! Lines on their way to a slow place: gathered in memory under a short lock, written in batches by one thread. Knows
//! nothing of what a line says.
//!
//! A writer that is awake is not woken, and it lets lines gather for a while: one wake-up, one write and one context
//! switch serve a batch rather than a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::access::Target;

/// Bytes that wait for the writer at the most, where nobody says otherwise. Twice this is in memory, since another buffer is
/// being written. At 500 bytes a line it takes 8,000 lines: a fifth of a second at 40,000 requests a second.
pub const PENDING_MAX: usize = 4 << 20;

/// Bytes after which the writer does not wait for more, where so many may wait.
const BATCH_BYTES: usize = 256 << 10;

/// How long the lines of requests gather. Short enough that somebody who follows the log does not notice.
const BATCH_TIME: Duration = Duration::from_millis(100);

/// How long a drop waits for a stuck target.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Permissions of a new file: the log names accounts and models, which are not for everybody on the machine.
const FILE_MODE: u32 = 0o640;

/// Which log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// A line a request: many, which gather.
    Access,
    /// What the process says of itself: few, which go out at once.
    Diagnostics,
}

impl Log {
    fn thread(self) -> &'static str {
        match self {
            Self::Access => "access-log",
            Self::Diagnostics => "log",
        }
    }

    fn gathers(self) -> Duration {
        match self {
            Self::Access => BATCH_TIME,
            Self::Diagnostics => Duration::ZERO,
        }
    }
}

/// Where lines end up.
pub(super) struct Sink {
    writer: Box<dyn Write + Send>,
    /// For a file: its name, to open it by again.
    path: Option<PathBuf>,
}

impl Sink {
    /// What `target` names; none where it is off.
    pub(super) fn open(target: &Target) -> io::Result<Option<Self>> {
        Ok(match target {
            Target::Off => None,
            Target::Stdout => Some(Self::writer(io::stdout())),
            Target::Stderr => Some(Self::writer(io::stderr())),
            Target::File(path) => Some(Self::file(path)?),
        })
    }

    /// Anything that can be written to.
    pub(super) fn writer(writer: impl Write + Send + 'static) -> Self {
        Self {
            writer: Box::new(writer),
            path: None,
        }
    }

    fn file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            writer: Box::new(append(path)?),
            path: Some(path.to_owned()),
        })
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append(path) {
            Ok(file) => self.writer = Box::new(file),
            Err(error) => ::log::error!(
                "cannot reopen {}, going on with the old file: {error}",
                path.display()
            ),
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.writer.write_all(lines)?;
        self.writer.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    let is_pipe = path.metadata().is_ok_and(|it| it.file_type().is_fifo());
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        // Who opens a pipe to write only waits until somebody reads it.
        .read(is_pipe)
        .mode(FILE_MODE)
        .open(path);
    opened.map_err(|error| {
        let kind = error.kind();
        io::Error::new(
            kind,
            format!("{} cannot be written: {error}", path.display()),
        )
    })
}

/// The buffer, and the thread that empties it. A drop writes what is left.
pub(super) struct Spool {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    log: Log,
    /// Bytes that wait at the most.
    pending_max: usize,
    /// Bytes after which the writer does not wait for more.
    batch: usize,
    state: Mutex<State>,
    /// The writer has a reason to go on.
    wake: Condvar,
    /// The writer has written something, or has ended.
    written: Condvar,
    /// Shared by all that a log goes to, one after another.
    dropped: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    /// Lines not yet taken by the writer.
    pending: Vec<u8>,
    /// How many there are.
    lines: u64,
    /// Lines, flushes and reopenings since the start: a number for each.
    asked: u64,
    /// The last of those numbers that the writer is done with.
    done: u64,
    writer: Writer,
    /// Somebody waits: no gathering.
    hurry: bool,
    reopen: bool,
    closing: bool,
}

/// What the writing thread is at.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Writer {
    /// Waits for a first line.
    Idle,
    /// Has been woken; it writes, or lets lines gather.
    #[default]
    Awake,
    Ended,
}

/// What the writer has taken on.
struct Work {
    lines: u64,
    reopen: bool,
    /// What it is done with afterwards.
    last: u64,
}

impl Spool {
    /// Starts the thread that writes to `sink`, for which at most `pending_max` bytes wait. Lines that are not written are
    /// counted in `dropped`.
    pub(super) fn start(
        log: Log,
        sink: Sink,
        pending_max: usize,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            log,
            pending_max,
            batch: BATCH_BYTES.min(pending_max / 2),
            state: Mutex::default(),
            wake: Condvar::new(),
            written: Condvar::new(),
            dropped,
        });
        let of_writer = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name(log.thread().to_owned())
            .spawn(move || of_writer.run(sink))?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// Takes one line, or drops it when too many wait.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        let before = state.pending.len();
        if before + line.len() > self.shared.pending_max {
            drop(state);
            return self.dropped(1);
        }
        state.pending.extend_from_slice(line);
        state.lines += 1;
        state.asked += 1;
        let batch = self.shared.batch;
        let full = before < batch && state.pending.len() >= batch;
        let idle = state.writer == Writer::Idle;
        if idle {
            // Said here, so that the next line does not wake it a second time.
            state.writer = Writer::Awake;
        }
        drop(state);
        if idle || full {
            self.shared.wake.notify_one();
        }
    }

    /// Counts lines that nobody will see.
    pub(super) fn dropped(&self, lines: u64) {
        self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Has the sink opened anew behind the lines that wait now.
    pub(super) fn reopen(&self) {
        self.shared.ask(|state| state.reopen = true);
    }

    /// Waits until all lines that wait now are written; returns whether they are.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let last = self.shared.ask(|state| state.hurry = true);
        self.shared.wait(limit, |state| state.done >= last)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.ask(|state| state.closing = true);
        if self
            .shared
            .wait(CLOSE_MAX, |state| state.writer == Writer::Ended)
        {
            // It has said that it is done: there is nothing to learn from how it ended.
            let _ = self.writer.take().map(JoinHandle::join);
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves whole lines or none: the state is good either way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the writer is to do, and wakes it. Returns the number of this wish.
    fn ask(&self, change: impl FnOnce(&mut State)) -> u64 {
        let mut state = self.lock();
        change(&mut state);
        state.asked += 1;
        let number = state.asked;
        drop(state);
        self.wake.notify_one();
        number
    }

    fn wait(&self, limit: Duration, done: impl Fn(&State) -> bool) -> bool {
        let waited = self
            .written
            .wait_timeout_while(self.lock(), limit, |state| !done(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The writing thread.
    fn run(&self, mut sink: Sink) {
        let mut batch = Vec::new();
        let mut failing = false;
        while let Some(work) = self.take(&mut batch) {
            match sink.write(&batch) {
                Ok(()) => failing = false,
                Err(error) => {
                    self.dropped.fetch_add(work.lines, Ordering::Relaxed);
                    // Of diagnostics it could be told in those only that cannot be written.
                    if !std::mem::replace(&mut failing, true) && self.log == Log::Access {
                        ::log::error!(
                            "cannot write the access log, its lines are dropped until it can be: {error}"
                        );
                    }
                }
            }
            if work.reopen {
                sink.reopen();
            }
            self.lock().done = work.last;
            self.written.notify_all();
        }
    }

    /// Waits for lines and swaps them into `batch`. `None` when the log is closing and all is written.
    fn take(&self, batch: &mut Vec<u8>) -> Option<Work> {
        batch.clear();
        let mut state = self.lock();
        if state.asked == state.done && !state.closing {
            state.writer = Writer::Idle;
            let nothing = |state: &mut State| state.asked == state.done;
            state = self
                .wake
                .wait_while(state, nothing)
                .unwrap_or_else(PoisonError::into_inner);
            state.writer = Writer::Awake;
        }
        let few = |state: &mut State| {
            state.pending.len() < self.batch && !state.hurry && !state.reopen && !state.closing
        };
        state = self
            .wake
            .wait_timeout_while(state, self.log.gathers(), few)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        if state.asked == state.done && state.closing {
            state.writer = Writer::Ended;
            self.written.notify_all();
            return None;
        }
        std::mem::swap(&mut state.pending, batch);
        let work = Work {
            lines: state.lines,
            reopen: state.reopen,
            last: state.asked,
        };
        (state.lines, state.reopen, state.hurry) = (0, false, false);
        Some(work)
    }
}
