//! What each form of a name means.

use super::super::{Form, NAME_MAX, Unresolved};
use super::{catalog, shipped_and, targets};
use crate::catalog::Catalog;
use crate::surface::Surface;

const ALPHA: &str = r#"{"provider": "alpha", "aliases": ["a"], "rank": 1, "base_url": "http://127.0.0.1:1", "author": "acme",
    "surfaces": {"chat": {"path": "/chat/completions"}, "embeddings": {"path": "/embeddings"}},
    "models": {
        "small": {"aliases": ["tiny", "shared"]},
        "Big": {},
        "old": {"status": "removed"},
        "gone": {"status": "removed"},
        "both": {},
        "vectors": {"kind": "embedding"},
        "by-name": {"author": "Other"}}}"#;
const BETA: &str = r#"{"provider": "beta", "rank": 2, "base_url": "http://127.0.0.1:2", "default_for": ["both"],
    "surfaces": {"chat": {"path": "/chat/completions"}, "messages": {"path": "/messages"}},
    "models": {
        "shared": {},
        "old": {},
        "both": {},
        "acme/small": {},
        "acme/wide": {},
        "alpha/odd": {},
        "llama3.2:1b": {}}}"#;
const VIRTUAL: &str = r#"{"virtual_models": {
    "fast": ["beta:shared", "small", "alpha:not-listed", "beta:shared"],
    "Big": ["beta:both", "alpha:Big"],
    "wide": ["both"]}}"#;

fn own() -> Catalog {
    catalog(&[ALPHA, BETA, VIRTUAL])
}

fn check(catalog: &Catalog, name: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|target| (*target).to_owned()).collect();
    assert_eq!(targets(catalog, name, None), Ok(expected), "{name}");
}

#[test]
fn a_prefix_picks_the_provider_and_the_rest_goes_upstream() {
    let catalog = own();
    check(&catalog, "alpha:small", &["alpha:small"]);
    check(&catalog, "ALPHA:small", &["alpha:small"]);
    check(&catalog, "A:small", &["alpha:small"]);
    check(&catalog, "alpha:tiny", &["alpha:small"]);
    check(&catalog, "alpha:TINY", &["alpha:small"]);
    check(&catalog, "alpha:big", &["alpha:Big"]);
    check(
        &catalog,
        "alpha:Unknown/with:colons",
        &["alpha:Unknown/with:colons?"],
    );
    check(&catalog, "alpha:acme/small", &["alpha:acme/small?"]);
    check(&catalog, "beta:llama3.2:1b", &["beta:llama3.2:1b"]);
    check(&catalog, "alpha:gone", &["alpha:gone"]);
    // A virtual model is a name of its own, not one of the provider's.
    check(&catalog, "alpha:fast", &["alpha:fast?"]);
    check(&catalog, "alpha:Big", &["alpha:Big"]);
}

#[test]
fn a_virtual_model_is_its_list_in_order_without_duplicates() {
    let catalog = own();
    check(
        &catalog,
        "fast",
        &["beta:shared", "alpha:small", "alpha:not-listed?"],
    );
    check(
        &catalog,
        "FAST",
        &["beta:shared", "alpha:small", "alpha:not-listed?"],
    );
    // It comes before a model of the same name, and stands for all of a bare name's providers.
    check(&catalog, "Big", &["beta:both", "alpha:Big"]);
    check(&catalog, "wide", &["beta:both", "alpha:both"]);
}

#[test]
fn a_bare_name_has_every_provider_that_knows_it() {
    let catalog = own();
    check(&catalog, "small", &["alpha:small"]);
    check(&catalog, "SMALL", &["alpha:small"]);
    // An id before an alias, whatever the rank of the providers.
    check(&catalog, "shared", &["beta:shared", "alpha:small"]);
    check(&catalog, "Shared", &["beta:shared", "alpha:small"]);
    // The default first, whatever its rank; the removed last.
    check(&catalog, "both", &["beta:both", "alpha:both"]);
    check(&catalog, "old", &["beta:old", "alpha:old"]);
    check(&catalog, "gone", &["alpha:gone"]);
}

#[test]
fn exact_comes_before_any_case() {
    let one = r#"{"provider": "one", "rank": 1, "base_url": "http://127.0.0.1:1",
        "surfaces": {"chat": {"path": "/c"}}, "models": {"GPT": {}, "a": {"aliases": ["Mixed"]}}}"#;
    let two = r#"{"provider": "two", "rank": 2, "base_url": "http://127.0.0.1:2",
        "surfaces": {"chat": {"path": "/c"}}, "models": {"gpt": {}, "mixed": {}}}"#;
    let catalog = catalog(&[one, two]);
    check(&catalog, "GPT", &["one:GPT"]);
    check(&catalog, "gpt", &["two:gpt"]);
    check(&catalog, "Gpt", &["one:GPT", "two:gpt"]);
    check(&catalog, "Mixed", &["one:a"]);
    check(&catalog, "MIXED", &["two:mixed", "one:a"]);
}

