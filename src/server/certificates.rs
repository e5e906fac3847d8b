//! The certificates of TLS listeners: read and checked before anything uses them, shown to whoever connects, replaced by a
//! reload. A connection keeps the one it began with.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use log::warn;
use pingora::tls::sign::CertifiedKey;
use pingora::tls::{
    ClientHello, CryptoProvider, ResolvesServerCert, install_default_crypto_provider,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::pem::Pem;

use crate::config::{Listen, PEM_BYTES_MAX, Tls};
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::whole;

/// A certificate with its chain and key.
#[derive(Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    /// The Unix second from which it is valid.
    begins: Option<i64>,
    /// The Unix second at which the first of its chain expires.
    expires: Option<i64>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// What is wrong with them, for people; nothing of the key is in it.
    pub fn read(tls: &Tls) -> Result<Self, String> {
        let pem = text(&tls.certificate)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| fault(&tls.certificate, error))?;
        let key = PrivateKeyDer::from_pem_slice(&text(&tls.key)?)
            .map_err(|error| fault(&tls.key, error))?;
        install_default_crypto_provider();
        let provider = CryptoProvider::get_default().ok_or("there is no cryptography for TLS")?;
        let of_both = format!("{}, {}", tls.certificate.display(), tls.key.display());
        let key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| together(&of_both, &error))?;
        Ok(Self {
            key: Arc::new(key),
            begins: times(&pem).map(|(begin, _)| begin).max(),
            expires: times(&pem).map(|(_, end)| end).min(),
        })
    }

    /// Why clients refuse it now, in the Unix second `now`, where that is for its time.
    fn out_of_date(&self, now: i64) -> Option<String> {
        let day = |second| {
            Timestamp::from_second(second).map_or_else(|_| String::new(), |day| day.to_string())
        };
        if let Some(expires) = self.expires.filter(|expires| *expires <= now) {
            return Some(format!(
                "the certificate, or one of its chain, has expired at {}, and clients refuse it; renew it",
                day(expires)
            ));
        }
        let begins = self.begins.filter(|begins| *begins > now)?;
        Some(format!(
            "the certificate is valid from {} on only, and clients refuse it until then; is the clock right?",
            day(begins)
        ))
    }
}

fn text(path: &Path) -> Result<Vec<u8>, String> {
    whole::read(path, PEM_BYTES_MAX).map_err(|error| fault(path, whole::reason(&error)))
}

/// Why a certificate and a key do not go together.
fn together(files: &str, error: &impl fmt::Display) -> String {
    format!(
        "{files}: cannot be used together: {error}; the key must be the one that the certificate was made for, and the \
         server's own certificate must come first in its file"
    )
}

fn fault(path: &Path, error: impl fmt::Display) -> String {
    format!("{}: cannot be read: {error}", path.display())
}

/// From which Unix second to which the certificates in a PEM file are valid.
fn times(pem: &[u8]) -> impl Iterator<Item = (i64, i64)> {
    let certificates = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    certificates.filter_map(|block| {
        let certificate = block.parse_x509().ok()?;
        let validity = certificate.validity();
        Some((
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ))
    })
}

/// The certificates of all TLS listeners, by the address that the configuration gives them.
#[derive(Debug, Default)]
pub struct Read(Vec<(SocketAddr, Arc<Certificate>)>);

impl Read {
    /// Those that clients refuse now for their time, as lines for people.
    #[must_use]
    pub fn out_of_date(&self) -> Vec<String> {
        let now = Timestamp::now().as_second();
        let told = |(address, certificate): &(SocketAddr, Arc<Certificate>)| {
            let why = certificate.out_of_date(now)?;
            Some(format!("listen {address}: {why}"))
        };
        self.0.iter().filter_map(told).collect()
    }
}

/// Reads those of `listeners`.
///
/// # Errors
/// What is wrong with any of them, as lines for people.
pub fn read(listeners: &[Listen]) -> Result<Read, Vec<String>> {
    let (mut read, mut problems) = (Read::default(), Vec::new());
    for listener in listeners {
        match listener.tls.as_ref().map(Certificate::read) {
            Some(Ok(certificate)) => read.0.push((listener.address, Arc::new(certificate))),
            Some(Err(problem)) => problems.push(format!("listen {}: {problem}", listener.address)),
            None => {}
        }
    }
    if problems.is_empty() {
        Ok(read)
    } else {
        Err(problems)
    }
}

/// What one listener shows.
#[derive(Debug)]
pub struct Shown {
    configured: SocketAddr,
    certificate: Snapshot<Certificate>,
    bound: OnceLock<SocketAddr>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certificate.pin().key))
    }
}

/// What the listeners show.
#[derive(Debug, Default)]
pub struct Certificates(Vec<Arc<Shown>>);

impl Certificates {
    /// The listeners that there are, with what they show first.
    #[must_use]
    pub fn new(first: Read) -> Self {
        let shown = |(configured, certificate)| {
            Arc::new(Shown {
                configured,
                certificate: Snapshot::shared(certificate),
                bound: OnceLock::new(),
            })
        };
        Self(first.0.into_iter().map(shown).collect())
    }

