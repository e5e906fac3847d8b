//! The members of a message that bear on its price, found in a JSON text that comes in pieces. No more is kept
//! than the keys on the way to the place at hand, and the beginning of one string; what stands below any other member is
//! passed over, whatever it is.

mod key;
mod value;

use memchr::memchr2;

use key::Key;
use value::{Text, Value};

/// Containers within each other that are looked into: `session.audio.input` and `session.tools[]` are four.
const DEPTH: usize = 8;

/// Something that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'b> {
    /// What the message is; empty where that is no plain string.
    Kind(&'b [u8]),
    /// The type of the session that is asked for.
    Session(&'b [u8]),
    /// A model.
    Model(&'b [u8]),
    /// How a response has ended.
    Status(&'b [u8]),
    /// The most tokens of each response of a session.
    MostOfSession(u64),
    /// The most tokens of a response.
    MostOfResponse(u64),
    /// A transcription is asked for.
    Transcription,
    /// A stored prompt is referred to.
    Prompt,
    /// The description of a tool begins.
    ToolBegins,
    /// The type of it.
    ToolType(&'b [u8]),
    /// It has ended.
    ToolEnds,
    /// A key that could mean any.
    Twofold,
}

/// Reads one text.
#[derive(Debug, Default)]
pub struct Members {
    levels: [Level; DEPTH],
    /// Those of them that are open.
    open: usize,
    /// Containers that are open within a member that means nothing.
    beyond: u64,
    string: Option<Text>,
    /// A number or a word.
    word: Option<Text>,
    /// Whether something came that is no single object.
    broken: bool,
    /// Whether the object is complete.
    whole: bool,
}

/// A container.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    object: bool,
    /// The member at hand; of a list, that which it is the value of.
    key: Key,
    /// Whether the next string is a key.
    before_key: bool,
}

impl Members {
    /// Whether the text is one whole object.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole && !self.broken
    }

    /// The next bytes of the text; `told` hears of what is looked for.
    pub fn feed(&mut self, mut bytes: &[u8], told: &mut impl FnMut(Seen<'_>)) {
        while let Some(first) = bytes.first() {
            let taken = match self.string.take() {
                Some(text) => self.in_string(text, bytes, told),
                None => {
                    self.byte(*first, told);
                    1
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Takes bytes of a string, at least one.
    fn in_string(
        &mut self,
        mut text: Text,
        bytes: &[u8],
        told: &mut impl FnMut(Seen<'_>),
    ) -> usize {
        if text.escaped {
            (text.escaped, text.odd) = (false, true);
            self.string = Some(text);
            return 1;
        }
        let end = memchr2(b'"', b'\\', bytes);
        let length = end.unwrap_or(bytes.len());
        text.add(&bytes[..length]);
        match end.map(|end| bytes[end]) {
            Some(b'"') => self.end_of(&text, told),
            other => {
                text.escaped = other.is_some();
                self.string = Some(text);
            }
        }
        end.map_or(length, |end| end + 1)
    }

    fn end_of(&mut self, text: &Text, told: &mut impl FnMut(Seen<'_>)) {
        if self.beyond > 0 {
            return;
        }
        if !text.key {
            self.value(Value::String(text.plain()), told);
            return;
        }
        if text.odd {
            told(Seen::Twofold);
        }
        if let Some(level) = self.level() {
            level.key = Key::named(text.plain());
            level.before_key = false;
        }
    }

    fn level(&mut self) -> Option<&mut Level> {
        let top = self.open.checked_sub(1)?;
        self.levels.get_mut(top)
    }

    /// Takes a byte outside of strings.
    fn byte(&mut self, byte: u8, told: &mut impl FnMut(Seen<'_>)) {
        if !b" \t\n\r:,\"{}[]".contains(&byte) {
            self.broken |= self.open == 0;
            if self.beyond == 0 {
                self.word.get_or_insert(Text::new(false)).add(&[byte]);
            }
            return;
        }
        if let Some(word) = self.word.take() {
            self.value(Value::word(word.plain()), told);
        }
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            b',' => {
                if let Some(level) = self.level() {
                    level.before_key = level.object;
                }
            }
            b'"' => {
                let level = self.level();
                let key = level.is_some_and(|level| level.before_key);
                self.broken |= self.open == 0;
                self.string = Some(Text::new(key));
            }
            b'{' | b'[' => self.opens(byte == b'{', told),
            _ => self.closes(told),
        }
    }

    fn opens(&mut self, object: bool, told: &mut impl FnMut(Seen<'_>)) {
        if self.beyond > 0 {
            self.beyond += 1;
            return;
        }
        self.value(Value::Other, told);
        let above = self.level().map(|level| (level.key, level.object));
        self.broken |= above.is_none() && (!object || self.whole);
        let leads = above.is_none_or(|(key, _)| key.leads_on());
        let Some(level) = self.levels.get_mut(self.open).filter(|_| leads) else {
            self.beyond = 1;
            return;
        };
        let key = match above {
            Some((key, _)) if !object => key,
            _ => Key::Other,
        };
        *level = Level {
            object,
            key,
            before_key: object,
        };
        self.open += 1;
        if object && above.is_some_and(|(key, _)| key == Key::Tools) {
            told(Seen::ToolBegins);
        }
    }

    fn closes(&mut self, told: &mut impl FnMut(Seen<'_>)) {
        if self.beyond > 0 {
            self.beyond -= 1;
            return;
        }
        let object = self.level().is_some_and(|level| level.object);
        self.open = self.open.saturating_sub(1);
        self.whole |= self.open == 0;
        if object && self.level().is_some_and(|level| level.key == Key::Tools) {
            told(Seen::ToolEnds);
        }
    }

    /// A value begins, or is there.
    fn value(&mut self, value: Value<'_>, told: &mut impl FnMut(Seen<'_>)) {
        let Some(place) = self.levels.get(..self.open) else {
            return;
        };
        let Some(level) = place.last() else {
            return;
        };
        let above = place.len().checked_sub(2).and_then(|at| place.get(at));
        let above = above.map(|level| level.key);
        let says = value != Value::Null;
        match (above, level.key) {
            (None, Key::Type) => told(Seen::Kind(value.text())),
            (Some(_), Key::Transcription) if says => told(Seen::Transcription),
            (Some(Key::Session | Key::Response), Key::Model) if says => {
                told(Seen::Model(value.text()));
            }
            (Some(Key::Session | Key::Response), Key::Prompt) if says => told(Seen::Prompt),
            (Some(Key::Session), Key::Most) => told(Seen::MostOfSession(value.count())),
            (Some(Key::Response), Key::Most) => told(Seen::MostOfResponse(value.count())),
            (Some(Key::Response), Key::Status) => told(Seen::Status(value.text())),
            (Some(Key::Session), Key::Type) => told(Seen::Session(value.text())),
            (Some(Key::Tools), Key::Type) => told(Seen::ToolType(value.text())),
            _ => {}
        }
    }
}
