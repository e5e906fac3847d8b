//! The embedded store: accounts, access keys and sealed provider keys in SQLite, one file in the data folder. Several
//! processes may have it open at once (the gateway, and `tollgate keys`).
//!
//! Statements keep to what PostgreSQL understands as well; what only SQLite does is in `schema`.
//! Each connection has a thread of its own, so that a slow disk holds up no other task; and no
//! request waits for any of it: they see a [`Keyring`](crate::access::Keyring), which [`watch`]
//! keeps up to date.
//!
//! Absent: times. Whoever calls says what time it is, in Unix seconds.

mod accounts;
mod audit;
mod batch;
mod check;
mod credit;
mod error;
mod grants;
mod history;
mod journal;
mod keys;
mod ledger;
mod limits;
mod listed;
mod provider_keys;
mod row;
mod schema;
mod succession;
mod used;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

pub use accounts::AccountRow;
pub use audit::{AuditRow, Audited, DONE, Operation};
pub use batch::{Batch, Book, Day, Ended, Expired, GrantId, Opened};
pub use check::Checked;
pub use error::StoreError;
pub use grants::{GRANT_TEXT_CHARS_MAX, GrantRow, NewGrant};
pub use history::{History, Line};
pub use journal::{Moved, Movement, Moves, Place};
pub use keys::{CreatedKey, KeyRow, NewKey};
pub use ledger::{Beginning, HeldRow, LedgerStore, StoredAccount, StoredGrant};
pub use listed::AccountDetails;
pub use provider_keys::{NewProviderKey, ProviderKeyChange, Resealed};
pub use row::{Billing, ChargeTo, Closing, Estimated, Flags, Opening, RowId, tier_name};
pub use succession::{
    Answer, Answered, Asked, AskedCaps, Between, Generation, HEARD_MAX, Settled, Told, ToldRow,
    Word,
};
pub use used::{By, Cost, RowState, Sum, Tokens, UsageRow, Used};
pub use watch::{Changes, Complaints, POLL, watch};

/// The store's file in the data folder.
pub const FILE: &str = "tollgate.db";

/// Characters of an account's or a key's name: what a column of a list has room for.
pub const NAME_CHARS_MAX: usize = 64;

/// Connections at the most. SQLite writes one transaction at a time; the others are for those who
/// read meanwhile.
const CONNECTIONS_MAX: u32 = 4;

/// How long to wait for one of the connections.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// An open store. Cheap to share and to clone, from any runtime.
#[derive(Clone, Debug)]
pub struct Store {
    file: PathBuf,
    pool: SqlitePool,
    options: SqliteConnectOptions,
    actor: audit::Actor,
}

impl Store {
    /// Opens the store in `folder`, making both if they are not there, and brings its schema up to
    /// date.
    ///
    /// # Errors
    /// A later version's store and a file that is no store are refused untouched; else see
    /// [`StoreError`].
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_file(&folder.join(FILE)).await
    }

    /// As [`Store::open`], with the file's own name.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_file(file: &Path) -> Result<Self, StoreError> {
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let options = schema::prepare(folder.unwrap_or(Path::new(".")), file).await?;
        Self::connect(file, options).await
    }

    /// The store in `file`, to look at only: nothing is made, migrated or written. `None` where there is none, or one of
    /// an earlier version.
    ///
    /// # Errors
    /// A later version's store, a file that is no store; else see [`StoreError`].
    pub async fn look_into(file: &Path) -> Result<Option<Self>, StoreError> {
        match schema::look_only(file).await? {
            Some(options) => Self::connect(file, options).await.map(Some),
            None => Ok(None),
        }
    }

    async fn connect(file: &Path, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A file does not hang up: no check, no ageing, and so no task that would die with the
            // runtime that opened the store.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        let file = file.to_owned();
        Ok(Self {
            file,
            pool,
            options,
            actor: audit::Actor::default(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Waits for what is under way, then closes. Whatever was reported as done is kept without it,
    /// too.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn checked_name(name: &str) -> Result<&str, StoreError> {
    let length_fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    let shown_as_written = name.trim() == name && !name.contains(char::is_control);
    if length_fits && shown_as_written {
        Ok(name)
    } else {
        Err(StoreError::BadName)
    }
}
