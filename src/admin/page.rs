//! Lists in pages: how many, from where on, and where the next page begins.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Entries of a page at the most.
pub const LIMIT_MAX: u32 = 1000;

/// Entries of a page where nobody says how many.
const LIMIT: u32 = 100;

/// How many entries a page may have: from 1 to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit<const MAX: u32 = LIMIT_MAX>(u32);

impl<const MAX: u32> Default for Limit<MAX> {
    fn default() -> Self {
        Self(LIMIT)
    }
}

impl<const MAX: u32> TryFrom<u32> for Limit<MAX> {
    type Error = String;

    fn try_from(limit: u32) -> Result<Self, String> {
        if (1..=MAX).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("from 1 to {MAX}"))
        }
    }
}

impl<const MAX: u32> Limit<MAX> {
    /// As a number.
    #[must_use]
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As the store is asked: one more, which tells whether there is a next page.
    #[must_use]
    pub fn and_one(self) -> u32 {
        self.0.saturating_add(1)
    }
}

impl<const MAX: u32> JsonSchema for Limit<MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Limit{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MAX, "default": LIMIT})
    }
}

/// The place in a list behind which a page begins, where entries have rising numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct After(pub i64);

impl TryFrom<String> for After {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits).map(Self);
        number.ok_or("write the `next_cursor` of the page before")
    }
}

impl JsonSchema for After {
    fn schema_name() -> Cow<'static, str> {
        "After".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]{1,18}$"})
    }
}

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The entries.
    data: Vec<T>,
    /// The `cursor` of the next page; null: this is the last one.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of `rows`, which were asked for with [`Limit::and_one`]. `cursor` names the place of an entry.
    pub fn of<R>(
        mut rows: Vec<R>,
        limit: Limit,
        cursor: impl Fn(&R) -> String,
        entry: impl Fn(R) -> T,
    ) -> Self {
        let length = limit.get();
        let more = rows.len() > length;
        rows.truncate(length);
        Self {
            next_cursor: rows.last().filter(|_| more).map(cursor),
            data: rows.into_iter().map(entry).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: Vec<i64>, limit: u32) -> (Vec<i64>, Option<String>) {
        let limit = Limit::<LIMIT_MAX>::try_from(limit).expect("a limit");
        let page = Page::of(rows, limit, i64::to_string, |row| row);
        (page.data, page.next_cursor)
    }

    #[test]
    fn a_page_says_where_the_next_begins_if_there_is_one() {
        assert_eq!(page(vec![], 2), (vec![], None));
        assert_eq!(page(vec![5, 6], 2), (vec![5, 6], None));
        assert_eq!(page(vec![5, 6, 9], 2), (vec![5, 6], Some("6".to_owned())));
    }

    #[test]
    fn limits_and_cursors_have_bounds() {
        let limit = Limit::<LIMIT_MAX>::try_from;
        assert!(limit(0).is_err() && limit(LIMIT_MAX + 1).is_err());
        assert!(limit(1).is_ok() && limit(LIMIT_MAX).is_ok());
        for text in ["", "-1", "+1", "1 ", "a", "1234567890123456789"] {
            assert!(After::try_from(text.to_owned()).is_err(), "{text}");
        }
        let most = After::try_from("999999999999999999".to_owned());
        assert_eq!(most, Ok(After(999_999_999_999_999_999)));
    }
}
