//! A hash that is the same in every process and release, so that gateways beside each other send a session to the same
//! replica. Not for secrets, and not for tables that a stranger fills.

/// Weyl's constant of SplitMix64: 2⁶⁴ divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits of a number over all of it (the finalizer of SplitMix64; a bijection).
#[must_use]
pub fn mix(number: u64) -> u64 {
    let mut bits = number;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The hash of parts, each with its length: `["ab", "c"]` and `["a", "bc"]` differ.
#[must_use]
pub fn of<const N: usize>(parts: [&[u8]; N]) -> u64 {
    parts.into_iter().fold(STEP, |state, part| {
        let words = part.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        let state = words.fold(state, |state, word| mix(state ^ word).wrapping_add(STEP));
        mix(state ^ part.len() as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_changes() {
        assert_eq!(of([b""]), of([b""]));
        assert_eq!(of([b"account", b"session"]), 10_876_320_126_629_142_082);
    }

    #[test]
    fn parts_and_their_borders_count() {
        let all = [
            of([b"ab", b"c"]),
            of([b"a", b"bc"]),
            of([b"abc", b""]),
            of([b"", b"abc"]),
            of([b"abc\0", b""]),
            of([b"12345678", b""]),
            of([b"123456789", b""]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn each_bit_of_a_name_moves_half_of_the_hash() {
        let base = of([b"session-0"]);
        for number in 1..100 {
            let moved = (of([format!("session-{number}").as_bytes()]) ^ base).count_ones();
            assert!((12..=52).contains(&moved), "{number}: {moved}");
        }
    }
}
