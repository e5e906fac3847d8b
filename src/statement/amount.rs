//! Amounts in documents.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::money::Credits;

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
