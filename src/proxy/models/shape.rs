//! The list and its rows in each dialect. OpenAI's carries what the Anthropic SDK reads as well: not every Anthropic
//! client says that it is one.

use std::fmt::Write;

use super::{Row, page::Part};
use crate::catalog::file::Status;
use crate::surface::Dialect;

/// The part of the list.
#[must_use]
pub fn list(rows: &[Row<'_>], part: &Part, dialect: Dialect) -> String {
    let shown = rows.get(part.rows.clone()).unwrap_or_default();
    let mut text = String::with_capacity(128 + shown.len() * 320);
    text.push_str(match dialect {
        Dialect::OpenAi => r#"{"object":"list","data":["#,
        Dialect::Anthropic => r#"{"data":["#,
        Dialect::Gemini => r#"{"models":["#,
    });
    for (at, row) in shown.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        one(row, dialect, &mut text);
    }
    text.push(']');
    if dialect == Dialect::Gemini {
        if let Some(last) = shown.last().filter(|_| part.more) {
            let _ = write!(text, r#","nextPageToken":{}"#, json(last.id));
        }
    } else {
        let edge =
            |row: Option<&Row<'_>>| row.map_or_else(|| "null".to_owned(), |row| json(row.id));
        let _ = write!(
            text,
            r#","has_more":{},"first_id":{},"last_id":{}"#,
            part.more,
            edge(shown.first()),
            edge(shown.last())
        );
    }
    text.push('}');
    text
}

/// One row.
pub fn one(row: &Row<'_>, dialect: Dialect, text: &mut String) {
    text.push('{');
    match dialect {
        Dialect::OpenAi => {
            openai(row, text);
            text.push(',');
            anthropic(row, text);
        }
        Dialect::Anthropic => {
            let _ = write!(text, r#""id":{},"#, json(row.id));
            anthropic(row, text);
        }
        Dialect::Gemini => gemini(row, text),
    }
    text.push('}');
}

/// As of OpenAI's API reference, The model object.
fn openai(row: &Row<'_>, text: &mut String) {
    let _ = write!(
        text,
        r#""id":{},"object":"model","created":{},"owned_by":{},"shutdown_date":{}"#,
        json(row.id),
        created(row),
        json(row.owner),
        row.retires().map_or_else(|| "null".to_owned(), json)
    );
}

/// As of Anthropic's API reference, Get a Model; without the id.
fn anthropic(row: &Row<'_>, text: &mut String) {
    let _ = write!(
        text,
        r#""type":"model","display_name":{},"created_at":"{}","lifecycle":"{}","retires_at":{}"#,
        json(row.name),
        jiff::Timestamp::from_second(created(row)).unwrap_or_default(),
        lifecycle(row),
        row.retires().map_or_else(|| "null".to_owned(), midnight)
    );
    if let Some(tokens) = row.model.and_then(|model| model.context) {
        let _ = write!(text, r#","max_input_tokens":{tokens}"#);
    }
    if let Some(tokens) = row.model.and_then(|model| model.max_output) {
        let _ = write!(text, r#","max_tokens":{tokens}"#);
    }
}

/// As of the Gemini API reference, Model. What methods a model has is left open: which surface serves it is said by
/// the error, if it is asked on another.
fn gemini(row: &Row<'_>, text: &mut String) {
    let _ = write!(
        text,
        r#""name":{},"displayName":{}"#,
        json(&format!("models/{}", row.id)),
        json(row.name)
    );
    if let Some(tokens) = row.model.and_then(|model| model.context) {
        let _ = write!(text, r#","inputTokenLimit":{tokens}"#);
    }
    if let Some(tokens) = row.model.and_then(|model| model.max_output) {
        let _ = write!(text, r#","outputTokenLimit":{tokens}"#);
    }
}

/// Where a model stands, in Anthropic's words. What is `retired` is not listed.
#[must_use]
pub fn lifecycle(row: &Row<'_>) -> &'static str {
    match row.model.map(|model| model.status) {
        Some(Status::Deprecated) => "deprecated",
        Some(Status::Removed) => "retired",
        _ => "active",
    }
}

/// The beginning of a day, or of a month's first.
fn midnight(day: &str) -> String {
    /// Letters of a month, `2026-11`.
    const MONTH: usize = 7;
    let first = if day.len() == MONTH { "-01" } else { "" };
    json(&format!("{day}{first}T00:00:00Z"))
}

/// The day of the model's release in Unix seconds; 0 where it is not known.
fn created(row: &Row<'_>) -> i64 {
    row.model.and_then(|model| model.created).unwrap_or(0)
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
