//! What a client's messages ask for, where the gateway pays: read from a copy as they pass, in constant memory. A message
//! that asks for something whose cost no `response.done` tells is found out no later than at its last byte, and a message
//! without its last byte is none.

use super::members::{Members, Seen};

/// Messages of which it is known what they cost: nothing, or a response.
const KNOWN: [&[u8]; 10] = [
    b"session.update",
    b"input_audio_buffer.append",
    b"input_audio_buffer.commit",
    b"input_audio_buffer.clear",
    b"output_audio_buffer.clear",
    b"conversation.item.create",
    b"conversation.item.retrieve",
    b"conversation.item.truncate",
    b"conversation.item.delete",
    b"response.cancel",
];

/// The message that asks for a response.
const CREATE: &[u8] = b"response.create";

/// Sound, which is other tokens than its bytes look like.
const APPEND: &[u8] = b"input_audio_buffer.append";

/// Bytes of sound in base64 that are taken for a token: a tenth of a second of 24 kHz PCM.
const SOUND: u64 = 6_400;

/// Bytes of anything else that are taken for a token.
const TEXT: u64 = 4;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A response.
    Response,
    /// Nothing that costs by itself.
    Other,
}

/// A message that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it asks for.
    pub asked: Asked,
    /// The tokens that it comes to, as an estimate.
    pub tokens: u64,
    /// Whether they are sound.
    pub sound: bool,
}

/// Why a message does not go on, in words that are JSON as they stand.
pub type Words = &'static str;

const KIND: Words = "On the gateway's key a conversation has none but the known kinds of events, each with one `type`. Use a provider key of your own for others.";
const TRANSCRIPTION: Words = "On the gateway's key the input is not transcribed: another model does that, at a price of its own. Leave `transcription` out, or use a provider key of your own.";
const TOOLS: Words = "On the gateway's key a conversation has only tools that the client runs (`function`). Leave the others out, or use a provider key of your own.";
const MODEL: Words = "On the gateway's key a conversation keeps to the model that it was opened with. Leave `model` out.";
const PROMPT: Words = "`prompt` refers to what the provider keeps, which accounts of this gateway would share. Write it out, or use a provider key of your own.";
const SESSION: Words = "On the gateway's key a session is of the type `realtime`. Use a provider key of your own for others.";
const TWOFOLD: Words =
    "A member of this event is written with escapes, or there twice. Write each once.";

/// Reads one client's messages.
#[derive(Debug)]
pub struct Asks {
    members: Members,
    reading: Reading,
}

#[derive(Debug, Default)]
struct Reading {
    kind: Option<Kind>,
    length: u64,
    refused: Option<Words>,
    /// Whether the tool at hand has a type.
    typed: bool,
    /// The model that it must be.
    model: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Create,
    Append,
    Known,
}

impl Asks {
    /// Of a conversation with this model, as its provider calls it.
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            members: Members::default(),
            reading: Reading {
                model: model.into(),
                ..Reading::default()
            },
        }
    }

    /// The next bytes of the message at hand.
    ///
    /// # Errors
    /// Why it does not go on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Words> {
        let Self { members, reading } = self;
        reading.length = reading.length.saturating_add(bytes.len() as u64);
        members.feed(bytes, &mut |seen| reading.see(seen));
        reading.refused.map_or(Ok(()), Err)
    }

    /// The message is complete.
    ///
    /// # Errors
    /// Why it does not go on.
    pub fn end(&mut self) -> Result<Message, Words> {
        let whole = self.members.is_whole();
        self.members = Members::default();
        let model = std::mem::take(&mut self.reading.model);
        let next = Reading {
            model,
            ..Reading::default()
        };
        let read = std::mem::replace(&mut self.reading, next);
        if let Some(words) = read.refused {
            return Err(words);
        }
        let Some(kind) = read.kind.filter(|_| whole) else {
            return Err(KIND);
        };
        let sound = kind == Kind::Append;
        let bytes = if sound { SOUND } else { TEXT };
        let asked = if kind == Kind::Create {
            Asked::Response
        } else {
            Asked::Other
        };
        Ok(Message {
            asked,
            tokens: read.length.div_ceil(bytes),
            sound,
        })
    }
}

impl Reading {
    fn see(&mut self, seen: Seen<'_>) {
        let wrong = match seen {
            Seen::Kind(name) => self.name(name),
            Seen::Twofold => Some(TWOFOLD),
            Seen::Transcription => Some(TRANSCRIPTION),
            Seen::Prompt => Some(PROMPT),
            Seen::Model(id) => (id != self.model.as_bytes()).then_some(MODEL),
            Seen::Status(_) | Seen::MostOfSession(_) | Seen::MostOfResponse(_) => None,
            Seen::Session(name) => (name != b"realtime").then_some(SESSION),
            Seen::ToolBegins => {
                self.typed = false;
                None
            }
            Seen::ToolType(name) => {
                self.typed = true;
                (name != b"function").then_some(TOOLS)
            }
            Seen::ToolEnds => (!self.typed).then_some(TOOLS),
        };
        self.refused = self.refused.or(wrong);
    }

