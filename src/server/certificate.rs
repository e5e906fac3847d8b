//! When the certificates of listeners expire, for those who have to renew them in time.

use std::net::SocketAddr;
use std::path::Path;

use x509_parser::pem::Pem;

use crate::config::Listen;
use crate::metrics::Metrics;

/// Tells the expiry of the certificate of each TLS listener. `addresses` are those that the listeners have, in the same
/// order. What cannot be read is not told: without it the listener would not be there.
pub fn tell(metrics: &Metrics, listeners: &[Listen], addresses: &[SocketAddr]) {
    for (listener, address) in listeners.iter().zip(addresses) {
        let Some(tls) = &listener.tls else {
            continue;
        };
        if let Some(expires) = expiry_of(&tls.certificate) {
            metrics.certificate_expires(&address.to_string(), expires);
        }
    }
}

fn expiry_of(file: &Path) -> Option<i64> {
    expiry(&std::fs::read(file).ok()?)
}

/// The Unix second at which the first of the certificates in a PEM file expires.
fn expiry(pem: &[u8]) -> Option<i64> {
    let certificates = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    let ends = certificates.filter_map(|block| {
        let certificate = block.parse_x509().ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    ends.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(year: i32) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("a name");
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn the_first_of_a_chain_to_expire_counts() {
        let chain = format!("{}{}", until(2031), until(2030));
        assert_eq!(expiry(chain.as_bytes()), Some(1_893_456_000));
    }

    #[test]
    fn what_is_no_certificate_has_no_expiry() {
        assert_eq!(expiry(b"nothing"), None);
        assert_eq!(expiry_of(Path::new("/nonexistent/cert.pem")), None);
    }
}
