//! Reports as the administration APIs of OpenAI and Anthropic answer them: buckets of time with results.
//!
//! OpenAI: `/v1/organization/usage/{completions,embeddings}` and `/v1/organization/costs`; Anthropic:
//! `/v1/organizations/usage_report/messages` and `/v1/organizations/cost_report` (API references, November 2026).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::amount::Amount;
use super::report::{Counts, Report};
use crate::statement::time::moment;

#[derive(Deserialize)]
struct Page {
    data: Vec<Bucket>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Bucket {
    // OpenAI.
    start_time: Option<i64>,
    // Anthropic.
    starting_at: Option<String>,
    #[serde(default)]
    results: Vec<Outcome>,
}

/// What is written as a number or as a string of digits.
type Written = Box<RawValue>;

#[derive(Deserialize)]
struct Outcome {
    model: Option<String>,
    output_tokens: Option<u64>,
    // OpenAI: cached tokens are part of the input.
    input_tokens: Option<u64>,
    input_cached_tokens: Option<u64>,
    input_cache_write_tokens: Option<u64>,
    line_item: Option<String>,
    // Anthropic: parts side by side.
    uncached_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    // An object of OpenAI's, cents of Anthropic's.
    amount: Option<Written>,
}

#[derive(Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: u64,
    #[serde(default)]
    ephemeral_1h_input_tokens: u64,
}

#[derive(Deserialize)]
struct Value {
    value: Written,
    currency: Option<String>,
}

/// Reads a page.
///
/// # Errors
/// What is wrong, for people.
#[allow(
    clippy::disallowed_methods,
    reason = "a file that the operator gives, within bounds"
)]
pub fn read(text: &str) -> Result<Report, String> {
    let page: Page = serde_json::from_str(text)
        .map_err(|error| format!("this is no usage or cost report: {error}"))?;
    let mut report = Report {
        more: page.has_more,
        ..Report::default()
    };
    for bucket in page.data {
        let (provider, day) = match (bucket.start_time, &bucket.starting_at) {
            (Some(second), _) => ("openai", day_of_second(second)),
            (None, Some(text)) => ("anthropic", moment(text).map(day_of)),
            (None, None) => return Err("a bucket has no beginning".to_owned()),
        };
        let day = day.ok_or("a bucket begins at no time of a calendar")?;
        if report.provider.get_or_insert_with(|| provider.to_owned()) != provider {
            return Err("its buckets are of different providers".to_owned());
        }
        report.day(day);
        for outcome in &bucket.results {
            let counts = outcome.counts(provider)?;
            report.row(day, outcome.model(), &counts);
        }
    }
    Ok(report)
}

pub(super) fn day_of_second(second: i64) -> Option<Date> {
    Timestamp::from_second(second).ok().map(day_of)
}

