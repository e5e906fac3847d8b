//! What the configuration points at: whether it is there and can be read. The only part of `config` that looks beyond
//! the file itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::problem::{Place, Problem};
use crate::secret::SecretRef;
use crate::whole;

/// All certificate authorities of the world are some hundred KiB.
pub(crate) const PEM_BYTES_MAX: u64 = 16 << 20;

/// Something the configuration names and does not hold, with the place where it does.
pub(super) struct Reference {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) what: Outside,
}

/// What is named.
pub(super) enum Outside {
    /// PEM certificates.
    Certificates(PathBuf),
    /// A PEM private key.
    PrivateKey(PathBuf),
    /// A file or folder whose content somebody else checks.
    Path(PathBuf),
    /// A secret.
    Secret(SecretRef),
    /// A secret that clients present.
    Token(SecretRef),
}

/// A problem for each of `references` that cannot be read or is plainly something else.
pub(super) fn missing(file: &Path, references: &[Reference]) -> Vec<Problem> {
    let problem = |reference: &Reference| {
        let message = fault(&reference.what)?;
        Some(Problem::new(
            file,
            Some(reference.place),
            &*reference.key,
            message,
        ))
    };
    references.iter().filter_map(problem).collect()
}

fn fault(what: &Outside) -> Option<String> {
    match what {
        Outside::Certificates(path) => pem_fault(path, "CERTIFICATE-----"),
        Outside::PrivateKey(path) => pem_fault(path, "PRIVATE KEY-----"),
        Outside::Path(path) => fs::metadata(path)
            .err()
            .map(|error| unreadable(path, &error)),
        Outside::Secret(reference) => reference.resolve().err().map(|error| error.to_string()),
        Outside::Token(reference) => reference
            .resolve_token()
            .err()
            .map(|error| error.to_string()),
    }
}

/// Only whether a block of the right kind is there: what is in it is for the TLS library to say.
fn pem_fault(path: &Path, label: &str) -> Option<String> {
    let text = match whole::read(path, PEM_BYTES_MAX) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return Some(unreadable(path, &error)),
    };
    let begins = |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(label);
    match text.lines().find(|line| begins(line)) {
        // The two ways in which openssl writes one.
        Some(_) if is_locked(&text) => Some(format!(
            "{}: needs a password, and nobody is there to type one; \
             `openssl pkey -in FILE -out FILE` takes it off",
            path.display()
        )),
        Some(_) => None,
        None => {
            let wanted = label.trim_end_matches('-');
            Some(format!(
                "{}: holds no `BEGIN … {wanted}` block; it must be a PEM file",
                path.display()
            ))
        }
    }
}

/// Whether a private key needs a password.
fn is_locked(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end);
    lines.any(|line| {
        line == "-----BEGIN ENCRYPTED PRIVATE KEY-----" || line == "Proc-Type: 4,ENCRYPTED"
    })
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!(
        "{}: cannot be read: {}",
        path.display(),
        whole::reason(error)
    )
}
