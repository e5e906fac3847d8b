//! The usage object in a JSON text that comes in pieces: at the top (`usage`, Gemini's `usageMetadata`), or one object
//! below (`response`, `message`, `x_groq`), and the service tier beside it. The text is not checked: a provider's
//! answer that is no JSON simply has no usage. Of what lies deeper, nearly all of an answer, only strings and brackets
//! are told apart.

use memchr::{memchr, memchr3};

use super::strings::quote_or_escape;

/// Bytes of the longest usage object that is kept. The longest known is 1 KiB.
pub(super) const KEPT_MAX: usize = 16 * 1024;

/// Bytes of nearly every usage object: room for them is made at once.
const KEPT_USUAL: usize = 512;

/// Bytes of the longest key that is looked for.
const KEY_MAX: usize = 16;

/// Bytes of the longest name of a tier that is told from others.
const TIER_MAX: usize = 16;

/// Something that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'b> {
    /// A whole usage object.
    Usage(&'b [u8]),
    /// A usage object too large to be kept.
    TooLarge,
    /// The name of a service tier.
    Tier(&'b [u8]),
    /// What the text says it is: its own member `type`.
    Kind(&'b [u8]),
}

/// Reads one JSON text.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// Containers that are open.
    depth: u32,
    /// 1 inside a top-level array, whose elements are then texts of their own; else 0.
    base: u32,
    /// Whether the object that is open as the second is one of those that are looked into.
    below: bool,
    /// Whether the innermost container is an array in which nothing but numbers has been seen.
    in_numbers: bool,
    /// Whether a string that begins now is a key, where keys matter.
    before_key: bool,
    key: Key,
    string: Option<InString>,
    /// The depth of the object that is being kept.
    keeping: Option<u32>,
    kept: Vec<u8>,
}

/// What the last key means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Other,
    Usage,
    Wrapper,
    Tier,
    Kind,
}

impl Key {
    fn named(name: &[u8]) -> Self {
        match name {
            b"usage" | b"usageMetadata" => Self::Usage,
            b"response" | b"message" | b"x_groq" => Self::Wrapper,
            b"service_tier" => Self::Tier,
            b"type" => Self::Kind,
            _ => Self::Other,
        }
    }
}

/// A string that has begun.
#[derive(Clone, Copy, Debug)]
struct InString {
    role: Role,
    /// Whether the next byte is escaped.
    escaped: bool,
    /// Its first bytes, where it has a role.
    start: [u8; KEY_MAX],
    /// Its length; one that is longer than `start`, or has escapes, is nothing that is looked for.
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    Tier,
    Kind,
    None,
}

