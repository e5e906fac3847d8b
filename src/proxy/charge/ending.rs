//! Which end of an attempt costs what. Pure functions; `docs/credit.md` prints the table.

use crate::ledger::Estimated;
use crate::routing::failover::Sent;
use crate::usage::{Flaw, Form, Report};

/// The status of a connection that has become a WebSocket. It has ended where all its messages were read.
const OPENED: u16 = 101;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself.
    Whole,
    /// The upstream, or the connection to it, broke off.
    Cut,
    /// The upstream refused it unseen.
    Unseen,
    /// The client went away.
    ClientGone,
    /// A time of ours was over.
    TimedOut,
    /// It had cost as much as it may.
    Capped,
}

/// What is known of an attempt at its end.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// How it ended.
    pub how: How,
    /// How much of the request the upstream may have got.
    pub sent: Sent,
    /// The status of the upstream's answer, if there was one.
    pub status: Option<u16>,
    /// Whether the answer was nothing but an error.
    pub error_only: bool,
    /// Whether the events of the surface's streams say which is the last.
    pub typed: bool,
    /// Choices that were asked for.
    pub choices: u64,
    /// What the answer said of its usage; none where it was not read.
    pub report: Option<(Report, Form)>,
}

/// What that costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Nothing: nothing was served.
    Nothing,
    /// What the provider says.
    Reported,
    /// What it is taken to have used.
    Estimated(Estimated),
}

impl End {
    /// Whether the upstream has taken the request as one that it serves.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| status == OPENED || (200..300).contains(&status))
            && !self.error_only
    }

    /// What the attempt costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        if self.status.is_none() {
            return self.unanswered();
        }
        if !self.is_success() {
            return Cost::Nothing;
        }
        let Some((report, form)) = self.report else {
            return Cost::Estimated(self.reason());
        };
        match report.flaw {
            Some(Flaw::Unreadable | Flaw::Absurd) => Cost::Estimated(Estimated::Unreadable),
            Some(Flaw::Missing) => Cost::Estimated(self.reason()),
            // Somebody has listened, and asked for nothing.
            None if self.status == Some(OPENED) => Cost::Reported,
            // Nothing is served for nothing: as good as not told.
            None if !report.usage.is_any() => Cost::Estimated(self.reason()),
            // The last event is as good as the end of the connection; so is the object in an answer that has one.
            None if report.ended || form == Form::Json => Cost::Reported,
            None if u64::from(report.finished) >= self.choices.max(1) => Cost::Reported,
            None if self.how == How::Whole && !self.typed => Cost::Reported,
            None => Cost::Estimated(self.reason()),
        }
    }

    /// Without an answer: who has the whole request may be making one.
    fn unanswered(&self) -> Cost {
        match self.how {
            How::Unseen => Cost::Nothing,
            _ if self.sent != Sent::All => Cost::Nothing,
            How::Whole | How::Cut => Cost::Estimated(Estimated::Lost),
            How::ClientGone => Cost::Estimated(Estimated::Cancelled),
            How::TimedOut | How::Capped => Cost::Estimated(Estimated::Timeout),
        }
    }

    fn reason(&self) -> Estimated {
        match self.how {
            // A stream without its last event broke off, whatever the connection says.
            How::Whole if self.report.is_some_and(|(report, _)| is_told(&report)) => Estimated::Cut,
            How::Whole => Estimated::Unsent,
            How::Cut | How::Unseen | How::Capped => Estimated::Cut,
            How::ClientGone => Estimated::Cancelled,
            How::TimedOut => Estimated::Timeout,
        }
    }
}

