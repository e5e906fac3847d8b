//! The grammar: which token may come next, and what its end means.
//!
//! Every state takes one token. Tokens that lie in one piece are taken at once, by the fast
//! functions of [`super::plain`] and [`super::token`]; those that are cut, and those that are
//! broken, are taken byte by byte, by the functions named `in_…`, which know the exact place of a
//! mistake and can go on with the next piece.

use super::flaw::{Flaw, Malformed, Stop};
use super::key::Key;
use super::member::{Kind, Members, Occurrence};
use super::plain;
use super::stack::{Container, Stack};
use super::string::{Ignored, InString, Text};
use super::token::{self, Number, Word};

/// Bytes of the longest body that is scanned. Offsets are kept in 32 bits; bodies are limited far
/// below this.
pub const BODY_MAX: u64 = u32::MAX as u64;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What is known after a piece, as long as the document is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The top-level object is not complete: more pieces are needed.
    More,
    /// The top-level object is complete. Only white space may follow.
    Ended,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The byte order mark, of which so many bytes were seen; if none was, also what
    /// [`State::Open`] takes.
    Mark(u8),
    /// White space or the top-level object.
    Open,
    /// After `{` or `[`: the end of the container, or what it holds.
    First,
    /// After `,` in an object: a key.
    Key,
    /// The rest of a key.
    InKey,
    /// After a key: `:`.
    Colon,
    /// After `:`, or after `,` in an array: a value.
    Value,
    /// The rest of a string.
    InString,
    /// The rest of a number.
    InNumber(Number),
    /// The rest of `true`, `false` or `null`.
    InWord(Word),
    /// After a value: `,` or the end of the container.
    Next,
    /// After the top-level object: white space.
    End,
}

