//! Where values come from, told by file and line.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::file::File;
use super::super::overlay::overlay;
use super::super::{Files, Overrides, origins, resolve};
use super::{generated, texts};

const BASE: &str = r#"{
  "provider": "p",
  "preset": "t",
  "aliases": ["pp"],
  "models": {
    "m": {"context": 8, "price": {"input": "1", "output": "2"}},
    "n": {"aliases": ["nn"], "family": "fam"}
  }
}"#;
const PRESET: &str = r#"{"template": "t", "base_url": "http://127.0.0.1:1",
  "surfaces": {"chat": {"path": "/c"}, "messages": {"path": "/m"}}}"#;
const OVER: &str = r#"{"provider": "p", "models": {
  "m": {"price": {
    "output": "3"}}},
  "surfaces": {"messages": null}}"#;
const LISTS: &str = r#"{"virtual_models": {"v": ["m",
  "n"], "w": ["n"]}}"#;

/// `title`, then `file:line: path = value` for each member.
fn told(files: &Files, name: Option<&str>) -> Option<Vec<String>> {
    let catalog = resolve(files, &Overrides::default()).expect("a catalog");
    let mut lines = Vec::new();
    for origins in origins(files, &catalog, name)? {
        lines.push(origins.title);
        for member in origins.members {
            lines.push(format!(
                "{}:{}: {} = {}",
                member.file, member.line, member.path, member.value
            ));
        }
    }
    Some(lines)
}

#[track_caller]
fn check(name: Option<&str>, expected: &[&str]) {
    let lines = told(&texts(&[BASE, PRESET, OVER, LISTS]), name).expect("something");
    assert_eq!(lines, expected, "{name:?}");
}

const OF_P: [&str; 11] = [
    "provider p",
    r#"0.json:4: aliases = ["pp"]"#,
    r#"1.json:1: base_url = "http://127.0.0.1:1""#,
    "0.json:6: models.m.context = 8",
    r#"0.json:6: models.m.price.input = "1""#,
    r#"2.json:3: models.m.price.output = "3""#,
    r#"0.json:7: models.n.aliases = ["nn"]"#,
    r#"0.json:7: models.n.family = "fam""#,
    r#"0.json:3: preset = "t""#,
    r#"2.json:1: provider = "p""#,
    r#"1.json:2: surfaces.chat.path = "/c""#,
];

#[test]
fn each_member_of_a_provider_is_told_with_its_last_place() {
    let mut expected = OF_P.to_vec();
    expected.push("2.json:4: surfaces.messages = null");
    check(Some("p"), &expected);
    check(Some("PP"), &expected);
    expected.extend([
        "virtual models",
        r#"3.json:1: virtual_models.v = ["m","n"]"#,
        r#"3.json:2: virtual_models.w = ["n"]"#,
    ]);
    check(None, &expected);
}

#[test]
fn a_model_is_found_by_every_name_that_a_request_may_use() {
    let n = ["provider p", OF_P[6], OF_P[7]];
    for name in ["n", "nn", "p:n", "p/nn", "fam", "P:FAM"] {
        check(Some(name), &n);
    }
    let mut v = vec![
        "virtual models",
        r#"3.json:1: virtual_models.v = ["m","n"]"#,
    ];
    v.push("provider p");
    v.extend(&OF_P[3..6]);
    v.extend(n);
    check(Some("v"), &v);
}

#[test]
fn what_means_nothing_has_no_origins() {
    let files = texts(&[BASE, PRESET]);
    assert_eq!(told(&files, Some("nothing")), None);
    assert_eq!(told(&files, Some("p:unlisted")), None);
}

#[test]
fn a_preset_and_a_disabled_provider_are_told_too() {
    let mut files = Files::builtin();
    files.add_text("own.json", "{\"provider\": \"groq\",\n\"disabled\": true}");
    let groq = told(&files, Some("groq")).expect("groq");
    assert!(
        groq.contains(&"own.json:2: disabled = true".to_owned()),
        "{groq:?}"
    );
    let ollama = told(&files, Some("ollama")).expect("the preset");
    assert_eq!(ollama[0], "preset ollama");
    assert!(
        ollama
            .iter()
            .any(|line| line.contains("surfaces.chat.path = ")),
        "{ollama:?}"
    );
}

/// `path → value` of all that is laid over others on its own, read off the merged file.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Map<String, Value>) {
    let whole = path.len() == 2 && path[0] == "facts";
    match value {
        Value::Object(members) if !members.is_empty() && !whole => {
            for (name, value) in members {
                path.push(name.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        value => drop(found.insert(super::super::place::dotted(path), value.clone())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is told to be in force is what the overlay makes of the same files.
    #[test]
    fn the_told_values_are_those_of_the_overlay(layers in proptest::collection::vec(generated::file(), 1..5)) {
        let mut base = layers.clone();
        // So that they make a catalog; the first file, so that what follows is laid over it.
        base.insert(0, serde_json::json!({"provider": "p", "base_url": "http://a"}));
        for layer in &mut base {
            let members = layer.as_object_mut().expect("an object");
            members.remove("families");
            members.remove("virtual_models");
        }
        let list: Vec<_> = base.iter().map(|layer| format!("{layer:#}")).collect();
        let files = texts(&list.iter().map(String::as_str).collect::<Vec<_>>());
        let any = super::catalog(&["{}"]);
        let merged = base.iter().map(|layer| serde_json::from_value::<File>(layer.clone()).expect("a file"));
        let merged = serde_json::to_value(merged.reduce(overlay)).expect("a value");
        let mut expected = Map::new();
        leaves(&merged, &mut Vec::new(), &mut expected);
        let told = origins(&files, &any, Some("p")).expect("the provider");
        let told: Map<_, _> = told[0].members.iter()
            .map(|member| (member.path.clone(), serde_json::from_str(&member.value).expect("JSON")))
            .collect();
        prop_assert_eq!(told, expected);
    }
}
