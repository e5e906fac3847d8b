//! Provider keys that accounts have stored: sealed for the store ([`master`], [`seal`]), and all of them as requests use
//! them ([`keys`]).
//!
//! Absent: the store, and when a request goes on with which key (`proxy`).

pub mod keys;
pub mod master;
pub mod seal;

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

use crate::access::Account;
use crate::access::steps::{KEY_NAME_MAX, is_key_name};
use crate::secret::Secret;
use seal::{Place, Sealed};

/// A share of the requests.
pub const WEIGHT_MAX: u32 = 1_000;

/// Keys that one account may have for one provider. More than ten are never tried by one request.
pub const KEYS_MAX: usize = 100;

/// Bytes of a provider key. The longest are tokens of some kilobytes; servers take header fields of 8 KiB.
const SECRET_MAX: usize = 8_000;

/// A key of fewer letters is not shown in part: too much of it would be known.
const HINT_MIN: usize = 20;

/// A key as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id: names it in commands and logs, and is never given to another.
    pub id: StoredId,
    /// Whose it is.
    pub account: Account,
    /// The catalog's id of the provider it is for.
    pub provider: Box<str>,
    /// What its owner calls it; no two of an account and a provider have one name.
    pub name: Box<str>,
    /// Its place among those of its account and provider, smallest first; need not be unique.
    pub position: i64,
    /// Its share of the requests, 1 to [`WEIGHT_MAX`]; `None`: it is used in its turn only.
    pub weight: Option<u32>,
    /// Whether it is used.
    pub enabled: bool,
    /// Whether its owner lets requests go on with the operator's credit where this key does not serve.
    pub fallback: bool,
    /// When it was stored first, in Unix seconds.
    pub created: i64,
    /// When it was last changed, in Unix seconds.
    pub updated: i64,
    /// What may be shown of it.
    pub hint: Box<str>,
    /// The key.
    pub sealed: Sealed,
}

impl Stored {
    /// The row that its secret is sealed for.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place {
            id: self.id.as_str(),
            account: self.account.id,
            provider: &self.provider,
        }
    }
}

/// The id of a stored key: `pk-` and 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredId(Box<str>);

impl StoredId {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the kernel has no random bytes to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("pk-{:016x}", getrandom::u64()?).into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StoredId {
    type Err = NotAStoredId;

    fn from_str(text: &str) -> Result<Self, NotAStoredId> {
        let digits = text.strip_prefix("pk-").ok_or(NotAStoredId)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 16 && digits.bytes().all(is_digit))
            .then(|| Self(text.into()))
            .ok_or(NotAStoredId)
    }
}

impl fmt::Display for StoredId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

/// The text is not the id of a stored key. It is not kept: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAStoredId;

impl fmt::Display for NotAStoredId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "not the id of a stored provider key: those are pk- and 16 hexadecimal digits",
        )
    }
}

impl std::error::Error for NotAStoredId {}

/// What is wrong with a key as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// Its name has other letters than it may, or too many.
    Name,
    /// Its weight is out of range.
    Weight,
    /// There is no secret.
    Empty,
    /// The secret holds blanks, line breaks or letters that no header can carry.
    Letters,
    /// The secret is longer than any header takes.
    Long,
}

impl fmt::Display for BadKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(
                out,
                "a provider key's name has letters, digits, `.`, `_` and `-` only, 1 to {KEY_NAME_MAX} of them"
            ),
            Self::Weight => write!(out, "a weight is from 1 to {WEIGHT_MAX}"),
            Self::Empty => out.write_str("no provider key was given"),
            Self::Letters => out.write_str(
                "what was given is no provider key: it holds a blank, a line break, or a letter that no header can carry",
            ),
            Self::Long => write!(out, "a provider key has at most {SECRET_MAX} bytes"),
        }
    }
}

impl std::error::Error for BadKey {}

/// Whether a key may be called so. Letters are few, because policies and explanations write `byok:NAME`.
///
/// # Errors
/// [`BadKey::Name`].
pub fn check_name(name: &str) -> Result<(), BadKey> {
    is_key_name(name).then_some(()).ok_or(BadKey::Name)
}

/// Whether it is a share of requests.
///
/// # Errors
/// [`BadKey::Weight`].
pub fn check_weight(weight: Option<u32>) -> Result<(), BadKey> {
    match weight {
        Some(weight) if !(1..=WEIGHT_MAX).contains(&weight) => Err(BadKey::Weight),
        _ => Ok(()),
    }
}

/// Whether a provider could be sent this.
///
/// # Errors
/// [`BadKey::Empty`], [`BadKey::Letters`] or [`BadKey::Long`].
pub fn check_secret(secret: &Secret) -> Result<(), BadKey> {
    let text = secret.expose();
    if text.is_empty() {
        return Err(BadKey::Empty);
    }
    if text.len() > SECRET_MAX {
        return Err(BadKey::Long);
    }
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || HeaderValue::from_str(text).is_err() {
        return Err(BadKey::Letters);
    }
    Ok(())
}

/// What may be shown of a key: its first three and last four letters, where it has twenty or more; else nothing.
#[must_use]
pub fn hint(secret: &Secret) -> String {
    let text = secret.expose();
    if text.len() < HINT_MIN || !text.is_ascii() {
        return "…".to_owned();
    }
    format!("{}…{}", &text[..3], &text[text.len() - 4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_shows_seven_letters_of_long_keys_and_nothing_of_short_ones() {
        for (secret, shown) in [
            ("sk-proj-0123456789abcdefWXYZ", "sk-…WXYZ"),
            ("0123456789abcdefghij", "012…ghij"),
            ("0123456789abcdefghi", "…"),
            ("x", "…"),
        ] {
            assert_eq!(hint(&Secret::new(secret)), shown);
        }
    }

    #[test]
    fn what_no_provider_could_be_sent_is_refused_and_not_repeated() {
        let long = "k".repeat(SECRET_MAX + 1);
        for (text, fault) in [
            ("", BadKey::Empty),
            ("sk live", BadKey::Letters),
            ("sk-live\n", BadKey::Letters),
            ("sk-live\u{fc}", BadKey::Letters),
            ("sk-live\0", BadKey::Letters),
            (&long, BadKey::Long),
        ] {
            assert_eq!(check_secret(&Secret::new(text)), Err(fault), "{text:?}");
            assert!(!fault.to_string().contains("live"));
        }
        assert_eq!(check_secret(&Secret::new(&long[1..])), Ok(()));
        assert_eq!(check_secret(&Secret::new("sk-a.b_c~d+e/f=")), Ok(()));
    }

    #[test]
    fn names_are_such_as_a_policy_can_write() {
        for name in ["main", "EU-1", "a.b_c", &"n".repeat(KEY_NAME_MAX)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a,b", "a:b", "ü", &"n".repeat(KEY_NAME_MAX + 1)] {
            assert_eq!(check_name(name), Err(BadKey::Name), "{name}");
        }
        for (weight, good) in [
            (None, true),
            (Some(0), false),
            (Some(1), true),
            (Some(1_000), true),
            (Some(1_001), false),
        ] {
            assert_eq!(check_weight(weight).is_ok(), good, "{weight:?}");
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = StoredId::generate().unwrap();
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        for text in [
            "",
            "pk-",
            "pk-0123456789ABCDEF",
            "pk-0123456789abcde",
            "0123456789abcdef",
            "pk-0123456789abcdeg",
        ] {
            assert_eq!(text.parse::<StoredId>(), Err(NotAStoredId), "{text}");
        }
    }
}
