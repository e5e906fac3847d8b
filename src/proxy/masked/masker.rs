//! Finds a credential in bytes that come in pieces, as it is or escaped, and writes stars over it, as many as it had bytes.
//!
//! Two searches run side by side: one over the bytes as they are, and one over what they stand for, with JSON's escapes
//! (`\u0073`, `\/`, however many backslashes an error inside an error has gathered) and percent-encoding (`%73`) undone.
//! Each knows where the bytes of its partial match began, and from there on bytes are held back until it is decided.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::credentials::Key;

/// What is shorter than this is no secret, and would be found where nobody meant it.
const SHORTEST: usize = 8;

/// Backslashes before one letter, at the most. Each nesting of errors doubles them.
const SLASHES_MAX: usize = 16;

/// Writes over a credential in bytes that pass.
pub struct Masker {
    key: Arc<Key>,
    /// For each beginning of the key: how much of it is matched still when the next byte is another (Knuth, Morris, Pratt).
    shorter: Box<[usize]>,
    plain: Run,
    escaped: Run,
    part: Part,
    /// Bytes that have not gone on.
    held: BytesMut,
    /// How many went on before them.
    gone: usize,
    found: bool,
}

/// A search: how much of the key is matched, and where each matched byte began.
#[derive(Default)]
struct Run {
    starts: VecDeque<usize>,
}

/// An escape that has begun.
#[derive(Clone, Copy)]
enum Part {
    None,
    /// Backslashes from there on.
    Slashes(usize),
    /// `\u` from there on, with so many digits and this value.
    Unicode(usize, u8, u32),
    /// `%` there, with a first digit perhaps.
    Percent(usize, Option<u32>),
}

impl Part {
    fn start(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Slashes(start) | Self::Unicode(start, ..) | Self::Percent(start, _) => {
                Some(start)
            }
        }
    }
}

impl Masker {
    /// Looks for this key; none, where it is too short to be a secret.
    #[must_use]
    pub fn new(key: &Arc<Key>) -> Option<Self> {
        let text = key.expose();
        (text.len() >= SHORTEST).then(|| Self {
            shorter: shorter(text),
            key: Arc::clone(key),
            plain: Run::default(),
            escaped: Run::default(),
            part: Part::None,
            held: BytesMut::new(),
            gone: 0,
            found: false,
        })
    }

    /// Takes bytes in, and gives back those that may go on.
    pub fn take(&mut self, bytes: &[u8]) -> Bytes {
        let first = self.gone + self.held.len();
        self.held.extend_from_slice(bytes);
        for (at, byte) in (first..).zip(bytes) {
            let ended = self.plain.push(*byte, at, self.key.expose(), &self.shorter);
            self.write_over(ended, at);
            self.read(*byte, at);
        }
        let end = self.gone + self.held.len();
        let starts = [self.plain.start(), self.escaped.start(), self.part.start()];
        let keep = starts.into_iter().flatten().fold(end, usize::min);
        let gone = self.held.split_to(keep - self.gone).freeze();
        self.gone = keep;
        gone
    }

    /// What was held back, at the end of all bytes. The beginning of the key is written over as well.
    pub fn finish(&mut self) -> Bytes {
        let end = self.gone + self.held.len();
        for run in [&self.plain, &self.escaped] {
            if run.starts.len() >= SHORTEST
                && let Some(start) = run.start()
            {
                self.found = true;
                self.held[start - self.gone..].fill(b'*');
            }
        }
        self.gone = end;
        self.held.split().freeze()
    }

    /// Whether anything was written over.
    #[must_use]
    pub fn has_found(&self) -> bool {
        self.found
    }

    /// Reads a byte as what it stands for.
    fn read(&mut self, byte: u8, at: usize) {
        self.part = match (self.part, byte) {
            (Part::None, b'\\') => Part::Slashes(at),
            (Part::Slashes(start), b'\\') if at - start < SLASHES_MAX => Part::Slashes(start),
            (Part::Slashes(_), b'\\') => {
                // More than any escape begins with: what was matched before them ends there.
                self.escaped.starts.clear();
                Part::Slashes(at)
            }
            (Part::Slashes(start), b'u') => Part::Unicode(start, 0, 0),
            (Part::None | Part::Slashes(_), b'%') => Part::Percent(at, None),
            (Part::None, _) => return self.stands_for(byte, at, at),
            (Part::Slashes(start), _) => {
                self.part = Part::None;
                return self.stands_for(byte, start, at);
            }
            (Part::Unicode(start, digits, value), _) => match digit(byte) {
                Some(digit) if digits < 3 => Part::Unicode(start, digits + 1, value << 4 | digit),
                Some(digit) => return self.ends_escape(value << 4 | digit, start, at),
                None => return self.is_no_escape(byte, at),
            },
            (Part::Percent(start, first), _) => match (digit(byte), first) {
                (Some(digit), None) => Part::Percent(start, Some(digit)),
                (Some(digit), Some(first)) => {
                    return self.ends_escape(first << 4 | digit, start, at);
                }
                (None, _) => return self.is_no_escape(byte, at),
            },
        };
    }

    fn ends_escape(&mut self, value: u32, start: usize, at: usize) {
        self.part = Part::None;
        match u8::try_from(value) {
            Ok(byte) => self.stands_for(byte, start, at),
            Err(_) => self.escaped.starts.clear(),
        }
    }

    /// What looked like an escape is none: no key is written like that.
    fn is_no_escape(&mut self, byte: u8, at: usize) {
        self.part = Part::None;
        self.escaped.starts.clear();
        self.read(byte, at);
    }

    fn stands_for(&mut self, byte: u8, start: usize, at: usize) {
        let ended = self
            .escaped
            .push(byte, start, self.key.expose(), &self.shorter);
        self.write_over(ended, at);
    }