    fn name(&mut self, name: &[u8]) -> Option<Words> {
        let kind = match name {
            CREATE => Kind::Create,
            APPEND => Kind::Append,
            _ if KNOWN.contains(&name) => Kind::Known,
            _ => return Some(KIND),
        };
        self.kind.replace(kind).map(|_| TWOFOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, size: usize) -> Result<Asked, Words> {
        let mut asks = Asks::new("m");
        for piece in text.as_bytes().chunks(size) {
            asks.feed(piece)?;
        }
        asks.end().map(|message| message.asked)
    }

    fn all(text: &str) -> Result<Asked, Words> {
        let whole = read(text, usize::MAX);
        for size in [1, 2, 3, 7] {
            assert_eq!(read(text, size), whole, "{text}");
        }
        for cut in 1..text.len() {
            let mut asks = Asks::new("m");
            let (one, two) = text.as_bytes().split_at(cut);
            let fed = asks.feed(one).and_then(|()| asks.feed(two));
            let found = fed.and_then(|()| asks.end().map(|message| message.asked));
            assert_eq!(found, whole, "{text} cut at {cut}");
        }
        whole
    }

    #[test]
    fn what_is_known_passes() {
        for text in [
            r#"{"type":"session.update","session":{"type":"realtime","model":"m","instructions":"\"transcription\":{}","audio":{"input":{"format":{"type":"audio/pcm"},"transcription":null,"turn_detection":{"type":"server_vad"}},"output":{"voice":"marin"}},"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"model":{"type":"string"},"transcription":{"type":"string"},"prompt":{"type":"x\u0041"}}}}]}}"#,
            r#" { "session" : { "input_audio_transcription" : null , "tools":[], "prompt":null } , "type" : "session.update" } "#,
            r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
            r#"{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"{\"type\":\"x\"}"}],"model":"other"}}"#,
            r#"{"type":"response.cancel"}"#,
        ] {
            assert_eq!(all(text), Ok(Asked::Other), "{text}");
        }
        for text in [
            r#"{"type":"response.create"}"#,
            r#"{"response":{"metadata":{"model":"x","prompt":1},"input":[{"type":"item_reference","id":"i"}],"conversation":"none"},"type":"response.create"}"#,
        ] {
            assert_eq!(all(text), Ok(Asked::Response), "{text}");
        }
    }

    #[test]
    fn what_costs_besides_does_not() {
        for (text, words) in [
            (
                r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"whisper-1"}}}}}"#,
                TRANSCRIPTION,
            ),
            (
                r#"{"session":{"input_audio_transcription":{"model":"whisper-1"}},"type":"session.update"}"#,
                TRANSCRIPTION,
            ),
            (
                r#"{"type":"session.update","session":{"Audio":{"Input":{"Transcription":true}}}}"#,
                TRANSCRIPTION,
            ),
            (
                r#"{"type":"session.update","session":{"audio":{"input":{"transcript\u0069on":{}}}}}"#,
                TWOFOLD,
            ),
            (
                r#"{"type":"session.update","session":{"tools":[{"type":"function"},{"type":"mcp","server_url":"x"}]}}"#,
                TOOLS,
            ),
            (
                r#"{"type":"response.create","response":{"tools":[{"server_label":"x"}]}}"#,
                TOOLS,
            ),
            (
                r#"{"type":"session.update","session":{"model":"dearer"}}"#,
                MODEL,
            ),
            (
                r#"{"type":"session.update","session":{"model":{"id":"m"}}}"#,
                MODEL,
            ),
            (
                r#"{"type":"response.create","response":{"prompt":{"id":"p"}}}"#,
                PROMPT,
            ),
            (
                r#"{"type":"session.update","session":{"type":"transcription"}}"#,
                SESSION,
            ),
            (r#"{"type":"transcription_session.update"}"#, KIND),
            (
                r#"{"type":"response.cancel","type":"response.create"}"#,
                TWOFOLD,
            ),
            (r#"{"type":"response.\u0063reate"}"#, KIND),
            (r#"[{"type":"response.create"}]"#, KIND),
            (r#"{"type":"response.cancel"}{"x":"response.create"}"#, KIND),
            (r#"{}"#, KIND),
            ("", KIND),
            (r#"{"type":"response.create""#, KIND),
        ] {
            assert_eq!(all(text), Err(words), "{text}");
        }
    }

    #[test]
    fn each_message_is_read_by_itself_and_says_how_long_it_was() {
        let mut asks = Asks::new("m");
        let sound = format!(
            r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#,
            "A".repeat(12_000)
        );
        for (text, asked, tokens) in [
            (&*sound, Asked::Other, 2),
            (r#"{"type":"response.create"}"#, Asked::Response, 7),
            (r#"{"type":"response.cancel"}"#, Asked::Other, 7),
        ] {
            assert_eq!(asks.feed(text.as_bytes()), Ok(()));
            let sound = text == sound;
            let message = Message {
                asked,
                tokens,
                sound,
            };
            assert_eq!(asks.end(), Ok(message));
        }
    }
}
