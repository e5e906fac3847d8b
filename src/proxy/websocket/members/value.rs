//! Strings and other values in a JSON text.

/// Bytes of the longest string that means anything.
const KEPT: usize = 96;

/// A string that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Whether it is a key.
    pub key: bool,
    /// Whether the next byte is escaped.
    pub escaped: bool,
    /// Whether there was an escape, or more than is kept.
    pub odd: bool,
    kept: [u8; KEPT],
    length: usize,
}

impl Text {
    /// One of which nothing has come.
    pub const fn new(key: bool) -> Self {
        Self {
            key,
            escaped: false,
            odd: false,
            kept: [0; KEPT],
            length: 0,
        }
    }

    /// Takes more of it.
    pub fn add(&mut self, bytes: &[u8]) {
        match self.kept.get_mut(self.length..self.length + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            None => self.length = KEPT + 1,
        }
    }

    /// What it says; nothing where that is too long, or is written with escapes.
    #[must_use]
    pub fn plain(&self) -> &[u8] {
        let kept = self.kept.get(..self.length).unwrap_or_default();
        if self.odd { b"" } else { kept }
    }
}

/// A value, as far as it says something by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'b> {
    /// `null`.
    Null,
    /// A string.
    String(&'b [u8]),
    /// A number, `true` or `false`.
    Word(&'b [u8]),
    /// A list or an object.
    Other,
}

impl<'b> Value<'b> {
    /// What is no string.
    #[must_use]
    pub fn word(text: &'b [u8]) -> Self {
        match text {
            b"null" => Self::Null,
            _ => Self::Word(text),
        }
    }

    /// A whole number; without end where it is none (`"inf"`).
    #[must_use]
    pub fn count(self) -> u64 {
        let Self::Word(digits) = self else {
            return u64::MAX;
        };
        let text = std::str::from_utf8(digits).unwrap_or_default();
        text.parse().unwrap_or(u64::MAX)
    }

    /// What it says as a string, if it is a plain one.
    #[must_use]
    pub const fn text(self) -> &'b [u8] {
        match self {
            Self::String(text) => text,
            Self::Null | Self::Word(_) | Self::Other => b"",
        }
    }
}
