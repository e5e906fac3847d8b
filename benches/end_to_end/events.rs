//! The events of a streamed answer, in the shape of OpenAI's chat completion chunks: each carries
//! its number and the time at which it was sent, and whoever reads them checks the order.

use std::io::{self, Write};
use std::time::{Duration, Instant};

const BEFORE: &str = concat!(
    r#"data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","#,
    r#""created":1741569952,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","#,
    r#""system_fingerprint":"fp_06737a9306","choices":[{"index":0,"delta":{"content":""#,
);
const AFTER: &str = concat!(r#""},"logprobs":null,"finish_reason":null}]}"#, "\n\n");
const USAGE: &str = concat!(
    r#"data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","#,
    r#""created":1741569952,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","#,
    r#""system_fingerprint":"fp_06737a9306","choices":[],"#,
    r#""usage":{"prompt_tokens":19,"completion_tokens":200,"total_tokens":219}}"#,
    "\n\n"
);
const DONE: &str = "data: [DONE]\n\n";

/// `number@nanoseconds`, both with leading zeros.
const STAMP: usize = 10 + 1 + 20;

/// Puts the event into `chunk`, framed as one chunk of a chunked body.
pub fn write_chunk(chunk: &mut Vec<u8>, sequence: u32, sent: Duration) {
    chunk.clear();
    let length = BEFORE.len() + STAMP + AFTER.len();
    let nanoseconds = sent.as_nanos();
    // Writing to a `Vec` cannot fail.
    let _ = write!(
        chunk,
        "{length:x}\r\n{BEFORE}{sequence:010}@{nanoseconds:020}{AFTER}\r\n"
    );
}

/// The usage event, `[DONE]` and the end of the body.
pub fn last_chunks() -> String {
    let (usage, done) = (USAGE.len(), DONE.len());
    format!("{usage:x}\r\n{USAGE}\r\n{done:x}\r\n{DONE}\r\n0\r\n\r\n")
}

/// Follows one stream: the next number expected, and how long each event was on its way.
pub struct Follower {
    epoch: Instant,
    partial: Vec<u8>,
    delays: Vec<u64>,
    done: bool,
    problem: Option<String>,
}

impl Follower {
    pub fn new(epoch: Instant, events: u32) -> Follower {
        Follower {
            epoch,
            partial: Vec::with_capacity(1024),
            delays: Vec::with_capacity(events as usize),
            done: false,
            problem: None,
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        let now = self.epoch.elapsed();
        self.partial.extend_from_slice(piece);
        let mut start = 0;
        while let Some(length) = self.partial[start..]
            .windows(2)
            .position(|pair| pair == b"\n\n")
        {
            let end = start + length + 2;
            let problem = match parse(&self.partial[start..end]) {
                Some(Event::Numbered(number, sent)) => self.take(number, sent, now),
                Some(Event::Usage) => None,
                Some(Event::Done) => {
                    self.done = true;
                    None
                }
                None => Some("an event that was never sent".to_owned()),
            };
            self.problem = self.problem.take().or(problem);
            start = end;
        }
        self.partial.drain(..start);
    }

    fn take(&mut self, number: usize, sent: Duration, now: Duration) -> Option<String> {
        let expected = self.delays.len();
        self.delays
            .push(u64::try_from(now.saturating_sub(sent).as_nanos()).unwrap_or(u64::MAX));
        (number != expected).then(|| format!("event {number} came where {expected} was due"))
    }

    /// Whether an event has come.
    pub fn has_begun(&self) -> bool {
        !self.delays.is_empty()
    }

    /// The delay of each event, in nanoseconds; an error unless all came, each once and in order.
    pub fn finish(self, events: u32) -> io::Result<Vec<u64>> {
        if let Some(problem) = self.problem {
            return Err(io::Error::other(problem));
        }
        let came = self.delays.len();
        if came != events as usize || !self.done || !self.partial.is_empty() {
            return Err(io::Error::other(format!(
                "{came} of {events} events, end seen: {}",
                self.done
            )));
        }
        Ok(self.delays)
    }
}

enum Event {
    Numbered(usize, Duration),
    Usage,
    Done,
}

fn parse(event: &[u8]) -> Option<Event> {
    if event == DONE.as_bytes() {
        return Some(Event::Done);
    }
    if event == USAGE.as_bytes() {
        return Some(Event::Usage);
    }
    let stamp = event
        .strip_prefix(BEFORE.as_bytes())?
        .strip_suffix(AFTER.as_bytes())?;
    let (number, sent) = str::from_utf8(stamp).ok()?.split_once('@')?;
    Some(Event::Numbered(
        number.parse().ok()?,
        Duration::from_nanos(sent.parse().ok()?),
    ))
}
