//! What can go wrong with the store, in words that say what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sqlx::error::ErrorKind;

use crate::access::key::KeyId;
use crate::access::policy::PolicyFault;
use crate::money::Credits;

use super::GrantId;
use crate::byok::seal::NotSealed;
use crate::byok::{BadKey, KEYS_MAX, StoredId};

/// Why the store did not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The folder or the file could not be made.
    Folder {
        /// Which.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// A later version of Tollgate wrote the store. Nothing in it was changed.
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The last that this version knows.
        known: i64,
    },
    /// The file is no store of ours. Nothing in it was changed.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another process held the store for longer than the busy timeout.
    Busy,
    /// The file or its folder may not be written.
    ReadOnly,
    /// The file, or one beside it, cannot be opened.
    Unopenable,
    /// No room is left on the disk.
    DiskFull,
    /// The file is damaged.
    Damaged,
    /// There is an account of this name.
    AccountExists(Box<str>),
    /// There is no account of this number.
    UnknownAccount(i64),
    /// There is no account of this name.
    NoAccount(Box<str>),
    /// There is no such access key.
    UnknownKey(KeyId),
    /// The key is revoked, and a revocation is for good.
    Revoked(KeyId),
    /// A name of an account or key that lists and logs could not show.
    BadName,
    /// The policy of a new key has a mistake.
    Policy(PolicyFault),
    /// The policy of a key cannot be read, and so not changed.
    UnreadablePolicy(KeyId),
    /// A limit of a postpaid account is below zero.
    NegativeLimit,
    /// An account with open holds cannot be closed.
    HasHolds(i64),
    /// The account is closed.
    AccountClosed,
    /// A grant of nothing, or of less.
    BadAmount,
    /// A grant that has expired before it is made.
    ExpiresInThePast,
    /// A note or an idempotency key that is empty, too long, or could not be shown.
    BadGrantText,
    /// The idempotency key is that of a grant with another content.
    OtherGrant(GrantId),
    /// There is no grant of this number.
    UnknownGrant(GrantId),
    /// Another process has become the owner of the ledger.
    LedgerLost,
    /// What the ledger left in the store is not there any more: which.
    OutOfStep(&'static str),
    /// The sum is more than a balance can be.
    TooMuch,
    /// The account has a provider key of this name for this provider.
    ProviderKeyExists(Box<str>),
    /// There is no such stored provider key.
    UnknownProviderKey(StoredId),
    /// The account has as many keys for this provider as it may.
    TooManyProviderKeys,
    /// A provider key has a mistake.
    BadProviderKey(BadKey),
    /// A provider key cannot be sealed.
    NotSealed(NotSealed),
    /// The kernel has no random bytes to give.
    Random(getrandom::Error),
    /// Anything else the database says.
    Database(sqlx::Error),
    /// The same, to the ledger.
    Ledger(rusqlite::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, source } => write!(
                out,
                "cannot make the store {}: {source}{}",
                path.display(),
                advice(source)
            ),
            Self::Newer { path, found, known } => write!(
                out,
                "{} has schema version {found}, this version of Tollgate knows up to {known}; \
                 run the version that wrote it, or restore a backup made before the upgrade",
                path.display()
            ),
            Self::Foreign { path } => write!(
                out,
                "{} is no store of Tollgate, or its beginning is damaged; name another data folder, \
                 or move the file away",
                path.display()
            ),
            Self::Busy => out.write_str(
                "another process is holding the store; try again, and see who has the file open",
            ),
            Self::ReadOnly => out.write_str(
                "the store may not be written; check the owner and mode of its folder and files, \
                 and whether the disk is mounted read-only",
            ),
            Self::Unopenable => out.write_str(
                "the store's file, or one beside it, cannot be opened; see that this user may read and write them and their \
                 folder, and that the process may have more files open (LimitNOFILE= of the unit, `ulimit -n`)",
            ),
            Self::DiskFull => out.write_str("no room is left on the store's disk; free some"),
            Self::Damaged => out.write_str(
                "the store's file is damaged; stop the gateway, keep a copy, restore a backup",
            ),
            Self::AccountExists(name) => write!(out, "there is already an account {name:?}"),
            Self::UnknownAccount(id) => write!(out, "there is no account {id}"),
            Self::NoAccount(name) => write!(
                out,
                "there is no account {name:?}; `tollgate accounts list` shows all"
            ),
            Self::UnknownKey(id) => {
                write!(
                    out,
                    "there is no access key {id}; `tollgate keys list` shows all"
                )
            }
            Self::Revoked(id) => {
                write!(
                    out,
                    "the access key {id} is revoked for good; create a new one"
                )
            }
            Self::BadName => write!(
                out,
                "a name has 1 to {} characters, none a control character, no blank at its ends",
                super::NAME_CHARS_MAX
            ),
            Self::Policy(fault) => fault.fmt(out),
            Self::UnreadablePolicy(id) => write!(
                out,
                "the policy of access key {id} is of another version of Tollgate, or damaged; create a new key"
            ),
            Self::NegativeLimit => out.write_str("a credit limit is 0 or more"),
            Self::HasHolds(holds) => write!(
                out,
                "the account has {holds} open hold(s): requests of it are under way; disable its keys, try again when \
                 they have ended"
            ),
            Self::AccountClosed => out.write_str("the account is closed"),
            Self::BadAmount => out.write_str("a grant is above zero"),
            Self::ExpiresInThePast => out.write_str("the grant would have expired already"),
            Self::BadGrantText => write!(
                out,
                "a note, or an idempotency key, has at most {} characters, none a control character; a key is not empty",
                super::GRANT_TEXT_CHARS_MAX
            ),
            Self::OtherGrant(id) => write!(
                out,
                "the idempotency key is that of grant {}, which is another: its account, amount, expiry or note differs; \
                 nothing was granted",
                id.0
            ),
            Self::UnknownGrant(id) => write!(out, "there is no grant {}", id.0),
            Self::LedgerLost => out.write_str("another process has taken the ledger of this store"),
            Self::OutOfStep(what) => write!(
                out,
                "somebody else has changed {what} in the store; stop the gateway, and see who writes there"
            ),
            Self::TooMuch => write!(out, "no balance can be above {}", Credits::MAX),
            Self::ProviderKeyExists(name) => write!(
                out,
                "there is already a provider key {name:?} of this account for this provider; rotate it, or take \
                 another name"
            ),
            Self::UnknownProviderKey(id) => write!(
                out,
                "there is no provider key {id}; `tollgate provider-keys list` shows all"
            ),
            Self::TooManyProviderKeys => write!(
                out,
                "an account has at most {KEYS_MAX} keys for one provider; remove one"
            ),
            Self::BadProviderKey(fault) => fault.fmt(out),
            Self::NotSealed(fault) => fault.fmt(out),
            Self::Random(error) => write!(out, "no random bytes from the kernel: {error}"),
            Self::Database(error) => write!(out, "the store failed: {error}"),
            Self::Ledger(error) => write!(out, "the store failed: {error}"),
        }
    }
}

