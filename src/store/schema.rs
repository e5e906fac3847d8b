//! The store's file and the version of what is in it. Versions go forward only, a migration each; a
//! store that a later version wrote is refused before anything in it is changed.
//!
//! Absent: what the tables are for.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor};

use super::StoreError;
use super::error::is_not_a_database;

/// How long a statement waits for another process that is writing. Above the longest write of ours,
/// below what a person waits for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two tries to switch to WAL, which SQLite does not wait for by itself.
const WAL_RETRY: Duration = Duration::from_millis(20);

/// Migration `n` leads from version `n` to `n + 1`. What was released is never edited.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/sqlite/0001_accounts_and_access_keys.sql"),
    include_str!("migrations/sqlite/0002_credit.sql"),
    include_str!("migrations/sqlite/0003_provider_keys.sql"),
    include_str!("migrations/sqlite/0004_ledger_generations.sql"),
    include_str!("migrations/sqlite/0005_audit.sql"),
];

/// The version this program writes.
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Makes the folder and the file unless they are there, brings the schema up to date, and says how
/// to connect.
pub(super) async fn prepare(
    folder: &Path,
    file: &Path,
) -> Result<SqliteConnectOptions, StoreError> {
    make_folder(folder)?;
    make_file(file)?;
    refuse_unless_ours(file).await?;
    let options = options(file);
    let mut connection = options.connect().await?;
    switch_to_wal(&mut connection).await?;
    migrate(&mut connection, file).await?;
    connection.close().await?;
    Ok(options)
}

/// How to connect to the store in `file` without changing anything; `None` where there is no store of this version.
pub(super) async fn look_only(file: &Path) -> Result<Option<SqliteConnectOptions>, StoreError> {
    if !file.exists() {
        return Ok(None);
    }
    let options = options(file).read_only(true);
    let found = look(&options, file).await?;
    known(found, file)?;
    Ok((found == KNOWN).then_some(options))
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        // A commit that was reported survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .log_statements(log::LevelFilter::Trace)
}

/// Readable by its owner only. A folder that is there keeps the mode the operator gave it.
fn make_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| failed(folder, source))
}

/// Made before SQLite opens it, so that it is never readable by others; SQLite gives its `-wal` and
/// `-shm` the same mode.
fn make_file(file: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(file, error)),
        // SQLite would wait for the writer of a pipe.
        Err(_) if file.metadata().is_ok_and(|kind| !kind.is_file()) => Err(StoreError::Foreign {
            path: file.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder {
        path: path.to_owned(),
        source,
    }
}

/// Looks at the version without write access: with it, SQLite would tidy up the file when it is
/// closed.
async fn refuse_unless_ours(file: &Path) -> Result<(), StoreError> {
    let version = match look(&options(file).read_only(true), file).await {
        Ok(version) => version,
        Err(refused @ StoreError::Foreign { .. }) => return Err(refused),
        // A file whose making was interrupted can only be read once it has been repaired, which
        // takes write access.
        Err(_) => look(&options(file), file).await?,
    };
    known(version, file)
}

async fn look(options: &SqliteConnectOptions, file: &Path) -> Result<i64, StoreError> {
    let mut connection = options
        .connect()
        .await
        .map_err(|error| no_store(error, file))?;
    let version = version(&mut connection, file).await;
    connection.close().await?;
    version
}

fn no_store(error: sqlx::Error, file: &Path) -> StoreError {
    if is_not_a_database(&error) {
        foreign(file)
    } else {
        error.into()
    }
}

fn foreign(file: &Path) -> StoreError {
    StoreError::Foreign {
        path: file.to_owned(),
    }
}

fn known(version: i64, file: &Path) -> Result<(), StoreError> {
    if version > KNOWN {
        return Err(StoreError::Newer {
            path: file.to_owned(),
            found: version,
            known: KNOWN,
        });
    }
    Ok(())
}

/// 0 for an empty database.
async fn version(connection: &mut SqliteConnection, file: &Path) -> Result<i64, StoreError> {
    let tables: Vec<(String,)> =
        sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table'")
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| no_store(error, file))?;
    if tables.is_empty() {
        return Ok(0);
    }
    if !tables.iter().any(|(name,)| name == "tollgate_schema") {
        return Err(foreign(file));
    }
    let (version,) = sqlx::query_as("SELECT version FROM tollgate_schema")
        .fetch_one(connection)
        .await?;
    Ok(version)
}

