//! What a request asks for that bears on its price: read from the top-level members of its body, and from what stands
//! in it at any depth as far as [`super::marks`] finds it. What no bound can be given for is refused here.

use super::betas::Betas;
use super::marks::{Marks, marks};
use super::native;
use super::refused::{CHOICES_MAX, Refused, Why};
use super::tools::{client_runs, client_runs_within};
use crate::catalog::{Item, Price};
use crate::model::scan::{
    Kind, Member, Members, Occurrence, elements, raw, says_something, whole_number,
};
use crate::surface::{ModelAt, Surface};
use crate::usage::{Tier, Usage, estimate};

/// What bears on the price of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In which API shape.
    pub surface: Surface,
    /// Bytes of the body.
    pub bytes: u64,
    /// `max_tokens`, where it is a bound.
    pub max_tokens: Option<u64>,
    /// `max_completion_tokens`, where it is a bound.
    pub max_completion_tokens: Option<u64>,
    /// `max_output_tokens`, where it is a bound.
    pub max_output_tokens: Option<u64>,
    /// Answers to each prompt; at least 1.
    pub choices: u64,
    /// Prompts; more than 1 in a completion only.
    pub prompts: u64,
    /// The service tier asked for.
    pub tier: AskedTier,
    /// Whether it is to be served in the United States, at a price of its own.
    pub us: bool,
    /// Whether something else than text is asked for.
    pub beyond_text: bool,
    /// Whether a text is given that the answer may be like: it is paid for where it is not.
    pub predicted: bool,
    /// Whether there are tools, which a provider writes about in words of its own.
    pub tools: bool,
    /// Whether caches are to be kept for twelve hours.
    pub half_day: bool,
    /// What stands deeper in the body.
    pub marks: Marks,
    /// What its header changes of the model's limits.
    pub betas: Betas,
    /// Tokens that the body comes to, by the published rule; at least 1.
    pub estimate: u64,
}

/// A service tier that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskedTier {
    /// The usual one, or what the operator has set at the provider.
    #[default]
    Usual,
    /// This one, or the usual one where it is not to be had.
    Named(Tier),
    /// One that is not known here.
    Unknown,
}

/// Members that are refused if they say anything, and why.
const REFUSED: [(Member, Why); 14] = [
    (Member::SearchParameters, Why::Unbounded),
    (Member::Plugins, Why::Unbounded),
    (Member::Provider, Why::Unbounded),
    (Member::Preset, Why::Unbounded),
    (Member::Fallbacks, Why::Unbounded),
    (Member::McpServers, Why::HostedTools),
    (Member::Container, Why::HostedTools),
    (Member::Background, Why::Later),
    (Member::Deferred, Why::Later),
    (Member::PreviousResponseId, Why::Kept),
    (Member::Conversation, Why::Kept),
    // Of the next three only some say what cannot be bounded.
    (Member::WebSearchOptions, Why::Unbounded),
    (Member::Prompt, Why::Kept),
    (Member::ContextManagement, Why::Unbounded),
];

impl Asked {
    /// What the body of a request asks for; it must be whole.
    ///
    /// # Errors
    /// What is in it that is not served on the gateway's credential.
    pub fn read(surface: Surface, members: &Members, body: &[u8]) -> Result<Self, Refused> {
        if surface.spec().model_at == ModelAt::Path {
            return native::read(surface, body);
        }
        let read = Read {
            surface,
            members,
            body,
        };
        read.refuse()?;
        let marks = marks(body);
        if marks.tools_added || marks.tools_within && !client_runs_within(body) {
            return Err(Refused::new(Member::Tools, Why::HostedTools));
        }
        if marks.kept {
            return Err(Refused {
                member: "item_reference",
                why: Why::Kept,
            });
        }
        let tools = read.tools()? || marks.tools_within;
        Ok(Self {
            surface,
            bytes: body.len() as u64,
            max_tokens: read.cap(Member::MaxTokens),
            max_completion_tokens: read.cap(Member::MaxCompletionTokens),
            max_output_tokens: read.cap(Member::MaxOutputTokens),
            choices: read.choices()?,
            prompts: read.prompts(),
            tier: read.tier()?,
            us: read
                .text(Member::InferenceGeo)?
                .is_some_and(|geo| geo != b"global"),
            beyond_text: read.beyond_text(),
            predicted: read.says(Member::Prediction),
            tools,
            half_day: read.holds(Member::PromptCacheOptions, b"12h"),
            marks,
            betas: Betas::default(),
            estimate: estimate::input(body, marks.things(), marks.file_bytes),
        })
    }

    /// What one answer within a conversation may ask for: whatever the model reads, and as many tokens as it writes, or at
    /// the most `output`.
    #[must_use]
    pub fn talk(output: Option<u64>) -> Self {
        Self {
            surface: Surface::Realtime,
            bytes: u64::MAX,
            max_tokens: None,
            max_completion_tokens: None,
            max_output_tokens: output,
            choices: 1,
            prompts: 1,
            tier: AskedTier::Usual,
            us: false,
            beyond_text: true,
            predicted: false,
            tools: true,
            half_day: false,
            marks: Marks {
                refers: true,
                ..Marks::default()
            },
            betas: Betas::default(),
            estimate: 1,
        }
    }

