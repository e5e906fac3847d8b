//! Random documents, and broken ones made of them, beside `serde_json`.
//!
//! Where the two differ by intent: `serde_json` refuses a byte order mark and takes any top-level
//! value.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::IgnoredAny;

use super::super::super::documents::{config, document, members_of};
use super::*;

/// The name that Go's `encoding/json` would take a key for.
fn folded(key: &str) -> String {
    key.chars()
        .map(|letter| match letter {
            '\u{17F}' => 's',
            '\u{212A}' => 'k',
            _ => letter.to_ascii_lowercase(),
        })
        .collect()
}

/// Holds the members found in a document to those that `serde_json` sees.
fn check_members(body: &str, found: &Members) {
    let seen = members_of(body).expect("a document");
    for member in Member::ALL {
        let values: Vec<_> = seen
            .iter()
            .filter(|(key, _)| key == member.name())
            .map(|(_, value)| value)
            .collect();
        assert_eq!(
            found
                .get(member)
                .map(|found| found.first().value())
                .as_ref(),
            values.first().copied(),
            "{body}"
        );
        assert_eq!(
            found.get(member).map(|found| found.last().value()).as_ref(),
            values.last().copied(),
            "{body}"
        );
        assert_eq!(
            found.is_repeated(member),
            values.len() > 1,
            "{member:?} in {body}"
        );
        let look_alike = seen
            .iter()
            .any(|(key, _)| key != member.name() && folded(key) == member.name());
        assert_eq!(
            found.has_look_alike(member),
            look_alike,
            "{member:?} in {body}"
        );
        let Some(found_here) = found.get(member) else {
            continue;
        };
        let ends = [found_here.first(), found_here.last()];
        for here in ends {
            check_occurrence(body, member, here);
        }
        let escaped_end = ends.into_iter().any(Occurrence::key_escaped);
        assert!(
            found.is_escaped(member) >= escaped_end,
            "{member:?} in {body}"
        );
        assert!(
            values.len() > 2 || found.is_escaped(member) == escaped_end,
            "{member:?} in {body}"
        );
    }
}

fn check_occurrence(body: &str, member: Member, here: &Occurrence) {
    let alone = format!("{{{}}}", &body[here.member()]);
    let seen = members_of(&alone).expect("a member");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].0, member.name());
    assert_eq!(alone[seen[0].1.clone()], body[here.value()]);
    assert_eq!(here.member().end, here.value().end);
    assert_eq!(
        here.key_escaped(),
        !alone.starts_with(&format!("{{\"{}\"", member.name())),
        "{alone}"
    );

    let value: serde_json::Result<serde_json::Value> = serde_json::from_str(&body[here.value()]);
    let text = match (here.kind(), value) {
        (Kind::Number, _) => body[here.value()]
            .starts_with(|first: char| first == '-' || first.is_ascii_digit())
            .then_some(None),
        (Kind::Null, Ok(serde_json::Value::Null))
        | (Kind::True, Ok(serde_json::Value::Bool(true)))
        | (Kind::False, Ok(serde_json::Value::Bool(false))) => Some(None),
        (Kind::Array, _) => body[here.value()].starts_with('[').then_some(None),
        (Kind::Object, _) => body[here.value()].starts_with('{').then_some(None),
        (Kind::String, Ok(serde_json::Value::String(text))) => {
            (!body[here.value()].contains('\\')).then_some(Some(text))
        }
        (Kind::EscapedString, Ok(serde_json::Value::String(text))) => {
            body[here.value()].contains('\\').then_some(Some(text))
        }
        _ => None,
    };
    let text = text.unwrap_or_else(|| panic!("{:?} is {:?}", &body[here.value()], here.kind()));
    assert_eq!(
        string_value(body.as_bytes(), here).as_deref(),
        text.as_deref()
    );
}