#[test]
fn a_slash_is_part_of_an_id_or_parts_provider_or_author() {
    let catalog = own();
    check(&catalog, "acme/small", &["beta:acme/small"]);
    check(&catalog, "ACME/Small", &["beta:acme/small"]);
    check(&catalog, "alpha/odd", &["beta:alpha/odd"]);
    check(&catalog, "alpha/small", &["alpha:small"]);
    check(&catalog, "Alpha/tiny", &["alpha:small"]);
    check(&catalog, "alpha/x/y", &["alpha:x/y?"]);
    check(&catalog, "acme/tiny", &["alpha:small"]);
    check(&catalog, "Acme/BIG", &["alpha:Big"]);
    check(&catalog, "other/by-name", &["alpha:by-name"]);
    assert_eq!(
        targets(&catalog, "acme/by-name", None),
        Err(Unresolved::Unknown)
    );
    assert_eq!(
        targets(&catalog, "nobody/small", None),
        Err(Unresolved::Unknown)
    );
}

#[test]
fn a_colon_after_no_provider_is_part_of_the_name() {
    let catalog = own();
    check(&catalog, "llama3.2:1b", &["beta:llama3.2:1b"]);
    check(&catalog, "LLAMA3.2:1B", &["beta:llama3.2:1b"]);
    assert_eq!(
        targets(&catalog, "llama3.2:3b", None),
        Err(Unresolved::Unknown)
    );
}

#[test]
fn what_names_nothing_is_unknown() {
    let catalog = own();
    for name in [
        "",
        ":",
        "/",
        "alpha:",
        "alpha/",
        ":small",
        "/small",
        "nothing",
        "nothing:small",
        "small ",
        " small",
    ] {
        assert_eq!(
            targets(&catalog, name, None),
            Err(Unresolved::Unknown),
            "{name:?}"
        );
    }
}

#[test]
fn a_name_has_a_longest_length() {
    let catalog = own();
    let longest = format!("alpha:{}", "x".repeat(NAME_MAX - 6));
    assert_eq!(
        targets(&catalog, &longest, None),
        Ok(vec![format!("{longest}?")])
    );
    assert_eq!(
        targets(&catalog, &format!("{longest}x"), None),
        Err(Unresolved::TooLong)
    );
    assert_eq!(
        targets(&catalog, &"é".repeat(NAME_MAX), None),
        Err(Unresolved::TooLong)
    );
    assert_eq!(
        targets(&catalog, &"é".repeat(NAME_MAX / 2), None),
        Err(Unresolved::Unknown)
    );
}

