//! Folders → [`Files`]: the texts, in the order in which they are laid over one another. What stands in them is read
//! by `parse` and checked by `resolve`; nothing here watches for changes. A text that was read before can be left where
//! it is, and known by its digest alone, until somebody needs it.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::builtin;
use super::place;
use super::problem::Problem;
use super::seen::{Seen, Stamp};
use crate::give_way::give_way;

/// The largest file that is read. A hundred thousand models are a third of it; what is larger is not a catalog.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The schema of these files, which may stand beside them; it is no catalog file.
const SCHEMA: &str = "schema.json";

/// The folder, inside a catalog folder, that is read after it.
const PRESETS: &str = "presets";

/// SHA-256 of a text.
pub(super) type Digest = [u8; 32];

/// The texts of a catalog, first to last; a later one is laid over the earlier ones.
#[derive(Debug, Default)]
pub struct Files {
    sources: Vec<Source>,
    problems: Vec<Problem>,
}

/// One text and what it is called.
#[derive(Debug)]
pub(super) struct Source {
    name: Box<str>,
    text: Text,
    digest: Digest,
    shipped: bool,
}

#[derive(Debug)]
enum Text {
    Here(Cow<'static, str>),
    /// In this file, which said the same when it was read before.
    Left(PathBuf),
}

impl Source {
    fn new(name: Box<str>, text: Cow<'static, str>) -> Self {
        let digest = match &text {
            // What is compiled in never changes: its place says which text it is, and costs nothing.
            Cow::Borrowed(text) => Sha256::digest(text.as_ptr().addr().to_le_bytes()),
            Cow::Owned(text) => Sha256::digest(text),
        };
        Self {
            name,
            text: Text::Here(text),
            digest: digest.into(),
            shipped: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is of the binary, and so has been looked at by the tests.
    pub(super) fn is_shipped(&self) -> bool {
        self.shipped
    }

    /// Without a byte order mark, which some editors write. Nothing, which is no catalog file, where it was left.
    pub(super) fn text(&self) -> &str {
        let text = match &self.text {
            Text::Here(text) => text,
            Text::Left(_) => "",
        };
        text.strip_prefix('\u{feff}').unwrap_or(text)
    }
}

impl Files {
    /// No files at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The catalog inside the binary.
    #[must_use]
    pub fn builtin() -> Self {
        let mut files = Self::empty();
        for (name, text) in builtin::FILES {
            let name = format!("builtin/{name}").into();
            let source = Source::new(name, Cow::Borrowed(text));
            files.sources.push(Source {
                shipped: true,
                ..source
            });
        }
        files
    }

    /// Lays `text` over what is there; `name` is how problems call it.
    pub fn add_text(&mut self, name: &str, text: impl Into<Cow<'static, str>>) {
        self.sources.push(Source::new(name.into(), text.into()));
    }

    /// Lays the `*.json` files of `folder` over what is there, by name, then those of the folder `presets` inside it.
    /// What cannot be read is kept as a problem, for `resolve` to report with all others.
    pub fn add_folder(&mut self, folder: &Path) {
        self.add_files(folder, |files, path| {
            let _ = files.add_file(path);
        });
    }

    /// As [`Self::add_folder`], but files that have not changed since they were `seen` are left where they are, for
    /// [`Self::fetch`].
    pub fn add_folder_seen(&mut self, folder: &Path, seen: &Seen) {
        self.add_files(folder, |files, path| files.add_file_seen(path, seen));
    }

    fn add_files(&mut self, folder: &Path, mut add: impl FnMut(&mut Self, &Path)) {
        match json_files(folder) {
            Ok(paths) => paths.iter().for_each(|path| {
                give_way();
                add(self, path);
            }),
            Err(error) => self.cannot_read(folder, &error),
        }
        match json_files(&folder.join(PRESETS)) {
            Ok(paths) => paths.iter().for_each(|path| add(self, path)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => self.cannot_read(&folder.join(PRESETS), &error),
        }
    }

    /// Reads what was left, before it is resolved. The digest is of what was read, should a file have changed meanwhile.
    pub fn fetch(&mut self) {
        for source in std::mem::take(&mut self.sources) {
            give_way();
            match source.text {
                Text::Left(path) => {
                    let _ = self.add_file(&path);
                }
                Text::Here(_) => self.sources.push(source),
            }
        }
    }

    /// The files that [`Self::add_folder`] reads, as they are now; none where they cannot be listed.
    #[must_use]
    pub fn listed(folder: &Path) -> Vec<PathBuf> {
        let mut paths = json_files(folder).unwrap_or_default();
        paths.extend(json_files(&folder.join(PRESETS)).unwrap_or_default());
        paths
    }

    /// The digest of its text, where it has one.
    fn add_file(&mut self, path: &Path) -> Option<Digest> {
        let name = path.display().to_string();
        let problem = match read(path) {
            Ok(Contents::Text(text)) if is_schema(path, &text) => return None,
            Ok(Contents::Text(text)) => {
                self.add_text(&name, text);
                return self.sources.last().map(|source| source.digest);
            }
            Ok(Contents::NotUtf8(error)) => not_utf8(&name, &error),
            Ok(Contents::TooLarge) => {
                let mib = FILE_BYTES_MAX >> 20;
                Problem::of_file(
                    &name,
                    format!("larger than {mib} MiB; split it into several files"),
                )
            }
            Ok(Contents::NoFile) => Problem::of_file(
                &name,
                "not a regular file; remove it or give it another name",
            ),
            Err(error) => {
                self.cannot_read(path, &error);
                return None;
            }
        };
        self.problems.push(problem);
        None
    }

    fn add_file_seen(&mut self, path: &Path, seen: &Seen) {
        let now = SystemTime::now();
        // What is wrong with it is told when it is read.
        let stamp = Stamp::of(path).ok().flatten();
        let known = stamp.and_then(|stamp| seen.digest(path, &stamp));
        if let Some(digest) = known {
            self.sources.push(Source {
                name: path.display().to_string().into(),
                text: Text::Left(path.to_owned()),
                digest,
                shipped: false,
            });
        } else if let (Some(digest), Some(stamp)) = (self.add_file(path), stamp) {
            seen.note(path, stamp, now, digest);
        }
    }

    fn cannot_read(&mut self, path: &Path, error: &io::Error) {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "does not exist, or was removed while the catalog was read",
            io::ErrorKind::PermissionDenied => {
                "cannot be read by the user that the gateway runs as"
            }
            _ => "cannot be read",
        };
        self.problems.push(Problem::of_file(
            &path.display().to_string(),
            format!("{what} ({error})"),
        ));
    }

    /// The same for the same texts under the same names, so that what was made of them once is not made again. Holds
    /// in this process only.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        };
        for source in &self.sources {
            add(source.name.as_bytes());
            add(&source.digest);
        }
        for problem in &self.problems {
            add(problem.to_string().as_bytes());
        }
        digest.finalize().into()
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// The names end in `.json` and do not begin with a dot, as the half-written files of editors do. A file is itself,
/// whatever its name.
fn json_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if folder.is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "json")
            && !path.is_dir()
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_schema(path: &Path, text: &str) -> bool {
    path.file_name().is_some_and(|name| name == SCHEMA) && text.contains("://json-schema.org/")
}

/// What a path that should be a catalog file turned out to hold.
enum Contents {
    Text(String),
    NotUtf8(FromUtf8Error),
    TooLarge,
    /// A pipe or device, which could be read for ever.
    NoFile,
}

fn read(path: &Path) -> io::Result<Contents> {
    // Before it is opened: opening a pipe waits for its writer.
    if !fs::metadata(path)?.is_file() {
        return Ok(Contents::NoFile);
    }
    let file = File::open(path)?;
    if file.metadata()?.len() > FILE_BYTES_MAX {
        return Ok(Contents::TooLarge);
    }
    let mut bytes = Vec::new();
    // One byte more than may be there: a file that grows meanwhile ends there.
    let count = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if count as u64 > FILE_BYTES_MAX {
        return Ok(Contents::TooLarge);
    }
    Ok(String::from_utf8(bytes).map_or_else(Contents::NotUtf8, Contents::Text))
}

fn not_utf8(name: &str, error: &FromUtf8Error) -> Problem {
    let (line, column) = place::line_and_column(error.as_bytes(), error.utf8_error().valid_up_to());
    let mut problem = Problem::of_file(name, "not UTF-8; save the file as UTF-8");
    (problem.line, problem.column) = (Some(line), Some(column));
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &Files) -> Vec<String> {
        files.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_digest_is_of_names_and_texts_and_what_could_not_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let digest = |files: &[(&str, &str)]| {
            let mut all = Files::builtin();
            for (name, text) in files {
                all.add_text(name, (*text).to_owned());
            }
            all.digest()
        };
        let one = digest(&[("a", "{}"), ("b", "{}")]);
        assert_eq!(one, digest(&[("a", "{}"), ("b", "{}")]));
        for other in [
            &[("a", "{}"), ("b", "{ }")][..],
            &[("b", "{}"), ("a", "{}")],
            &[("a", "{}b"), ("", "{}")],
            &[("a", "{}")],
        ] {
            assert_ne!(one, digest(other), "{other:?}");
        }
        let mut unreadable = Files::builtin();
        unreadable.add_folder(&folder.path().join("absent"));
        assert_ne!(unreadable.digest(), Files::builtin().digest());
        assert_ne!(Files::empty().digest(), Files::builtin().digest());
    }

    #[test]
    fn what_has_not_changed_is_left_until_it_is_needed() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = SystemTime::now() - std::time::Duration::from_secs(60);
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let seen = Seen::default();
        let load = || {
            let mut files = Files::empty();
            files.add_folder_seen(folder.path(), &seen);
            files
        };
        let texts = |files: &Files| {
            let texts = files
                .sources()
                .iter()
                .map(|source| source.text().to_owned());
            texts.collect::<Vec<_>>()
        };
        // No clock can be turned back here to make the files old: what is known of them is.
        for (name, text) in [("a.json", "[1]"), ("b.json", "[2]")] {
            let path = write(name, text);
            let stamp = Stamp::of(&path).expect("there").expect("a file");
            let later = old + std::time::Duration::from_secs(120);
            seen.note(&path, stamp, later, Sha256::digest(text).into());
        }
        let mut files = load();
        assert_eq!(texts(&files), ["", ""], "left");
        let left = files.digest();
        files.fetch();
        assert_eq!(texts(&files), ["[1]", "[2]"]);
        assert_eq!(files.digest(), left);

        write("b.json", "[3]");
        let mut files = load();
        assert_eq!(texts(&files), ["", "[3]"], "changed");
        assert_ne!(files.digest(), left);
        fs::remove_file(folder.path().join("a.json")).expect("removed");
        files.fetch();
        assert_eq!(texts(&files), ["[3]"]);
        assert_eq!(files.problems().len(), 1, "gone meanwhile");
    }

