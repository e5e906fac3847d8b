//! Diagnostics: the `log` facade as JSON lines on standard error. Libraries are heard from `warn` on only, whatever the
//! level: below it Pingora prints request headers, credentials among them. Query strings are cut out of every message,
//! since Pingora's error lines quote request targets, and a target may hold `?key=`; and so are the bytes that it quotes
//! of a message it could not read.

use std::borrow::Cow;
use std::io::Write;

use ::log::{LevelFilter, Record};
use env_logger::{Builder, Target};
use jiff::Timestamp;

use super::clock::Clock;
use super::json;

/// Targets of our own, whose level is the configured one.
const OURS: &str = "tollgate";

/// What stands in a message for a query string.
const CUT: &str = "?…";

/// Behind this, Pingora quotes bytes that it received: headers, and so credentials.
const QUOTE: &str = "buf: ";

/// Sends `log` records of at least `level` to standard error. Only the first call of a process does anything; returns
/// whether this was it.
#[allow(clippy::must_use_candidate)] // the second call's caller has nothing to do about it
pub fn init(level: LevelFilter) -> bool {
    Builder::new()
        .filter_level(level.min(LevelFilter::Warn))
        .filter_module(OURS, level)
        .target(Target::Stderr)
        .format(|out, record| out.write_all(&line(Timestamp::now().as_millisecond(), record)))
        .try_init()
        .is_ok()
}

fn line(unix_ms: i64, record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"time\":\"");
    Clock::new().write(unix_ms, &mut out);
    out.extend_from_slice(b"\",\"level\":");
    json::string(&mut out, &record.level().as_str().to_ascii_lowercase());
    out.extend_from_slice(b",\"target\":");
    json::string(&mut out, record.target());
    out.extend_from_slice(b",\"message\":");
    let message = record.args().to_string();
    json::string(&mut out, &without_queries(without_quote(&message)));
    out.extend_from_slice(b"}\n");
    out
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
    use ::log::Level;

    #[test]
    fn a_record_is_one_json_object_on_one_line() {
        let line = line(
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
        init(LevelFilter::Off);
        assert!(!init(LevelFilter::Trace));
        assert_eq!(::log::max_level(), LevelFilter::Off);
    }
}
