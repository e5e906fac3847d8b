//! Whether the beginning of a JSON text is an error and nothing else. Reads only as far as it must; what is no JSON is
//! nobody's error.

use super::Answer;
use crate::usage::quote_or_escape;

/// Whether this is a top-level member that an answer has and an error has not, of all surfaces.
fn is_of_answers(key: &[u8]) -> bool {
    matches!(
        key,
        b"choices"
            | b"content"
            | b"candidates"
            | b"output"
            | b"data"
            | b"embeddings"
            | b"embedding"
            | b"results"
            | b"response"
    )
}

/// Words for errors that the request or the key is to blame for, in `type`, `code` and `status`.
const OF_REQUESTS: [&[u8]; 23] = [
    b"invalid_request_error",
    b"invalid_request",
    b"bad_request",
    b"request_too_large",
    b"context_length_exceeded",
    b"content_filter",
    b"content_policy_violation",
    b"moderation",
    b"not_found_error",
    b"model_not_found",
    b"authentication_error",
    b"invalid_api_key",
    b"permission_error",
    b"billing_error",
    b"insufficient_quota",
    b"rate_limit_error",
    b"rate_limit_exceeded",
    b"INVALID_ARGUMENT",
    b"FAILED_PRECONDITION",
    b"NOT_FOUND",
    b"UNAUTHENTICATED",
    b"PERMISSION_DENIED",
    b"RESOURCE_EXHAUSTED",
];

/// What a body is that begins with `text`; none while that is open. `ended`: nothing follows.
pub(super) fn answer(text: &[u8], ended: bool) -> Option<Answer> {
    let mut found = None;
    let walked = walk(text, is_of_answers, |key, value| {
        note(key, value, &mut found)
    });
    match (walked, found) {
        (Walked::Stopped, _) | (Walked::Whole, None) => Some(Answer::Good),
        (Walked::Open, None) => None,
        (Walked::Open, Some(_)) if !ended => None,
        (_, Some(error)) => Some(error),
    }
}

/// What an event is, whole or cut off: an error may have empty choices beside it.
pub(super) fn chunk(data: &[u8]) -> Answer {
    let mut found = None;
    let _ = walk(data, |_| false, |key, value| note(key, value, &mut found));
    found.unwrap_or(Answer::Good)
}

/// Whose error this is, which is one by its event's name: in its `error`, or by itself.
pub(super) fn error(data: &[u8]) -> Answer {
    match chunk(data) {
        Answer::Good => blame(data),
        found => found,
    }
}

fn note(key: &[u8], value: &[u8], found: &mut Option<Answer>) {
    if key == b"error" && matches!(value, [b'{', ..] | [b'"', _, _, ..]) {
        *found = Some(blame(value));
    }
}

/// Whose error an object is.
fn blame(object: &[u8]) -> Answer {
    let mut answer = Answer::Error;
    let _ = walk(
        object,
        |_| false,
        |key, value| {
            let tells = matches!(key, b"type" | b"code" | b"status");
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let value = value.strip_suffix(b"\"").unwrap_or(value);
            if tells && (OF_REQUESTS.contains(&value) || is_client_error(value)) {
                answer = Answer::Refusal;
            }
        },
    );
    answer
}

/// A 4xx that is no 408.
fn is_client_error(value: &[u8]) -> bool {
    matches!(value, [b'4', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit())
        && value != b"408"
}

/// How far a walk came.
enum Walked {
    /// To the end of the object, or to what is no object.
    Whole,
    /// To a key at which it was to stop.
    Stopped,
    /// To the end of what there is of it.
    Open,
}

/// Goes over the members of the object at the beginning of `text`, up to a key at which it `stops`, whose value is not looked at:
/// it may be long. `see` is shown each key as it is written, without quotes, and its value, of which the last may be cut
/// off.
fn walk<'t>(
    text: &'t [u8],
    stops: impl Fn(&[u8]) -> bool,
    mut see: impl FnMut(&'t [u8], &'t [u8]),
) -> Walked {
    let mut rest = blanks(text);
    // Gemini streams an array of answers where it is not asked for events.
    rest = rest.strip_prefix(b"[").map_or(rest, blanks);
    match rest {
        [] => return Walked::Open,
        [b'{', inside @ ..] => rest = inside,
        _ => return Walked::Whole,
    }
    loop {
        rest = match blanks(rest) {
            [] => return Walked::Open,
            [b',', after @ ..] => blanks(after),
            here => here,
        };
        let Some(b'"') = rest.first() else {
            return if rest.is_empty() {
                Walked::Open
            } else {
                Walked::Whole
            };
        };
        let Some(end) = string(rest) else {
            return Walked::Open;
        };
        let key = &rest[1..end - 1];
        if stops(key) {
            return Walked::Stopped;
        }
        rest = match blanks(&rest[end..]) {
            [] => return Walked::Open,
            [b':', after @ ..] => blanks(after),
            _ => return Walked::Whole,
        };
        if rest.is_empty() {
            return Walked::Open;
        }
        let end = value(rest);
        let seen = rest[..end.unwrap_or(rest.len())].trim_ascii_end();
        see(key, seen);
        match end {
            Some(end) => rest = &rest[end..],
            None => return Walked::Open,
        }
    }
}

fn blanks(text: &[u8]) -> &[u8] {
    match text.first() {
        // Nearly always there are none.
        Some(byte) if !byte.is_ascii_whitespace() => text,
        _ => text.trim_ascii_start(),
    }
}

/// Where the string at the beginning ends, quotes included; none if it goes on.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += quote_or_escape(text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where the value at the beginning ends; none if it goes on, or may.
fn value(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string(&text[at..])?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
