//! What can be wrong with a body, and where.

use std::fmt;

use super::scanner::BODY_MAX;
use super::stack::DEPTH_MAX;

/// Why and where a body is not what [`super::Scanner`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the first byte that cannot stand where it stands, from the first byte of the body.
    /// For [`Flaw::Truncated`], the length of the body.
    pub offset: u64,
    /// What is wrong there.
    pub what: Flaw,
}

/// What can be wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The top-level value is another than an object.
    NotAnObject,
    /// A byte that the grammar does not allow at this place.
    UnexpectedByte,
    /// A raw control character inside a string.
    ControlCharacter,
    /// A backslash, and what follows is no escape.
    BadEscape,
    /// More than [`DEPTH_MAX`] containers inside one another.
    TooDeep,
    /// More than [`BODY_MAX`] bytes.
    TooLong,
    /// Something other than white space after the object.
    AfterTheEnd,
    /// The body ends before the object does.
    Truncated,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "at byte {}: {}", self.offset, self.what)
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => write!(out, "the body must be a JSON object"),
            Self::UnexpectedByte => write!(out, "unexpected byte, not valid JSON"),
            Self::ControlCharacter => write!(
                out,
                "unescaped control character in a string, not valid JSON"
            ),
            Self::BadEscape => write!(out, "invalid escape in a string, not valid JSON"),
            Self::TooDeep => write!(out, "more than {DEPTH_MAX} levels of nesting"),
            Self::TooLong => write!(out, "more than {BODY_MAX} bytes"),
            Self::AfterTheEnd => write!(out, "unexpected byte after the end of the JSON object"),
            Self::Truncated => write!(out, "the body ends before its JSON object does"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A [`Flaw`] at a place in the piece at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) at: usize,
    pub(super) what: Flaw,
}

impl Stop {
    pub(super) const fn unexpected(at: usize) -> Self {
        Self {
            at,
            what: Flaw::UnexpectedByte,
        }
    }

    pub(super) const fn bad_escape(at: usize) -> Self {
        Self {
            at,
            what: Flaw::BadEscape,
        }
    }

    pub(super) const fn control_character(at: usize) -> Self {
        Self {
            at,
            what: Flaw::ControlCharacter,
        }
    }
}
