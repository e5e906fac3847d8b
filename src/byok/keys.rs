//! The stored keys of all accounts at one moment, opened and ready for requests. Immutable, pinned by each request, and
//! replaced whole when one is added, rotated, switched or removed. What is measured of a key (its health, whose turn it
//! is) is taken over from the value before, as long as the secret is the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::master::{MasterKeys, Unusable};
use super::{Stored, StoredId};
use crate::access::AccountId;
use crate::credentials::{Key, KeyHealth, Keys, Payer};
use crate::table::Table;

/// Every stored key that is enabled.
#[derive(Debug, Default)]
pub struct StoredKeys {
    accounts: Table<AccountId, AccountKeys>,
    measured: HashMap<StoredId, Measured>,
    unusable: Vec<(StoredId, Unusable)>,
}

/// What is known of a secret, and by which digest it is known.
#[derive(Clone)]
struct Measured {
    digest: [u8; 32],
    health: Arc<KeyHealth>,
}

impl fmt::Debug for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Measured(..)")
    }
}

/// The keys of one account, by provider.
#[derive(Debug, Default)]
pub struct AccountKeys {
    providers: Table<Box<str>, ProviderKeys>,
}

/// The keys of one account for one provider.
#[derive(Debug)]
pub struct ProviderKeys {
    /// Those that requests are spread over by their weights.
    spread: Keys,
    /// Those for when none of them serves, in their order.
    ordered: Keys,
    /// The names of those that cannot be used.
    unusable: Box<[Box<str>]>,
    turns: Arc<AtomicUsize>,
    fallback: bool,
}

impl StoredKeys {
    /// Opens `rows`, of which those of one account and provider stand in their order; `before` is what requests have
    /// used so far.
    #[must_use]
    pub fn new(rows: &[Stored], masters: &MasterKeys, before: &Self) -> Self {
        Self::gathered(rows, before, |made, row| made.open(row, masters, before))
    }

    /// As [`StoredKeys::new`], to look at and not to send anything with: nothing is opened.
    #[must_use]
    pub fn without_secrets(rows: &[Stored]) -> Self {
        Self::gathered(rows, &Self::default(), |_, _| {
            Key::new("-", Arc::default()).map_err(|_| Unusable::NoKey)
        })
    }

    fn gathered(
        rows: &[Stored],
        before: &Self,
        mut open: impl FnMut(&mut Self, &Stored) -> Result<Key, Unusable>,
    ) -> Self {
        let of_one =
            |a: &Stored, b: &Stored| (a.account.id, &a.provider) == (b.account.id, &b.provider);
        let mut made = Self::default();
        for group in rows.chunk_by(of_one) {
            let Some(first) = group.iter().find(|row| row.enabled) else {
                continue;
            };
            let (account, provider) = (first.account.id, &first.provider);
            let known = before.of(account).and_then(|of| of.provider(provider));
            let turns = known.map_or_else(Arc::default, |known| Arc::clone(&known.turns));
            let keys = made.group(group, turns, &mut open);
            let own = made.accounts.entry(account).or_default();
            own.providers.insert(provider.clone(), keys);
        }
        made
    }

    /// The keys of one account and provider.
    fn group(
        &mut self,
        rows: &[Stored],
        turns: Arc<AtomicUsize>,
        open: &mut impl FnMut(&mut Self, &Stored) -> Result<Key, Unusable>,
    ) -> ProviderKeys {
        let (mut spread, mut ordered, mut unusable) = (Vec::new(), Vec::new(), Vec::new());
        for (row, place) in rows.iter().zip(1..).filter(|(row, _)| row.enabled) {
            let key = match open(self, row) {
                Ok(key) => key.at(place, Some(&row.name)),
                Err(why) => {
                    self.unusable.push((row.id.clone(), why));
                    unusable.push(row.name.clone());
                    continue;
                }
            };
            match row.weight {
                Some(weight) => spread.push(Arc::new(key.with_weight(weight))),
                None => ordered.push(Arc::new(key)),
            }
        }
        ProviderKeys {
            spread: Keys::weighted(spread.into(), Arc::clone(&turns)),
            ordered: Keys::ordered(ordered.into()),
            unusable: unusable.into(),
            turns,
            fallback: rows
                .iter()
                .filter(|row| row.enabled)
                .all(|row| row.fallback),
        }
    }

