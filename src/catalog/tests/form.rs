//! The form of the files that are shipped: that of the writer, and that of the schema. With `TOLLGATE_REWRITE=1` in the
//! environment these tests mend the files of the checkout in the place of failing:
//! `TOLLGATE_REWRITE=1 cargo nextest run -E 'test(form::)'`.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::builtin::FILES;
use super::super::file::File;
use super::super::schema;
use super::super::write::render;
use super::generated;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("catalog")
        .join(name)
}

/// That the file says `expected`, or that it does from now on.
#[track_caller]
fn hold(name: &str, expected: &str) {
    if fs::read_to_string(path(name)).is_ok_and(|text| text == expected) {
        return;
    }
    if std::env::var_os("TOLLGATE_REWRITE").is_some() {
        fs::write(path(name), expected).expect("a file that can be written");
        return;
    }
    panic!(
        "catalog/{name} is not in its form; see the head of {}",
        file!()
    );
}

#[test]
fn every_shipped_file_is_as_the_writer_writes_it() {
    for (name, _) in FILES {
        let text = fs::read_to_string(path(name)).expect("a file");
        let file: File = serde_json::from_str(&text).expect("a catalog file");
        hold(name, &render(&file));
    }
}

#[test]
fn the_schema_that_is_checked_in_is_that_of_the_types() {
    hold("schema.json", &schema());
}

#[test]
fn a_model_is_a_line() {
    let text = r#"{"models":{"b":{"price":{"output":"2","input":"1"},"family":"f"},"a":null},
        "provider":"p","errors":{"bad_key":[{"status":401}]},"endpoints":[{"url":"http://a"},{"url":"http://b"}],
        "aliases":[],"surfaces":{},"facts":{"é":"\"\n"}}"#;
    let expected = r#"{
  "provider": "p",
  "aliases": [],
  "endpoints": [
    {"url": "http://a"},
    {"url": "http://b"}
  ],
  "surfaces": {},
  "errors": {
    "bad_key": [
      {"status": 401}
    ]
  },
  "facts": {
    "é": "\"\n"
  },
  "models": {
    "a": null,
    "b": {"family": "f", "price": {"input": "1", "output": "2"}}
  }
}
"#;
    assert_eq!(
        render(&serde_json::from_str(text).expect("a file")),
        expected
    );
    assert_eq!(render(&File::default()), "{}\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_it_was(file in generated::file()) {
        let file: File = serde_json::from_value(file).expect("a file");
        let text = render(&file);
        let read: File = serde_json::from_str(&text).expect("a file");
        prop_assert_eq!(format!("{:?}", &read), format!("{:?}", &file));
        prop_assert_eq!(render(&read), text);
    }

    #[test]
    fn what_an_operator_may_write_fits_the_schema(file in generated::file()) {
        let errors: Vec<_> = validator().iter_errors(&file).map(|error| error.to_string()).collect();
        prop_assert_eq!(errors, Vec::<String>::new(), "{}", file);
    }
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&schema()).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

#[test]
fn every_shipped_file_fits_the_schema() {
    let validator = validator();
    for (name, text) in FILES {
        let file: Value = serde_json::from_str(text).expect("JSON");
        let errors = validator
            .iter_errors(&file)
            .map(|error| format!("{name}{}: {error}", error.instance_path()));
        assert_eq!(errors.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn the_schema_finds_what_operators_get_wrong() {
    let validator = validator();
    let model = |entry: Value| json!({"provider": "p", "models": {"m": entry}});
    let table = [
        (json!({"provider": "Open AI"}), "/provider"),
        (json!({"provider": "p", "template": "t"}), ""),
        (
            json!({"provider": "p", "base_url": "api.example.com"}),
            "/base_url",
        ),
        (json!({"provider": "p", "base_url": null}), "/base_url"),
        (json!({"provider": "p", "auth": "baerer"}), "/auth"),
        (json!({"provider": "p", "rank": "first"}), "/rank"),
        (json!({"provider": "p", "colour": "red"}), ""),
        (
            json!({"provider": "p", "surfaces": {"chta": {"path": "/c"}}}),
            "/surfaces",
        ),
        (
            json!({"provider": "p", "surfaces": {"chat": {"path": "c"}}}),
            "/surfaces/chat/path",
        ),
        (
            json!({"provider": "p", "endpoints": [{"url": "http://a", "weight": 0}]}),
            "/endpoints/0/weight",
        ),
        (json!({"provider": "p", "endpoints": [{}]}), "/endpoints/0"),
        (
            json!({"provider": "p", "errors": {"bad_key": [{"status": 200}]}}),
            "/errors/bad_key/0/status",
        ),
        (
            json!({"provider": "p", "headers": {"a b": "x"}}),
            "/headers",
        ),
        (
            model(json!({"price": {"input": 0.5}})),
            "/models/m/price/input",
        ),
        (
            model(json!({"price": {"input": "-1"}})),
            "/models/m/price/input",
        ),
        (
            model(json!({"price": {"input": "0.0000000000001"}})),
            "/models/m/price/input",
        ),
        (
            model(json!({"price": {"input": "1e-6"}})),
            "/models/m/price/input",
        ),
        (model(json!({"price": {"putput": "1"}})), "/models/m/price"),
        (
            model(json!({"modes": {"batch": {"multiplier": 0.5}}})),
            "/models/m/modes/batch/multiplier",
        ),
        (
            model(json!({"tiers": [{"price": {}}]})),
            "/models/m/tiers/0",
        ),
        (model(json!({"kind": "chta"})), "/models/m/kind"),
        (
            model(json!({"surfaces": ["chat", "mesages"]})),
            "/models/m/surfaces/1",
        ),
        (model(json!({"context": "many"})), "/models/m/context"),
        (model(json!({"context": null})), "/models/m/context"),
        (model(json!({"max_output": -1})), "/models/m/max_output"),
        (model(json!({"status": "gone"})), "/models/m/status"),
        (model(json!({"retires": "soon"})), "/models/m/retires"),
        (model(json!({"contxt": 1})), "/models/m"),
        (json!({"virtual_models": {"v": []}}), "/virtual_models/v"),
        (json!({"virtual_models": {"v": "m"}}), "/virtual_models/v"),
        (
            json!({"virtual_models": {"v": vec!["m"; 11]}}),
            "/virtual_models/v",
        ),
    ];
    for (file, place) in table {
        let found: Vec<_> = validator
            .iter_errors(&file)
            .map(|error| error.instance_path().to_string())
            .collect();
        assert_eq!(found, [place], "{file}");
    }
}
