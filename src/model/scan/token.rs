//! The two scalars without quotes, byte by byte: numbers, and the words `true`, `false` and `null`.

/// How much of a number was seen (RFC 8259, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Nothing.
    Start,
    /// `-`
    Minus,
    /// A leading zero: no further digit may follow.
    Zero,
    /// Digits of the integer.
    Integer,
    /// `.`
    Point,
    /// Digits after the point.
    Fraction,
    /// `e` or `E`
    Exponent,
    /// The sign of the exponent.
    Sign,
    /// Digits of the exponent.
    Power,
}

impl Number {
    /// The state after a further byte; `None` if the byte is not part of the number.
    pub(super) const fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Start, b'-') => Some(Self::Minus),
            (Self::Start | Self::Minus, b'0') => Some(Self::Zero),
            (Self::Start | Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => {
                Some(Self::Integer)
            }
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    /// Whether the number may end here.
    pub(super) const fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Integer | Self::Fraction | Self::Power
        )
    }
}

/// How much of `true`, `false` or `null` was seen: a place in [`Word::LETTERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u8);

impl Word {
    /// The words, each ended by a blank.
    const LETTERS: &'static [u8; 16] = b"true false null ";

    /// After the `t` of `true`.
    pub(super) const TRUE: Self = Self(1);
    /// After the `f` of `false`.
    pub(super) const FALSE: Self = Self(6);
    /// After the `n` of `null`.
    pub(super) const NULL: Self = Self(12);

    /// The place after a further byte; `None` if the word goes on otherwise.
    pub(super) const fn step(self, byte: u8) -> Option<Self> {
        if byte != b' ' && Self::LETTERS[self.0 as usize] == byte {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }

    /// Whether the last letter was seen.
    pub(super) const fn is_complete(self) -> bool {
        Self::LETTERS[self.0 as usize] == b' '
    }
}

/// Whether a JSON value may begin with `byte`.
pub(super) const fn begins_value(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'{' | b'[' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9'
    )
}

/// The end of the number at `at`, if it ends in this piece. `None` if it may go on in the next, or
/// is no number: then [`Number`] says which and where. The two are the same grammar, this one being
/// the faster.
#[inline]
pub(super) fn whole_number(piece: &[u8], at: usize) -> Option<usize> {
    let start = if piece.get(at)? == &b'-' { at + 1 } else { at };
    let mut end = digits(piece, start)?;
    if piece[start] == b'0' && end > start + 1 {
        return None;
    }
    if piece.get(end)? == &b'.' {
        end = digits(piece, end + 1)?;
    }
    if matches!(piece.get(end)?, b'e' | b'E') {
        let sign = matches!(piece.get(end + 1)?, b'+' | b'-');
        end = digits(piece, end + 1 + usize::from(sign))?;
    }
    (end < piece.len()).then_some(end)
}

/// The end of the digits at `at`, of which there must be one.
#[inline]
fn digits(piece: &[u8], at: usize) -> Option<usize> {
    let end = skip_digits(piece, at);
    (end > at).then_some(end)
}

/// Passes over the digits at `at`.
#[inline]
fn skip_digits(piece: &[u8], mut at: usize) -> usize {
    while let Some(eight) = piece.get(at..).and_then(|rest| rest.first_chunk()) {
        let digits = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([b'0'; 8]);
        // A digit is now 0 to 9. Adding 6 carries into the upper half of the byte from 10 on; a
        // byte with the upper half set already may carry into its neighbour above, but only the
        // lowest such byte counts.
        let others = (digits | digits.wrapping_add(u64::from_le_bytes([6; 8])))
            & u64::from_le_bytes([0xF0; 8]);
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + piece
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// Passes over blanks at `at`, though not necessarily over all of them.
#[inline]
pub(super) fn skip_indentation(piece: &[u8], mut at: usize) -> usize {
    while let Some(eight) = piece.get(at..).and_then(|rest| rest.first_chunk()) {
        let others = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([b' '; 8]);
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the number at the start of `piece`, byte by byte. A zero before a digit is left
    /// to the slow way.
    fn stepped(piece: &[u8]) -> Option<usize> {
        let mut number = Number::Start;
        for (at, &byte) in piece.iter().enumerate() {
            match number.step(byte) {
                Some(next) => number = next,
                None => return (number.is_complete() && !byte.is_ascii_digit()).then_some(at),
            }
        }
        None
    }

    #[test]
    fn the_fast_way_through_numbers_is_the_slow_way() {
        const BYTES: &[u8] = b"0159-+.eE,";
        for code in 0..BYTES.len().pow(5) {
            let mut piece = [0; 5];
            let mut rest = code;
            for byte in &mut piece {
                *byte = BYTES[rest % BYTES.len()];
                rest /= BYTES.len();
            }
            assert_eq!(
                whole_number(&piece, 0),
                stepped(&piece),
                "{}",
                piece.escape_ascii()
            );
            let long = [&piece[..2], b"1234567890", &piece[2..], b"12345678"].concat();
            assert_eq!(
                whole_number(&long, 0),
                stepped(&long),
                "{}",
                long.escape_ascii()
            );
        }
    }

    #[test]
    fn digits_end_where_they_end() {
        for len in 0..20 {
            for other in 0..=u8::MAX {
                for after in [
                    &b"x"[..],
                    b"5x",
                    b"\xff\xff\xff\xff\xff\xff\xff\xff",
                    b"000000000000",
                ] {
                    let piece = [&b"9876543210987654321"[..len], &[other], after].concat();
                    let expected = piece
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit())
                        .count();
                    assert_eq!(skip_digits(&piece, 0), expected, "{}", piece.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn words_are_spelled_out() {
        for (start, word) in [
            (Word::TRUE, "true"),
            (Word::FALSE, "false"),
            (Word::NULL, "null"),
        ] {
            let mut seen = start;
            for &letter in &word.as_bytes()[1..] {
                assert!(!seen.is_complete());
                let steps: Vec<_> = (0..=u8::MAX)
                    .filter(|&byte| seen.step(byte).is_some())
                    .collect();
                assert_eq!(steps, [letter]);
                seen = seen.step(letter).unwrap();
            }
            assert!(seen.is_complete());
            assert!((0..=u8::MAX).all(|byte| seen.step(byte).is_none()));
        }
    }
}