/// Holds the verdict on any bytes to that of `serde_json`.
fn check_verdict(body: &[u8], verdict: Result<(), Malformed>) {
    let theirs = serde_json::from_slice::<IgnoredAny>(body);
    match (verdict, &theirs) {
        (Ok(()), _) => assert!(theirs.is_ok(), "{theirs:?}: {}", body.escape_ascii()),
        (
            Err(Malformed {
                what: Flaw::NotAnObject,
                offset,
            }),
            _,
        ) => {
            let offset = usize::try_from(offset).unwrap();
            assert!(body[..offset].iter().all(u8::is_ascii_whitespace) && body[offset] != b'{');
        }
        (Err(malformed), Ok(_)) => panic!("{malformed}, but {}", body.escape_ascii()),
        (
            Err(Malformed {
                what: Flaw::Truncated,
                offset,
            }),
            Err(_),
        ) => assert_eq!(offset, body.len() as u64),
        (Err(malformed), Err(_)) => check_place(body, malformed),
    }
}

/// Up to the offending byte the body could have gone on; with it, it could not.
fn check_place(body: &[u8], malformed: Malformed) {
    let offset = usize::try_from(malformed.offset).unwrap();
    let prefix = &body[..offset];
    // `serde_json` does not call these cut off, but invalid numbers.
    if !prefix.last().is_some_and(|last| b"-+.eE".contains(last)) {
        let before = serde_json::from_slice::<IgnoredAny>(prefix);
        let viable = before.as_ref().map_or_else(serde_json::Error::is_eof, |_| {
            malformed.what == Flaw::AfterTheEnd
        });
        assert!(viable, "{malformed}, {before:?}: {}", body.escape_ascii());
    }
    // It looks at the four digits of an escape together.
    let digits: &[u8] = if malformed.what == Flaw::BadEscape {
        b"0000"
    } else {
        b""
    };
    let with = serde_json::from_slice::<IgnoredAny>(&[&body[..=offset], digits].concat());
    assert!(
        with.is_err_and(|error| error.is_syntax()),
        "{malformed}: {}",
        body.escape_ascii()
    );
}

/// A change that breaks most documents.
#[derive(Clone, Debug)]
enum Change {
    Cut,
    Remove,
    Put(u8),
    Insert(u8),
    Repeat(Index),
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let byte = || {
        prop_oneof![
            4 => select(br#"{}[]:,"\0159-+.eEtrufalsn "#.to_vec()),
            1 => select(b"\0\x1f\x7f\x80\xff\n\t\x0b/x".to_vec()),
        ]
    };
    let change = prop_oneof![
        1 => Just(Change::Cut),
        3 => Just(Change::Remove),
        3 => byte().prop_map(Change::Put),
        3 => byte().prop_map(Change::Insert),
        1 => any::<Index>().prop_map(Change::Repeat),
    ];
    (any::<Index>(), change)
}

fn broken(document: &str, changes: &[(Index, Change)]) -> Vec<u8> {
    let mut body = document.as_bytes().to_vec();
    for (place, change) in changes {
        if body.is_empty() {
            break;
        }
        let at = place.index(body.len());
        match change {
            Change::Cut => body.truncate(at),
            Change::Remove => {
                body.remove(at);
            }
            Change::Put(byte) => body[at] = *byte,
            Change::Insert(byte) => body.insert(at, *byte),
            Change::Repeat(end) => {
                let end = at + end.index(body.len() - at);
                let again = body[at..end].to_vec();
                body.splice(at..at, again);
            }
        }
    }
    body
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn documents_are_accepted_and_their_members_found(body in document()) {
        check_members(&body, &members(&body));
    }

    #[test]
    fn verdicts_on_broken_documents_are_those_of_serde_json(
        body in document(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let body = broken(&body, &changes);
        check_verdict(&body, scan(&body).0);
    }

    #[test]
    fn verdicts_on_short_nonsense_are_those_of_serde_json(
        bytes in prop::collection::vec(select(b"{}[]:,\"\\u0123.-eEtrufalsn \t".to_vec()), 0..12),
    ) {
        let places = [("", ""), (r#"{"a":"#, "}"), (r#"{"a":["#, "]}"), (r#"{"a":[{"#, "}]}")];
        for (before, after) in places {
            let body = [before.as_bytes(), &bytes, after.as_bytes()].concat();
            check_verdict(&body, scan(&body).0);
        }
    }
}