impl InString {
    fn new(role: Role) -> Self {
        Self {
            role,
            escaped: false,
            start: [0; KEY_MAX],
            length: 0,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.role != Role::None {
            if let Some(place) = self.start.get_mut(self.length..self.length + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            self.length = (self.length + bytes.len()).min(KEY_MAX + 1);
        }
    }

    fn text(&self) -> &[u8] {
        self.start.get(..self.length).unwrap_or_default()
    }
}

const _: () = assert!(TIER_MAX <= KEY_MAX);

impl Finder {
    /// Forgets the text at hand: another one begins.
    pub(super) fn reset(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        *self = Self {
            kept,
            ..Self::default()
        };
    }

    /// The next bytes of the text; `found` is told of what is looked for, in order.
    pub(super) fn feed(&mut self, mut bytes: &[u8], found: &mut impl FnMut(Found<'_>)) {
        while !bytes.is_empty() {
            let taken = match self.string {
                Some(string) => self.in_string(string, bytes, found),
                None if self.is_passed_over() => self.pass_over(bytes, found),
                None => self.plain(bytes, found),
            };
            bytes = &bytes[taken..];
        }
    }

    /// Takes bytes of a string, at least one.
    fn in_string(
        &mut self,
        mut string: InString,
        bytes: &[u8],
        found: &mut impl FnMut(Found<'_>),
    ) -> usize {
        if string.escaped {
            string.escaped = false;
            string.length = KEY_MAX + 1;
            self.string = Some(string);
            self.keep(&bytes[..1]);
            return 1;
        }
        let end = quote_or_escape(bytes);
        let length = end.unwrap_or(bytes.len());
        string.add(&bytes[..length]);
        let taken = end.map_or(length, |end| end + 1);
        self.keep(&bytes[..taken]);
        match end.map(|end| bytes[end]) {
            Some(b'"') => {
                self.string = None;
                self.end_of(string.role, string.text(), found);
            }
            Some(_) => {
                string.escaped = true;
                self.string = Some(string);
            }
            None => self.string = Some(string),
        }
        taken
    }

    fn end_of(&mut self, role: Role, text: &[u8], found: &mut impl FnMut(Found<'_>)) {
        match role {
            Role::Key => self.key = Key::named(text),
            Role::Tier => found(Found::Tier(text)),
            Role::Kind => found(Found::Kind(text)),
            Role::None => {}
        }
    }

    /// Takes bytes of what is looked at, up to a string that is cut off here or has escapes, or to what is passed over.
    fn plain(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                b'"' => {
                    let role = self.role();
                    let Some(length) = simple_string(&bytes[at..]) else {
                        self.string = Some(InString::new(role));
                        break;
                    };
                    let text = &bytes[at..at + length];
                    let text = if length > KEY_MAX { &[] } else { text };
                    self.end_of(role, text, found);
                    at += length + 1;
                }
                b'{' if self.keeps_next() => {
                    self.keeping = Some(self.depth);
                    at -= 1;
                    break;
                }
                b'{' | b'[' => {
                    if byte == b'{' {
                        self.open_object();
                    } else {
                        self.open_array();
                    }
                    if self.is_passed_over() {
                        break;
                    }
                }
                b',' => {
                    self.before_key = true;
                    self.key = Key::Other;
                }
                b':' => self.before_key = false,
                b'}' | b']' => self.close(),
                _ => {}
            }
        }
        at
    }

    /// Takes bytes up to the end of what is passed over or kept, or to a string that is cut off here or has escapes; at
    /// least one.
    fn pass_over(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) -> usize {
        let floor = self.floor();
        let mut at = if self.in_numbers { numbers(bytes) } else { 0 };
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                b'"' => {
                    self.in_numbers = false;
                    let Some(length) = simple_string(&bytes[at..]) else {
                        self.string = Some(InString::new(Role::None));
                        break;
                    };
                    at += length + 1;
                }
                b'{' => {
                    self.depth = self.depth.saturating_add(1);
                    self.in_numbers = false;
                }
                b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    self.in_numbers = self.keeping.is_none();
                    if self.in_numbers {
                        at += numbers(&bytes[at..]);
                    }
                }
                b'}' | b']' if self.depth == floor + 1 => {
                    self.close();
                    self.end_kept(&bytes[..at], found);
                    return at;
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    self.in_numbers = false;
                }
                _ => {}
            }
        }
        self.keep(&bytes[..at]);
        at
    }

    /// Whether only strings and brackets matter here.
    fn is_passed_over(&self) -> bool {
        self.keeping.is_some() || (self.depth > self.base && !self.is_looked_at())
    }

    /// The depth at which something else matters again.
    fn floor(&self) -> u32 {
        let looked_at = self.base + 1 + u32::from(self.below);
        self.keeping.unwrap_or(looked_at)
    }

    /// Whether keys and values matter here.
    fn is_looked_at(&self) -> bool {
        let depth = self.depth - self.base;
        depth == 1 || (depth == 2 && self.below)
    }

    fn role(&self) -> Role {
        match () {
            () if !self.is_looked_at() => Role::None,
            () if self.before_key => Role::Key,
            () if self.key == Key::Tier => Role::Tier,
            () if self.key == Key::Kind && self.depth - self.base == 1 => Role::Kind,
            () => Role::None,
        }
    }

    /// Whether an object that begins here is one that is looked for.
    fn keeps_next(&self) -> bool {
        self.key == Key::Usage && !self.before_key && self.is_looked_at()
    }

