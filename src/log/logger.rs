//! Diagnostics: the `log` facade as lines on standard error or in a file, by a thread of their own: who has something to
//! tell never waits for who reads it. When the reader is too slow, lines are dropped and counted.
//!
//! Libraries are heard from `warn` on only, whatever the level: below it Pingora prints request headers, credentials among
//! them. Query strings are cut out of every message, since Pingora's error lines quote request targets, and a target may
//! hold `?key=`; and so are the bytes that it quotes of a message it could not read.

use std::borrow::Cow;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::log::{Level, LevelFilter, Log, Metadata, Record};
use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::access::Target;
use super::clock::Clock;
use super::format::{Format, Line, name};
use super::levels::Levels;
use super::output::Output;
use super::spool;
use crate::snapshot::Snapshot;

/// What panics are told as.
const PANIC: &str = "tollgate::panic";

/// What stands in a message for a query string.
const CUT: &str = "?…";

/// Behind this, Pingora quotes bytes that it received: headers, and so credentials.
const QUOTE: &str = "buf: ";

/// How diagnostics are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much, until [`set_levels`] says otherwise.
    pub level: LevelFilter,
    /// In which form.
    pub format: Format,
    /// Where.
    pub target: Target,
    /// How many bytes wait for the target at the most.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            format: Format::Json,
            target: Target::Stderr,
            queue: spool::PENDING_MAX,
        }
    }
}

struct Logger {
    configured: ArcSwap<Levels>,
    levels: ArcSwap<Levels>,
    output: Snapshot<Output>,
    dropped: Arc<AtomicU64>,
}

/// The process's one.
static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Sends `log` records to where `settings` say, and panics as well. Only the first call of a process does anything; returns
/// whether this was it.
///
/// # Errors
/// The file cannot be opened, or the thread not be started.
pub fn init(settings: &Settings) -> io::Result<bool> {
    if LOGGER.get().is_some() {
        return Ok(false);
    }
    let dropped = Arc::default();
    let output = open(&settings.target, settings.format, settings.queue, &dropped)?;
    let levels = Levels::of(settings.level);
    let logger = Logger {
        configured: ArcSwap::from_pointee(levels.clone()),
        levels: ArcSwap::from_pointee(levels),
        output: Snapshot::new(output),
        dropped,
    };
    let mut first = false;
    let logger = LOGGER.get_or_init(|| {
        first = true;
        logger
    });
    if !first || ::log::set_logger(logger).is_err() {
        return Ok(false);
    }
    ::log::set_max_level(settings.level);
    tell_panics();
    Ok(true)
}

fn open(
    target: &Target,
    format: Format,
    queue: usize,
    dropped: &Arc<AtomicU64>,
) -> io::Result<Output> {
    Output::open(spool::Log::Diagnostics, target, format, queue, dropped)
}

/// Opens something else that records may go to, for [`take_up`]; nothing before [`init`].
///
/// # Errors
/// The file cannot be opened, or the thread not be started.
pub fn prepare(target: &Target, format: Format, queue: usize) -> io::Result<Option<Output>> {
    let logger = LOGGER.get();
    let opened = logger.map(|logger| open(target, format, queue, &logger.dropped));
    opened.transpose()
}

/// From now on records go there; those before are written to where they were to go.
pub fn take_up(next: Output) {
    if let Some(logger) = LOGGER.get() {
        logger.output.replace(next);
    }
}

/// Closes what records go to no longer. Waits for it, for two seconds at the most.
pub fn tidy() {
    if let Some(logger) = LOGGER.get() {
        logger.output.tidy();
    }
}

/// Who panics tells it as everybody else tells things: the usual way would wait for whoever reads standard error.
fn tell_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |told| {
        if ::log::log_enabled!(target: PANIC, Level::Error) {
            ::log::error!(target: PANIC, "{told}");
        } else {
            usual(told);
        }
    }));
}

/// The levels in use, and those that the configuration says; `None` before [`init`].
#[must_use]
pub fn levels() -> Option<(Arc<Levels>, Levels)> {
    let logger = LOGGER.get()?;
    let configured = logger.configured.load();
    Some((logger.levels.load_full(), Levels::clone(&configured)))
}

/// Takes `levels` into use, until the process ends or the next call.
pub fn set_levels(levels: Levels) {
    if let Some(logger) = LOGGER.get() {
        // Between the two, records are told by the stricter of both: none is told that neither wants.
        let max = levels.max();
        logger.levels.store(Arc::new(levels));
        ::log::set_max_level(max);
    }
}

/// The configuration says this level now: it is that of the modules that have none of their own, if it is another than it
/// said before.
pub fn configure(level: LevelFilter) {
    let configured = Levels::of(level);
    let Some((levels, before)) = levels().filter(|(_, before)| *before != configured) else {
        return;
    };
    if let Some(logger) = LOGGER.get() {
        logger.configured.store(Arc::new(configured));
    }
    log::info!("the log's level is {level}, and was {}", before.default);
    set_levels(Levels {
        default: level,
        modules: levels.modules.clone(),
    });
}