pub(super) fn day_of(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

/// The model of a line of an invoice: `gpt-4o-2024-08-06, input`.
pub(super) fn model_of_item(item: &str) -> &str {
    item.split(", ").next().unwrap_or_default()
}

impl Outcome {
    fn model(&self) -> Option<&str> {
        let of_item = || self.line_item.as_deref().map(model_of_item);
        self.model.as_deref().or_else(of_item)
    }

    fn counts(&self, provider: &str) -> Result<Counts, String> {
        let mut counts = Counts {
            input: self.input_tokens,
            cached: self.input_cached_tokens,
            cache_write: self.input_cache_write_tokens,
            output: self.output_tokens,
            cost: None,
        };
        if let Some(uncached) = self.uncached_input_tokens {
            let read = self.cache_read_input_tokens.unwrap_or_default();
            let written = self.cache_creation.as_ref().map_or(0, |creation| {
                let hour = creation.ephemeral_1h_input_tokens;
                creation.ephemeral_5m_input_tokens.saturating_add(hour)
            });
            counts.input = Some(uncached.saturating_add(read).saturating_add(written));
            (counts.cached, counts.cache_write) = (Some(read), Some(written));
        }
        counts.cost = match &self.amount {
            None => None,
            Some(amount) if provider == "openai" => Some(dollars(amount)?),
            Some(amount) => Some(cents(amount)?),
        };
        Ok(counts)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a file that the operator gives, within bounds"
)]
fn dollars(written: &RawValue) -> Result<Amount, String> {
    let amount: Value =
        serde_json::from_str(written.get()).map_err(|error| format!("an amount: {error}"))?;
    if let Some(currency) = amount.currency
        && !currency.eq_ignore_ascii_case("usd")
    {
        return Err(format!("an amount is in {currency:?}, not in US dollars"));
    }
    number(&amount.value, 0)
}

/// "Cost amount in lowest currency units (e.g. cents) as a decimal string."
fn cents(written: &RawValue) -> Result<Amount, String> {
    number(written, 2)
}

fn number(written: &RawValue, shift: i32) -> Result<Amount, String> {
    let text = written.get().trim_matches('"');
    Amount::read(text, shift).ok_or_else(|| format!("{text:?} is no amount"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(text: &serde_json::Value) -> Vec<(String, String, Counts)> {
        let report = read(&text.to_string()).expect("a report");
        let row =
            |((day, model), counts): ((Date, String), Counts)| (day.to_string(), model, counts);
        report.rows.into_iter().map(row).collect()
    }

    fn cost(text: &str) -> Option<Amount> {
        Some(Amount::read(text, 0).expect("an amount"))
    }

    #[test]
    fn openai_counts_cached_tokens_as_input() {
        let page = json!({"object": "page", "has_more": false, "data": [
            {"object": "bucket", "start_time": 1_730_419_200, "end_time": 1_730_505_600, "results": [
                {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
                 "input_cached_tokens": 800, "num_model_requests": 5, "model": "gpt-4o-2024-08-06", "batch": false},
                {"object": "organization.usage.completions.result", "input_tokens": 10, "output_tokens": 5,
                 "input_cached_tokens": 0, "num_model_requests": 1, "model": "gpt-4o-2024-05-13"},
                {"object": "organization.usage.embeddings.result", "input_tokens": 7, "num_model_requests": 1,
                 "model": "text-embedding-3-small"}]},
            {"object": "bucket", "start_time": 1_730_505_600, "end_time": 1_730_592_000, "results": []}]});
        let report = read(&page.to_string()).expect("a report");
        assert_eq!(report.provider.as_deref(), Some("openai"));
        let days = report.days.expect("days");
        assert_eq!(
            [days.start().to_string(), days.end().to_string()],
            ["2024-11-01", "2024-11-02"]
        );
        let chat = Counts {
            input: Some(1010),
            cached: Some(800),
            output: Some(505),
            ..Counts::default()
        };
        let embeddings = Counts {
            input: Some(7),
            ..Counts::default()
        };
        let day = || "2024-11-01".to_owned();
        let expected = [
            (day(), "gpt-4o".to_owned(), chat),
            (day(), "text-embedding-3-small".to_owned(), embeddings),
        ];
        assert_eq!(rows(&page), expected);
    }

    #[test]
    fn costs_of_openai_are_dollars_by_line_or_by_day() {
        let page = json!({"data": [{"start_time": 1_730_419_200, "results": [
            {"object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
             "line_item": "gpt-4o-2024-08-06, input"},
            {"object": "organization.costs.result", "amount": {"value": "0.010000000000000000001", "currency": "usd"},
             "line_item": "gpt-4o-2024-08-06, output"},
            {"object": "organization.costs.result", "amount": {"value": 1.5e-7, "currency": "usd"}, "line_item": null}]}]});
        let found: Vec<_> = rows(&page)
            .into_iter()
            .map(|(_, model, counts)| (model, counts.cost))
            .collect();
        let expected = [
            (String::new(), cost("0.00000015")),
            ("gpt-4o".to_owned(), cost("0.07")),
        ];
        assert_eq!(found, expected);
        let other = json!({"data": [{"start_time": 0, "results": [{"amount": {"value": 1, "currency": "eur"}}]}]});
        assert!(
            read(&other.to_string())
                .expect_err("euros")
                .contains("US dollars")
        );
    }

    #[test]
    fn anthropic_counts_parts_side_by_side_and_costs_in_cents() {
        let usage = json!({"has_more": true, "next_page": "x", "data": [
            {"starting_at": "2025-08-01T00:00:00Z", "ending_at": "2025-08-02T00:00:00Z", "results": [
                {"uncached_input_tokens": 1500, "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
                 "cache_read_input_tokens": 200, "output_tokens": 500, "server_tool_use": {"web_search_requests": 10},
                 "model": "claude-opus-4-1-20250805", "service_tier": "standard"}]}]});
        assert!(read(&usage.to_string()).expect("a report").more);
        let counts = Counts {
            input: Some(3200),
            cached: Some(200),
            cache_write: Some(1500),
            output: Some(500),
            cost: None,
        };
        assert_eq!(
            rows(&usage)[0],
            (
                "2025-08-01".to_owned(),
                "claude-opus-4-1".to_owned(),
                counts
            )
        );
        let costs = json!({"data": [{"starting_at": "2025-08-01T00:00:00Z", "results": [
            {"amount": "123.45", "currency": "USD", "model": "claude-opus-4-1-20250805"}]}]});
        assert_eq!(rows(&costs)[0].2.cost, cost("1.2345"));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "{}",
            "[]",
            r#"{"data":[{"results":[]}]}"#,
            r#"{"data":[{"start_time":1},{"starting_at":"2025-08-01T00:00:00Z"}]}"#,
            r#"{"data":[{"start_time":1,"results":[{"input_tokens":-1}]}]}"#,
            r#"{"data":[{"start_time":1,"results":[{"amount":{"value":"x"}}]}]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
