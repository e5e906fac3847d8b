//! What is not served on the gateway's credential, and the words that say so.

use std::fmt;

use crate::model::scan::Member;

/// Why a request is not sent on the gateway's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The member that is the reason.
    pub member: &'static str,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Tools that the provider runs: what they read and cost is not known before.
    HostedTools,
    /// What it brings is priced, or counted, in ways that the gateway cannot know before.
    Unbounded,
    /// It refers to what the provider keeps, for whoever has the operator's key.
    Kept,
    /// The answer comes later, by another way.
    Later,
    /// It is no whole number from 1 to [`CHOICES_MAX`].
    NotANumber,
    /// It is no text.
    NotAText,
    /// It is not known here, and may stand for anything.
    Unknown,
    /// It can be read in two ways.
    Twofold,
    /// Not all of it has been read.
    Unread,
    /// It has the answer written in a way in which it does not say what was used.
    Unsaid,
}

/// Answers to one prompt that can be asked for; providers allow 128.
pub const CHOICES_MAX: u64 = 1024;

impl Refused {
    pub(super) const fn new(member: Member, why: Why) -> Self {
        Self {
            member: member.name(),
            why,
        }
    }

    /// Whether the request is malformed, rather than one that cannot be charged.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        matches!(self.why, Why::NotANumber | Why::NotAText | Why::Twofold)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, why } = self;
        match why {
            Why::HostedTools => write!(
                out,
                "`{member}` has a tool that the provider runs (as web search), whose cost is not known before. On the gateway's credential only tools that the client runs are served (`function`, `custom`); leave it out, or use a provider key of your own."
            ),
            Why::Unbounded => write!(
                out,
                "`{member}` changes the price in a way that is not known before, and is not served on the gateway's credential. Leave it out, or use a provider key of your own."
            ),
            Why::Kept => write!(
                out,
                "`{member}` refers to what the provider keeps, which accounts of this gateway would share. Send the whole conversation, or use a provider key of your own."
            ),
            Why::Later => write!(
                out,
                "`{member}` has the answer come later, where it cannot be charged. Leave it out, or use a provider key of your own."
            ),
            Why::NotANumber => write!(
                out,
                "`{member}` must be a whole number from 1 to {CHOICES_MAX}."
            ),
            Why::Unknown => write!(
                out,
                "{member} is not known to the gateway, nor what it costs, and is not served on the gateway's credential. Leave it out, or use a provider key of your own."
            ),
            Why::Twofold => write!(
                out,
                "`{member}` has a member twice, or one that is written with escapes. Write each once."
            ),
            Why::Unread => write!(
                out,
                "`{member}` of this size is not kept by the gateway, which has to read all of it to know what it can cost. Send less, or use a provider key of your own."
            ),
            Why::Unsaid => write!(
                out,
                "{member} asks for an answer in another form, in which it would not say what was used, and that is not served on the gateway's credential. Ask with `alt=sse` or with nothing, or use a provider key of your own."
            ),
            Why::NotAText => write!(out, "`{member}` must be a string."),
        }
    }
}

impl std::error::Error for Refused {}
