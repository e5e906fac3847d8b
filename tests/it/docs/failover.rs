//! The table in `docs/failover.md`: its rows, what the policy says of each, and the tests that show them against real
//! sockets. It is made by asking the policy itself, so that it cannot say anything else.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tollgate::routing::failover::{
    Happened, Left, Mode, Rules, Sent, Verdict, WAITS_MAX, decide, is_failure,
};

use super::{Marks, hold, root};

const MARKS: Marks = Marks {
    begin: "<!-- From here on made from the policy; see tests/it/docs/failover.rs. -->",
    end: "<!-- Made from the policy up to here. -->",
};

const MODES: [Mode; 3] = [Mode::On, Mode::Safe, Mode::Off];

/// How much of a request can have been sent, in words.
const SENT: [(Sent, &str); 3] = [
    (Sent::Nothing, "none"),
    (Sent::Part, "a part"),
    (Sent::All, "all"),
];

/// What can happen to an attempt.
struct Row {
    /// In words.
    what: &'static str,
    /// Every case of it; the policy says the same of all.
    cases: Vec<Happened>,
    /// Whether the credential was the gateway's or a stored one, and not one that the client sent along.
    own: bool,
    /// How much may have been sent by then, where that matters; the policy says the same of all.
    sent: &'static [Sent],
    /// Tests that show it, as `file::name` below `tests/it`.
    tests: &'static [&'static str],
}

const RULES: Rules = Rules {
    mode: Mode::On,
    retry_after_max: Duration::from_secs(5),
};

/// Everything is left that can be.
const EVERYTHING: Left = Left {
    address: true,
    endpoint: true,
    key: true,
    step: true,
    candidate: true,
    attempt: true,
    time: Duration::from_secs(3600),
    replay: true,
    waits: 0,
    refused: false,
};

const UNTIL_ALL: &[Sent] = &[Sent::Nothing, Sent::Part];
const ALL: &[Sent] = &[Sent::All];
const ANY: &[Sent] = &[Sent::Nothing, Sent::Part, Sent::All];

const RETRY_AFTERS: [Option<Duration>; 3] =
    [None, Some(Duration::ZERO), Some(Duration::from_secs(6))];

/// Answers with these statuses, whatever they say of a time to wait.
fn answers(statuses: impl IntoIterator<Item = u16>) -> Vec<Happened> {
    let each = statuses.into_iter();
    each.flat_map(|status| RETRY_AFTERS.map(|after| (status, after)))
        .map(|(status, retry_after)| Happened::Answered {
            status,
            retry_after,
        })
        .collect()
}

/// A 429 that asks for each of these times.
fn limits(after: &[Option<Duration>]) -> Vec<Happened> {
    let limit = |retry_after: &Option<Duration>| Happened::Answered {
        status: 429,
        retry_after: *retry_after,
    };
    after.iter().map(limit).collect()
}

const LOST: &str = "the connection was lost before a response header, or what came is no HTTP";
const SILENT: &str =
    "no response header within `timeouts.first_byte`, or the upstream took no more of the body";

