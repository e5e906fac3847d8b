//! The parsing tests of a public conformance corpus; `tests/data/json/README.md` says where it is
//! from.
//!
//! As they stand, and as the value of a member, because here the top-level value must be an object.

use super::*;

const CORPUS: &str = include_str!("../../../../tests/data/json/corpus.tsv");

/// The corpus as names and contents, with the two entries that are too long to be written down.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut entries: Vec<_> = CORPUS
        .lines()
        .map(|line| {
            let (name, content) = line.split_once('\t').expect("a name and its content");
            (name.to_owned(), unescape(content))
        })
        .collect();
    entries.push((
        "n_structure_100000_opening_arrays.json".into(),
        b"[".repeat(100_000),
    ));
    entries.push((
        "n_structure_open_array_object.json".into(),
        [&b"[{\"\":".repeat(50_000)[..], b"\n"].concat(),
    ));
    entries
}

/// Undoes `<[u8]>::escape_ascii`.
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, after @ ..] = rest {
        (bytes, rest) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                let byte = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
                ([bytes, vec![byte]].concat(), after)
            }
            (b'\\', [letter, after @ ..]) => {
                let byte = match letter {
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'n' => b'\n',
                    _ => *letter,
                };
                ([bytes, vec![byte]].concat(), after)
            }
            _ => ([bytes, vec![*first]].concat(), after),
        };
    }
    bytes
}

/// Cut at every byte, unless that takes minutes.
fn verdict(body: &[u8]) -> Result<(), Malformed> {
    if body.len() < 10_000 {
        scan(body).0
    } else {
        in_one(body).0
    }
}

fn as_member(content: &[u8]) -> Vec<u8> {
    [b"{\"a\":", content, b",\"model\":\"m\"}"].concat()
}

#[test]
fn the_corpus_is_whole() {
    let entries = corpus();
    let count = |prefix: &str| {
        entries
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .count()
    };
    assert_eq!((count("y_"), count("n_"), count("i_")), (95, 188, 35));
    assert_eq!(entries.len(), 95 + 188 + 35);
}

#[test]
fn what_every_parser_must_accept_is_accepted() {
    for (name, content) in corpus().iter().filter(|(name, _)| name.starts_with("y_")) {
        let (wrapped, members) = scan(&as_member(content));
        assert_eq!(wrapped, Ok(()), "{name}");
        assert!(members.get(Member::Model).is_some(), "{name}");
        let first = content
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())
            .unwrap();
        let expected = match content[first] {
            b'{' => Ok(()),
            _ => Err(Malformed {
                offset: first as u64,
                what: Flaw::NotAnObject,
            }),
        };
        assert_eq!(verdict(content), expected, "{name}");
    }
}

#[test]
fn what_every_parser_must_refuse_is_refused() {
    for (name, content) in corpus().iter().filter(|(name, _)| name.starts_with("n_")) {
        assert!(verdict(content).is_err(), "{name}");
        assert!(verdict(&as_member(content)).is_err(), "{name}");
    }
}

/// What remains to a parser's choice: how large numbers and how deep containers may be, what a
/// string may say (surrogates without their other halves, bytes that are no UTF-8), a byte order
/// mark, and other encodings. The last are refused.
#[test]
fn what_parsers_may_choose_is_accepted_but_for_other_encodings() {
    for (name, content) in corpus().iter().filter(|(name, _)| name.starts_with("i_")) {
        let accepted = match name.as_str() {
            "i_structure_UTF-8_BOM_empty_object.json" => verdict(content).is_ok(),
            _ => verdict(&as_member(content)).is_ok(),
        };
        assert_eq!(
            accepted,
            !name.contains("UTF-16") && !name.contains("utf16"),
            "{name}"
        );
    }
}