    /// Writes over what began there and ended at `at`.
    fn write_over(&mut self, began: Option<usize>, at: usize) {
        if let Some(began) = began {
            self.found = true;
            let Range { start, end } = began - self.gone..at + 1 - self.gone;
            self.held[start..end].fill(b'*');
        }
    }
}

impl Run {
    fn start(&self) -> Option<usize> {
        self.starts.front().copied()
    }

    /// The next byte, which began at `start`; says where the key began, if it ends with this byte.
    fn push(&mut self, byte: u8, start: usize, key: &[u8], shorter: &[usize]) -> Option<usize> {
        while !self.starts.is_empty() && key[self.starts.len()] != byte {
            self.shorten(shorter);
        }
        if key[self.starts.len()] != byte {
            return None;
        }
        self.starts.push_back(start);
        if self.starts.len() < key.len() {
            return None;
        }
        let began = self.start();
        self.shorten(shorter);
        began
    }

    fn shorten(&mut self, shorter: &[usize]) {
        let matched = self.starts.len();
        self.starts.drain(..matched - shorter[matched - 1]);
    }
}

/// For each beginning of `key`, the length of the longest shorter beginning that it ends with.
fn shorter(key: &[u8]) -> Box<[usize]> {
    let mut table = vec![0; key.len()];
    let mut matched = 0;
    for at in 1..key.len() {
        while matched > 0 && key[at] != key[matched] {
            matched = table[matched - 1];
        }
        matched += usize::from(key[at] == key[matched]);
        table[at] = matched;
    }
    table.into_boxed_slice()
}

fn digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Arc<Key> {
        Arc::new(Key::new(text, Arc::default()).expect("a header value"))
    }

    /// `text` after the search for `secret`, in pieces of every size; all must come to the same.
    #[track_caller]
    fn masked(secret: &str, text: &str) -> String {
        let whole = in_pieces(secret, text, usize::MAX);
        for size in 1..text.len() {
            assert_eq!(in_pieces(secret, text, size), whole, "by {size}");
        }
        assert_eq!(whole.len(), text.len(), "{whole}");
        whole
    }

    fn in_pieces(secret: &str, text: &str, size: usize) -> String {
        let mut masker = Masker::new(&key(secret)).expect("long enough");
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            out.extend_from_slice(&masker.take(piece));
        }
        out.extend_from_slice(&masker.finish());
        let out = String::from_utf8(out).expect("text");
        assert_eq!(masker.has_found(), out != text);
        out
    }

    const SECRET: &str = "sk-ab/sk-abc";

    #[test]
    fn the_key_is_written_over_wherever_it_stands() {
        for (text, expected) in [
            ("sk-ab/sk-abc", "************"),
            (r#"{"k":"sk-ab/sk-abc"}"#, r#"{"k":"************"}"#),
            ("sk-ab/sk-ab/sk-abc.", "sk-ab/************."),
            ("sk-ab/sk-abcsk-ab/sk-abc", "************************"),
            ("ssk-ab/sk-abcc", "s************c"),
            (
                "Bearer sk-ab/sk-abc and more",
                "Bearer ************ and more",
            ),
        ] {
            assert_eq!(masked(SECRET, text), expected, "{text}");
        }
    }

    #[test]
    fn escaped_it_is_found_too() {
        for text in [
            r"sk-ab\/sk-abc",
            r"sk-ab\\\/sk-abc",
            r"\u0073k-ab\u002Fsk-abc",
            r"s\\u006b-ab\u002fsk-ab\\\\u0063",
            "sk-ab%2Fsk-abc",
            "%73%6b-ab%2fsk-ab%63",
            r"%73k-ab\/sk\u002dabc",
        ] {
            let whole = format!("a {text} b %20 \\n c");
            let expected = format!("a {} b %20 \\n c", "*".repeat(text.len()));
            assert_eq!(masked(SECRET, &whole), expected);
        }
    }

    #[test]
    fn what_is_no_key_stays() {
        for text in [
            "",
            "sk-ab/sk-ab",
            "sk-ab/sk-abd sk-ab sk-abc",
            r"\u0073\u006 %7 %zz \\\\ \u12345",
            "SK-AB/SK-ABC",
            &r"\".repeat(100),
        ] {
            let expected = if text == "sk-ab/sk-ab" {
                // The beginning of a key, where the text was cut.
                "***********"
            } else {
                text
            };
            assert_eq!(masked(SECRET, text), expected, "{text}");
        }
    }

    #[test]
    fn keys_that_hold_what_escapes_are_made_of_are_found_as_they_are() {
        for secret in [r"a\u0073b\c%20d", "%%%%%%%%", r"\\\\\\\\", "uuuu%41%41%"] {
            let text = format!("x{secret}y");
            let expected = format!("x{}y", "*".repeat(secret.len()));
            assert_eq!(masked(secret, &text), expected, "{secret}");
        }
    }

    #[test]
    fn a_key_that_is_too_short_is_not_looked_for() {
        assert!(Masker::new(&key("short-1")).is_none());
        assert!(Masker::new(&key("short-12")).is_some());
    }

    #[test]
    fn little_is_held_back() {
        let mut masker = Masker::new(&key(SECRET)).expect("long enough");
        let slashes = r"\".repeat(100_000);
        assert!(masker.take(slashes.as_bytes()).len() > 99_000);
        // Also behind a byte with which the key begins.
        let mut masker = Masker::new(&key(SECRET)).expect("long enough");
        let begun = format!("s{slashes}");
        assert!(masker.take(begun.as_bytes()).len() > 99_000);
        let text = r"s\u006b".repeat(1_000);
        assert!(masker.take(text.as_bytes()).len() >= text.len() - 10);
    }
}
