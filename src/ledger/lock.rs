//! Which process holds the ledger of a store: the one that has locked a file beside it. The lock goes with the process,
//! however that ends. On file systems without locks between machines (some of NFS) it says nothing of other machines; the
//! owner that is written in the store does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is added to the name of the store's file.
const SUFFIX: &str = ".ledger";

/// And to that, for the file whose lock is taken first.
const TURN: &str = "-turn";

/// The file, locked or not.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: Option<File>,
}

impl Lock {
    /// That of the ledger in the store `file`; not locked yet.
    pub fn of(file: &Path) -> Self {
        Self {
            path: beside(file, ""),
            file: None,
        }
    }

    /// That of the turn to take the ledger: one has it for the moment of a try, but who is to succeed the owner until it has
    /// the ledger. So nobody who merely waits comes in between when the owner lets go.
    pub fn of_turn(file: &Path) -> Self {
        Self {
            path: beside(file, TURN),
            file: None,
        }
    }

    /// Tries to lock it, making it if it is not there. True: it is locked, now or before.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn try_take(&mut self) -> io::Result<bool> {
        if self.file.is_some() {
            return Ok(true);
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.path)?;
        match file.try_lock() {
            Ok(()) => {
                self.file = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Lets others have it.
    pub fn release(&mut self) {
        if let Some(file) = self.file.take() {
            // Not by closing it alone: a child that is just being made has it, too.
            let _ = file.unlock();
        }
    }
}

/// The name of a file of the ledger beside the store `file`, ending in `more`.
pub fn beside(file: &Path, more: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SUFFIX);
    name.push(more);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("tollgate.db");
        let [mut first, mut second] = [Lock::of(&store), Lock::of(&store)];
        assert!(first.try_take().unwrap());
        assert!(first.try_take().unwrap(), "it is taken once");
        assert!(!second.try_take().unwrap());
        drop(first);
        assert!(second.try_take().unwrap());
        second.release();
        assert!(Lock::of(&store).try_take().unwrap());
        assert!(folder.path().join("tollgate.db.ledger").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let mut lock = Lock::of(Path::new("/nonexistent/tollgate.db"));
        assert!(lock.try_take().is_err());
    }
}
