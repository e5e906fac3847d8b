//! Pairs of catalogs, and what changes between them for users.

use serde_json::{Value, json};

use super::model::percent;
use super::{Effect, Kind, diff};
use crate::catalog::outline::Outline;
use crate::catalog::{Files, Overrides, resolve};

/// The outline of a catalog of these files alone.
fn outline(files: &[Value]) -> Outline {
    outline_but(files, "")
}

/// The same, with a provider switched off.
fn outline_but(files: &[Value], off: &str) -> Outline {
    let mut all = Files::empty();
    for (at, file) in files.iter().enumerate() {
        all.add_text(&format!("{at}.json"), file.to_string());
    }
    let catalog = resolve(&all, &Overrides::default()).expect("a catalog");
    Outline::of(&catalog, |id| *catalog.provider(id).id != *off)
}

/// A provider on chat and embeddings, with these models.
fn provider(id: &str, models: Value) -> Value {
    json!({
        "provider": id, "base_url": format!("https://{id}.example/v1"), "auth": "bearer",
        "surfaces": {"chat": {"path": "/chat/completions"}, "embeddings": {"path": "/embeddings"}},
        "models": models,
    })
}

fn with(mut file: Value, member: &str, value: Value) -> Value {
    file[member] = value;
    file
}

/// The changes as they are told.
fn told(old: &Outline, new: &Outline) -> Vec<String> {
    diff(old, new).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(old: &[Value], new: &[Value], expected: &[&str]) {
    assert_eq!(told(&outline(old), &outline(new)), expected);
}

#[test]
fn nothing_has_changed() {
    let files = [
        provider(
            "a",
            json!({"m": {"price": {"input": "1"}, "aliases": ["x"]}}),
        ),
        json!({"virtual_models": {"v": ["a:m"]}}),
    ];
    check(&files, &files, &[]);
}

#[test]
fn a_price_says_by_how_much() {
    let old = json!({"m": {"price": {"input": "2", "output": "8", "cached_input": "0.5"}, "modes": {"batch": {"multiplier": "0.5"}}}});
    let new = json!({"m": {"price": {"input": "2.5", "output": "6", "cache_write": "1"}, "modes": {"batch": {"multiplier": "0.75"}}}});
    check(
        &[provider("a", old)],
        &[provider("a", new)],
        &[
            "a:m: batch factor 0.5 -> 0.75 (+50.0 %)",
            "a:m: input 2 -> 2.5 (+25.0 %)",
            "a:m: cached_input has no price any more, was 0.5",
            "a:m: output 8 -> 6 (-25.0 %)",
            "a:m: cache_write has a price: 1",
        ],
    );
}

#[test]
fn percent_has_one_decimal_and_no_rounding_error() {
    for (was, is, expected) in [
        (3, 4, Some("+33.3")),
        (3, 2, Some("-33.3")),
        (2_000, 2_001, Some("+0.1")),
        (1, u64::MAX, Some("+1844674407370955161400.0")),
        (u64::MAX, 1, Some("-100.0")),
        (7, 7, Some("+0.0")),
        (0, 5, None),
    ] {
        assert_eq!(percent(was, is).as_deref(), expected, "{was} to {is}");
    }
    // From nothing to something is up, by no percentage.
    let at = |amount: &str| [provider("a", json!({"m": {"price": {"input": amount}}}))];
    check(&at("0"), &at("1"), &["a:m: input 0 -> 1"]);
}

#[test]
fn models_come_go_and_are_deprecated() {
    let old = json!({"gone": {}, "removed": {}, "old": {}, "back": {"status": "removed"}, "forgotten": {"status": "removed"}});
    let new = json!({"new": {}, "removed": {"status": "removed"}, "old": {"status": "deprecated", "retires": "2027-01-31"}, "back": {}, "stillborn": {"status": "removed"}});
    check(
        &[provider("a", old)],
        &[provider("a", new)],
        &[
            "a:gone: the model is gone",
            "a:removed: the model is gone",
            "a:back: a new model",
            "a:new: a new model",
            "a:old: deprecated, ends 2027-01-31",
        ],
    );
}

#[test]
fn a_name_that_goes_elsewhere_is_worse_than_one_that_means_another_model() {
    let old = [
        provider(
            "a",
            json!({"m1": {"aliases": ["latest", "both"]}, "m2": {}}),
        ),
        provider("b", json!({"m1": {}, "mb": {"aliases": ["both"]}})),
    ];
    let new = [
        provider("a", json!({"m1": {}, "m2": {"aliases": ["latest"]}})),
        with(
            provider("b", json!({"m1": {}, "mb": {"aliases": ["both"]}})),
            "default_for",
            json!(["m1"]),
        ),
    ];
    check(
        &old,
        &new,
        &[
            "`both`: goes to b:mb, went to a:m1",
            "`m1`: goes to b:m1, went to a:m1",
            "`latest`: goes to a:m2, went to a:m1",
        ],
    );
    let changes = diff(&outline(&old), &outline(&new));
    assert_eq!(changes[0].effect, Effect::Worse);
    assert_eq!(
        (changes[2].kind, changes[2].effect),
        (Kind::NameChanged, Effect::Other)
    );
}

#[test]
fn an_alias_that_means_nothing_any_more_is_named_and_its_model_is_not() {
    check(
        &[provider("a", json!({"m": {"aliases": ["x"]}, "n": {}}))],
        &[provider("a", json!({"n": {}}))],
        &["a:m: the model is gone", "`x`: means nothing, meant a:m"],
    );
}

#[test]
fn a_provider_that_goes_is_one_change_whatever_it_had() {
    let a = provider(
        "a",
        json!({"m": {}, "n": {}, "gone": {"status": "removed"}}),
    );
    let b = provider("b", json!({"m": {}}));
    let both = outline(&[a.clone(), b.clone()]);
    assert_eq!(
        told(&both, &outline(std::slice::from_ref(&b))),
        [
            "a: the provider is gone, with 2 models",
            "`m`: goes to b:m, went to a:m"
        ]
    );
    assert_eq!(
        told(&both, &outline_but(&[a.clone(), b], "a")),
        [
            "a: the provider is switched off, with 2 models",
            "`m`: goes to b:m, went to a:m"
        ]
    );
    let alone = [provider("b", json!({"m": {}}))];
    assert_eq!(
        told(&outline(&alone), &both),
        [
            "`m`: goes to a:m, went to b:m",
            "a: a new provider, with 2 models"
        ]
    );
    // What was off before and is gone now was nothing to anybody.
    let off = outline_but(&[a, provider("b", json!({"m": {}}))], "a");
    assert_eq!(told(&off, &outline(&alone)), Vec::<String>::new());
}

#[test]
fn a_surface_is_lost_by_the_provider_or_by_one_model() {
    let models = json!({"m": {"kind": "chat"}, "e": {"kind": "embedding"}});
    let whole = provider("a", models.clone());
    let no_embeddings = with(
        provider("a", models),
        "surfaces",
        json!({"chat": {"path": "/chat/completions"}}),
    );
    check(
        std::slice::from_ref(&whole),
        std::slice::from_ref(&no_embeddings),
        &["a: no longer served on `embeddings`"],
    );
    check(
        &[no_embeddings],
        std::slice::from_ref(&whole),
        &["a: served on `embeddings`"],
    );
    let mute = with(
        whole.clone(),
        "models",
        json!({"m": {"kind": "chat", "surfaces": []}, "e": {"kind": "embedding"}}),
    );
    check(&[whole], &[mute], &["a:m: no longer served on `chat`"]);
}

#[test]
fn limits_addresses_and_prefixes() {
    let old = with(
        provider("a", json!({"m": {"context": 1000, "max_output": 10}})),
        "aliases",
        json!(["Alpha"]),
    );
    let new = with(
        provider("a", json!({"m": {"context": 500, "max_output": 20}})),
        "base_url",
        json!("https://other.example/v1"),
    );
    check(
        &[old],
        &[new],
        &[
            "a: no longer called `alpha`",
            "a:m: context 1000 -> 500",
            "a:m: max_output 10 -> 20",
            "a: is at https://other.example/v1, was at https://a.example/v1",
        ],
    );
}

#[test]
fn virtual_models_are_followed_model_by_model() {
    let providers = [
        provider("a", json!({"m": {}, "n": {}})),
        provider("b", json!({"m": {}})),
    ];
    let files = |lists: Value| {
        let mut files = providers.to_vec();
        files.push(json!({"virtual_models": lists}));
        outline(&files)
    };
    let old = files(json!({
        "gone": ["a:m"], "moved": ["a:m", "b:m"], "shorter": ["a:m", "b:m"], "turned": ["a:m", "a:n"], "same": ["a:m"],
    }));
    let new = files(json!({
        "moved": ["b:m", "a:m"], "shorter": ["a:m"], "turned": ["a:n", "a:m"], "same": ["a:m"], "new": ["b:m"],
    }));
    assert_eq!(
        told(&old, &new),
        [
            "`gone`: the virtual model is gone; it was a:m",
            "`moved`: begins with b:m, began with a:m",
            "`shorter`: has lost b:m",
            "`new`: a new virtual model: b:m",
            "`moved`: is b:m, a:m, was a:m, b:m",
            "`turned`: is a:n, a:m, was a:m, a:n",
        ]
    );
    // A list that takes the name of a model takes its requests.
    let plain = outline(&providers);
    let hidden = files(json!({"n": ["b:m", "a:n"]}));
    assert_eq!(
        told(&plain, &hidden),
        [
            "`n`: goes to b:m, went to a:n",
            "`n`: a new virtual model: b:m, a:n"
        ]
    );
}

#[test]
fn what_ships_survives_the_way_through_json() {
    let catalog = resolve(&Files::builtin(), &Overrides::default()).expect("good");
    let outline = Outline::of(&catalog, |_| true);
    let text = serde_json::to_string(&outline).expect("JSON");
    let back: Outline = serde_json::from_str(&text).expect("an outline");
    assert!(back == outline && outline.names.len() > 1000);
    assert_eq!(diff(&outline, &back), []);
}
