//! What commands look at.

use jiff::Timestamp;
use serde_json::json;

use super::changes::{account_at, key_at};
use super::wire::{self, Key, Moved, ProviderKey, Usage};
use super::{Books, Remote};
use crate::access::AccountId;
use crate::access::key::KeyId;
use crate::byok::Stored;
use crate::cli::keys::CliError;
use crate::cli::progress::Progress;
use crate::statement::account::Account;
use crate::statement::audit::Entry;
use crate::statement::grant::Grant;
use crate::statement::history::History;
use crate::statement::journal::Posting;
use crate::statement::time::{Time, day};
use crate::statement::usage::Line;
use crate::store::{
    AccountDetails, Audited, By, Checked, Day, GrantId, GrantRow, KeyRow, Moves, Place, StoreError,
    Used,
};

/// Movements that are read from the store at one time.
const PAGE: u32 = 1_000;

/// Lines of usage that the store is asked for at the most.
const LINES_MAX: u32 = 1_000_000;

/// Lines of usage that the admin API gives at the most.
const REMOTE_LINES_MAX: u32 = 100_000;

impl Books {
    /// Every account, by name.
    ///
    /// # Errors
    /// What the store or the gateway says against it; so for all that follows.
    pub async fn accounts(&self) -> Result<Vec<AccountDetails>, CliError> {
        match self {
            Self::Store(store) => Ok(store.accounts().await?),
            Self::Gateway(remote) => {
                let all: Vec<Account> = remote.all("/api/v1/accounts", &Vec::new())?;
                let mut all: Vec<AccountDetails> = all.into_iter().map(Into::into).collect();
                all.sort_by(|a, b| a.account.name.cmp(&b.account.name));
                Ok(all)
            }
        }
    }

    /// The account of this name.
    pub async fn account_named(&self, name: &str) -> Result<AccountDetails, CliError> {
        match self {
            Self::Store(store) => Ok(store.account_named(name).await?),
            Self::Gateway(remote) => {
                let found = remote.account_named(name)?;
                found.ok_or_else(|| StoreError::NoAccount(name.into()).into())
            }
        }
    }

    /// The account of this number.
    pub async fn account(&self, id: AccountId) -> Result<AccountDetails, CliError> {
        match self {
            Self::Store(store) => Ok(store.account(id).await?),
            Self::Gateway(remote) => {
                let found: Account = remote.get(&account_at(id), &Vec::new())?;
                Ok(found.into())
            }
        }
    }

    /// The grant of this number.
    pub async fn grant_numbered(&self, id: GrantId) -> Result<GrantRow, CliError> {
        match self {
            Self::Store(store) => Ok(store.grant_numbered(id).await?),
            Self::Gateway(remote) => {
                let path = format!("/api/v1/grants/{}", id.0);
                let found: Grant = remote.get(&path, &Vec::new())?;
                Ok(found.into())
            }
        }
    }

    /// What changed the balance of an account.
    pub async fn history(
        &self,
        id: AccountId,
        from: Option<Day>,
        to: Option<Day>,
    ) -> Result<History, CliError> {
        match self {
            Self::Store(store) => Ok(store.history(id, from, to).await?.into()),
            Self::Gateway(remote) => {
                let path = format!("{}/history", account_at(id));
                let on = |of: Option<Day>| of.map(|of| day(of.0));
                remote.get(&path, &vec![("from", on(from)), ("to", on(to))])
            }
        }
    }

    /// Has `each` look at every movement of money, in order.
    pub async fn each_posting(
        &self,
        moves: &Moves,
        mut each: impl FnMut(&Posting) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let store = match self {
            Self::Store(store) => store,
            Self::Gateway(remote) => {
                let query = vec![
                    ("from", moves.from.map(moment)),
                    ("to", moves.to.map(moment)),
                    ("account", moves.account.map(|id| id.0.to_string())),
                ];
                let each = |moved: Moved| moved.postings.iter().try_for_each(&mut each);
                return remote.each("/api/v1/journal", &query, each);
            }
        };
        let mut after = Place::default();
        loop {
            let page = store.journal(moves, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.place();
            let postings = page.iter().flat_map(Posting::of);
            postings
                .into_iter()
                .try_for_each(|posting| each(&posting))?;
        }
    }

    /// Whether the books agree with their rows.
    pub async fn check(&self) -> Result<Checked, CliError> {
        match self {
            Self::Store(store) => {
                let _progress = Progress::start("Adding up the books");
                Ok(store.check().await?)
            }
            Self::Gateway(remote) => {
                let found: wire::Checked = remote.get("/api/v1/check", &Vec::new())?;
                Ok(Checked {
                    books: found.books,
                    grants: found.grants,
                    rows: found.rows,
                    open: found.open,
                    faults: found.faults,
                })
            }
        }
    }

    /// All access keys, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyRow>, CliError> {
        match self {
            Self::Store(store) => Ok(store.list_keys().await?),
            Self::Gateway(remote) => {
                let all: Vec<Key> = remote.all("/api/v1/keys", &Vec::new())?;
                let all: Result<Vec<KeyRow>, CliError> = all.into_iter().map(Key::row).collect();
                let mut all = all?;
                all.sort_by(|a, b| (a.created, a.id.as_str()).cmp(&(b.created, b.id.as_str())));
                Ok(all)
            }
        }
    }

