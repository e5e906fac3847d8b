//! Amounts in documents.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::money::Credits;

/// An amount of an answer of ours, which may be below zero.
///
/// # Errors
/// When it is none.
pub fn signed<'de, D: Deserializer<'de>>(from: D) -> Result<Credits, D::Error> {
    let text = Cow::<str>::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::custom("not an amount"))
}

/// As [`signed`], where there may be none.
///
/// # Errors
/// As [`signed`].
pub fn signed_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Credits>, D::Error> {
    let Some(text) = Option::<Cow<'_, str>>::deserialize(from)? else {
        return Ok(None);
    };
    read(&text)
        .map(Some)
        .ok_or_else(|| D::Error::custom("not an amount"))
}

fn read(text: &str) -> Option<Credits> {
    match text.strip_prefix('-') {
        Some(below) => below
            .parse()
            .ok()
            .map(|owed: Credits| Credits::from_nanos(-owed.nanos())),
        None => text.parse().ok(),
    }
}

/// Decimal dollars in a string. What is read is not below zero.
impl JsonSchema for Credits {
    fn schema_name() -> Cow<'static, str> {
        "Dollars".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let pattern = if schemas.contract().is_deserialize() {
            r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
        } else {
            r"^-?[0-9]+(\.[0-9]{1,9})?$"
        };
        json_schema!({"type": "string", "pattern": pattern})
    }
}
