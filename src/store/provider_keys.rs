//! Provider keys of accounts: sealed before they come here, and never given out but sealed. Absent: the master keys, and
//! any way to see a key again (`byok`).

mod changes;

use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::audit::Operation;
use super::{Store, StoreError};
use crate::access::{Account, AccountId};
use crate::byok::master::MasterKeys;
use crate::byok::seal::Sealed;
use crate::byok::{self, Stored, StoredId};
use crate::secret::Secret;

/// A key to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProviderKey {
    /// Whose it is.
    pub account: AccountId,
    /// The catalog's id of the provider it is for.
    pub provider: String,
    /// What its owner calls it.
    pub name: String,
    /// Its place among those of its account and provider; `None`: behind all others.
    pub position: Option<i64>,
    /// Its share of the requests; `None`: it is used in its turn only.
    pub weight: Option<u32>,
    /// Whether requests may go on with credit where it does not serve.
    pub fallback: bool,
}

/// What is changed of a key besides its secret; `None`: it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderKeyChange {
    /// What it is called.
    pub name: Option<String>,
    /// Its place.
    pub position: Option<i64>,
    /// Its share, or that it has none.
    pub weight: Option<Option<u32>>,
    /// Whether it is used.
    pub enabled: Option<bool>,
    /// Whether requests may go on with credit where it does not serve.
    pub fallback: Option<bool>,
}

/// What came of sealing keys anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Keys that are sealed under the first master key now, and were not before.
    pub moved: usize,
    /// Keys that were already.
    pub already: usize,
    /// Keys that no master key of the configuration opens, each with the reason.
    pub unusable: Vec<(StoredId, byok::master::Unusable)>,
}

/// One key or all, in the order in which they are tried.
const SELECT: &str = "SELECT k.id, k.account, a.name AS account_name, k.provider, k.name, k.position, k.weight, \
     k.enabled, k.fallback, k.created, k.updated, k.hint, k.master, k.nonce, k.sealed \
     FROM provider_keys k JOIN accounts a ON a.id = k.account WHERE $1 IS NULL OR k.id = $1 \
     ORDER BY k.account, k.provider, k.position, k.created, k.id";

impl Store {
    /// Seals and stores a key at the Unix second `now`.
    ///
    /// # Errors
    /// [`StoreError::BadProviderKey`], [`StoreError::NotSealed`], [`StoreError::ProviderKeyExists`],
    /// [`StoreError::TooManyProviderKeys`], [`StoreError::UnknownAccount`], or the store fails.
    pub async fn add_provider_key(
        &self,
        new: &NewProviderKey,
        secret: &Secret,
        masters: &MasterKeys,
        now: i64,
    ) -> Result<StoredId, StoreError> {
        let details = json!({
            "account": new.account.0, "provider": new.provider, "name": new.name, "position": new.position,
            "weight": new.weight, "fallback": new.fallback,
        });
        let about = "provider_key".to_owned();
        let mut change = self
            .change(Operation::CreateProviderKey, about, details)
            .await?;
        let added = changes::insert(change.connection(), new, secret, masters, now).await;
        if let Ok(id) = &added {
            change.object = object(id);
        }
        change.end(added).await
    }

