//! Which part of the list a client asks for: Anthropic's `limit`, `after_id`, `before_id` and `lifecycle`, Gemini's
//! `pageSize` and `pageToken`. OpenAI's list has no pages.

use std::ops::Range;

use crate::proxy::reject::{Code, Rejection};
use crate::surface::Dialect;

/// Models in one answer to an Anthropic client that does not say how many it wants, and the most it may ask for
/// (Anthropic API reference, List Models).
const ANTHROPIC: (usize, usize) = (20, 1000);

/// The same for Gemini clients, who get no more when they ask for more (Gemini API reference, models.list).
const GEMINI: (usize, usize) = (50, 1000);

/// What part of the list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
    /// Empty: all that are offered.
    lifecycles: Vec<String>,
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The rows in it.
    pub rows: Range<usize>,
    /// Whether there are more in the direction of travel.
    pub more: bool,
}

impl Page {
    /// Reads the query of a client that speaks `dialect`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] when a size is no number that it may be.
    pub fn of_query(query: Option<&str>, dialect: Dialect) -> Result<Self, Rejection> {
        let mut page = Self::default();
        for (name, value) in query.into_iter().flat_map(pairs) {
            match (dialect, name) {
                (Dialect::Anthropic, "limit") => page.limit = Some(limit(&value)?),
                (Dialect::Anthropic, "after_id") => page.after = Some(value),
                (Dialect::Anthropic, "before_id") => page.before = Some(value),
                (Dialect::Anthropic, "lifecycle" | "lifecycle[]" | "lifecycle%5B%5D") => {
                    page.lifecycles.push(value);
                }
                (Dialect::Gemini, "pageSize" | "page_size") => page.limit = page_size(&value)?,
                (Dialect::Gemini, "pageToken" | "page_token") if !value.is_empty() => {
                    page.after = Some(value);
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// Whether models of that lifecycle are asked for.
    #[must_use]
    pub fn wants(&self, lifecycle: &str) -> bool {
        self.lifecycles.is_empty() || self.lifecycles.iter().any(|wanted| wanted == lifecycle)
    }

    /// The part of the list of these ids.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] when the list does not hold the id that the part begins at: it may have changed since,
    /// and to begin anew would never end.
    pub fn part(&self, ids: &[&str], dialect: Dialect) -> Result<Part, Rejection> {
        let (usual, most) = match dialect {
            Dialect::OpenAi => (usize::MAX, usize::MAX),
            Dialect::Anthropic => ANTHROPIC,
            Dialect::Gemini => GEMINI,
        };
        let limit = self.limit.unwrap_or(usual).min(most);
        let place = |id: &String| {
            let found = ids.iter().position(|row| row == id);
            found.ok_or_else(|| gone(id))
        };
        if let Some(before) = &self.before {
            let end = place(before)?;
            let start = end.saturating_sub(limit);
            return Ok(Part {
                rows: start..end,
                more: start > 0,
            });
        }
        let start = match &self.after {
            Some(after) => place(after)? + 1,
            None => 0,
        };
        let end = ids.len().min(start.saturating_add(limit));
        Ok(Part {
            rows: start..end,
            more: end < ids.len(),
        })
    }
}

fn gone(id: &str) -> Rejection {
    Rejection::new(
        Code::InvalidRequest,
        format!("The list has no model `{id}` to go on from. Ask for its beginning."),
    )
}

fn limit(value: &str) -> Result<usize, Rejection> {
    let limit = value.parse().ok();
    limit
        .filter(|limit| (1..=ANTHROPIC.1).contains(limit))
        .ok_or_else(|| {
            Rejection::new(
                Code::InvalidRequest,
                "`limit` must be a number from 1 to 1000.",
            )
        })
}

/// Zero means the usual size, as in all of Google's APIs (AIP-158).
fn page_size(value: &str) -> Result<Option<usize>, Rejection> {
    let size: Option<usize> = value.parse().ok();
    let size = size.ok_or_else(|| {
        Rejection::new(
            Code::InvalidRequest,
            "`pageSize` must be a number that is not negative.",
        )
    })?;
    Ok((size > 0).then_some(size))
}

/// The names and values of a query; values decoded.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decoded("anthropic%2Fclaude"), "anthropic/claude");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%ff"), "%ff");
    }

    fn page(query: &str, dialect: Dialect) -> Page {
        Page::of_query(Some(query), dialect).expect("valid")
    }

    #[test]
    fn each_dialect_has_its_own_words() {
        let anthropic = page("limit=5&after_id=a%2Fb&beta=true", Dialect::Anthropic);
        assert_eq!(
            (anthropic.limit, anthropic.after.as_deref()),
            (Some(5), Some("a/b"))
        );
        let gemini = page("pageSize=5&pageToken=a%2Fb&limit=7", Dialect::Gemini);
        assert_eq!(
            (gemini.limit, gemini.after.as_deref()),
            (Some(5), Some("a/b"))
        );
        assert_eq!(page("limit=5&pageSize=x", Dialect::OpenAi), Page::default());
        assert_eq!(
            page("pageSize=0&pageToken=", Dialect::Gemini),
            Page::default()
        );
        for (query, dialect) in [
            ("limit=0", Dialect::Anthropic),
            ("limit=1001", Dialect::Anthropic),
            ("pageSize=-1", Dialect::Gemini),
            ("pageSize=many", Dialect::Gemini),
        ] {
            assert!(Page::of_query(Some(query), dialect).is_err(), "{query}");
        }
    }

    #[test]
    fn a_part_says_whether_there_is_more() {
        let ids: Vec<String> = (0..60).map(|number| number.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for (query, dialect, rows, more) in [
            ("", Dialect::OpenAi, 0..60, false),
            ("", Dialect::Anthropic, 0..20, true),
            ("", Dialect::Gemini, 0..50, true),
            ("after_id=39", Dialect::Anthropic, 40..60, false),
            ("before_id=30&limit=10", Dialect::Anthropic, 20..30, true),
            ("before_id=5&limit=10", Dialect::Anthropic, 0..5, false),
            ("pageSize=5000", Dialect::Gemini, 0..60, false),
            ("pageToken=59", Dialect::Gemini, 60..60, false),
        ] {
            let part = page(query, dialect).part(&ids, dialect).expect(query);
            assert_eq!(part, Part { rows, more }, "{query}");
        }
        let gone = page("after_id=x", Dialect::Anthropic).part(&ids, Dialect::Anthropic);
        assert_eq!(gone.expect_err("not there").code, Code::InvalidRequest);
    }

    /// Goes through `ids` page by page as a client does, and says what it has got.
    fn travelled(ids: &[&str], dialect: Dialect, size: &str, next: &str) -> Vec<String> {
        let back = next == "before_id";
        let mut got = Vec::new();
        let mut query = match back {
            // The last page is asked for by what stands behind it, which a client has from somewhere else.
            true => format!("{size}&{next}={}", ids[ids.len() - 1]),
            false => size.to_owned(),
        };
        loop {
            let part = page(&query, dialect).part(ids, dialect).expect("a page");
            let rows = &ids[part.rows];
            let at = if back { 0 } else { got.len() };
            got.splice(at..at, rows.iter().map(|id| (*id).to_owned()));
            let edge = if back { rows.first() } else { rows.last() };
            match edge.filter(|_| part.more) {
                Some(edge) => query = format!("{size}&{next}={edge}"),
                None => return got,
            }
        }
    }

    #[test]
    fn pages_of_any_size_have_each_model_once_and_in_order() {
        let ids: Vec<String> = (0..60).map(|number| format!("m/{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for size in 1..=61 {
            let (limit, pages) = (format!("limit={size}"), format!("pageSize={size}"));
            let forward = travelled(&ids, Dialect::Anthropic, &limit, "after_id");
            assert_eq!(forward, ids, "{size}");
            let back = travelled(&ids, Dialect::Anthropic, &limit, "before_id");
            assert_eq!(back, ids[..ids.len() - 1], "{size}");
            let gemini = travelled(&ids, Dialect::Gemini, &pages, "pageToken");
            assert_eq!(gemini, ids, "{size}");
        }
    }
}
