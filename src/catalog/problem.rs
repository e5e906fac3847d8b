//! A mistake in the catalog: where it stands and what to do about it. Knows nothing of what is checked.

use std::fmt;

/// One mistake. Its `Display` is the line that `tollgate check` and the log print:
/// `catalog/acme.json:7:14: models.small.price.input: a price cannot be negative`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us, `builtin/…` for a file inside the binary, or the name of what else holds the
    /// mistake (an environment variable).
    pub file: Box<str>,
    /// Line, from 1. `None` when the file could not be read or the mistake is something absent.
    pub line: Option<u32>,
    /// Column in bytes, from 1.
    pub column: Option<u32>,
    /// Members from the top of the file to the mistake, with dots between: `models."gpt-4.1".price.input`. Empty for
    /// the file as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A mistake of the file as a whole.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            path: String::new(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}
