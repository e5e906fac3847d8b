//! Where a provider is: its base URL, endpoints and TLS names, checked.

use std::path::{Path, PathBuf};

use super::Overrides;
use crate::catalog::file::{EndpointEntry, File};
use crate::catalog::problem::Problem;
use crate::catalog::provider::Endpoint;
use crate::catalog::report::Scope;
use crate::catalog::url::{self, BaseUrl, Scheme};

/// The largest weight of an endpoint: enough for a share of a thousandth.
const WEIGHT_MAX: u32 = 1_000;

/// The largest limit of requests at one time, as that of the process.
const REQUESTS_MAX: u32 = 1_000_000;

/// Where a provider is.
pub(super) struct Site {
    pub(super) base_url: Box<str>,
    /// Of all its paths.
    pub(super) prefix: String,
    pub(super) endpoints: Box<[Endpoint]>,
}

impl Site {
    /// Stands in for a site that has a problem, so that the rest can be checked.
    fn nowhere() -> Self {
        Self {
            base_url: Box::default(),
            prefix: String::new(),
            endpoints: Box::default(),
        }
    }
}

pub(super) fn site(
    id: &str,
    file: &File,
    overrides: &Overrides,
    scope: &mut Scope<'_, '_>,
) -> Site {
    let names: Vec<&str> = std::iter::once(id)
        .chain(file.aliases.iter().flatten().map(String::as_str))
        .collect();
    if let Some((name, given)) = overrides.base_url(&names) {
        let variable = format!("{}_BASE_URL", name.to_ascii_uppercase().replace('-', "_"));
        return one_host(given).unwrap_or_else(|message| {
            scope.elsewhere(Problem::of_file(&variable, message));
            Site::nowhere()
        });
    }
    let endpoints = file.endpoints.as_deref().unwrap_or_default();
    if !endpoints.is_empty() {
        return several_hosts(endpoints, scope);
    }
    let Some(base_url) = &file.base_url else {
        let hint = if file.preset.is_some() {
            ""
        } else {
            ", or name a \"preset\" that has one"
        };
        scope.problem(&["provider"], format!("no \"base_url\": say where the provider is, such as \"https://api.example.com/v1\"{hint}"));
        return Site::nowhere();
    };
    one_host(base_url).unwrap_or_else(|message| {
        scope.problem(&["base_url"], message);
        Site::nowhere()
    })
}

fn one_host(text: &str) -> Result<Site, String> {
    let base = url::parse(text)?;
    let endpoint = endpoint(&base, None, None, (1, None));
    Ok(Site {
        base_url: text.into(),
        prefix: base.prefix.to_owned(),
        endpoints: Box::new([endpoint]),
    })
}

fn several_hosts(written: &[EndpointEntry], scope: &mut Scope<'_, '_>) -> Site {
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(written.len());
    let mut prefix = None;
    for (position, entry) in written.iter().enumerate() {
        let position = position.to_string();
        let mut scope = scope.within(&["endpoints", &position]);
        let Some(base) = scope.check(&["url"], url::parse(&entry.url)) else {
            continue;
        };
        let first = *prefix.get_or_insert(base.prefix);
        if base.prefix != first {
            let message = format!(
                "its path is `{}`, that of the first endpoint `{first}`; they must be the same",
                base.prefix
            );
            scope.problem(&["url"], message);
        }
        let weight = entry.weight.unwrap_or(1);
        if !(1..=WEIGHT_MAX).contains(&weight) {
            scope.problem(
                &["weight"],
                format!("a weight is 1 to {WEIGHT_MAX}; leave out an endpoint that gets nothing"),
            );
        }
        let requests = requests(entry.requests, &mut scope);
        let host = host_header(entry, &mut scope);
        let endpoint = endpoint(&base, entry.name.as_deref(), host, (weight, requests));
        if endpoints.iter().any(|other| other.name == endpoint.name) {
            scope.problem(
                &[],
                format!(
                    "two endpoints are called `{}`; give them names of their own",
                    endpoint.name
                ),
            );
        }
        endpoints.push(endpoint);
    }
    let base_url = written.first().map_or("", |entry| &entry.url);
    Site {
        base_url: base_url.into(),
        prefix: prefix.unwrap_or_default().to_owned(),
        endpoints: endpoints.into(),
    }
}

/// A limit of requests at one time.
pub(super) fn requests(written: Option<u32>, scope: &mut Scope<'_, '_>) -> Option<u32> {
    if written.is_some_and(|limit| !(1..=REQUESTS_MAX).contains(&limit)) {
        let message = format!("a limit is 1 to {REQUESTS_MAX}; leave it out where there is none");
        scope.problem(&["requests"], message);
    }
    written
}

/// What the file says that the `Host` header is.
fn host_header<'f>(entry: &'f EndpointEntry, scope: &mut Scope<'_, '_>) -> Option<&'f str> {
    let host = entry.host.as_deref()?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(valid) {
        let message = "no value of a Host header: write a host name, and a port if need be";
        scope.problem(&["host"], message);
    }
    Some(host)
}

fn endpoint(
    base: &BaseUrl<'_>,
    name: Option<&str>,
    host_header: Option<&str>,
    (weight, requests): (u32, Option<u32>),
) -> Endpoint {
    let BaseUrl {
        scheme, host, port, ..
    } = *base;
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let authority = match host_header {
        Some(given) => given.to_owned(),
        None if port == scheme.default_port() => bracketed.clone(),
        None => format!("{bracketed}:{port}"),
    };
    Endpoint {
        name: name.map_or_else(|| format!("{bracketed}:{port}").into(), Into::into),
        scheme,
        host: host.into(),
        port,
        weight,
        requests,
        authority: authority.into(),
    }
}

pub(super) fn ca_file(file: &File, scope: &mut Scope<'_, '_>) -> Option<PathBuf> {
    let path = Path::new(file.ca_file.as_deref()?);
    if !path.is_absolute() {
        scope.problem(
            &["ca_file"],
            "write an absolute path: it does not depend on where the gateway is started",
        );
    }
    Some(path.to_owned())
}

pub(super) fn tls_name(file: &File, scope: &mut Scope<'_, '_>) -> Option<Box<str>> {
    let name = file.tls_name.as_deref()?;
    match url::parse(&format!("https://{name}")) {
        Ok(BaseUrl {
            scheme: Scheme::Https,
            host,
            port: 443,
            prefix: "",
        }) if host == name => {}
        _ => scope.problem(
            &["tls_name"],
            format!("`{name}` is no host name; write it without scheme and port"),
        ),
    }
    Some(name.into())
}
