//! Answers of 200 that are nothing but an error: a JSON object with an `error` and no answer beside it, or an event
//! stream whose first event is one. Looked at while the bytes pass; nothing is held or changed.
//!
//! A pure function reads the first bytes anew whenever there are more of them, so that it does not matter how they are
//! cut. Nearly always the first piece decides, and nothing is copied.

mod json;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};

/// Bytes that are looked at. An error that takes longer to say is rare, and an answer shows itself before.
const LOOKED_AT: usize = 4 * 1024;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Events,
}

impl Form {
    /// The form of a body that can be read as it passes; none of one that is something else, compressed, or empty.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let is_empty = headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
        if is_empty || headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let kind = headers.get(CONTENT_TYPE)?.as_bytes();
        let is = |name: &str| {
            kind.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
                && kind
                    .get(name.len())
                    .is_none_or(|next| matches!(next, b';' | b' '))
        };
        match () {
            () if is("application/json") => Some(Self::Json),
            () if is("text/event-stream") => Some(Self::Events),
            () => None,
        }
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for, as far as can be told.
    Good,
    /// An error of the upstream's.
    Error,
    /// An error about the request, the key or its limits.
    Refusal,
}

/// Looks at the body of one answer, until it is clear what it is.
#[derive(Debug, Default)]
pub struct Watch {
    form: Option<Form>,
    /// The bytes so far, where they did not decide.
    kept: Vec<u8>,
}

impl Watch {
    /// Looks at a body of that form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            form: Some(form),
            kept: Vec::new(),
        }
    }

    /// The next bytes; what the body is, told once. `ended`: they are the last.
    pub fn look(&mut self, bytes: &[u8], ended: bool) -> Option<Answer> {
        let form = self.form?;
        let room = LOOKED_AT - self.kept.len();
        let bytes = &bytes[..bytes.len().min(room)];
        let ended = ended || bytes.len() == room;
        let found = if self.kept.is_empty() {
            read(form, bytes, ended)
        } else {
            self.kept.extend_from_slice(bytes);
            read(form, &self.kept, ended)
        };
        if found.is_some() {
            *self = Self::default();
        } else if self.kept.is_empty() {
            self.kept.extend_from_slice(bytes);
        }
        found
    }
}

/// What a body is that begins with `bytes`; none while that is open. It is not when `ended`.
fn read(form: Form, bytes: &[u8], ended: bool) -> Option<Answer> {
    let found = match form {
        Form::Json => json::answer(bytes, ended),
        Form::Events => first_event(bytes, ended),
    };
    found.or(ended.then_some(Answer::Good))
}

/// What the first event is that says something: comments and Anthropic's `ping` do not.
fn first_event(bytes: &[u8], ended: bool) -> Option<Answer> {
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    loop {
        let event = Event::read(&mut rest, ended)?;
        match event.name {
            b"ping" => {}
            b"error" => return Some(json::error(&event.data)),
            _ if !event.data.is_empty() => return Some(json::chunk(&event.data)),
            _ => {}
        }
    }
}

/// One server-sent event (HTML Living Standard, section 9.2.6).
#[derive(Default)]
struct Event<'b> {
    name: &'b [u8],
    data: std::borrow::Cow<'b, [u8]>,
}

impl<'b> Event<'b> {
    /// Takes an event, or nothing if it is not whole yet. With the end of the body an event ends, too.
    fn read(rest: &mut &'b [u8], ended: bool) -> Option<Self> {
        let mut event = Self::default();
        let mut begun = false;
        loop {
            let Some(line) = line(rest, ended) else {
                return begun.then_some(event).filter(|_| ended);
            };
            if line.is_empty() {
                return Some(event);
            }
            begun = true;
            event.add(line);
        }
    }

    fn add(&mut self, line: &'b [u8]) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = colon.map_or((line, &line[line.len()..]), |at| {
            (&line[..at], &line[at + 1..])
        });
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = value,
            b"data" if self.data.is_empty() => self.data = value.into(),
            b"data" => {
                let data = self.data.to_mut();
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

/// Takes a line with its end (LF, CRLF or CR), or nothing if it is not whole yet.
fn line<'b>(rest: &mut &'b [u8], ended: bool) -> Option<&'b [u8]> {
    let all = *rest;
    let Some(end) = all.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
        *rest = &[];
        return Some(all).filter(|all| ended && !all.is_empty());
    };
    let next = match &all[end..] {
        // An LF that belongs to it may follow.
        [b'\r'] if !ended => return None,
        [b'\r', b'\n', ..] => end + 2,
        _ => end + 1,
    };
    *rest = &all[next..];
    Some(&all[..end])
}

#[cfg(test)]
mod tests;
