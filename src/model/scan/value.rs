//! What the found values say, decoded from the body they were found in. Nothing is decoded before
//! it is asked for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::member::{Kind, Occurrence};
use super::string::{code_unit, short_escape};

/// Entries of a `models` list that are read. A request is attempted ten times at most; past this
/// the list is no list of fallbacks.
pub const MODELS_MAX: usize = 64;

/// The text of a string value. `None` if the value is no string, if the string is no Unicode text
/// (a lone surrogate, broken UTF-8), or if `body` is not the body it was found in.
#[must_use]
pub fn string_value<'a>(body: &'a [u8], found: &Occurrence) -> Option<Cow<'a, str>> {
    match found.kind() {
        Kind::String | Kind::EscapedString => decode(inside(body, found.value())?),
        _ => None,
    }
}

/// The text of a string with its quotes; `None` if it is none.
#[must_use]
pub fn decoded(string: &[u8]) -> Option<Cow<'_, str>> {
    decode(inside(string, 0..string.len())?)
}

/// One entry of a `models` list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel<'a> {
    /// Where it stands in the body, with its quotes.
    pub span: Range<usize>,
    /// The name.
    pub name: Cow<'a, str>,
}

/// Why a `models` list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The value is no array.
    NotAnArray,
    /// The entry at this offset in the body is no string, or no Unicode text.
    NotAString(usize),
    /// There are more than [`MODELS_MAX`] entries.
    TooMany,
}

impl fmt::Display for ListError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArray => write!(out, "`models` must be an array of strings"),
            Self::NotAString(at) => write!(
                out,
                "`models` must be an array of strings: the entry at byte {at} is none"
            ),
            Self::TooMany => write!(out, "`models` has more than {MODELS_MAX} entries"),
        }
    }
}

impl std::error::Error for ListError {}

/// The entries of a list of names, in order. An empty list is a list.
///
/// # Errors
///
/// [`ListError`] if the value is anything else than an array of at most [`MODELS_MAX`] strings.
pub fn model_list<'a>(
    body: &'a [u8],
    found: &Occurrence,
) -> Result<Vec<ListedModel<'a>>, ListError> {
    let span = found.value();
    if found.kind() != Kind::Array || body.get(span.clone()).is_none() {
        return Err(ListError::NotAnArray);
    }
    let body = &body[..span.end];
    let mut list = Vec::new();
    let mut at = skip(body, span.start + 1);
    while body.get(at).is_some_and(|&byte| byte != b']') {
        let entry = string_at(body, at).ok_or(ListError::NotAString(at))?;
        if list.len() == MODELS_MAX {
            return Err(ListError::TooMany);
        }
        at = skip(body, entry.span.end);
        list.push(entry);
    }
    Ok(list)
}

/// Passes over white space and commas. The scanner has checked that they stand where they may.
fn skip(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','))
        .count()
}

/// The string whose opening quote is at `start`.
fn string_at(body: &[u8], start: usize) -> Option<ListedModel<'_>> {
    if body.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        match body.get(at)? {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    let span = start..at + 1;
    Some(ListedModel {
        name: decode(inside(body, span.clone())?)?,
        span,
    })
}

/// What stands between the quotes of a string.
fn inside(body: &[u8], span: Range<usize>) -> Option<&[u8]> {
    body.get(span)?.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Undoes the escapes of a string.
fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    let Some(first) = memchr::memchr(b'\\', raw) else {
        return Some(Cow::Borrowed(text));
    };
    let (before, rest) = text.split_at_checked(first)?;
    let mut rest = &rest[1..];
    let mut decoded = String::with_capacity(text.len());
    decoded.push_str(before);
    loop {
        let (letter, after) = escaped(rest.as_bytes())?;
        decoded.push(letter);
        // An escape is ASCII, so that a character begins behind it.
        rest = rest.get(after..)?;
        match rest.split_once('\\') {
            Some((plain, next)) => {
                decoded.push_str(plain);
                rest = next;
            }
            None => break,
        }
    }
    decoded.push_str(rest);
    Some(Cow::Owned(decoded))
}

/// The character that an escape stands for, and the length of the escape without its backslash.
fn escaped(rest: &[u8]) -> Option<(char, usize)> {
    let (&letter, digits) = rest.split_first()?;
    if letter != b'u' {
        return Some((char::from_u32(u32::from(short_escape(letter)?))?, 1));
    }
    let unit = code_unit(digits)?;
    if let Some(letter) = char::from_u32(u32::from(unit)) {
        return Some((letter, 5));
    }
    let low = code_unit(digits.get(4..)?.strip_prefix(b"\\u")?)?;
    let letter = char::decode_utf16([unit, low]).next()?.ok()?;
    Some((letter, 11))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "serde_json is the slow twin of what is tested"
)]
mod tests {
    use super::super::{Member, Scanner};
    use super::*;