    #[test]
    fn a_folder_is_read_by_name_and_its_presets_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("presets")).expect("a folder");
        for name in [
            "b.json",
            "a.json",
            "presets/c.json",
            ".d.json",
            "e.json.swp",
            "f.txt",
        ] {
            fs::write(folder.path().join(name), "{}").expect("a file");
        }
        let mut files = Files::empty();
        files.add_folder(folder.path());
        let names: Vec<_> = files
            .sources()
            .iter()
            .map(|source| Path::new(source.name()).file_name())
            .collect();
        assert_eq!(
            names,
            ["a.json", "b.json", "c.json"].map(|name| Some(name.as_ref()))
        );
        assert_eq!(messages(&files), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_hides_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("bytes.json"), b"{\n \"name\": \"\xff\"}").expect("a file");
        File::create(path("huge.json"))
            .and_then(|file| file.set_len(2 << 30))
            .expect("a sparse file of 2 GiB");
        std::os::unix::fs::symlink(path("gone"), path("removed.json")).expect("a link to nothing");
        std::os::unix::net::UnixListener::bind(path("socket.json")).expect("a socket");
        fs::write(path("well.json"), "{}").expect("a file");
        let mut files = Files::empty();
        files.add_folder(folder.path());
        files.add_folder(&path("no-such-folder"));
        let messages = messages(&files);
        let expected = [
            "bytes.json:2:11: not UTF-8",
            "huge.json: larger than 64 MiB",
            "removed.json: does not exist",
            "socket.json: not a regular file",
            "no-such-folder: does not exist",
        ];
        assert_eq!(messages.len(), expected.len(), "{messages:?}");
        for (message, expected) in messages.iter().zip(expected) {
            assert!(message.contains(expected), "{message} has no {expected}");
        }
        assert_eq!(files.sources().len(), 1);
    }

    #[test]
    fn the_binary_holds_every_file_of_the_catalog_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        let mut on_disk = Files::empty();
        on_disk.add_folder(&folder);
        assert_eq!(messages(&on_disk), Vec::<String>::new());
        let relative = |source: &Source| {
            let name = Path::new(source.name());
            let name = name
                .strip_prefix(&folder)
                .or_else(|_| name.strip_prefix("builtin"))
                .expect("a known folder");
            (name.display().to_string(), source.text().len())
        };
        let builtin = Files::builtin();
        let in_binary: Vec<_> = builtin.sources().iter().map(relative).collect();
        let on_disk: Vec<_> = on_disk.sources().iter().map(relative).collect();
        assert_eq!(in_binary, on_disk);
    }
}
