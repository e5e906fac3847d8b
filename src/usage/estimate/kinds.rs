//! Counts the bytes of each kind in long texts, 64 at once, with the widest vectors that the processor has: the whole body
//! of a charged request is counted.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use super::Text;

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 64;

/// Adds what is in the blocks, but for the number of bytes.
#[inline(never)]
pub(super) fn count(level: Level, text: &mut Text, blocks: &[[u8; BLOCK]]) {
    dispatch!(level, simd => count_with(simd, text, blocks));
}

// `inline(always)`: it must become part of what is compiled for each level.
#[inline(always)]
fn count_with<S: Simd>(simd: S, text: &mut Text, blocks: &[[u8; BLOCK]]) {
    let ones = |mask: u64| u64::from(mask.count_ones());
    for block in blocks {
        let bytes = u8x64::simd_from(simd, *block);
        let below = |first: u8, many: u8, bytes: u8x64<S>| {
            let from = bytes - u8x64::splat(simd, first);
            ones(from.simd_le(many - 1).to_bitmask())
        };
        text.letters += below(b'a', 26, bytes | 0x20);
        text.digits += below(b'0', 10, bytes);
        text.spaces += ones(bytes.simd_eq(b' ').to_bitmask());
        let beyond = below(0x80, 0x80, bytes);
        if beyond > 0 {
            text.beyond += beyond;
            text.two += below(0xC0, 0x20, bytes);
            text.three += below(0xE0, 0x02, bytes);
            text.cjk += below(0xE2, 0x0E, bytes);
            text.four += below(0xF0, 0x10, bytes);
        }
    }
}
