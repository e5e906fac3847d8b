//! `[byok]`, as written → as checked: where the master keys are. They are not read here: one that is lost takes the
//! stored provider keys along, and nothing else.

use super::file::{Section, Value};
use crate::secret::SecretRef;

/// Master keys at one time. A rotation needs two.
const MASTER_KEYS_MAX: usize = 8;

/// `[byok]`: provider keys that accounts store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Byok {
    /// Where the master keys are, the one that seals first; none: no provider key can be stored.
    pub master_keys: Vec<SecretRef>,
}

/// Reads the section. `reference` reads a reference.
pub(super) fn byok(
    section: Section<'_>,
    reference: impl Fn(&Value<'_>) -> Option<SecretRef>,
) -> Byok {
    let one = section.get("master_key");
    let several = section.get("master_keys");
    if let (Some(_), Some(value)) = (&one, &several) {
        value.wrong("stands beside `master_key`; keep one of them");
    }
    let mut master_keys: Vec<SecretRef> = one.iter().filter_map(&reference).collect();
    if let Some(value) = several {
        let written = value.elements("an array of references to secrets, the one that seals first");
        let written = written.unwrap_or_default();
        if written.len() > MASTER_KEYS_MAX {
            value.wrong(format!("holds more than {MASTER_KEYS_MAX} keys"));
        }
        for element in written {
            let Some(key) = reference(&element) else {
                continue;
            };
            if master_keys.contains(&key) {
                element.wrong("stands in the list already");
            } else {
                master_keys.push(key);
            }
        }
    }
    section.finish();
    Byok { master_keys }
}
