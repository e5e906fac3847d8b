//! One message to the collector: a POST on a connection of its own, by the same TLS as requests go out by.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::protocols::tls::CaType;

use crate::upstream::dns::Host;
use crate::upstream::peer::{self, Transport};

/// Who sends it.
const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// What is sent.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Where everything is sent.
#[derive(Debug)]
pub struct Collector {
    /// Its addresses.
    pub host: Arc<Host>,
    /// Whether to speak TLS.
    pub tls: bool,
    /// Its name, for SNI and its certificate.
    pub name: Box<str>,
    /// The `Host` header.
    pub authority: HeaderValue,
    /// What stands before `/v1/traces` and `/v1/metrics`; without a slash at its end.
    pub prefix: Box<str>,
    /// Further headers: what the collector knows us by.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Roots of trust in place of the system's.
    pub ca: Option<Arc<CaType>>,
    /// How to connect.
    pub transport: Transport,
    /// How long all of one message may take.
    pub timeout: Duration,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It may be another time, after so long where the collector says so.
    Now(String, Option<Duration>),
    /// It never will be.
    Forever(String),
}

impl Collector {
    /// Sends `body` to `path` below the prefix.
    pub(super) async fn send(
        &self,
        connector: &TransportConnector,
        path: &str,
        body: &[u8],
    ) -> Result<(), Failed> {
        match tokio::time::timeout(self.timeout, self.exchange(connector, path, body)).await {
            Ok(done) => done,
            Err(_) => Err(Failed::Now(
                format!("no answer within {:?}", self.timeout),
                None,
            )),
        }
    }

    async fn exchange(
        &self,
        connector: &TransportConnector,
        path: &str,
        body: &[u8],
    ) -> Result<(), Failed> {
        let known = self.host.first_addresses(self.timeout).await;
        let address = known.as_ref().and_then(|known| known.iter().next());
        let address =
            address.ok_or_else(|| Failed::Now("its name has no address".to_owned(), None))?;
        let mut peer = peer::template(
            address,
            self.tls,
            &self.name,
            self.ca.as_ref(),
            &self.transport,
        );
        peer.options.alpn = ALPN::H1;
        peer::set_times(&mut peer, self.timeout, self.timeout);
        let request = self
            .request(path, body.len())
            .map_err(|error| broken(&error))?;
        let stream = connector
            .new_stream(&*peer)
            .await
            .map_err(|error| broken(&error))?;
        let mut session = HttpSession::new(stream);
        let sent = async {
            session.write_request_header(Box::new(request)).await?;
            session.write_body(body).await?;
            session.finish_body().await?;
            session.read_response().await
        };
        sent.await.map_err(|error| broken(&error))?;
        let after = session
            .resp_header()
            .and_then(|answer| answer.headers.get(header::RETRY_AFTER))
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        judge(session.get_status(), after)
    }

    fn request(&self, path: &str, length: usize) -> pingora::Result<RequestHeader> {
        let target = format!("{}{path}", self.prefix);
        let mut request = RequestHeader::build(Method::POST, target.as_bytes(), Some(8))?;
        request.insert_header(header::HOST, self.authority.clone())?;
        request.insert_header(header::CONTENT_TYPE, PROTOBUF)?;
        request.insert_header(header::CONTENT_LENGTH, length)?;
        request.insert_header(header::USER_AGENT, USER_AGENT)?;
        request.insert_header(header::CONNECTION, "close")?;
        for (name, value) in &self.headers {
            request.insert_header(name.clone(), value.clone())?;
        }
        Ok(request)
    }
}

/// It repeats nothing of what was sent or answered.
fn broken(error: &pingora::Error) -> Failed {
    Failed::Now(
        format!(
            "no connection or no whole answer ({})",
            error.etype().as_str()
        ),
        None,
    )
}

/// What an answer means (OTLP 1.8, "Failures").
fn judge(status: Option<StatusCode>, after: Option<Duration>) -> Result<(), Failed> {
    let status = status.map_or(0, |status| status.as_u16());
    let words = format!("it answers {status}");
    match status {
        200..300 => Ok(()),
        429 | 502..=504 => Err(Failed::Now(words, after)),
        _ => Err(Failed::Forever(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let of = |status| judge(StatusCode::from_u16(status).ok(), None);
        assert_eq!(of(200), Ok(()));
        assert_eq!(of(202), Ok(()));
        for status in [429, 502, 503, 504] {
            assert!(matches!(of(status), Err(Failed::Now(..))), "{status}");
        }
        for status in [400, 401, 404, 413, 500, 301] {
            assert!(matches!(of(status), Err(Failed::Forever(_))), "{status}");
        }
    }
}
