//! The text that a model has written, found in an answer while it passes: the strings under the keys that providers put it
//! under, whole or in parts. Needed where no usage is told. Strings, nearly all of an answer, are passed over by vector
//! search; nothing is kept but counts.

use memchr::memchr;

use super::estimate::Text;
use super::strings::quote_or_escape;

/// Bytes of the longest key that is looked for.
const KEY_MAX: usize = 20;

/// Tokens that an answer has beside its text: where a message begins and ends, which tool is called.
const FRAME: u64 = 16;

/// Finds the text of one answer.
#[derive(Debug, Default)]
pub(super) struct Generated {
    text: Text,
    place: Place,
    /// The last byte between strings that is no white space.
    last: u8,
    key: Key,
    /// How many choices have said why they are at their end.
    finished: u32,
    /// Whether a string begins that says that one is, if it says anything.
    ends: bool,
    /// Whether parts of a text come under `delta`: what is under other keys repeats them (the Responses API).
    in_deltas: bool,
    /// What all strings are in the container at hand, where that is one of its own kind.
    all: Option<All>,
    /// How deep in it the next byte is.
    depth: u32,
}

/// A container whose strings are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum All {
    /// What the model passes to a tool.
    Text,
    /// Thoughts, said again in pieces (OpenRouter).
    Again,
}

impl All {
    fn under(key: &[u8]) -> Option<Self> {
        match key {
            b"input" => Some(Self::Text),
            b"reasoning_details" => Some(Self::Again),
            _ => None,
        }
    }
}

/// Where the next byte is.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Between,
    /// In a string that may be a key.
    Key,
    /// In a value that is not looked for.
    Value,
    /// In text.
    Text,
    /// After a backslash, in one of these.
    Escape(Inside),
    /// In the digits of an escape of text; `left` of them are to come.
    Digits { left: u8, unit: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Key,
    Value,
    Text,
}

/// The beginning of the last key.
#[derive(Clone, Copy, Debug, Default)]
struct Key {
    bytes: [u8; KEY_MAX],
    /// More than `KEY_MAX` where it is none that is looked for.
    length: usize,
}

