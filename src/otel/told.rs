//! What a request leaves behind: plain values, of which spans and measures are made where nobody waits.

use std::sync::Arc;
use std::time::Duration;

use super::context::Trace;
use crate::surface::Surface;
use crate::usage::Usage;

/// A request that has ended.
#[derive(Debug, Default)]
pub struct Finished {
    /// Its trace, if it is told.
    pub trace: Option<Box<Trace>>,
    /// When it arrived, since 1970.
    pub arrived: Duration,
    /// From then to its end.
    pub took: Duration,
    /// The method of HTTP, as the client sent it.
    pub method: Box<str>,
    /// Our id of it.
    pub request_id: Box<str>,
    /// The surface that it was on.
    pub surface: Option<Surface>,
    /// The account that it was of.
    pub account: Option<Box<str>>,
    /// The access key's id.
    pub key_id: Option<Box<str>>,
    /// The model that was asked for first.
    pub asked: Option<Box<str>>,
    /// Status of the answer; 0 where the client was gone before one.
    pub status: u16,
    /// Code of a refusal or error of our own.
    pub code: Option<&'static str>,
    /// Whether a stream was asked for.
    pub streamed: bool,
    /// Whose key was used.
    pub credential: Option<&'static str>,
    /// What was used, where the provider has said so.
    pub usage: Option<Usage>,
    /// What was charged, in nano-dollars.
    pub cost_nano: Option<i64>,
    /// The attempts, in order.
    pub attempts: Vec<Attempt>,
    /// The place of the one whose answer the client got.
    pub answered: Option<usize>,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The provider's id.
    pub provider: Arc<str>,
    /// Its id of the model; empty where none is named.
    pub model: Box<str>,
    /// Whether the catalog knows it; names that clients write make no series.
    pub known: bool,
    /// Host and port that were asked; none where nobody was.
    pub address: Option<(Box<str>, u16)>,
    /// What became of it.
    pub outcome: &'static str,
    /// Whether that is a success.
    pub good: bool,
    /// Whether that is the client's doing: it went away.
    pub left: bool,
    /// Status of the response; 0 where there was none.
    pub status: u16,
    /// From the request's arrival to its beginning.
    pub after: Duration,
    /// From then until its end was known; of the one that answered, to the end of the answer.
    pub took: Duration,
}

impl Attempt {
    /// `error.type`: the status where there is one, and else what became of it. None of a success.
    pub(super) fn error(&self) -> Option<String> {
        if self.good || self.left {
            return None;
        }
        Some(match self.status {
            400.. => self.status.to_string(),
            _ => self.outcome.to_owned(),
        })
    }
}
