//! How many tokens a text has, where nobody says it: a published rule, rounded up, that looks at bytes alone.
//!
//! Tokenizers differ, and none is at hand for most models. What they have in common is how many bytes of a kind go into
//! a token: several letters, few digits, about one sign of punctuation. The rule goes by these kinds. Its error is
//! measured and printed in `docs/credit.md`.

/// Tokens that a picture or a file is taken for.
const THING: u64 = 1_600;

/// How many bytes of each kind a text has. Fed in pieces of any size: where they are cut makes no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    letters: u64,
    digits: u64,
    spaces: u64,
    wide: u64,
    others: u64,
}

impl Text {
    /// The next bytes of the text.
    pub fn feed(&mut self, bytes: &[u8]) {
        // One simple loop a kind: each is done on many bytes at a time.
        let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count() as u64;
        let letters = count(u8::is_ascii_alphabetic);
        let digits = count(u8::is_ascii_digit);
        let spaces = count(|byte| *byte == b' ');
        let wide = count(|byte| *byte >= 0x80);
        self.letters += letters;
        self.digits += digits;
        self.spaces += spaces;
        self.wide += wide;
        self.others += bytes.len() as u64 - letters - digits - spaces - wide;
    }

    /// Bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.letters + self.digits + self.spaces + self.wide + self.others
    }

    /// Tokens of the text so far, rounded up. None for no text.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let hundredths = self.letters * 25
            + self.digits * 50
            + self.spaces * 15
            + self.wide * 40
            + self.others * 60;
        hundredths.div_ceil(100)
    }
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