/// Lines that were not written, since the start: their target was too slow, or refused them.
#[must_use]
pub fn dropped() -> u64 {
    let logger = LOGGER.get();
    logger.map_or(0, |logger| logger.dropped.load(Ordering::Relaxed))
}

/// Opens the file anew, if it is one: for rotation. Returns at once.
pub fn reopen() {
    if let Some(logger) = LOGGER.get() {
        logger.output.peek().reopen();
    }
}

/// Waits until everything is written that was told before, for `limit` at the most. Blocks: for the end of the process.
pub fn flush(limit: Duration) {
    if let Some(logger) = LOGGER.get() {
        // Who reads too slowly does not get all of it.
        let _ = logger.output.pin().flush(limit);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels
            .load()
            .tells(metadata.target(), metadata.level())
    }

    fn log(&self, record: &Record<'_>) {
        let output = self.output.peek();
        let spool = output.spool.as_ref();
        if let Some(spool) = spool.filter(|_| self.enabled(record.metadata())) {
            let now = Timestamp::now().as_millisecond();
            spool.push(&line(output.format, now, record));
        }
    }

    /// Nobody who tells something waits.
    fn flush(&self) {}
}

fn line(format: Format, unix_ms: i64, record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let message = record.args().to_string();
    let mut line = Line::begin(&mut out, format, &mut Clock::new(), unix_ms);
    line.plain(name!("level"), level(record.level()));
    line.text(name!("target"), record.target());
    line.text(name!("message"), &without_queries(without_quote(&message)));
    line.end();
    out
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// `message` up to the bytes that it quotes.
fn without_quote(message: &str) -> &str {
    match message.find(QUOTE) {
        Some(at) => message[..at].trim_end(),
        None => message,
    }
}

/// `message` without what stands between a `?` inside a word and the end of that word. A question mark at the end of a
/// word stays.
fn without_queries(message: &str) -> Cow<'_, str> {
    let is_query = |word: &str| {
        word.find('?')
            .is_some_and(|at| at > 0 && at + 1 < word.len())
    };
    if !message.split_ascii_whitespace().any(is_query) {
        return Cow::Borrowed(message);
    }
    let mut kept = String::with_capacity(message.len());
    for piece in message.split_inclusive(|c: char| c.is_ascii_whitespace()) {
        let word = piece.trim_end();
        match word.split_once('?') {
            Some((before, _)) if is_query(word) => {
                kept.push_str(before);
                kept.push_str(CUT);
                kept.push_str(&piece[word.len()..]);
            }
            _ => kept.push_str(piece),
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_json_object_on_one_line() {
        let line = line(
            Format::Json,
            1_795_413_821_250,
            &Record::builder()
                .level(Level::Warn)
                .target("tollgate::catalog")
                .args(format_args!("bad \"price\"\nin {}", "acme.json"))
                .build(),
        );
        let line = String::from_utf8(line).expect("UTF-8");
        assert_eq!(
            line,
            "{\"time\":\"2026-11-23T06:03:41.250Z\",\"level\":\"warn\",\"target\":\"tollgate::catalog\",\
             \"message\":\"bad \\\"price\\\"\\nin acme.json\"}\n"
        );
    }

    #[test]
    fn a_query_string_never_reaches_the_log() {
        for (message, expected) in [
            (
                "GET /v1beta/models/x:generateContent?key=tg-SECRET, Host: a",
                "GET /v1beta/models/x:generateContent?… Host: a",
            ),
            ("\"GET /a?key=SECRET\" failed", "\"GET /a?… failed"),
            ("/a?key=SECRET?x\n/b?key=SECRET", "/a?…\n/b?…"),
            ("a?SECRET", "a?…"),
        ] {
            assert_eq!(without_queries(message), expected);
        }
    }

    #[test]
    fn bytes_that_are_quoted_never_reach_the_log() {
        let message = "cannot read: InvalidHTTPHeader context: buf: \"GET / HTTP/1.1\\r\\nAuthorization: Bearer SECRET\" cause: x";
        assert_eq!(
            without_quote(message),
            "cannot read: InvalidHTTPHeader context:"
        );
        assert_eq!(without_quote("a buffer: full"), "a buffer: full");
    }

    #[test]
    fn a_question_is_left_alone() {
        for message in ["did you mean `gpt-4o`?", "why? because", "?", "", "a ?b c"] {
            assert_eq!(without_queries(message), message);
        }
    }

    #[test]
    fn a_second_start_changes_nothing() {
        let at = |level| Settings {
            level,
            ..Settings::default()
        };
        assert!(init(&at(LevelFilter::Off)).expect("starts"));
        assert!(!init(&at(LevelFilter::Trace)).expect("starts"));
        assert_eq!(::log::max_level(), LevelFilter::Off);
    }
}
