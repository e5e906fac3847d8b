//! What stands inside a value: the elements of an array, the members of an object, as they are written. Each is passed
//! over once, and nothing is decoded. The scanner has checked the grammar; of bytes that it has not, something comes
//! out, but no harm.

use memchr::memchr2;

use super::member::{Kind, Occurrence};

/// The value as it is written; empty if `body` is not the body it was found in.
#[must_use]
pub fn raw<'a>(body: &'a [u8], found: &Occurrence) -> &'a [u8] {
    body.get(found.value()).unwrap_or_default()
}

/// Whether a value says anything: it is neither `null` nor `false`, and no empty string, array or object.
#[must_use]
pub fn says_something(body: &[u8], found: &Occurrence) -> bool {
    match found.kind() {
        Kind::Null | Kind::False => false,
        Kind::True | Kind::Number | Kind::EscapedString => true,
        Kind::String => raw(body, found).len() > 2,
        Kind::Array => elements(raw(body, found)).next().is_some(),
        Kind::Object => entries(raw(body, found)).next().is_some(),
    }
}

/// The number, if it is a whole one that is written with digits alone and can be kept.
#[must_use]
pub fn whole_number(body: &[u8], found: &Occurrence) -> Option<u64> {
    let digits = raw(body, found);
    if found.kind() != Kind::Number || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The elements of an array. Of anything else there are none.
#[must_use]
pub fn elements(array: &[u8]) -> Elements<'_> {
    Elements(Walk::into(array, b'['))
}

/// The members of an object: what stands between the quotes of the key, and the value. Of anything else there are none.
#[must_use]
pub fn entries(object: &[u8]) -> Entries<'_> {
    Entries(Walk::into(object, b'{'))
}

/// See [`elements`].
pub struct Elements<'a>(Walk<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.value()
    }
}

/// See [`entries`].
pub struct Entries<'a>(Walk<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let key = self.0.value()?;
        let key = key
            .strip_prefix(b"\"")
            .and_then(|key| key.strip_suffix(b"\""));
        Some((key?, self.0.value()?))
    }
}

/// Goes from value to value inside a container.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn into(value: &'a [u8], bracket: u8) -> Self {
        Self(match value.split_first() {
            Some((&first, rest)) if first == bracket => rest,
            _ => b"",
        })
    }

    /// The next value, at this depth; none at the end of the container.
    fn value(&mut self) -> Option<&'a [u8]> {
        let between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        let start = self.0.iter().position(|byte| !between(byte))?;
        let rest = &self.0[start..];
        let len = length(rest)?;
        let (value, rest) = rest.split_at(len);
        self.0 = rest;
        Some(value)
    }
}

/// How long the value is that `text` begins with; none if it begins with the end of a container.
fn length(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => Some(string_length(text)),
        b'{' | b'[' => Some(container_length(text)),
        b'}' | b']' => None,
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            Some(text.iter().position(ends).unwrap_or(text.len()))
        }
    }
}

fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // The byte behind a backslash ends nothing.
        at += 1;
    }
    text.len()
}

fn container_length(text: &[u8]) -> usize {
    let (mut at, mut open) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string_length(&text[at..]);
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
        if open == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::{Member, Scanner};
    use super::*;

    fn of(value: &str) -> (Vec<u8>, Occurrence) {
        let body = format!("{{\"n\" : {value} , \"x\":[1]}}").into_bytes();
        let mut scanner = Scanner::new();
        scanner.feed(&body).unwrap();
        let found = *scanner.members().get(Member::N).unwrap().last();
        (body, found)
    }

    #[test]
    fn what_says_nothing() {
        for value in ["null", "false", "\"\"", "[]", "[ \n]", "{}", "{\t}"] {
            let (body, found) = of(value);
            assert!(!says_something(&body, &found), "{value}");
        }
        for value in [
            "true",
            "0",
            "\"a\"",
            "\"\\n\"",
            "[null]",
            "{\"a\":null}",
            "[[]]",
        ] {
            let (body, found) = of(value);
            assert!(says_something(&body, &found), "{value}");
        }
    }

    #[test]
    fn whole_numbers_are_digits() {
        for (value, number) in [
            ("0", Some(0)),
            ("128", Some(128)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.0", None),
            ("1e3", None),
            ("\"1\"", None),
            ("null", None),
            ("[1]", None),
        ] {
            let (body, found) = of(value);
            assert_eq!(whole_number(&body, &found), number, "{value}");
        }
    }

    fn texts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        parts
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect()
    }

    #[test]
    fn elements_are_those_of_the_outermost_array() {
        let array = br#"[ 1,"a,]\"",[2,[3]] , {"a":[4,{"b":"]}\\"}]},null ,-1.5e3,true]"#;
        let expected = [
            "1",
            r#""a,]\"""#,
            "[2,[3]]",
            r#"{"a":[4,{"b":"]}\\"}]}"#,
            "null",
            "-1.5e3",
            "true",
        ];
        assert_eq!(texts(elements(array)), expected);
        for other in ["[]", "{\"a\":1}", "1", "\"[1]\"", ""] {
            assert_eq!(elements(other.as_bytes()).count(), 0, "{other}");
        }
    }

    #[test]
    fn members_are_those_of_the_outermost_object() {
        let object = br#"{ "a" : {"b":1} , "t\u0079pe":"x", "":[1,2],"c":"}"}"#;
        let (keys, values): (Vec<_>, Vec<_>) = entries(object).unzip();
        assert_eq!(texts(keys.into_iter()), ["a", r"t\u0079pe", "", "c"]);
        let expected = [r#"{"b":1}"#, "\"x\"", "[1,2]", "\"}\""];
        assert_eq!(texts(values.into_iter()), expected);
        for other in ["{}", "[1]", "\"{}\"", ""] {
            assert_eq!(entries(other.as_bytes()).count(), 0, "{other}");
        }
    }

    #[test]
    fn broken_bytes_do_no_harm() {
        let text = br#"[{"a":"b\"c","d":[1,{"e":"f"}]},"g\\",[],{}]"#;
        for start in 0..text.len() {
            for end in start..text.len() {
                let cut = &text[start..end];
                let _: usize = elements(cut).map(|part| entries(part).count()).sum();
                let _ = entries(cut).count();
                for bracket in [b'[', b'{'] {
                    let _ = elements(&[&[bracket][..], cut].concat()).count();
                    let _ = entries(&[&[bracket][..], cut].concat()).count();
                }
            }
        }
    }
}
