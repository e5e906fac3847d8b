//! Secrets: values that no log line, error or debug print can show, and the references by which
//! configuration names them (`env:NAME`, `file:PATH`, `credential:NAME`).
//!
//! Absent: encryption at rest, and secrets written in the configuration itself, which are refused.

use std::ffi::OsString;
use std::fmt;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};

use crate::whole;

/// Bytes a secret file may have. A provider key has some 200, a PEM chain some thousands.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where systemd puts the files of `LoadCredential=` (systemd.exec(5)).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// A secret text. It prints as `Secret(..)`, and it is compared in constant time.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes `text` as it is.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The value itself, for the one place that sends or shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Secret {}

/// Compares without stopping at the first difference, so that the time taken tells nothing of where
/// it is. Lengths are not hidden.
#[must_use]
pub fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    let differences = left.iter().zip(right).fold(0, |sum, (l, r)| sum | (l ^ r));
    // Hides the sum from the optimiser, which could otherwise stop once it knows the outcome.
    left.len() == right.len() && black_box(differences) == 0
}

/// Where a secret is kept, as configuration writes it. Safe to print: it never holds the secret.
///
/// There is deliberately no `Deserialize`: a parser's error would quote the line, and with it a
/// secret that was written there by mistake. Read a string, then call [`SecretRef::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: a file's content without its trailing line breaks.
    File(PathBuf),
    /// `credential:NAME`: a file of `LoadCredential=` or `SetCredential=` in the systemd unit,
    /// trimmed alike.
    Credential(String),
}

impl SecretRef {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`SecretError::NotAReference`] for anything else, a plain secret among them; it does not
    /// hold the text.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let (kind, rest) = text.split_once(':').ok_or(SecretError::NotAReference)?;
        match kind {
            "env" if is_variable_name(rest) => Ok(Self::Env(rest.to_owned())),
            "file" if !rest.is_empty() && !rest.contains('\0') => Ok(Self::File(rest.into())),
            "credential" if is_credential_name(rest) => Ok(Self::Credential(rest.to_owned())),
            _ => Err(SecretError::NotAReference),
        }
    }

    /// The file that it is kept in, where that is one. Of a credential none while systemd says of no folder.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Env(_) => None,
            Self::File(path) => Some(path.clone()),
            Self::Credential(name) => {
                let folder = std::env::var_os(CREDENTIALS_DIRECTORY)?;
                Some(Path::new(&folder).join(name))
            }
        }
    }

    /// As [`SecretRef::resolve`], for a token that clients present in a header.
    ///
    /// # Errors
    /// As there; and where no header could carry it.
    pub fn resolve_token(&self) -> Result<Secret, SecretError> {
        let token = self.resolve()?;
        let text = token.expose();
        if text.trim() != text || text.contains(char::is_control) {
            return Err(self.failed(
                "it has white space at an end, or a line break in it, and no client could send it; \
                 write it on one line",
            ));
        }
        Ok(token)
    }

    /// Reads the secret from where it is kept. Reads a file, so never call it on the request path.
    ///
    /// # Errors
    /// Says which reference could not be read and why; never what was read.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        self.resolve_with(|name| std::env::var_os(name))
    }

    fn resolve_with(&self, env: impl Fn(&str) -> Option<OsString>) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => env(name)
                .ok_or_else(|| self.failed("the variable is not set"))?
                .into_string()
                .map_err(|_| self.failed("its value is not UTF-8"))?,
            Self::File(path) => self.read_file(path)?,
            Self::Credential(name) => {
                let folder = env(CREDENTIALS_DIRECTORY).ok_or_else(|| {
                    self.failed(
                        "$CREDENTIALS_DIRECTORY is not set; add LoadCredential= to the systemd unit",
                    )
                })?;
                self.read_file(&Path::new(&folder).join(name))?
            }
        };
        if text.is_empty() {
            return Err(self.failed("it is empty"));
        }
        if text.trim().is_empty() {
            return Err(self.failed("there is nothing but white space in it"));
        }
        Ok(Secret::new(text))
    }

    fn read_file(&self, path: &Path) -> Result<String, SecretError> {
        let bytes = whole::read(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => self.failed("the file is larger than 64 KiB"),
            _ => self.failed(&whole::reason(&error)),
        })?;
        let mut text =
            String::from_utf8(bytes).map_err(|_| self.failed("its content is not UTF-8"))?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(text)
    }

    fn failed(&self, reason: &str) -> SecretError {
        SecretError::Unreadable {
            reference: self.clone(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(out, "env:{name}"),
            Self::File(path) => write!(out, "file:{}", path.display()),
            Self::Credential(name) => write!(out, "credential:{name}"),
        }
    }
}

/// POSIX names, so that a secret written after `env:` by mistake is refused rather than printed as
/// a name.
fn is_variable_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(word)
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

