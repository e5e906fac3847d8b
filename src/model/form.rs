//! `multipart/form-data` (RFC 7578) read as it comes, in constant memory: where the field `model` lies, and whether the form
//! is what its boundary says. Files in it are passed over.
//!
//! Servers differ in what they make of a form that is written in an odd way, so that what two of them could read in two
//! ways is refused. It knows nothing of HTTP: bytes in, verdict out.

mod head;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use head::Field;

/// Bytes of a part's headers, at the most.
const HEAD_MAX: usize = 8 * 1024;

/// Bytes of a model's name, at the most. No name is as long.
const MODEL_MAX: usize = 1024;

/// Bytes of the field `stream` that are looked at.
const STREAM_MAX: usize = 8;

/// Bytes of the line break that a delimiter begins with.
const BREAK: usize = 2;

/// Bytes of a boundary, at the most (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// What is wrong with a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The `Content-Type` has no boundary, or none that is allowed, or two.
    Boundary,
    /// It does not begin with its boundary.
    Beginning,
    /// A line with the boundary has something else in it.
    Delimiter,
    /// A part's headers are broken, too long, or name the part in a way that is read differently by different servers.
    Head,
    /// The field `model` is there twice.
    Twice,
    /// A field is called `model` in other letter case, or with escapes.
    LookAlike,
    /// The field `model` is a file, or is encoded.
    NotPlain,
    /// The field `model` is empty, longer than any name, or no text.
    NotAName,
    /// There is no field `model`.
    Missing,
    /// It ends before its last boundary.
    CutOff,
    /// Something follows its last boundary.
    Followed,
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Boundary => "has no usable `boundary` in its Content-Type",
            Self::Beginning => "does not begin with the boundary that its Content-Type names",
            Self::Delimiter => "has a line that begins with its boundary and goes on otherwise",
            Self::Head => "has a part whose headers cannot be read",
            Self::Twice => "has two fields `model`",
            Self::LookAlike => {
                "names a field `model` in other letter case, or with escapes; write it plainly"
            }
            Self::NotPlain => "has a `model` that is a file, or encoded; send it as a plain field",
            Self::NotAName => "has a `model` that is no name of a model",
            Self::Missing => "has no field `model`",
            Self::CutOff => "ends before its last boundary",
            Self::Followed => "goes on behind its last boundary",
        })
    }
}

impl std::error::Error for Flaw {}

/// The field `model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What it says.
    pub name: String,
    /// Where that lies, from the first byte of the form.
    pub value: Range<usize>,
}

/// Reads a form.
#[derive(Clone, Debug)]
pub struct Form {
    /// `\r\n--` and the boundary.
    delimiter: Box<[u8]>,
    state: State,
    /// How much of the delimiter was there at last.
    matched: usize,
    /// How much of that was there in thought only: the line break before a first delimiter, or the one that ends headers.
    lent: usize,
    /// Bytes read.
    read: usize,
    /// The headers of the part, or the value of its field, as far as they have come.
    gathered: Vec<u8>,
    field: Field,
    /// Where the value of the field began.
    began: usize,
    model: Option<Model>,
    stream: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Before,
    /// Behind a delimiter, with so many dashes.
    Behind(u8),
    /// In the blanks behind it, or behind their carriage return.
    Blanks { returned: bool },
    /// In the headers of a part.
    Head,
    /// In its value.
    Value,
    /// Behind the last delimiter.
    After,
}

impl Form {
    /// A form with the `Content-Type` of a request; none where that is no form.
    #[must_use]
    pub fn of_type(content_type: &[u8]) -> Option<Result<Self, Flaw>> {
        let end = content_type.iter().position(|byte| *byte == b';');
        let (kind, parameters) = content_type.split_at(end.unwrap_or(content_type.len()));
        if !kind
            .trim_ascii()
            .eq_ignore_ascii_case(b"multipart/form-data")
        {
            return None;
        }
        Some(head::boundary(parameters).and_then(|boundary| Self::new(&boundary)))
    }

    fn new(boundary: &[u8]) -> Result<Self, Flaw> {
        let is_allowed =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
        let fits = (1..=BOUNDARY_MAX).contains(&boundary.len()) && !boundary.ends_with(b" ");
        if !fits || !boundary.iter().all(is_allowed) {
            return Err(Flaw::Boundary);
        }
        Ok(Self {
            delimiter: [b"\r\n--", boundary].concat().into(),
            state: State::Before,
            matched: BREAK,
            lent: BREAK,
            read: 0,
            gathered: Vec::new(),
            field: Field::Other,
            began: 0,
            model: None,
            stream: false,
        })
    }