/// Whether the provider has said, in a way that can be believed, how much was used.
fn is_told(report: &Report) -> bool {
    report.flaw.is_none() && report.usage.is_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Usage;
    use Cost::{Nothing, Reported};
    use How::{Capped, ClientGone, Cut, TimedOut, Unseen, Whole};

    fn estimated(reason: Estimated) -> Cost {
        Cost::Estimated(reason)
    }

    /// An attempt to which nobody answered.
    fn unanswered(how: How, sent: Sent) -> End {
        End {
            how,
            sent,
            status: None,
            error_only: false,
            typed: false,
            choices: 1,
            report: None,
        }
    }

    fn answered(how: How, status: u16, flaw: Option<Flaw>, ended: bool) -> End {
        let report = Report {
            usage: Usage {
                input: 1,
                ..Usage::default()
            },
            flaw,
            ended,
            generated: 0,
            finished: 0,
        };
        End {
            status: Some(status),
            report: Some((report, Form::Events)),
            ..unanswered(how, Sent::All)
        }
    }

    #[test]
    fn who_has_the_whole_request_may_have_served_it() {
        for (how, cost) in [
            (Unseen, Nothing),
            (Cut, estimated(Estimated::Lost)),
            (ClientGone, estimated(Estimated::Cancelled)),
            (TimedOut, estimated(Estimated::Timeout)),
        ] {
            assert_eq!(unanswered(how, Sent::All).cost(), cost, "{how:?}");
            for sent in [Sent::Nothing, Sent::Part] {
                assert_eq!(unanswered(how, sent).cost(), Nothing, "{how:?} {sent:?}");
            }
        }
    }

    #[test]
    fn errors_cost_nothing() {
        for status in [301, 400, 401, 429, 500, 503] {
            for how in [Whole, Cut, ClientGone] {
                assert_eq!(answered(how, status, None, true).cost(), Nothing);
            }
        }
        let error_only = End {
            error_only: true,
            ..answered(Whole, 200, Some(Flaw::Missing), true)
        };
        assert_eq!(error_only.cost(), Nothing);
    }

    #[test]
    fn a_stream_that_came_to_its_last_event_is_whole_however_it_ended() {
        for how in [Whole, Cut, ClientGone, TimedOut, Capped] {
            assert_eq!(answered(how, 200, None, true).cost(), Reported, "{how:?}");
        }
    }

    #[test]
    fn what_is_not_told_or_broke_off_is_estimated() {
        use Estimated::{Cancelled, Timeout, Unreadable, Unsent};
        for (how, flaw, reason) in [
            (Whole, Some(Flaw::Missing), Unsent),
            (Cut, Some(Flaw::Missing), Estimated::Cut),
            (ClientGone, Some(Flaw::Missing), Cancelled),
            (TimedOut, Some(Flaw::Missing), Timeout),
            (Capped, Some(Flaw::Missing), Estimated::Cut),
            (Whole, Some(Flaw::Unreadable), Unreadable),
            (ClientGone, Some(Flaw::Absurd), Unreadable),
            (Cut, None, Estimated::Cut),
            (ClientGone, None, Cancelled),
            (TimedOut, None, Timeout),
        ] {
            let cost = answered(how, 200, flaw, false).cost();
            assert_eq!(cost, estimated(reason), "{how:?} {flaw:?}");
        }
        let unread = End {
            report: None,
            ..answered(Whole, 200, None, false)
        };
        assert_eq!(unread.cost(), estimated(Unsent));
    }

    #[test]
    fn a_usage_of_nothing_is_none() {
        let mut end = answered(Whole, 200, None, true);
        let (report, form) = end.report.expect("a report");
        let usage = Usage::default();
        end.report = Some((Report { usage, ..report }, form));
        assert_eq!(end.cost(), estimated(Estimated::Unsent));
    }

    #[test]
    fn a_websocket_costs_what_its_messages_say_be_it_nothing() {
        let mut end = answered(ClientGone, 101, None, true);
        assert_eq!(end.cost(), Reported);
        let (report, form) = end.report.expect("a report");
        let usage = Usage::default();
        end.report = Some((Report { usage, ..report }, form));
        assert_eq!(end.cost(), Reported);
        let unread = answered(Whole, 101, Some(Flaw::Unreadable), true);
        assert_eq!(unread.cost(), estimated(Estimated::Unreadable));
    }

    #[test]
    fn where_the_last_event_has_a_name_a_stream_without_it_is_cut() {
        let whole = answered(Whole, 200, None, false);
        assert_eq!(whole.cost(), Reported);
        let typed = End {
            typed: true,
            ..whole
        };
        assert_eq!(typed.cost(), estimated(Estimated::Cut));
    }

    #[test]
    fn usage_of_a_stream_whose_choices_are_at_their_end_is_final() {
        let gone = answered(ClientGone, 200, None, false);
        let with = |finished, choices| {
            let report = gone
                .report
                .map(|(report, form)| (Report { finished, ..report }, form));
            End {
                report,
                choices,
                ..gone
            }
        };
        assert_eq!(with(1, 1).cost(), Reported);
        assert_eq!(with(1, 2).cost(), estimated(Estimated::Cancelled));
        assert_eq!(with(2, 2).cost(), Reported);
    }

    #[test]
    fn a_usage_object_of_a_whole_answer_is_enough() {
        let report = answered(Cut, 200, None, false).report;
        let json = End {
            report: report.map(|(report, _)| (report, Form::Json)),
            ..answered(Cut, 200, None, false)
        };
        assert_eq!(json.cost(), Reported);
    }
}
