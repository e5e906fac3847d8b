//! The fast ways through long strings, held to what a string is, byte by byte: on every kind of
//! vectors that this processor has, and by the way that needs none.

use fearless_simd::Level;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::super::documents::config;
use super::super::Flaw;
use super::super::flaw::Stop;
use super::super::long::{Passed, pass_on};
use super::super::plain::BLOCK;
use super::super::string::{Ignored, InString, Text};

/// All levels that this processor has, each without the instructions of the next.
fn levels() -> Vec<Level> {
    let best = Level::new();
    #[cfg(target_arch = "x86_64")]
    let lower = [
        best.as_avx2().map(Level::Avx2),
        best.as_sse4_2().map(Level::Sse4_2),
        best.as_sse2().map(Level::Sse2),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let lower = [None];
    std::iter::once(best)
        .chain(lower.into_iter().flatten())
        .collect()
}

/// The inside of a string from a place on, by definition.
struct Definition {
    /// The places at which one may go on: between the characters, and behind the `u` of an escape,
    /// whose digits are like other characters once they are known to be there.
    places: Vec<usize>,
    /// The backslashes that begin an escape, if only a broken one.
    escapes: Vec<usize>,
    /// Where the string ends, or is broken.
    stop: Option<usize>,
}

fn by_definition(piece: &[u8], at: usize) -> Definition {
    let mut seen = Definition {
        places: vec![at],
        escapes: Vec::new(),
        stop: None,
    };
    let mut at = at;
    while at < piece.len() {
        let len = match &piece[at..] {
            [b'\\', b'u', digits @ ..] => {
                let digits = &digits[..digits.len().min(4)];
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    seen.stop = Some(at);
                }
                6
            }
            [b'\\', letter, ..] => {
                if !b"\"\\/bfnrt".contains(letter) {
                    seen.stop = Some(at);
                }
                2
            }
            [b'\\'] => 2,
            [byte, ..] => {
                if *byte < 0x20 || *byte == b'"' {
                    seen.stop = Some(at);
                }
                1
            }
            [] => break,
        };
        if piece[at] == b'\\' {
            seen.escapes.push(at);
        }
        if seen.stop.is_some() {
            break;
        }
        let next = at + len;
        if next <= piece.len() {
            seen.places.extend(next.min(at + 2)..=next);
        }
        at = next;
    }
    seen
}

/// Holds what is passed over to the definition.
fn check(piece: &[u8], at: usize) {
    let seen = by_definition(piece, at);
    for level in levels() {
        let case = || format!("{level:?} from {at}: {}", piece.escape_ascii());
        let Passed { at: to, escapes } = pass_on(level, piece, at);
        assert!(
            seen.places.binary_search(&to).is_ok(),
            "to {to}, {}",
            case()
        );
        if escapes {
            assert!(
                seen.escapes.iter().any(|&escape| escape <= to),
                "{}",
                case()
            );
        } else {
            assert!(
                seen.escapes.iter().all(|&escape| to <= escape),
                "{}",
                case()
            );
        }
        // A block must be there, and what an escape at its end may need.
        let whole = BLOCK + 4;
        match seen.stop {
            Some(stop) if piece[stop] != b'\\' && stop + whole <= piece.len() => {
                assert_eq!(to, stop, "{}", case());
            }
            Some(stop) => assert!(stop < to + whole, "to {to}, {}", case()),
            None => assert!(piece.len() < to + whole, "to {to}, {}", case()),
        }
    }
}

/// What may be in a string, and what may not.
const BITS: [&str; 28] = [
    r"\n",
    r#"\""#,
    r"\\",
    r"\/",
    r"\b",
    r"\f",
    r"\r",
    r"\t",
    r"\u00e9",
    r"\uD83E\uDD80",
    r"\\n",
    r#"\\\""#,
    r"\\\\\\",
    r#"""#,
    "\n",
    "\u{1f}",
    "\0",
    r"\x",
    r"\U0041",
    r"\u12g4",
    r"\u123",
    r"\u",
    r#"\u12""#,
    r#"\\""#,
    r"\\\x",
    "\\\n",
    "\\\u{80}",
    "\\\u{ae}",
];

