//! Asks a provider for its list of models: at its own address, with its own roots of trust, headers and key.

use std::time::{Duration, Instant};

use http::header::HeaderName;
use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;

use super::{fetch, list};
use crate::catalog::FoundModel;
use crate::credentials::Scheme;
use crate::upstream::choose::Draw;
use crate::upstream::walk::Walk;
use crate::upstream::{Route, Upstream, peer};

/// Time for all of it. Lists come in milliseconds; a server that loads a model may be slow to answer anything.
pub const TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection may take, so that there is time left for the next address when one does not answer.
const CONNECT_MAX: Duration = Duration::from_millis(1_200);

/// Largest answer read, in bytes: the longest list that is known, of four hundred models, has not quite one MiB.
pub const ANSWER_MAX: usize = 4 << 20;

/// Addresses that are tried.
const ADDRESSES_MAX: usize = 3;

/// The models that `upstream` lists.
///
/// # Errors
/// Why there is no list, for people; after [`TIME_MAX`] at the latest.
pub async fn ask(
    upstream: &Upstream,
    connector: &TransportConnector,
) -> Result<Vec<FoundModel>, String> {
    let asked = first_list(upstream, connector);
    match tokio::time::timeout(TIME_MAX, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", TIME_MAX.as_secs())),
    }
}

/// The first that is one, over all addresses.
async fn first_list(
    upstream: &Upstream,
    connector: &TransportConnector,
) -> Result<Vec<FoundModel>, String> {
    let mut why = "its name has no address".to_owned();
    let (mut walk, draw) = (Walk::default(), Draw::default());
    for _ in 0..ADDRESSES_MAX {
        let Ok(picked) = upstream.find(&mut walk, &draw, Instant::now()).await else {
            break;
        };
        let host = picked.endpoint.authority.clone();
        for route in &upstream.lists {
            let request = request(upstream, route, host.clone())?;
            match get(connector, (*picked.peer).clone(), request).await {
                Ok(found) => return Ok(found),
                Err(fault) => why = fault,
            }
        }
    }
    Err(why)
}

fn request(
    upstream: &Upstream,
    route: &Route,
    host: http::HeaderValue,
) -> Result<RequestHeader, String> {
    let unsent = |_| "its list cannot be asked for".to_owned();
    let target = route.fixed.as_ref().ok_or("its list has no path")?;
    let mut request = fetch::request(target.as_str(), host).map_err(unsent)?;
    for (name, value) in &route.defaults {
        let (name, value): (HeaderName, _) = (name.clone(), value.clone());
        request.insert_header(name, value).map_err(unsent)?;
    }
    let now = Instant::now();
    let ready = upstream
        .keys
        .iter()
        .find(|key| key.health().aside_for_everybody(now).is_none());
    match ready.or(upstream.keys.first()) {
        Some(key) => key.put_on(&mut request, &route.scheme).map_err(unsent)?,
        None if upstream.keyless || route.scheme == Scheme::None => {}
        None => return Err("the gateway has no key for it".to_owned()),
    }
    Ok(request)
}

async fn get(
    connector: &TransportConnector,
    mut peer: HttpPeer,
    request: RequestHeader,
) -> Result<Vec<FoundModel>, String> {
    // HTTP/1.1 is spoken by all of them, and a connection of its own is closed with the answer.
    peer.options.alpn = ALPN::H1;
    peer::set_times(&mut peer, CONNECT_MAX, TIME_MAX);
    let stream = connector
        .new_stream(&peer)
        .await
        .map_err(|error| format!("no connection ({})", error.etype().as_str()))?;
    let answer = fetch::get(stream, request, ANSWER_MAX).await?;
    list::read(&answer)
}
