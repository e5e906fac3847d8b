//! What is refused, and where.

use super::*;

fn check(body: &[u8], offset: usize, what: Flaw) {
    let (verdict, _) = scan(body);
    assert_eq!(
        verdict,
        Err(Malformed {
            offset: offset as u64,
            what
        }),
        "{}",
        body.escape_ascii()
    );
}

#[test]
fn the_top_level_value_must_be_an_object() {
    for body in [
        "[]",
        "\"a\"",
        "0",
        "-1",
        "true",
        "false",
        "null",
        "[{\"model\":\"m\"}]",
    ] {
        check(body.as_bytes(), 0, Flaw::NotAnObject);
        check(format!(" \n{body}").as_bytes(), 2, Flaw::NotAnObject);
        check(format!("\u{FEFF}{body}").as_bytes(), 3, Flaw::NotAnObject);
    }
}

#[test]
fn what_is_cut_off_is_truncated_at_its_length() {
    let body = "\u{FEFF} {\"a\":[1.5e+3,-0,\"x\\n\\u00e9\",{\"b\":null,\"c\":{}}],\"model\":\"m\"}";
    for len in 0..body.len() {
        check(&body.as_bytes()[..len], len, Flaw::Truncated);
    }
    assert_eq!(scan(body.as_bytes()).0, Ok(()));
}

#[test]
fn only_white_space_may_follow_the_object() {
    for after in [
        "}", "{", ",", "0", "\"", "\0", "\u{FEFF}", "\u{A0}", "\u{B}", "//",
    ] {
        check(format!("{{}} \n{after}").as_bytes(), 4, Flaw::AfterTheEnd);
        check(
            format!("{{\"a\":[]}}{after}").as_bytes(),
            8,
            Flaw::AfterTheEnd,
        );
    }
}

#[test]
fn what_cannot_begin_an_object_is_unexpected() {
    for body in [
        "}", "]", ",", ":", "x", "+1", "'", "\0", "/", "\u{B}{}", "\u{A0}{}",
    ] {
        check(body.as_bytes(), 0, Flaw::UnexpectedByte);
    }
    check(b"\xEF\xBB{}", 2, Flaw::UnexpectedByte);
    check(b"\xEF{}", 1, Flaw::UnexpectedByte);
    check(b"\xEF\xBB\xBF\xEF\xBB\xBF{}", 3, Flaw::UnexpectedByte);
    check(b" \xEF\xBB\xBF{}", 1, Flaw::UnexpectedByte);
    check(b"\xFE\xFF\0{\0}", 0, Flaw::UnexpectedByte);
    check(b"{\0}\0", 1, Flaw::UnexpectedByte);
}

/// Puts a broken value at the top level, into an array and into an object; `at` is the broken byte
/// of the value.
fn check_value(value: &str, at: usize, what: Flaw) {
    for (before, after) in [
        ("{\"model\":", "}"),
        ("{\"a\": ", " ,\"b\":0}"),
        ("{\"a\":[", "]}"),
        ("{\"a\":[0, ", " ,0]}"),
        ("{\"a\":{\"b\":", "}}"),
        ("{\"a\":[{\"b\": ", " }]}"),
    ] {
        check(
            format!("{before}{value}{after}").as_bytes(),
            before.len() + at,
            what,
        );
    }
}