    /// What was used, with what the answer did not say and the request does: never to the operator's loss.
    #[must_use]
    pub fn complete(&self, price: &Price, mut usage: Usage) -> Usage {
        // Who asks for a cheaper tier has it only where the answer says so.
        if let (Tier::Unsaid, AskedTier::Named(tier)) = (usage.tier, self.tier)
            && tier != Tier::Flex
        {
            usage.tier = tier;
        }
        usage.us |= self.us;
        if self.half_day {
            usage.cache_write_12h += std::mem::take(&mut usage.cache_write);
        }
        // Sound was sent and no token of it is told apart.
        if self.marks.audio && usage.audio_input == 0 && price.rates.get(Item::AudioInput).is_some()
        {
            usage.audio_input = usage.input;
        }
        usage
    }
}

/// Reads members.
struct Read<'a> {
    surface: Surface,
    members: &'a Members,
    body: &'a [u8],
}

impl<'a> Read<'a> {
    fn get(&self, member: Member) -> Option<&'a Occurrence> {
        self.members.get(member).map(|found| found.last())
    }

    fn raw(&self, member: Member) -> Option<&'a [u8]> {
        self.get(member).map(|found| raw(self.body, found))
    }

    fn says(&self, member: Member) -> bool {
        self.get(member)
            .is_some_and(|found| says_something(self.body, found))
    }

    /// Whether the value holds this text, or an escape that could hide it.
    fn holds(&self, member: Member, text: &[u8]) -> bool {
        self.raw(member).is_some_and(|raw| {
            memchr::memmem::find(raw, text).is_some() || memchr::memmem::find(raw, b"\\u").is_some()
        })
    }

    fn refuse(&self) -> Result<(), Refused> {
        for (member, why) in REFUSED {
            let is = match member {
                // Searches, if only it is there.
                Member::WebSearchOptions => {
                    let found = self.get(member);
                    found.is_some_and(|found| !matches!(found.kind(), Kind::Null | Kind::False))
                }
                // Elsewhere it is the text itself.
                Member::Prompt => self.surface.has_state() && self.says(member),
                // Summaries are made, and counted, beside the answer.
                Member::ContextManagement => self.holds(member, b"compact"),
                _ => self.says(member),
            };
            if is {
                return Err(Refused::new(member, why));
            }
        }
        Ok(())
    }

    /// A number that bounds something. What is none is no bound.
    fn cap(&self, member: Member) -> Option<u64> {
        let found = self.get(member)?;
        whole_number(self.body, found).filter(|cap| *cap > 0)
    }

    fn choices(&self) -> Result<u64, Refused> {
        if !matches!(self.surface, Surface::Chat | Surface::Completions) {
            return Ok(1);
        }
        let one = |member| match self.get(member) {
            Some(found) if found.kind() != Kind::Null => whole_number(self.body, found)
                .filter(|count| (1..=CHOICES_MAX).contains(count))
                .ok_or(Refused::new(member, Why::NotANumber)),
            _ => Ok(1),
        };
        Ok(one(Member::N)?.max(one(Member::BestOf)?))
    }

    /// A completion may have a list of prompts, each of them text or tokens.
    fn prompts(&self) -> u64 {
        let Some(prompt) = self
            .raw(Member::Prompt)
            .filter(|_| self.surface == Surface::Completions)
        else {
            return 1;
        };
        let lists = elements(prompt).filter(|one| matches!(one.first(), Some(b'"' | b'[')));
        (lists.count() as u64).max(1)
    }

    fn tier(&self) -> Result<AskedTier, Refused> {
        let speed = self.text(Member::Speed)?;
        if speed == Some(b"fast") {
            return Ok(AskedTier::Named(Tier::Fast));
        }
        let unknown = !matches!(speed, None | Some(b"standard"));
        let tier = self
            .text(Member::ServiceTier)?
            .map_or(AskedTier::Usual, asked_tier);
        Ok(if unknown { AskedTier::Unknown } else { tier })
    }

    /// A text as it is written; none where it is `null`.
    fn text(&self, member: Member) -> Result<Option<&'a [u8]>, Refused> {
        let Some(found) = self.get(member) else {
            return Ok(None);
        };
        match (found.kind(), raw(self.body, found)) {
            (Kind::Null, _) => Ok(None),
            (Kind::String | Kind::EscapedString, [b'"', text @ .., b'"']) => Ok(Some(text)),
            _ => Err(Refused::new(member, Why::NotAText)),
        }
    }

    fn beyond_text(&self) -> bool {
        let modalities = self.raw(Member::Modalities).unwrap_or_default();
        self.says(Member::Audio) || elements(modalities).any(|one| one != b"\"text\"")
    }

    /// Whether there are tools, all of which the client runs.
    fn tools(&self) -> Result<bool, Refused> {
        let Some(tools) = self.raw(Member::Tools) else {
            return Ok(false);
        };
        if elements(tools).all(client_runs) {
            return Ok(elements(tools).next().is_some());
        }
        Err(Refused::new(Member::Tools, Why::HostedTools))
    }
}

fn asked_tier(name: &[u8]) -> AskedTier {
    match name {
        b"auto" | b"default" | b"standard" | b"standard_only" | b"on_demand" => AskedTier::Usual,
        b"flex" => AskedTier::Named(Tier::Flex),
        b"priority" => AskedTier::Named(Tier::Priority),
        b"fast" => AskedTier::Named(Tier::Fast),
        b"ultrafast" => AskedTier::Named(Tier::Ultrafast),
        _ => AskedTier::Unknown,
    }
}

#[cfg(test)]
mod tests;
