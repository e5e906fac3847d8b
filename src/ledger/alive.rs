//! Whether a process that has had the ledger lives still: each locks a file of its own beside the store, named by the
//! number by which the store knows it. The lock goes with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::lock;

/// The sign that this process lives, until it is dropped.
#[derive(Debug)]
pub struct Alive {
    path: PathBuf,
    _locked: File,
}

impl Alive {
    /// That of the process that the store `file` knows by the number `generation`.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn begin(file: &Path, generation: i64) -> io::Result<Self> {
        let path = path(file, generation);
        let locked = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        locked.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            path,
            _locked: locked,
        })
    }

    /// Nothing is to be told any more.
    pub fn end(self) {
        // Whoever finds it later removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the process of that number lives. The file of one that does not is removed. Asked by the owner of the ledger
/// only: no process begins meanwhile.
///
/// # Errors
/// The file cannot be looked at.
pub fn lives(file: &Path, generation: i64) -> io::Result<bool> {
    is_locked(&path(file, generation))
}

/// Removes what processes have left behind that were ended by force. Asked by the owner of the ledger only.
///
/// # Errors
/// The folder cannot be read.
pub fn tidy(file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let own = lock::beside(file, ".");
    let own = own.file_name().unwrap_or_default().as_encoded_bytes();
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.as_encoded_bytes().strip_prefix(own);
        if number.is_some_and(|number| number.len() == DIGITS) {
            // One that cannot be looked at is in nobody's way.
            let _ = is_locked(&entry.path());
        }
    }
    Ok(())
}

const DIGITS: usize = 16;

fn path(file: &Path, generation: i64) -> PathBuf {
    lock::beside(file, &format!(".{:016x}", generation.cast_unsigned()))
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {
            std::fs::remove_file(path)?;
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_is_known_however_that_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("tollgate.db");
        let [clean, killed, living] = [7, -7, 0].map(|number| Alive::begin(&store, number));
        assert!(lives(&store, 7).unwrap() && lives(&store, -7).unwrap());
        assert!(
            Alive::begin(&store, 7).is_err(),
            "a number is one process's"
        );
        clean.unwrap().end();
        drop(killed.unwrap());
        assert!(!lives(&store, 7).unwrap());
        let left = folder.path().join("tollgate.db.ledger.fffffffffffffff9");
        assert!(left.exists());
        let other = folder.path().join("tollgate.db.ledger.bak");
        std::fs::write(&other, "").unwrap();
        tidy(&store).unwrap();
        assert!(!left.exists() && other.exists());
        assert!(!lives(&store, -7).unwrap());
        assert!(lives(&store, 0).unwrap());
        drop(living);
    }
}
