//! What a request used, by the words of the provider that answered it: read from the bytes of the answer as they pass.
//! Nothing is held back or changed, no tree is built, and no more is kept than the object with the counts.
//!
//! Bytes → `decode` (compressed answers, on a copy) → `events` (server-sent events) → `find` (the usage object in
//! a JSON text) → `counts` (numbers by their names) → [`Usage`], which means the same whoever reported it.
//!
//! Knows nothing of HTTP, of providers and of prices.

mod counts;
mod decode;
pub mod estimate;
mod events;
mod extra;
mod find;
mod generated;
mod meter;
mod strings;
mod talk;

pub use decode::{Coding, Decoder};
pub use extra::{Extra, Passed};
pub use meter::{Flaw, Form, Meter, Report};
pub use strings::quote_or_escape;
pub use talk::{Said, Talk};

/// What was used. `input` and `output` are totals; the other counts are parts of them, whatever the provider's own way
/// of counting (Anthropic's input tokens leave out what was cached; xAI's output tokens leave out what was thought).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that were read.
    pub input: u64,
    /// Of them: read from a cache.
    pub cached: u64,
    /// Of those: sound, as far as that is told.
    pub cached_audio: u64,
    /// Of those: images, as far as that is told.
    pub cached_image: u64,
    /// Of them: written to a cache, for five minutes or as long as the provider usually keeps it.
    pub cache_write: u64,
    /// Of them: written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Of them: written to a cache for twelve hours. No provider says so: it follows from the request.
    pub cache_write_12h: u64,
    /// Of them: sound.
    pub audio_input: u64,
    /// Of them: images.
    pub image_input: u64,
    /// Tokens that were written.
    pub output: u64,
    /// Of them: thoughts.
    pub reasoning: u64,
    /// Of them: sound.
    pub audio_output: u64,
    /// Of them: images.
    pub image_output: u64,
    /// Searches of the web that the provider made.
    pub searches: u64,
    /// The service tier that served it.
    pub tier: Tier,
    /// Whether it was served in the United States because that was asked for, which has a price of its own.
    pub us: bool,
}

impl Usage {
    /// Whether anything was used.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.input > 0 || self.output > 0 || self.searches > 0
    }
}

/// The service tier that a provider says has served a request. Tiers have prices of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// None was named.
    #[default]
    Unsaid,
    /// The usual one.
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer.
    Priority,
    /// Faster and dearer, at Anthropic; another word for `Priority` at `OpenAI`.
    Fast,
    /// Faster and dearer still.
    Ultrafast,
    /// Answered later.
    Batch,
    /// One that is not known here.
    Other,
}

impl Tier {
    /// By the name that OpenAI, Anthropic, Groq and Gemini give it.
    fn named(name: &[u8]) -> Self {
        match name {
            b"default" | b"standard" | b"auto" | b"on_demand" | b"STANDARD" => Self::Standard,
            b"flex" | b"FLEX" => Self::Flex,
            b"priority" | b"PRIORITY" => Self::Priority,
            b"fast" => Self::Fast,
            b"ultrafast" => Self::Ultrafast,
            b"batch" => Self::Batch,
            _ => Self::Other,
        }
    }
}
