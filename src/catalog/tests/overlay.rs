//! Files over files: what each member becomes, and that the order of the folding is nobody's business.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::file::File;
use super::super::overlay::overlay;
use super::generated;

fn file(value: &Value) -> File {
    serde_json::from_value(value.clone()).expect("a file")
}

#[track_caller]
fn check(layers: &[Value], expected: Value) {
    let merged = layers.iter().map(file).reduce(overlay).expect("a file");
    assert_eq!(serde_json::to_value(merged).expect("a value"), expected);
}

#[test]
fn a_later_file_changes_the_members_that_it_has() {
    check(
        &[
            json!({"provider": "p", "name": "P", "models": {"m": {"context": 8, "price": {"input": "1", "output": "2"}}, "n": {}}}),
            json!({"provider": "p", "models": {"m": {"price": {"input": "3"}}, "o": {"context": 9}}}),
        ],
        json!({"provider": "p", "name": "P", "models": {
            "m": {"context": 8, "price": {"input": "3", "output": "2"}}, "n": {}, "o": {"context": 9}}}),
    );
}

#[test]
fn null_takes_an_entry_away_and_a_list_is_replaced_whole() {
    check(
        &[
            json!({"aliases": ["a", "b"], "surfaces": {"chat": {"path": "/c"}, "messages": {"path": "/m"}},
                "models": {"m": {"price": {"input": "1", "output": "2"}}, "n": {}}}),
            json!({"aliases": ["c"], "surfaces": {"messages": null},
                "models": {"m": {"price": {"output": null}}, "n": null}}),
        ],
        json!({"aliases": ["c"], "surfaces": {"chat": {"path": "/c"}, "messages": null},
            "models": {"m": {"price": {"input": "1", "output": null}}, "n": null}}),
    );
}

#[test]
fn what_was_taken_away_can_be_said_anew() {
    check(
        &[
            json!({"models": {"m": {"context": 8, "aliases": ["a"]}}, "surfaces": {"chat": {"path": "/c", "query": "q"}}}),
            json!({"models": {"m": null}, "surfaces": {"chat": null}}),
            json!({"models": {"m": {"max_output": 1}}, "surfaces": {"chat": {"path": "/d"}}}),
        ],
        json!({"models": {"m": {"max_output": 1}}, "surfaces": {"chat": {"path": "/d"}}}),
    );
}

#[test]
fn facts_are_replaced_entry_by_entry() {
    check(
        &[
            json!({"facts": {"a": {"x": 1}, "b": 1}, "health": {"path": "/h", "note": "n", "interval": "1s", "headers": {"a": "1", "b": "2"}}}),
            json!({"facts": {"a": {"y": 2}}, "health": {"path": "/i", "interval": "2s", "headers": {"a": "3"}}}),
        ],
        json!({"facts": {"a": {"y": 2}, "b": 1}, "health": {"path": "/i", "note": "n", "interval": "2s", "headers": {"a": "3", "b": "2"}}}),
    );
}

/// With what serialising leaves out.
fn whole(file: &File) -> String {
    format!("{file:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layering_is_associative(a in generated::file(), b in generated::file(), c in generated::file()) {
        let [a, b, c] = [&a, &b, &c].map(file);
        let from_the_left = overlay(overlay(a.clone(), b.clone()), c.clone());
        let from_the_right = overlay(a, overlay(b, c));
        prop_assert_eq!(whole(&from_the_left), whole(&from_the_right));
    }

    #[test]
    fn layering_twice_is_layering_once(a in generated::file(), b in generated::file()) {
        let [a, b] = [&a, &b].map(file);
        prop_assert_eq!(whole(&overlay(b.clone(), b.clone())), whole(&b));
        let once = overlay(a, b.clone());
        prop_assert_eq!(whole(&overlay(once.clone(), b)), whole(&once));
    }

    #[test]
    fn nothing_is_neutral(a in generated::file()) {
        let a = file(&a);
        prop_assert_eq!(whole(&overlay(a.clone(), File::default())), whole(&a));
        prop_assert_eq!(whole(&overlay(File::default(), a.clone())), whole(&a));
    }
}
