//! Disks that fail: one that is small, one that hangs, and a file that takes no more writing. All take root, and what the
//! kernel has.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of two MiB in memory. Gone with the value.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, and a line that says so, where none can be mounted.
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        if run(
            "mount",
            &["-t", "tmpfs", "-o", "size=2m", "none"],
            folder.path(),
        ) {
            return Some(Self(folder));
        }
        eprintln!("skipped: no file system can be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).expect("a file");
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Gives it back.
    pub fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast");
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.0.path());
    }
}

/// A file system that can be made to hang. Gone with the value.
pub struct HangingDisk {
    folder: tempfile::TempDir,
    _image: tempfile::NamedTempFile,
}

/// A disk that hangs: whoever writes waits, and cannot be killed. It goes on with the value's end.
pub struct Hanging<'a>(&'a HangingDisk);

impl HangingDisk {
    /// `None`, and a line that says so, where none can be made and mounted.
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let image = tempfile::NamedTempFile::new().expect("a file");
        image.as_file().set_len(16 << 20).expect("room");
        let file = image.path().to_str().expect("UTF-8");
        let made = run("mkfs.ext4", &["-q"], image.path())
            && run("mount", &["-o", "loop", file], folder.path());
        if made {
            return Some(Self {
                folder,
                _image: image,
            });
        }
        eprintln!("skipped: no file system in a file can be made and mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn hang(&self) -> Hanging<'_> {
        assert!(run("fsfreeze", &["--freeze"], self.path()), "fsfreeze");
        Hanging(self)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        run("fsfreeze", &["--unfreeze"], self.0.path());
    }
}

impl Drop for HangingDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.path());
    }
}

/// A file that cannot be written, not even by who has it open. Writable again with the value's end.
pub struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None`, and a line that says so, where the file system knows no such thing.
    pub fn set(file: &Path) -> Option<Self> {
        if run("chattr", &["+i"], file) {
            return Some(Self(file.to_owned()));
        }
        eprintln!("skipped: no file can be made immutable here");
        None
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        run("chattr", &["-i"], &self.0);
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}
