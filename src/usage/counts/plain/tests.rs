use proptest::prelude::*;
use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use super::*;
use crate::usage::counts::written::{
    CacheCreation, CachedDetails, Calls, InputDetails, OutputDetails, ServerTools, ToolCalls,
};

/// As providers write them.
const USUAL: [&str; 8] = [
    r#"{"prompt_tokens":250,"completion_tokens":16,"total_tokens":266,"prompt_tokens_details":{"cached_tokens":0}}"#,
    "{\n  \"prompt_tokens\": 19,\n  \"completion_tokens\": 10,\n  \"total_tokens\": 29,\n  \"prompt_tokens_details\": \
     {\n    \"cached_tokens\": 8,\n    \"audio_tokens\": 1\n  },\n  \"completion_tokens_details\": {\n    \
     \"reasoning_tokens\": 3,\n    \"accepted_prediction_tokens\": 0\n  }\n}",
    r#"{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2,"prompt_tokens_details":null}"#,
    r#"{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":3},"output_tokens":6,"service_tier":"standard","inference_geo":"us","server_tool_use":{"web_search_requests":1}}"#,
    r#"{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":5}"#,
    r#"{"promptTokenCount":8,"candidatesTokenCount":2,"totalTokenCount":12,"thoughtsTokenCount":2,"promptTokensDetails":[{"modality":"TEXT","tokenCount":8},{"modality":"AUDIO","tokenCount":1}]}"#,
    r#"{"prompt_tokens":1,"cost":0.00014,"is_byok":false,"cost_details":{"upstream_inference_cost":null,"a":0.5},"queue_time":0.03}"#,
    r#"{"total_tokens":20,"input_tokens":14,"output_tokens":6,"input_token_details":{"text_tokens":4,"audio_tokens":10,"cached_tokens_details":{"text_tokens":0,"audio_tokens":1}}}"#,
];

/// What serde reads.
#[allow(clippy::disallowed_methods, reason = "what this reader is held to")]
fn by_serde(object: &[u8]) -> Option<Written> {
    serde_json::from_slice(object).ok()
}

/// Whether the reader has an opinion of the object; serde is of the same then.
fn is_read(object: &[u8]) -> bool {
    let mut written = Written::default();
    let is_read = read(object, &mut written);
    if is_read {
        let text = String::from_utf8_lossy(object);
        assert_eq!(Some(written), by_serde(object), "{text}");
    }
    is_read
}

#[test]
fn what_is_usual_is_read_as_serde_reads_it() {
    for object in USUAL {
        assert!(is_read(object.as_bytes()), "{object}");
    }
}

#[test]
fn what_is_not_is_left_to_serde() {
    for object in [
        "",
        "{",
        "{}}",
        "[]",
        r#"{"prompt_tokens":1,}"#,
        r#"{"prompt_tokens":1 2}"#,
        r#"{"prompt_tokens":1.0}"#,
        r#"{"prompt_tokens":1e2}"#,
        r#"{"prompt_tokens":01}"#,
        r#"{"prompt_tokens":-1}"#,
        r#"{"prompt_tokens":"1"}"#,
        r#"{"prompt_tokens":1234567890123456789}"#,
        r#"{"prompt_tokens":1,"prompt_tokens":2}"#,
        r#"{"prompt_tokens":null,"prompt_tokens":2}"#,
        r#"{"prompt_tokens":2,"prompt_tokens":null}"#,
        r#"{"prompt_tokens_details":{},"prompt_tokens_details":{}}"#,
        r#"{"prompt_tokens_details":[1]}"#,
        r#"{"service_tier":"fl\u0065x"}"#,
        r#"{"prompt\u005ftokens":1}"#,
        r#"{"trafficType":"ON_DEMAND"}"#,
        r#"{"a":[1]}"#,
        r#"{"a":1.}"#,
        r#"{"a":nul}"#,
        r#"{"a":{"b":{"c":{"d":{"e":1}}}}}"#,
    ] {
        assert!(!is_read(object.as_bytes()), "{object}");
    }
}