    /// All stored keys, those of one account and provider beside one another and in
    /// their order. A row that somebody wrote by hand, with what no key can have, is left out and logged.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_provider_keys(&self) -> Result<Vec<Stored>, StoreError> {
        let rows = sqlx::query(SELECT)
            .bind(None::<&str>)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().filter_map(told).collect())
    }

    /// Puts another secret in the place of a key's. Requests under way end with the old one.
    ///
    /// # Errors
    /// [`StoreError::BadProviderKey`], [`StoreError::NotSealed`], [`StoreError::UnknownProviderKey`], or the store
    /// fails.
    pub async fn rotate_provider_key(
        &self,
        id: &StoredId,
        secret: &Secret,
        masters: &MasterKeys,
        now: i64,
    ) -> Result<(), StoreError> {
        let details = json!({"secret": "rotated"});
        let mut change = self
            .change(Operation::ChangeProviderKey, object(id), details)
            .await?;
        let done = async {
            byok::check_secret(secret).map_err(StoreError::BadProviderKey)?;
            let row = one(change.connection(), id).await?;
            let sealed = masters
                .seal(&row.place(), secret)
                .map_err(StoreError::NotSealed)?;
            changes::rotate(change.connection(), id, secret, sealed, now).await
        };
        let done = done.await;
        change.end(done).await
    }

    /// Changes what is to be changed, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::BadProviderKey`], [`StoreError::ProviderKeyExists`], [`StoreError::UnknownProviderKey`], or the
    /// store fails.
    pub async fn change_provider_key(
        &self,
        id: &StoredId,
        change: &ProviderKeyChange,
        now: i64,
    ) -> Result<(), StoreError> {
        let details = told_of(change);
        let mut changing = self
            .change(Operation::ChangeProviderKey, object(id), details)
            .await?;
        let done = changes::update(changing.connection(), id, change, now).await;
        changing.end(done).await
    }

    /// Removes a key for good.
    ///
    /// # Errors
    /// [`StoreError::UnknownProviderKey`], or the store fails.
    pub async fn remove_provider_key(&self, id: &StoredId) -> Result<(), StoreError> {
        let about = object(id);
        let mut change = self
            .change(Operation::RemoveProviderKey, about, json!({}))
            .await?;
        let done = changes::remove(change.connection(), id).await;
        change.end(done).await
    }

    /// Seals every key anew that is not sealed under the first master key. Each row changes at once or not at all, and
    /// not where it was rotated meanwhile; so it can be broken off at any time, and done again.
    ///
    /// # Errors
    /// [`StoreError::NotSealed`], or the store fails; what was moved until then stays moved.
    pub async fn reseal_provider_keys(&self, masters: &MasterKeys) -> Result<Resealed, StoreError> {
        let first = masters
            .sealing()
            .ok_or(StoreError::NotSealed(byok::seal::NotSealed::NoMasterKey))?;
        let mut done = Resealed::default();
        for row in self.list_provider_keys().await? {
            if row.sealed.master == first {
                done.already += 1;
                continue;
            }
            match masters.open(&row.place(), &row.sealed) {
                Ok(secret) => done.moved += self.move_to(&row, &secret, masters).await?,
                Err(why) => done.unusable.push((row.id, why)),
            }
        }
        Ok(done)
    }

    /// How many rows were moved: none where it was rotated since it was read, and so is sealed anew already.
    async fn move_to(
        &self,
        row: &Stored,
        secret: &Secret,
        masters: &MasterKeys,
    ) -> Result<usize, StoreError> {
        let sealed = masters
            .seal(&row.place(), secret)
            .map_err(StoreError::NotSealed)?;
        let (about, details) = (
            object(&row.id),
            json!({"master_key": sealed.master.to_string()}),
        );
        let mut change = self
            .change(Operation::ResealProviderKeys, about, details)
            .await?;
        match changes::reseal(change.connection(), row, sealed).await {
            Ok(false) => change.drop().await.map(|()| 0),
            done => change.end(done.map(usize::from)).await,
        }
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`StoreError::UnknownProviderKey`], or the store fails.
    pub async fn provider_key(&self, id: &StoredId) -> Result<Stored, StoreError> {
        one(&mut *self.pool.acquire().await?, id).await
    }
}

async fn one(connection: &mut SqliteConnection, id: &StoredId) -> Result<Stored, StoreError> {
    let row = sqlx::query(SELECT)
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref()
        .and_then(told)
        .ok_or_else(|| StoreError::UnknownProviderKey(id.clone()))
}

/// What the audit calls a stored key.
fn object(id: &StoredId) -> String {
    format!("provider_key {id}")
}

