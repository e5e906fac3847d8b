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
    let (chunks, rest) = bytes.as_chunks::<16>();
    let (halves, rest) = rest.as_chunks::<8>();
    chunks.iter().all(is_clean_chunk)
        && halves.iter().all(is_clean_chunk)
        && !rest.iter().any(|byte| needs_escape(*byte))
}

/// As [`is_clean`], of so many bytes. To look at each of them, without stopping at a first one, is what vectorizes.
#[inline]
fn is_clean_chunk<const N: usize>(chunk: &[u8; N]) -> bool {
    let dirty = |dirty, byte: &u8| dirty | needs_escape(*byte);
    !chunk.iter().fold(false, dirty)
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
    fn nothing_that_moves_a_terminal_or_ends_a_line_is_written_raw() {
        let controls: String = (0_u8..=0x7f).map(char::from).collect();
        assert!(
            written(&controls)
                .bytes()
                .all(|byte| (b' '..0x7f).contains(&byte))
        );
    }
}