#[test]
fn everything_is_found_at_every_place_around_the_borders() {
    let len = 10 * BLOCK + 20;
    for bit in BITS {
        for place in (0..len).filter(|place| (place + 7) % BLOCK < 10) {
            for lead in ["", r"\\"] {
                let mut piece = lead.as_bytes().to_vec();
                piece.resize(lead.len() + place, b'a');
                piece.extend_from_slice(bit.as_bytes());
                piece.resize(piece.len().max(lead.len() + len), b'\xe9');
                check(&piece, 0);
                check(&piece, lead.len());
                check(&piece[..lead.len() + place + bit.len()], lead.len());
            }
        }
    }
}

#[test]
fn every_byte_is_judged_by_its_definition_plain_and_escaped() {
    for byte in 0..=u8::MAX {
        // In the first block, in a group that has no escapes otherwise, and in one that has.
        for (place, other) in [(50, 0), (BLOCK + 77, 0), (6 * BLOCK + 18, 3 * BLOCK)] {
            for before in [&b""[..], b"\\", b"\\u", b"\\u00", b"\\u000", b"\\\\"] {
                let mut piece = vec![b'a'; 12 * BLOCK];
                piece[other..][..2].copy_from_slice(b"\\n");
                piece[place..][..before.len()].copy_from_slice(before);
                piece[place + before.len()] = byte;
                check(&piece, 0);
                check(&piece, 2);
            }
        }
    }
}

/// Takes down what a string says.
#[derive(Default)]
struct Told(Vec<u16>);

impl Text for Told {
    fn plain(&mut self, run: &[u8]) {
        self.0.extend(run.iter().copied().map(u16::from));
    }

    fn unit(&mut self, unit: u16) {
        self.0.push(unit);
    }
}

/// Runs through a string in pieces. Says where it ended (or broke, and why), counted from the start
/// of the first piece, and whether there were escapes.
fn run(pieces: &[&[u8]], text: &mut impl Text) -> (Result<Option<usize>, (usize, Flaw)>, bool) {
    let mut string = InString::new();
    let mut fed = 0;
    for piece in pieces {
        match string.run(piece, 0, text) {
            Ok(None) => fed += piece.len(),
            Ok(Some(end)) => return (Ok(Some(fed + end)), string.has_escapes()),
            Err(Stop { at, what }) => return (Err((fed + at, what)), string.has_escapes()),
        }
    }
    (Ok(None), string.has_escapes())
}

/// Holds the string that is skipped, in whatever pieces, to the one that is listened to.
fn check_run(string: &[u8], cuts: &[usize]) {
    let expected = run(&[string], &mut Told::default());
    assert_eq!(
        run(&[string], &mut Ignored),
        expected,
        "{}",
        string.escape_ascii()
    );
    let (mut pieces, mut rest) = (Vec::new(), string);
    for &cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    for (outcome, how) in [
        (run(&pieces, &mut Ignored), "skipped"),
        (run(&pieces, &mut Told::default()), "told"),
    ] {
        assert_eq!(
            outcome,
            expected,
            "{how}, cut by {cuts:?}: {}",
            string.escape_ascii()
        );
    }
}

/// Strings of all kinds, with a tail behind: in most of them nothing is wrong before the end.
fn string() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::collection::vec((0_usize..200, select(BITS[..13].to_vec())), 0..40);
    let dense = prop::collection::vec((0_usize..3, select(BITS[..13].to_vec())), 0..400);
    let common = prop::collection::vec((0_usize..90, select(vec![r"\n", r#"\""#])), 0..60);
    let last = (0_usize..400, select(BITS.to_vec()));
    (prop_oneof![good, dense, common], last, 0_usize..200).prop_map(|(mut bits, last, tail)| {
        bits.push(last);
        let mut string = Vec::new();
        for (plain, bit) in bits {
            string.extend("Grüße, ".bytes().cycle().take(plain));
            string.extend_from_slice(bit.as_bytes());
        }
        string.extend(b"\",\\n\n".iter().cycle().take(tail));
        string
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_passed_over_is_well_formed(string in string(), at in 0_usize..100) {
        check(&string, at.min(string.len()));
    }

    #[test]
    fn a_string_that_is_skipped_ends_where_one_that_is_told_does(
        string in string(),
        cuts in prop::collection::vec(0_usize..700, 0..6),
    ) {
        check_run(&string, &cuts);
    }
}
