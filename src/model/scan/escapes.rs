//! The escapes of a block of 64 bytes at once, as bits: bit `n` is byte `n`.

use fearless_simd::{Simd, prelude::*, u8x64};

use super::plain::BLOCK;

pub(super) const BACKSLASH: u8 = b'\\';

/// The bytes that are escaped: those behind a backslash that is not escaped itself. `open` is 1 if
/// the first byte is, 0 if not.
///
/// Of backslashes in a row every second one is escaped, and so is the byte behind the row if their
/// number is odd. The subtraction goes through each row as a borrow does, whatever its length; the
/// odd bits make rows that begin at odd and at even places come out alike. (The method is that of
/// simdjson.)
#[inline]
pub(super) const fn escaped_bytes(backslashes: u64, open: u64) -> u64 {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    let begun = backslashes & !open;
    let alternating = (begun << 1 | ODD).wrapping_sub(begun) ^ ODD;
    alternating ^ (backslashes | open)
}

/// The letters that escapes have most, each at the index of its lower half. No two have the same
/// lower half, so that one look-up tells them from all other bytes: these find another than
/// themselves.
pub(super) const COMMON_LETTERS: [u8; BLOCK] = {
    let mut row = [0; 16];
    // A zero must not find itself either.
    row[0x0] = u8::MAX;
    row[0x2] = b'"';
    row[0x4] = b't';
    row[0x6] = b'f';
    row[0xE] = b'n';
    row[0xF] = b'/';
    repeated(row)
};

// What a byte may be in an escape. A byte is of those kinds that both of its halves are of.
const QUOTE_OR_SLASH: u8 = 0x01;
const ESCAPED_BACKSLASH: u8 = 0x02;
const B_F_OR_N: u8 = 0x04;
const R_OR_T: u8 = 0x08;
const U: u8 = 0x10;
const ZERO_TO_NINE: u8 = 0x20;
const A_TO_F: u8 = 0x40;

const LETTER: u8 = QUOTE_OR_SLASH | ESCAPED_BACKSLASH | B_F_OR_N | R_OR_T | U;
const HEX_DIGIT: u8 = ZERO_TO_NINE | A_TO_F;

/// The kinds of the upper half of a byte.
const UPPER_KINDS: [u8; BLOCK] = {
    let mut row = [0; 16];
    row[0x2] = QUOTE_OR_SLASH;
    row[0x3] = ZERO_TO_NINE;
    row[0x4] = A_TO_F;
    row[0x5] = ESCAPED_BACKSLASH;
    row[0x6] = A_TO_F | B_F_OR_N;
    row[0x7] = R_OR_T | U;
    repeated(row)
};

/// The kinds of the lower half of a byte.
const LOWER_KINDS: [u8; BLOCK] = repeated([
    ZERO_TO_NINE,
    ZERO_TO_NINE | A_TO_F,
    ZERO_TO_NINE | A_TO_F | QUOTE_OR_SLASH | B_F_OR_N | R_OR_T,
    ZERO_TO_NINE | A_TO_F,
    ZERO_TO_NINE | A_TO_F | R_OR_T,
    ZERO_TO_NINE | A_TO_F | U,
    ZERO_TO_NINE | A_TO_F | B_F_OR_N,
    ZERO_TO_NINE,
    ZERO_TO_NINE,
    ZERO_TO_NINE,
    0,
    0,
    ESCAPED_BACKSLASH,
    0,
    B_F_OR_N,
    QUOTE_OR_SLASH,
]);

/// A table for look-ups, which go by sixteen bytes.
const fn repeated(row: [u8; 16]) -> [u8; BLOCK] {
    let mut table = [0; BLOCK];
    let mut index = 0;
    while index < BLOCK {
        table[index] = row[index % 16];
        index += 1;
    }
    table
}

/// What is found in a table at the lower halves of bytes.
#[inline(always)]
pub(super) fn look_up<S: Simd>(simd: S, table: [u8; BLOCK], bytes: u8x64<S>) -> u8x64<S> {
    // What a larger index finds is not the same on all processors.
    u8x64::simd_from(simd, table).swizzle_dyn_within_blocks(bytes & 0x0F)
}

/// Whether the `escaped` bytes of a block are all in their places. `after` is what follows the
/// block; where an escape goes on in there and the piece ends too soon to tell, the answer is no.
#[inline(always)]
pub(super) fn are_escapes<S: Simd>(simd: S, block: u8x64<S>, after: &[u8], escaped: u64) -> bool {
    let kinds = look_up(simd, LOWER_KINDS, block) & look_up(simd, UPPER_KINDS, block >> 4);
    let letters = (kinds & LETTER).simd_gt(0).to_bitmask();
    if escaped & !letters != 0 {
        return false;
    }
    let units = escaped & block.simd_eq(b'u').to_bitmask();
    if units == 0 {
        return true;
    }
    let digits = (kinds & HEX_DIGIT).simd_gt(0).to_bitmask();
    units & !before_four(digits, after) == 0
}

/// The bytes of a block with four hex digits behind them, of which `digits` are in the block.
#[inline(always)]
fn before_four(digits: u64, after: &[u8]) -> u64 {
    let next: &[u8; 4] = after.first_chunk().unwrap_or(&[0; 4]);
    let next = next.map(|byte| u64::from(byte.is_ascii_hexdigit()));
    let next = next[0] | next[1] << 1 | next[2] << 2 | next[3] << 3;
    (digits >> 1 | next << 63)
        & (digits >> 2 | next << 62)
        & (digits >> 3 | next << 61)
        & (digits >> 4 | next << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_backslash_of_a_row_is_escaped() {
        let mut state = 1_u64;
        for round in 0..20_000 {
            let mut dice = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state ^ state >> 32
            };
            let backslashes = match round % 4 {
                0 => dice(),
                1 => dice() & dice() & dice(),
                2 => dice() | dice() | dice(),
                _ => u64::MAX << (dice() % 64) >> (dice() % 64),
            };
            for open in [0, 1] {
                let mut is_escaped = open == 1;
                let mut expected = 0;
                for place in 0..64 {
                    expected |= u64::from(is_escaped) << place;
                    is_escaped = !is_escaped && backslashes >> place & 1 == 1;
                }
                assert_eq!(
                    escaped_bytes(backslashes, open),
                    expected,
                    "{backslashes:#066b}, open: {open}"
                );
            }
        }
    }
}