    /// The access key of this id.
    pub async fn key(&self, id: KeyId) -> Result<KeyRow, CliError> {
        match self {
            Self::Store(store) => Ok(store.key(id).await?),
            Self::Gateway(remote) => remote.get::<Key>(&key_at(id), &Vec::new())?.row(),
        }
    }

    /// All stored provider keys, in the order in which they are tried.
    pub async fn list_provider_keys(&self) -> Result<Vec<Stored>, CliError> {
        match self {
            Self::Store(store) => Ok(store.list_provider_keys().await?),
            Self::Gateway(remote) => {
                let all: Vec<ProviderKey> = remote.all("/api/v1/provider-keys", &Vec::new())?;
                let all: Result<Vec<Stored>, CliError> =
                    all.into_iter().map(ProviderKey::row).collect();
                let mut all = all?;
                all.sort_by(|a, b| place(a).cmp(&place(b)));
                Ok(all)
            }
        }
    }

    /// Usage, added up.
    pub async fn usage(&self, used: &Used, by: By) -> Result<Vec<Line>, CliError> {
        let remote = match self {
            Self::Gateway(remote) => remote,
            Self::Store(store) => {
                let sums = store.usage_sums(used, by, LINES_MAX).await?;
                return Ok(sums.into_iter().map(|sum| Line::new(sum, by)).collect());
            }
        };
        let query = vec![
            ("by", Some(word(by).to_owned())),
            ("limit", Some(REMOTE_LINES_MAX.to_string())),
            ("from", used.from.map(moment)),
            ("to", used.to.map(moment)),
            ("account", used.account.map(|id| id.0.to_string())),
            ("key", used.key.map(|id| id.to_string())),
            ("provider", used.provider.clone()),
            ("model", used.model.clone()),
            ("credential", used.credential.map(str::to_owned)),
        ];
        let Usage { lines, truncated } = remote.get("/api/v1/usage", &query)?;
        match truncated {
            true => Err(CliError::Argument(format!(
                "there are more than {REMOTE_LINES_MAX} lines; narrow it, or say --direct"
            ))),
            false => Ok(lines),
        }
    }

    /// What operators changed, newest first.
    pub async fn audit(&self, which: &Audited, most: u32) -> Result<Vec<Entry>, CliError> {
        match self {
            Self::Store(store) => {
                let rows = store.audit_page(which, None, most).await?;
                Ok(rows.into_iter().map(Entry::from).collect())
            }
            Self::Gateway(remote) => {
                let time = |of: Option<i64>| of.map(|second| Time(second).to_string());
                let query = vec![
                    ("from", time(which.from)),
                    ("to", time(which.to)),
                    ("who", which.who.clone()),
                    ("operation", which.operation.clone()),
                    ("object", which.object.clone()),
                    ("outcome", which.outcome.clone()),
                ];
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                remote.some("/api/v1/audit", &query, most)
            }
        }
    }
}

impl Remote {
    pub(super) fn account_named(&self, name: &str) -> Result<Option<AccountDetails>, CliError> {
        let query = vec![("name", Some(name.to_owned()))];
        let found: Vec<Account> = self.all("/api/v1/accounts", &query)?;
        Ok(found.into_iter().next().map(Into::into))
    }

    /// A provider's report held against the rows.
    pub fn reconcile(
        &self,
        asked: &serde_json::Value,
    ) -> Result<crate::statement::reconcile::Outcome, CliError> {
        self.send("POST", "/api/v1/reconcile", asked)
    }

    /// Whether it can be asked at all, and where its store is.
    pub(super) fn store(&self) -> Result<String, CliError> {
        let place: serde_json::Value = self.get("/api/v1/store", &Vec::new())?;
        Ok(place["file"].as_str().unwrap_or_default().to_owned())
    }
}

/// The order in which keys are tried.
fn place(key: &Stored) -> (i64, &str, i64, i64, &str) {
    let (account, provider) = (key.account.id.0, &*key.provider);
    (
        account,
        provider,
        key.position,
        key.created,
        key.id.as_str(),
    )
}

/// Unix milliseconds as the API is asked with.
fn moment(milliseconds: i64) -> String {
    let moment = Timestamp::from_millisecond(milliseconds);
    moment.map_or_else(|_| json!(milliseconds).to_string(), |at| at.to_string())
}

fn word(by: By) -> &'static str {
    match by {
        By::Key => "key",
        By::Account => "account",
        By::Model => "model",
        By::Provider => "provider",
        By::Day | By::DayAndModel => "day",
    }
}
