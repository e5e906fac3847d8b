//! What a body says of the usage of its stream (`stream_options.include_usage`), and the edit after which it asks for it.
//! The value of `stream_options` is looked into one level deep, once the scanner has found it.

use std::fmt;
use std::ops::Range;

use super::scan::{Kind, Member, Members, decoded};
use super::splice::Edit;

const NAME: &str = "include_usage";

/// The whole member, for a body that has none.
const MEMBER: &[u8] = br#","stream_options":{"include_usage":true}"#;
const OPTIONS: &[u8] = br#"{"include_usage":true}"#;
const OPTION: &[u8] = br#""include_usage":true"#;
const OPTION_FIRST: &[u8] = br#""include_usage":true,"#;

/// Why it cannot be told what a body says of its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// `stream_options` is neither an object nor `null`.
    NoObject,
    /// `include_usage` is neither `true`, `false` nor `null`.
    NoChoice,
    /// `include_usage` occurs twice.
    Repeated,
    /// Its key is written with escapes.
    Escaped,
    /// A key differs from it in letter case only, which some parsers take for the same.
    LookAlike,
}

impl fmt::Display for Unclear {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoObject => "`stream_options` must be an object",
            Self::NoChoice => "`stream_options.include_usage` must be true or false",
            Self::Repeated => "`stream_options.include_usage` occurs twice",
            Self::Escaped => "`stream_options.include_usage` is written with escapes",
            Self::LookAlike => "`stream_options.include_usage` occurs in other letter case",
        })
    }
}

impl std::error::Error for Unclear {}

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// That usage is to be sent.
    Yes,
    /// Something else, which stands here.
    No { at: usize, length: usize },
    /// Nothing, in an object whose inside begins here; `first`: it has members.
    Nothing { inside: usize, members: bool },
}

/// Checks that it is clear what `body` says of its usage.
///
/// # Errors
/// [`Unclear`] if it is not.
pub fn check(body: &[u8], members: &Members) -> Result<(), Unclear> {
    match members.get(Member::StreamOptions) {
        Some(found) if found.last().kind() == Kind::Object => {
            said(body, found.last().value()).map(drop)
        }
        Some(found) if found.last().kind() != Kind::Null => Err(Unclear::NoObject),
        _ => Ok(()),
    }
}

/// The edit after which `body`, which asks for a stream, asks for its usage as well; none where it does so already, or where
/// that is not clear. `whole`: nothing of the body is still to come. If more comes, a body that has no `stream_options` yet
/// may have them later, and is not edited.
#[must_use]
pub fn ask(body: &[u8], members: &Members, whole: bool) -> Option<Edit> {
    let edit = |range, with| Edit {
        range,
        with: bytes::Bytes::from_static(with),
    };
    let Some(found) = members.get(Member::StreamOptions) else {
        let end = members.get(Member::Stream)?.last().value().end;
        return whole.then(|| edit(end..end, MEMBER));
    };
    let found = found.last();
    match found.kind() {
        Kind::Null => Some(edit(found.value(), OPTIONS)),
        Kind::Object => match said(body, found.value()).ok()? {
            Said::Yes => None,
            Said::No { at, length } => Some(edit(at..at + length, b"true")),
            Said::Nothing { inside, members } => {
                let with = if members { OPTION_FIRST } else { OPTION };
                Some(edit(inside..inside, with))
            }
        },
        _ => None,
    }
}

/// Looks into the object at `span`, which the scanner has found to be one.
fn said(body: &[u8], span: Range<usize>) -> Result<Said, Unclear> {
    let object = body.get(span.clone()).unwrap_or_default();
    let inside = span.start + 1;
    let members = Walk { object, at: 1 };
    let mut said = Said::Nothing {
        inside,
        members: false,
    };
    for (key, value) in members {
        match said {
            Said::Nothing { .. } if !is_name(&object[key.clone()])? => {
                said = Said::Nothing {
                    inside,
                    members: true,
                };
            }
            Said::Nothing { .. } => {
                said = choice(&object[value.clone()], span.start + value.start)?
            }
            _ if is_name(&object[key])? => return Err(Unclear::Repeated),
            _ => {}
        }
    }
    Ok(said)
}

fn choice(value: &[u8], at: usize) -> Result<Said, Unclear> {
    match value {
        b"true" => Ok(Said::Yes),
        b"false" | b"null" => Ok(Said::No {
            at,
            length: value.len(),
        }),
        _ => Err(Unclear::NoChoice),
    }
}

/// Whether a key, with its quotes, is the one that is looked for.
fn is_name(key: &[u8]) -> Result<bool, Unclear> {
    let Some(name) = decoded(key) else {
        return Ok(false);
    };
    if name == NAME {
        let is_plain = key.len() == NAME.len() + 2;
        return if is_plain {
            Ok(true)
        } else {
            Err(Unclear::Escaped)
        };
    }
    // As the scanner has it for the members of the body: U+017F is an s to some.
    let folded = name.chars().map(|letter| match letter {
        '\u{17F}' => 's',
        letter => letter.to_ascii_lowercase(),
    });
    if folded.eq(NAME.chars()) {
        return Err(Unclear::LookAlike);
    }
    Ok(false)
}

/// The members of an object that is well-formed: key and value of each, as places in it.
struct Walk<'b> {
    object: &'b [u8],
    at: usize,
}

impl Iterator for Walk<'_> {
    type Item = (Range<usize>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','));
        if self.object.get(self.at) != Some(&b'"') {
            return None;
        }
        let key = self.string();
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':'));
        let value = self.value();
        Some((key, value))
    }
}

impl Walk<'_> {
    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        while self.object.get(self.at).is_some_and(|byte| unwanted(*byte)) {
            self.at += 1;
        }
    }

    /// The string whose opening quote is here.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        loop {
            self.skip(|byte| !matches!(byte, b'"' | b'\\'));
            match self.object.get(self.at) {
                Some(b'\\') => self.at += 2,
                Some(_) => break,
                None => return start..self.object.len(),
            }
        }
        self.at += 1;
        start..self.at
    }

    fn value(&mut self) -> Range<usize> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.object.get(self.at) {
            match byte {
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                _ => self.at += 1,
            }
        }
        start..self.at
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "serde_json is the slow twin of what is tested"
)]
mod tests;
