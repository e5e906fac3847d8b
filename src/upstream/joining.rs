//! Opens connections in the clear as [`Joined`] ones. What runs over them, and their pool, is Pingora's own, as for any other.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use pingora::Result;
use pingora::connectors::http::custom::{Connection, Connector};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::ALPN;
use pingora::protocols::tls::CustomALPN;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::Peer;

use super::joined::Joined;

/// By what Pingora knows that a peer's connections are opened here. It never leaves this process: only TLS would send it.
static JOINED: LazyLock<ALPN> = LazyLock::new(|| ALPN::Custom(CustomALPN::new(b"joined".to_vec())));

/// In place of roots of trust: no TLS is spoken here.
const NO_ROOTS: &str = "/dev/null";

/// What a peer in the clear says in `options.alpn` to have its connections opened here.
#[must_use]
pub fn alpn() -> ALPN {
    JOINED.clone()
}

/// Opens the connections of peers with [`alpn`].
pub struct Joining {
    transport: TransportConnector,
}

impl Joining {
    /// Opens them as Pingora would by `conf`.
    #[must_use]
    pub fn new(conf: &ServerConf) -> Self {
        let mut options = ConnectorOptions::from_server_conf(conf);
        options.ca_file = Some(NO_ROOTS.to_owned());
        // Nothing is ever put into its pool.
        options.keepalive_pool_size = 1;
        Self {
            transport: TransportConnector::new(Some(options)),
        }
    }
}

#[async_trait]
impl Connector for Joining {
    /// None: the sessions are Pingora's own of HTTP/1.1, and it keeps them where it keeps all others.
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<()>, bool)> {
        let stream = self.transport.new_stream(peer).await?;
        let joined = Joined::new(stream)?;
        Ok((Connection::Stream(Box::new(joined)), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}
