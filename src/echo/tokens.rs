//! The counting rule of the echo provider. It is no tokenizer: it is a rule that anyone can check with `wc -c`.

/// Bytes of UTF-8 text that count as one token; the last, partial group counts as a whole one.
pub const BYTES_PER_TOKEN: usize = 4;

/// Tokens in `bytes` bytes of text: one for each four, rounded up, so that only nothing counts nothing.
#[must_use]
pub fn count(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

/// Cuts `text` to at most `cap` tokens, at a character boundary; says whether anything was cut off.
pub fn cut(text: &mut String, cap: u64) -> bool {
    let room = usize::try_from(cap)
        .unwrap_or(usize::MAX)
        .saturating_mul(BYTES_PER_TOKEN);
    let cut = text.len() > room;
    if cut {
        text.truncate(text.floor_char_boundary(room));
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_are_a_token_and_a_started_group_is_a_whole_one() {
        let counted: Vec<u64> = [0, 1, 4, 5, 8, 9].into_iter().map(count).collect();
        assert_eq!(counted, [0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn a_cut_never_exceeds_the_cap_nor_splits_a_character() {
        for cap in 0..8 {
            let mut text = "naïve €uro 🙂".to_owned();
            let whole = text.clone();
            let was_cut = cut(&mut text, cap);
            assert!(
                count(text.len()) <= cap.min(count(whole.len())),
                "cap {cap}: {text}"
            );
            assert!(whole.starts_with(&text));
            assert_eq!(was_cut, text != whole);
        }
        assert!(!cut(&mut "text".to_owned(), u64::MAX));
    }
}