#[test]
fn a_byte_more_or_less_or_another_makes_no_difference_to_serde() {
    let bytes = b"\"\\{}[]:,. 019-+eEntful\n\t\0\x7f\xc3_a";
    for object in USUAL {
        let object = object.as_bytes();
        for at in 0..object.len() {
            let (before, after) = object.split_at(at);
            is_read(before);
            is_read(&[before, &after[1..]].concat());
            for byte in bytes {
                is_read(&[before, &[*byte], after].concat());
                is_read(&[before, &[*byte], &after[1..]].concat());
            }
        }
    }
}

/// Takes the names of a struct's members from what serde is told of it.
struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = names;
        Err(Error::custom("the names are all"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn names_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    assert!(T::deserialize(Names(&mut names)).is_err());
    assert!(!names.is_empty());
    names
}

#[test]
fn every_name_that_serde_is_told_of_is_known() {
    for (before, names, after) in [
        ("", names_of::<Written>(), ""),
        (
            r#""input_tokens_details":{"#,
            names_of::<InputDetails>(),
            "}",
        ),
        (
            r#""input_tokens_details":{"cached_tokens_details":{"#,
            names_of::<CachedDetails>(),
            "}}",
        ),
        (
            r#""output_tokens_details":{"#,
            names_of::<OutputDetails>(),
            "}",
        ),
        (r#""cache_creation":{"#, names_of::<CacheCreation>(), "}"),
        (r#""server_tool_use":{"#, names_of::<ServerTools>(), "}"),
        (r#""tool_calls_details":{"#, names_of::<ToolCalls>(), "}"),
        (
            r#""tool_calls_details":{"search_web":{"#,
            names_of::<Calls>(),
            "}}",
        ),
        (
            r#""promptTokensDetails":[{"#,
            names_of::<OfModality>(),
            "}]",
        ),
    ] {
        let without = by_serde(format!("{{{before}{after}}}").as_bytes());
        for name in names.iter().filter(|name| **name != "trafficType") {
            let means_something = |value: &&str| {
                let object = format!("{{{before}\"{name}\":{value}{after}}}");
                is_read(object.as_bytes()) && by_serde(object.as_bytes()) != without
            };
            let values = ["1", "\"x\"", "{}", "[{\"tokenCount\":1}]"];
            assert!(values.iter().any(means_something), "{name}");
        }
    }
}

/// A value as it may stand under a name, most of them where it is not looked for.
fn value(name: &'static str) -> impl Strategy<Value = String> {
    let simple = prop_oneof![
        4 => (0_u64..100).prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => Just("null".to_owned()),
        1 => Just("\"flex\"".to_owned()),
        1 => Just("0.5".to_owned()),
        1 => Just("true".to_owned()),
    ];
    simple.prop_recursive(3, 12, 4, move |inner| {
        let member = (prop::sample::select(NAMES.to_vec()), inner.clone());
        let object = prop::collection::vec(member, 0..4).prop_map(move |members| object(&members));
        let list = prop::collection::vec(object.clone(), 0..3);
        let list = list.prop_map(|all| format!("[{}]", all.join(",")));
        prop_oneof![if name.ends_with("etails") { 9 } else { 1 } => object, 1 => list]
    })
}

const NAMES: [&str; 16] = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens",
    "cached_tokens_details",
    "audio_tokens",
    "reasoning_tokens",
    "service_tier",
    "cache_creation",
    "ephemeral_5m_input_tokens",
    "promptTokensDetails",
    "modality",
    "tokenCount",
    "else",
];

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    format!("{{{}}}", members.join(" ,"))
}

proptest! {
    #[test]
    fn whatever_is_read_serde_reads_as_well(
        members in prop::collection::vec(
            prop::sample::select(NAMES.to_vec())
                .prop_flat_map(|name| value(name).prop_map(move |value| (name, value))),
            0..8,
        ),
    ) {
        is_read(object(&members).as_bytes());
    }
}