    fn open(&mut self, row: &Stored, masters: &MasterKeys, before: &Self) -> Result<Key, Unusable> {
        let secret = masters.open(&row.place(), &row.sealed)?;
        let digest = Sha256::digest(secret.expose()).into();
        let known = before.measured.get(&row.id);
        let known = known.filter(|known| known.digest == digest).cloned();
        let measured = known.unwrap_or_else(|| Measured {
            digest,
            health: Arc::default(),
        });
        let key = Key::new(secret.expose(), Arc::clone(&measured.health));
        let key = key.map_err(|_| Unusable::NoKey)?;
        self.measured.insert(row.id.clone(), measured);
        Ok(key)
    }

    /// The keys of an account; `None` where it has none.
    #[must_use]
    pub fn of(&self, account: AccountId) -> Option<&AccountKeys> {
        self.accounts.get(&account)
    }

    /// How many can be used.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.measured.len()
    }

    /// Those that cannot, and why.
    #[must_use]
    pub fn unusable(&self) -> &[(StoredId, Unusable)] {
        &self.unusable
    }
}

impl AccountKeys {
    /// Its keys for the provider of that id; `None` where it has none that is enabled.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<&ProviderKeys> {
        self.providers.get(id)
    }
}

impl ProviderKeys {
    /// All keys for a request of `payer`: first those that have weights, from the one whose turn it is, then the others
    /// in their order.
    pub fn in_turn(&self, payer: Payer, now: Instant) -> impl Iterator<Item = &Arc<Key>> {
        let spread = self.spread.in_turn(payer, now);
        spread.chain(self.ordered.iter())
    }

    /// The one that does not depend on whose turn it is: the first in the account's order, of those with weights if there
    /// are any, as requests go to those first.
    #[must_use]
    pub fn first(&self) -> Option<&Arc<Key>> {
        let spread = self.spread.iter().min_by_key(|key| key.place());
        spread.or_else(|| self.ordered.iter().min_by_key(|key| key.place()))
    }

