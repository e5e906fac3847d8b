//! What a response of a conversation costs: by what the provider says, or by what was heard of it.

use std::sync::Arc;

use crate::catalog::ProviderId;
use crate::ledger::{Closing, Estimated, Flags};
use crate::live::Live;
use crate::metrics::{AttemptOutcome, Label};
use crate::money::{self, Bound, Charge, Credits};
use crate::proxy::charge::offers;
use crate::routing::plan::UpstreamModel;
use crate::usage::{Flaw, Report, Usage};

/// The status of a conversation that is open.
const OPENED: u16 = 101;

/// What is known of a response that nobody saw the end of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Tokens of what was said before it, as an estimate.
    pub input: u64,
    /// Of them: sound.
    pub sound_input: u64,
    /// Tokens of it that have come, as an estimate.
    pub output: u64,
    /// Of them: sound, or not known to be text.
    pub sound_output: u64,
    /// Whether the server has said that it was not made, or not to its end.
    pub broken: bool,
}

/// The prices of one conversation.
pub struct Tariff {
    pub live: Arc<Live>,
    pub provider: ProviderId,
    pub model: UpstreamModel,
    pub bound: Bound,
    pub upstream_id: Option<Box<str>>,
}

impl Tariff {
    /// What is held for a response of at most so many tokens.
    pub fn held(&self, most: u64) -> Credits {
        let offer = offers::offer(&self.live, self.provider, &self.model);
        let bound = offer.map(|offer| offer.hold_talk(&self.live.terms.rule, Some(most)));
        match bound {
            Some(Ok(bound)) => bound.hold.min(self.bound.hold),
            // It was had when the conversation began, by the same catalog.
            _ => self.bound.hold,
        }
    }

    /// What a response costs of which the provider reports this. None: nothing, for nothing was served.
    pub fn reported(&self, report: &Report, heard: Heard) -> Option<Closing> {
        let estimated = match report.flaw {
            None => None,
            Some(Flaw::Missing) if heard.broken && heard.output == 0 => return None,
            Some(Flaw::Missing) => Some(Estimated::Unsent),
            Some(Flaw::Unreadable | Flaw::Absurd) => Some(Estimated::Unreadable),
        };
        let usage = match estimated {
            None => report.usage,
            Some(_) => self.guess(report.usage, heard),
        };
        let mut closing = self.closing(usage, estimated);
        if report.flaw == Some(Flaw::Absurd) {
            closing.flags = closing.flags.with(Flags::ABSURD);
        }
        Some(closing)
    }

    /// What a response costs that nobody saw the end of.
    pub fn unseen(&self, heard: Heard, reason: Estimated) -> Closing {
        self.closing(self.guess(Usage::default(), heard), Some(reason))
    }

    /// What a response that begins is likely to cost. What is still to come of it is taken for sound, which costs more.
    pub fn likely(&self, heard: Heard) -> Credits {
        let usual = self.live.terms.rule.expected_output;
        let to_come = usual.saturating_sub(heard.output);
        let likely = Heard {
            output: heard.output.saturating_add(to_come),
            sound_output: heard.sound_output.saturating_add(to_come),
            ..heard
        };
        let closing = self.unseen(likely, Estimated::Cut);
        cost(&closing)
    }

    /// The end of a hold for nothing.
    pub fn nothing(&self) -> Closing {
        Closing {
            outcome: AttemptOutcome::Ok.label(),
            status: Some(OPENED),
            upstream_id: self.upstream_id.clone(),
            ..Closing::default()
        }
    }

    fn guess(&self, told: Usage, heard: Heard) -> Usage {
        let input = told.input.max(heard.input).clamp(1, self.bound.input_most);
        let output = told.output.max(heard.output.min(self.bound.output_most));
        Usage {
            input,
            output,
            audio_input: told.audio_input.max(heard.sound_input).min(input),
            audio_output: told.audio_output.max(heard.sound_output).min(output),
            ..told
        }
    }

    fn closing(&self, usage: Usage, estimated: Option<Estimated>) -> Closing {
        let offer = offers::offer(&self.live, self.provider, &self.model);
        let fee = &self.live.terms.rule.fee;
        let charge = offer.map(|offer| money::charge(offer.price, &usage, fee));
        let (charge, flags) = match charge {
            Some(Ok(charge)) => (charge, Flags::default()),
            // What was used has no price, or a sum that nobody can pay.
            _ => (
                Charge {
                    model: self.bound.hold,
                    fee: Credits::ZERO,
                },
                Flags::default().with(Flags::UNPRICED),
            ),
        };
        Closing {
            usage,
            model: charge.model,
            fee: charge.fee,
            estimated,
            flags,
            ..self.nothing()
        }
    }
}

/// What the account is charged, if it is held.
pub fn cost(closing: &Closing) -> Credits {
    let total = closing.model.checked_add(closing.fee);
    total.unwrap_or(Credits::MAX)
}