    fn open_object(&mut self) {
        if self.key == Key::Wrapper && !self.before_key && self.depth == self.base + 1 {
            self.below = true;
        }
        self.depth = self.depth.saturating_add(1);
        self.before_key = true;
        self.key = Key::Other;
    }

    fn open_array(&mut self) {
        if self.depth == 0 {
            self.base = 1;
        }
        self.depth = self.depth.saturating_add(1);
        self.in_numbers = self.depth > self.base + 1;
    }

    fn close(&mut self) {
        self.in_numbers = false;
        self.before_key = false;
        self.key = Key::Other;
        self.depth = self.depth.saturating_sub(1);
        if self.depth <= self.base + 1 {
            self.below = false;
        }
        if self.depth == 0 {
            self.base = 0;
        }
    }

    /// Tells of the usage object that ends with these bytes, if it is one that ends. Nearly always they are all of it, and
    /// nothing is copied.
    fn end_kept(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) {
        if self.keeping.is_none() {
            return;
        }
        if !self.kept.is_empty() {
            self.keep(bytes);
        }
        self.keeping = None;
        let object = if self.kept.is_empty() {
            bytes
        } else {
            &self.kept
        };
        if object.len() > KEPT_MAX {
            found(Found::TooLarge);
        } else {
            found(Found::Usage(object));
        }
        self.kept.clear();
    }

