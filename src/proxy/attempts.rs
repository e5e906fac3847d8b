//! The record of a request's attempts, and how it is shown in `Tollgate-Attempts` and the log.

use std::time::{Duration, Instant};

use crate::metrics::{AttemptOutcome, Label};
use crate::routing::plan::ATTEMPTS_MAX;

/// One attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Its candidate's place among the request's candidates.
    pub candidate: u8,
    /// Its endpoint's place among the provider's; none where none was asked.
    pub endpoint: Option<u16>,
    /// When it began.
    pub began: Option<Instant>,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// The upstream's status; 0 when there was none.
    pub status: u16,
    /// How long it took until that was known.
    pub took: Duration,
}

/// The attempts of one request, in order.
#[derive(Debug, Default)]
pub struct Attempts {
    made: [Option<Attempt>; ATTEMPTS_MAX as usize],
    count: usize,
}

impl Attempts {
    /// Adds an attempt. No request makes more than [`ATTEMPTS_MAX`].
    pub fn add(&mut self, attempt: Attempt) {
        if let Some(place) = self.made.get_mut(self.count) {
            *place = Some(attempt);
            self.count += 1;
        }
    }

    /// The last attempt ended otherwise than it seemed.
    pub fn amend_last(&mut self, outcome: AttemptOutcome) {
        if let Some(last) = self.made[..self.count].last_mut().and_then(Option::as_mut) {
            last.outcome = outcome;
        }
    }

    /// The attempts, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.made.iter().flatten()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends `openai:gpt-4o;server_error;status=503;ms=12, anthropic:claude;ok;status=200;ms=340`.
    pub fn render(&self, text: &mut String, name: impl Fn(u8, &mut String)) {
        let mut number = itoa::Buffer::new();
        for (at, attempt) in self.iter().enumerate() {
            if at > 0 {
                text.push_str(", ");
            }
            name(attempt.candidate, text);
            text.push(';');
            text.push_str(attempt.outcome.label());
            if attempt.status != 0 {
                text.push_str(";status=");
                text.push_str(number.format(attempt.status));
            }
            text.push_str(";ms=");
            let millis = u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX);
            text.push_str(number.format(millis));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_shown_in_order() {
        let mut attempts = Attempts::default();
        let ms = Duration::from_millis;
        attempts.add(Attempt {
            candidate: 0,
            endpoint: None,
            began: None,
            outcome: AttemptOutcome::ConnectFailed,
            status: 0,
            took: ms(3),
        });
        attempts.add(Attempt {
            candidate: 1,
            endpoint: None,
            began: None,
            outcome: AttemptOutcome::Ok,
            status: 200,
            took: ms(41),
        });
        let mut shown = String::new();
        let name = |at, text: &mut String| text.push_str(["openai:a", "groq:b"][usize::from(at)]);
        attempts.render(&mut shown, name);
        assert_eq!(
            shown,
            "openai:a;connect_failed;ms=3, groq:b;ok;status=200;ms=41"
        );
    }
}