    fn found(body: &str, member: Member) -> Occurrence {
        let mut scanner = Scanner::new();
        scanner.feed(body.as_bytes()).unwrap();
        scanner.finish().unwrap();
        *scanner.members().get(member).unwrap().last()
    }

    fn model(value: &str) -> Option<String> {
        let body = format!("{{ \"model\" : {value} }}");
        string_value(body.as_bytes(), &found(&body, Member::Model)).map(Cow::into_owned)
    }

    #[test]
    fn strings_are_decoded() {
        for (value, text) in [
            (r#""""#, ""),
            (r#""gpt-4o""#, "gpt-4o"),
            (r#""a/b:c""#, "a/b:c"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u0061\u00E9\u6f22x""#, "a\u{e9}\u{6f22}x"),
            (r#""x\ud83e\uDD80y""#, "x\u{1f980}y"),
            (r#""\ud800\udc00\udbff\udfff""#, "\u{10000}\u{10ffff}"),
            (r#""\\u0061\\""#, "\\u0061\\"),
            (r#""\u0000""#, "\0"),
            (
                "\"Gr\u{fc}\u{df}e \u{1f980}\\n\"",
                "Gr\u{fc}\u{df}e \u{1f980}\n",
            ),
        ] {
            assert_eq!(model(value).as_deref(), Some(text), "{value}");
            assert_eq!(
                serde_json::from_str::<String>(value).unwrap(),
                text,
                "{value}"
            );
        }
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        let body = r#"{"model":"gpt-4o"}"#;
        let name = string_value(body.as_bytes(), &found(body, Member::Model));
        assert!(matches!(name, Some(Cow::Borrowed("gpt-4o"))));
    }

    #[test]
    fn what_is_no_text_is_none() {
        for value in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#""\udc00\ud800""#,
            r#""x\ud83e\u0041""#,
            "7",
            "null",
            "true",
            "[\"a\"]",
            "{}",
        ] {
            assert_eq!(model(value), None, "{value}");
        }
        let body = b"{\"model\":\"\xff\"}";
        let mut scanner = Scanner::new();
        scanner.feed(body).unwrap();
        assert_eq!(
            string_value(body, scanner.members().get(Member::Model).unwrap().last()),
            None
        );
    }

    #[test]
    fn another_body_is_no_reason_to_panic() {
        let body = r#"{"model":"a\u0061b","models":["a\u0061","b"]}"#;
        let (model, models) = (found(body, Member::Model), found(body, Member::Models));
        for len in 0..body.len() {
            for other in [
                body[..len].to_owned(),
                "\"".repeat(len),
                "\\".repeat(len),
                format!("{body}{body}")[len..].to_owned(),
            ] {
                let _ = string_value(other.as_bytes(), &model);
                let _ = model_list(other.as_bytes(), &models);
            }
        }
    }

    fn list(value: &str) -> Result<Vec<String>, ListError> {
        let body = format!("{{\"models\":{value}}}");
        let listed = model_list(body.as_bytes(), &found(&body, Member::Models))?;
        for model in &listed {
            assert_eq!(
                serde_json::from_str::<String>(&body[model.span.clone()]).unwrap(),
                model.name
            );
        }
        Ok(listed
            .into_iter()
            .map(|model| model.name.into_owned())
            .collect())
    }

    #[test]
    fn lists_are_read_in_order() {
        assert_eq!(list("[]"), Ok(vec![]));
        assert_eq!(list("[ \n ]"), Ok(vec![]));
        assert_eq!(list(r#"["a"]"#), Ok(vec!["a".into()]));
        let names = ["b", "a\"]", "b", "", "a,b"].map(String::from).to_vec();
        assert_eq!(
            list("[ \"b\" ,\t\"a\\\"]\",\"b\"\n,\"\", \"a,b\"]"),
            Ok(names)
        );
    }

    #[test]
    fn anything_but_strings_in_a_list_is_refused() {
        for value in ["null", "\"a\"", "{}", "1", "{\"a\":\"b\"}"] {
            assert_eq!(list(value), Err(ListError::NotAnArray), "{value}");
        }
        for (value, at) in [
            ("[1]", 1),
            ("[\"a\", null]", 6),
            ("[[\"a\"]]", 1),
            ("[{\"id\":\"a\"}]", 1),
            ("[\"\\ud800\"]", 1),
        ] {
            assert_eq!(
                list(value),
                Err(ListError::NotAString("{\"models\":".len() + at)),
                "{value}"
            );
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let of = |count: usize| format!("[{}]", vec!["\"a\""; count].join(","));
        assert_eq!(list(&of(MODELS_MAX)).map(|list| list.len()), Ok(MODELS_MAX));
        assert_eq!(list(&of(MODELS_MAX + 1)), Err(ListError::TooMany));
    }
}
