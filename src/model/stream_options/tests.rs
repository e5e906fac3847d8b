use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::super::documents;
use super::super::scan::Scanner;
use super::super::splice::splice;
use super::*;

fn members(body: &str) -> Members {
    let mut scanner = Scanner::new();
    scanner.feed(body.as_bytes()).expect("JSON");
    scanner.members().clone()
}

/// The body after it was made to ask; none where nothing was edited.
fn asked(body: &str) -> Option<String> {
    let edit = ask(body.as_bytes(), &members(body), true)?;
    let pieces = splice(&Bytes::copy_from_slice(body.as_bytes()), &[edit]).expect("fits");
    Some(String::from_utf8(pieces.as_slice().concat()).expect("text"))
}

#[test]
fn a_body_asks_for_its_usage() {
    for (options, after) in [
        ("", r#","stream_options":{"include_usage":true}"#),
        (
            r#","stream_options":null"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
        (
            r#","stream_options" : { }"#,
            r#","stream_options" : {"include_usage":true }"#,
        ),
        (
            r#","stream_options":{"include_obfuscation":false}"#,
            r#","stream_options":{"include_usage":true,"include_obfuscation":false}"#,
        ),
        (
            r#","stream_options":{"include_usage":false}"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
        (
            r#","stream_options":{ "x":[{"include_usage":1}], "include_usage" : null , "y":"\"}"}"#,
            r#","stream_options":{ "x":[{"include_usage":1}], "include_usage" : true , "y":"\"}"}"#,
        ),
        (
            r#","stream_options":{"\ud800":1}"#,
            r#","stream_options":{"include_usage":true,"\ud800":1}"#,
        ),
    ] {
        let body = |options| format!(r#"{{"model":"m","stream":true{options},"n":1}}"#);
        assert_eq!(asked(&body(options)), Some(body(after)), "{options}");
    }
    // The member goes behind `stream`, wherever that stands.
    assert_eq!(
        asked("{ \"stream\" : true }").as_deref(),
        Some("{ \"stream\" : true,\"stream_options\":{\"include_usage\":true} }")
    );
}

#[test]
fn who_asks_already_is_left_alone() {
    for options in [
        r#"{"include_usage":true}"#,
        r#"{ "a" : {} , "include_usage" : true }"#,
    ] {
        let body = format!(r#"{{"stream":true,"stream_options":{options}}}"#);
        assert_eq!(asked(&body), None, "{options}");
        assert_eq!(check(body.as_bytes(), &members(&body)), Ok(()));
    }
}

#[test]
fn what_is_not_clear_is_told() {
    for (options, unclear) in [
        ("true", Unclear::NoObject),
        ("[]", Unclear::NoObject),
        (r#""x""#, Unclear::NoObject),
        (r#"{"include_usage":"true"}"#, Unclear::NoChoice),
        (r#"{"include_usage":1}"#, Unclear::NoChoice),
        (r#"{"include_usage":{}}"#, Unclear::NoChoice),
        (
            r#"{"include_usage":true,"include_usage":true}"#,
            Unclear::Repeated,
        ),
        (
            r#"{"include_usage":true,"a":1,"include_usage":false}"#,
            Unclear::Repeated,
        ),
        (r#"{"include\u005fusage":true}"#, Unclear::Escaped),
        (
            r#"{"include_usage":true,"include_us\u0061ge":false}"#,
            Unclear::Escaped,
        ),
        (r#"{"Include_Usage":true}"#, Unclear::LookAlike),
        ("{\"include_u\u{17F}age\":true}", Unclear::LookAlike),
        (
            r#"{"include_usage":true,"INCLUDE_USAGE":false}"#,
            Unclear::LookAlike,
        ),
    ] {
        let body = format!(r#"{{"stream":true,"stream_options":{options}}}"#);
        assert_eq!(
            check(body.as_bytes(), &members(&body)),
            Err(unclear),
            "{options}"
        );
        assert_eq!(asked(&body), None, "{options}");
    }
}

#[test]
fn what_may_still_come_is_not_written_twice() {
    let begun = r#"{"model":"m","stream":true,"messages":[""#;
    assert_eq!(ask(begun.as_bytes(), &members(begun), false), None);
    let begun = r#"{"stream":true,"stream_options":{},"messages":[""#;
    assert!(ask(begun.as_bytes(), &members(begun), false).is_some());
}

proptest! {
    #![proptest_config(documents::config())]

    /// Whatever the options hold, nothing but the choice changes, and it is made.
    #[test]
    fn only_the_choice_changes(
        mut options in prop::collection::vec((documents::other_key(), documents::value()), 0..4),
        said in prop_oneof![Just(None), Just(Some("false")), Just(Some("null"))],
        place in any::<prop::sample::Index>(),
        blanks in documents::blanks(),
    ) {
        if let Some(said) = said {
            let member = ("\"include_usage\"".to_owned(), said.to_owned());
            options.insert(place.index(options.len() + 1), member);
        }
        let object = documents::object(&options, &blanks);
        let body = format!("{{\"stream\":true,\"stream_options\":{object}}}");
        let after = asked(&body).expect("an edit");
        let mut expected = entries(&object);
        expected.retain(|(key, _)| key != NAME);
        let mut got = entries(&after["{\"stream\":true,\"stream_options\":".len()..after.len() - 1]);
        let choice = got.iter().position(|(key, _)| key == NAME).expect("the choice");
        prop_assert_eq!(got.remove(choice).1, "true");
        prop_assert_eq!(got, expected);
    }
}

/// The members of an object, repeated ones included, as another parser reads them.
fn entries(object: &str) -> Vec<(String, String)> {
    struct Entries(Vec<(String, Box<RawValue>)>);
    impl<'de> serde::Deserialize<'de> for Entries {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Entries;
                fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                    out.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Entries, A::Error> {
                    let mut all = Vec::new();
                    while let Some(entry) = map.next_entry()? {
                        all.push(entry);
                    }
                    Ok(Entries(all))
                }
            }
            from.deserialize_map(Visitor)
        }
    }
    let Entries(all) = serde_json::from_str(object).expect("an object");
    let text = |(key, value): (String, Box<RawValue>)| (key, value.get().to_owned());
    all.into_iter().map(text).collect()
}
