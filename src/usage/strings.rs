//! Where a string of a JSON text ends, or has an escape. Most are short, and for those the call of a vector search is
//! dearer than a look at eight bytes at a time.

use memchr::memchr2;

/// Bytes that are looked at before a vector search begins.
const SHORT: usize = 32;

/// Bytes that are looked at together.
const WORD: usize = size_of::<u64>();

/// The place of the first quote or backslash.
#[must_use]
#[inline]
pub fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < SHORT {
        let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<WORD>()) else {
            let rest = bytes.get(at..)?;
            let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            return found.map(|found| at + found);
        };
        let found = found_in(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + (found.trailing_zeros() / u8::BITS) as usize);
        }
        at += WORD;
    }
    memchr2(b'"', b'\\', &bytes[at..]).map(|found| at + found)
}

/// The topmost bit of the lowest byte of a word that is looked for, and perhaps bits of bytes above it; 0 if none is: a
/// borrow out of a byte spoils only those above.
const fn found_in(word: u64) -> u64 {
    let (quote, escape) = (word ^ each(b'"'), word ^ each(b'\\'));
    (quote.wrapping_sub(each(1)) & !quote | escape.wrapping_sub(each(1)) & !escape) & each(0x80)
}

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_is_and_nothing_else() {
        let others = ['a', '!', '#', '[', ']', '\u{a2}', '\0', '\u{dc}'];
        for length in 0..100 {
            for other in others {
                let mut text: Vec<u8> = other.to_string().into_bytes().repeat(length);
                assert_eq!(quote_or_escape(&text), None, "{length} of {other:?}");
                for at in 0..text.len() {
                    let was = text[at];
                    for one in [b'"', b'\\'] {
                        text[at] = one;
                        assert_eq!(quote_or_escape(&text), Some(at), "{text:?}");
                        text.push(b'"');
                        assert_eq!(quote_or_escape(&text), Some(at), "{text:?}");
                        text.pop();
                    }
                    text[at] = was;
                }
            }
        }
    }
}