fn rows() -> Vec<Row> {
    vec![
        Row {
            what: "no address, no connection, or TLS failed",
            cases: vec![Happened::NotConnected],
            own: true,
            sent: &[Sent::Nothing],
            tests: &[
                "failover_connect::a_name_that_does_not_exist",
                "failover_connect::a_refused_connection",
                "failover_connect::a_connection_that_hangs",
                "failover_connect::tls_that_fails",
                "failover_connect::the_next_address_of_a_provider_comes_before_the_next_candidate",
            ],
        },
        Row {
            what: "a shared HTTP/2 connection got a `GOAWAY` below our stream, or a kept-alive HTTP/1.1 connection was reset before any byte of an answer",
            cases: vec![Happened::Stale],
            own: true,
            sent: ANY,
            tests: &[
                "h2_refused::a_goaway_on_a_shared_connection_does_not_use_up_the_resend",
                "h2_refused::a_shared_connection_that_is_closing_costs_no_candidate",
                "failover_lost::a_kept_connection_that_was_reset_is_replaced_once",
            ],
        },
        Row {
            what: "the upstream refused the stream unseen: `REFUSED_STREAM`, or a `GOAWAY` below it on a connection of its own",
            cases: vec![Happened::Refused],
            own: true,
            sent: ANY,
            tests: &[
                "h2_upstream::a_stream_that_is_refused_is_resent_once_in_every_mode",
                "h2_upstream::a_stream_above_a_goaway_is_resent_once_in_every_mode",
                "h2_upstream::a_second_refusal_is_the_providers_failure",
                "h2_refused::a_refused_stream_is_resent_over_a_connection_of_its_own",
            ],
        },
        Row {
            what: "401, 402, 403",
            cases: answers([401, 402, 403]),
            own: true,
            sent: ANY,
            tests: &[
                "failover_keys::the_next_key_comes_before_the_next_candidate",
                "failover_keys::in_mode_off_a_refused_key_is_the_answer",
                "byok::the_next_key_then_the_next_step_then_the_next_candidate",
            ],
        },
        Row {
            what: "429",
            cases: limits(&[None, Some(Duration::from_secs(6))]),
            own: true,
            sent: ANY,
            tests: &[
                "failover_keys::the_next_key_comes_before_the_next_candidate",
                "failover_keys::a_limit_that_does_not_end_soon_is_the_answer",
                "byok::the_next_key_then_the_next_step_then_the_next_candidate",
            ],
        },
        Row {
            what: "429 with a `Retry-After` of at most `failover.retry_after_max`",
            cases: limits(&[Some(Duration::ZERO), Some(RULES.retry_after_max)]),
            own: true,
            sent: ANY,
            tests: &[
                "failover_keys::a_short_retry_after_is_waited_for_in_every_form_when_nothing_else_is_left",
                "failover_keys::it_is_waited_for_twice_at_the_most",
                "failover_keys::what_is_left_is_tried_before_a_limit_is_waited_for",
            ],
        },
        Row {
            what: "401, 402, 403, 429 on a key that the client sent along",
            cases: answers([401, 402, 403, 429]),
            own: false,
            sent: ANY,
            tests: &["access::the_clients_own_key_never_reaches_a_second_provider"],
        },
        Row {
            what: "408, 500, 502, 503, 504, 520–529",
            cases: answers([408, 500, 502, 503, 504].into_iter().chain(520..=529)),
            own: true,
            sent: ANY,
            tests: &[
                "balance::another_replica_is_tried_before_another_provider",
                "failover_status::an_error_of_the_provider_lets_the_next_candidate_be_tried",
                "failover_status::in_mode_off_an_error_of_the_provider_is_the_answer",
                "failover_status::the_next_candidate_gets_the_whole_body_whatever_the_first_took_of_it",
                "early_answer::an_early_failure_over_h1_lets_the_next_candidate_be_tried",
                "early_answer::an_early_failure_over_h2_lets_the_next_candidate_be_tried",
            ],
        },
        Row {
            what: "any other status",
            cases: answers((200..=599).filter(|status| !is_failure(*status))),
            own: true,
            sent: ANY,
            tests: &[
                "failover_status::an_error_of_the_request_is_the_answer_in_every_mode",
                "early_answer::h1_that_closes_on_a_later_attempt",
                "early_answer::h2_without_window_credit_on_a_later_attempt",
            ],
        },
        Row {
            what: LOST,
            cases: vec![Happened::Lost],
            own: true,
            sent: &[Sent::Nothing],
            tests: &["failover_connect::a_connection_that_ends_as_it_begins"],
        },
        Row {
            what: LOST,
            cases: vec![Happened::Lost],
            own: true,
            sent: &[Sent::Part],
            tests: &[
                "failover_lost::a_connection_that_is_reset_before_the_body",
                "failover_lost::a_connection_that_is_closed_before_the_body",
                "failover_lost::a_connection_that_is_reset_in_the_body",
            ],
        },
        Row {
            what: LOST,
            cases: vec![Happened::Lost],
            own: true,
            sent: ALL,
            tests: &[
                "balance::a_replica_that_dies_with_the_request_is_stood_in_for_in_mode_on_only",
                "failover_lost::a_connection_that_is_lost_after_the_body",
                "failover_lost::a_kept_connection_that_did_not_just_vanish_was_delivered_to",
                "h2_upstream::a_stream_that_was_reset_was_delivered",
                "h2_upstream::what_breaks_http2_was_delivered_all_the_same",
            ],
        },
        Row {
            what: SILENT,
            cases: vec![Happened::FirstByteTimeout],
            own: true,
            sent: UNTIL_ALL,
            tests: &[
                "failover_lost::a_provider_that_is_silent_before_the_body",
                "failover_lost::a_provider_that_stops_taking_the_body_for_long_is_given_up",
                "h2_upstream::a_stream_without_window_credit_is_given_up",
            ],
        },
        Row {
            what: SILENT,
            cases: vec![Happened::FirstByteTimeout],
            own: true,
            sent: ALL,
            tests: &[
                "failover_lost::a_provider_that_is_silent_after_the_body",
                "failover_lost::a_black_hole_is_given_up_like_a_silent_provider",
                "h2_upstream::silence_is_given_up_and_the_stream_with_it",
            ],
        },
    ]
}

