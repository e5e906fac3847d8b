//! The extra usage event of a streamed chat completion, taken out of the stream: the event that has usage and no choices,
//! which a provider sends when it is asked for usage (`stream_options.include_usage`). No other byte changes, and no other
//! event waits: what is held back is the beginning of an event that is not whole yet, and comments never are.

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::{memchr2, memmem};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

/// Bytes of the longest event that is held back until it is whole. Those that are looked for have less than 1 KiB.
const HELD_MAX: usize = 16 * 1024;

/// The bytes that go on, in order. None is empty.
pub type Passed = SmallVec<[Bytes; 2]>;

/// Takes the event out of one stream.
#[derive(Debug, Default)]
pub struct Extra {
    /// The beginning of the event at hand, which has not gone on.
    held: Vec<u8>,
    stage: Stage,
    /// Whether bytes of the line at hand have come.
    in_line: bool,
    /// Whether the last line ended in a CR, so that an LF that follows belongs to it.
    after_cr: bool,
    /// Whether that line was taken out.
    was_taken: bool,
    taken: u64,
}

/// What becomes of the bytes at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// They are of an event, and go on when it is whole.
    #[default]
    Event,
    /// They are of an event that is too long, and go on as they come.
    Long,
    /// They are of a comment between events, and go on as they come.
    Comment,
}

/// The piece at hand: `sent` bytes have been dealt with, the event at hand begins at `begin`, and what lies between the two
/// is to go on.
struct Piece {
    bytes: Bytes,
    sent: usize,
    begin: usize,
    passed: Passed,
}

impl Piece {
    fn pass_up_to(&mut self, end: usize) {
        if self.sent < end {
            self.passed.push(self.bytes.slice(self.sent..end));
        }
        self.sent = end;
    }
}

impl Extra {
    /// The next bytes of the stream; returns those that go on now.
    pub fn pass(&mut self, bytes: Bytes) -> Passed {
        let mut piece = Piece {
            bytes,
            sent: 0,
            begin: 0,
            passed: Passed::new(),
        };
        let mut at = 0;
        while at < piece.bytes.len() {
            at = if std::mem::take(&mut self.after_cr) && piece.bytes[at] == b'\n' {
                self.line_feed(&mut piece, at)
            } else {
                self.line(&mut piece, at)
            };
        }
        self.rest(piece)
    }

    /// The stream has ended; returns what goes on still.
    pub fn finish(&mut self) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        if is_extra(&held) {
            self.taken += held.len() as u64;
            return None;
        }
        (!held.is_empty()).then(|| held.into())
    }

    /// Bytes that were taken out so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The LF at `at`, which belongs to the line before.
    fn line_feed(&mut self, piece: &mut Piece, at: usize) -> usize {
        let between = self.held.is_empty() && self.stage == Stage::Event && piece.begin == at;
        if between {
            if self.was_taken {
                piece.pass_up_to(at);
                piece.sent = at + 1;
                self.taken += 1;
            }
            piece.begin = at + 1;
        }
        at + 1
    }

    /// A line from `at`, or what has come of it; returns where the next one begins.
    fn line(&mut self, piece: &mut Piece, at: usize) -> usize {
        let bytes = &piece.bytes;
        let opens = !self.in_line && self.held.is_empty() && piece.begin == at;
        if opens && self.stage == Stage::Event && bytes[at] == b':' {
            self.stage = Stage::Comment;
        }
        let Some(length) = memchr2(b'\n', b'\r', &bytes[at..]) else {
            self.in_line = true;
            return bytes.len();
        };
        let is_blank = !self.in_line && length == 0;
        let mut next = at + length + 1;
        self.in_line = false;
        self.was_taken = false;
        self.after_cr = bytes[next - 1] == b'\r';
        if self.after_cr && bytes.get(next) == Some(&b'\n') {
            self.after_cr = false;
            next += 1;
        }
        if self.stage == Stage::Comment {
            self.stage = Stage::Event;
            piece.begin = next;
        } else if is_blank {
            self.whole(piece, next);
        }
        next
    }

    /// The event at hand is whole; it ends at `end`.
    fn whole(&mut self, piece: &mut Piece, end: usize) {
        let (begin, stage) = (piece.begin, self.stage);
        piece.begin = end;
        self.stage = Stage::Event;
        if stage == Stage::Long {
            return;
        }
        let last = &piece.bytes[begin..end];
        if self.held.is_empty() {
            if is_extra(last) {
                let comments = comments(last);
                piece.pass_up_to(begin);
                self.take_out(piece, end - begin, comments);
                piece.sent = end;
            }
            return;
        }
        self.held.extend_from_slice(last);
        let held = std::mem::take(&mut self.held);
        if is_extra(&held) {
            self.take_out(piece, held.len(), comments(&held));
        } else {
            piece.passed.push(held.into());
        }
        piece.sent = end;
    }

    fn take_out(&mut self, piece: &mut Piece, length: usize, comments: Vec<u8>) {
        self.taken += (length - comments.len()) as u64;
        self.was_taken = true;
        if !comments.is_empty() {
            piece.passed.push(comments.into());
        }
    }

    /// What lies behind the last whole event of the piece.
    fn rest(&mut self, mut piece: Piece) -> Passed {
        let (begin, end) = (piece.begin, piece.bytes.len());
        if self.stage == Stage::Event && begin < end {
            if self.held.len() + end - begin <= HELD_MAX {
                piece.pass_up_to(begin);
                self.held.extend_from_slice(&piece.bytes[begin..]);
                return piece.passed;
            }
            self.stage = Stage::Long;
            if !self.held.is_empty() {
                piece.passed.push(std::mem::take(&mut self.held).into());
            }
        }
        piece.pass_up_to(end);
        piece.passed
    }
}

/// The lines of an event, with their ends.
fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = event;
    std::iter::from_fn(move || {
        let end = memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
        let crlf = rest[..end].ends_with(b"\r") && rest.get(end) == Some(&b'\n');
        let (line, next) = rest.split_at(end + usize::from(crlf));
        rest = next;
        (!line.is_empty()).then_some(line)
    })
}

/// The comments in an event, which are none of it.
fn comments(event: &[u8]) -> Vec<u8> {
    let comments = lines(event).filter(|line| line.starts_with(b":"));
    comments.collect::<Vec<_>>().concat()
}

/// What every usage object is named with.
static USAGE: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(b"\"usage\""));

/// Whether an event is the one that is looked for.
fn is_extra(event: &[u8]) -> bool {
    if USAGE.find(event).is_none() {
        return false;
    }
    let mut data = lines(event).filter_map(|line| {
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    });
    let Some(first) = data.next() else {
        return false;
    };
    match data.next() {
        None => is_usage_alone(first),
        Some(second) => {
            let rest = data.collect::<Vec<_>>().concat();
            is_usage_alone(&[first, second, &rest].concat())
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "no tree: an event of at most 16 KiB, of which two kinds are kept"
)]
fn is_usage_alone(text: &[u8]) -> bool {
    let chunk = serde_json::from_slice::<Chunk>(text);
    chunk.is_ok_and(|chunk| chunk.choices == Kind::Empty && chunk.usage == Kind::Object)
}

#[derive(Deserialize)]
struct Chunk {
    choices: Kind,
    usage: Kind,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A list of nothing.
    Empty,
    Object,
    Other,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
        let mut kind = Kind::Empty;
        while list.next_element::<IgnoredAny>()?.is_some() {
            kind = Kind::Other;
        }
        Ok(kind)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Kind::Object)
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Kind, E> {
        Ok(Kind::Other)
    }
}

#[cfg(test)]
mod tests;
