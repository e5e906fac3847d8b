//! Addresses to listen on, addresses of providers, and the ids that stand for them.

use std::net::{IpAddr, SocketAddr};

use super::Listen;
use super::file::Value;

/// Letters that a provider id may have.
const PROVIDER_ID_MAX: usize = 64;

/// An IP address and a port. Names are not taken: what they stand for may change.
pub(super) fn socket_address(value: &Value<'_>) -> Option<SocketAddr> {
    let address = value.text()?.parse().ok();
    if address.is_none() {
        value.wrong("must be an IP address and port, as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"");
    }
    address
}

/// The address of a DNS server; on the usual port where none is written.
pub(super) fn dns_server(value: &Value<'_>) -> Option<SocketAddr> {
    const DNS: u16 = 53;
    let text = value.text()?;
    let address = text
        .parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS)));
    if address.is_none() {
        value.wrong("must be an IP address, as \"10.0.0.2\", with a port if it is not 53: \"10.0.0.2:5353\", \"[::1]:5353\"");
    }
    address
}

/// `address`, unless one of `listeners` has it already.
pub(super) fn free(
    value: &Value<'_>,
    address: SocketAddr,
    listeners: &[Listen],
) -> Option<SocketAddr> {
    let taken = listeners
        .iter()
        .find(|other| overlap(other.address, address));
    if let Some(other) = taken {
        value.wrong(format!(
            "a listener above has {} already; each needs its own address or port",
            other.address
        ));
        return None;
    }
    Some(address)
}

/// Whether the kernel would refuse the second of the two. Port 0 is a free one each time.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let wildcard = |ip: IpAddr| ip.is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    let same_ip =
        one.ip() == other.ip() || same_family && (wildcard(one.ip()) || wildcard(other.ip()));
    one.port() != 0 && one.port() == other.port() && same_ip
}

/// An `http` or `https` URL with a host, and nothing that would end up in a log or behind the path.
pub(super) fn base_url(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let url = text.parse::<http::Uri>().ok().filter(|url| {
        let scheme = matches!(url.scheme_str(), Some("http" | "https"));
        let host = url
            .authority()
            .is_some_and(|authority| !authority.host().is_empty());
        scheme && host && url.query().is_none()
    });
    let Some(url) = url else {
        value.wrong("must be a URL without a query, as \"https://api.example.com/v1\"");
        return None;
    };
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
        || text.contains('#')
    {
        value.wrong("must have neither a user name nor a fragment; credentials go into `keys`");
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// Whether a model name could begin with `id` and a colon, in one spelling only.
pub(super) fn is_provider_id(id: &str) -> bool {
    let letter =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    !id.is_empty() && id.len() <= PROVIDER_ID_MAX && id.bytes().all(letter)
}
