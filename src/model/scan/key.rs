//! Recognises the name of a top-level member while its key passes by.

use super::member::Member;
use super::string::Text;

/// Bytes of the longest spelling of a name that can be taken for it: `max_completion_tokens` with a
/// Kelvin sign (three bytes) for its `k` and a long s (two bytes) for its `s`.
const SPELLING_MAX: usize = 24;

/// A key, decoded as far as it may still be a member's name.
#[derive(Clone, Debug)]
pub(super) struct Key {
    spelling: [u8; SPELLING_MAX],
    len: u8,
    /// The key cannot be a name: it is too long, or has a surrogate.
    other: bool,
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Exactly the member's name, once decoded.
    Exact(Member),
    /// The name but for letter case, as `encoding/json` of Go compares keys. To it U+017F is an s,
    /// and U+212A a k.
    LookAlike(Member),
}

impl Key {
    /// An empty key.
    pub(super) const fn new() -> Self {
        Self {
            spelling: [0; SPELLING_MAX],
            len: 0,
            other: false,
        }
    }

    /// What the key means; `None` if nothing to us.
    pub(super) fn name(&self) -> Option<Name> {
        if self.other {
            return None;
        }
        let spelling = &self.spelling[..usize::from(self.len)];
        if let Some(member) = Member::named(spelling) {
            return Some(Name::Exact(member));
        }
        if spelling
            .iter()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
        {
            return None;
        }
        let mut members = Member::ALL.into_iter();
        members
            .find(|member| folds_to(spelling, member.name().as_bytes()))
            .map(Name::LookAlike)
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        let end = start + bytes.len();
        match (self.spelling.get_mut(start..end), u8::try_from(end)) {
            (Some(room), Ok(len)) if !self.other => {
                room.copy_from_slice(bytes);
                self.len = len;
            }
            _ => self.other = true,
        }
    }
}

impl Text for Key {
    fn plain(&mut self, run: &[u8]) {
        self.push(run);
    }

    fn unit(&mut self, unit: u16) {
        match char::from_u32(u32::from(unit)) {
            Some(letter) => self.push(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            // Half of a surrogate pair: no name has a character beyond U+FFFF, nor a lone
            // surrogate.
            None => self.other = true,
        }
    }
}

/// Whether `spelling` is `name` in other letters. `name` is in lower case.
fn folds_to(mut spelling: &[u8], name: &[u8]) -> bool {
    for &letter in name {
        spelling = match (spelling, letter) {
            ([first, rest @ ..], _) if first.to_ascii_lowercase() == letter => rest,
            ([0xC5, 0xBF, rest @ ..], b's') | ([0xE2, 0x84, 0xAA, rest @ ..], b'k') => rest,
            _ => return false,
        };
    }
    spelling.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(key: &str) -> Option<Name> {
        let mut seen = Key::new();
        seen.plain(key.as_bytes());
        seen.name()
    }

    #[test]
    fn every_name_is_itself_and_its_capitals_look_like_it() {
        for member in Member::ALL {
            assert_eq!(name_of(member.name()), Some(Name::Exact(member)));
            assert_eq!(
                name_of(&member.name().to_uppercase()),
                Some(Name::LookAlike(member))
            );
            assert_eq!(name_of(&format!("{}x", member.name())), None);
            assert_eq!(name_of(&format!(" {}", member.name())), None);
            let long = member
                .name()
                .replace('s', "\u{17F}")
                .replace('k', "\u{212A}");
            if long != member.name() {
                assert_eq!(name_of(&long), Some(Name::LookAlike(member)), "{long}");
            }
        }
        assert_eq!(name_of(""), None);
    }

    #[test]
    fn the_longest_spelling_has_room_and_no_longer_one_is_needed() {
        let spelled =
            |name: &str| name.len() + name.matches('s').count() + 2 * name.matches('k').count();
        assert_eq!(
            Member::ALL
                .map(|member| spelled(member.name()))
                .into_iter()
                .max(),
            Some(SPELLING_MAX)
        );
        assert_eq!(name_of(&"m".repeat(SPELLING_MAX + 1)), None);
        assert_eq!(name_of(&"m".repeat(100_000)), None);
    }

    #[test]
    fn letters_given_one_by_one_and_as_units_make_the_same_key() {
        let mut key = Key::new();
        key.plain(b"mo");
        key.unit(u16::from(b'd'));
        key.plain(b"");
        key.plain(b"el");
        assert_eq!(key.name(), Some(Name::Exact(Member::Model)));
    }

    #[test]
    fn a_surrogate_makes_the_key_another() {
        for unit in [0xD800, 0xDBFF, 0xDC00, 0xDFFF] {
            let mut key = Key::new();
            key.unit(unit);
            key.plain(b"model");
            assert_eq!(key.name(), None);
        }
    }
}