/// One file name: a credential cannot point out of its folder.
fn is_credential_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// Why there is no secret. Prints references only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// The text is none of the three forms. It is not kept: it may be the secret itself.
    NotAReference,
    /// The reference is well formed; what it points at could not be used.
    Unreadable {
        /// As configuration wrote it.
        reference: SecretRef,
        /// In words, without the value.
        reason: Box<str>,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAReference => out.write_str(
                "not a reference to a secret: write env:NAME, file:PATH or credential:NAME, \
                 and keep the secret itself out of this file",
            ),
            Self::Unreadable { reference, reason } => {
                write!(out, "cannot read the secret {reference}: {reason}")
            }
        }
    }
}

impl std::error::Error for SecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "sk-live-do-not-print";

    fn nothing_set(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn a_secret_prints_as_dots() {
        let secret = Secret::new(PLAIN);
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "Secret(..) Some(\n    Secret(..),\n)"
        );
        assert_eq!(secret.expose(), PLAIN);
    }

    #[test]
    fn secrets_are_equal_when_all_their_bytes_are() {
        assert_eq!(Secret::new("abc"), Secret::new("abc"));
        for other in ["abd", "xbc", "ab", "abcd", ""] {
            assert_ne!(Secret::new("abc"), Secret::new(other), "{other:?}");
        }
    }

    #[test]
    fn the_three_forms_are_read_and_printed_alike() {
        for text in [
            "env:OPENAI_API_KEY",
            "file:/run/secrets/key",
            "file:a:b",
            "credential:openai",
        ] {
            assert_eq!(
                SecretRef::parse(text).map(|r| r.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_and_not_repeated() {
        let others = [
            PLAIN,
            "",
            "env",
            "env:",
            "env:1X",
            "env:A B",
            "env:sk-live-do-not-print",
            "file:",
            "ENV:X",
            "credential:",
            "credential:../shadow",
            "credential:..",
            "credential:a/b",
            "vault:x",
            "https://user:sk-live-do-not-print@host",
        ];
        for text in others {
            let error = SecretRef::parse(text).expect_err(text);
            assert_eq!(error, SecretError::NotAReference);
            assert!(!format!("{error} {error:?}").contains("live"), "{text}");
        }
    }

    #[test]
    fn a_variable_is_taken_as_it_is() {
        let secret =
            SecretRef::Env("K".into()).resolve_with(|name| (name == "K").then(|| PLAIN.into()));
        assert_eq!(secret, Ok(Secret::new(PLAIN)));
        let error = SecretRef::Env("K".into())
            .resolve_with(nothing_set)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read the secret env:K: the variable is not set"
        );
        assert!(
            SecretRef::Env("K".into())
                .resolve_with(|_| Some("".into()))
                .is_err()
        );
    }

    #[test]
    fn the_process_environment_is_read() {
        assert!(SecretRef::Env("PATH".into()).resolve().is_ok());
    }

    #[test]
    fn trailing_line_breaks_of_a_file_are_dropped_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, expected) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a"),
            ("a ", "a "),
            (" a\nb\n", " a\nb"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(
                SecretRef::File(path.clone()).resolve(),
                Ok(Secret::new(expected)),
                "{content:?}"
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_a_secret_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let big = "live".repeat(20_000);
        for content in [&b""[..], b"\n", b" \t\r\n \n", b"live\xff", big.as_bytes()] {
            std::fs::write(&path, content).unwrap();
            let error = SecretRef::File(path.clone()).resolve().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("key") && !shown.contains("live"), "{shown}");
        }
        let missing = SecretRef::File(folder.path().join("none"))
            .resolve()
            .unwrap_err();
        assert!(
            missing.to_string().ends_with("there is no such file"),
            "{missing}"
        );
    }

    #[test]
    fn a_token_is_what_a_header_can_carry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (content, good) in [
            ("live\n", true),
            ("live \n", false),
            ("\nlive", false),
            ("li\nve\n", false),
        ] {
            std::fs::write(&path, content).unwrap();
            let token = SecretRef::File(path.clone()).resolve_token();
            assert_eq!(token.is_ok(), good, "{content:?}");
            assert!(!format!("{token:?}").contains("live"), "{content:?}");
        }
    }

    #[test]
    fn a_credential_is_a_file_in_systemds_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("openai"), "live\n").unwrap();
        let env = |name: &str| (name == CREDENTIALS_DIRECTORY).then(|| folder.path().into());
        let reference = SecretRef::parse("credential:openai").unwrap();
        assert_eq!(reference.resolve_with(env), Ok(Secret::new("live")));
        let error = reference.resolve_with(nothing_set).unwrap_err();
        assert!(error.to_string().contains("LoadCredential="), "{error}");
    }
}
