//! Random JSON documents, as text with all its freedoms (white space, escapes, member order), for
//! the tests of this module; and the slow twin that says what is in them.

use std::fmt;
use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The same documents in every run, unless `PROPTEST_RNG_SEED` says otherwise; `PROPTEST_CASES`
/// says how many.
pub(super) fn config() -> Config {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(8259);
    }
    config
}

/// White space between two tokens. Mostly none.
fn blank() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "",
        "",
        "",
        " ",
        "\n",
        "\r\n",
        "\t",
        "  ",
        "\n        ",
        "\n\t ",
        "\n                   \n",
    ])
}

const PLAIN: &[&str] = &[
    "a", "model", "Grüße", "漢字", "🦀", "/", "{", "]", ":", ",", " ", "\u{7f}", "\u{2028}",
];

const ESCAPED: &[&str] = &[
    r#"\""#,
    r"\\",
    r"\/",
    r"\b",
    r"\f",
    r"\n",
    r"\r",
    r"\t",
    r"\u0000",
    r"\u00E9",
    r"\uFFFF",
    r"\ud83e\udd80",
    r#"\"model\":\"x\","#,
];

/// The inside of a string.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => select(PLAIN).prop_map(String::from),
        3 => select(ESCAPED).prop_map(String::from),
        1 => prop_oneof![9 => 0_usize..20, 1 => 20_usize..140].prop_map(|n| "long ".repeat(n)),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

/// A string with its quotes.
pub(super) fn string() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("\"{text}\""))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i32>().prop_map(|number| number.to_string()),
        any::<f32>()
            .prop_filter("JSON has none other", |number| number.is_finite())
            .prop_map(|number| number.to_string()),
        select(vec![
            "0",
            "-0",
            "0.0",
            "1e400",
            "-1E-400",
            "12345678",
            "123456789",
            "0.12345678",
            "9E+07",
            "10",
            "1.5e0"
        ])
        .prop_map(String::from),
    ]
}

/// Any value.
pub(super) fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string(),
        number(),
        select(vec!["true", "false", "null", "[]", "{}", "[ ]", "{\n}"]).prop_map(String::from),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec((blank(), inner.clone(), blank()), 0..4).prop_map(|items| {
                let items: Vec<_> = items
                    .iter()
                    .map(|(before, item, after)| format!("{before}{item}{after}"))
                    .collect();
                format!("[{}]", items.join(","))
            }),
            (prop::collection::vec((any_key(), inner), 0..4), blanks())
                .prop_map(|(members, blanks)| object(&members, &blanks)),
        ]
    })
}

/// A key that means nothing at the top level.
pub(super) fn other_key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "messages",
            "functions",
            "model_",
            "mode",
            "modelss",
            "input",
            "",
            "a.model",
            "metadata"
        ])
        .prop_map(|name| format!("\"{name}\"")),
        text()
            .prop_filter("must not be a name", |text| text != "model")
            .prop_map(|text| format!("\"{text}\"")),
    ]
}

/// A key that may be one of the names, in any spelling.
fn any_key() -> impl Strategy<Value = String> {
    let name = select(
        super::scan::Member::ALL
            .map(super::scan::Member::name)
            .to_vec(),
    );
    prop_oneof![
        other_key(),
        name.clone().prop_map(|name| format!("\"{name}\"")),
        (name.clone(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
            |(name, place, capital)| {
                let place = place.index(name.len());
                let code = u32::from(name.as_bytes()[place]);
                let code = if capital {
                    format!("{code:04X}")
                } else {
                    format!("{code:04x}")
                };
                format!("\"{}\\u{code}{}\"", &name[..place], &name[place + 1..])
            }
        ),
        (
            name,
            select(vec![
                ["m", "M"],
                ["s", "\u{17F}"],
                ["k", "\\u212a"],
                ["o", "O"],
                ["_", "-"]
            ])
        )
            .prop_map(|(name, [from, to])| format!("\"{}\"", name.replacen(from, to, 1))),
    ]
}

/// White space for [`object`], which takes it in turn.
pub(super) fn blanks() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(blank(), 1..8)
}

/// An object of these keys and values.
pub(super) fn object(members: &[(String, String)], blanks: &[&str]) -> String {
    let mut blanks = blanks.iter().cycle();
    let mut blank = || blanks.next().copied().unwrap_or_default();
    let mut text = format!("{}{{{}", blank(), blank());
    for (index, (key, value)) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        text += &format!(
            "{comma}{}{key}{}:{}{value}{}",
            blank(),
            blank(),
            blank(),
            blank()
        );
    }
    text + "}" + blank()
}

/// A document: an object at the top.
pub(super) fn document() -> impl Strategy<Value = String> {
    (prop::collection::vec((any_key(), value()), 0..7), blanks())
        .prop_map(|(members, blanks)| object(&members, &blanks))
}

/// The top-level members of a document in order: decoded keys, and the places of the values. `None`
/// if it is no object.
pub(super) fn members_of(document: &str) -> Option<Vec<(String, Range<usize>)>> {
    let Listed(members) = serde_json::from_str(document).ok()?;
    let place = |value: &RawValue| {
        let start = value.get().as_ptr().addr() - document.as_ptr().addr();
        start..start + value.get().len()
    };
    Some(
        members
            .into_iter()
            .map(|(key, value)| (key, place(value)))
            .collect(),
    )
}

/// An object as a list, so that repeated members and their order can be seen.
struct Listed<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Listed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Listed<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Listed(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
