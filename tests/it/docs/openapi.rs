//! The OpenAPI document that is checked in is the one that the admin listener serves, and `docs/admin.md` lists what is in
//! it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Marks, hold, root};

const MARKS: Marks = Marks {
    begin: "<!-- made from docs/openapi.json: see tests/it/docs/openapi.rs -->",
    end: "<!-- end of what is made -->",
};

#[test]
fn the_document_that_is_checked_in_is_made_of_the_routes() {
    let path = root().join("docs/openapi.json");
    let made = tollgate::admin::openapi();
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept == made {
        return;
    }
    if std::env::var_os("TOLLGATE_REWRITE").is_some() {
        std::fs::write(&path, made).expect("a file that can be written");
        return;
    }
    panic!("docs/openapi.json is not what the routes make; TOLLGATE_REWRITE=1 writes it anew");
}

#[test]
fn the_page_lists_every_operation_and_every_code() {
    let document: Value = serde_json::from_str(&tollgate::admin::openapi()).expect("JSON");
    let mut operations = Vec::new();
    let mut codes: BTreeMap<(String, String), ()> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let text = |member: &str| operation[member].as_str().expect(member).to_owned();
            let method = method.to_uppercase();
            operations.push(format!("| `{method} {path}` | {} |", text("summary")));
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let description = response["description"].as_str().expect("a description");
                for code in description.split('`').skip(1).step_by(2) {
                    codes.insert((status.clone(), code.to_owned()), ());
                }
            }
        }
    }
    assert!(operations.len() > 30 && codes.len() > 15);
    let codes = codes
        .into_keys()
        .map(|(status, code)| format!("| {status} | `{code}` |"));
    let table =
        |header: &str, rows: Vec<String>| format!("{header}\n|---|---|\n{}", rows.join("\n"));
    let made = [
        table("| request | does |", operations),
        table("| status | code |", codes.collect()),
    ];
    hold(&root().join("docs/admin.md"), &MARKS, &made.join("\n\n"));
}
