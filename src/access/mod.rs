//! Access key → [`Caller`]: who is calling, who pays, and what they may reach.
//!
//! The keys are an immutable [`Keyring`], pinned by each request and replaced whole when one is
//! made, disabled or revoked. Finding the key in a request is [`presented`]'s, its form [`key`]'s.
//!
//! Absent: the store the keys come from, credit, and the status a refusal is answered with.

pub mod allowance;
pub mod bucket;
pub mod glob;
pub mod key;
pub mod limits;
pub mod policy;
pub mod presented;
pub mod steps;
pub mod times;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use allowance::{AccountUse, Allowance};
use key::{KeyDigest, KeyFault, KeyId};
use policy::Policy;

use crate::table::Table;

/// The number of an account; never given to another, nor changed when the account is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name, unique among accounts.
    pub name: Box<str>,
}

/// Who an access key speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's public id.
    pub key_id: KeyId,
    /// The name the operator gave it.
    pub key_name: Box<str>,
    /// Who pays.
    pub account: Account,
    /// What may be reached, and how.
    pub policy: Policy,
    /// What is counted of its requests; none: nothing is. Set by the keyring.
    pub allowance: Option<Arc<Allowance>>,
}

/// A key as the keyring takes it.
#[derive(Clone, Debug)]
pub struct KeyringEntry {
    /// What recognises the key.
    pub digest: KeyDigest,
    /// A disabled key stays known, so that its owner is told why it is refused.
    pub enabled: bool,
    /// First Unix second at which it is refused; `None`: never.
    pub expires: Option<i64>,
    /// Requests of its account that may be under way at one time; `None`: any number.
    pub account_in_flight: Option<u64>,
    /// Who it speaks for.
    pub caller: Caller,
}

/// Every access key that was not revoked, at one moment.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Table<KeyId, Record>,
    /// Requests under way of the accounts that have a limit of them.
    accounts: HashMap<AccountId, Arc<AccountUse>>,
}

#[derive(Debug)]
struct Record {
    digest: KeyDigest,
    enabled: bool,
    expires: Option<i64>,
    caller: Arc<Caller>,
}

impl Keyring {
    /// Takes the keys; of two with one id the last.
    pub fn new(entries: impl IntoIterator<Item = KeyringEntry>) -> Self {
        Self::default().followed_by(entries)
    }

    /// Takes other keys, of which those that were here before keep what is counted of their requests.
    #[must_use]
    pub fn followed_by(&self, entries: impl IntoIterator<Item = KeyringEntry>) -> Self {
        let mut next = Self::default();
        for mut entry in entries {
            let id = entry.caller.key_id;
            entry.caller.allowance = next.allowance(&entry, self);
            let record = Record {
                digest: entry.digest,
                enabled: entry.enabled,
                expires: entry.expires,
                caller: Arc::new(entry.caller),
            };
            next.keys.insert(id, record);
        }
        next
    }

    fn allowance(&mut self, entry: &KeyringEntry, before: &Self) -> Option<Arc<Allowance>> {
        let (caller, limits) = (&entry.caller, entry.caller.policy.limits());
        let account = entry.account_in_flight.map(|limit| {
            let id = caller.account.id;
            let known = before.accounts.get(&id).cloned();
            let used = self.accounts.entry(id).or_insert(known.unwrap_or_default());
            (limit, Arc::clone(used))
        });
        if account.is_none() && !limits.is_counted() {
            return None;
        }
        let known = before.keys.get(&caller.key_id);
        let known = known.and_then(|known| known.caller.allowance.as_ref());
        Some(Arc::new(Allowance {
            limits: *limits,
            used: known.map_or_else(Arc::default, |known| Arc::clone(&known.used)),
            account,
        }))
    }

