//! Edits of a request body, as splices on its bytes: nothing is parsed into a tree and written
//! again.
//!
//! What is edited is the model a body asks for ([`name_model`]): the value of `model` is replaced,
//! and `models` is taken out. No other byte of the body changes, white space and member order
//! included. [`splice`] carries edits out and copies as little as it can. It knows nothing of why
//! an edit is made.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::scan::{Found, Kind, Member, Members, Occurrence, string_value};

/// Bytes of the longest edited body that is copied into one buffer: past this, copying costs more
/// than the writes that more than one piece takes.
pub const ONE_BUFFER_MAX: usize = 64 * 1024;

/// Bytes of the longest stretch beside an edit that is copied together with it, rather than handed
/// over as a piece of its own: a TLS record's worth, about the price of one more write.
pub const COPIED_MAX: usize = 16 * 1024;

/// One edit: the bytes at `range` of the body become `with`. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that go. Offsets from the first byte of the body.
    pub range: Range<usize>,
    /// The bytes that come in their place.
    pub with: Bytes,
}

/// The edits that [`name_model`] makes, which are rarely more than one.
pub type Edits = SmallVec<[Edit; 1]>;

/// Why [`name_model`] makes no edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotEdit {
    /// The member occurs more than once: which one the upstream would read is unknown.
    Repeated(Member),
    /// The body goes on, and what follows `models` must be seen before it can be taken out.
    Unfinished,
}

impl fmt::Display for CannotEdit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(member) => write!(out, "`{}` occurs more than once", member.name()),
            Self::Unfinished => write!(out, "the end of `models` was not seen"),
        }
    }
}

impl std::error::Error for CannotEdit {}

/// The edits, in order, after which `body` asks for the model `name` and for no other.
///
/// The value of `model` is replaced, unless it says `name` already (however written); `models` is
/// taken out, or, where there is no `model`, replaced by one. A body with neither is left as it is.
/// `body` may be the first part of a body, if it holds the found members.
///
/// # Errors
///
/// [`CannotEdit`] if `model` or `models` is repeated, or if `body` ends right behind `models`.
pub fn name_model(body: &[u8], members: &Members, name: &str) -> Result<Edits, CannotEdit> {
    let model = sole(members, Member::Model)?;
    let models = sole(members, Member::Models)?;
    let mut edits = Edits::new();
    match (model, models) {
        (Some(model), _) => {
            if !says(body, model, name) {
                edits.push(Edit {
                    range: model.value(),
                    with: json_string(name).into(),
                });
            }
            if let Some(models) = models {
                let range = removal(body, models).ok_or(CannotEdit::Unfinished)?;
                edits.push(Edit {
                    range,
                    with: Bytes::new(),
                });
            }
        }
        (None, Some(models)) => {
            let with = format!("\"model\":{}", json_string(name)).into();
            edits.push(Edit {
                range: models.member(),
                with,
            });
        }
        (None, None) => {}
    }
    edits.sort_unstable_by_key(|edit| edit.range.start);
    Ok(edits)
}

/// Whether a value is the string `text`, however written.
fn says(body: &[u8], found: &Occurrence, text: &str) -> bool {
    match found.kind() {
        // Without an escape the bytes say it already.
        Kind::String => {
            let written = body.get(found.value()).unwrap_or_default();
            written.len() == text.len() + 2 && &written[1..=text.len()] == text.as_bytes()
        }
        _ => string_value(body, found).is_some_and(|written| written == text),
    }
}

fn sole(members: &Members, member: Member) -> Result<Option<&Occurrence>, CannotEdit> {
    if members.is_repeated(member) {
        return Err(CannotEdit::Repeated(member));
    }
    Ok(members.get(member).map(Found::last))
}

/// The bytes to take away so that a member goes and the object stays valid: with the comma before
/// it, and the white space between; if it is the first member, with the comma behind it. `None` if
/// `body` ends before that can be told.
///
/// Between tokens there is nothing but white space, so the next other byte on either side is the
/// comma or the brace.
fn removal(body: &[u8], found: &Occurrence) -> Option<Range<usize>> {
    let member = found.member();
    let before = body
        .get(..member.start)?
        .iter()
        .rposition(|byte| !is_blank(*byte))?;
    if body[before] == b',' {
        return Some(before..member.end);
    }
    let after = member.end
        + body
            .get(member.end..)?
            .iter()
            .position(|byte| !is_blank(*byte))?;
    Some(if body[after] == b',' {
        member.start..after + 1
    } else {
        member
    })
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// `text` as a JSON string, quotes included. Escaped is what must be (RFC 8259, section 7).
#[must_use]
pub fn json_string(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    let is_plain = |all: bool, byte: u8| all & (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, is_plain) {
        written.push_str(text);
        written.push('"');
        return written;
    }
    for letter in text.chars() {
        match letter {
            '"' | '\\' => written.extend(['\\', letter]),
            '\0'..='\x1F' => {
                let code = letter as usize;
                written.push_str("\\u00");
                written.extend([HEX[code >> 4], HEX[code & 15]].map(char::from));
            }
            _ => written.push(letter),
        }
    }
    written.push('"');
    written
}

/// Edits that do not fit their body: out of order, overlapping, or beyond its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

impl fmt::Display for Misfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("edits out of order, overlapping, or beyond the end of the body")
    }
}

