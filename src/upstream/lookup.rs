//! One look-up of a name: /etc/hosts, then the DNS servers, which tell for how long an answer holds, then the system's own
//! ways (nsswitch), which do not. The system's files are read anew each time, so that a change of them is taken up.
//!
//! Not here: when a name is looked up, and what is kept (`dns.rs`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, Resolver, ResolverBuilder, TokioResolver};
use log::debug;

/// For how long an answer holds that does not say so.
const UNSAID: Duration = Duration::from_secs(30);

/// The servers that are asked are given this part of the time for one try, so that there is time for another.
const TRIES: u32 = 3;

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one, unless a family is kept.
    pub addresses: Vec<IpAddr>,
    /// For how long they hold.
    pub ttl: Duration,
}

/// Looks `name` up: at `servers` only, where there are any, else as the system is configured. `known` are the addresses
/// that it had before: where a server fails for one family only, those of that family stay. Takes about `timeout` at
/// the most for each try.
///
/// # Errors
/// Why there is no address, for people.
pub async fn look_up(
    name: &str,
    servers: &[SocketAddr],
    known: &[IpAddr],
    timeout: Duration,
) -> Result<Found, String> {
    if !servers.is_empty() {
        let resolver = resolver_of(servers, timeout).map_err(|error| error.to_string())?;
        let asked = ask(&resolver, name, known).await;
        return asked.map_err(|error| error.to_string());
    }
    if let Some(addresses) = in_hosts(name) {
        return Ok(Found {
            addresses,
            ttl: UNSAID,
        });
    }
    let asked = match system_resolver() {
        Ok(resolver) => ask(&resolver, name, known).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(found) => Ok(found),
        Err(error) => {
            debug!("looking up {name} by DNS: {error}");
            by_system(name).await
        }
    }
}

fn resolver_of(servers: &[SocketAddr], timeout: Duration) -> Result<TokioResolver, NetError> {
    let server = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        server
    };
    let servers = servers.iter().map(server).collect();
    let config = ResolverConfig::from_name_servers(servers);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().timeout = timeout / TRIES;
    build(builder)
}

fn system_resolver() -> Result<TokioResolver, NetError> {
    build(TokioResolver::builder_tokio()?)
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options: &mut ResolverOpts = builder.options_mut();
    // What is kept, and for how long, is decided in one place.
    options.cache_size = 0;
    options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
    builder.build()
}

async fn ask(resolver: &TokioResolver, name: &str, known: &[IpAddr]) -> Result<Found, NetError> {
    let answer = resolver.lookup_ip(name).await?;
    let lookup = answer.as_lookup();
    let ttl = lookup.answers().iter().map(|record| record.ttl).min();
    let mut addresses: Vec<IpAddr> = answer.iter().collect();
    for (family, is_of) in [
        (RecordType::A, IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
        (RecordType::AAAA, IpAddr::is_ipv6),
    ] {
        let before = known.iter().copied().filter(is_of);
        if addresses.iter().any(is_of) || before.clone().next().is_none() {
            continue;
        }
        // Gone, or not told this time?
        let name = lookup.query().name().clone();
        match resolver.lookup(name, family).await {
            Ok(again) => {
                let found = again.answers().iter();
                addresses.extend(found.filter_map(|record| record.data.ip_addr()));
            }
            Err(error) if error.is_no_records_found() => {}
            Err(_) => addresses.extend(before),
        }
    }
    Ok(Found {
        addresses,
        ttl: ttl.map_or(UNSAID, |seconds| Duration::from_secs(seconds.into())),
    })
}

/// What /etc/hosts says: all of it, whatever DNS would add.
fn in_hosts(name: &str) -> Option<Vec<IpAddr>> {
    let hosts = Hosts::from_system().ok()?;
    let name = Name::from_utf8(name).ok()?;
    let of = |family| hosts.lookup_static_host(&Query::query(name.clone(), family));
    let found = [of(RecordType::A), of(RecordType::AAAA)];
    let addresses: Vec<IpAddr> = found
        .iter()
        .flatten()
        .flat_map(|lookup| lookup.answers())
        .filter_map(|record| record.data.ip_addr())
        .collect();
    (!addresses.is_empty()).then_some(addresses)
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the background that looks names up"
)]
async fn by_system(name: &str) -> Result<Found, String> {
    let found = tokio::net::lookup_host((name, 0)).await;
    let addresses: Vec<IpAddr> = found
        .map_err(|error| error.to_string())?
        .map(|address| address.ip())
        .collect();
    if addresses.is_empty() {
        return Err("no address".to_owned());
    }
    Ok(Found {
        addresses,
        ttl: UNSAID,
    })
}
