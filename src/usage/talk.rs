//! What a conversation over a WebSocket used (OpenAI's Realtime API): each `response.done` that the server sends says it
//! of one response, and they are added up. No more of a message is kept than that object.

use super::Usage;
use super::counts::Counts;
use super::find::{Finder, Found};
use super::meter::{Flaw, Report};

/// The messages that count.
const DONE: &[u8] = b"response.done";

/// A response begins.
const CREATED: &[u8] = b"response.created";

/// Something that the client has asked for is not done.
const ERROR: &[u8] = b"error";

/// What a message of the server says of what is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A response has begun.
    Created,
    /// A response is done, and used this.
    Done(Report),
    /// Something is not done.
    Error,
    /// Something else than a response has used something.
    Foreign,
    /// Nothing of it.
    Other,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Other,
    Created,
    Done,
    Error,
}

/// Reads the messages of one server, which are JSON texts.
#[derive(Debug, Default)]
pub struct Talk {
    finder: Finder,
    counts: Counts,
    /// What the message at hand is.
    kind: Kind,
    /// Whether it has a usage object, of whatever sort.
    told: bool,
    total: Usage,
    unreadable: bool,
    absurd: bool,
}

impl Talk {
    /// The next bytes of the message at hand.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self {
            finder,
            counts,
            kind,
            told,
            ..
        } = self;
        finder.feed(bytes, &mut |found| match found {
            Found::Kind(DONE) => *kind = Kind::Done,
            Found::Kind(CREATED) => *kind = Kind::Created,
            Found::Kind(ERROR) => *kind = Kind::Error,
            Found::Kind(_) => *kind = Kind::Other,
            Found::Usage(object) => {
                *told = true;
                counts.read(object);
            }
            Found::TooLarge => {
                *told = true;
                counts.unreadable();
            }
            Found::Tier(name) => counts.tier(name),
        });
    }

    /// The message is complete: what it says.
    pub fn end(&mut self) -> Said {
        self.finder.reset();
        let counts = std::mem::take(&mut self.counts);
        let told = std::mem::take(&mut self.told);
        match std::mem::take(&mut self.kind) {
            Kind::Done => {}
            Kind::Created => return Said::Created,
            Kind::Error => return Said::Error,
            Kind::Other if told => return Said::Foreign,
            Kind::Other => return Said::Other,
        }
        self.unreadable |= counts.is_unreadable();
        self.absurd |= counts.is_absurd();
        let usage = counts.usage();
        add(&mut self.total, &usage);
        let flaw = match () {
            () if counts.is_unreadable() => Some(Flaw::Unreadable),
            () if counts.is_absurd() => Some(Flaw::Absurd),
            () if !usage.is_any() => Some(Flaw::Missing),
            () => None,
        };
        Said::Done(Report {
            usage,
            flaw,
            ended: true,
            generated: 0,
            finished: 0,
        })
    }

    /// What was used, as of the messages so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let flaw = match () {
            () if self.unreadable => Some(Flaw::Unreadable),
            () if self.absurd => Some(Flaw::Absurd),
            () => None,
        };
        Report {
            usage: self.total,
            flaw,
            ended: true,
            generated: 0,
            finished: 0,
        }
    }
}

/// Adds what one response used.
fn add(total: &mut Usage, one: &Usage) {
    for (sum, part) in [
        (&mut total.input, one.input),
        (&mut total.cached, one.cached),
        (&mut total.cached_audio, one.cached_audio),
        (&mut total.cached_image, one.cached_image),
        (&mut total.cache_write, one.cache_write),
        (&mut total.audio_input, one.audio_input),
        (&mut total.image_input, one.image_input),
        (&mut total.output, one.output),
        (&mut total.reasoning, one.reasoning),
        (&mut total.audio_output, one.audio_output),
        (&mut total.image_output, one.image_output),
    ] {
        *sum = sum.saturating_add(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenAI's reference has it.
    const DONE: &str = r#"{"type":"response.done","event_id":"event_1","response":{"object":"realtime.response","id":"resp_1","status":"completed","output":[{"id":"item_1","type":"message","content":[{"type":"audio","transcript":"\"usage\":{}"}]}],"usage":{"total_tokens":253,"input_tokens":132,"output_tokens":121,"input_token_details":{"text_tokens":119,"audio_tokens":13,"image_tokens":0,"cached_tokens":64,"cached_tokens_details":{"text_tokens":64,"audio_tokens":0,"image_tokens":0}},"output_token_details":{"text_tokens":30,"audio_tokens":91}}}}"#;

    fn read(messages: &[&str], size: usize) -> Report {
        let mut talk = Talk::default();
        for message in messages {
            message
                .as_bytes()
                .chunks(size)
                .for_each(|piece| talk.feed(piece));
            talk.end();
        }
        talk.report()
    }

    #[test]
    fn the_usage_of_all_responses_is_added_up() {
        let others = [
            r#"{"type":"session.created","session":{"usage":{"input_tokens":9}}}"#,
            r#"{"type":"response.created","response":{"usage":null}}"#,
            // Of another model, by other prices.
            r#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"tokens","input_tokens":7,"output_tokens":7}}"#,
        ];
        let messages = [others[0], DONE, others[1], others[2], DONE];
        for size in [1, 7, 4096] {
            let report = read(&messages, size);
            let usage = report.usage;
            assert_eq!((usage.input, usage.output), (264, 242));
            assert_eq!((usage.cached, usage.audio_input), (128, 26));
            assert_eq!(usage.audio_output, 182);
            assert_eq!((report.flaw, report.ended), (None, true));
        }
    }

    #[test]
    fn a_usage_that_comes_before_the_type_counts_too() {
        let turned =
            r#"{"response":{"usage":{"input_tokens":3,"output_tokens":4}},"type":"response.done"}"#;
        assert_eq!(read(&[turned], 5).usage.input, 3);
    }

    #[test]
    fn nothing_said_is_nothing_used() {
        let report = read(&[r#"{"type":"session.created"}"#], 3);
        assert_eq!((report.usage, report.flaw), (Usage::default(), None));
    }

    #[test]
    fn what_cannot_be_believed_is_a_flaw() {
        let absurd = r#"{"type":"response.done","response":{"usage":{"input_tokens":-3,"output_tokens":4}}}"#;
        assert!(read(&[absurd], 9).flaw.is_some());
        let pad = "x".repeat(20_000);
        let large = format!(
            r#"{{"type":"response.done","response":{{"usage":{{"input_tokens":1,"pad":"{pad}"}}}}}}"#
        );
        assert_eq!(read(&[&large], 999).flaw, Some(Flaw::Unreadable));
    }
}
