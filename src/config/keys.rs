//! `keys` and `keys_use` of a provider, as written → as checked.

use std::ops::RangeInclusive;

use super::file::{Section, Value};
use crate::secret::SecretRef;

/// A share of requests. Past this, a key without a share should not be written.
const WEIGHT: RangeInclusive<u32> = 1..=1_000;

/// Letters that the name of a key may have.
const NAME_MAX: usize = 64;

/// Keys that one provider may have. More than ten are never tried by one request.
const KEYS_MAX: usize = 1_000;

/// One of the operator's keys for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// Where it is.
    pub secret: SecretRef,
    /// Its share of the requests, 1 to 1000.
    pub weight: u32,
    /// What it is called in logs and explanations, where its place is not enough.
    pub name: Option<String>,
}

impl ProviderKey {
    /// A key of which no more is said than where it is.
    #[must_use]
    pub fn plain(secret: SecretRef) -> Self {
        Self {
            secret,
            weight: 1,
            name: None,
        }
    }
}

/// Which key a request begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeysUse {
    /// The first that is not set aside.
    #[default]
    Ordered,
    /// Each as often as its weight says.
    Weighted,
}

/// Reads both. `secret` reads a reference.
pub(super) fn read(
    section: &Section<'_>,
    secret: impl Fn(&Value<'_>) -> Option<SecretRef>,
) -> (Vec<ProviderKey>, KeysUse) {
    let words = [
        ("ordered", KeysUse::Ordered),
        ("weighted", KeysUse::Weighted),
    ];
    let used = section.word("keys_use", &words).unwrap_or_default();
    let value = section.get("keys");
    let written = value
        .as_ref()
        .and_then(|value| value.elements("an array of references to secrets"));
    let written = written.unwrap_or_default();
    if let Some(value) = value.filter(|_| written.len() > KEYS_MAX) {
        value.wrong(format!("holds more than {KEYS_MAX} keys"));
    }
    let mut keys: Vec<ProviderKey> = Vec::new();
    for element in written {
        if element.is_section() {
            keys.extend(
                element
                    .section()
                    .and_then(|own| entry(own, used, &keys, &secret)),
            );
        } else {
            keys.extend(secret(&element).map(ProviderKey::plain));
        }
    }
    (keys, used)
}

/// `{ key = "env:..", weight = 3, name = ".." }`
fn entry(
    section: Section<'_>,
    used: KeysUse,
    before: &[ProviderKey],
    secret: impl Fn(&Value<'_>) -> Option<SecretRef>,
) -> Option<ProviderKey> {
    let key = section.get("key").and_then(|value| secret(&value));
    if !section.has("key") {
        section.wrong("needs a `key`, as \"env:OPENAI_API_KEY\"");
    }
    let weight = section.number("weight", WEIGHT);
    if let Some(value) = section.get("weight").filter(|_| used == KeysUse::Ordered) {
        value.wrong("means nothing where keys are used in order; set `keys_use = \"weighted\"`, or leave it out");
    }
    let name = section.get("name").and_then(|value| {
        let name = value.text()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.len() > NAME_MAX || !name.bytes().all(plain) {
            value.wrong(format!(
                "a key's name has letters, digits, `.`, `_` and `-` only, at most {NAME_MAX} of them"
            ));
        } else if before.iter().any(|key| key.name.as_deref() == Some(name)) {
            value.wrong("another key of this provider has the same name");
        }
        Some(name.to_owned())
    });
    section.finish();
    Some(ProviderKey {
        secret: key?,
        weight: weight.unwrap_or(1),
        name,
    })
}
