//! A rule's pattern: a name as it is, or with `*` for any run of characters, none included.
//!
//! Matching looks at each character of a text at most once, whatever the pattern: the pieces
//! between two `*` are searched for with Knuth, Morris and Pratt's tables, made when the rule is
//! read. It allocates nothing.
//!
//! Absent: `?`, classes and escapes. No provider or model has a `*` in its name.

use std::fmt;

/// Bytes a pattern may have. The longest model names have about 100.
pub const PATTERN_BYTES_MAX: usize = 256;

/// What a pattern is matched against: bytes by position, so that a name of several parts need not
/// be joined.
pub trait Text {
    /// Bytes in all.
    fn length(&self) -> usize;
    /// The byte at `at`, which is less than `length`.
    fn at(&self, at: usize) -> u8;
}

impl Text for &str {
    fn length(&self) -> usize {
        self.len()
    }

    fn at(&self, at: usize) -> u8 {
        self.as_bytes()[at]
    }
}

/// Whether `A` and `a` are one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They are two.
    Exact,
    /// They are one, for ASCII letters.
    Any,
}

impl Case {
    fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Exact => byte,
            Self::Any => byte.to_ascii_lowercase(),
        }
    }
}

/// A pattern, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    case: Case,
    head: Box<[u8]>,
    /// What follows the first `*`; without one, the whole pattern is the head.
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    middle: Box<[Piece]>,
    tail: Box<[u8]>,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`BadPattern`].
    pub fn new(pattern: &str, case: Case) -> Result<Self, BadPattern> {
        if pattern.is_empty() {
            return Err(BadPattern::Empty);
        }
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(BadPattern::TooLong);
        }
        if pattern.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(BadPattern::Blank);
        }
        let mut pieces = pattern.split('*').map(|piece| folded(piece, case));
        let head = pieces.next().unwrap_or_default();
        let tail = pieces.next_back();
        let middle = pieces
            .filter(|piece| !piece.is_empty())
            .map(Piece::new)
            .collect();
        Ok(Self {
            case,
            head,
            open: tail.map(|tail| Open { middle, tail }),
        })
    }

    /// Is the whole of `text` what the pattern describes?
    pub fn matches(&self, text: &impl Text) -> bool {
        let Some(open) = &self.open else {
            return text.length() == self.head.len() && self.is_at(text, 0, &self.head);
        };
        let Some(end) = text.length().checked_sub(open.tail.len()) else {
            return false;
        };
        if end < self.head.len() || !self.is_at(text, 0, &self.head) {
            return false;
        }
        let mut from = self.head.len();
        for piece in &open.middle {
            match piece.find_end(text, from, end, self.case) {
                Some(found) => from = found,
                None => return false,
            }
        }
        self.is_at(text, end, &open.tail)
    }

    fn is_at(&self, text: &impl Text, start: usize, part: &[u8]) -> bool {
        part.iter()
            .enumerate()
            .all(|(at, byte)| self.case.fold(text.at(start + at)) == *byte)
    }
}

/// As it was written, but for letters whose case does not count: those are small.
impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |piece: &[u8]| String::from_utf8_lossy(piece).into_owned();
        out.write_str(&text(&self.head))?;
        let Some(open) = &self.open else {
            return Ok(());
        };
        for piece in &open.middle {
            write!(out, "*{}", text(&piece.bytes))?;
        }
        write!(out, "*{}", text(&open.tail))
    }
}

fn folded(piece: &str, case: Case) -> Box<[u8]> {
    piece.bytes().map(|byte| case.fold(byte)).collect()
}

/// What stands between two `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    bytes: Box<[u8]>,
    /// For each position, how many bytes that end there also begin the piece (the whole of it not
    /// counted): where to go on when the next byte does not fit.
    borders: Box<[usize]>,
}

impl Piece {
    fn new(bytes: Box<[u8]>) -> Self {
        let mut borders = vec![0; bytes.len()].into_boxed_slice();
        for at in 1..bytes.len() {
            borders[at] = advance(&bytes, &borders, borders[at - 1], bytes[at]);
        }
        Self { bytes, borders }
    }

