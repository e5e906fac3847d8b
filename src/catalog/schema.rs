//! The JSON Schema of a catalog file, made of the types in [`mod@super::file`]: what an editor shows while a file is
//! written. It knows the shape of a file and of each value; what needs other files to be judged (whether a virtual
//! model's names mean something, whether a provider has a base URL) is the work of `resolve`.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::file::File;
use crate::surface;

pub(super) const PROVIDER_ID: &str = "^[a-z0-9][a-z0-9._-]*$";
pub(super) const BASE_URL: &str = "^https?://[^/?#@ ]+(/[^?#]*)?$";
pub(super) const AUTH: &str = "^(none|bearer|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$";
pub(super) const HEADER: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// A path below a base URL.
pub(super) const PATH: &str = r"^(/|(\.\./)+)";
/// A status, or a range of them.
pub(super) const STATUSES: &str = "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$";
/// A whole number and a unit.
pub(super) const TIME: &str = "^[0-9]+(ms|s|m|h)$";
/// A day or a month.
pub(super) const DAY: &str = "^[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?$";

/// The schema as it is checked in and printed: JSON with a line break at its end.
#[must_use]
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = Value::from(generator.into_root_schema_for::<File>());
    sharpen(&mut schema);
    schema["title"] = json!("A file of Tollgate's catalog");
    format!("{schema:#}\n")
}

/// Takes `null` from members that are not entries, where it would be read and change nothing; and says of an entry that
/// it is checked unless it is `null`, so that what is wrong in one is found where it stands.
fn sharpen(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                properties.values_mut().for_each(refuse_null);
            }
            if let Some(entry) = members.get_mut("additionalProperties")
                && let Some(other) = or_null(entry)
            {
                *entry = json!({"if": {"not": {"type": "null"}}, "then": other});
            }
            members.values_mut().for_each(sharpen);
        }
        Value::Array(elements) => elements.iter_mut().for_each(sharpen),
        _ => {}
    }
}

fn refuse_null(member: &mut Value) {
    if let Some(Value::Object(other)) = or_null(member)
        && let Value::Object(members) = member
    {
        members.remove("anyOf");
        members.extend(other);
    }
    if let Some(Value::Array(types)) = member.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = &types[..] {
            member["type"] = one.clone();
        }
    }
}

/// The schema of which `schema` says that it or `null` holds.
fn or_null(schema: &Value) -> Option<Value> {
    match schema.get("anyOf")?.as_array()?.as_slice() {
        [other, null] if null == &json!({"type": "null"}) => Some(other.clone()),
        _ => None,
    }
}

/// The names of the surfaces that are routed.
pub(super) fn surface_names() -> Value {
    let names: Vec<_> = surface::TABLE.iter().map(|row| row.name).collect();
    json!({ "enum": names })
}

/// What a virtual model stands for; `null` takes it away.
pub(super) fn list_of_models() -> Value {
    json!({"type": ["array", "null"], "items": {"type": "string", "minLength": 1, "maxLength": 256}, "minItems": 1, "maxItems": 10})
}
