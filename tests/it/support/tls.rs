//! A throw-away certificate authority: server certificates, their files, and client configurations that trust it.
//! Nothing here is fit for use outside a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The names that every server certificate holds unless told otherwise.
pub const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate authority whose files live as long as it does.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A server certificate with its key.
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
    /// The certificate as a PEM file.
    pub certificate_file: PathBuf,
    /// Its private key as a PEM file.
    pub key_file: PathBuf,
}

impl Authority {
    /// A new authority; its certificate is at once in [`Authority::file`].
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "throw-away authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("ca.pem");
        Self { issuer, folder }
    }

    /// The authority's own certificate as a PEM file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for [`NAMES`]. Made once more, it takes the place of the one before in the same files.
    pub fn server(&self) -> Identity {
        self.server_for(&NAMES)
    }

    /// The files of [`Authority::server`]: certificate and key.
    pub fn server_files(&self) -> [PathBuf; 2] {
        let stem = NAMES.join("_");
        [".pem", ".key"].map(|ending| self.folder.path().join(format!("{stem}{ending}")))
    }

    /// A certificate for `names` (host names or IP addresses).
    pub fn server_for(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let file_stem = names.join("_");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity::write(self.folder.path(), &file_stem, certificate, key)
    }

    /// A configuration for clients that trust this authority only and offer `alpn`, in that order.
    pub fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols(alpn);
        Arc::new(config)
    }
}

impl Identity {
    fn write(folder: &Path, stem: &str, certificate: rcgen::Certificate, key: KeyPair) -> Self {
        let certificate_file = folder.join(format!("{stem}.pem"));
        let key_file = folder.join(format!("{stem}.key"));
        std::fs::write(&certificate_file, certificate.pem()).expect("a certificate file");
        std::fs::write(&key_file, key.serialize_pem()).expect("a key file");
        Self {
            certificate,
            key,
            certificate_file,
            key_file,
        }
    }

    /// A configuration for servers that present this certificate and speak `alpn`.
    pub fn config(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = protocols(alpn);
        Arc::new(config)
    }
}

fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}
