//! Passes over long strings that are only skipped, with the widest vectors that the processor has
//! (AVX-512, AVX2 or SSE4.2 on x86-64, NEON on aarch64).
//!
//! What makes a text slow to read is an escape here and there: a branch on it is guessed wrong,
//! which takes as long as reading thousands of bytes. So there is no branch here on where escapes
//! are. Three ways lead on, each for a simpler text and faster than the one before:
//!
//! - [`pass_block`] takes any text, and finds where the string ends;
//! - [`has_common_escapes`] takes `\n`, `\"` and the like, and only says whether all is well;
//! - [`is_plain`] takes what has no escapes: base64, mostly.
//!
//! What none of them takes is left to [`super::string`], which can tell every mistake.

use fearless_simd::{Level, Simd, dispatch, mask8x64, prelude::*, u8x64};

use super::escapes::{self, BACKSLASH, COMMON_LETTERS};
use super::plain::BLOCK;

/// Blocks at the beginning of a string that are taken one by one, because many strings end there.
const FIRST_BLOCKS: usize = 1;

/// Blocks that are taken one by one from where a group could not be passed over: an escape that is
/// not common has others around it.
const CLOSE_BLOCKS: usize = 32;

/// Bytes of the blocks that are passed over together.
const GROUP: usize = 4 * BLOCK;

/// Bytes that must be left in a piece for the vectors to be worth their while.
const WORTHWHILE: usize = 2 * BLOCK;

/// How far a string was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// The place to go on at. No escape is open there; at most there are the digits of one that is
    /// known to be whole.
    pub(super) at: usize,
    /// Whether there were escapes before that place, or one begins there.
    pub(super) escapes: bool,
}

/// Passes over the inside of a string, from a place where no escape is open. All that was passed
/// over is as it must be, and the closing quote is not in it. The place that is reached is where
/// the string ends, or is broken, or not far before that or before the end of the piece.
#[inline]
pub(super) fn pass(piece: &[u8], at: usize) -> Passed {
    if piece.len().saturating_sub(at) >= WORTHWHILE {
        // Found out once, and then remembered.
        let level = Level::new();
        if has_look_up(level) {
            return pass_on(level, piece, at);
        }
    }
    Passed { at, escapes: false }
}

/// Whether there is an instruction to look up many bytes at once. Only the oldest processors have
/// none.
fn has_look_up(level: Level) -> bool {
    #[cfg(target_arch = "x86_64")]
    return level.as_sse4_2().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return !level.is_fallback();
}

/// As [`pass`], on a processor of that level.
#[inline(never)]
pub(super) fn pass_on(level: Level, piece: &[u8], at: usize) -> Passed {
    dispatch!(level, simd => pass_with(simd, piece, at))
}

// All below is `inline(always)`: it must become part of `pass_with`, which is compiled once for
// each level, because the instructions of a level are only used inside of that.

#[inline(always)]
fn pass_with<S: Simd>(simd: S, piece: &[u8], at: usize) -> Passed {
    let mut place = Place {
        at,
        open: 0,
        escapes: false,
    };
    let mut blocks = FIRST_BLOCKS;
    loop {
        for _ in 0..blocks {
            if !pass_block(simd, piece, &mut place) {
                return Passed {
                    at: place.at - usize::from(place.open != 0),
                    escapes: place.escapes,
                };
            }
        }
        pass_plain(simd, piece, &mut place);
        pass_common(simd, piece, &mut place);
        blocks = CLOSE_BLOCKS;
    }
}

/// A place in a string.
struct Place {
    at: usize,
    /// 1 if the byte before is a backslash that begins an escape, 0 if not.
    open: u64,
    /// Whether escapes were passed over.
    escapes: bool,
}

