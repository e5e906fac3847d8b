//! Endpoint and address → `HttpPeer`: SNI, ALPN, pools, keep-alive and the times of one attempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pingora::protocols::ALPN;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;

use super::joining;
use crate::config;

/// How long an upstream may take none of a piece of the body before the attempt looks whether it
/// has answered instead (RFC 9110, section 15.5.14: it may answer before it has read the body).
/// Together with `PIECE_MAX_H2` this asks for 43 KiB a second of a connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The largest piece of a body handed to an HTTP/2 upstream at once, in bytes; it must be through
/// within the write timeout.
pub const PIECE_MAX_H2: usize = 64 * 1024;

/// The same for an HTTP/1.1 upstream.
pub const PIECE_MAX_H1: usize = 128 * 1024;

/// The same for one that has taken the last piece in [`QUICK`]. It would have to become 18 times as slow to take longer
/// than the write timeout for this one.
pub const PIECE_MAX_H1_QUICK: usize = 512 * 1024;

/// How long a piece is on its way, at most, for the upstream to be sent larger ones.
pub const QUICK: Duration = Duration::from_millis(20);

/// What all connections to upstreams have in common.
#[derive(Clone, Debug)]
pub struct Transport {
    h2_streams: usize,
    h2_ping: Option<Duration>,
    idle_time: Duration,
    keepalive: TcpKeepalive,
}

impl Transport {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &config::Upstream) -> Self {
        Self {
            h2_streams: config.h2_streams,
            h2_ping: config.h2_ping,
            idle_time: config.idle_time,
            keepalive: TcpKeepalive {
                idle: config.keepalive_time,
                interval: config.keepalive_interval,
                count: config.keepalive_probes,
                user_timeout: config.user_timeout,
            },
        }
    }
}

/// A peer for one address of an endpoint. The times of an attempt are set on a copy.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "the address is one already: nothing is looked up"
)]
pub fn template(
    address: SocketAddr,
    tls: bool,
    sni: &str,
    ca: Option<&Arc<CaType>>,
    transport: &Transport,
) -> Box<HttpPeer> {
    let mut peer = Box::new(HttpPeer::new(
        address,
        tls,
        if tls { sni.to_owned() } else { String::new() },
    ));
    let options = &mut peer.options;
    options.alpn = if tls { ALPN::H2H1 } else { joining::alpn() };
    options.max_h2_streams = transport.h2_streams;
    options.h2_ping_interval = transport.h2_ping;
    options.idle_timeout = Some(transport.idle_time);
    options.write_timeout = Some(WRITE_TIMEOUT);
    options.ca = ca.cloned();
    options.tcp_keepalive = Some(transport.keepalive.clone());
    peer
}

/// Gives the peer a connection that is opened for it and shared with nobody: what Pingora pools, it
/// finds by this number among others.
pub fn keep_apart(peer: &mut HttpPeer) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    peer.group_key = NEXT.fetch_add(1, Ordering::Relaxed);
    // Nobody else would find it there.
    peer.options.idle_timeout = Some(Duration::ZERO);
}

/// Makes it one of a WebSocket: over HTTP/1.1, on a connection of its own, and ended when it has brought nothing, or taken
/// nothing, for so long. Nobody else measures that once it is open.
pub fn for_websocket(peer: &mut HttpPeer, silence: Duration) {
    // Of one that was refused, nobody is to get HTTP/1.1 who would have HTTP/2.
    keep_apart(peer);
    peer.options.alpn = ALPN::H1;
    peer.options.read_timeout = Some(silence);
    peer.options.write_timeout = Some(silence);
}

/// Sets the times of one attempt: `connect` for TCP and TLS together, `silence` as the net beneath
/// the request's own clock, which stands still while an HTTP/2 upstream grants no window credit.
pub fn set_times(peer: &mut HttpPeer, connect: Duration, silence: Duration) {
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect);
    let may_be_http2 = peer.options.alpn.get_max_http_version() > 1;
    peer.options.read_timeout = may_be_http2.then_some(silence);
}
