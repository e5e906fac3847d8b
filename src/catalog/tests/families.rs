//! Families: the same model at several providers under one name.

use super::super::file::Same;
use super::super::{Form, Model, Unresolved};
use super::{catalog, shipped_and, targets};
use crate::catalog::Catalog;

const MAKER: &str = r#"{"provider": "maker", "rank": 2, "base_url": "http://127.0.0.1:1", "surfaces": {"chat": {"path": "/c"}},
    "models": {
        "sonnet-4-5": {"family": "sonnet-4.5"},
        "sonnet-4-5-20250929": {"family": "sonnet-4.5", "snapshot": "2025-09-29"},
        "old-1": {"family": "old", "status": "deprecated"},
        "big": {"family": "big"}}}"#;
const HOST: &str = r#"{"provider": "host", "rank": 1, "base_url": "http://127.0.0.1:2", "surfaces": {"chat": {"path": "/c"}},
    "models": {
        "maker/sonnet-4.5": {"family": "sonnet-4.5"},
        "maker/a-sonnet": {"family": "sonnet-4.5"},
        "maker/sonnet-4.5:free": {"family": "sonnet-4.5", "variant": "free"},
        "maker/big": {"family": "big"},
        "other-big": {"aliases": ["BIG"]},
        "maker/small": {"family": "small"}}}"#;

#[track_caller]
fn check(catalog: &Catalog, name: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|target| (*target).to_owned()).collect();
    assert_eq!(targets(catalog, name, None), Ok(expected), "{name}");
}

#[test]
fn a_family_is_reached_at_every_provider_that_has_it() {
    let catalog = catalog(&[MAKER, HOST]);
    let both = ["host:maker/sonnet-4.5", "maker:sonnet-4-5"];
    check(&catalog, "sonnet-4.5", &both);
    check(&catalog, "Sonnet-4.5", &both);
    let form = |name: &str| catalog.lookup(name, None).map(|targets| targets.form);
    assert_eq!(form("sonnet-4.5"), Ok(Form::Family));
    assert_eq!(form("SONNET-4.5"), Ok(Form::AnyCase));
    assert_eq!(form("big"), Ok(Form::Exact));
}

#[test]
fn ids_come_before_aliases_and_aliases_before_the_family() {
    let catalog = catalog(&[MAKER, HOST]);
    check(&catalog, "big", &["maker:big", "host:maker/big"]);
    // One target a provider, and of these the alias.
    check(&catalog, "Big", &["maker:big", "host:other-big"]);
    // A name that is not that of the family does not reach the rest of it.
    check(&catalog, "sonnet-4-5", &["maker:sonnet-4-5"]);
    check(&catalog, "maker/big", &["host:maker/big"]);
}

#[test]
fn a_provider_narrows_a_family_to_itself() {
    let catalog = catalog(&[MAKER, HOST]);
    check(&catalog, "maker:sonnet-4.5", &["maker:sonnet-4-5"]);
    check(&catalog, "host/sonnet-4.5", &["host:maker/sonnet-4.5"]);
    check(&catalog, "host:sonnet-4-5", &["host:sonnet-4-5?"]);
    let maker = catalog.provider_by_name("maker");
    let pinned = targets(&catalog, "sonnet-4.5", maker);
    assert_eq!(pinned, Ok(vec!["maker:sonnet-4-5".to_owned()]));
    assert_eq!(
        targets(&catalog, "small", maker),
        Ok(vec!["maker:small?".to_owned()])
    );
}

#[test]
fn variants_and_what_is_not_active_do_not_stand_for_the_family() {
    let catalog = catalog(&[MAKER, HOST]);
    assert_eq!(targets(&catalog, "old", None), Err(Unresolved::Unknown));
    let own = r#"{"provider": "host", "models": {"maker/sonnet-4.5": {"variant": "ours"}, "maker/a-sonnet": null}}"#;
    let catalog = self::catalog(&[MAKER, HOST, own]);
    check(&catalog, "sonnet-4.5", &["maker:sonnet-4-5"]);
}

#[test]
fn the_operator_puts_a_model_into_a_family_and_a_provider_first() {
    let own = r#"{"provider": "gpu", "rank": 9, "base_url": "http://127.0.0.1:3", "surfaces": {"chat": {"path": "/c"}},
        "models": {"llm-7": {"family": "sonnet-4.5"}}, "default_for": ["sonnet-4.5"]}"#;
    let catalog = catalog(&[MAKER, HOST, own]);
    check(
        &catalog,
        "sonnet-4.5",
        &["gpu:llm-7", "host:maker/sonnet-4.5", "maker:sonnet-4-5"],
    );
}

