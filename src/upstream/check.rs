//! Active checks of endpoints, made by Pingora: whether one is alive, asked without a request and without a key.
//!
//! Not here: when a check is made and what follows from it (`server/health.rs`).

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::lb::Backend;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora::protocols::ALPN;
use pingora::upstreams::peer::PeerOptions;
use pingora::{Error, ErrorType};

use super::dns::Host;
use super::{Endpoint, peer};

/// Addresses of one endpoint that are tried: it is alive when one of them is.
const ADDRESSES_MAX: usize = 4;

/// Who asks.
static AGENT: HeaderValue = HeaderValue::from_static("tollgate-health-check");

/// How the endpoints of a provider are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is asked for; none: a connection, TLS included, is enough.
    pub http: Option<Ask>,
    /// The time between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Checks in a row that must pass before a dead endpoint is alive; at least 1.
    pub healthy: u32,
    /// Checks in a row that must fail before it is dead; at least 1.
    pub unhealthy: u32,
}

/// What is asked for, with GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where.
    pub path: PathAndQuery,
    /// The `Host` header, where it is not the endpoint's own.
    pub host: Option<HeaderValue>,
    /// Further headers.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// The statuses of one that is alive.
    pub statuses: Box<[RangeInclusive<u16>]>,
}

/// Checks one endpoint.
pub struct Checker {
    host: Arc<Host>,
    check: Box<dyn HealthCheck + Send + Sync>,
    timeout: Duration,
}

impl Checker {
    /// A checker of `endpoint`. Reads the system's roots of trust, which takes time: not for the request path.
    ///
    /// # Errors
    /// When the check cannot be put in a request, for people.
    pub fn new(endpoint: &Endpoint, settings: &Settings) -> Result<Self, String> {
        let check: Box<dyn HealthCheck + Send + Sync> = match &settings.http {
            Some(ask) => Box::new(over_http(endpoint, ask, settings)?),
            None => over_tcp(endpoint, settings),
        };
        Ok(Self {
            host: Arc::clone(&endpoint.host),
            check,
            timeout: settings.timeout,
        })
    }

    /// Checks now; it is alive when one of its addresses is.
    ///
    /// # Errors
    /// Why it is not, for people.
    pub async fn check(&self) -> Result<(), String> {
        let mut why = "its name has no address".to_owned();
        let known = self.host.first_addresses(self.timeout).await;
        let addresses: Vec<SocketAddr> = known
            .iter()
            .flat_map(|known| known.iter())
            .take(ADDRESSES_MAX)
            .collect();
        for address in addresses {
            let target = Backend::new(&address.to_string()).map_err(|error| told(&error))?;
            // Pingora bounds each step; a body that does not end has many.
            match tokio::time::timeout(self.timeout, self.check.check(&target)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => why = told(&error),
                Err(_) => why = format!("no answer within {:?}", self.timeout),
            }
        }
        Err(why)
    }
}

fn over_http(
    endpoint: &Endpoint,
    ask: &Ask,
    settings: &Settings,
) -> Result<HttpHealthCheck, String> {
    let placeholder = SocketAddr::from(([0, 0, 0, 0], 1));
    let mut check = HttpHealthCheck::new(&endpoint.sni, endpoint.tls);
    check.peer_template = *peer::template(
        placeholder,
        endpoint.tls,
        &endpoint.sni,
        endpoint.ca.as_ref(),
        &endpoint.transport,
    );
    let options = &mut check.peer_template.options;
    // HTTP/1.1 is spoken by all of them.
    options.alpn = ALPN::H1;
    bound(options, settings.timeout);
    check.req = request(endpoint, ask).map_err(|error| told(&error))?;
    let statuses = ask.statuses.clone();
    check.validator = Some(Box::new(move |response: &ResponseHeader| {
        let status = response.status.as_u16();
        if statuses.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        Error::e_explain(ErrorType::HTTPStatus(status), "of a check")
    }));
    Ok(check)
}

fn request(endpoint: &Endpoint, ask: &Ask) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build("GET", ask.path.as_str().as_bytes(), None)?;
    let host = ask.host.as_ref().unwrap_or(&endpoint.authority);
    request.insert_header(HOST, host.clone())?;
    request.insert_header(USER_AGENT, AGENT.clone())?;
    for (name, value) in &ask.headers {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(request)
}

fn over_tcp(endpoint: &Endpoint, settings: &Settings) -> Box<TcpHealthCheck> {
    let mut check = if endpoint.tls {
        TcpHealthCheck::new_tls(&endpoint.sni)
    } else {
        TcpHealthCheck::new()
    };
    let options = &mut check.peer_template.options;
    options.ca.clone_from(&endpoint.ca);
    bound(options, settings.timeout);
    check
}

fn bound(options: &mut PeerOptions, timeout: Duration) {
    options.connection_timeout = Some(timeout);
    options.total_connection_timeout = Some(timeout);
    options.read_timeout = Some(timeout);
    options.write_timeout = Some(timeout);
}

/// What is wrong, in a few words: Pingora's own hold places in its source.
fn told(error: &Error) -> String {
    match error.etype() {
        ErrorType::HTTPStatus(status) => format!("it answers {status}"),
        kind => kind.as_str().to_owned(),
    }
}