/// The scanner. Cheap to make, of fixed size, and never allocating.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Length of all pieces before the one at hand; at most [`BODY_MAX`].
    fed: u64,
    failed: Option<Malformed>,
    stack: Stack,
    string: InString,
    /// The top-level key at hand.
    key: Key,
    /// Where the top-level member at hand stands, as far as it was seen.
    current: Occurrence,
    members: Members,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the first byte of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Mark(0),
            fed: 0,
            failed: None,
            stack: Stack::new(),
            string: InString::new(),
            key: Key::new(),
            current: Occurrence::new(),
            members: Members::new(),
        }
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    ///
    /// [`Malformed`] as soon as no continuation could make the body a JSON object; the same again
    /// ever after.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Progress, Malformed> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let room = usize::try_from(BODY_MAX - self.fed).unwrap_or(usize::MAX);
        let (taken, beyond) = piece.split_at(piece.len().min(room));
        let outcome = match self.run(taken) {
            Ok(()) if !beyond.is_empty() => Err(Stop {
                at: room,
                what: Flaw::TooLong,
            }),
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {
                self.fed += piece.len() as u64;
                Ok(self.progress())
            }
            Err(Stop { at, what }) => {
                let malformed = Malformed {
                    offset: self.fed + at as u64,
                    what,
                };
                self.failed = Some(malformed);
                Err(malformed)
            }
        }
    }

    /// Says that no more pieces come.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the body was malformed, or ends before its object does.
    pub fn finish(&self) -> Result<(), Malformed> {
        match (self.failed, self.progress()) {
            (Some(failed), _) => Err(failed),
            (None, Progress::More) => Err(Malformed {
                offset: self.fed,
                what: Flaw::Truncated,
            }),
            (None, Progress::Ended) => Ok(()),
        }
    }

    /// The members found so far: those whose values are complete. Only when the object has ended is
    /// it known that none occurs again.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    fn progress(&self) -> Progress {
        if self.state == State::End {
            Progress::Ended
        } else {
            Progress::More
        }
    }

    fn run(&mut self, piece: &[u8]) -> Result<(), Stop> {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            at = match self.state {
                State::First => self.first(byte, piece, at)?,
                State::Key => self.key(byte, piece, at)?,
                State::Colon if byte == b':' => self.take(State::Value, at),
                State::Colon => blank(byte, piece, at)?,
                State::Value => self.value(byte, piece, at)?,
                State::Next => self.next(byte, piece, at)?,
                State::InKey => self.in_key(piece, at)?,
                State::InString => self.in_string(piece, at)?,
                State::InNumber(number) => self.in_number(number, piece, at)?,
                State::InWord(word) => self.in_word(word, piece, at)?,
                State::Mark(_) | State::Open => self.before(byte, at)?,
                State::End => blank(byte, piece, at).map_err(|Stop { at, .. }| Stop {
                    at,
                    what: Flaw::AfterTheEnd,
                })?,
            };
        }
        Ok(())
    }

    /// Before the top-level object.
    fn before(&mut self, byte: u8, at: usize) -> Result<usize, Stop> {
        self.state = match (self.state, byte) {
            (State::Mark(seen @ 0..=2), _) if byte == BYTE_ORDER_MARK[usize::from(seen)] => {
                State::Mark(seen + 1)
            }
            (State::Mark(1 | 2), _) => return Err(Stop::unexpected(at)),
            (_, b'{') => return self.open(Container::Object, at),
            (_, b' ' | b'\t' | b'\n' | b'\r') => State::Open,
            _ if token::begins_value(byte) => {
                return Err(Stop {
                    at,
                    what: Flaw::NotAnObject,
                });
            }
            _ => return Err(Stop::unexpected(at)),
        };
        Ok(at + 1)
    }

    #[inline]
    fn first(&mut self, byte: u8, piece: &[u8], at: usize) -> Result<usize, Stop> {
        let state = match (self.stack.innermost(), byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => return blank(byte, piece, at),
            (Container::Object, b'}') | (Container::Array, b']') => return Ok(self.close(at)),
            (Container::Object, _) => State::Key,
            (Container::Array, _) => State::Value,
        };
        self.state = state;
        Ok(at)
    }

    #[inline]
    fn next(&mut self, byte: u8, piece: &[u8], at: usize) -> Result<usize, Stop> {
        match (self.stack.innermost(), byte) {
            (Container::Object, b',') => Ok(self.take(State::Key, at)),
            (Container::Array, b',') => Ok(self.take(State::Value, at)),
            (Container::Object, b'}') | (Container::Array, b']') => Ok(self.close(at)),
            _ => blank(byte, piece, at),
        }
    }

    #[inline]
    fn key(&mut self, byte: u8, piece: &[u8], at: usize) -> Result<usize, Stop> {
        if byte != b'"' {
            return blank(byte, piece, at);
        }
        if self.is_top() {
            return self.top_level_key(piece, at);
        }
        if let Some(quote) = plain::find_quote(piece, at + 1) {
            return Ok(self.take(State::Colon, quote));
        }
        self.string = InString::new();
        self.in_key(piece, at + 1)
    }

    #[inline(never)]
    fn top_level_key(&mut self, piece: &[u8], at: usize) -> Result<usize, Stop> {
        self.key = Key::new();
        self.current.key_start = self.offset(at);
        self.string = InString::new();
        if let Some(quote) = plain::find_quote(piece, at + 1) {
            self.key.plain(&piece[at + 1..quote]);
            return Ok(self.take(State::Colon, quote));
        }
        self.in_key(piece, at + 1)
    }

    #[inline(never)]
    fn in_key(&mut self, piece: &[u8], at: usize) -> Result<usize, Stop> {
        let end = if self.is_top() {
            self.string.run(piece, at, &mut self.key)?
        } else {
            self.string.run(piece, at, &mut Ignored)?
        };
        self.state = if end.is_some() {
            State::Colon
        } else {
            State::InKey
        };
        Ok(end.unwrap_or(piece.len()))
    }

    #[inline]
    fn value(&mut self, byte: u8, piece: &[u8], at: usize) -> Result<usize, Stop> {
        if self.is_top() {
            self.begin_member(byte, at);
        }
        match byte {
            b'"' => {
                if let Some(quote) = plain::find_quote(piece, at + 1) {
                    return Ok(self.end_value(quote + 1));
                }
                self.string = InString::new();
                self.in_string(piece, at + 1)
            }
            b'{' => self.open(Container::Object, at),
            b'[' => self.open(Container::Array, at),
            b'-' | b'0'..=b'9' => match token::whole_number(piece, at) {
                Some(end) => Ok(self.end_value(end)),
                None => self.in_number(Number::Start, piece, at),
            },
            b't' => self.in_word(Word::TRUE, piece, at + 1),
            b'f' => self.in_word(Word::FALSE, piece, at + 1),
            b'n' => self.in_word(Word::NULL, piece, at + 1),
            _ => blank(byte, piece, at),
        }
    }

    #[inline(never)]
    fn in_string(&mut self, piece: &[u8], at: usize) -> Result<usize, Stop> {
        let Some(end) = self.string.run(piece, at, &mut Ignored)? else {
            self.state = State::InString;
            return Ok(piece.len());
        };
        if self.is_top() && self.string.has_escapes() {
            self.current.kind = Kind::EscapedString;
        }
        Ok(self.end_value(end))
    }

    /// A number ends before the first byte that is not part of it, which is left where it is.
    #[inline(never)]
    fn in_number(
        &mut self,
        mut number: Number,
        piece: &[u8],
        mut at: usize,
    ) -> Result<usize, Stop> {
        while let Some(&byte) = piece.get(at) {
            match number.step(byte) {
                Some(next) => number = next,
                None if number.is_complete() => return Ok(self.end_value(at)),
                None => return Err(Stop::unexpected(at)),
            }
            at += 1;
        }
        self.state = State::InNumber(number);
        Ok(at)
    }

    #[inline(never)]
    fn in_word(&mut self, mut word: Word, piece: &[u8], mut at: usize) -> Result<usize, Stop> {
        while let Some(&byte) = piece.get(at) {
            word = word.step(byte).ok_or(Stop::unexpected(at))?;
            at += 1;
            if word.is_complete() {
                return Ok(self.end_value(at));
            }
        }
        self.state = State::InWord(word);
        Ok(at)
    }

    #[inline]
    fn open(&mut self, container: Container, at: usize) -> Result<usize, Stop> {
        if !self.stack.open(container) {
            return Err(Stop {
                at,
                what: Flaw::TooDeep,
            });
        }
        Ok(self.take(State::First, at))
    }

    #[inline]
    fn close(&mut self, at: usize) -> usize {
        self.stack.close();
        if self.stack.depth() == 0 {
            return self.take(State::End, at);
        }
        self.end_value(at + 1)
    }

    /// Goes on behind a value, at `end`.
    #[inline]
    fn end_value(&mut self, end: usize) -> usize {
        if self.is_top() {
            self.end_member(end);
        }
        self.state = State::Next;
        end
    }

    /// Takes the byte at `at` and goes on in `state`.
    #[inline]
    fn take(&mut self, state: State, at: usize) -> usize {
        self.state = state;
        at + 1
    }

    /// Takes down where a top-level member's value begins. (White space before it comes here too,
    /// and is overwritten.)
    #[inline(never)]
    fn begin_member(&mut self, byte: u8, at: usize) {
        self.current.key_escaped = self.string.has_escapes();
        self.current.value_start = self.offset(at);
        self.current.kind = Kind::begun_by(byte);
    }

    /// Notes a top-level member.
    #[inline(never)]
    fn end_member(&mut self, end: usize) {
        self.current.value_end = self.offset(end);
        self.members.note(&self.key, self.current);
    }

    /// Whether the scanner is in the top-level object and in no container of it.
    #[inline]
    fn is_top(&self) -> bool {
        self.stack.depth() == 1
    }

    /// The place in the body of a place in the piece at hand. Lossless: [`Scanner::feed`] takes
    /// [`BODY_MAX`] bytes.
    #[allow(clippy::cast_possible_truncation)]
    fn offset(&self, at: usize) -> u32 {
        (self.fed + at as u64) as u32
    }
}

/// Passes over white space, which is all that may stand at `at`.
#[inline]
fn blank(byte: u8, piece: &[u8], at: usize) -> Result<usize, Stop> {
    match byte {
        b' ' | b'\t' | b'\r' => Ok(at + 1),
        b'\n' => Ok(token::skip_indentation(piece, at + 1)),
        _ => Err(Stop::unexpected(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_past_the_limit_is_refused_at_the_limit() {
        let too_long = Malformed {
            offset: BODY_MAX,
            what: Flaw::TooLong,
        };
        let fed = BODY_MAX - 4;
        let mut scanner = Scanner {
            fed,
            state: State::Next,
            ..Scanner::new()
        };
        assert!(scanner.stack.open(Container::Object));
        let mut other = scanner.clone();
        assert_eq!(scanner.feed(b" } "), Ok(Progress::Ended));
        assert_eq!(scanner.feed(b" "), Ok(Progress::Ended));
        assert_eq!(scanner.feed(b" "), Err(too_long));
        assert_eq!(other.feed(b"    }"), Err(too_long));
        assert_eq!(other.finish(), Err(too_long));
    }
}
