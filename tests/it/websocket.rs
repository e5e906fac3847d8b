//! WebSockets: handshakes that are refused, and in which words.

use tokio::net::TcpStream;

use crate::ask::{self, Dialect, refused};
use crate::support::client::{self, Request, get};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};

/// A key of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The fields of a good handshake.
const HANDSHAKE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

async fn lab() -> (Gateway, Upstream) {
    let upstream = upstream::h1().reply(ask::answer()).start().await;
    let provider = ask::speaking_all(custom("one").model("m"));
    (
        gateway().custom(provider, &upstream).start().await,
        upstream,
    )
}

#[tokio::test]
async fn where_there_is_no_websocket_clients_are_sent_back_to_http_at_once() {
    let (gateway, upstream) = lab().await;
    for path in [
        "/v1/responses",
        "/responses",
        "/v1/chat/completions",
        "/v1/nothing/here",
        "/v1/models",
        "/v1",
    ] {
        // Nothing is asked of who it is: a client that can do without need not be told that its key is wrong here.
        let response = gateway.send(&get(path).headers(&HANDSHAKE)).await;
        let message = refused(&response, Dialect::OpenAi, 426, "websocket_not_supported");
        assert!(message.contains("plain HTTP"), "{message}");
        assert_eq!(response.header("upgrade"), Some("HTTP/1.1"), "{path}");
        assert_eq!(response.header("connection"), Some("close"), "{path}");
        assert_eq!(response.header("x-should-retry"), Some("false"), "{path}");
        assert_eq!(response.header("sec-websocket-accept"), None, "{path}");
    }
    let messages = get("/v1/messages").headers(&HANDSHAKE);
    let response = gateway.send(&messages).await;
    refused(
        &response,
        Dialect::Anthropic,
        426,
        "websocket_not_supported",
    );
    assert_eq!(upstream.count(), 0);
    let lines = gateway.access_lines(7).await;
    assert_eq!(lines[0]["code"], "websocket_not_supported");
    assert_eq!(lines[0]["surface"], "responses");
}

#[tokio::test]
async fn a_handshake_that_lies_is_told_where() {
    let (gateway, upstream) = lab().await;
    let changed = |name: &str, value: Option<&str>| {
        let mut request = gateway.get("/v1/responses");
        for (field, usual) in HANDSHAKE {
            let value = if field == name { value } else { Some(usual) };
            if let Some(value) = value {
                request = request.header(field, value);
            }
        }
        request
    };
    for (name, value, status, code, says) in [
        (
            "connection",
            None,
            400,
            "invalid_request",
            "Connection: Upgrade",
        ),
        (
            "connection",
            Some("keep-alive"),
            400,
            "invalid_request",
            "Connection: Upgrade",
        ),
        ("sec-websocket-version", None, 426, "upgrade_required", "13"),
        (
            "sec-websocket-version",
            Some("8"),
            426,
            "upgrade_required",
            "13",
        ),
        (
            "sec-websocket-key",
            None,
            400,
            "invalid_request",
            "Sec-WebSocket-Key",
        ),
        (
            "sec-websocket-key",
            Some("c2hvcnQ="),
            400,
            "invalid_request",
            "Sec-WebSocket-Key",
        ),
    ] {
        let response = gateway.send(&changed(name, value)).await;
        let message = refused(&response, Dialect::OpenAi, status, code);
        assert!(message.contains(says), "{name}: {message}");
        assert_eq!(response.header("connection"), Some("close"));
        if status == 426 {
            assert_eq!(response.header("upgrade"), Some("websocket"));
            assert_eq!(response.header("sec-websocket-version"), Some("13"));
        }
    }
    let body = Some(ask::surface("responses").body("m").into());
    let posted = Request::new("POST", "/v1/responses", body).bearer(gateway.key());
    let response = gateway.send(&posted.headers(&HANDSHAKE)).await;
    let message = refused(&response, Dialect::OpenAi, 400, "invalid_request");
    assert!(message.contains("GET"), "{message}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn frames_behind_a_refused_handshake_are_never_read_as_a_request() {
    let (gateway, upstream) = lab().await;
    let mut connection = client::h1(gateway.address()).await;
    let smuggled = ask::surface("chat").body("m");
    let bytes = format!(
        "GET /v1/responses HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n\
         POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{smuggled}",
        gateway.key(),
        smuggled.len(),
    );
    connection.raw(bytes).await.expect("sent");
    let answer = connection.answer("GET").await.expect("an answer");
    assert_eq!(answer.collect().await.status, 426);
    assert!(connection.answer("POST").await.is_err(), "it is closed");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn other_protocols_are_passed_over() {
    let (gateway, upstream) = lab().await;
    // As Java's client sends it with every first request.
    let request = ask::surface("chat").post("m").bearer(gateway.key());
    let request = request
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA");
    assert_eq!(gateway.send(&request).await.status, 200);
    let arrived = upstream.delivery();
    assert_eq!(arrived.header("upgrade"), None);
    assert_eq!(arrived.header("http2-settings"), None);
}

#[tokio::test]
async fn http_2_has_no_websockets_and_says_so_in_its_settings() {
    let (gateway, upstream) = lab().await;
    let stream = TcpStream::connect(gateway.address()).await;
    let shaken = h2::client::handshake(stream.expect("connected")).await;
    let (send, connection) = shaken.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.expect("ready");
    // An answer comes behind the settings.
    let request = http::Request::get(format!("http://{}/healthz", gateway.address()));
    let (answer, _) = send
        .send_request(request.body(()).expect("a request"), true)
        .expect("sent");
    assert_eq!(answer.await.expect("an answer").status(), 200);
    assert!(!send.is_extended_connect_protocol_enabled());
    // An HTTP/1.1 handshake in HTTP/2 is none.
    let request = http::Request::get(format!("http://{}/v1/responses", gateway.address()))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY);
    let (answer, _) = send
        .send_request(request.body(()).expect("a request"), true)
        .expect("sent");
    assert_eq!(answer.await.expect("an answer").status(), 405);
    connection.abort();
    assert_eq!(upstream.count(), 0);
}
