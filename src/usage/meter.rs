//! The meter of one answer: fed its bytes as they pass, it says in the end what was used.

use super::Usage;
use super::counts::Counts;
use super::decode::{Coding, Decoder};
use super::events::{Events, Part};
use super::find::{Finder, Found};
use super::generated::Generated;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON text.
    Json,
    /// Server-sent events.
    Events,
}

/// Why a usage is not, or not surely, what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The answer says nothing of it.
    Missing,
    /// What it says could not be read, or decoded.
    Unreadable,
    /// Some of its numbers cannot be believed.
    Absurd,
}

/// What a meter has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was used, as far as it was told.
    pub usage: Usage,
    /// What is wrong with that; none: it is what the provider reports.
    pub flaw: Option<Flaw>,
    /// Whether a stream's last event was seen. Of other answers the framing tells.
    pub ended: bool,
    /// Tokens of the text that has come, by the published rule; 0 where the meter does not estimate.
    pub generated: u64,
    /// How many of the answer's choices have said why they are at their end; 0 where the meter does not estimate.
    pub finished: u32,
}

/// Reads the usage of one answer.
pub struct Meter {
    decoder: Decoder,
    /// None where the answer is one text.
    events: Option<Events>,
    finder: Finder,
    counts: Counts,
    /// None where nothing is to be estimated.
    generated: Option<Generated>,
}

impl Meter {
    /// The meter of an answer that is written and compressed in this way.
    #[must_use]
    pub fn new(form: Form, coding: Coding) -> Self {
        Self {
            decoder: Decoder::new(coding),
            events: (form == Form::Events).then(Events::default),
            finder: Finder::default(),
            counts: Counts::default(),
            generated: None,
        }
    }

    /// The same, which looks at the text as well: what is not told can be estimated then.
    #[must_use]
    pub fn estimating(self) -> Self {
        Self {
            generated: Some(Generated::default()),
            ..self
        }
    }

    /// The next bytes of the answer, as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self {
            decoder,
            events,
            finder,
            counts,
            generated,
        } = self;
        let mut text = Text {
            finder,
            counts,
            generated: generated.as_mut(),
        };
        decoder.feed(bytes, &mut |bytes| {
            match events {
                None => text.feed(bytes),
                Some(events) => events.feed(bytes, &mut |part| text.part(part)),
            }
            true
        });
    }

    /// Whether the answer is compressed, so that what is said where in it cannot be told from outside.
    #[must_use]
    pub fn is_decoding(&self) -> bool {
        self.decoder.is_decoding()
    }

    /// How the answer is written.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.events {
            None => Form::Json,
            Some(_) => Form::Events,
        }
    }

    /// What was used, as of the bytes so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let counts = &self.counts;
        let flaw = match () {
            () if counts.is_unreadable() || self.decoder.has_failed() => Some(Flaw::Unreadable),
            () if counts.is_absurd() => Some(Flaw::Absurd),
            () if !counts.is_any() => Some(Flaw::Missing),
            () => None,
        };
        Report {
            usage: counts.usage(),
            flaw,
            ended: self.events.as_ref().is_some_and(Events::ended),
            generated: self.generated.as_ref().map_or(0, Generated::tokens),
            finished: self.generated.as_ref().map_or(0, Generated::finished),
        }
    }
}

/// What reads the JSON texts of an answer.
struct Text<'m> {
    finder: &'m mut Finder,
    counts: &'m mut Counts,
    generated: Option<&'m mut Generated>,
}

impl Text<'_> {
    fn feed(&mut self, bytes: &[u8]) {
        let Self { finder, counts, .. } = self;
        finder.feed(bytes, &mut |found| note(counts, found));
        if let Some(generated) = &mut self.generated {
            generated.feed(bytes);
        }
    }

    fn part(&mut self, part: Part<'_>) {
        match part {
            Part::Data(data) => self.feed(data),
            Part::Plain(data) => {
                if let Some(generated) = &mut self.generated {
                    generated.feed(data);
                    generated.reset();
                }
            }
            Part::End => {
                self.finder.reset();
                if let Some(generated) = &mut self.generated {
                    generated.reset();
                }
            }
        }
    }
}

fn note(counts: &mut Counts, found: Found<'_>) {
    match found {
        Found::Usage(object) => counts.read(object),
        Found::TooLarge => counts.unreadable(),
        Found::Tier(name) => counts.tier(name),
        Found::Kind(_) => {}
    }
}

#[cfg(test)]
pub(super) mod tests;
