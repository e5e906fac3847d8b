//! How many tokens a text has, where nobody says it: a published rule, rounded up, that looks at bytes alone.
//!
//! Tokenizers differ, and none is at hand for most models. What they have in common is how many bytes of a kind go into
//! a token: several letters, few digits, about one sign of punctuation. The rule goes by these kinds. Its error is
//! measured and printed in `docs/credit.md`.

mod kinds;

use fearless_simd::Level;

/// Tokens that a picture or a file is taken for.
const THING: u64 = 1_600;

/// How much of each kind a text has. Fed in pieces of any size: where they are cut makes no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    bytes: u64,
    letters: u64,
    digits: u64,
    spaces: u64,
    /// Bytes of letters beyond ASCII.
    beyond: u64,
    /// Letters of two bytes: Cyrillic, Greek, Arabic, Hebrew, Latin with accents.
    two: u64,
    /// Letters of three bytes below U+2000: Devanagari, Thai and their like.
    three: u64,
    /// Letters of three bytes from U+2000 on: Chinese, Japanese, Korean, signs.
    cjk: u64,
    /// Letters of four bytes: emoji.
    four: u64,
}

impl Text {
    /// The next bytes of the text.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let (blocks, rest) = bytes.as_chunks();
        if !blocks.is_empty() {
            kinds::count(Level::new(), self, blocks);
        }
        self.few(rest);
    }

    /// What is less than a block: one simple loop a kind.
    fn few(&mut self, bytes: &[u8]) {
        self.letters += count(bytes, |byte| byte.is_ascii_alphabetic());
        self.digits += count(bytes, |byte| byte.is_ascii_digit());
        self.spaces += count(bytes, |byte| byte == b' ');
        if bytes.is_ascii() {
            return;
        }
        self.beyond += count(bytes, |byte| byte >= 0x80);
        self.two += count(bytes, |byte| (0xC0..0xE0).contains(&byte));
        self.three += count(bytes, |byte| (0xE0..0xE2).contains(&byte));
        self.cjk += count(bytes, |byte| (0xE2..0xF0).contains(&byte));
        self.four += count(bytes, |byte| byte >= 0xF0);
    }

    /// Bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tokens of the text so far, rounded up. None for no text.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        let others = self.bytes - self.letters - self.digits - self.spaces - self.beyond;
        // Hundredths of a token.
        let tokens = self.letters * 40
            + self.digits * 110
            + others * 75
            + self.two * 125
            + self.three * 115
            + self.cjk * 85
            + self.four * 150;
        let tokens = tokens.div_ceil(100);
        // Nothing but spaces is something.
        if tokens == 0 && self.bytes > 0 {
            1
        } else {
            tokens
        }
    }
}

/// How many of `bytes`, which are few, are such.
fn count(bytes: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    let few = bytes
        .iter()
        .fold(0, |count, byte| count + u8::from(is(*byte)));
    u64::from(few)
}

/// Tokens of a request whose body this is, with `things` in it that are no text, `file_bytes` of them. At least 1.
#[must_use]
pub fn input(body: &[u8], things: u64, file_bytes: u64) -> u64 {
    let mut text = Text::default();
    text.feed(body);
    let bytes = text.bytes().max(1);
    // Files are spread over the kinds as the rest is: what is left of the tokens is what is left of the bytes.
    let left = if things > 0 {
        bytes.saturating_sub(file_bytes)
    } else {
        bytes
    };
    let tokens = u128::from(text.tokens()) * u128::from(left) / u128::from(bytes);
    let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
    tokens.saturating_add(things.saturating_mul(THING)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> u64 {
        let mut whole = Text::default();
        whole.feed(text.as_bytes());
        let mut bytes = Text::default();
        for byte in text.as_bytes().chunks(1) {
            bytes.feed(byte);
        }
        assert_eq!(bytes, whole, "{text}");
        assert_eq!(whole.bytes(), text.len() as u64);
        whole.tokens()
    }

    #[test]
    fn each_kind_has_its_weight() {
        for (text, expected) in [
            ("", 0),
            (" ", 1),
            ("a", 1),
            ("abcde", 2),
            ("a b c d e", 2),
            ("1234567890", 11),
            ("{}[]", 3),
            ("\n", 1),
            ("я".repeat(4).as_str(), 5),
            ("ก".repeat(20).as_str(), 23),
            ("漢".repeat(20).as_str(), 17),
            ("🎉🎉", 3),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn every_byte_is_of_the_same_kind_in_a_block_and_alone() {
        for byte in 0..=u8::MAX {
            let mut block = Text::default();
            block.feed(&[byte; 64]);
            let mut alone = Text::default();
            (0..64).for_each(|_| alone.feed(&[byte]));
            assert_eq!(block, alone, "{byte:#x}");
        }
    }

    #[test]
    fn long_runs_are_counted_like_short_ones() {
        for length in [254, 255, 256, 510, 511, 1_000] {
            for (letter, hundredths) in [("a", 40), ("7", 110), (".", 75), ("я", 125), ("🎉", 150)]
            {
                let expected = (length as u64 * hundredths).div_ceil(100);
                assert_eq!(
                    tokens(&letter.repeat(length)),
                    expected,
                    "{length} {letter}"
                );
            }
        }
    }

    #[test]
    fn a_request_is_never_nothing_and_files_are_no_text() {
        assert_eq!(input(b"", 0, 0), 1);
        assert_eq!(input(b"{}", 0, 0), 2);
        let file = vec![b'A'; 1_000_000];
        assert_eq!(input(&file, 0, 0), 400_000);
        assert_eq!(input(&file, 1, 1_000_000), THING);
        assert_eq!(input(&file, 2, 500_000), 200_000 + 2 * THING);
        assert_eq!(input(&file, u64::MAX, u64::MAX), u64::MAX);
    }
}