    /// Whether requests are spread over several.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.spread.iter().len() > 1
    }

    /// The key of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Key>> {
        let mut all = self.spread.iter().chain(self.ordered.iter());
        all.find(|key| key.name() == Some(name))
    }

    /// The names of those that cannot be used.
    #[must_use]
    pub fn unusable(&self) -> &[Box<str>] {
        &self.unusable
    }

    /// Whether requests may go on with the operator's credit where none of these keys serves.
    #[must_use]
    pub fn fallback(&self) -> bool {
        self.fallback
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Account;
    use crate::byok::master::MasterKey;
    use crate::credentials::Said;
    use crate::secret::Secret;

    const ONE: Payer = Payer(1);

    struct Bench {
        masters: MasterKeys,
        rows: Vec<Stored>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                masters: MasterKeys::new(&[MasterKey::generate().unwrap()]),
                rows: Vec::new(),
            }
        }

        fn seal(&self, row: &mut Stored, secret: &str) {
            row.sealed = self
                .masters
                .seal(&row.place(), &Secret::new(secret))
                .unwrap();
        }

        /// `account/provider/name`, and a weight.
        fn add(&mut self, path: &str, weight: Option<u32>) {
            let parts: Vec<&str> = path.split('/').collect();
            let account = Account {
                id: AccountId(parts[0].parse().unwrap()),
                name: parts[0].into(),
            };
            let place = Place {
                id: "",
                account: account.id,
                provider: "",
            };
            let mut row = Stored {
                id: StoredId::generate().unwrap(),
                account,
                provider: parts[1].into(),
                name: parts[2].into(),
                position: 1,
                weight,
                enabled: true,
                fallback: true,
                created: 0,
                updated: 0,
                hint: "".into(),
                sealed: self.masters.seal(&place, &Secret::new("x")).unwrap(),
            };
            self.seal(&mut row, &format!("secret-of-{path}"));
            self.rows.push(row);
        }

        fn load(&self, before: &StoredKeys) -> StoredKeys {
            StoredKeys::new(&self.rows, &self.masters, before)
        }
    }

    use crate::byok::seal::Place;

    fn names(keys: &StoredKeys, account: i64, provider: &str) -> Vec<String> {
        let own = keys
            .of(AccountId(account))
            .and_then(|own| own.provider(provider));
        let names = own
            .into_iter()
            .flat_map(|own| own.in_turn(ONE, Instant::now()));
        names
            .filter_map(|key| key.name())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn each_account_has_its_own_keys_and_no_others() {
        let mut bench = Bench::new();
        for path in ["1/openai/a", "1/openai/b", "1/groq/a", "2/openai/c"] {
            bench.add(path, None);
        }
        let keys = bench.load(&StoredKeys::default());
        assert_eq!(names(&keys, 1, "openai"), ["a", "b"]);
        assert_eq!(names(&keys, 1, "groq"), ["a"]);
        assert_eq!(names(&keys, 2, "openai"), ["c"]);
        assert_eq!(names(&keys, 2, "groq"), [""; 0]);
        assert!(keys.of(AccountId(3)).is_none());
        assert_eq!((keys.usable(), keys.unusable()), (4, &[][..]));
        assert!(!format!("{keys:?}").contains("secret"));
    }

    #[test]
    fn keys_with_weights_take_turns_and_the_others_stand_behind_them() {
        let mut bench = Bench::new();
        for (path, weight) in [
            ("1/a/x", None),
            ("1/a/three", Some(3)),
            ("1/a/one", Some(1)),
            ("1/a/y", None),
        ] {
            bench.add(path, weight);
        }
        let mut keys = bench.load(&StoredKeys::default());
        let mut first = HashMap::<String, usize>::new();
        for turn in 0..400 {
            if turn % 7 == 0 {
                // Whose turn it is outlives a replacement.
                keys = bench.load(&keys);
            }
            let order = names(&keys, 1, "a");
            assert_eq!(order[2..], ["x", "y"]);
            *first.entry(order[0].clone()).or_default() += 1;
        }
        assert!((297..=303).contains(&first["three"]), "{first:?}");
    }

    #[test]
    fn what_is_known_of_a_key_goes_by_its_secret() {
        let mut bench = Bench::new();
        bench.add("1/a/x", None);
        bench.add("1/a/y", None);
        let before = bench.load(&StoredKeys::default());
        let aside = |keys: &StoredKeys| {
            let own = keys.of(AccountId(1)).unwrap().provider("a").unwrap();
            ["x", "y"].map(|name| {
                own.named(name)
                    .unwrap()
                    .health()
                    .aside(ONE, Instant::now())
                    .is_some()
            })
        };
        let own = before.of(AccountId(1)).unwrap().provider("a").unwrap();
        own.named("x")
            .unwrap()
            .health()
            .hear(Said::Refused, ONE, Instant::now());
        assert_eq!(aside(&before), [true, false]);
        // Another is removed, and the key renamed: it is the same key.
        let mut after = bench.load(&before);
        assert_eq!(aside(&after), [true, false]);
        // Rotated: nothing is known of the new secret.
        let mut row = bench.rows[0].clone();
        bench.seal(&mut row, "another secret");
        bench.rows[0] = row;
        after = bench.load(&after);
        assert_eq!(aside(&after), [false, false]);
        assert_eq!(aside(&before), [true, false]);
    }

    #[test]
    fn a_row_that_cannot_be_opened_is_named_and_the_others_go_on() {
        let mut bench = Bench::new();
        bench.add("1/a/x", None);
        bench.add("1/a/y", None);
        bench.add("2/a/z", None);
        let lost = bench.rows[0].id.clone();
        bench.rows[0].sealed = bench.rows[2].sealed.clone();
        let keys = bench.load(&StoredKeys::default());
        assert_eq!(keys.unusable(), [(lost, Unusable::Damaged)]);
        assert_eq!(names(&keys, 1, "a"), ["y"]);
        // No master key at all: nothing can be used, and it is known that there is something.
        let without = StoredKeys::new(&bench.rows, &MasterKeys::default(), &keys);
        assert_eq!((without.usable(), without.unusable().len()), (0, 3));
        assert!(
            without
                .of(AccountId(1))
                .unwrap()
                .provider("a")
                .unwrap()
                .fallback()
        );
    }

    #[test]
    fn a_key_that_is_switched_off_is_as_if_it_were_not_there() {
        let mut bench = Bench::new();
        bench.add("1/a/x", None);
        bench.add("1/a/y", None);
        bench.rows[0].fallback = false;
        let own = |keys: &StoredKeys| {
            keys.of(AccountId(1))
                .and_then(|own| own.provider("a").map(ProviderKeys::fallback))
        };
        let keys = bench.load(&StoredKeys::default());
        assert_eq!(own(&keys), Some(false));
        bench.rows[0].enabled = false;
        let keys = bench.load(&keys);
        assert_eq!(
            (names(&keys, 1, "a"), own(&keys)),
            (vec!["y".to_owned()], Some(true))
        );
        bench.rows[1].enabled = false;
        let keys = bench.load(&keys);
        assert_eq!(own(&keys), None);
        assert!(keys.of(AccountId(1)).is_none());
    }
}
