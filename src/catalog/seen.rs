//! What files said when they were read last, known by a digest, so that a large catalog of which one small file has
//! changed is not read whole again. Keeps no texts. A file counts as unchanged when the system says of it what it said
//! then (which file it is, its size, when content and inode changed), and that was not just now.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::load::Digest;

/// A file that changed less than this before it was read may change again without another time: clocks of file systems
/// are coarse, up to two seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// What is known of files by their paths.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<PathBuf, (Stamp, Digest)>>);

/// What the system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that `path` leads to; nothing where it is none.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let file = fs::metadata(path)?;
        Ok(file.is_file().then(|| Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }))
    }

    /// Whether the file has been left alone for a while at the time `now`. Not where its clock is ahead of ours.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = |(seconds, _): (i64, i64)| {
            let time = u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs);
            time.checked_add(SETTLED)
                .is_some_and(|settled| settled < now)
        };
        before(self.modified) && before(self.changed)
    }
}

impl Seen {
    /// The digest of the file's text, if it is known and the file has not changed.
    pub(super) fn digest(&self, path: &Path, stamp: &Stamp) -> Option<Digest> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(path)
            .filter(|(seen, _)| seen == stamp)
            .map(|(_, digest)| *digest)
    }

    /// Notes what a file said that had this stamp before it was read, at the time `now`.
    pub(super) fn note(&self, path: &Path, stamp: Stamp, now: SystemTime, digest: Digest) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp.is_settled(now) {
            known.insert(path.to_owned(), (stamp, digest));
        } else {
            known.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_unchanged_only_when_everything_is_and_has_been_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        fs::write(&path, "{}").expect("a file");
        let stamp = Stamp::of(&path).expect("there").expect("a file");
        let now = SystemTime::now();
        let later = now + Duration::from_secs(5);
        let seen = Seen::default();
        seen.note(&path, stamp, now, [1; 32]);
        assert_eq!(seen.digest(&path, &stamp), None, "it changed just now");
        seen.note(&path, stamp, later, [1; 32]);
        assert_eq!(seen.digest(&path, &stamp), Some([1; 32]));
        let ahead = now - Duration::from_secs(3600);
        assert!(!stamp.is_settled(ahead), "a clock that was set back");
        for other in [
            Stamp { device: 0, ..stamp },
            Stamp { inode: 0, ..stamp },
            Stamp { length: 3, ..stamp },
            Stamp {
                modified: (0, 0),
                ..stamp
            },
            Stamp {
                changed: (0, 0),
                ..stamp
            },
        ] {
            assert_eq!(seen.digest(&path, &other), None, "{other:?}");
        }
    }

    #[test]
    fn only_a_file_has_a_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Stamp::of(folder.path()).expect("there"), None);
        assert!(Stamp::of(&folder.path().join("absent")).is_err());
    }
}