#[test]
fn broken_scalars_are_refused_where_they_break() {
    for (value, at) in [
        ("00", 1),
        ("01", 1),
        ("-01", 2),
        ("-x", 1),
        ("--1", 1),
        ("+1", 0),
        (".5", 0),
        ("1.x", 2),
        ("1..2", 2),
        ("1.e1", 2),
        ("1ex", 2),
        ("1e+x", 3),
        ("1e+-1", 3),
        ("1e1.5", 3),
        ("0x1", 1),
        ("1_000", 1),
        ("1a", 1),
        ("12345678x", 8),
        ("123456789.x", 10),
        ("0.12345678x", 10),
        ("NaN", 0),
        ("Infinity", 0),
        ("-Infinity", 1),
        ("tru ", 3),
        ("trux", 3),
        ("True", 0),
        ("truee", 4),
        ("falsy", 4),
        ("nul\"", 3),
        ("nil", 1),
        ("nullx", 4),
        ("'a'", 0),
        ("a", 0),
        ("//", 0),
        ("/**/1", 0),
        ("\u{B}1", 0),
        ("\u{FEFF}1", 0),
        ("\u{A0}1", 0),
        ("", 0),
        ("true false", 5),
        ("\"a\" \"b\"", 4),
        ("1 2", 2),
        ("{} {}", 3),
        ("[] 0", 3),
    ] {
        if value.is_empty() {
            check(br#"{"a":}"#, 5, Flaw::UnexpectedByte);
            check(br#"{"a":[0,]}"#, 8, Flaw::UnexpectedByte);
            check(br#"{"a":{"b":}}"#, 10, Flaw::UnexpectedByte);
        } else {
            check_value(value, at, Flaw::UnexpectedByte);
        }
    }
}

#[test]
fn broken_strings_are_refused_where_they_break() {
    for lead in ["", "x", "é", "\\n", &"x".repeat(70), &"x".repeat(600)] {
        for (end, at) in [
            (r"\x", 1),
            (r"\'", 1),
            (r"\U0041", 1),
            (r"\u12g4", 4),
            (r"\u", 2),
            (r"\u123", 5),
            (r"\u+123", 2),
        ] {
            let value = format!("\"{lead}{end}\"");
            // Of an escape that is too short, the closing quote is the broken byte.
            check_value(&value, 1 + lead.len() + at, Flaw::BadEscape);
        }
        for control in ["\0", "\u{1}", "\t", "\n", "\r", "\u{1F}"] {
            check_value(
                &format!("\"{lead}{control}\""),
                1 + lead.len(),
                Flaw::ControlCharacter,
            );
            check_value(
                &format!("\"{lead}{control}{}\"", "x".repeat(100)),
                1 + lead.len(),
                Flaw::ControlCharacter,
            );
        }
        check(
            format!("{{\"{lead}\\x\":0}}").as_bytes(),
            3 + lead.len(),
            Flaw::BadEscape,
        );
        check(
            format!("{{\"{lead}\n\":0}}").as_bytes(),
            2 + lead.len(),
            Flaw::ControlCharacter,
        );
        check(
            format!("{{\"a\":{{\"{lead}\n\":0}}}}").as_bytes(),
            7 + lead.len(),
            Flaw::ControlCharacter,
        );
    }
}

#[test]
fn broken_structure_is_refused_where_it_breaks() {
    for (value, at) in [
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1}", 2),
        ("[}", 1),
        ("[1,,2]", 3),
        ("[:]", 1),
        ("[\"a\":1]", 4),
        ("{]", 1),
        ("{,}", 1),
        ("{1:2}", 1),
        ("{a:1}", 1),
        ("{\"a\"}", 4),
        ("{\"a\",1}", 4),
        ("{\"a\":1,}", 7),
        ("{\"a\":1]", 6),
        ("{\"a\" 1}", 5),
        ("{\"a\"::1}", 5),
        ("{\"a\":,}", 5),
        ("{\"a\":1 \"b\":2}", 7),
        ("{\"a\":1,,\"b\":2}", 7),
        ("{null:1}", 1),
        ("[1]]", 3),
        ("{}}", 2),
    ] {
        match value {
            // These close the container around them, and what then follows is broken.
            "[1]]" => check(br#"{"a":[1]]}"#, 8, Flaw::UnexpectedByte),
            "{}}" => check(br#"{"a":{}}}"#, 8, Flaw::AfterTheEnd),
            _ => check_value(value, at, Flaw::UnexpectedByte),
        }
    }
    for (body, at) in [
        ("{,}", 1),
        ("{\"a\":1,}", 7),
        ("{]", 1),
        ("{\"a\":1]", 6),
        ("{\"a\"}", 4),
        ("{1", 1),
        ("{\"a\":1;", 6),
    ] {
        check(body.as_bytes(), at, Flaw::UnexpectedByte);
    }
}

#[test]
fn containers_nested_too_deeply_are_refused_at_the_bracket() {
    for (open, brackets) in [("[", 1), ("{\"a\":", 1), ("[{\"a\":", 2)] {
        let body = format!("{{\"a\":{}", open.repeat(DEPTH_MAX));
        let place = body
            .bytes()
            .enumerate()
            .filter(|(_, byte)| matches!(byte, b'[' | b'{'))
            .nth(DEPTH_MAX)
            .unwrap()
            .0;
        assert!(brackets * DEPTH_MAX >= DEPTH_MAX);
        let verdict = in_one(body.as_bytes()).0;
        assert_eq!(
            verdict,
            Err(Malformed {
                offset: place as u64,
                what: Flaw::TooDeep
            }),
            "{open}"
        );
    }
}

#[test]
fn what_is_refused_stays_refused() {
    let mut scanner = Scanner::new();
    let malformed = Malformed {
        offset: 1,
        what: Flaw::UnexpectedByte,
    };
    assert_eq!(scanner.feed(b"{x"), Err(malformed));
    assert_eq!(scanner.feed(b"{}"), Err(malformed));
    assert_eq!(scanner.feed(b""), Err(malformed));
    assert_eq!(scanner.finish(), Err(malformed));
}

#[test]
fn members_before_the_broken_byte_stay_known() {
    let body = br#"{"model":"m","a":tru}"#;
    let (verdict, members) = scan(body);
    assert_eq!(
        verdict,
        Err(Malformed {
            offset: 20,
            what: Flaw::UnexpectedByte
        })
    );
    assert_eq!(
        &body[members.get(Member::Model).unwrap().first().value()],
        br#""m""#
    );
}

#[test]
fn messages_name_the_place() {
    let malformed = Malformed {
        offset: 17,
        what: Flaw::UnexpectedByte,
    };
    assert_eq!(
        malformed.to_string(),
        "at byte 17: unexpected byte, not valid JSON"
    );
}
