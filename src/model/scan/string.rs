//! The inside of strings: escapes are checked, and told to a [`Text`] that wants to know what the
//! string says.

use super::flaw::Stop;
use super::long;
use super::plain::{self, BLOCK};

/// Takes what a string says, piece by piece.
pub(super) trait Text {
    /// Whether anybody wants to know. If not, long strings are passed over faster, and it is not
    /// told all.
    const IS_WANTED: bool = true;

    /// Bytes that stand for themselves.
    fn plain(&mut self, run: &[u8]);
    /// A UTF-16 code unit that was written as an escape.
    fn unit(&mut self, unit: u16);
}

/// A string that is only skipped.
pub(super) struct Ignored;

impl Text for Ignored {
    const IS_WANTED: bool = false;

    fn plain(&mut self, _: &[u8]) {}
    fn unit(&mut self, _: u16) {}
}

/// What of an escape was seen.
#[derive(Clone, Copy, Debug)]
enum Escape {
    /// No escape is open.
    None,
    /// The backslash.
    Begun,
    /// `\u` and some hex digits: so many more are needed.
    Hex { missing: u8, unit: u16 },
}

/// A place inside a string.
#[derive(Clone, Copy, Debug)]
pub(super) struct InString {
    escape: Escape,
    has_escapes: bool,
}

impl InString {
    /// After the opening quote.
    pub(super) const fn new() -> Self {
        Self {
            escape: Escape::None,
            has_escapes: false,
        }
    }

    /// Whether the string was written with an escape, as far as it was seen.
    pub(super) const fn has_escapes(self) -> bool {
        self.has_escapes
    }

    /// Goes on at `at`. Says where the string ended, behind its closing quote; `None` if the piece
    /// ended first.
    pub(super) fn run<T: Text>(
        &mut self,
        piece: &[u8],
        at: usize,
        text: &mut T,
    ) -> Result<Option<usize>, Stop> {
        let mut at = match self.escape {
            Escape::None => at,
            _ => self.finish_escape(piece, at, text)?,
        };
        if !T::IS_WANTED {
            let passed = long::pass(piece, at);
            self.has_escapes |= passed.escapes;
            at = passed.at;
            if piece.get(at) == Some(&b'"') {
                return Ok(Some(at + 1));
            }
        }
        while at < piece.len() {
            let (start, stops) = plain::find_stops(piece, at);
            text.plain(&piece[at..start]);
            match self.block(piece, start, stops, text)? {
                Reached::End(end) => return Ok(Some(end)),
                Reached::Inside(next) => at = next,
            }
        }
        Ok(None)
    }

    /// Takes the block at `start`, in which `stops` are.
    #[inline]
    fn block(
        &mut self,
        piece: &[u8],
        start: usize,
        mut stops: u64,
        text: &mut impl Text,
    ) -> Result<Reached, Stop> {
        let end = piece.len().min(start + BLOCK);
        let mut at = start;
        while stops != 0 {
            let stop = start + stops.trailing_zeros() as usize;
            text.plain(&piece[at..stop]);
            match piece[stop] {
                b'"' => return Ok(Reached::End(stop + 1)),
                b'\\' => at = self.begin_escape(piece, stop, text)?,
                _ => return Err(Stop::control_character(stop)),
            }
            if at >= end {
                return Ok(Reached::Inside(at));
            }
            stops &= u64::MAX << (at - start);
        }
        text.plain(&piece[at..end]);
        Ok(Reached::Inside(end))
    }

    /// Takes the escape whose backslash is at `at`, as far as the piece goes; says where it ends.
    #[inline]
    fn begin_escape(
        &mut self,
        piece: &[u8],
        at: usize,
        text: &mut impl Text,
    ) -> Result<usize, Stop> {
        self.has_escapes = true;
        match piece.get(at + 1..) {
            Some([b'u', digits @ ..]) => {
                if let Some(unit) = code_unit(digits) {
                    text.unit(unit);
                    return Ok(at + 6);
                }
            }
            Some([letter, ..]) => {
                if let Some(unit) = short_escape(*letter) {
                    text.unit(unit);
                    return Ok(at + 2);
                }
            }
            _ => {}
        }
        self.escape = Escape::Begun;
        self.finish_escape(piece, at + 1, text)
    }

    /// Takes the rest of an open escape, as far as the piece goes; says where it ends. Cut and
    /// broken escapes only come here.
    #[inline(never)]
    fn finish_escape(
        &mut self,
        piece: &[u8],
        mut at: usize,
        text: &mut impl Text,
    ) -> Result<usize, Stop> {
        while let Some(&byte) = piece.get(at) {
            self.escape = match self.escape {
                Escape::None => break,
                Escape::Begun if byte == b'u' => Escape::Hex {
                    missing: 4,
                    unit: 0,
                },
                Escape::Begun => {
                    text.unit(short_escape(byte).ok_or(Stop::bad_escape(at))?);
                    Escape::None
                }
                Escape::Hex { missing, unit } => {
                    let unit = unit << 4 | hex(byte).ok_or(Stop::bad_escape(at))?;
                    if missing > 1 {
                        Escape::Hex {
                            missing: missing - 1,
                            unit,
                        }
                    } else {
                        text.unit(unit);
                        Escape::None
                    }
                }
            };
            at += 1;
        }
        Ok(at)
    }
}

/// How far a block took the scanner.
enum Reached {
    /// Behind the closing quote.
    End(usize),
    /// Still in the string.
    Inside(usize),
}

/// What each byte means behind a backslash: the code unit that it stands for, and [`NO_ESCAPE`] for
/// no escape.
static SHORT_ESCAPES: [u8; 256] = {
    let mut table = [NO_ESCAPE; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x08;
    table[b't' as usize] = 0x09;
    table[b'n' as usize] = 0x0A;
    table[b'f' as usize] = 0x0C;
    table[b'r' as usize] = 0x0D;
    table
};
const NO_ESCAPE: u8 = u8::MAX;

/// The value of each hex digit, and [`NO_DIGIT`] for other bytes.
static HEX: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        table[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    table
};
const NO_DIGIT: u8 = 0x80;

/// The code unit that a one-letter escape stands for.
#[inline]
pub(super) fn short_escape(letter: u8) -> Option<u16> {
    let unit = SHORT_ESCAPES[usize::from(letter)];
    (unit != NO_ESCAPE).then_some(u16::from(unit))
}

/// The code unit of the four hex digits at the start; `None` if there are no four.
#[inline]
pub(super) fn code_unit(digits: &[u8]) -> Option<u16> {
    let digits: &[u8; 4] = digits.first_chunk()?;
    let values = digits.map(|digit| u16::from(HEX[usize::from(digit)]));
    let unit = values[0] << 12 | values[1] << 8 | values[2] << 4 | values[3];
    let all = values[0] | values[1] | values[2] | values[3];
    (all < u16::from(NO_DIGIT)).then_some(unit)
}

/// The value of a hex digit.
fn hex(digit: u8) -> Option<u16> {
    let value = HEX[usize::from(digit)];
    (value != NO_DIGIT).then_some(u16::from(value))
}
