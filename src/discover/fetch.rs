//! One GET on a connection of its own, with a bound on what is read. The bound on time is the caller's.

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;

/// Who asks.
const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

/// A request for the JSON document at `target`.
///
/// # Errors
/// Pingora's, when it is no valid request.
pub fn request(target: &str, host: HeaderValue) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build(Method::GET, target.as_bytes(), Some(4))?;
    request.insert_header(header::HOST, host)?;
    request.insert_header(header::ACCEPT, "application/json")?;
    request.insert_header(header::USER_AGENT, USER_AGENT)?;
    request.insert_header(header::CONNECTION, "close")?;
    Ok(request)
}

/// Sends `request` on `stream` and reads the body of its answer.
///
/// # Errors
/// What went wrong, for people: any other status than 200, and more than `bytes_max` bytes, too. It repeats nothing of
/// the answer.
pub async fn get(
    stream: Stream,
    request: RequestHeader,
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let broken =
        |error: Box<pingora::Error>| format!("no whole answer ({})", error.etype().as_str());
    let mut session = HttpSession::new(stream);
    session
        .write_request_header(Box::new(request))
        .await
        .map_err(broken)?;
    session.read_response().await.map_err(broken)?;
    match session.get_status() {
        Some(StatusCode::OK) => {}
        Some(status) => return Err(format!("it answers {}", status.as_u16())),
        None => return Err("no answer".to_owned()),
    }
    let mut answer = Vec::new();
    while let Some(piece) = session.read_body_ref().await.map_err(broken)? {
        if answer.len() + piece.len() > bytes_max {
            return Err(format!("it answers with more than {bytes_max} bytes"));
        }
        answer.extend_from_slice(piece);
    }
    Ok(answer)
}
