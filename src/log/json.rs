//! A JSON string, appended to a buffer: the only piece of JSON writing that the request path needs.

/// Hexadecimal digits for `\u00XX`.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as a JSON string (RFC 8259, section 7), quotes included.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    // Nearly all texts are.
    if is_clean(bytes) {
        out.extend_from_slice(bytes);
    } else {
        escaped(out, bytes);
    }
    out.push(b'"');
}

/// Whether nothing in it is to be escaped.
fn is_clean(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    if !words.iter().all(|word| is_clean_word(*word)) {
        return false;
    }
    // The last eight again, rather than what is left of them one by one.
    match bytes.last_chunk::<8>() {
        Some(last) => is_clean_word(*last),
        None => !rest.iter().any(|byte| needs_escape(*byte)),
    }
}

/// As [`is_clean`], of eight bytes at once: a byte is below `n` (up to 128) where taking `n` from it sets its highest bit, and
/// the bit was not set before. Only a byte that is found borrows from the next, so that a wrong find is never the only one.
#[inline]
fn is_clean_word(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(word);
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let found = below(word, b' ') | is(b'"') | is(b'\\') | is(0x7f);
    found & (ONES << 7) == 0
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !needs_escape(*byte) {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        escape(out, *byte);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\' || byte == 0x7f
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests read back what was written"
)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        String::from_utf8(out).expect("UTF-8 stays UTF-8")
    }

    #[test]
    fn every_character_is_read_back_as_itself() {
        let all: String = (0..=0x2fff_u32)
            .chain([0x1f980, 0x10_ffff])
            .filter_map(char::from_u32)
            .collect();
        for text in [
            "",
            "plain",
            "a\"b\\c",
            "\u{0}\u{1f}\u{7f}",
            "line\nline\r\n\ttab",
            "größe 🦀",
            "a text of more than a chunk, and at its very end a \"",
            &all,
        ] {
            let back: String = serde_json::from_str(&written(text)).expect("valid JSON");
            assert_eq!(back, text);
        }
    }

    #[test]
    fn a_byte_that_is_escaped_is_found_wherever_it_stands() {
        for length in 1..=40 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    assert_eq!(is_clean(&text), !needs_escape(byte), "{byte} in {text:?}");
                }
            }
        }
        // Beside bytes from which it might borrow, or that might hide it.
        for before in [0x00, 0x1f, 0x20, 0x7f, 0x80, 0xff] {
            for byte in 0..=u8::MAX {
                let text = [b'a', before, byte, b'b', b'c', b'd', b'e', b'f'];
                let dirty = text.iter().any(|byte| needs_escape(*byte));
                assert_eq!(is_clean(&text), !dirty, "{text:?}");
            }
        }
    }

    #[test]
    fn nothing_that_moves_a_terminal_or_ends_a_line_is_written_raw() {
        let controls: String = (0_u8..=0x7f).map(char::from).collect();
        assert!(
            written(&controls)
                .bytes()
                .all(|byte| (b' '..0x7f).contains(&byte))
        );
    }
}
