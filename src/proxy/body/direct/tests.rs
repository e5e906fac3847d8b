//! What is read of a client's connection, in whatever parts it comes, and what of it is left for the next request.

use std::time::Duration;

use bytes::Bytes;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as TcpStream;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::proxy::body::{self, Bounds};
use crate::proxy::memory::ReplayMemory;
use crate::proxy::seen::Seen;

const BOUNDS: Bounds = Bounds {
    body: 1 << 20,
    replay: 1 << 20,
    client: Duration::from_secs(10),
    named: false,
};

/// A client, and the gateway's end of its connection.
async fn connected() -> (tokio::net::TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) =
        tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let client = client.unwrap();
    client.set_nodelay(true).unwrap();
    let inbound = Inbound::new(Box::new(TcpStream::from(accepted.unwrap().0)));
    (client, Box::new(inbound))
}

/// The header of the next request over `connection`.
async fn header(connection: Stream) -> ServerSession {
    let mut session = ServerSession::new_http1(connection);
    session.read_request().await.unwrap();
    session
}

async fn body(session: &mut ServerSession) -> Result<Bytes, Unread> {
    let seen = Seen::of(&session.req_header().headers);
    let memory = ReplayMemory::new(BOUNDS.replay);
    let body = body::read(session, seen, &memory, &BOUNDS).await?;
    assert!(body.whole);
    Ok(body.bytes)
}

/// Ends a request, whose answer is not looked at; the connection, where it can be used again.
async fn next(session: ServerSession) -> Option<Stream> {
    Inbound::next_request(&session);
    let ServerSession::H1(session) = session else {
        return None;
    };
    let stream = session.reuse().await.unwrap()?;
    Some(stream.into_parts().0)
}

fn is_direct(session: &ServerSession) -> bool {
    Inbound::before_body(session).is_some()
}

fn request(body: &str) -> String {
    let length = body.len();
    format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

const BODY: &str = r#"{"model":"a","b":"\r\n\r\n"}"#;

#[tokio::test]
async fn a_body_that_comes_with_its_header_is_read_directly_and_the_next_one_too() {
    let (mut client, mut connection) = connected().await;
    for _ in 0..3 {
        client.write_all(request(BODY).as_bytes()).await.unwrap();
        let mut session = header(connection).await;
        assert!(is_direct(&session));
        assert_eq!(body(&mut session).await.unwrap(), BODY);
        assert!(session.is_body_done());
        assert_eq!(session.req_header().uri, "/a");
        connection = next(session).await.unwrap();
    }
}

#[tokio::test]
async fn a_look_at_the_connection_takes_nothing_from_it() {
    let (mut client, mut connection) = connected().await;
    client.write_all(request(BODY).as_bytes()).await.unwrap();
    let mut preface = [0; 24];
    assert!(connection.try_peek(&mut preface).await.unwrap());
    assert_eq!(preface, request(BODY).as_bytes()[..24]);
    let mut session = header(connection).await;
    assert!(is_direct(&session));
    assert_eq!(body(&mut session).await.unwrap(), BODY);
}

#[tokio::test]
async fn what_is_not_one_body_behind_one_header_is_for_pingora_to_read() {
    let ended = BODY.to_owned() + "\r\n\r\n";
    let length = ended.len();
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!("{chunked}{length:x}\r\n{ended}\r\n0\r\n\r\n");
    let two = request(&ended) + &request(&ended);
    // Its header ends before what looks like the end of one.
    let bare = request(&ended).replacen("\r\n", "\n", 4);
    let again = format!("\r\nContent-Length: {length}\r\n");
    let twice = request(&ended).replacen("\r\n", &again, 1);
    let other = "\r\nXontent-Length: 4000\r\nCONTENT-LENGTH";
    let other = request(&ended).replacen("\r\nContent-Length", other, 1) + "and more";
    for bytes in [chunked, two, bare, twice, other] {
        let (mut client, connection) = connected().await;
        client.write_all(bytes.as_bytes()).await.unwrap();
        let mut session = header(connection).await;
        assert!(!is_direct(&session), "{bytes}");
        assert_eq!(body(&mut session).await.unwrap(), ended, "{bytes}");
    }
}

#[tokio::test]
async fn a_refused_body_is_left_to_be_read_out() {
    let (mut client, connection) = connected().await;
    let broken = format!("{{]{}", "x".repeat(100_000));
    let sent = request(&broken) + &request(BODY);
    let sending = tokio::spawn(async move {
        client.write_all(sent.as_bytes()).await.unwrap();
        client
    });
    let mut session = header(connection).await;
    assert!(is_direct(&session));
    let refused = body(&mut session).await;
    assert!(matches!(refused, Err(Unread::Rejected(_))));
    assert!(!session.is_body_done());
    session.drain_request_body().await.unwrap();
    let mut session = header(next(session).await.unwrap()).await;
    assert_eq!(body(&mut session).await.unwrap(), BODY);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_a_body_is_gone() {
    let (mut client, connection) = connected().await;
    let bytes = request(BODY);
    client
        .write_all(&bytes.as_bytes()[..bytes.len() - 1])
        .await
        .unwrap();
    drop(client);
    let mut session = header(connection).await;
    assert!(matches!(body(&mut session).await, Err(Unread::Gone)));
    assert!(next(session).await.is_none());
}

/// A body of at least `length` bytes, with what could be taken for the end of a header.
fn long(length: usize) -> String {
    let text: String = r"\r\n\r\nab".chars().cycle().take(length / 8 * 8).collect();
    format!("{{\"a\":\"{text}\",\"model\":\"m\"}}\r\n\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_whatever_parts_a_body_comes_it_is_that_body(
        lengths in prop::collection::vec(0..200_000usize, 1..4),
        cuts in prop::collection::vec(0..150_000usize, 0..4),
    ) {
        let bodies: Vec<String> = lengths.iter().map(|length| long(*length)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut client, mut connection) = connected().await;
            let requests: Vec<String> = bodies.iter().map(|body| request(body)).collect();
            let (answered, mut answers) = tokio::sync::mpsc::channel::<()>(1);
            let sending = async {
                for request in &requests {
                    let mut rest = request.as_bytes();
                    for cut in &cuts {
                        let (part, left) = rest.split_at((*cut).min(rest.len()));
                        client.write_all(part).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        rest = left;
                    }
                    client.write_all(rest).await.unwrap();
                    answers.recv().await.unwrap();
                }
            };
            let serving = async {
                for sent in &bodies {
                    let mut session = header(connection).await;
                    let read = body(&mut session).await.unwrap();
                    assert!(read == sent.as_bytes(), "{} bytes of {}", read.len(), sent.len());
                    connection = next(session).await.unwrap();
                    answered.send(()).await.unwrap();
                }
            };
            tokio::join!(sending, serving);
        });
    }
}
