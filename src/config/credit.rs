//! `[credit]`: on what terms requests are charged.

use std::ops::RangeInclusive;

use super::file::{Section, Value};
use crate::ledger::Recovered;
use crate::money::{Fee, Rows, Rule, Size, Terms};

/// Tokens. No model writes as many.
const OUTPUT: RangeInclusive<u64> = 1..=10_000_000;

/// `[credit]`: accounts and what they are charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// What is held and charged.
    pub terms: Terms,
    /// What becomes of the holds that a process left open that was ended by force.
    pub recovered: Recovered,
}

/// Reads the section.
pub(super) fn credit(section: Section<'_>) -> Credit {
    let default = Credit::default();
    let Terms {
        charge,
        rule,
        unpriced,
        byok_without_store,
        rows,
    } = default.terms;
    let sizes = [("strict", Size::Strict), ("expected", Size::Expected)];
    let recovered = [
        ("estimate", Recovered::Estimate),
        ("hold", Recovered::Hold),
        ("void", Recovered::Void),
    ];
    let credit = Credit {
        terms: Terms {
            charge: section.flag("charge").unwrap_or(charge),
            rule: Rule {
                fee: section.section("fee").map_or(rule.fee, fee),
                size: section.word("hold", &sizes).unwrap_or(rule.size),
                expected_output: section
                    .number("expected_output", OUTPUT)
                    .unwrap_or(rule.expected_output),
                output_unknown: section
                    .number("output_unknown", OUTPUT)
                    .unwrap_or(rule.output_unknown),
            },
            unpriced: section
                .word("unpriced", &[("refuse", false), ("allow", true)])
                .unwrap_or(unpriced),
            byok_without_store: section
                .flag("byok_without_store")
                .unwrap_or(byok_without_store),
            rows: section
                .word("rows", &[("all", Rows::All), ("charged", Rows::Charged)])
                .unwrap_or(rows),
        },
        recovered: section
            .word("recovered", &recovered)
            .unwrap_or(default.recovered),
    };
    section.finish();
    credit
}

fn fee(section: Section<'_>) -> Fee {
    let part = |value: Option<Value<'_>>| {
        let value = value?;
        match Fee::part(value.text()?) {
            Ok(part) => Some(part),
            Err(problem) => {
                value.wrong(problem);
                None
            }
        }
    };
    let fee = Fee {
        per_million_tokens: part(section.get("per_million_tokens"))
            .unwrap_or(Fee::NONE.per_million_tokens),
        per_request: part(section.get("per_request")).unwrap_or(Fee::NONE.per_request),
    };
    section.finish();
    fee
}
