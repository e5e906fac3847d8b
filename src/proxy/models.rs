//! `GET /v1/models` and `GET /v1/models/{id}`, from the catalog, in the shape that the asking SDK
//! expects, filtered to what the calling key may use.

use std::collections::HashSet;
use std::fmt::Write;

use bytes::Bytes;

use super::reject::{Code, Rejection};
use crate::access::Caller;
use crate::access::policy::Verdict;
use crate::catalog::{Model, ProviderId, Target};
use crate::live::Live;
use crate::surface::Dialect;

/// Models in one answer to an Anthropic client that does not say how many it wants, and the most
/// it may ask for (Anthropic API reference, List Models).
const PAGE: usize = 20;
const PAGE_MAX: usize = 1000;

/// What part of the list an Anthropic client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

impl Page {
    /// Reads `limit`, `after_id` and `before_id`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] when `limit` is no number from 1 to 1000.
    pub fn of_query(query: Option<&str>) -> Result<Self, Rejection> {
        let mut page = Self::default();
        for (name, value) in query.into_iter().flat_map(pairs) {
            match name {
                "limit" => page.limit = Some(limit(&value)?),
                "after_id" => page.after = Some(value),
                "before_id" => page.before = Some(value),
                _ => {}
            }
        }
        Ok(page)
    }
}

fn limit(value: &str) -> Result<usize, Rejection> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=PAGE_MAX).contains(limit))
        .ok_or_else(|| {
            Rejection::new(
                Code::InvalidRequest,
                "`limit` must be a number from 1 to 1000.",
            )
        })
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, String)> {
    query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name, decoded(value)))
    })
}

/// Undoes percent-encoding; what is not valid stays as it is.
#[must_use]
pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

/// One row of the list: a name that can be sent as `model`.
struct Row<'a> {
    id: &'a str,
    owner: &'a str,
    name: &'a str,
    /// Absent for a virtual model, which may be answered by several.
    model: Option<&'a Model>,
}

/// Who a virtual model is said to belong to.
const OPERATOR: &str = "tollgate";

/// The list, as JSON.
#[must_use]
pub fn list(
    live: &Live,
    caller: &Caller,
    provider: Option<ProviderId>,
    dialect: Dialect,
    page: &Page,
) -> Bytes {
    let rows = visible(live, caller, provider);
    let text = match dialect {
        Dialect::Anthropic => anthropic_list(&rows, page),
        Dialect::OpenAi | Dialect::Gemini => openai_list(&rows),
    };
    Bytes::from(text)
}

/// One model, as JSON.
///
/// # Errors
/// [`Code::ModelNotFound`] when the caller has no model of that name.
pub fn one(
    live: &Live,
    caller: &Caller,
    provider: Option<ProviderId>,
    dialect: Dialect,
    id: &str,
) -> Result<Bytes, Rejection> {
    let rows = visible(live, caller, provider);
    let named = |id: &str| rows.iter().find(|row| row.id == id);
    let row = named(id)
        .or_else(|| named(own_id(live, provider, id)?))
        .ok_or_else(|| {
            Rejection::new(
                Code::ModelNotFound,
                format!(
                    "There is no model `{id}`. GET /v1/models lists those that this key may use."
                ),
            )
        })?;
    let mut text = String::with_capacity(256);
    match dialect {
        Dialect::Anthropic => anthropic_row(row, &mut text),
        Dialect::OpenAi | Dialect::Gemini => openai_row(row, &mut text),
    }
    Ok(Bytes::from(text))
}

/// The id in the list of a model that is written in another way: by an alias, in another case, with a prefix.
fn own_id<'a>(live: &'a Live, provider: Option<ProviderId>, name: &str) -> Option<&'a str> {
    let targets = live.catalog.lookup(name, provider).ok()?;
    let model = targets.first()?.model()?;
    Some(&live.catalog.model(model).id)
}