    /// Keeps bytes of a usage object; of one that is too large one byte more than may be.
    fn keep(&mut self, bytes: &[u8]) {
        if self.keeping.is_some() {
            let room = (KEPT_MAX + 1).saturating_sub(self.kept.len());
            self.kept.reserve(KEPT_USUAL.min(room));
            self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

/// The length of a string without escapes that ends within `bytes`.
fn simple_string(bytes: &[u8]) -> Option<usize> {
    quote_or_escape(bytes).filter(|end| bytes[*end] == b'"')
}

/// The length of what an array holds before its end, or before something that is neither number nor word.
fn numbers(bytes: &[u8]) -> usize {
    if matches!(bytes.first(), Some(b'{' | b'"' | b'[' | b']')) {
        return 0;
    }
    let end = memchr3(b'"', b'[', b']', bytes).unwrap_or(bytes.len());
    memchr(b'{', &bytes[..end]).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, however the text is cut in two or three.
    fn found(text: &str) -> Vec<String> {
        let whole = in_pieces(&[text.as_bytes()]);
        for first in 0..=text.len() {
            let (one, rest) = text.as_bytes().split_at(first);
            assert_eq!(in_pieces(&[one, rest]), whole, "cut at {first}: {text}");
            let (two, three) = rest.split_at(rest.len().min(1));
            assert_eq!(
                in_pieces(&[one, two, three]),
                whole,
                "cut at {first}: {text}"
            );
        }
        whole
    }

    fn in_pieces(pieces: &[&[u8]]) -> Vec<String> {
        let mut finder = Finder::default();
        let mut all = Vec::new();
        for piece in pieces {
            finder.feed(piece, &mut |found| {
                all.push(match found {
                    // Has a test of its own.
                    Found::Kind(_) => return,
                    Found::Usage(text) => String::from_utf8_lossy(text).into_owned(),
                    Found::TooLarge => "too large".to_owned(),
                    Found::Tier(name) => format!("tier {}", String::from_utf8_lossy(name)),
                });
            });
        }
        all
    }

    #[test]
    fn usage_is_found_at_the_top_and_in_what_wraps_an_answer() {
        for (text, expected) in [
            (r#"{"usage":{"a":1}}"#, &[r#"{"a":1}"#][..]),
            (
                r#" { "id" : "x" , "usage" : { "a" : [1,{"b":2}] } } "#,
                &[r#"{ "a" : [1,{"b":2}] }"#],
            ),
            (
                r#"{"response":{"id":1,"usage":{"a":1}},"usage":null}"#,
                &[r#"{"a":1}"#],
            ),
            (
                r#"{"type":"message_start","message":{"content":[],"usage":{"a":"}\"{"}}}"#,
                &[r#"{"a":"}\"{"}"#],
            ),
            (r#"{"usageMetadata":{"a":1}}"#, &[r#"{"a":1}"#]),
            (r#"{"x_groq":{"id":"r","usage":{"a":1}}}"#, &[r#"{"a":1}"#]),
            (
                r#"[{"usageMetadata":{"a":1}},{"usageMetadata":{"a":2}}]"#,
                &[r#"{"a":1}"#, r#"{"a":2}"#],
            ),
            (
                r#"{"service_tier":"flex","usage":{}}"#,
                &["tier flex", "{}"],
            ),
            (
                r#"{"response":{"service_tier":"priority"}}"#,
                &["tier priority"],
            ),
            (
                r#"{"data":[[1.5,-2e9],[3]],"usage":{"a":1}}"#,
                &[r#"{"a":1}"#],
            ),
            (
                r#"{"data":[1,{"usage":{"a":2}},"]",3],"usage":{"a":1}}"#,
                &[r#"{"a":1}"#],
            ),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_a_text_is_it_says_at_its_top() {
        for (text, expected) in [
            (
                r#"{"type":"response.done","response":{}}"#,
                &["response.done"][..],
            ),
            (
                r#"{"a":[1,{"type":"x"}],"type": "session.created"}"#,
                &["session.created"],
            ),
            (r#"{"response":{"type":"x"},"delta":"\"type\":\"y\""}"#, &[]),
            // Too long or escaped to be one that is looked for.
            (r#"{"type":"response.audio.delta"}"#, &[""]),
            (r#"{"type":"response\u002edone"}"#, &[""]),
            (r#"{"type":7}"#, &[]),
        ] {
            for size in 1..=text.len() {
                let (mut finder, mut all) = (Finder::default(), Vec::new());
                for piece in text.as_bytes().chunks(size) {
                    finder.feed(piece, &mut |found| {
                        if let Found::Kind(kind) = found {
                            all.push(String::from_utf8_lossy(kind).into_owned());
                        }
                    });
                }
                assert_eq!(all, expected, "{text} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_usage_is_none() {
        for text in [
            r#"{"usage":null}"#,
            r#"{"usage":7,"a":{"b":1}}"#,
            r#"{"usage":"{\"a\":1}"}"#,
            r#"{"usage":[{"a":1}]}"#,
            r#"{"choices":[{"usage":{"a":1}}]}"#,
            r#"{"a":{"usage":{"a":1}}}"#,
            r#"{"response":{"output":{"usage":{"a":1}}}}"#,
            r#"{"response":[{"usage":{"a":1}}]}"#,
            r#"{"text":"\"usage\":{\"a\":1}"}"#,
            r#"{"text":"usage","b":{"a":1}}"#,
            r#"{"a":"usage"}"#,
            r#"{"us\u0061ge":{"a":1}}"#,
            r#"{"service_tier":null,"b":"flex"}"#,
            r#"{"usage":{"a":1"#,
            "",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        for text in [
            "}}]]",
            "{{{{",
            "\"",
            "[,:{",
            "\\\"",
            "{\"usage\":}{\"a\":{}}",
        ] {
            found(text);
        }
    }

    #[test]
    fn an_object_that_is_too_large_is_not_kept() {
        let long = format!(r#"{{"usage":{{"a":"{}"}},"b":1}}"#, "x".repeat(KEPT_MAX));
        assert_eq!(in_pieces(&[long.as_bytes()]), ["too large"]);
        let fits = "x".repeat(KEPT_MAX - 8);
        let fits = format!(r#"{{"usage":{{"a":"{fits}"}}}}"#);
        assert_eq!(in_pieces(&[fits.as_bytes()])[0].len(), KEPT_MAX);
    }

    #[test]
    fn a_text_that_is_given_up_leaves_nothing_behind() {
        let mut finder = Finder::default();
        finder.feed(br#"{"response":{"usage":{"a":"#, &mut |_| {
            panic!("nothing is whole")
        });
        finder.reset();
        let mut count = 0;
        finder.feed(br#"{"usage":{"b":2}}"#, &mut |found| {
            assert_eq!(found, Found::Usage(br#"{"b":2}"#));
            count += 1;
        });
        assert_eq!(count, 1);
    }
}
