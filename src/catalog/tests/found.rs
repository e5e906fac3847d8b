//! What providers list themselves, laid beneath what the files say.

use std::sync::Arc;

use super::super::FoundModel;
use super::super::file::Kind;
use super::{catalog, targets};
use crate::catalog::Catalog;
use crate::surface::Surface;

const LOCAL: &str = r#"{"provider": "local", "rank": 1, "discover": true, "base_url": "http://127.0.0.1:1", "author": "house",
    "surfaces": {"chat": {"path": "/chat"}, "embeddings": {"path": "/embeddings"}},
    "models": {"own": {"aliases": ["Mine"]}, "hidden": {"disabled": true}, "kin-1": {"family": "kin"}, "old": {"status": "removed"}}}"#;
const OTHER: &str = r#"{"provider": "other", "rank": 2, "discover": true, "base_url": "http://127.0.0.1:2",
    "surfaces": {"chat": {"path": "/chat"}}, "models": {"shared": {}, "Cased": {}, "past": {"status": "removed"}}}"#;
const MUTE: &str = r#"{"provider": "mute", "rank": 3, "base_url": "http://127.0.0.1:3",
    "surfaces": {"chat": {"path": "/chat"}}, "models": {}}"#;

fn list(ids: &[&str]) -> Arc<[FoundModel]> {
    let found = |id: &&str| FoundModel {
        id: (*id).into(),
        kind: if id.starts_with("embed") {
            Kind::Embedding
        } else {
            Kind::Chat
        },
        context: None,
    };
    ids.iter().map(found).collect()
}

/// The catalog of the three, with the lists of `local`, `other` and `mute`.
fn with(lists: [&[&str]; 3]) -> Catalog {
    let catalog = catalog(&[LOCAL, OTHER, MUTE]);
    let ids = ["local", "other", "mute"].map(|id| catalog.provider_by_name(id).expect("there"));
    let lists: Vec<_> = ids.into_iter().zip(lists.map(list)).collect();
    catalog.with_found(&lists)
}

fn check(catalog: &Catalog, name: &str, expected: &[&str]) {
    let found = targets(catalog, name, None).unwrap_or_default();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn a_found_model_has_a_name_as_any_other() {
    let catalog = with([&["llama3.2:1b", "org/New"], &[], &[]]);
    check(&catalog, "llama3.2:1b", &["local:llama3.2:1b"]);
    check(&catalog, "LLAMA3.2:1B", &["local:llama3.2:1b"]);
    check(&catalog, "local:llama3.2:1B", &["local:llama3.2:1b"]);
    check(&catalog, "ORG/new", &["local:org/New"]);
    check(&catalog, "local/org/new", &["local:org/New"]);
    let model = targets(&catalog, "local:org/new", catalog.provider_by_name("local"));
    assert_eq!(model, Ok(vec!["local:org/New".to_owned()]));
    assert_eq!(catalog.nearest("llama3.2:1c"), ["llama3.2:1b"]);
    let authors: Vec<_> = catalog
        .listed()
        .skip_while(|model| &*model.id != "llama3.2:1b")
        .map(|model| model.author.as_deref())
        .collect();
    assert_eq!(authors, [Some("house"), Some("org")]);
}

#[test]
fn what_the_files_say_of_a_model_stays() {
    let catalog = with([
        &["own", "OWN", "mine", "hidden", "Hidden", "old", "kin"],
        &[],
        &[],
    ]);
    check(&catalog, "own", &["local:own"]);
    check(&catalog, "mine", &["local:own"]);
    check(&catalog, "hidden", &[]);
    check(&catalog, "old", &["local:old"]);
    // A family leads to a model; a model of that name is nearer.
    check(&catalog, "kin", &["local:kin"]);
    let news: Vec<_> = catalog.listed().map(|model| &*model.id).collect();
    assert_eq!(news.iter().filter(|id| **id == "own").count(), 1);
    assert!(!news.contains(&"hidden"));
}

#[test]
fn providers_of_the_files_come_first_then_the_lists_then_what_is_removed() {
    let catalog = with([&["shared", "cased", "past"], &["new"], &[]]);
    check(&catalog, "shared", &["other:shared", "local:shared"]);
    check(&catalog, "Cased", &["other:Cased"]);
    check(&catalog, "cased", &["local:cased"]);
    check(&catalog, "CASED", &["other:Cased", "local:cased"]);
    check(&catalog, "past", &["local:past", "other:past"]);
    let both = with([&["new"], &["new"], &[]]);
    check(&both, "new", &["local:new", "other:new"]);
}

#[test]
fn a_list_is_for_those_whose_file_wants_it_and_replaces_the_one_before() {
    let first = with([&["a"], &[], &["b"]]);
    check(&first, "a", &["local:a"]);
    check(&first, "b", &[]);
    let local = first.provider_by_name("local").expect("there");
    let second = first.with_found(&[(local, list(&["c"]))]);
    check(&second, "a", &[]);
    check(&second, "c", &["local:c"]);
    check(&first, "a", &["local:a"]);
    assert_eq!(first.version(), second.version());
    assert_eq!(first.models().len(), second.models().len());
}

#[test]
fn a_found_model_is_served_where_its_kind_is() {
    let catalog = with([&["embed-1", "talk"], &["embed-2"], &[]]);
    let serves = |name: &str, surface| {
        let targets = catalog.lookup(name, None).expect("there");
        catalog.serves(&targets[0], surface)
    };
    assert!(serves("talk", Surface::Chat) && !serves("talk", Surface::Embeddings));
    assert!(serves("embed-1", Surface::Embeddings) && !serves("embed-1", Surface::Chat));
    assert!(!serves("embed-2", Surface::Embeddings));
}
