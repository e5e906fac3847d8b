use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::super::documents::{blanks, config, members_of, object, other_key, string, value};
use super::super::scan::Scanner;
use super::*;

/// The obvious slow twin of [`splice`].
fn spliced(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut after = body.to_vec();
    for edit in edits.iter().rev() {
        after.splice(edit.range.clone(), edit.with.iter().copied());
    }
    after
}

fn edits_for(body: &str, name: &str) -> Result<Edits, CannotEdit> {
    let mut scanner = Scanner::new();
    scanner.feed(body.as_bytes()).unwrap();
    scanner.finish().unwrap();
    name_model(body.as_bytes(), scanner.members(), name)
}

fn renamed(body: &str, name: &str) -> String {
    let edits = edits_for(body, name).unwrap();
    let pieces = splice(&Bytes::copy_from_slice(body.as_bytes()), &edits).unwrap();
    assert_eq!(pieces.total_len(), len_after(body.len(), &edits).unwrap());
    String::from_utf8(pieces.as_slice().concat()).unwrap()
}

#[test]
fn the_model_is_replaced_and_the_list_taken_out() {
    for (body, expected) in [
        (r#"{"model":"a"}"#, r#"{"model":"new"}"#),
        (r#"{"model":"new"}"#, r#"{"model":"new"}"#),
        (r#"{"model":"ne\u0077"}"#, r#"{"model":"ne\u0077"}"#),
        (
            r#"{ "x" : 1 , "model" : "a" , "y" : [] } "#,
            r#"{ "x" : 1 , "model" : "new" , "y" : [] } "#,
        ),
        (r#"{"model":"new","models":["a"]}"#, r#"{"model":"new"}"#),
        (r#"{"models":["a"],"model":"new"}"#, r#"{"model":"new"}"#),
        (r#"{"models":["a"],"model":"a"}"#, r#"{"model":"new"}"#),
        (
            r#"{"model":"a","models":["a"],"x":1}"#,
            r#"{"model":"new","x":1}"#,
        ),
        (
            r#"{"x":1,"models":["a"],"model":"a"}"#,
            r#"{"x":1,"model":"new"}"#,
        ),
        (
            r#"{ "models" : ["a"] , "model" : "a" }"#,
            r#"{  "model" : "new" }"#,
        ),
        (
            r#"{ "model" : "a" , "models" : ["a"] }"#,
            r#"{ "model" : "new"  }"#,
        ),
        (
            "{\n  \"model\": \"a\",\n  \"models\": [\"a\"],\n  \"x\": 1\n}",
            "{\n  \"model\": \"new\",\n  \"x\": 1\n}",
        ),
        (r#"{"models":["a"]}"#, r#"{"model":"new"}"#),
        (
            r#"{"x":1, "models" : ["a"] , "y":2}"#,
            r#"{"x":1, "model":"new" , "y":2}"#,
        ),
        (r#"{"model":7,"models":null}"#, r#"{"model":"new"}"#),
        (
            r#"{"x":{"model":"a","models":[]}}"#,
            r#"{"x":{"model":"a","models":[]}}"#,
        ),
        ("{}", "{}"),
        ("\u{FEFF}{\"model\":\"a\"}", "\u{FEFF}{\"model\":\"new\"}"),
    ] {
        assert_eq!(renamed(body, "new"), expected, "{body}");
    }
}

#[test]
fn names_are_written_as_json_strings() {
    for name in [
        "",
        "gpt-4o",
        "a/b:c",
        "\"",
        "\\",
        "a\"b\\c",
        "\0\n\t\u{1f} \u{7f}",
        "modèle-漢字-🦀",
        "\u{2028}",
    ] {
        let after = renamed(r#"{"model":"other"}"#, name);
        assert_eq!(
            serde_json::from_str::<Value>(&after).unwrap()["model"],
            name,
            "{after}"
        );
        assert_eq!(renamed(&after, name), after);
    }
}

#[test]
fn what_is_repeated_is_not_edited() {
    for (body, member) in [
        (r#"{"model":"a","model":"a"}"#, Member::Model),
        (r#"{"model":"a","mod\u0065l":"b"}"#, Member::Model),
        (r#"{"models":[],"model":"a","models":[]}"#, Member::Models),
    ] {
        assert_eq!(edits_for(body, "new"), Err(CannotEdit::Repeated(member)));
    }
}

#[test]
fn the_first_part_of_a_body_can_be_edited() {
    let body = br#"{"models":["a"] , "model":"b" "#;
    let mut scanner = Scanner::new();
    scanner.feed(body).unwrap();
    let edits = name_model(body, scanner.members(), "new").unwrap();
    assert_eq!(spliced(body, &edits), br#"{ "model":"new" "#);
    for (body, expected) in [
        (&br#"{"model":"b","models":["a"]"#[..], Ok(2)),
        (br#"{"models":["a"]"#, Ok(1)),
    ] {
        let mut scanner = Scanner::new();
        scanner.feed(body).unwrap();
        assert_eq!(
            name_model(body, scanner.members(), "new").map(|edits| edits.len()),
            expected
        );
    }
    // The list comes first, and whether a comma follows is beyond the part at hand.
    let edits = name_model(&body[..16], scanner.members(), "new");
    assert_eq!(edits, Err(CannotEdit::Unfinished));
}

#[test]
fn edits_that_do_not_fit_are_refused() {
    let edit = |range: Range<usize>| Edit {
        range,
        with: Bytes::from_static(b"xy"),
    };
    let body = Bytes::from_static(b"0123456789");
    #[allow(clippy::reversed_empty_ranges)]
    let backward = 4..2;
    for edits in [
        vec![edit(9..11)],
        vec![edit(11..11)],
        vec![edit(2..4), edit(3..5)],
        vec![edit(5..6), edit(0..1)],
        vec![edit(backward)],
    ] {
        assert_eq!(splice(&body, &edits).err(), Some(Misfit), "{edits:?}");
        assert_eq!(len_after(body.len(), &edits), Err(Misfit));
    }
    for (edits, expected) in [
        (vec![], "0123456789"),
        (vec![edit(0..0)], "xy0123456789"),
        (vec![edit(10..10)], "0123456789xy"),
        (vec![edit(0..10)], "xy"),
        (vec![edit(2..4), edit(4..4), edit(4..6)], "01xyxyxy6789"),
    ] {
        assert_eq!(
            splice(&body, &edits).unwrap().as_slice().concat(),
            expected.as_bytes()
        );
        assert_eq!(len_after(body.len(), &edits), Ok(expected.len()));
    }
}

#[test]
fn an_unedited_body_is_handed_over_as_it_is() {
    let body = Bytes::from(vec![b'x'; 2 * ONE_BUFFER_MAX]);
    let pieces = splice(&body, &[]).unwrap();
    assert_eq!(pieces.as_slice().len(), 1);
    assert_eq!(pieces.as_slice()[0].as_ptr(), body.as_ptr());
    assert!(splice(&Bytes::new(), &[]).unwrap().as_slice().is_empty());
}

/// Splices a body of `before` bytes, an edit, and `after` bytes; the lengths of the pieces,
/// negative where copied.
fn shape(before: usize, after: usize) -> Vec<isize> {
    let body = Bytes::from(vec![b'x'; before + 10 + after]);
    let edits = [Edit {
        range: before..before + 10,
        with: Bytes::from_static(b"123"),
    }];
    let pieces = splice(&body, &edits).unwrap();
    assert_eq!(pieces.as_slice().concat(), spliced(&body, &edits));
    let own = body.as_ptr().addr()..=body.as_ptr().addr() + body.len();
    let lengths = pieces.as_slice().iter().map(|piece| {
        let len = isize::try_from(piece.len()).unwrap();
        if own.contains(&piece.as_ptr().addr()) {
            len
        } else {
            -len
        }
    });
    lengths.collect()
}

#[test]
fn a_short_body_becomes_one_piece_and_a_long_one_few() {
    let long = 1 << 20;
    assert_eq!(shape(5, 7), [-15]);
    assert_eq!(shape(ONE_BUFFER_MAX - 3, 0), [-(ONE_BUFFER_MAX as isize)]);
    assert_eq!(
        shape(ONE_BUFFER_MAX - 2, 0),
        [ONE_BUFFER_MAX as isize - 2, -3]
    );
    assert_eq!(shape(9, long), [-12, long as isize]);
    assert_eq!(shape(long, 1), [long as isize, -4]);
    assert_eq!(shape(0, long), [-3, long as isize]);
    assert_eq!(
        shape(long, COPIED_MAX),
        [long as isize, -3 - COPIED_MAX as isize]
    );
    assert_eq!(
        shape(long, COPIED_MAX + 1),
        [long as isize, -3, COPIED_MAX as isize + 1]
    );
    assert_eq!(shape(long, long), [long as isize, -3, long as isize]);
}

/// An object with `model` and `models` at most once each, anywhere.
fn request() -> impl Strategy<Value = String> {
    let others = prop::collection::vec((other_key(), value()), 0..6);
    let model = prop::option::of((any::<Index>(), prop_oneof![4 => string(), 1 => value()]));
    let models = prop::option::of((any::<Index>(), value()));
    (others, model, models, blanks()).prop_map(|(mut members, model, models, blanks)| {
        for (key, place) in [("\"model\"", model), ("\"models\"", models)] {
            if let Some((place, value)) = place {
                members.insert(place.index(members.len() + 1), (key.to_owned(), value));
            }
        }
        object(&members, &blanks)
    })
}

/// The members that are not edited, as they are written.
fn others(body: &str) -> Vec<(String, String)> {
    let members = members_of(body).unwrap().into_iter();
    let members = members.filter(|(key, _)| key != "model" && key != "models");
    members
        .map(|(key, value)| (key, body[value].to_owned()))
        .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_request_asks_for_the_one_model_and_is_the_same_otherwise(
        body in request(),
        name in "[a-z\"\\\\:/.é\n-]{0,12}",
    ) {
        let after = renamed(&body, &name);
        let asked_for = |body: &str, key: &str| {
            let mut members = members_of(body).unwrap().into_iter();
            members.find(|member| member.0 == key).map(|(_, value)| body[value].to_owned())
        };
        let asked_for_any = asked_for(&body, "model").or(asked_for(&body, "models")).is_some();
        let model = asked_for(&after, "model");
        let model: Option<String> = model.map(|model| serde_json::from_str(&model).unwrap());
        prop_assert_eq!(model, asked_for_any.then_some(name.clone()));
        prop_assert_eq!(asked_for(&after, "models"), None);
        prop_assert_eq!(others(&after), others(&body));
        // Once said, it need not be said again.
        prop_assert_eq!(edits_for(&after, &name), Ok(Edits::new()));
    }

    #[test]
    fn pieces_are_what_the_slow_twin_makes(
        len in prop_oneof![0..200_usize, 60_000..70_000_usize, 100_000..200_000_usize],
        places in prop::collection::vec(any::<Index>(), 0..7),
        lengths in prop::collection::vec(prop_oneof![Just(0), 0..30_usize, 0..40_000_usize], 7),
        inserts in any::<bool>(),
    ) {
        let body: Bytes = (0..len).map(|index| (index * 31 % 251) as u8).collect();
        let mut places: Vec<_> = places.iter().map(|place| place.index(len + 1)).collect();
        places.sort_unstable();
        let edits: Vec<_> = places
            .chunks(2)
            .zip(lengths)
            .map(|(ends, len)| {
                let end = if inserts { ends[0] } else { ends[ends.len() - 1] };
                Edit { range: ends[0]..end, with: vec![b'+'; len].into() }
            })
            .collect();
        let pieces = splice(&body, &edits).unwrap();
        prop_assert_eq!(pieces.as_slice().concat(), spliced(&body, &edits));
        prop_assert_eq!(pieces.total_len(), len_after(len, &edits).unwrap());
        prop_assert!(pieces.as_slice().iter().all(|piece| !piece.is_empty()));
        let most = if pieces.total_len() <= ONE_BUFFER_MAX { 1 } else { 2 * edits.len() + 1 };
        prop_assert!(pieces.as_slice().len() <= most);
    }
}
