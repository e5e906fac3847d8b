//! The scanner on documents written down here ([`found`], [`refused`]), on random ones beside
//! `serde_json` ([`generated`]), and on a public conformance corpus ([`corpus`]). Every document is
//! cut at every byte. Long strings, and all ways through them, have tests of their own ([`long`]).

mod corpus;
mod found;
mod generated;
mod long;
mod refused;

use super::*;

/// What a scanner says of a whole body.
type Outcome = (Result<(), Malformed>, Members);

fn outcome(mut scanner: Scanner, last: &[u8]) -> Outcome {
    let _ = scanner.feed(last);
    (scanner.finish(), scanner.members().clone())
}

fn in_one(body: &[u8]) -> Outcome {
    outcome(Scanner::new(), body)
}

/// The outcome, which must be the same in one piece, in two pieces cut anywhere, and byte by byte.
fn scan(body: &[u8]) -> Outcome {
    let whole = in_one(body);
    let mut bytes = Scanner::new();
    for cut in 0..=body.len() {
        let (first, second) = body.split_at(cut);
        let mut scanner = Scanner::new();
        let _ = scanner.feed(first);
        assert_eq!(
            outcome(scanner, second),
            whole,
            "cut at {cut}: {}",
            body.escape_ascii()
        );
        // At this point the byte by byte scanner has seen the same as the other.
        if let Some(byte) = body.get(cut) {
            let _ = bytes.feed(std::slice::from_ref(byte));
        }
    }
    assert_eq!(
        outcome(bytes, b""),
        whole,
        "byte by byte: {}",
        body.escape_ascii()
    );
    whole
}

/// The members of a body that must be accepted.
fn members(body: &str) -> Members {
    let (verdict, members) = scan(body.as_bytes());
    assert_eq!(verdict, Ok(()), "{body}");
    members
}

/// The value of a member that must be there once, as it is written.
fn raw<'a>(body: &'a str, members: &Members, member: Member) -> &'a str {
    let found = members
        .get(member)
        .unwrap_or_else(|| panic!("{member:?} in {body}"));
    assert_eq!(found.first(), found.last(), "{body}");
    &body[found.first().value()]
}
