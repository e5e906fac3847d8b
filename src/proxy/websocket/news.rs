//! What a server's message is news of, beside what [`Talk`](crate::usage::Talk) reads in it: whether a response goes on, or
//! was broken off.

use super::members::{Members, Seen};

/// How the types of those events begin and end that bring some of a response.
const PIECE: (&[u8], &[u8]) = (b"response.", b".delta");

/// Statuses of responses that were not made, or not to their end.
const BROKEN: [&[u8]; 2] = [b"failed", b"cancelled"];

/// What a message was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// Whether it brings some of a response.
    pub piece: bool,
    /// Whether it says that a response was not made, or not to its end.
    pub broken: bool,
}

/// Reads one server's messages.
#[derive(Debug, Default)]
pub struct News {
    members: Members,
    new: New,
}

impl News {
    /// The next bytes of the message at hand.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { members, new } = self;
        members.feed(bytes, &mut |seen| match seen {
            Seen::Kind(name) => {
                new.piece = name.starts_with(PIECE.0) && name.ends_with(PIECE.1);
            }
            Seen::Status(name) => new.broken = BROKEN.contains(&name),
            _ => {}
        });
    }

    /// The message is complete.
    pub fn end(&mut self) -> New {
        std::mem::take(self).new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_broken_responses_are_seen_however_they_come() {
        for (text, piece, broken) in [
            (
                r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#,
                true,
                false,
            ),
            (
                r#"{"delta":"{\"type\":\"x\"}","type":"response.function_call_arguments.delta"}"#,
                true,
                false,
            ),
            (
                r#"{"type":"response.output_audio.done","status":"failed"}"#,
                false,
                false,
            ),
            (
                r#"{"type":"conversation.item.input_audio_transcription.delta"}"#,
                false,
                false,
            ),
            (
                r#"{"type":"response.done","response":{"status":"failed","status_details":{"status":"x"}}}"#,
                false,
                true,
            ),
            (
                r#"{"type":"response.done","response":{"output":[{"status":"failed"}],"status":"completed"}}"#,
                false,
                false,
            ),
            (
                r#"{"type":"response.done","response":{"status":"cancelled"}}"#,
                false,
                true,
            ),
            ("no JSON at all", false, false),
        ] {
            for size in [1, 2, 5, 1000] {
                let mut news = News::default();
                text.as_bytes()
                    .chunks(size)
                    .for_each(|piece| news.feed(piece));
                assert_eq!(news.end(), New { piece, broken }, "{text}");
                assert_eq!(news.end(), New::default());
            }
        }
    }
}