impl StoreError {
    /// A stable name for why an operator's change is refused; `None` where it is the store that fails. The admin API has
    /// the same names.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        Some(match self {
            Self::AccountExists(_) => "account_exists",
            Self::UnknownAccount(_) | Self::NoAccount(_) => "unknown_account",
            Self::UnknownKey(_) => "unknown_key",
            Self::Revoked(_) => "key_revoked",
            Self::UnknownGrant(_) => "unknown_grant",
            Self::HasHolds(_) => "has_holds",
            Self::AccountClosed => "account_closed",
            Self::OtherGrant(_) => "other_grant",
            Self::BadName
            | Self::Policy(_)
            | Self::UnreadablePolicy(_)
            | Self::NegativeLimit
            | Self::BadAmount
            | Self::ExpiresInThePast
            | Self::BadGrantText
            | Self::TooMuch
            | Self::BadProviderKey(_) => "unprocessable",
            Self::UnknownProviderKey(_) => "unknown_provider_key",
            Self::ProviderKeyExists(_) => "provider_key_exists",
            Self::TooManyProviderKeys => "too_many_provider_keys",
            Self::NotSealed(NotSealed::NoMasterKey) => "no_master_key",
            Self::Folder { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Busy
            | Self::ReadOnly
            | Self::Unopenable
            | Self::DiskFull
            | Self::Damaged
            | Self::Ledger(_)
            | Self::LedgerLost
            | Self::OutOfStep(_)
            | Self::NotSealed(NotSealed::Failed)
            | Self::Random(_)
            | Self::Database(_) => return None,
        })
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { source, .. } => Some(source),
            Self::Policy(fault) => Some(fault),
            Self::BadProviderKey(fault) => Some(fault),
            Self::NotSealed(fault) => Some(fault),
            Self::Random(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::Ledger(error) => Some(error),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        let known = sqlite_code(&error).and_then(Self::of_code);
        known.unwrap_or(Self::Database(error))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        let known = code.and_then(|code| Self::of_code(code.into()));
        known.unwrap_or(Self::Ledger(error))
    }
}

