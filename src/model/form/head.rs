//! The headers of a part, and the parameters of a `Content-Type`: what a part is called, and where parts end.

use super::Flaw;

/// What a part is, as far as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The model's name.
    Model,
    /// Whether a stream is asked for.
    Stream,
    /// Anything else.
    Other,
}

/// What the name of a boundary in pieces, or in another encoding, begins with (RFC 2231).
const BOUNDARY_EXTENDED: &[u8] = b"boundary*";

/// The boundary among the parameters of a `Content-Type`, which begin with a semicolon.
pub fn boundary(parameters: &[u8]) -> Result<Vec<u8>, Flaw> {
    let mut found = None;
    for (name, value, _) in self::parameters(parameters).ok_or(Flaw::Boundary)? {
        // Servers that read RFC 2231 may take another one from `boundary*`.
        let start = name.get(..BOUNDARY_EXTENDED.len());
        if start.is_some_and(|start| start.eq_ignore_ascii_case(BOUNDARY_EXTENDED)) {
            return Err(Flaw::Boundary);
        }
        if name.eq_ignore_ascii_case(b"boundary") && found.replace(value).is_some() {
            return Err(Flaw::Boundary);
        }
    }
    found.ok_or(Flaw::Boundary)
}

/// Which field a part with these headers is.
pub fn field(head: &[u8]) -> Result<Field, Flaw> {
    if !has_whole_breaks(head) {
        return Err(Flaw::Head);
    }
    let mut disposition = None;
    let mut is_encoded = false;
    for line in lines(head) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or(Flaw::Head)?);
        let (name, value) = (name, value[1..].trim_ascii());
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return Err(Flaw::Head);
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            if disposition.replace(value).is_some() {
                return Err(Flaw::Head);
            }
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            let plain: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
            is_encoded = !plain.iter().any(|known| value.eq_ignore_ascii_case(known));
        }
    }
    let named = named(disposition.ok_or(Flaw::Head)?)?;
    match named.field {
        Field::Model if named.is_file || is_encoded => Err(Flaw::NotPlain),
        field => Ok(field),
    }
}

/// Whether each line break is whole: half of one ends a line for some servers and not for others.
fn has_whole_breaks(head: &[u8]) -> bool {
    let mut before = 0;
    let whole = head.iter().all(|byte| {
        let is_whole = (*byte == b'\n') == (before == b'\r');
        before = *byte;
        is_whole
    });
    whole && before != b'\r'
}

/// Lines up to the empty one.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|byte| *byte == b'\n');
    lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

struct Named {
    field: Field,
    is_file: bool,
}

fn named(disposition: &[u8]) -> Result<Named, Flaw> {
    let end = disposition.iter().position(|byte| *byte == b';');
    let (kind, parameters) = disposition.split_at(end.unwrap_or(disposition.len()));
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return Err(Flaw::Head);
    }
    let mut called = None;
    let mut is_file = false;
    for (name, value, escaped) in self::parameters(parameters).ok_or(Flaw::Head)? {
        if name.eq_ignore_ascii_case(b"name") {
            if called.replace((value, escaped)).is_some() {
                return Err(Flaw::Head);
            }
        } else if name.eq_ignore_ascii_case(b"filename") || name.eq_ignore_ascii_case(b"filename*")
        {
            is_file = true;
        } else if name.len() > 4 && name[..5].eq_ignore_ascii_case(b"name*") {
            // RFC 7578, section 4.2 has it nowhere, and some read it all the same.
            return Err(Flaw::Head);
        }
    }
    let (called, escaped) = called.ok_or(Flaw::Head)?;
    let field = match &*called {
        b"model" if !escaped => Field::Model,
        b"stream" if !escaped => Field::Stream,
        other if other.trim_ascii().eq_ignore_ascii_case(b"model") => return Err(Flaw::LookAlike),
        _ => Field::Other,
    };
    Ok(Named { field, is_file })
}

/// A parameter: its name, its value, and whether that had escapes.
type Parameter<'a> = (&'a [u8], Vec<u8>, bool);

/// Parameters (RFC 9110, section 5.6.6), each with a semicolon before it; none where they are broken.
fn parameters(mut text: &[u8]) -> Option<Vec<Parameter<'_>>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_ascii();
        let Some((b';', rest)) = text.split_first() else {
            return text.is_empty().then_some(found);
        };
        text = rest.trim_ascii_start();
        if text.is_empty() || text[0] == b';' {
            continue;
        }
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let (name, rest) = text.split_at(equals);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return None;
        }
        let (value, escaped, rest) = value(&rest[1..])?;
        found.push((name, value, escaped));
        text = rest;
    }
}

/// A value, whether it had escapes, and what stands behind it.
fn value(text: &[u8]) -> Option<(Vec<u8>, bool, &[u8])> {
    let Some((b'"', mut rest)) = text.split_first() else {
        let end = text.iter().position(|byte| *byte == b';');
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        let value = value.trim_ascii();
        let plain = !value.is_empty() && !value.contains(&b'"') && !value.contains(&b'\\');
        return plain.then(|| (value.to_vec(), false, rest));
    };
    let (mut value, mut escaped) = (Vec::new(), false);
    loop {
        match rest {
            [b'\\', byte, behind @ ..] => {
                escaped = true;
                value.push(*byte);
                rest = behind;
            }
            [b'"', behind @ ..] => return Some((value, escaped, behind)),
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