    /// Where the first occurrence in `from..to` ends.
    fn find_end(&self, text: &impl Text, from: usize, to: usize, case: Case) -> Option<usize> {
        let mut matched = 0;
        for at in from..to {
            matched = advance(&self.bytes, &self.borders, matched, case.fold(text.at(at)));
            if matched == self.bytes.len() {
                return Some(at + 1);
            }
        }
        None
    }
}

/// How many bytes of the piece are matched once `next` has been read after `matched` of them.
fn advance(bytes: &[u8], borders: &[usize], mut matched: usize, next: u8) -> usize {
    while matched > 0 && bytes[matched] != next {
        matched = borders[matched - 1];
    }
    matched + usize::from(bytes[matched] == next)
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPattern {
    /// It would match nothing that exists.
    Empty,
    /// Longer than [`PATTERN_BYTES_MAX`].
    TooLong,
    /// No name has blanks or control characters.
    Blank,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("is empty; write * for everything"),
            Self::TooLong => write!(out, "is longer than {PATTERN_BYTES_MAX} bytes"),
            Self::Blank => out.write_str("has a blank or a control character"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern, Case::Exact).unwrap().matches(&text)
    }

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o", "x-gpt-4o", false),
            ("gpt-4o", "GPT-4o", false),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "gpt-4o:x/y", true),
            ("gpt-*", "gpt", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "-mini-", false),
            ("*", "", true),
            ("**", "anything", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aab", false),
            ("*aab*", "aaaab", true),
            ("*abab*", "abaabab", true),
            ("m?del", "model", false),
            ("[ab]", "a", false),
            ("modèle*", "modèles", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn case_is_ignored_only_where_asked() {
        let any = Glob::new("GPT-*-Mini", Case::Any).unwrap();
        assert!(any.matches(&"gpt-4o-MINI"));
        assert!(!any.matches(&"gpt-4o"));
        assert!(!matches("GPT-*-Mini", "gpt-4o-mini"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let cases = [
            ("", BadPattern::Empty),
            ("a b", BadPattern::Blank),
            ("a\n", BadPattern::Blank),
            (&long, BadPattern::TooLong),
        ];
        for (pattern, expected) in cases {
            assert_eq!(
                Glob::new(pattern, Case::Exact),
                Err(expected),
                "{pattern:?}"
            );
        }
        assert!(Glob::new(&long[1..], Case::Exact).is_ok());
    }

    struct Counted<'a>(&'a str, Cell<usize>);

    impl Text for Counted<'_> {
        fn length(&self) -> usize {
            self.0.len()
        }

        fn at(&self, at: usize) -> u8 {
            self.1.set(self.1.get() + 1);
            self.0.as_bytes()[at]
        }
    }

    #[test]
    fn hostile_patterns_read_each_character_at_most_once() {
        let text = "a".repeat(100_000);
        let patterns = [
            "*a".repeat(120) + "*b",
            "*a".repeat(120) + "*b*",
            format!("*{}b*", "a".repeat(200)),
            format!("a*{}b", "a".repeat(200)),
            format!("*{}*", "aab".repeat(60)),
        ];
        for pattern in patterns {
            let counted = Counted(&text, Cell::new(0));
            assert!(
                !Glob::new(&pattern, Case::Exact).unwrap().matches(&counted),
                "{pattern}"
            );
            assert!(
                counted.1.get() <= text.len(),
                "{} reads for {pattern}",
                counted.1.get()
            );
        }
    }

    /// The obvious matcher, exponential and right.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some((b'*', rest)), None) => slow(rest, text),
            (Some((b'*', rest)), Some((_, after))) => slow(rest, text) || slow(pattern, after),
            (Some((p, rest)), Some((t, after))) => p == t && slow(rest, after),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_obvious_matcher(pattern in "[ab*]{1,9}", text in "[ab]{0,12}") {
            prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