#[test]
fn a_name_that_is_a_model_of_another_family_is_not_mixed_with_the_family() {
    let april = r#"{"provider": "april", "base_url": "http://127.0.0.1:3", "surfaces": {"chat": {"path": "/c"}},
        "models": {"v4": {"family": "v4"}, "x/other": {"family": "v4-august"}}}"#;
    let august = r#"{"provider": "august", "base_url": "http://127.0.0.1:4", "surfaces": {"chat": {"path": "/c"}},
        "models": {"v4": {"family": "v4-august"}}}"#;
    let host = r#"{"provider": "host", "base_url": "http://127.0.0.1:5", "surfaces": {"chat": {"path": "/c"}},
        "models": {"x/v4": {"family": "v4"}}}"#;
    check(&catalog(&[april, host]), "v4", &["april:v4", "host:x/v4"]);
    let catalog = catalog(&[april, august, host]);
    check(&catalog, "v4", &["april:v4", "august:v4"]);
    check(&catalog, "V4", &["april:v4", "august:v4"]);
    check(&catalog, "v4-august", &["april:x/other", "august:v4"]);
}

#[test]
fn a_virtual_model_may_list_a_family_and_be_called_like_one() {
    let lists = r#"{"virtual_models": {"v": ["maker:big", "sonnet-4.5"], "sonnet-4.5": ["maker:sonnet-4-5-20250929"]}}"#;
    let problems = super::super::resolve(
        &super::texts(&[MAKER, HOST, lists]),
        &super::Overrides::default(),
    );
    let problems = problems.expect_err("a list in a list");
    assert!(
        problems[0].message.contains("is a virtual model"),
        "{problems:?}"
    );
    let lists = r#"{"virtual_models": {"v": ["maker:big", "sonnet-4.5"]}}"#;
    let one = catalog(&[MAKER, HOST, lists]);
    check(
        &one,
        "v",
        &["maker:big", "host:maker/sonnet-4.5", "maker:sonnet-4-5"],
    );
    let lists = r#"{"virtual_models": {"sonnet-4.5": ["maker:sonnet-4-5-20250929"]}}"#;
    let other = catalog(&[MAKER, HOST, lists]);
    check(&other, "sonnet-4.5", &["maker:sonnet-4-5-20250929"]);
}

#[test]
fn the_operator_switches_a_family_off() {
    let off = r#"{"families": {"sonnet-4.5": {"disabled": true}, "big": {"disabled": true}, "small": {"same": "weights", "note": "N"}}}"#;
    let catalog = catalog(&[MAKER, HOST, off]);
    assert_eq!(
        targets(&catalog, "sonnet-4.5", None),
        Err(Unresolved::Unknown)
    );
    check(&catalog, "big", &["maker:big"]);
    check(&catalog, "small", &["host:maker/small"]);
    let [small] = catalog.families() else {
        panic!("{:?}", catalog.families());
    };
    assert_eq!((&*small.name, small.same), ("small", Some(Same::Weights)));
    let on = r#"{"families": {"sonnet-4.5": null}}"#;
    let catalog = self::catalog(&[MAKER, HOST, off, on]);
    check(
        &catalog,
        "sonnet-4.5",
        &["host:maker/sonnet-4.5", "maker:sonnet-4-5"],
    );
}

#[test]
fn what_is_shipped_of_families_is_of_families_that_there_are() {
    let catalog = shipped_and(&[]);
    assert_eq!(catalog.families().len(), 203);
    for family in catalog.families() {
        let is_of = |model: &Model| model.family.as_deref() == Some(&*family.name);
        assert!(catalog.models().iter().any(is_of), "{family:?}");
        assert!(family.same.is_some(), "{family:?}");
    }
}

/// A family that is shipped, how many providers it is reached at, and the first of them.
const SHIPPED: [(&str, usize, &str); 9] = [
    ("claude-sonnet-4.5", 2, "anthropic:claude-sonnet-4-5"),
    ("claude-haiku-4.5", 3, "anthropic:claude-haiku-4-5"),
    ("gemini-2.5-flash", 3, "google:gemini-2.5-flash"),
    ("gpt-4o", 2, "openai:gpt-4o"),
    ("gpt-5.2", 2, "openai:gpt-5.2"),
    // That one calls it so itself.
    ("gpt-oss-120b", 5, "cerebras:gpt-oss-120b"),
    (
        "deepseek-v4.1-flash",
        4,
        "openrouter:deepseek/deepseek-v4.1-flash",
    ),
    ("glm-5.3", 5, "inference-net:glm-5.3"),
    // DeepSeek's is the August build, OpenRouter's of that name the one of April.
    ("deepseek-v4-pro", 1, "deepseek:deepseek-v4-pro"),
];

#[test]
fn the_families_that_are_shipped_are_reached() {
    let catalog = shipped_and(&[]);
    for (name, providers, first) in SHIPPED {
        let found = targets(&catalog, name, None).expect(name);
        assert_eq!(
            (found.len(), &*found[0]),
            (providers, first),
            "{name}: {found:?}"
        );
    }
    check(
        &catalog,
        "anthropic:claude-sonnet-4.5",
        &["anthropic:claude-sonnet-4-5"],
    );
    let near = catalog.nearest("claude-sonet-4.5");
    assert!(near.contains(&"claude-sonnet-4.5".to_owned()), "{near:?}");
}
