//! How a later file changes an earlier one: member by member. Objects are merged by name, anything else (lists too) is
//! replaced whole. A `null` replaces like any other value; what reads the result takes it as absent, so that it takes
//! away what earlier files said.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::file::{File, Members, ModelEntry};

/// `later` over `earlier`.
///
/// # Errors
/// None in practice: both have the shape already, and a merge keeps it.
pub(super) fn overlay(mut earlier: File, mut later: File) -> Result<File, serde_json::Error> {
    // The models, which are many, only pay for the merge where both files have them.
    let models = earlier.models.take();
    let changes = later.models.take();
    let mut merged: File = merge_typed(&earlier, &later)?;
    merged.models = match (models, changes) {
        (Some(models), Some(changes)) => Some(overlay_models(models, changes)?),
        (models, changes) => changes.or(models),
    };
    Ok(merged)
}

type Models = Members<String, Option<Box<ModelEntry>>>;

fn overlay_models(mut models: Models, changes: Models) -> Result<Models, serde_json::Error> {
    for (id, change) in changes.0 {
        let entry = match (models.0.remove(&id).flatten(), change) {
            (_, None) => None,
            (None, Some(new)) => Some(new),
            (Some(old), Some(new)) => Some(merge_typed(&old, &new)?),
        };
        models.0.insert(id, entry);
    }
    Ok(models)
}

/// `later` over `earlier`, by name.
pub(super) fn overlay_lists(
    earlier: &mut BTreeMap<String, Vec<String>>,
    later: Members<String, Option<Vec<String>>>,
) {
    for (name, list) in later.0 {
        match list {
            Some(list) => earlier.insert(name, list),
            None => earlier.remove(&name),
        };
    }
}

fn merge_typed<T: Serialize + DeserializeOwned>(
    earlier: &T,
    later: &T,
) -> Result<T, serde_json::Error> {
    let mut merged = serde_json::to_value(earlier)?;
    merge(&mut merged, serde_json::to_value(later)?);
    serde_json::from_value(merged)
}

fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes {
                match members.get_mut(&name) {
                    Some(member) => merge(member, change),
                    None => drop(members.insert(name, change)),
                }
            }
        }
        (target, change) => *target = change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        serde_json::from_str(text).expect("a file")
    }

    fn over(earlier: &str, later: &str) -> Value {
        let merged = overlay(file(earlier), file(later)).expect("merged");
        serde_json::to_value(merged).expect("a value")
    }

    #[test]
    fn a_later_file_changes_the_members_that_it_has() {
        let merged = over(
            r#"{"provider":"p","name":"P","models":{"m":{"context":8,"price":{"input":"1","output":"2"}},"n":{}}}"#,
            r#"{"provider":"p","models":{"m":{"price":{"input":"3"}},"o":{"context":9}}}"#,
        );
        let expected = serde_json::json!({"provider":"p","name":"P","models":{
            "m":{"context":8,"price":{"input":"3","output":"2"}},"n":{},"o":{"context":9}}});
        assert_eq!(merged, expected);
    }

    #[test]
    fn null_takes_an_entry_away_and_a_list_is_replaced_whole() {
        let merged = over(
            r#"{"provider":"p","aliases":["a","b"],"surfaces":{"chat":{"path":"/c"},"messages":{"path":"/m"}},
                "models":{"m":{"price":{"input":"1","output":"2"}},"n":{}}}"#,
            r#"{"aliases":["c"],"surfaces":{"messages":null},"models":{"m":{"price":{"output":null}},"n":null}}"#,
        );
        let expected = serde_json::json!({"provider":"p","aliases":["c"],"surfaces":{"chat":{"path":"/c"},"messages":null},
            "models":{"m":{"price":{"input":"1","output":null}},"n":null}});
        assert_eq!(merged, expected);
    }

    #[test]
    fn layering_twice_changes_nothing_more_and_does_not_mind_where_it_begins() {
        let a = r#"{"provider":"p","rank":1,"models":{"m":{"context":1,"aliases":["x"]},"n":{"context":2}}}"#;
        let b = r#"{"models":{"m":{"context":3},"n":{"price":{"input":"1"}}},"surfaces":{"chat":{"path":"/c"}}}"#;
        let c = r#"{"rank":2,"models":{"m":{"max_output":4},"n":{"price":{"input":null}},"o":{}},"surfaces":{"chat":{"query":"q"}}}"#;
        let text = |value: &Value| value.to_string();
        let ab = over(a, b);
        assert_eq!(over(&text(&ab), b), ab, "idempotent");
        assert_eq!(
            over(&text(&ab), c),
            over(a, &text(&over(b, c))),
            "associative"
        );
    }
}