    /// Who is calling with the key `presented`, at the Unix second `now`?
    ///
    /// Costs one look-up and one SHA-256; allocates nothing. The checksum is looked at only to tell a typo
    /// from a key that does not exist. That a key is disabled or
    /// expired is told only to one who holds it. Ids are public, so the look-up need not take the
    /// same time for all.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn authenticate(&self, presented: &str, now: i64) -> Result<Arc<Caller>, Refusal> {
        let presented = key::parse_form(presented)?;
        let record = self.keys.get(&presented.id());
        let Some(record) = record.filter(|record| record.digest == presented.digest()) else {
            return Err(if presented.is_intact() {
                Refusal::Unknown
            } else {
                Refusal::Mistyped
            });
        };
        record.stands(now)?;
        Ok(Arc::clone(&record.caller))
    }

    /// Whether a key that was authenticated before would be again, at the Unix second `now`. Costs one look-up.
    ///
    /// # Errors
    /// Why it would not.
    pub fn stands(&self, id: KeyId, now: i64) -> Result<(), Refusal> {
        let record = self.keys.get(&id).ok_or(Refusal::Unknown)?;
        record.stands(now)
    }

    /// Keys on the ring, disabled and expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Is nobody able to call?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Record {
    fn stands(&self, now: i64) -> Result<(), Refusal> {
        if !self.enabled {
            return Err(Refusal::Disabled);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::Expired);
        }
        Ok(())
    }
}

/// Why a request has no caller. Its text is for the client and says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No credential anywhere in the request.
    NoKey,
    /// A credential, but of somebody else: a provider's key, say.
    NotAKey,
    /// Of our form, but cut off or with a typo.
    Mistyped,
    /// Well formed, but there is none such: revoked, or of another gateway.
    Unknown,
    /// The operator switched it off.
    Disabled,
    /// Its time is over.
    Expired,
    /// The request holds two different access keys; the request is at fault, not a key.
    TwoKeys,
    /// Several different provider keys came beside the access key; the request is at fault, not a
    /// key.
    SeveralCredentials,
}

impl From<KeyFault> for Refusal {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::NoPrefix => Self::NotAKey,
            KeyFault::WrongForm | KeyFault::WrongChecksum => Self::Mistyped,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoKey => {
                "No access key was sent. Set your SDK's API key to the access key of this gateway \
                 (it begins with tg-)."
            }
            Self::NotAKey => {
                "What was sent is not an access key of this gateway: those begin with tg-. To use a \
                 provider's own key, send it as usual and the access key in Tollgate-Key."
            }
            Self::Mistyped => {
                "The access key has a typo or is cut off. Copy it again, all 64 characters."
            }
            Self::Unknown => {
                "This access key does not exist or was revoked. Ask the operator of this gateway \
                 for a new one."
            }
            Self::Disabled => {
                "This access key is disabled. The operator of this gateway can enable it again."
            }
            Self::Expired => {
                "This access key has expired. Ask the operator of this gateway for a new one."
            }
            Self::TwoKeys => "The request holds two different access keys. Send one.",
            Self::SeveralCredentials => {
                "The request holds several different provider keys beside the access key. Send one."
            }
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::key::AccessKey;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn entry(key: &AccessKey) -> KeyringEntry {
        KeyringEntry {
            digest: key.digest,
            enabled: true,
            expires: None,
            account_in_flight: None,
            caller: Caller {
                key_id: key.id,
                key_name: "ci".into(),
                account: Account {
                    id: AccountId(7),
                    name: "acme".into(),
                },
                policy: Policy::default(),
                allowance: None,
            },
        }
    }

    #[test]
    fn a_known_key_is_its_caller() {
        let key = AccessKey::generate().unwrap();
        let keyring = Keyring::new([entry(&key)]);
        let caller = keyring.authenticate(key.shown.expose(), NOW).unwrap();
        assert_eq!((caller.key_id, &*caller.account.name), (key.id, "acme"));
    }