/// What the audit says of a change: what stays is left out.
fn told_of(change: &ProviderKeyChange) -> serde_json::Value {
    let mut told = json!({
        "name": change.name, "position": change.position, "enabled": change.enabled, "fallback": change.fallback,
    });
    if let Some(members) = told.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        if let Some(weight) = change.weight {
            members.insert("weight".to_owned(), weight.into());
        }
    }
    told
}

/// As [`stored`]; what is no key of ours is logged.
fn told(row: &SqliteRow) -> Option<Stored> {
    let stored = stored(row);
    if stored.is_none() {
        let id: String = row.try_get("id").unwrap_or_default();
        log::error!(
            "a stored provider key cannot be read: its row {id:?} is none that was written here"
        );
    }
    stored
}

/// `None` only for a row that was written by hand.
fn stored(row: &SqliteRow) -> Option<Stored> {
    let text = |name: &str| row.try_get::<String, _>(name).ok();
    let number = |name: &str| row.try_get::<i64, _>(name).ok();
    let flag = |name: &str| row.try_get::<bool, _>(name).ok();
    let bytes = |name: &str| row.try_get::<Vec<u8>, _>(name).ok();
    Some(Stored {
        id: text("id")?.parse().ok()?,
        account: Account {
            id: AccountId(number("account")?),
            name: text("account_name")?.into(),
        },
        provider: text("provider")?.into(),
        name: text("name")?.into(),
        position: number("position")?,
        weight: row.try_get("weight").ok()?,
        enabled: flag("enabled")?,
        fallback: flag("fallback")?,
        created: number("created")?,
        updated: number("updated")?,
        hint: text("hint")?.into(),
        sealed: Sealed {
            master: text("master")?.parse().ok()?,
            nonce: bytes("nonce")?.try_into().ok()?,
            text: bytes("sealed")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byok::KEYS_MAX;
    use crate::byok::master::{MasterKey, Unusable};
    use crate::byok::seal::NotSealed;

    const NOW: i64 = 1_800_000_000;
    const LATER: i64 = NOW + 60;

    fn masters(seed: u8) -> MasterKey {
        let bytes: String = (0..32_u8).map(|at| format!("{:02x}", seed ^ at)).collect();
        bytes.parse().unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    struct Bench {
        _folder: tempfile::TempDir,
        store: Store,
        acme: AccountId,
        masters: MasterKeys,
    }

    impl Bench {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).await.unwrap();
            let acme = store.create_account("acme", NOW).await.unwrap().id;
            Self {
                _folder: folder,
                store,
                acme,
                masters: MasterKeys::new(&[masters(1)]),
            }
        }

        fn new_key(&self, name: &str) -> NewProviderKey {
            NewProviderKey {
                account: self.acme,
                provider: "openai".to_owned(),
                name: name.to_owned(),
                position: None,
                weight: None,
                fallback: true,
            }
        }

        async fn add(&self, name: &str) -> Result<StoredId, StoreError> {
            let secret = secret(&format!("sk-0123456789-0123456789-{name}"));
            let new = self.new_key(name);
            self.store
                .add_provider_key(&new, &secret, &self.masters, NOW)
                .await
        }

        async fn rows(&self) -> Vec<Stored> {
            self.store.list_provider_keys().await.unwrap()
        }

        async fn opened(&self, masters: &MasterKeys) -> Vec<Result<String, Unusable>> {
            let open = |row: &Stored| {
                let opened = masters.open(&row.place(), &row.sealed);
                opened.map(|secret| secret.expose().to_owned())
            };
            self.rows().await.iter().map(open).collect()
        }
    }

    #[tokio::test]
    async fn keys_are_listed_in_their_order_and_open_again() {
        let bench = Bench::new().await;
        for name in ["a", "b", "c"] {
            bench.add(name).await.unwrap();
        }
        let before = NewProviderKey {
            position: Some(0),
            weight: Some(7),
            fallback: false,
            ..bench.new_key("z")
        };
        let id = bench
            .store
            .add_provider_key(&before, &secret("short"), &bench.masters, NOW)
            .await
            .unwrap();
        let rows = bench.rows().await;
        let names: Vec<_> = rows.iter().map(|row| (&*row.name, row.position)).collect();
        assert_eq!(names, [("z", 0), ("a", 1), ("b", 2), ("c", 3)]);
        let z = &rows[0];
        assert_eq!(
            (&z.id, z.weight, z.fallback, &*z.hint),
            (&id, Some(7), false, "…")
        );
        assert_eq!(
            (&*rows[1].hint, rows[1].enabled, rows[1].created),
            ("sk-…89-a", true, NOW)
        );
        assert_eq!(&*rows[1].account.name, "acme");
        assert_eq!(
            bench.opened(&bench.masters).await[0],
            Ok("short".to_owned())
        );
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_refused() {
        let bench = Bench::new().await;
        bench.add("a").await.unwrap();
        let (good, none) = (&bench.masters, &MasterKeys::default());
        let new = bench.new_key("b");
        let add = async |new: NewProviderKey, text: &str, masters: &MasterKeys| {
            let added = bench
                .store
                .add_provider_key(&new, &secret(text), masters, NOW)
                .await;
            added.unwrap_err().to_string()
        };
        let error = add(new.clone(), "sk-a", none).await;
        assert!(error.contains("byok.master_key"), "{error}");
        let error = add(bench.new_key("a"), "sk-a", good).await;
        assert!(
            error.contains("there is already a provider key \"a\""),
            "{error}"
        );
        let error = add(
            NewProviderKey {
                account: AccountId(99),
                ..new.clone()
            },
            "sk-a",
            good,
        )
        .await;
        assert_eq!(error, "there is no account 99");
        let error = add(new.clone(), "sk live", good).await;
        assert!(
            error.contains("blank") && !error.contains("live"),
            "{error}"
        );
        for new in [
            NewProviderKey {
                name: "a b".into(),
                ..new.clone()
            },
            NewProviderKey {
                weight: Some(0),
                ..new.clone()
            },
        ] {
            add(new, "sk-a", good).await;
        }
        assert_eq!(bench.rows().await.len(), 1);
        for number in 1..KEYS_MAX {
            bench.add(&format!("n{number}")).await.unwrap();
        }
        assert!(matches!(
            bench.add("more").await,
            Err(StoreError::TooManyProviderKeys)
        ));
        let elsewhere = NewProviderKey {
            provider: "groq".into(),
            ..new
        };
        assert!(
            bench
                .store
                .add_provider_key(&elsewhere, &secret("sk-a"), good, NOW)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_rotated_key_keeps_all_but_its_secret() {
        let bench = Bench::new().await;
        let id = bench.add("a").await.unwrap();
        let before = bench.rows().await.remove(0);
        let next = secret("sk-another-secret-of-some-length");
        bench
            .store
            .rotate_provider_key(&id, &next, &bench.masters, LATER)
            .await
            .unwrap();
        let after = bench.rows().await.remove(0);
        assert_eq!(
            bench.opened(&bench.masters).await,
            [Ok(next.expose().to_owned())]
        );
        assert_eq!((&*after.hint, after.updated), ("sk-…ngth", LATER));
        let same = Stored {
            hint: before.hint.clone(),
            updated: before.updated,
            sealed: before.sealed.clone(),
            ..after
        };
        assert_eq!(same, before);

        let refused = bench
            .store
            .rotate_provider_key(&id, &next, &MasterKeys::default(), LATER)
            .await;
        assert!(matches!(
            refused,
            Err(StoreError::NotSealed(NotSealed::NoMasterKey))
        ));
        let unknown: StoredId = "pk-0000000000000000".parse().unwrap();
        let refused = bench
            .store
            .rotate_provider_key(&unknown, &next, &bench.masters, LATER)
            .await;
        assert!(matches!(refused, Err(StoreError::UnknownProviderKey(_))));
    }

    #[tokio::test]
    async fn a_key_is_changed_and_removed() {
        let bench = Bench::new().await;
        let id = bench.add("a").await.unwrap();
        bench.add("b").await.unwrap();
        let change = async |change: ProviderKeyChange| {
            bench.store.change_provider_key(&id, &change, LATER).await
        };
        change(ProviderKeyChange {
            weight: Some(Some(5)),
            position: Some(9),
            ..Default::default()
        })
        .await
        .unwrap();
        let row = bench.rows().await.remove(1);
        assert_eq!(
            (
                &*row.name,
                row.weight,
                row.position,
                row.enabled,
                row.updated
            ),
            ("a", Some(5), 9, true, LATER)
        );
        change(ProviderKeyChange {
            enabled: Some(false),
            fallback: Some(false),
            ..Default::default()
        })
        .await
        .unwrap();
        change(ProviderKeyChange {
            weight: Some(None),
            name: Some("c".into()),
            ..Default::default()
        })
        .await
        .unwrap();
        let row = bench.rows().await.remove(1);
        assert_eq!(
            (&*row.name, row.weight, row.enabled, row.fallback),
            ("c", None, false, false)
        );
        let taken = change(ProviderKeyChange {
            name: Some("b".into()),
            position: Some(1),
            ..Default::default()
        })
        .await;
        assert!(matches!(taken, Err(StoreError::ProviderKeyExists(_))));
        assert_eq!(bench.rows().await[1].position, 9);
        assert_eq!(bench.opened(&bench.masters).await.len(), 2);

        bench.store.remove_provider_key(&id).await.unwrap();
        let again = bench.store.remove_provider_key(&id).await;
        assert!(matches!(again, Err(StoreError::UnknownProviderKey(_))));
        assert_eq!(bench.rows().await.len(), 1);
    }

    #[tokio::test]
    async fn resealing_moves_every_row_and_can_be_done_again() {
        let bench = Bench::new().await;
        for name in ["a", "b", "c"] {
            bench.add(name).await.unwrap();
        }
        let both = MasterKeys::new(&[masters(2), masters(1)]);
        let new = MasterKeys::new(&[masters(2)]);
        let before = bench.opened(&bench.masters).await;
        let done = bench.store.reseal_provider_keys(&both).await.unwrap();
        assert_eq!((done.moved, done.already, done.unusable.len()), (3, 0, 0));
        assert_eq!(bench.opened(&new).await, before);
        let done = bench.store.reseal_provider_keys(&both).await.unwrap();
        assert_eq!((done.moved, done.already), (0, 3));
        // The old one is gone for good, and one row that it sealed was forgotten.
        let lost = MasterKeys::new(&[masters(3)]);
        let done = bench.store.reseal_provider_keys(&lost).await.unwrap();
        assert_eq!((done.moved, done.unusable.len()), (0, 3));
        assert_eq!(bench.opened(&new).await, before);
        assert!(
            bench
                .store
                .reseal_provider_keys(&MasterKeys::default())
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_row_that_was_rotated_meanwhile_is_not_sealed_over() {
        let bench = Bench::new().await;
        let id = bench.add("a").await.unwrap();
        let read = bench.rows().await.remove(0);
        let both = MasterKeys::new(&[masters(2), masters(1)]);
        bench
            .store
            .rotate_provider_key(&id, &secret("sk-rotated"), &both, LATER)
            .await
            .unwrap();
        let moved = bench
            .store
            .move_to(&read, &secret("sk-old"), &both)
            .await
            .unwrap();
        assert_eq!(moved, 0);
        assert_eq!(bench.opened(&both).await, [Ok("sk-rotated".to_owned())]);
    }

    #[tokio::test]
    async fn nothing_of_a_secret_is_in_the_files_of_the_store() {
        let bench = Bench::new().await;
        bench.add("canary").await.unwrap();
        for file in std::fs::read_dir(bench._folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let found = bytes.windows(12).any(|window| window == b"0123456789-0");
            assert!(!found);
        }
    }
}