/// What a verdict is called.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Answer => "answer",
        Verdict::Resend => "resend",
        Verdict::NextAddress => "next address",
        Verdict::NextKey => "next key",
        Verdict::NextStep => "next step",
        Verdict::NextCandidate => "next candidate",
        Verdict::Wait(_) => "wait",
        Verdict::Fail => "fail",
    }
}

/// What is tried one after another, beginning with `left`, each thing until there is no more of it.
fn course(
    happened: Happened,
    sent: Sent,
    mut left: Left,
    mode: Mode,
    own: bool,
) -> Vec<&'static str> {
    let rules = Rules { mode, ..RULES };
    let mut words = Vec::new();
    loop {
        let verdict = decide(happened, sent, left, rules, own);
        let elsewhere = Left {
            endpoint: false,
            ..left
        };
        if verdict == Verdict::NextAddress
            && decide(happened, sent, elsewhere, rules, own) != verdict
        {
            // Not for an address of the same endpoint.
            words.push("next endpoint");
            left.endpoint = false;
            continue;
        }
        words.push(word(verdict));
        match verdict {
            Verdict::Answer | Verdict::Fail => return words,
            // A connection of its own cannot have been used before: what happens then has a row of its own.
            Verdict::Resend if happened == Happened::Stale => return words,
            Verdict::Resend => left.refused = true,
            Verdict::NextAddress => left.address = false,
            Verdict::NextKey => left.key = false,
            Verdict::NextStep => left.step = false,
            Verdict::NextCandidate => left.candidate = false,
            Verdict::Wait(_) => left.waits = WAITS_MAX,
        }
    }
}

impl Row {
    /// What is tried in one mode, when so much was sent: the same for every case of the row.
    fn course(&self, sent: &[Sent], left: Left, mode: Mode) -> Vec<&'static str> {
        let cases = self.cases.iter();
        let mut all = cases.flat_map(|case| sent.iter().map(move |sent| (*case, *sent)));
        let (case, sent) = all.next().expect("a case");
        let first = course(case, sent, left, mode, self.own);
        for (case, sent) in all {
            let other = course(case, sent, left, mode, self.own);
            assert_eq!(other, first, "{}: {case:?}, {sent:?}, {mode:?}", self.what);
        }
        first
    }
}

