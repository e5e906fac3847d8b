//! Reads a usage object as nearly all are written: whole numbers, plain strings and objects of them, each name once. Any
//! other is left to serde, whose word it also is what this reader may say: the tests hold the two together. It takes a
//! third of serde's instructions.

use super::names::{Members, Place, Unknown};
use super::written::{Count, OfModality, Written};
use crate::usage::quote_or_escape;

/// How deep objects may lie in each other.
const DEPTH_MAX: u32 = 4;

/// Digits of a number that fits its type whatever they are.
const DIGITS_MAX: usize = 18;

/// Reads a whole object into `written`, which is empty; false where it is not as written above, and `written` is of no
/// use.
pub(super) fn read(object: &[u8], written: &mut Written) -> bool {
    let mut text = Text {
        whole: object,
        rest: object,
    };
    text.object(written, DEPTH_MAX).is_some() && text.next().is_none()
}

/// The text. Every way of reading it says nothing where it is not as the module's head says.
struct Text<'t> {
    whole: &'t [u8],
    /// What is left of it.
    rest: &'t [u8],
}

impl<'t> Text<'t> {
    /// Takes the next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Takes an object; `depth`: how many may lie in each other.
    fn object(&mut self, members: &mut dyn Members, depth: u32) -> Option<()> {
        self.expect(b'{')?;
        self.members(members, depth)
    }

    /// Takes the rest of an object.
    fn members(&mut self, members: &mut dyn Members, depth: u32) -> Option<()> {
        let mut next = self.next()?;
        if next == b'}' {
            return Some(());
        }
        let depth = depth.checked_sub(1)?;
        loop {
            let name = (next == b'"').then(|| self.name())??;
            self.expect(b':')?;
            match members.place(name) {
                Some(place) => self.fill(place, name, depth)?,
                None => self.skip(name, depth)?,
            }
            match self.next()? {
                b',' => next = self.next()?,
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Takes a value under a name that means something.
    fn fill(&mut self, place: Place<'_>, name: &[u8], depth: u32) -> Option<()> {
        let first = self.next()?;
        match (place, first) {
            (Place::Unread, _) => None,
            (_, b'n') => self.null(name),
            (Place::Count(place @ None), b'0'..=b'9') => {
                let number = self.number(first)?;
                *place = Some(Count::of(number));
                Some(())
            }
            (Place::Name(place @ None), b'"') => {
                let text = std::str::from_utf8(self.string()?).ok()?;
                *place = Some(text.into());
                Some(())
            }
            (Place::Part(part), b'{') => self.members(part.open()?, depth),
            (Place::Modalities(place @ None), b'[') => {
                *place = Some(self.modalities(depth)?);
                Some(())
            }
            _ => None,
        }
    }

    /// Takes the rest of a `null`, which leaves no trace of its name: that must not stand anywhere else.
    fn null(&mut self, name: &[u8]) -> Option<()> {
        self.word(b"ull")?;
        let times = memchr::memmem::find_iter(self.whole, name).take(2).count();
        (times == 1).then_some(())
    }

    /// Takes the rest of a list of counts by modality, which is not empty.
    fn modalities(&mut self, depth: u32) -> Option<Vec<OfModality>> {
        let mut all = Vec::with_capacity(2);
        loop {
            let mut one = OfModality::default();
            self.object(&mut one, depth)?;
            all.push(one);
            match self.next()? {
                b',' => {}
                b']' => return Some(all),
                _ => return None,
            }
        }
    }

    /// Takes a value under a name that means nothing.
    fn skip(&mut self, name: &[u8], depth: u32) -> Option<()> {
        match self.next().filter(|_| is_plain(name))? {
            b'{' => self.members(&mut Unknown, depth),
            b'"' => self.string().map(drop),
            b'n' => self.word(b"ull"),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            first @ b'0'..=b'9' => {
                self.number(first)?;
                match self.rest.strip_prefix(b".") {
                    Some(fraction) => {
                        self.rest = fraction;
                        (self.digits() > 0).then_some(())
                    }
                    None => Some(()),
                }
            }
            _ => None,
        }
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(rest)?;
        Some(())
    }

    /// Takes the rest of a string of visible ASCII and blanks.
    fn string(&mut self) -> Option<&'t [u8]> {
        self.name().filter(|text| is_plain(text))
    }

    /// Takes the rest of a string without escapes.
    fn name(&mut self) -> Option<&'t [u8]> {
        let (text, rest) = self.rest.split_at_checked(quote_or_escape(self.rest)?)?;
        self.rest = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// Takes the rest of a whole number that begins with this digit.
    fn number(&mut self, first: u8) -> Option<u64> {
        let text = self.rest;
        let length = self.digits();
        if length >= DIGITS_MAX || (first == b'0' && length > 0) {
            return None;
        }
        let digits = text.get(..length)?.iter();
        Some(digits.fold(u64::from(first - b'0'), |number, digit| {
            number * 10 + u64::from(digit - b'0')
        }))
    }

    /// Takes digits; returns how many.
    fn digits(&mut self) -> usize {
        let text = self.rest;
        let end = text.iter().position(|byte| !byte.is_ascii_digit());
        let length = end.unwrap_or(text.len());
        self.rest = text.get(length..).unwrap_or_default();
        length
    }
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests;