    /// The field `model`, once all of it has come.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Whether a field that came by now asks for a stream.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        self.stream
    }

    /// Reads on.
    ///
    /// # Errors
    /// What is wrong with it. Nothing more is to be read then.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while !bytes.is_empty() {
            let taken = match self.state {
                State::Before | State::Value => self.seek(bytes)?,
                _ => self.step(bytes[0])?,
            };
            self.read += taken;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Whether it is whole.
    ///
    /// # Errors
    /// It is not, or it has no field `model`.
    pub fn finish(&self) -> Result<(), Flaw> {
        match (self.state, &self.model) {
            (State::After, Some(_)) => Ok(()),
            (State::After, None) => Err(Flaw::Missing),
            _ => Err(Flaw::CutOff),
        }
    }

    /// Looks for the delimiter; says how many bytes were read.
    fn seek(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        if self.matched == 0 {
            let skipped = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
            self.value(&bytes[..skipped])?;
            if skipped > 0 {
                return Ok(skipped);
            }
        }
        let byte = bytes[0];
        if byte != self.delimiter[self.matched] {
            // Only its first byte is a carriage return: nothing of what was matched can be the beginning of another.
            if self.state == State::Before && byte != b'\r' {
                return Err(Flaw::Beginning);
            }
            let came = std::mem::take(&mut self.lent)..std::mem::take(&mut self.matched);
            let delimiter = std::mem::take(&mut self.delimiter);
            let told = self.value(&delimiter[came]);
            self.delimiter = delimiter;
            told?;
            // The byte is looked at again, from the beginning of the delimiter.
            return Ok(0);
        }
        self.matched += 1;
        if self.matched == self.delimiter.len() {
            self.ends_value()?;
            (self.matched, self.lent) = (0, 0);
            self.state = State::Behind(0);
        }
        Ok(1)
    }

    /// Takes in bytes of a value.
    fn value(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let (most, too_long) = match self.field {
            Field::Other => return Ok(()),
            Field::Model => (MODEL_MAX, Err(Flaw::NotAName)),
            // What is longer says neither `true` nor `false`.
            Field::Stream => (STREAM_MAX, Ok(())),
        };
        if self.gathered.len() + bytes.len() > most {
            return too_long;
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    fn ends_value(&mut self) -> Result<(), Flaw> {
        match self.field {
            Field::Other => {}
            Field::Stream => self.stream = self.gathered.eq_ignore_ascii_case(b"true"),
            Field::Model => {
                let name = std::str::from_utf8(&self.gathered).map_err(|_| Flaw::NotAName)?;
                if name.is_empty() || name.chars().any(char::is_control) {
                    return Err(Flaw::NotAName);
                }
                self.model = Some(Model {
                    name: name.to_owned(),
                    value: self.began..self.began + name.len(),
                });
            }
        }
        self.field = Field::Other;
        self.gathered.clear();
        Ok(())
    }

    /// Takes in a byte between values.
    fn step(&mut self, byte: u8) -> Result<usize, Flaw> {
        self.state = match (self.state, byte) {
            (State::Behind(0), b'-') => State::Behind(1),
            (State::Behind(1), b'-') => State::After,
            (State::Behind(0) | State::Blanks { returned: false }, b' ' | b'\t') => {
                State::Blanks { returned: false }
            }
            (State::Behind(0) | State::Blanks { returned: false }, b'\r') => {
                State::Blanks { returned: true }
            }
            (State::Blanks { returned: true }, b'\n') => State::Head,
            (State::Behind(_) | State::Blanks { .. }, _) => return Err(Flaw::Delimiter),
            (State::Head, _) => return self.head(byte),
            (State::After, b' ' | b'\t' | b'\r' | b'\n') => State::After,
            (State::After, _) => return Err(Flaw::Followed),
            (state @ (State::Before | State::Value), _) => state,
        };
        Ok(1)
    }

    fn head(&mut self, byte: u8) -> Result<usize, Flaw> {
        if self.gathered.len() == HEAD_MAX {
            return Err(Flaw::Head);
        }
        self.gathered.push(byte);
        if self.gathered.ends_with(b"\r\n\r\n") || self.gathered == b"\r\n" {
            self.field = head::field(&self.gathered)?;
            if self.field == Field::Model && self.model.is_some() {
                return Err(Flaw::Twice);
            }
            self.gathered.clear();
            self.began = self.read + 1;
            // A part may have nothing behind its headers (RFC 2046, section 5.1.1).
            (self.matched, self.lent) = (BREAK, BREAK);
            self.state = State::Value;
        }
        Ok(1)
    }
}