/// Every name once: the operator's virtual models, then the models in the catalog's order, where
/// the first provider that has a name stands for it.
fn visible<'a>(live: &'a Live, caller: &Caller, only: Option<ProviderId>) -> Vec<Row<'a>> {
    let catalog = &live.catalog;
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    let wanted = |provider: ProviderId| {
        only.is_none_or(|only| only == provider) && live.is_enabled(provider)
    };
    for found in catalog.virtuals() {
        let usable = |target: &Target| {
            let provider = &catalog.provider(target.provider).id;
            let id = catalog.upstream_id(target, "");
            wanted(target.provider) && caller.policy.permits(provider, id) == Verdict::Allowed
        };
        if found.targets().iter().any(usable) && seen.insert(&*found.name) {
            rows.push(Row {
                id: &found.name,
                owner: OPERATOR,
                name: &found.name,
                model: None,
            });
        }
    }
    for model in catalog.listed() {
        let provider = catalog.provider(model.provider);
        let allowed = caller.policy.permits(&provider.id, &model.id) == Verdict::Allowed;
        if allowed && wanted(model.provider) && seen.insert(&*model.id) {
            rows.push(Row {
                id: &model.id,
                owner: &provider.id,
                name: model.name.as_deref().unwrap_or(&model.id),
                model: Some(model),
            });
        }
    }
    rows
}

fn openai_list(rows: &[Row<'_>]) -> String {
    let mut text = String::with_capacity(64 + rows.len() * 128);
    text.push_str(r#"{"object":"list","data":["#);
    join(rows, &mut text, openai_row);
    text.push_str("]}");
    text
}

/// As of OpenAI's API reference, The model object.
fn openai_row(row: &Row<'_>, text: &mut String) {
    let _ = write!(
        text,
        r#"{{"id":{},"object":"model","created":{},"owned_by":{}}}"#,
        json(row.id),
        created(row),
        json(row.owner)
    );
}

fn anthropic_list(rows: &[Row<'_>], page: &Page) -> String {
    let place = |id: &Option<String>| {
        id.as_ref()
            .and_then(|id| rows.iter().position(|row| row.id == id))
    };
    let limit = page.limit.unwrap_or(PAGE);
    let (begin, end) = match (place(&page.after), place(&page.before)) {
        (_, Some(before)) => (before.saturating_sub(limit), before),
        (after, None) => {
            let begin = after.map_or(0, |after| after + 1);
            (begin, rows.len().min(begin + limit))
        }
    };
    let more = if page.before.is_some() {
        begin > 0
    } else {
        end < rows.len()
    };
    let shown = rows.get(begin..end).unwrap_or_default();
    let edge = |row: Option<&Row<'_>>| row.map_or_else(|| "null".to_owned(), |row| json(row.id));
    let mut text = String::with_capacity(128 + shown.len() * 160);
    text.push_str(r#"{"data":["#);
    join(shown, &mut text, anthropic_row);
    let _ = write!(
        text,
        r#"],"has_more":{more},"first_id":{},"last_id":{}}}"#,
        edge(shown.first()),
        edge(shown.last())
    );
    text
}

/// As of Anthropic's API reference, Get a Model.
fn anthropic_row(row: &Row<'_>, text: &mut String) {
    let _ = write!(
        text,
        r#"{{"type":"model","id":{},"display_name":{},"created_at":"{}""#,
        json(row.id),
        json(row.name),
        jiff::Timestamp::from_second(created(row)).unwrap_or_default()
    );
    if let Some(tokens) = row.model.and_then(|model| model.context) {
        let _ = write!(text, r#","max_input_tokens":{tokens}"#);
    }
    if let Some(tokens) = row.model.and_then(|model| model.max_output) {
        let _ = write!(text, r#","max_tokens":{tokens}"#);
    }
    text.push('}');
}

/// The day of the model's release in Unix seconds; 0 where it is not known.
fn created(row: &Row<'_>) -> i64 {
    row.model.and_then(|model| model.created).unwrap_or(0)
}

fn join(rows: &[Row<'_>], text: &mut String, write: fn(&Row<'_>, &mut String)) {
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(row, text);
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decoded("anthropic%2Fclaude"), "anthropic/claude");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%ff"), "%ff");
    }

    #[test]
    fn a_page_is_read_from_the_query() {
        let page = Page::of_query(Some("limit=5&after_id=a%2Fb&beta=true")).expect("valid");
        assert_eq!((page.limit, page.after.as_deref()), (Some(5), Some("a/b")));
        assert!(Page::of_query(Some("limit=0")).is_err());
    }
}
