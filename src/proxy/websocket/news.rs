//! What a server's message is news of, beside what [`Talk`](crate::usage::Talk) reads in it: whether a response goes on, or
//! was broken off, and how long one may be.

use super::members::{Members, Seen};

/// How the types of those events begin and end that bring some of a response.
const PIECE: (&[u8], &[u8]) = (b"response.", b".delta");

/// Those of them that bring text: what is said aloud has its transcript, which is text as well. Any other may be sound.
const TEXTS: [&[u8]; 6] = [
    b"response.output_text.delta",
    b"response.text.delta",
    b"response.output_audio_transcript.delta",
    b"response.audio_transcript.delta",
    b"response.function_call_arguments.delta",
    b"response.reasoning_summary_text.delta",
];

/// Statuses of responses that were not made, or not to their end.
const BROKEN: [&[u8]; 2] = [b"failed", b"cancelled"];

/// What a piece of a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text,
    /// Sound, or something that is not known.
    Sound,
}

/// What a message was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// What it brings of a response, if it does.
    pub piece: Option<Piece>,
    /// Whether it says that a response was not made, or not to its end.
    pub broken: bool,
    /// If a response has begun: how many tokens it may have at the most.
    pub response: Option<u64>,
    /// If it says how the session stands: how many tokens each response may have at the most.
    pub session: Option<u64>,
}

/// Reads one server's messages.
#[derive(Debug, Default)]
pub struct News {
    members: Members,
    message: Message,
}

#[derive(Debug, Default)]
struct Message {
    kind: Kind,
    broken: bool,
    response: Option<u64>,
    session: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Other,
    Piece(Piece),
    Created,
    Session,
}

impl Kind {
    fn named(name: &[u8]) -> Self {
        match name {
            b"response.created" => Self::Created,
            b"session.created" | b"session.updated" => Self::Session,
            _ if TEXTS.contains(&name) => Self::Piece(Piece::Text),
            _ if name.starts_with(PIECE.0) && name.ends_with(PIECE.1) => Self::Piece(Piece::Sound),
            _ => Self::Other,
        }
    }
}

impl News {
    /// The next bytes of the message at hand.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { members, message } = self;
        members.feed(bytes, &mut |seen| match seen {
            Seen::Kind(name) => message.kind = Kind::named(name),
            Seen::Status(name) => message.broken = BROKEN.contains(&name),
            // Of two the one that costs more.
            Seen::MostOfResponse(most) => message.response = message.response.max(Some(most)),
            Seen::MostOfSession(most) => message.session = message.session.max(Some(most)),
            _ => {}
        });
    }

    /// The message is complete. What says nothing of an end has none.
    pub fn end(&mut self) -> New {
        let Message {
            kind,
            broken,
            response,
            session,
        } = std::mem::take(self).message;
        let of = |what, most: Option<u64>| (kind == what).then_some(most.unwrap_or(u64::MAX));
        let piece = match kind {
            Kind::Piece(piece) => Some(piece),
            _ => None,
        };
        New {
            piece,
            broken,
            response: of(Kind::Created, response),
            session: of(Kind::Session, session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> New {
        let mut news = News::default();
        news.feed(text.as_bytes());
        let whole = news.end();
        assert_eq!(news.end(), New::default());
        for size in [1, 2, 5] {
            let pieces = text.as_bytes().chunks(size);
            pieces.for_each(|piece| news.feed(piece));
            assert_eq!(news.end(), whole, "{text}");
        }
        whole
    }

    #[test]
    fn pieces_and_broken_responses_are_seen() {
        for (text, piece, broken) in [
            (
                r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#,
                Some(Piece::Sound),
                false,
            ),
            (
                r#"{"delta":"{\"type\":\"x\"}","type":"response.function_call_arguments.delta"}"#,
                Some(Piece::Text),
                false,
            ),
            (
                r#"{"type":"response.output_audio_transcript.delta","delta":"so"}"#,
                Some(Piece::Text),
                false,
            ),
            (
                r#"{"type":"response.something_new.delta","delta":"so"}"#,
                Some(Piece::Sound),
                false,
            ),
            (
                r#"{"type":"response.output_audio.done","status":"failed"}"#,
                None,
                false,
            ),
            (
                r#"{"type":"conversation.item.input_audio_transcription.delta"}"#,
                None,
                false,
            ),
            (
                r#"{"type":"response.done","response":{"status":"failed","status_details":{"status":"x"}}}"#,
                None,
                true,
            ),
            (
                r#"{"type":"response.done","response":{"output":[{"status":"failed"}],"status":"completed"}}"#,
                None,
                false,
            ),
            (
                r#"{"type":"response.done","response":{"status":"cancelled"}}"#,
                None,
                true,
            ),
            ("no JSON at all", None, false),
        ] {
            let new = read(text);
            assert_eq!((new.piece, new.broken), (piece, broken), "{text}");
        }
    }

    #[test]
    fn how_long_responses_may_be_is_what_the_server_says() {
        for (text, response, session) in [
            (
                r#"{"type":"response.created","response":{"max_output_tokens": 12 }}"#,
                Some(12),
                None,
            ),
            (
                r#"{"response":{"max_output_tokens":"inf"},"type":"response.created"}"#,
                Some(u64::MAX),
                None,
            ),
            (
                r#"{"type":"response.created","response":{"x":{"max_output_tokens":7}},"session":{"max_output_tokens":7}}"#,
                Some(u64::MAX),
                None,
            ),
            (
                r#"{"type":"session.updated","session":{"max_response_output_tokens":9,"max_output_tokens":10}}"#,
                None,
                Some(10),
            ),
            (
                r#"{"type":"session.created","session":{"max_output_tokens":-1}}"#,
                None,
                Some(u64::MAX),
            ),
            (
                r#"{"type":"response.done","response":{"max_output_tokens":12}}"#,
                None,
                None,
            ),
        ] {
            let new = read(text);
            assert_eq!((new.response, new.session), (response, session), "{text}");
        }
    }
}
