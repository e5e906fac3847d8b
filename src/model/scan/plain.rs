//! Finds the bytes of a string that mean something, 64 at a time. Long strings that are only skipped
//! are passed over by [`super::long`] before they come here, where the processor can.
//!
//! The loops are written so that the compiler makes vector instructions of them on every target
//! (SSE2 on x86-64, NEON on aarch64), and few branches, because a branch on what a text says is
//! guessed wrong. Where a string is long, [`memchr`] takes over. The tests hold all of it to the
//! plain definition; its speed is what `benches/scan.rs` measures.

/// Bytes looked at together.
pub(super) const BLOCK: usize = 64;

/// Blocks without a stop after which a string is taken for a long one (base64, mostly), and
/// searched otherwise.
const QUIET_BLOCKS: usize = 4;

/// Bytes of a long string that are searched twice in a row, while they are near.
const WINDOW: usize = 4096;

/// Bytes that are searched for control characters together, so that the time does not hang on the
/// loop around them.
const STRETCH: usize = 256;

/// The first block at or after `at` with a byte that stops a string: where it begins, and its stops
/// (bit `n` is byte `n`). No stops, and the end of the piece, if there are none.
#[inline]
pub(super) fn find_stops(piece: &[u8], mut at: usize) -> (usize, u64) {
    let mut quiet = 0;
    while let Some(block) = piece.get(at..).and_then(|rest| rest.first_chunk()) {
        if any_stop(block) {
            return (at, stop_bits(block));
        }
        at += BLOCK;
        quiet += 1;
        if quiet == QUIET_BLOCKS {
            at = skip_long(piece, at);
            quiet = 0;
        }
    }
    find_last_stops(piece, at)
}

/// As [`find_stops`], where less than a block is left.
#[inline(never)]
fn find_last_stops(piece: &[u8], at: usize) -> (usize, u64) {
    let stops = if let Some(block) = piece.last_chunk() {
        let before = BLOCK - (piece.len() - at);
        u32::try_from(before)
            .ok()
            .and_then(|before| stop_bits(block).checked_shr(before))
            .unwrap_or(0)
    } else {
        let mut block = [b' '; BLOCK];
        for (place, &byte) in block.iter_mut().zip(piece.get(at..).unwrap_or_default()) {
            *place = byte;
        }
        stop_bits(&block)
    };
    (if stops == 0 { piece.len() } else { at }, stops)
}

/// The closing quote of a short string that is plain from `at` on; `None` if it is not so short, or
/// not so plain, or if the piece ends too soon to tell.
///
/// Eight bytes at a time: that takes longer for a byte than [`stop_bits`], and is there sooner for
/// the short strings that most strings are.
#[inline]
pub(super) fn find_quote(piece: &[u8], at: usize) -> Option<usize> {
    let mut rest = piece.get(at..)?;
    for _ in 0..BLOCK / 8 {
        let (word, after) = rest.split_first_chunk()?;
        let stops = lowest_stop(u64::from_le_bytes(*word));
        if stops != 0 {
            let quote = piece.len() - rest.len() + stops.trailing_zeros() as usize / 8;
            return (piece.get(quote) == Some(&b'"')).then_some(quote);
        }
        rest = after;
    }
    None
}

/// The topmost bit of the lowest byte of a word that stops a string, and perhaps bits of bytes
/// above it; 0 if none does.
///
/// Subtracting takes a borrow out of a byte that is too small, and the borrow may spoil the bytes
/// above, but only those: below the first stop there is none.
const fn lowest_stop(word: u64) -> u64 {
    let low = word ^ each(0b10);
    let backslash = word ^ each(b'\\');
    (low.wrapping_sub(each(0x21)) & !low | backslash.wrapping_sub(each(1)) & !backslash)
        & each(0x80)
}

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Passes over blocks in which nothing stops a string. Fast on thousands of bytes: `memchr` takes
/// the widest vectors that the processor has. The block before `at` must be without stops.
#[inline(never)]
fn skip_long(piece: &[u8], mut at: usize) -> usize {
    // Back to the beginning of a cache line: across two, loads take a third longer.
    let rest = piece.get(at..).unwrap_or_default();
    at = at.saturating_sub(rest.as_ptr().addr() % BLOCK);
    while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
        let window = &rest[..rest.len().min(WINDOW)];
        let stop = memchr::memchr2(b'"', b'\\', window);
        let (stretches, rest) = window[..stop.unwrap_or(window.len())].as_chunks::<STRETCH>();
        // What is left of a block is looked at again, which is faster than byte by byte here.
        let (blocks, _) = rest.as_chunks::<BLOCK>();
        if stretches.iter().any(|stretch| least(stretch) < b' ')
            || blocks.iter().any(|block| least(block) < b' ')
        {
            break;
        }
        at += STRETCH * stretches.len() + BLOCK * blocks.len();
        if stop.is_some() || window.len() < WINDOW {
            break;
        }
    }
    at
}

