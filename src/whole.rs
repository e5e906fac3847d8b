//! Small files that are read whole: configuration, secrets, certificates. Pipes and devices are refused, since they could be
//! read for ever, and opening a pipe waits for its writer.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// The system's; and that it is no regular file (a folder, a pipe, a device), or larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Before it is opened, not after: that may be what would wait.
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file, but a pipe, socket or device",
        ));
    }
    let mut bytes = Vec::new();
    // One byte more than may be there: a file that grows meanwhile ends there.
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Why a file cannot be read, for people, with what to do where that is plain.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::IsADirectory => "it is a folder; name a file".into(),
        io::ErrorKind::PermissionDenied => {
            "this user may not read it; see the owner and mode of the file and of its folders"
                .into()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        let why = |path: &Path, most| reason(&read(path, most).unwrap_err());
        assert_eq!(why(&file, 3), "file too large");
        assert_eq!(why(folder.path(), 4), "it is a folder; name a file");
        assert_eq!(why(&file.with_extension("x"), 4), "there is no such file");
        assert!(why(Path::new("/dev/null"), 4).contains("no regular file"));
        assert!(why(Path::new("/dev/zero"), 4).contains("no regular file"));
    }
}