/// Passes over one block, or over what of it comes before the byte that ends the string or may not
/// stand there. Says whether it was the whole block; if not, that was all that can be passed over.
#[inline(always)]
fn pass_block<S: Simd>(simd: S, piece: &[u8], place: &mut Place) -> bool {
    let rest = piece.get(place.at..);
    let Some((block, after)) = rest.and_then(|rest| rest.split_first_chunk()) else {
        return false;
    };
    let bytes = u8x64::simd_from(simd, *block);
    let backslashes = bytes.simd_eq(BACKSLASH).to_bitmask();
    let escaped = escapes::escaped_bytes(backslashes, place.open);
    let stops = others(bytes).to_bitmask() & !escaped;
    let before_stop = stops.wrapping_sub(1) & !stops;
    if !escapes::are_escapes(simd, bytes, after, escaped & before_stop) {
        return false;
    }
    place.escapes |= escaped & before_stop != 0;
    if stops != 0 {
        place.at += stops.trailing_zeros() as usize;
        place.open = 0;
        return false;
    }
    place.at += BLOCK;
    place.open = (backslashes & !escaped) >> 63;
    true
}

/// Passes over groups in which nothing stops a string, unless there were escapes: then there will
/// be more.
#[inline(always)]
fn pass_plain<S: Simd>(simd: S, piece: &[u8], place: &mut Place) {
    if place.escapes || place.open != 0 {
        return;
    }
    while let Some(group) = piece.get(place.at..).and_then(|rest| rest.first_chunk())
        && is_plain(simd, group)
    {
        place.at += GROUP;
    }
}

/// Whether nothing in the group stops a string.
#[inline(always)]
fn is_plain<S: Simd>(simd: S, group: &[u8; GROUP]) -> bool {
    let (blocks, _) = group.as_chunks();
    let mut stops = mask8x64::splat(simd, false);
    for block in blocks {
        let bytes = u8x64::simd_from(simd, *block);
        stops |= others(bytes) | bytes.simd_eq(BACKSLASH);
    }
    !stops.any_true()
}

/// Passes over groups with no escapes but common ones.
#[inline(always)]
fn pass_common<S: Simd>(simd: S, piece: &[u8], place: &mut Place) {
    // Of two backslashes side by side, the second would be taken for the first of an escape.
    let Some(start) = place.at.checked_sub(1).filter(|&before| {
        let is_backslash = piece.get(before) == Some(&BACKSLASH);
        is_backslash == (place.open != 0)
    }) else {
        return;
    };
    let mut before = start;
    while let Some(group) = piece.get(before..).and_then(|rest| rest.first_chunk())
        && has_common_escapes(simd, group)
    {
        before += GROUP;
    }
    if before > start {
        // The first of the groups was not plain, and what is not plain in it was an escape.
        place.escapes = true;
        place.at = before + 1;
        place.open = u64::from(piece.get(before) == Some(&BACKSLASH));
    }
}

/// Whether there are none but common escapes in the group behind the first byte, and nothing that
/// may not stand there.
///
/// No letter of a common escape is a backslash, so that no two backslashes are side by side here.
/// Then a byte is escaped if it has a backslash before it, and no bits need to be counted.
#[inline(always)]
fn has_common_escapes<S: Simd>(simd: S, group: &[u8; GROUP + 1]) -> bool {
    let (befores, _) = group[..GROUP].as_chunks();
    let (blocks, _) = group[1..].as_chunks();
    let (no, yes) = (u8x64::splat(simd, 0), u8x64::splat(simd, u8::MAX));
    let mut least = yes;
    for (before, block) in befores.iter().zip(blocks) {
        let bytes = u8x64::simd_from(simd, *block);
        let escaped = u8x64::simd_from(simd, *before).simd_eq(BACKSLASH);
        let is_common = escapes::look_up(simd, COMMON_LETTERS, bytes).simd_eq(bytes);
        // Above `OTHERS_MAX` is what goes well, one way or the other.
        let verdict = escaped.select(is_common.select(yes, no), bytes ^ OTHERS_TURNED);
        least = least.min(verdict);
    }
    !least.simd_le(OTHERS_MAX).any_true()
}

/// The bytes that end a string or may not stand in it, if they are not escaped: as in
/// [`super::plain`], with one comparison.
#[inline(always)]
fn others<S: Simd>(bytes: u8x64<S>) -> mask8x64<S> {
    (bytes ^ OTHERS_TURNED).simd_le(OTHERS_MAX)
}

/// Turns the quote into 0x20, and the control characters into one another.
const OTHERS_TURNED: u8 = 0b10;
const OTHERS_MAX: u8 = 0x20;