/// Readers then never wait for a writer. The mode is kept in the file, so this does nothing but
/// once.
async fn switch_to_wal(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let tries = BUSY_TIMEOUT.as_millis() / WAL_RETRY.as_millis();
    for _ in 0..tries {
        match connection
            .execute("PRAGMA journal_mode = WAL")
            .await
            .map_err(StoreError::from)
        {
            Err(StoreError::Busy) => tokio::time::sleep(WAL_RETRY).await,
            other => return other.map(drop),
        }
    }
    Err(StoreError::Busy)
}

/// All missing migrations in one transaction: a crash leaves the old version or the new one.
async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    if version(connection, file).await? == KNOWN {
        return Ok(());
    }
    // Another process may have migrated since the look above, or may be about to: from here on it
    // waits.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = version(&mut transaction, file).await?;
    known(found, file)?;
    for (to, migration) in (1..).zip(MIGRATIONS).filter(|(to, _)| *to > found) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        sqlx::query("UPDATE tollgate_schema SET version = $1")
            .bind::<i64>(to)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Billing, Day, FILE, LedgerStore, Store};
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    async fn change(file: &Path, sql: &'static str) {
        let mut connection = options(file).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_the_owner_may_read_what_is_made() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/data");
        let store = Store::open(&folder).await.unwrap();
        store.ensure_account("acme", 1).await.unwrap();
        assert_eq!(mode(&folder), 0o700);
        let files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(
            files.contains(&folder.join(FILE)) && files.len() > 1,
            "{files:?}"
        );
        for file in files {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[tokio::test]
    async fn a_store_is_durable_and_checks_its_references() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        for (pragma, expected) in [
            ("PRAGMA journal_mode", "wal"),
            ("PRAGMA synchronous", "2"),
            ("PRAGMA foreign_keys", "1"),
            ("PRAGMA busy_timeout", "5000"),
            ("PRAGMA integrity_check", "ok"),
        ] {
            let row = store.pool.fetch_one(pragma).await.unwrap();
            let value = sqlx::Row::try_get_unchecked::<String, _>(&row, 0).unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn a_newer_store_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        Store::open(folder.path()).await.unwrap().close().await;
        change(&file, "UPDATE tollgate_schema SET version = 99").await;
        let before = std::fs::read(&file).unwrap();

        let error = Store::open(folder.path()).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Newer {
                    found: 99,
                    known: KNOWN,
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            error.to_string().contains("run the version that wrote it"),
            "{error}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }

    #[tokio::test]
    async fn a_newer_store_that_was_not_closed_keeps_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        Store::open(folder.path()).await.unwrap().close().await;
        let mut connection = options(&file).connect().await.unwrap();
        connection
            .execute("UPDATE tollgate_schema SET version = 99")
            .await
            .unwrap();
        // As a crash leaves it: a copy made while the change is in the log only.
        let crashed = tempfile::tempdir().unwrap();
        let copied = ["", "-wal"].map(|suffix| {
            let name = format!("{FILE}{suffix}");
            let to = crashed.path().join(&name);
            std::fs::copy(folder.path().join(&name), &to).unwrap();
            (std::fs::read(&to).unwrap(), to)
        });

        let error = Store::open(crashed.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
        for (before, path) in copied {
            assert!(
                std::fs::read(&path).unwrap() == before,
                "{} was changed",
                path.display()
            );
        }
    }

    #[tokio::test]
    async fn who_looks_only_makes_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        assert!(Store::look_into(&file).await.unwrap().is_none());
        assert!(!file.exists());

        let store = Store::open(folder.path()).await.unwrap();
        store.create_account("acme", 1).await.unwrap();
        let looking = Store::look_into(&file).await.unwrap().unwrap();
        assert_eq!(looking.list_accounts().await.unwrap().len(), 1);
        let refused = looking.create_account("zeta", 1).await.unwrap_err();
        assert!(matches!(refused, StoreError::ReadOnly), "{refused}");
        looking.close().await;
        store.close().await;

        // One of an earlier version is left as it is.
        change(&file, "UPDATE tollgate_schema SET version = 1").await;
        assert!(Store::look_into(&file).await.unwrap().is_none());
        change(&file, "UPDATE tollgate_schema SET version = 99").await;
        let newer = Store::look_into(&file).await.unwrap_err();
        assert!(matches!(newer, StoreError::Newer { .. }), "{newer}");
    }

    #[tokio::test]
    async fn what_is_no_store_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        std::fs::write(
            &file,
            "not a database, but long enough to look like one".repeat(100),
        )
        .unwrap();
        let before = std::fs::read(&file).unwrap();
        assert!(matches!(
            Store::open(folder.path()).await,
            Err(StoreError::Foreign { .. })
        ));
        assert_eq!(std::fs::read(&file).unwrap(), before);

        std::fs::write(&file, "").unwrap();
        change(&file, "CREATE TABLE somebody_elses (x)").await;
        let before = std::fs::read(&file).unwrap();
        assert!(matches!(
            Store::open(folder.path()).await,
            Err(StoreError::Foreign { .. })
        ));
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let error = Store::open(Path::new("/proc/tollgate")).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot make the store /proc/tollgate: "),
            "{error}"
        );
    }

    /// Every statement that made the store's tables.
    async fn made_by(store: &Store) -> Vec<String> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT type || ' ' || name || ' ' || COALESCE(sql, '') FROM sqlite_master ORDER BY 1",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(row,)| row).collect()
    }

    #[tokio::test]
    async fn a_store_of_any_earlier_version_becomes_one_of_this() {
        let fresh_folder = tempfile::tempdir().unwrap();
        let fresh = Store::open(fresh_folder.path()).await.unwrap();
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store");
        for version in 1..KNOWN {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(FILE);
            std::fs::copy(kept.join(format!("v{version}.db")), &file).unwrap();
            let store = Store::open(folder.path()).await.unwrap();
            assert_eq!(made_by(&store).await, made_by(&fresh).await, "{version}");
            let (now,): (i64,) = sqlx::query_as("SELECT version FROM tollgate_schema")
                .fetch_one(&store.pool)
                .await
                .unwrap();
            assert_eq!(now, KNOWN, "from {version}");
            let names = store.list_accounts().await.unwrap();
            let names: Vec<_> = names.iter().map(|row| &*row.account.name).collect();
            assert_eq!(names, ["acme", "zeta & co"], "{version}");
            assert_eq!(store.load_keyring().await.unwrap().len(), 1, "{version}");
        }
    }

    #[tokio::test]
    async fn accounts_from_before_credit_go_on_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store/v1.db");
        std::fs::copy(old, folder.path().join(FILE)).unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.create_account("new", 1).await.unwrap();
        let claimed = LedgerStore::claim(store.file(), 1, Day(0));
        let accounts = claimed.unwrap().1.accounts;
        let billing: Vec<_> = accounts.iter().map(|account| account.billing).collect();
        let unlimited = Billing::Postpaid { limit: None };
        assert_eq!(billing, [unlimited, unlimited, Billing::Prepaid]);
        assert!(accounts.iter().all(|account| account.balance == 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_may_open_a_new_store_at_once() {
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let opening: Vec<_> = (0..8)
                .map(|_| {
                    let path = folder.path().to_owned();
                    tokio::spawn(async move { Store::open(&path).await.map(drop) })
                })
                .collect();
            for opened in opening {
                opened.await.unwrap().unwrap();
            }
        }
    }
}