    /// What the listener shows that the configuration gives this address, and that has the address `bound`.
    #[must_use]
    pub fn of(&self, configured: SocketAddr, bound: SocketAddr) -> Option<Arc<Shown>> {
        // Port 0 may be there more than once.
        let mut free = self.0.iter().filter(|shown| shown.bound.get().is_none());
        let shown = free.find(|shown| shown.configured == configured)?;
        let _ = shown.bound.set(bound);
        Some(Arc::clone(shown))
    }

    /// Shows `read` from now on, to those who connect. A listener that it says nothing of goes on as before.
    pub fn publish(&self, read: Read) {
        let mut read = read.0;
        for shown in &self.0 {
            let of_it = |(address, _): &(SocketAddr, _)| *address == shown.configured;
            if let Some(at) = read.iter().position(of_it) {
                shown.certificate.publish(read.remove(at).1);
            }
        }
    }

    /// Tells when each expires, and warns of those that clients refuse already. What has no date that can be read is not
    /// told.
    pub fn tell(&self, metrics: &Metrics) {
        let now = Timestamp::now().as_second();
        for shown in &self.0 {
            if let Some((address, why)) = shown
                .bound
                .get()
                .zip(shown.certificate.pin().out_of_date(now))
            {
                warn!("listen {address}: {why}");
            }
            if let Some((address, expires)) = shown.bound.get().zip(shown.certificate.pin().expires)
            {
                metrics.certificate_expires(&address.to_string(), expires);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A certificate that expires with a year's beginning, and its key.
    fn until(year: i32) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("a name");
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn in_files(certificate: &str, key: &str) -> (tempfile::TempDir, Tls) {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let tls = Tls {
            certificate: write("cert.pem", certificate),
            key: write("key.pem", key),
        };
        (folder, tls)
    }

    #[test]
    fn the_first_of_a_chain_to_expire_counts() {
        let ((leaf, key), (issuer, _)) = (until(2031), until(2030));
        let (_folder, tls) = in_files(&format!("{leaf}{issuer}"), &key);
        let certificate = Certificate::read(&tls).expect("both are in order");
        assert_eq!(certificate.expires, Some(1_893_456_000));
        assert_eq!(times(b"nothing").next(), None);
    }

    #[test]
    fn what_clients_refuse_for_its_time_is_told() {
        let (leaf, key) = until(2031);
        let (_folder, tls) = in_files(&leaf, &key);
        let certificate = Certificate::read(&tls).expect("both are in order");
        let told = |now| certificate.out_of_date(now).unwrap_or_default();
        assert_eq!(told(1_900_000_000), "");
        assert!(told(1_924_992_000).contains("has expired at 2031-01-01T00:00:00Z"));
        assert!(told(0).contains("the certificate is valid from 1975-01-01T00:00:00Z on only"));
    }

    #[test]
    fn what_cannot_be_used_is_told_by_file_and_never_by_content() {
        let ((mine, my_key), (_, other_key)) = (until(2031), until(2032));
        let (_folder, tls) = in_files(&mine, &other_key);
        let problem = Certificate::read(&tls).expect_err("the key is another's");
        assert!(problem.contains("cannot be used together"), "{problem}");
        let broken = my_key.replace("-----END", "====\n-----END");
        for (certificate, key, file) in [
            ("", &*my_key, "cert.pem"),
            (&*mine, "", "key.pem"),
            (&*mine, &*mine, "key.pem"),
            (&*mine, &*broken, "key.pem"),
        ] {
            let (_folder, tls) = in_files(certificate, key);
            let problem = Certificate::read(&tls).expect_err(file);
            assert!(problem.contains(file), "{problem}");
            assert!(!problem.contains(&my_key[40..60]), "{problem}");
        }
        let (folder, tls) = in_files(&mine, &my_key);
        drop(folder);
        let problem = Certificate::read(&tls).expect_err("they are gone");
        assert!(problem.contains("cannot be read"), "{problem}");
    }

    #[test]
    fn each_listener_keeps_to_its_address() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let read = |entries: &[(u16, i32)]| {
            let one = |(port, year): &(u16, i32)| {
                let (certificate, key) = until(*year);
                let (_folder, tls) = in_files(&certificate, &key);
                let certificate = Certificate::read(&tls).expect("in order");
                (address(*port), Arc::new(certificate))
            };
            Read(entries.iter().map(one).collect())
        };
        let certificates = Certificates::new(read(&[(0, 2030), (1, 2031), (0, 2032)]));
        let years = || -> Vec<i16> {
            let expiries = certificates
                .0
                .iter()
                .map(|shown| shown.certificate.pin().expires);
            expiries
                .map(|expires| {
                    let expires =
                        jiff::Timestamp::from_second(expires.unwrap_or(0)).expect("a time");
                    expires.to_zoned(jiff::tz::TimeZone::UTC).year()
                })
                .collect()
        };
        for (configured, bound) in [(1, 11), (0, 12), (0, 13)] {
            assert!(
                certificates
                    .of(address(configured), address(bound))
                    .is_some()
            );
        }
        assert!(certificates.of(address(0), address(14)).is_none());
        assert_eq!(years(), [2030, 2031, 2032]);
        certificates.publish(read(&[(0, 2040), (0, 2041), (7, 2042)]));
        assert_eq!(years(), [2040, 2031, 2041]);
    }
}