#[test]
fn a_pinned_provider_narrows_the_name_to_itself() {
    let catalog = own();
    let alpha = catalog.provider_by_name("alpha");
    let table: [(&str, Result<&[&str], Unresolved>); 16] = [
        ("small", Ok(&["alpha:small"])),
        ("tiny", Ok(&["alpha:small"])),
        ("SMALL", Ok(&["alpha:small"])),
        ("shared", Ok(&["alpha:small"])),
        ("both", Ok(&["alpha:both"])),
        ("alpha:small", Ok(&["alpha:small"])),
        ("A:tiny", Ok(&["alpha:small"])),
        ("alpha/small", Ok(&["alpha:small"])),
        ("beta:shared", Ok(&["alpha:beta:shared?"])),
        ("acme/wide", Ok(&["alpha:acme/wide?"])),
        ("nothing", Ok(&["alpha:nothing?"])),
        ("fast", Ok(&["alpha:small", "alpha:not-listed?"])),
        ("Big", Ok(&["alpha:Big"])),
        ("", Err(Unresolved::Unknown)),
        ("alpha:", Err(Unresolved::Unknown)),
        ("wide", Ok(&["alpha:both"])),
    ];
    for (name, expected) in table {
        let expected = expected.map(|targets| {
            targets
                .iter()
                .map(|target| (*target).to_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(targets(&catalog, name, alpha), expected, "{name}");
    }
}

#[test]
fn a_virtual_model_without_the_pinned_provider_says_so() {
    let catalog = catalog(&[ALPHA, BETA, r#"{"virtual_models": {"v": ["beta:shared"]}}"#]);
    let alpha = catalog.provider_by_name("alpha");
    assert_eq!(
        targets(&catalog, "v", alpha),
        Err(Unresolved::NotAtProvider)
    );
}

#[test]
fn a_pinned_provider_has_its_own_names_before_prefixes() {
    let local = r#"{"provider": "ollama", "base_url": "http://127.0.0.1:1", "auth": "none",
        "surfaces": {"chat": {"path": "/chat/completions"}}}"#;
    let catalog = shipped_and(&[local]);
    let ollama = catalog.provider_by_name("ollama");
    assert_eq!(
        targets(&catalog, "mistral:7b", ollama),
        Ok(vec!["ollama:mistral:7b?".to_owned()])
    );
    assert_eq!(
        targets(&catalog, "mistral:7b", None),
        Ok(vec!["mistral:7b?".to_owned()])
    );
    check(&catalog, "ollama:mistral:7b", &["ollama:mistral:7b?"]);
}

#[test]
fn the_form_of_a_name_is_told() {
    let catalog = own();
    let table = [
        ("alpha:small", Form::Prefixed),
        ("fast", Form::Virtual),
        ("small", Form::Exact),
        ("tiny", Form::Exact),
        ("SMALL", Form::AnyCase),
        ("Fast", Form::AnyCase),
        ("alpha/small", Form::Slashed),
        ("acme/tiny", Form::Author),
    ];
    for (name, form) in table {
        assert_eq!(
            catalog.lookup(name, None).map(|targets| targets.form),
            Ok(form),
            "{name}"
        );
    }
    let alpha = catalog.provider_by_name("alpha");
    assert_eq!(
        catalog.lookup("nothing", alpha).map(|targets| targets.form),
        Ok(Form::Pinned)
    );
}

#[test]
fn a_target_is_served_where_provider_and_model_agree() {
    let catalog = own();
    let serves = |name: &str, surface| {
        let targets = catalog.lookup(name, None).expect(name);
        targets
            .iter()
            .map(|target| catalog.serves(target, surface))
            .collect::<Vec<_>>()
    };
    assert_eq!(serves("alpha:vectors", Surface::Embeddings), [true]);
    assert_eq!(serves("alpha:vectors", Surface::Chat), [false]);
    assert_eq!(serves("shared", Surface::Messages), [true, false]);
    // Of a model that is not in the catalog nothing is known: the provider decides.
    assert_eq!(serves("alpha:unknown", Surface::Embeddings), [true]);
    assert_eq!(serves("alpha:unknown", Surface::Messages), [false]);
}

#[test]
fn the_names_of_the_contract_mean_what_it_says() {
    let local = r#"{"provider": "ollama", "preset": "ollama"}"#;
    let catalog = shipped_and(&[local]);
    check(&catalog, "openai:gpt-4o", &["openai:gpt-4o"]);
    check(&catalog, "OpenAI:gpt-4o", &["openai:gpt-4o"]);
    check(
        &catalog,
        "gemini:gemini-2.5-pro",
        &["google:gemini-2.5-pro"],
    );
    check(
        &catalog,
        "inception:mercury-2",
        &["inceptionlabs:mercury-2"],
    );
    check(
        &catalog,
        "openrouter:anthropic/claude-3.5-sonnet",
        &["openrouter:anthropic/claude-3.5-sonnet"],
    );
    check(&catalog, "ollama:llama3.2:1b", &["ollama:llama3.2:1b?"]);
    let gpt_4o = ["openai:gpt-4o", "openrouter:openai/gpt-4o"];
    check(&catalog, "gpt-4o", &gpt_4o);
    check(&catalog, "GPT-4o", &gpt_4o);
    check(&catalog, "openai/gpt-4o", &["openrouter:openai/gpt-4o"]);
    check(
        &catalog,
        "openai/gpt-5.3-codex-spark",
        &["openai:gpt-5.3-codex-spark"],
    );
    check(
        &catalog,
        "openai/gpt-oss-20b:free",
        &["openrouter:openai/gpt-oss-20b:free"],
    );
    check(
        &catalog,
        "openai/gpt-oss-120b",
        &[
            "openrouter:openai/gpt-oss-120b",
            "groq:openai/gpt-oss-120b",
            "hyperbolic:openai/gpt-oss-120b",
            "together:openai/gpt-oss-120b",
            "deepinfra:openai/gpt-oss-120b",
        ],
    );
    check(&catalog, "gpt-4o-2024-08-06", &["openai:gpt-4o-2024-08-06"]);
    check(&catalog, "gpt-5.5-instant", &["openai:chat-latest"]);
    check(
        &catalog,
        "claude-haiku-4-5",
        &[
            "anthropic:claude-haiku-4-5",
            "inference-net:claude-haiku-4-5",
        ],
    );
    check(
        &catalog,
        "anthropic/claude-sonnet-4-5",
        &["anthropic:claude-sonnet-4-5"],
    );
    check(
        &catalog,
        "deepseek-reasoner",
        &["deepseek:deepseek-reasoner"],
    );
    assert_eq!(
        targets(&catalog, "llama3.2:1b", None),
        Err(Unresolved::Unknown)
    );
}

#[test]
fn near_names_are_offered() {
    let catalog = shipped_and(&[]);
    assert_eq!(
        catalog.nearest("gpt4o").first().map(String::as_str),
        Some("gpt-4o")
    );
    assert_eq!(
        catalog
            .nearest("claude-sonnet_4-5")
            .first()
            .map(String::as_str),
        Some("claude-sonnet-4-5")
    );
    assert_eq!(
        catalog.nearest("opnai:gpt-4o").first().map(String::as_str),
        Some("openai:gpt-4o")
    );
    assert_eq!(
        catalog.nearest("no-such-model-anywhere-at-all"),
        Vec::<String>::new()
    );
    assert_eq!(catalog.nearest(&"x".repeat(100_000)), Vec::<String>::new());
}
