//! The answer to a prompt, whatever the surface: the echo, or a call of a tool that the prompt asks for.

use serde_json::{Map, Value};

use super::prompt::{Conversation, Tools};
use super::tokens;

/// Places in a prompt that are looked at for a tool's name. A prompt that says `call` more often wants an echo.
const CALLS_TRIED_MAX: usize = 64;

/// Bytes of a call's arguments: a longer object is left out, since its tree is many times as large as its text.
const ARGUMENTS_MAX: usize = 64 * 1024;

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The echo.
    Text(String),
    /// A call of one of the request's tools.
    Call(Call),
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The tool's name.
    pub name: String,
    /// What it is called with.
    pub arguments: Map<String, Value>,
}

impl Call {
    /// The arguments as JSON text, as the OpenAI surfaces carry them.
    #[must_use]
    pub fn arguments_text(&self) -> String {
        Value::Object(self.arguments.clone()).to_string()
    }
}

/// An answer and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is said.
    pub said: Said,
    /// Whether the caller's cap on tokens cut it short.
    pub cut: bool,
    /// Tokens of the request: all text of the conversation, the system's text, and the tools' definitions.
    pub input: u64,
    /// Tokens of what is said; for a call, of its name and arguments.
    pub output: u64,
}

impl Answer {
    /// Answers the conversation. `aside` is the number of bytes of text beside it (instructions, a system prompt);
    /// `cap` the most tokens that the caller takes. A call that does not fit the cap is not made.
    #[must_use]
    pub fn to(conversation: Conversation, tools: &Tools, aside: usize, cap: Option<u64>) -> Self {
        let input = tokens::count(conversation.bytes + tools.bytes + aside);
        let cap = cap.unwrap_or(u64::MAX);
        let asked = conversation
            .ends_with_user()
            .then(|| call_in(&conversation.last, &tools.names))
            .flatten();
        if let Some(call) = asked {
            let output = tokens::count(call.name.len() + call.arguments_text().len());
            if output <= cap {
                return Self {
                    said: Said::Call(call),
                    cut: false,
                    input,
                    output,
                };
            }
        }
        let mut text = conversation.last;
        let cut = tokens::cut(&mut text, cap);
        let output = tokens::count(text.len());
        Self {
            said: Said::Text(text),
            cut,
            input,
            output,
        }
    }

    /// The text that is said, empty for a call.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.said {
            Said::Text(text) => text,
            Said::Call(_) => "",
        }
    }
}

/// The first `call NAME` in the text whose name is a tool's. A JSON object after it becomes the arguments.
fn call_in(text: &str, tools: &[String]) -> Option<Call> {
    const WORD: &str = "call ";
    text.match_indices(WORD)
        .take(CALLS_TRIED_MAX)
        .find_map(|(at, _)| {
            let rest = &text[at + WORD.len()..];
            tools.iter().find_map(|name| {
                let after = rest.strip_prefix(name.as_str())?;
                let whole =
                    !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
                whole.then(|| Call {
                    name: name.clone(),
                    arguments: object_at_start(after),
                })
            })
        })
}

fn object_at_start(text: &str) -> Map<String, Value> {
    let text = &text[..text.floor_char_boundary(ARGUMENTS_MAX)];
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    values.next().and_then(Result::ok).unwrap_or_default()
}

/// The words of a text in order, each with the white space that follows it.
pub struct Words {
    text: String,
    at: usize,
}

impl Words {
    /// The words of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            at: 0,
        }
    }
}

impl Iterator for Words {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let word = rest.split_inclusive(char::is_whitespace).next()?.to_owned();
        self.at += word.len();
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools(names: &[&str]) -> Tools {
        Tools {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            bytes: 10,
        }
    }

    fn answer(text: &str, cap: Option<u64>) -> Answer {
        Answer::to(
            Conversation::from(text.to_owned()),
            &tools(&["get", "get_weather"]),
            2,
            cap,
        )
    }

    #[test]
    fn the_echo_is_the_text_and_its_tokens_are_counted() {
        let said = answer("hello there", None);
        assert_eq!(
            (said.text(), said.cut, said.input, said.output),
            ("hello there", false, 6, 3)
        );
    }

    #[test]
    fn a_cap_cuts_the_echo_and_says_so() {
        let said = answer("hello there", Some(2));
        assert_eq!((said.text(), said.cut, said.output), ("hello th", true, 2));
        assert!(!answer("hello there", Some(3)).cut);
        assert_eq!(answer("hello there", Some(0)).output, 0);
    }

    #[test]
    fn a_tool_is_called_by_its_whole_name_with_the_object_after_it() {
        let cases = [
            ("please call get_weather", "get_weather", json!({})),
            ("call get.", "get", json!({})),
            (
                r#"call get_weather {"city": "Paris"} now"#,
                "get_weather",
                json!({"city": "Paris"}),
            ),
            ("call get {broken", "get", json!({})),
            ("call nothing, call get", "get", json!({})),
        ];
        for (text, name, arguments) in cases {
            let Said::Call(call) = answer(text, None).said else {
                panic!("no call: {text}")
            };
            assert_eq!(
                (call.name.as_str(), Value::Object(call.arguments)),
                (name, arguments),
                "{text}"
            );
        }
        for text in [
            "get_weather",
            "call getter",
            "call get_weather2",
            "call",
            "recall Get",
        ] {
            assert_eq!(answer(text, None).said, Said::Text(text.to_owned()));
        }
    }

    #[test]
    fn arguments_past_their_limit_are_left_out() {
        for (bytes, kept) in [(ARGUMENTS_MAX, 1), (ARGUMENTS_MAX + 1, 0)] {
            let object = json!({"a": "x".repeat(bytes - r#"{"a":""}"#.len())});
            let Said::Call(call) = answer(&format!("call get{object}"), None).said else {
                panic!("no call");
            };
            assert_eq!(call.arguments.len(), kept, "{bytes}");
        }
    }

    #[test]
    fn a_call_that_does_not_fit_the_cap_is_not_made() {
        let said = answer("call get_weather", Some(2));
        assert_eq!((said.text(), said.cut, said.output), ("call get", true, 2));
    }

    #[test]
    fn words_put_together_are_the_text() {
        for text in ["", " ", "one", "one two", "  a\n\nb\tc ", "naïve 🙂 end"] {
            let words: Vec<String> = Words::of(text).collect();
            assert_eq!(words.concat(), text);
            assert!(
                words
                    .iter()
                    .all(|word| word.trim_end().chars().all(|c| !c.is_whitespace()))
            );
        }
        assert_eq!(Words::of("one two three").count(), 3);
    }
}
