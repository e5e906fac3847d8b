//! A mistake in the configuration: where it stands and what to do about it. Knows nothing of what is checked.

use std::fmt;
use std::path::Path;

/// Line and column of a key in the configuration file, both from 1; columns count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

impl Place {
    /// The place of the byte at `offset` in `text`; past the end, the place where the text ends.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        let saturate = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            line: saturate(line),
            column: saturate(column),
        }
    }
}

/// One mistake. Its `Display` is the line that `tollgate check` and the log print:
/// `conf/tollgate.toml:7:11: timeouts.connect: must be from 1ms to 60s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us.
    pub file: Box<str>,
    /// `None` when the file as a whole could not be read.
    pub place: Option<Place>,
    /// The key with its sections (`timeouts.connect`, `listen[1].tls.key`). Empty for the file as a whole, and for
    /// mistakes of syntax.
    pub key: String,
    /// What is wrong and what to do. Never quotes a value that may be a secret.
    pub message: String,
}

impl Problem {
    /// A mistake at `place` of the configuration `file`.
    pub fn new(
        file: &Path,
        place: Option<Place>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_string_lossy().into(),
            place,
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(out, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(out, ": {}", self.key)?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_bytes_from_one() {
        let text = "a = 1\nbé = 2\n";
        let place = |offset| (Place::of(text, offset).line, Place::of(text, offset).column);
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(4), (1, 5));
        assert_eq!(place(6), (2, 1));
        assert_eq!(place(10), (2, 5));
        assert_eq!(place(9_999), (3, 1));
    }

    #[test]
    fn a_problem_prints_as_one_line_that_editors_can_follow() {
        let problem =
            |place| Problem::new(Path::new("conf/t.toml"), place, "server.drain", "too long");
        let place = Place { line: 3, column: 9 };
        assert_eq!(
            problem(Some(place)).to_string(),
            "conf/t.toml:3:9: server.drain: too long"
        );
        assert_eq!(
            problem(None).to_string(),
            "conf/t.toml: server.drain: too long"
        );
    }
}