impl std::error::Error for Misfit {}

/// The length of a body of `len` bytes after `edits`, which must fit it.
///
/// # Errors
///
/// [`Misfit`] if they do not.
pub fn len_after(len: usize, edits: &[Edit]) -> Result<usize, Misfit> {
    let mut left = len;
    let mut end = 0;
    let mut come = 0;
    for Edit { range, with } in edits {
        if range.start < end || range.end < range.start || range.end > len {
            return Err(Misfit);
        }
        end = range.end;
        left -= range.len();
        come += with.len();
    }
    Ok(left + come)
}

/// A body in pieces, in order. None is empty, but for those that were taken out.
#[derive(Clone, Debug)]
pub struct Pieces(Shape);

#[derive(Clone, Debug)]
enum Shape {
    /// Nearly every body: no list is needed.
    One([Bytes; 1]),
    Many(Vec<Bytes>),
}

impl Default for Pieces {
    /// None.
    fn default() -> Self {
        Self(Shape::Many(Vec::new()))
    }
}

impl Pieces {
    /// This one, unless it is empty.
    #[must_use]
    pub fn one(piece: Bytes) -> Self {
        if piece.is_empty() {
            Self::default()
        } else {
            Self(Shape::One([piece]))
        }
    }

    /// The pieces, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Bytes] {
        match &self.0 {
            Shape::One(piece) => piece,
            Shape::Many(pieces) => pieces,
        }
    }

    /// Takes the piece at a place out, and leaves an empty one there.
    pub fn take(&mut self, at: usize) -> Option<Bytes> {
        let pieces = match &mut self.0 {
            Shape::One(piece) => piece.as_mut_slice(),
            Shape::Many(pieces) => pieces,
        };
        pieces.get_mut(at).map(std::mem::take)
    }

    /// Bytes in all.
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.as_slice().iter().map(Bytes::len).sum()
    }
}

/// Carries out `edits`, which are in order and do not overlap.
///
/// Without edits the body is handed over as it is. A result of at most [`ONE_BUFFER_MAX`] bytes is
/// one piece. Of a longer one the stretches between the edits are slices of `body`, and those of at
/// most [`COPIED_MAX`] bytes are copied into one piece with the edits beside them.
///
/// # Errors
///
/// [`Misfit`] if the edits do not fit the body.
pub fn splice(body: &Bytes, edits: &[Edit]) -> Result<Pieces, Misfit> {
    let len = len_after(body.len(), edits)?;
    if edits.is_empty() {
        return Ok(Pieces::one(body.clone()));
    }
    if len <= ONE_BUFFER_MAX {
        return Ok(Pieces::one(joined(body, edits, len)));
    }
    let mut joiner = Joiner {
        pieces: Vec::new(),
        gathered: BytesMut::new(),
    };
    let mut at = 0;
    for Edit { range, with } in edits {
        joiner.add(body, at..range.start);
        joiner.add(with, 0..with.len());
        at = range.end;
    }
    joiner.add(body, at..body.len());
    Ok(joiner.finish())
}

/// The body after `edits`, of `len` bytes, in one buffer.
fn joined(body: &[u8], edits: &[Edit], len: usize) -> Bytes {
    let mut whole = Vec::with_capacity(len);
    let mut at = 0;
    for Edit { range, with } in edits {
        whole.extend_from_slice(&body[at..range.start]);
        whole.extend_from_slice(with);
        at = range.end;
    }
    whole.extend_from_slice(&body[at..]);
    whole.into()
}

/// Puts stretches together into few pieces.
struct Joiner {
    pieces: Vec<Bytes>,
    /// Short stretches since the last long one.
    gathered: BytesMut,
}

impl Joiner {
    fn add(&mut self, source: &Bytes, range: Range<usize>) {
        if range.len() <= COPIED_MAX {
            self.gathered.extend_from_slice(&source[range]);
        } else {
            self.flush();
            self.pieces.push(source.slice(range));
        }
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.pieces.push(self.gathered.split().freeze());
        }
    }

    fn finish(mut self) -> Pieces {
        self.flush();
        Pieces(Shape::Many(self.pieces))
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "serde_json is the slow twin of what is tested"
)]
mod tests;
