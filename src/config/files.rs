//! The files beside the catalog that a configuration names: secrets and certificates. Whoever follows changes looks at
//! them too.

use std::path::PathBuf;

use super::{Config, Listen};

impl Config {
    /// The files that hold secrets, certificates and certificate authorities, as far as they are known by path; each once.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let of_listener = |listener: &Listen| {
            let tls = listener.tls.as_ref();
            tls.map(|tls| [tls.certificate.clone(), tls.key.clone()])
        };
        let certificates = self.listen.iter().filter_map(of_listener).flatten();
        let providers = self.providers.values();
        let keys = providers.clone().flat_map(|provider| &provider.keys);
        let secrets = keys.map(|key| &key.secret).chain(&self.byok.master_keys);
        let of_collector = self.otel.headers.iter().map(|(_, secret)| secret);
        let of_admin = self.admin.iter().filter_map(|admin| admin.token.as_ref());
        let secrets = secrets.chain(of_collector).chain(of_admin);
        let authorities = providers.filter_map(|provider| provider.ca_file.clone());
        let mut files: Vec<_> = certificates
            .chain(secrets.filter_map(|secret| secret.file()))
            .chain(authorities)
            .chain(self.upstream.ca_file.clone())
            .chain(self.otel.ca_file.clone())
            .collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}
