//! What is read of a conversation: the text to be echoed, and how much text there was. It is folded while it is
//! parsed, so that a long history costs no memory; what is not text (images, audio, tool arguments) is passed over.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Text gathered from a string, from an array of content parts, or from parts within parts (a tool's result).
#[derive(Debug, Default)]
pub struct Text {
    /// The parts, each on a line of its own.
    pub joined: String,
    /// Bytes of the parts alone.
    pub bytes: usize,
    /// Whether a part was the result of a tool.
    has_tool_result: bool,
}

impl Text {
    fn push(&mut self, part: &str) {
        if self.bytes > 0 && !part.is_empty() {
            self.joined.push('\n');
        }
        self.joined.push_str(part);
        self.bytes += part.len();
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut text = Self::default();
        Gather(&mut text).deserialize(from)?;
        Ok(text)
    }
}

struct Gather<'a>(&'a mut Text);

impl<'de> DeserializeSeed<'de> for Gather<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Gather<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or an array of content parts")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, part: &str) -> Result<(), E> {
        self.0.push(part);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<(), A::Error> {
        while parts.next_element_seed(Gather(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<(), A::Error> {
        while let Some(key) = part.next_key::<String>()? {
            match key.as_str() {
                "text" | "content" => part.next_value_seed(Gather(&mut *self.0))?,
                "type" => self.0.has_tool_result |= part.next_value::<String>()? == "tool_result",
                _ => {
                    part.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// One entry of `messages` or `input`, in any of the three APIs.
#[derive(Deserialize)]
struct Turn {
    role: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    content: Text,
    #[serde(default)]
    output: Text,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Speaker {
    #[default]
    Nobody,
    /// The system, a developer, or the model itself.
    Other,
    User,
    Tool,
}

impl Turn {
    fn speaker(&self) -> Speaker {
        let result_item = self
            .kind
            .as_deref()
            .is_some_and(|kind| kind.ends_with("_call_output"));
        match self.role.as_deref() {
            _ if result_item || self.content.has_tool_result => Speaker::Tool,
            Some("tool" | "function") => Speaker::Tool,
            Some("user") => Speaker::User,
            _ => Speaker::Other,
        }
    }
}

/// A conversation, as far as the echo needs it.
#[derive(Debug, Default)]
pub struct Conversation {
    /// The last text of a user or of a tool; without one, the last text of anyone.
    pub last: String,
    /// Bytes of text in all messages together.
    pub bytes: usize,
    speaker: Speaker,
}

impl Conversation {
    /// Whether the last word was a user's: only then may a tool be called. A tool's result is echoed, so that a loop
    /// of calls and results ends.
    #[must_use]
    pub fn ends_with_user(&self) -> bool {
        self.speaker == Speaker::User
    }

    fn add(&mut self, turn: Turn) {
        self.bytes += turn.content.bytes + turn.output.bytes;
        let speaker = turn.speaker();
        let text = if turn.output.bytes > 0 {
            turn.output.joined
        } else {
            turn.content.joined
        };
        let for_want_of_a_user = self.speaker <= Speaker::Other && !text.is_empty();
        if speaker >= Speaker::User || for_want_of_a_user {
            self.speaker = speaker;
            self.last = text;
        }
    }
}

impl From<String> for Conversation {
    /// What one user said.
    fn from(text: String) -> Self {
        Self {
            bytes: text.len(),
            last: text,
            speaker: Speaker::User,
        }
    }
}

impl<'de> Deserialize<'de> for Conversation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Turns { text_too: false })
    }
}

/// The `input` of the responses API: a conversation, or one text of the user.
#[derive(Debug, Default)]
pub struct Input(pub Conversation);

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Turns { text_too: true }).map(Self)
    }
}

struct Turns {
    text_too: bool,
}

impl<'de> Visitor<'de> for Turns {
    type Value = Conversation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text_too {
            "text or an array of items"
        } else {
            "an array of messages"
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Conversation, E> {
        if self.text_too {
            return Ok(Conversation::from(text.to_owned()));
        }
        Err(E::invalid_type(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut turns: A) -> Result<Conversation, A::Error> {
        let mut conversation = Conversation::default();
        while let Some(turn) = turns.next_element()? {
            conversation.add(turn);
        }
        Ok(conversation)
    }
}

/// Most tools in a request: eight times what the vendors take. It bounds what their names may hold.
const TOOLS_MAX: usize = 1_024;

/// The tools that a request offers.
#[derive(Debug, Default)]
pub struct Tools {
    /// Their names, in the request's order. Tools without a name (the vendors' own) are left out.
    pub names: Vec<String>,
    /// Bytes of the definitions, as received; 0 if the list is empty.
    pub bytes: usize,
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Some(raw) = Option::<&RawValue>::deserialize(from)? else {
            return Ok(Self::default());
        };
        let Names(names) = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let bytes = if names.is_empty() { 0 } else { raw.get().len() };
        let names = names.into_iter().flatten().collect();
        Ok(Self { names, bytes })
    }
}

/// The name of each tool, where it has one.
struct Names(Vec<Option<String>>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {TOOLS_MAX} tools")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tools: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some(tool) = tools.next_element::<Tool>()? {
            if names.len() == TOOLS_MAX {
                return Err(A::Error::invalid_length(TOOLS_MAX + 1, &self));
            }
            names.push(tool.name());
        }
        Ok(Names(names))
    }
}

/// `{"name"}`, or `{"function":{"name"}}` in the chat API.
#[derive(Deserialize)]
struct Tool {
    name: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
}

impl Tool {
    fn name(self) -> Option<String> {
        let name = self.function.map(|function| function.name).or(self.name);
        name.filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &str) -> Conversation {
        serde_json::from_str(messages).unwrap()
    }

    #[test]
    fn the_last_user_text_is_kept_and_all_text_is_counted() {
        let talk = read(
            r#"[{"role":"system","content":"abc"},{"role":"user","content":"first"},
                {"role":"assistant","content":null},{"role":"user","content":"second"},
                {"role":"assistant","content":"answer"}]"#,
        );
        assert_eq!((talk.last.as_str(), talk.bytes), ("second", 3 + 5 + 6 + 6));
        assert!(talk.ends_with_user());
    }

    #[test]
    fn parts_are_joined_and_what_is_no_text_is_passed_over() {
        let talk = read(
            r#"[{"role":"user","content":[{"type":"text","text":"one"},{"text":"two","type":"input_text"},
                {"type":"image_url","image_url":{"url":"data:;base64,AAAA"}},{"type":"text","text":"three"}]}]"#,
        );
        assert_eq!((talk.last.as_str(), talk.bytes), ("one\ntwo\nthree", 11));
    }

    #[test]
    fn a_tools_result_has_the_last_word_in_each_api() {
        let results = [
            r#"[{"role":"user","content":"call f"},{"role":"assistant","tool_calls":[{"id":"1"}]},
                {"role":"tool","tool_call_id":"1","content":"sunny"}]"#,
            r#"[{"role":"user","content":"call f"},{"type":"function_call","name":"f","arguments":"{}"},
                {"type":"function_call_output","call_id":"1","output":"sunny"}]"#,
            r#"[{"role":"user","content":"call f"},{"role":"assistant","content":[{"type":"tool_use","input":{}}]},
                {"role":"user","content":[{"tool_use_id":"1","content":[{"type":"text","text":"sunny"}],
                "type":"tool_result"}]}]"#,
        ];
        for result in results {
            let talk = read(result);
            assert_eq!((talk.last.as_str(), talk.bytes), ("sunny", 11), "{result}");
            assert!(!talk.ends_with_user(), "{result}");
        }
    }

    #[test]
    fn without_a_user_the_last_text_of_anyone_is_kept() {
        let talk = read(r#"[{"role":"system","content":"a"},{"role":"developer","content":"b"}]"#);
        assert_eq!(talk.last, "b");
        assert!(!talk.ends_with_user());
    }

    #[test]
    fn what_is_no_conversation_is_an_error() {
        for messages in [
            "{}",
            "\"text\"",
            "null",
            "[1]",
            r#"[{"role":"user","content":1}]"#,
            r#"["text"]"#,
        ] {
            assert!(
                serde_json::from_str::<Conversation>(messages).is_err(),
                "{messages}"
            );
        }
        let nested = format!(
            r#"[{{"role":"user","content":{}{}}}]"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        assert!(serde_json::from_str::<Conversation>(&nested).is_err());
    }

    #[test]
    fn input_may_be_plain_text() {
        let input: Input = serde_json::from_str(r#""hi""#).unwrap();
        assert_eq!((input.0.last.as_str(), input.0.bytes), ("hi", 2));
    }

    #[test]
    fn tools_are_named_as_each_api_names_them_and_counted_as_received() {
        let raw = r#"[{"type":"function","function":{"name":"a"}}, {"type":"function","name":"b"},
            {"name":"c","input_schema":{}},{"type":"web_search"}]"#;
        let tools: Tools = serde_json::from_str(raw).unwrap();
        assert_eq!(
            (tools.names, tools.bytes),
            (vec!["a".to_owned(), "b".into(), "c".into()], raw.len())
        );
        for empty in ["[]", "null"] {
            assert_eq!(serde_json::from_str::<Tools>(empty).unwrap().bytes, 0);
        }
        let too_many = format!("[{}]", vec!["{}"; TOOLS_MAX + 1].join(","));
        assert!(serde_json::from_str::<Tools>(&too_many).is_err());
    }
}
