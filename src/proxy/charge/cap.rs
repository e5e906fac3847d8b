//! Where a stream has cost as much as it may: it ends there, behind the event that reached the limit. What has come by then
//! was made and is paid for, so that nothing is saved by keeping it from the client.

use memchr::memchr_iter;

use crate::usage::Meter;

/// Bytes within which an event is waited for to end. What has no such end (compressed streams) ends where it is.
const WAIT_MAX: usize = 64 * 1024;

/// The limit of one answer.
#[derive(Debug)]
pub struct Cap {
    /// Output tokens that may be made, of all choices together.
    tokens: u64,
    choices: u64,
    reached: Reached,
    /// Whether nothing of the line at hand has come yet.
    blank: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    No,
    /// The limit is reached, and so many bytes ago.
    Since(usize),
    /// The answer has ended.
    Ended,
}

impl Cap {
    /// So many tokens of output, of so many choices.
    #[must_use]
    pub fn new(tokens: u64, choices: u64) -> Self {
        Self {
            tokens,
            choices: choices.max(1),
            reached: Reached::No,
            blank: true,
        }
    }

    /// Whether the answer has been ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.reached == Reached::Ended
    }

    /// Has the meter read the next bytes of the stream; how many of them go on.
    pub fn pass(&mut self, meter: &mut Meter, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() && !self.has_ended() {
            let rest = &bytes[passed..];
            let end = self.end_of_event(rest);
            let part = &rest[..end.unwrap_or(rest.len())];
            meter.feed(part);
            passed += part.len();
            self.look(meter, part.len(), end.is_some());
        }
        passed
    }

    fn look(&mut self, meter: &Meter, bytes: usize, at_end: bool) {
        let waited = match self.reached {
            Reached::Ended => return,
            Reached::Since(waited) => waited + bytes,
            Reached::No if self.is_reached(meter) => 0,
            Reached::No => return,
        };
        self.reached = if at_end || waited > WAIT_MAX || meter.is_decoding() {
            Reached::Ended
        } else {
            Reached::Since(waited)
        };
    }

    /// Whether more may come than is paid for. When all choices are at their end nothing does but how much it was.
    fn is_reached(&self, meter: &Meter) -> bool {
        let report = meter.report();
        let made = report.generated.max(report.usage.output);
        made >= self.tokens && !report.ended && u64::from(report.finished) < self.choices
    }

    /// Where the first event in these bytes ends: behind its blank line.
    fn end_of_event(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for at in memchr_iter(b'\n', bytes) {
            let blank = self.blank && matches!(&bytes[start..at], b"" | b"\r");
            self.blank = true;
            start = at + 1;
            if blank {
                return Some(start);
            }
        }
        self.blank &= matches!(&bytes[start..], b"" | b"\r");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Coding, Form};

    fn event(text: &str, end: &str) -> String {
        let json = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
        format!("data: {json}{end}{end}")
    }

    fn meter(coding: Coding) -> Meter {
        Meter::new(Form::Events, coding).estimating()
    }

    /// What of the stream goes on, fed in pieces of this length.
    fn passed(cap: &mut Cap, stream: &[u8], piece: usize) -> usize {
        let mut meter = meter(Coding::Identity);
        let passed = stream
            .chunks(piece)
            .map(|piece| cap.pass(&mut meter, piece));
        passed.sum()
    }

    #[test]
    fn a_stream_ends_behind_the_event_that_reaches_the_limit_however_it_comes() {
        for end in ["\n", "\r\n"] {
            let events: Vec<String> = (0..50)
                .map(|_| event("several words of text ", end))
                .collect();
            let stream = events.concat();
            let length = events[0].len();
            let at_once = passed(&mut Cap::new(100, 1), stream.as_bytes(), usize::MAX);
            assert!(at_once > length && at_once < stream.len() && at_once.is_multiple_of(length));
            for piece in 1..2 * length {
                let mut cap = Cap::new(100, 1);
                assert_eq!(
                    passed(&mut cap, stream.as_bytes(), piece),
                    at_once,
                    "{piece}"
                );
                assert!(cap.has_ended());
            }
            let mut wide = Cap::new(1_000_000, 1);
            assert_eq!(passed(&mut wide, stream.as_bytes(), 7), stream.len());
            assert!(!wide.has_ended());
        }
    }

    #[test]
    fn a_limit_that_pays_for_no_output_ends_behind_the_first_event() {
        let stream = event("Hello", "\n") + &event(" there", "\n");
        let first = event("Hello", "\n").len();
        assert_eq!(passed(&mut Cap::new(0, 1), stream.as_bytes(), 5), first);
    }

    #[test]
    fn what_only_says_how_much_it_was_goes_on() {
        let last = "data: {\"choices\":[{\"delta\":{\"content\":\"all at once\"},\"finish_reason\":\"stop\"}]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":99}}\n\ndata: [DONE]\n\n";
        let mut cap = Cap::new(1, 1);
        assert_eq!(passed(&mut cap, last.as_bytes(), usize::MAX), last.len());
        assert!(!cap.has_ended());
        // Another choice may still be under way.
        assert!(passed(&mut Cap::new(1, 2), last.as_bytes(), usize::MAX) < last.len());
    }

    #[test]
    fn an_event_without_end_is_not_waited_for_without_end() {
        let stream = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}",
            "word ".repeat(100_000)
        );
        let mut cap = Cap::new(100, 1);
        let passed = passed(&mut cap, stream.as_bytes(), 1_000);
        assert!(cap.has_ended() && passed < 2 * WAIT_MAX, "{passed}");
    }
}