impl Key {
    fn add(&mut self, bytes: &[u8]) {
        let place = self.bytes.get_mut(self.length..self.length + bytes.len());
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Whether text stands under this key: in OpenAI's chats and completions, Anthropic's messages, Gemini's answers, and
/// whole answers of the Responses API.
fn is_text(key: &[u8]) -> bool {
    matches!(
        key,
        b"content"
            | b"text"
            | b"reasoning_content"
            | b"reasoning"
            | b"thinking"
            | b"partial_json"
            | b"arguments"
            | b"refusal"
            | b"transcript"
    )
}

/// Whether a string under this key says that a choice is at its end.
fn is_end(key: &[u8]) -> bool {
    matches!(key, b"finish_reason" | b"stop_reason" | b"finishReason")
}

impl Generated {
    /// Tokens of the text so far, and of what is around it. None where there was no text.
    pub(super) fn tokens(&self) -> u64 {
        match self.text.tokens() {
            0 => 0,
            tokens => tokens + FRAME,
        }
    }

    /// How many choices have said why they are at their end.
    pub(super) fn finished(&self) -> u32 {
        self.finished
    }

    /// Another JSON text begins.
    pub(super) fn reset(&mut self) {
        self.place = Place::Between;
        self.last = 0;
        self.key = Key::default();
        self.all = None;
        self.depth = 0;
        self.ends = false;
    }

    /// The next bytes of the JSON text at hand.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match self.place {
                Place::Between => self.between(bytes),
                Place::Key => self.string(bytes, Inside::Key),
                Place::Value => {
                    if std::mem::take(&mut self.ends) {
                        self.finished += u32::from(bytes[0] != b'"');
                    }
                    self.string(bytes, Inside::Value)
                }
                Place::Text => self.string(bytes, Inside::Text),
                Place::Escape(inside) => self.escape(bytes[0], inside),
                Place::Digits { left, unit } => self.digit(bytes[0], left, unit),
            };
            bytes = &bytes[taken..];
        }
    }

    fn between(&mut self, bytes: &[u8]) -> usize {
        let quote = memchr(b'"', bytes);
        let before = &bytes[..quote.unwrap_or(bytes.len())];
        if self.depth > 0 || All::under(self.key.text()).is_some() {
            self.brackets(before);
        }
        if let Some(last) = before.iter().rfind(|byte| !byte.is_ascii_whitespace()) {
            self.last = *last;
        }
        let Some(quote) = quote else {
            return bytes.len();
        };
        let last = self.last;
        self.place = match last {
            _ if self.all == Some(All::Text) => Place::Text,
            _ if self.all == Some(All::Again) => Place::Value,
            b':' if self.is_wanted() => Place::Text,
            b':' => {
                self.ends = is_end(self.key.text());
                Place::Value
            }
            _ => {
                self.key = Key::default();
                Place::Key
            }
        };
        self.last = 0;
        quote + 1
    }

    /// Goes into a container of [`All`], and out of it.
    fn brackets(&mut self, between: &[u8]) {
        let mut last = self.last;
        for byte in between.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            match byte {
                b'{' | b'[' if self.depth > 0 => self.depth += 1,
                b'{' | b'[' if last == b':' => {
                    self.all = All::under(self.key.text());
                    self.depth = u32::from(self.all.is_some());
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.all = None;
                        self.key = Key::default();
                    }
                }
                _ => {}
            }
            last = *byte;
        }
    }

    fn is_wanted(&mut self) -> bool {
        let key = self.key.text();
        let is_delta = key == b"delta";
        self.in_deltas |= is_delta;
        is_delta || (!self.in_deltas && is_text(key))
    }

    fn string(&mut self, bytes: &[u8], inside: Inside) -> usize {
        let end = quote_or_escape(bytes);
        let run = &bytes[..end.unwrap_or(bytes.len())];
        match inside {
            Inside::Key => self.key.add(run),
            Inside::Text => self.text.feed(run),
            Inside::Value => {}
        }
        match end.map(|end| bytes[end]) {
            Some(b'"') => self.place = Place::Between,
            Some(_) => self.place = Place::Escape(inside),
            None => {}
        }
        run.len() + usize::from(end.is_some())
    }

    fn escape(&mut self, letter: u8, inside: Inside) -> usize {
        self.place = match (inside, letter) {
            (Inside::Text, b'u') => Place::Digits { left: 4, unit: 0 },
            (Inside::Text, b'n' | b'r' | b't' | b'b' | b'f') => {
                self.text.feed(b"\n");
                Place::Text
            }
            (Inside::Text, letter) => {
                self.text.feed(&[letter]);
                Place::Text
            }
            (Inside::Key, _) => {
                self.key.length = KEY_MAX + 1;
                Place::Key
            }
            (Inside::Value, _) => Place::Value,
        };
        1
    }

    /// What is escaped counts as it would in UTF-8, each half of a pair as half of its letter.
    fn digit(&mut self, digit: u8, left: u8, unit: u16) -> usize {
        let value = char::from(digit).to_digit(16).unwrap_or(0);
        let unit = unit << 4 | u16::try_from(value).unwrap_or(0);
        if left > 1 {
            self.place = Place::Digits {
                left: left - 1,
                unit,
            };
            return 1;
        }
        self.place = Place::Text;
        match (char::from_u32(u32::from(unit)), unit) {
            (Some(letter), _) => self.text.feed(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            (None, 0xD800..0xDC00) => self.text.feed(&[0xF0, 0x90]),
            (None, _) => self.text.feed(&[0x80; 2]),
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of text in these JSON texts, however they are cut.
    fn bytes(texts: &[&str]) -> u64 {
        let whole = cut(texts, usize::MAX);
        for size in 1..texts.iter().map(|text| text.len()).max().unwrap_or(1) {
            assert_eq!(cut(texts, size), whole, "by {size}: {texts:?}");
        }
        whole
    }

    fn cut(texts: &[&str], size: usize) -> u64 {
        let mut generated = Generated::default();
        for text in texts {
            text.as_bytes()
                .chunks(size)
                .for_each(|piece| generated.feed(piece));
            generated.reset();
        }
        generated.text.bytes()
    }

    #[test]
    fn text_is_found_where_providers_put_it() {
        for (text, expected) in [
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":"four"}}]}"#,
                4,
            ),
            (
                r#"{"choices":[{"delta":{"content":null,"reasoning_content":"abc"}}]}"#,
                3,
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
                7,
            ),
            (
                r#"{"choices":[{"text":"abc","logprobs":{"content":[{"token":"abc"}]}}]}"#,
                3,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"abc"}}"#,
                3,
            ),
            (
                r#"{"delta":{"type":"thinking_delta","thinking":"abcde"}}"#,
                5,
            ),
            (
                r#"{"delta":{"type":"input_json_delta","partial_json":"{\"x"}}"#,
                3,
            ),
            (
                r#"{"type":"response.output_text.delta","delta":"abcdef"}"#,
                6,
            ),
            (
                r#"{"candidates":[{"content":{"parts":[{"text":"ab"}]}}]}"#,
                2,
            ),
            (
                r#"{"content":[{"type":"tool_use","id":"t","name":"f","input":{"to":"Rome","days":[{"d":"2"},{}]}},{"type":"text","text":"ab"}]}"#,
                14,
            ),
            (
                r#"{"content":[{"input" : [ ] ,"text":"ab","x":{"y":"z"}}]}"#,
                2,
            ),
            (r#"{"input":"abc","usage":{"x":"abc"},"text":"ab"}"#, 2),
            (
                r#"{"delta":{"reasoning":"abc","reasoning_details":[{"text":"abc","a":[{"text":"b"}]}],"content":"d"}}"#,
                4,
            ),
            (r#"{ "content" : "a\"b\\c\n\u0041" }"#, 7),
            (r#"{"content":"\u00e9\u4f60\ud83e\udd80"}"#, 9),
            (r#"{"content":"é你🦀"}"#, 9),
            (
                r#"{"con\u0074ent":"abc","x":"abc","content_":"a","message":"abc"}"#,
                0,
            ),
            (r#"{"content":["abc"],"text":{"a":"content"}}"#, 0),
            (r#"["content","abc"]"#, 0),
            ("", 0),
        ] {
            assert_eq!(bytes(&[text]), expected, "{text}");
        }
    }

    #[test]
    fn what_is_escaped_counts_as_what_it_is() {
        let text = "Gr\u{fc}\u{df}e \u{4f60}\u{597d} \u{1f980} \u{915}";
        let of = |text: &str| {
            let mut generated = Generated::default();
            generated.feed(text.as_bytes());
            generated.text
        };
        let escaped: String = text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect();
        let plain = of(&format!("{{\"content\":\"{text}\"}}"));
        assert_eq!(of(&format!("{{\"content\":\"{escaped}\"}}")), plain);
        assert_eq!(plain.bytes(), text.len() as u64);
    }

    #[test]
    fn what_repeats_the_parts_is_not_counted_again() {
        let stream = [
            r#"{"type":"response.created","response":{"text":{"format":{"type":"text"}}}}"#,
            r#"{"type":"response.output_text.delta","delta":"abc"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{}"}"#,
            r#"{"type":"response.output_text.done","text":"abc"}"#,
            r#"{"type":"response.completed","response":{"output":[{"content":[{"text":"abc"}]},{"arguments":"{}"}]}}"#,
        ];
        assert_eq!(bytes(&stream), 5);
    }

    #[test]
    fn choices_say_why_they_are_at_their_end() {
        let finished = |texts: &[&str]| {
            let mut generated = Generated::default();
            for text in texts {
                generated.feed(text.as_bytes());
                generated.reset();
            }
            generated.finished()
        };
        assert_eq!(finished(&[r#"{"choices":[{"finish_reason":null}]}"#]), 0);
        assert_eq!(finished(&[r#"{"choices":[{"finish_reason":""}]}"#]), 0);
        assert_eq!(finished(&[r#"{"choices":[{"finish_reason":"stop"}]}"#]), 1);
        let each = r#"{"choices":[{"finish_reason":"length"}]}"#;
        assert_eq!(finished(&[each, each]), 2);
        assert_eq!(finished(&[r#"{"delta":{"stop_reason":"end_turn"}}"#]), 1);
        assert_eq!(
            finished(&[r#"{"content":"\"finish_reason\":\"stop\""}"#]),
            0
        );
    }

    #[test]
    fn what_is_cut_off_counts_as_far_as_it_came() {
        assert_eq!(bytes(&[r#"{"content":"abc"#, r#"{"content":"de"}"#]), 5);
        assert_eq!(bytes(&[r#"{"content":"abc\u00"#, r#"{"content":"de"}"#]), 5);
    }
}