    #[test]
    fn each_refusal_has_its_cause() {
        let [good, disabled, expired, stranger] = [(); 4].map(|()| AccessKey::generate().unwrap());
        let keyring = Keyring::new([
            entry(&good),
            KeyringEntry {
                enabled: false,
                ..entry(&disabled)
            },
            KeyringEntry {
                expires: Some(NOW),
                ..entry(&expired)
            },
        ]);
        let ask = |text: &str, now| keyring.authenticate(text, now).map(|caller| caller.key_id);

        for (key, now, stands) in [
            (&good, NOW, Ok(())),
            (&disabled, NOW, Err(Refusal::Disabled)),
            (&expired, NOW - 1, Ok(())),
            (&expired, NOW, Err(Refusal::Expired)),
            (&stranger, NOW, Err(Refusal::Unknown)),
        ] {
            assert_eq!(keyring.stands(key.id, now), stands);
        }
        assert_eq!(ask(disabled.shown.expose(), NOW), Err(Refusal::Disabled));
        assert_eq!(ask(expired.shown.expose(), NOW - 1), Ok(expired.id));
        assert_eq!(ask(expired.shown.expose(), NOW), Err(Refusal::Expired));
        assert_eq!(ask(stranger.shown.expose(), NOW), Err(Refusal::Unknown));
        assert_eq!(ask(&good.shown.expose()[..63], NOW), Err(Refusal::Mistyped));
        assert_eq!(
            ask(&good.shown.expose().replacen("tg-", "tg-x", 1), NOW),
            Err(Refusal::Mistyped)
        );
        assert_eq!(ask("sk-proj-abc", NOW), Err(Refusal::NotAKey));
        assert_eq!(ask("", NOW), Err(Refusal::NotAKey));
    }

    #[test]
    fn a_known_id_with_another_secret_is_unknown_even_when_disabled() {
        let [real, forged] = [(); 2].map(|()| AccessKey::generate().unwrap());
        let mixed = KeyringEntry {
            enabled: false,
            caller: Caller {
                key_id: forged.id,
                ..entry(&real).caller
            },
            ..entry(&real)
        };
        let keyring = Keyring::new([mixed]);
        assert_eq!(
            keyring.authenticate(forged.shown.expose(), NOW),
            Err(Refusal::Unknown)
        );
    }

    #[test]
    fn an_empty_ring_lets_nobody_in() {
        let key = AccessKey::generate().unwrap();
        assert_eq!(
            Keyring::default().authenticate(key.shown.expose(), NOW),
            Err(Refusal::Unknown)
        );
    }

    fn limited(entry: KeyringEntry, limits: &str) -> KeyringEntry {
        let policy = format!(r#"{{"limits":{limits}}}"#);
        let policy = Policy::new(&serde_json::from_str(&policy).unwrap()).unwrap();
        KeyringEntry {
            caller: Caller {
                policy,
                ..entry.caller
            },
            ..entry
        }
    }

    #[test]
    fn what_is_counted_of_a_key_outlives_the_keyring() {
        let now = std::time::Instant::now();
        let (one, other) = (
            AccessKey::generate().unwrap(),
            AccessKey::generate().unwrap(),
        );
        let entries = |limit: u64, account: Option<u64>| {
            let entry = |key| KeyringEntry {
                account_in_flight: account,
                ..entry(key)
            };
            let limits = format!(r#"{{"requests_minute":{limit}}}"#);
            [limited(entry(&one), &limits), entry(&other)]
        };
        let allowance = |ring: &Keyring, key: &AccessKey| {
            let caller = ring.authenticate(key.shown.expose(), NOW).unwrap();
            caller.allowance.clone()
        };
        let first = Keyring::new(entries(2, None));
        assert!(allowance(&first, &other).is_none());
        let enter = |ring: &Keyring, key| allowance(ring, key).unwrap().enter(now);
        assert!(enter(&first, &one).is_ok());
        let second = first.followed_by(entries(2, Some(2)));
        let held = enter(&second, &one);
        assert!(held.is_ok() && enter(&second, &one).is_err());
        // Under way since before the keyring was replaced again, and of another key of the account.
        let third = second.followed_by(entries(100, Some(2)));
        let also = enter(&third, &other);
        assert!(also.is_ok() && enter(&third, &other).is_err());
        drop(held);
        assert!(enter(&third, &other).is_ok());
        assert_eq!(
            allowance(&third, &one).unwrap().limits.requests_minute,
            Some(100)
        );
    }
}
