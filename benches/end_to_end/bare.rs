//! The yardstick: the least that Pingora can be asked to do, one upstream and its `Host`. No access
//! key, no model, no log, no metrics. Allocator and its settings, build profile, kind and number of threads and size
//! of the pool are the gateway's, all else is Pingora's default. What the gateway costs beside this
//! proxy is the gateway's own cost.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

/// Idle connections kept to the upstream: as many as the gateway keeps by default.
const POOL: usize = 512;

struct Bare {
    upstream: SocketAddr,
    host: String,
}

#[allow(clippy::disallowed_methods, reason = "the peer is given as an address")]
#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut (),
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream_request: &mut RequestHeader,
        _ctx: &mut (),
    ) -> pingora::Result<()> {
        upstream_request.insert_header("Host", self.host.as_str())
    }
}

/// Proxies `listen` to `upstream` with `threads` worker threads, until a signal ends the process.
pub fn run(listen: SocketAddr, upstream: SocketAddr, threads: usize) -> ! {
    let conf = ServerConf {
        threads,
        work_stealing: false,
        upstream_keepalive_pool_size: POOL,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let host = upstream.to_string();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream, host });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}