/// What to do about a folder or file that cannot be made.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; give this user a folder it may write"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some room",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; something else is in the place of its folder"
        }
        _ => "",
    }
}

impl StoreError {
    /// By SQLite's extended result code, whose low byte is the primary one: <https://www.sqlite.org/rescode.html>.
    const fn of_code(code: i64) -> Option<Self> {
        match code & 0xff {
            _ if code == IOERR_SHMSIZE => Some(Self::DiskFull),
            5 | 6 => Some(Self::Busy),
            8 => Some(Self::ReadOnly),
            13 => Some(Self::DiskFull),
            14 => Some(Self::Unopenable),
            11 | NOT_A_DATABASE => Some(Self::Damaged),
            _ => None,
        }
    }
}

/// The file beside the store that its connections share has no room: what a full disk says to who opens the store.
const IOERR_SHMSIZE: i64 = 4_874;

/// `SQLITE_NOTADB`: the file begins as no SQLite file does.
const NOT_A_DATABASE: i64 = 26;

pub(super) fn is_not_a_database(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| code & 0xff == NOT_A_DATABASE)
}

/// SQLite's extended result code.
fn sqlite_code(error: &sqlx::Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Did a statement fail because its row is already there?
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    let kind = error
        .as_database_error()
        .map(sqlx::error::DatabaseError::kind);
    matches!(kind, Some(ErrorKind::UniqueViolation))
}

#[cfg(test)]
mod tests {
    use super::super::{FILE, Store};
    use super::*;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{ConnectOptions, Executor};

    const WRITE: &str = "INSERT INTO accounts (name, created) VALUES (hex(randomblob(50000)), 1)";

    async fn connect(folder: &tempfile::TempDir, pragma: &'static str) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(folder.path().join(FILE));
        let mut connection = options.connect().await.unwrap();
        connection.execute(pragma).await.unwrap();
        connection
    }

    #[test]
    fn result_codes_are_known_by_their_low_byte() {
        let words = |code| StoreError::of_code(code).map(|error| error.to_string());
        assert!(words(261).unwrap().starts_with("another process"));
        assert!(words(1_032).unwrap().starts_with("the store may not"));
        assert!(words(4_874).unwrap().starts_with("no room is left"));
        assert_eq!(words(778), None, "an error of the disk");
    }

    #[tokio::test]
    async fn what_the_operator_can_mend_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open(folder.path()).await.unwrap();
        let mut holder = connect(&folder, "PRAGMA busy_timeout = 0").await;
        for (pragma, blocked, expected) in [
            (
                "PRAGMA busy_timeout = 0",
                true,
                "another process is holding the store",
            ),
            (
                "PRAGMA query_only = ON",
                false,
                "the store may not be written",
            ),
            ("PRAGMA max_page_count = 1", false, "no room is left"),
        ] {
            let mut connection = connect(&folder, pragma).await;
            if blocked {
                holder.execute("BEGIN IMMEDIATE").await.unwrap();
            }
            let error = StoreError::from(connection.execute(WRITE).await.unwrap_err());
            if blocked {
                holder.execute("ROLLBACK").await.unwrap();
            }
            assert!(error.to_string().starts_with(expected), "{pragma}: {error}");
        }
        connect(&folder, "SELECT 1")
            .await
            .execute(WRITE)
            .await
            .unwrap();
    }
}
