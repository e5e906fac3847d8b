//! Files of one provider as an operator might layer them: few names, so that they meet, and every way to be absent.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// A file of provider `p`.
pub(super) fn file() -> impl Strategy<Value = Value> {
    let scalars = (
        of(0_u32..3),
        of(select(vec!["P", "Q"])),
        of(vec(select(vec!["a", "b"]), 0..2)),
        of(any::<bool>()),
    );
    let maps = (
        of(entries(
            select(vec!["x-a", "x-b"]),
            of(select(vec!["1", "2"])),
        )),
        of(entries(select(vec!["chat", "messages"]), of(surface()))),
        of(entries(select(vec!["f", "g"]), fact())),
        of(entries(select(vec!["m", "n.1"]), of(model()))),
        of(entries(select(vec!["f", "g"]), of(family()))),
        of(entries(
            select(vec!["v", "w"]),
            of(vec(select(vec!["m", "p:o"]), 1..3)),
        )),
    );
    (scalars, maps).prop_map(|((rank, name, aliases, disabled), maps)| {
        let (headers, surfaces, facts, models, families, virtuals) = maps;
        object([
            ("provider", Some(json!("p"))),
            ("rank", rank.map(Value::from)),
            ("name", name.map(Value::from)),
            ("aliases", aliases.map(Value::from)),
            ("disabled", disabled.map(Value::from)),
            ("headers", headers),
            ("surfaces", surfaces),
            ("facts", facts),
            ("models", models),
            ("families", families),
            ("virtual_models", virtuals),
        ])
    })
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let said = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect())
}

fn entries<V: Into<Value> + std::fmt::Debug>(
    names: impl Strategy<Value = &'static str>,
    values: impl Strategy<Value = V>,
) -> impl Strategy<Value = Value> {
    let map = btree_map(names, values, 0..3);
    map.prop_map(|map| {
        let members = map
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()));
        Value::Object(members.collect::<Map<_, _>>())
    })
}

fn family() -> impl Strategy<Value = Value> {
    let parts = (of(select(vec!["model", "weights"])), of(any::<bool>()));
    parts.prop_map(|(same, disabled)| {
        object([
            ("same", same.map(Value::from)),
            ("disabled", disabled.map(Value::from)),
        ])
    })
}

fn fact() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(1),
        json!({"x": 1}),
        json!({"y": {"z": null}}),
    ])
}

fn surface() -> impl Strategy<Value = Value> {
    let headers = entries(select(vec!["x-a", "x-c"]), of(select(vec!["1", "3"])));
    let parts = (of(select(vec!["/c", "/d"])), of(Just("q=1")), of(headers));
    parts.prop_map(|(path, query, headers)| {
        object([
            ("path", path.map(Value::from)),
            ("query", query.map(Value::from)),
            ("headers", headers),
        ])
    })
}

fn model() -> impl Strategy<Value = Value> {
    let tier =
        (1_u32..3, rates()).prop_map(|(above, price)| json!({"above": above, "price": price}));
    let tiers = || of(vec(tier.clone(), 0..2));
    let mode = (of(Just("0.5")), of(rates()), tiers()).prop_map(|(multiplier, price, tiers)| {
        object([
            ("multiplier", multiplier.map(Value::from)),
            ("price", price),
            ("tiers", tiers.map(Value::from)),
        ])
    });
    let modes = entries(select(vec!["batch", "flex"]), of(mode));
    let parts = (
        of(1_u64..3),
        of(vec(select(vec!["y", "z"]), 0..2)),
        of(rates()),
        of(modes),
        tiers(),
    );
    parts.prop_map(|(context, aliases, price, modes, tiers)| {
        object([
            ("context", context.map(Value::from)),
            ("aliases", aliases.map(Value::from)),
            ("price", price),
            ("modes", modes),
            ("tiers", tiers.map(Value::from)),
        ])
    })
}

fn rates() -> impl Strategy<Value = Value> + Clone {
    let price = of(select(vec!["1", "2.5"]));
    let map = btree_map(select(vec!["input", "output", "per_request"]), price, 0..3);
    map.prop_map(|map| json!(map))
}
