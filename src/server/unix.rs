//! Unix sockets: bound only where no other process listens and nothing else would be lost, and removed with the process
//! that serves from them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Binds `path`. What a process that is gone has left there is replaced.
///
/// # Errors
/// The system's, and that somebody listens there or that something else is there, with what to do.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let told =
        |why: String| io::Error::other(format!("cannot listen on unix:{}: {why}", path.display()));
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(told(
                "something else is there, and is left as it is; remove it, or name another path"
                    .to_owned(),
            ));
        }
        Ok(_) if is_listened_on(path).map_err(|error| told(error.to_string()))? => {
            return Err(told(
                "another process listens there; stop it, or name another path".to_owned(),
            ));
        }
        Ok(_) => fs::remove_file(path).map_err(|error| told(error.to_string()))?,
        Err(_) => {}
    }
    UnixListener::bind(path).map_err(|error| told(format!("{error}{}", advice(error.kind()))))
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "; make its folder first",
        io::ErrorKind::PermissionDenied => "; give this user a folder it may write",
        _ => "",
    }
}

/// Whether a process accepts connections at the socket `path`. Never waits.
fn is_listened_on(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        // Again: as many wait for it as may.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The file of a Unix socket. It is removed with the value while it is this process's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Option<Identity>,
    ours: bool,
}

impl SocketFile {
    /// That at `path`, which is there.
    pub fn new(path: &Path, ours: bool) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
            ours,
        }
    }

    /// Says whether this process is the one to serve from it.
    pub fn is_ours(&mut self, ours: bool) {
        self.ours = ours;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Not one that somebody else has put there since.
        if self.ours && self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Device, number, and when it was made: a number that is free is given again.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.created().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_left_behind_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = bind(&path).unwrap();
        let told = bind(&path).unwrap_err().to_string();
        assert!(told.contains("another process listens"), "{told}");
        drop(first);
        let second = bind(&path).unwrap();
        let file = SocketFile::new(&path, true);
        drop(second);
        // On some file systems nothing else tells the next one apart.
        fs::hard_link(&path, folder.path().join("kept")).unwrap();
        let third = bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it is another's");
        drop(SocketFile::new(&path, false));
        assert!(path.exists(), "it is not ours");
        drop(SocketFile::new(&path, true));
        assert!(!path.exists());
        drop(third);
        fs::write(&path, "precious").unwrap();
        let told = bind(&path).unwrap_err().to_string();
        assert!(told.contains("something else is there"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