/// What a row says of how much was sent.
fn said(sent: &[Sent]) -> String {
    if sent.len() == SENT.len() {
        return "any".to_owned();
    }
    let words = SENT.iter().filter(|(of, _)| sent.contains(of));
    words.map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

fn kept_table(text: &mut String) {
    text.push_str("| what happened | sent of the body | `on` | `safe` | `off` | shown by |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for row in rows() {
        let _ = write!(text, "| {} | {} |", row.what, said(row.sent));
        for mode in MODES {
            let course = row.course(row.sent, EVERYTHING, mode).join(" → ");
            let _ = write!(text, " {course} |");
        }
        let tests: Vec<String> = row.tests.iter().map(|test| format!("`{test}`")).collect();
        let _ = writeln!(text, " {} |", tests.join("<br>"));
    }
}

/// As much of the table for bodies that were not kept as says something of its own.
fn unkept_table(text: &mut String) {
    text.push_str("| what happened | sent of the body | `on` |\n|---|---|---|\n");
    let left = Left {
        replay: false,
        ..EVERYTHING
    };
    let mut lines: Vec<(&str, Vec<Sent>, String)> = Vec::new();
    for row in rows() {
        let answered = matches!(row.cases[0], Happened::Answered { .. });
        let what = if answered { "any status" } else { row.what };
        for sent in row.sent {
            let course = row.course(&[*sent], left, Mode::On).join(" → ");
            match lines
                .iter_mut()
                .find(|line| (line.0, &line.2) == (what, &course))
            {
                Some(line) if line.1.contains(sent) => {}
                Some(line) => line.1.push(*sent),
                None => lines.push((what, vec![*sent], course)),
            }
        }
    }
    for (what, sent, course) in lines {
        let _ = writeln!(text, "| {what} | {} | {course} |", said(&sent));
    }
}

fn page() -> PathBuf {
    root().join("docs/failover.md")
}

#[test]
fn the_table_says_what_the_policy_says() {
    let mut text = String::new();
    kept_table(&mut text);
    text.push_str("\nWhere the body could not be kept (see below):\n\n");
    unkept_table(&mut text);
    hold(&page(), &MARKS, text.trim_end());
}

#[test]
fn whatever_can_happen_is_in_one_row() {
    let mut happenings = answers(200..=599);
    happenings.extend([
        Happened::NotConnected,
        Happened::Refused,
        Happened::Stale,
        Happened::FirstByteTimeout,
        Happened::Lost,
    ]);
    let rows = rows();
    for happened in happenings {
        for (sent, word) in SENT {
            let own = rows.iter().filter(|row| row.own);
            let count = own
                .filter(|row| row.cases.contains(&happened) && row.sent.contains(&sent))
                .count();
            // Without a connection nothing can have been sent.
            let possible = happened != Happened::NotConnected || sent == Sent::Nothing;
            assert_eq!(count, usize::from(possible), "{happened:?}, sent: {word}");
        }
    }
}

#[test]
fn past_the_cap_or_the_deadline_nothing_is_tried() {
    let capped = Left {
        attempt: false,
        ..EVERYTHING
    };
    let late = Left {
        time: Duration::ZERO,
        ..EVERYTHING
    };
    for row in rows() {
        for left in [capped, late] {
            for mode in MODES {
                let course = row.course(row.sent, left, mode);
                assert!(
                    matches!(course[..], ["answer" | "fail"]),
                    "{}: {course:?}",
                    row.what
                );
            }
        }
    }
}

#[test]
fn every_row_is_shown_by_tests_that_exist() {
    for row in rows() {
        assert!(!row.tests.is_empty(), "{}: no test", row.what);
        for test in row.tests {
            let (file, name) = test.split_once("::").expect("file::name");
            let path = root().join(format!("tests/it/{file}.rs"));
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let declared = format!("]\nasync fn {name}() {{");
            assert!(text.contains(&declared), "{}: no test {test}", row.what);
        }
    }
}