/// The least byte.
#[inline]
fn least<const LEN: usize>(bytes: &[u8; LEN]) -> u8 {
    bytes.iter().fold(u8::MAX, |least, &byte| least.min(byte))
}

/// Whether a byte ends a string, begins an escape, or may not stand in a string: `"`, `\`, or below
/// 0x20.
///
/// With bit 1 turned over, the quote (0x22) becomes 0x20 and the control characters stay among
/// themselves, so that one comparison finds both. With `||` there would be a branch, and no vector.
const fn stops(byte: u8) -> bool {
    ((byte ^ 0b10) <= 0x20) | (byte == b'\\')
}

/// Whether any byte of the block stops a string.
#[inline]
fn any_stop(block: &[u8; BLOCK]) -> bool {
    block
        .iter()
        .fold(0, |any, &byte| any | u8::from(stops(byte)))
        != 0
}

/// The bytes of the block that stop a string: bit `n` is byte `n`.
#[inline]
fn stop_bits(block: &[u8; BLOCK]) -> u64 {
    let flags = block.map(|byte| u8::from(stops(byte)));
    let (words, _) = flags.as_chunks::<8>();
    let bits = |index: usize| gather(u64::from_le_bytes(words[index])) << (8 * index);
    // Two by two, because the result is waited for.
    ((bits(0) | bits(1)) | (bits(2) | bits(3))) | ((bits(4) | bits(5)) | (bits(6) | bits(7)))
}

/// The lowest bits of the eight bytes of a word, side by side. The multiplication moves each to a
/// place of its own in the topmost byte; no two products meet, so that nothing is carried.
const fn gather(word: u64) -> u64 {
    word.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops_by_definition(byte: u8) -> bool {
        byte == b'"' || byte == b'\\' || byte < 0x20
    }

    /// Holds the searches to the obvious one, from `at` on.
    fn check(piece: &[u8], at: usize) {
        let first = (at..piece.len()).find(|&place| stops_by_definition(piece[place]));
        let (start, stops) = find_stops(piece, at);
        assert!(at <= start && start <= piece.len());
        match first {
            None => assert_eq!((start, stops), (piece.len(), 0)),
            Some(first) => {
                let expected = piece[start..].iter().take(BLOCK).rev();
                let expected = expected.fold(0, |bits, &byte| {
                    bits << 1 | u64::from(stops_by_definition(byte))
                });
                assert_eq!(stops, expected, "{} from {at}", piece.escape_ascii());
                assert_eq!(
                    start + stops.trailing_zeros() as usize,
                    first,
                    "{} from {at}",
                    piece.escape_ascii()
                );
            }
        }
        let whole_words = (piece.len() - at) / 8 * 8;
        let near =
            first.filter(|&first| first < at + whole_words.min(BLOCK) && piece[first] == b'"');
        assert_eq!(
            find_quote(piece, at),
            near,
            "{} from {at}",
            piece.escape_ascii()
        );
    }

    #[test]
    fn every_byte_at_every_place_is_judged_by_its_definition() {
        for place in 0..BLOCK {
            for byte in 0..=u8::MAX {
                let mut block = [b'a'; BLOCK];
                block[place] = byte;
                check(&block, 0);
            }
        }
    }

    #[test]
    fn neighbours_do_not_disturb_each_other() {
        let mut state = 1_u64;
        for round in 0..2000 {
            let piece = [(); 2 * BLOCK].map(|()| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                b"\"\\\n\x1f\x20!#[]\x7f\x80\xa2\xdc\xff"[(state >> 33) as usize % 14]
            });
            check(&piece, round % BLOCK);
        }
    }

    #[test]
    fn the_first_stop_is_found_from_every_place_at_every_distance() {
        for len in [0, 1, 63, 64, 65, 300, 2 * WINDOW + 300] {
            for stop in [b'"', b'\\', b'\n', 0x1F] {
                let mut piece = vec![b'a'; len];
                for at in [0, 1, 7, 64, 100].into_iter().filter(|&at| at <= len) {
                    check(&piece, at);
                }
                let step = if len > 1000 { 61 } else { 1 };
                for place in (0..len).step_by(step) {
                    piece[place] = stop;
                    for at in [0, 1, 8, 63].into_iter().filter(|&at| at <= place) {
                        check(&piece, at);
                    }
                    piece[place] = b'a';
                }
            }
        }
    }
}
