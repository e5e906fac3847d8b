//! What only a socket shows: framing, flushing, keep-alive, limits, bad input, shutdown.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{BODY_MAX, serve};

/// Longest wait of a test for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

struct Echo {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = watch::channel(false);
    Echo {
        address,
        stop,
        served: tokio::spawn(serve(listener, shutdown)),
    }
}

impl Echo {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a new connection and reads until the server closes it.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // A refusal may come, and the connection go, before all is written.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("an answer in time");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn still_serves(&self) {
        let answer = self
            .exchange(&post(
                "/v1/chat/completions",
                &chat("echo", false),
                "Connection: close",
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

fn chat(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three"}]})
}

fn post(path: &str, body: &Value, header: &str) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: echo\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn parts(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap()
}

/// Reads one answer with a length off a connection that stays open.
async fn read_one(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "closed after: {answer}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if length == Some(body.len()) {
            return answer;
        }
    }
}

/// The chunks of a chunked body.
fn chunks(mut body: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(rest, "\r\n", "nothing may follow the last chunk");
            return chunks;
        }
        chunks.push(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap();
    }
    panic!("no last chunk");
}

/// A request whose header was sent and answered with `100 Continue`, and the body it still owes.
async fn expecting(echo: &Echo) -> (TcpStream, String) {
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let body = chat("echo", false).to_string();
    let mut stream = echo.connect().await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nExpect: 100-continue";
    let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; INTERIM.len()];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut interim));
    read.await.unwrap().unwrap();
    assert_eq!(interim, INTERIM);
    (stream, body)
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let echo = echo().await;
    let mut stream = echo.connect().await;
    for _ in 0..3 {
        stream
            .write_all(&post("/v1/chat/completions", &chat("echo", false), "X: y"))
            .await
            .unwrap();
        let answer = read_one(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("one two three"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn each_event_of_a_stream_is_a_chunk_of_its_own() {
    let echo = echo().await;
    let answer = echo
        .exchange(&post(
            "/v1/chat/completions",
            &chat("echo", true),
            "Connection: close",
        ))
        .await;
    let (head, body) = parts(&answer);
    let head = head.to_lowercase();
    assert!(
        head.contains("content-type: text/event-stream")
            && head.contains("cache-control: no-cache"),
        "{head}"
    );
    let chunks = chunks(body);
    // The role, three words, the reason of the end, and the marker.
    assert_eq!(chunks.len(), 6);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.starts_with("data: ") && chunk.ends_with("\n\n"))
    );
}

#[tokio::test]
async fn a_stream_to_http_1_0_ends_with_the_connection() {
    let echo = echo().await;
    let request = String::from_utf8(post("/v1/messages", &json!({
        "model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "hi"}]
    }), "X: y")).unwrap();
    let answer = echo
        .exchange(request.replace("HTTP/1.1", "HTTP/1.0").as_bytes())
        .await;
    let (head, body) = parts(&answer);
    assert!(!head.to_lowercase().contains("transfer-encoding"));
    assert!(
        body.starts_with("event: message_start\n")
            && body.ends_with("\"type\":\"message_stop\"}\n\n"),
        "{body}"
    );
}

#[tokio::test]
async fn responses_carry_the_vendors_headers_and_errors_their_request_id() {
    let echo = echo().await;
    let openai = echo
        .exchange(&post(
            "/v1/chat/completions",
            &chat("echo", false),
            "Connection: close",
        ))
        .await;
    let head = parts(&openai).0.to_lowercase();
    assert!(
        head.contains("\r\nx-request-id: req_") && head.contains("\r\nopenai-version: 2020-10-01"),
        "{head}"
    );

    let anthropic = echo
        .exchange(&post("/v1/messages", &json!({}), "Connection: close"))
        .await;
    let (head, body) = parts(&anthropic);
    let error: Value = serde_json::from_str(body).unwrap();
    let id = error["request_id"].as_str().unwrap();
    assert_eq!(error["error"]["type"], "invalid_request_error");
    assert!(
        head.starts_with("HTTP/1.1 400 ") && head.contains(&format!("equest-id: {id}")),
        "{head}"
    );
}

#[tokio::test]
async fn a_name_asks_for_a_status_in_the_dialect_of_the_surface() {
    let echo = echo().await;
    let openai = echo
        .exchange(&post(
            "/v1/responses",
            &json!({"model": "status-429"}),
            "Connection: close",
        ))
        .await;
    let (head, body) = parts(&openai);
    let error: Value = serde_json::from_str(body).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 429 ") && head.to_lowercase().contains("retry-after: 1"),
        "{head}"
    );
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");

    let anthropic = echo
        .exchange(&post(
            "/v1/messages",
            &json!({"model": "status-529"}),
            "Connection: close",
        ))
        .await;
    assert!(
        anthropic.starts_with("HTTP/1.1 529 ") && anthropic.contains("overloaded_error"),
        "{anthropic}"
    );
}

#[tokio::test]
async fn a_name_asks_for_a_delay_and_a_client_that_goes_is_not_waited_for() {
    let echo = echo().await;
    let began = Instant::now();
    echo.exchange(&post(
        "/v1/chat/completions",
        &chat("delay-200", false),
        "Connection: close",
    ))
    .await;
    assert!(began.elapsed() >= Duration::from_millis(200));

    let mut gone = echo.connect().await;
    gone.write_all(&post(
        "/v1/chat/completions",
        &chat("delay-3600000", false),
        "X: y",
    ))
    .await
    .unwrap();
    drop(gone);
    echo.stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, echo.served)
        .await
        .expect("no wait for the hour")
        .unwrap();
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_whole_or_in_chunks() {
    let echo = echo().await;
    let announced = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: e\r\nContent-Length: {}\r\n\r\n",
        BODY_MAX + 1
    );
    let answer = echo.exchange(announced.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("request_too_large"),
        "{answer}"
    );

    let mut stream = echo.connect().await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [
        format!("{:x}\r\n", 1 << 20).as_bytes(),
        &vec![b' '; 1 << 20],
        b"\r\n",
    ]
    .concat();
    for _ in 0..=(BODY_MAX >> 20) {
        stream.write_all(&chunk).await.unwrap();
    }
    let mut answer = vec![0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    echo.still_serves().await;
}

#[tokio::test]
async fn a_large_body_is_echoed_whole() {
    let echo = echo().await;
    let text = "word ".repeat(1 << 18);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    let answer = echo
        .exchange(&post("/v1/chat/completions", &body, "Connection: close"))
        .await;
    let answer: Value = serde_json::from_str(parts(&answer).1).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], text);
    assert_eq!(answer["usage"]["completion_tokens"], text.len() / 4);
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body_is_sent() {
    let echo = echo().await;
    let (mut stream, body) = expecting(&echo).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(
        read_one(&mut stream)
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
}

#[tokio::test]
async fn garbage_is_answered_with_400_and_harms_no_one_else() {
    let echo = echo().await;
    let garbage: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /v1/messages HTTP/1.1\r\nHost: e\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: e\r\n folded: x\r\n\r\n",
    ];
    for bytes in garbage {
        let answer = echo.exchange(bytes).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{:?}: {answer}",
            String::from_utf8_lossy(bytes)
        );
    }
    echo.still_serves().await;
}

#[tokio::test]
async fn bad_bodies_are_answered_with_400() {
    let echo = echo().await;
    let nested = format!(r#"{{"model":"m","messages":{}"#, "[".repeat(100_000));
    let bodies = [
        "",
        "{",
        "nonsense",
        "[]",
        "null",
        "\u{feff}{}",
        r#"{"model":"\ud800","messages":[]}"#,
        &nested,
    ];
    for path in [
        "chat/completions",
        "completions",
        "responses",
        "embeddings",
        "messages",
        "messages/count_tokens",
    ] {
        for body in bodies {
            let head = format!(
                "POST /v1/{path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\nContent-Length: "
            );
            let answer = echo
                .exchange(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())
                .await;
            assert!(
                answer.starts_with("HTTP/1.1 400 "),
                "{path} {body:.20}: {answer}"
            );
        }
    }
    let head =
        "POST /v1/responses HTTP/1.1\r\nHost: e\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    let not_utf8 = [head.as_bytes(), b"\"\xff\xfe\""].concat();
    assert!(echo.exchange(&not_utf8).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn bad_chunks_end_the_connection_and_half_requests_are_let_go() {
    let echo = echo().await;
    let bad = b"POST /v1/messages HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n";
    let answer = echo.exchange(bad).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    let whole = post("/v1/chat/completions", &chat("echo", true), "X: y");
    for cut in (0..whole.len()).step_by(7) {
        let mut stream = echo.connect().await;
        stream.write_all(&whole[..cut]).await.unwrap();
    }
    echo.still_serves().await;
    echo.stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, echo.served)
        .await
        .expect("nothing is held by half requests")
        .unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_is_let_go() {
    let echo = echo().await;
    let mut body = chat("echo", true);
    body["messages"][0]["content"] = "word ".repeat(1 << 20).into();
    let mut stream = echo.connect().await;
    stream
        .write_all(&post("/v1/chat/completions", &body, "X: y"))
        .await
        .unwrap();
    stream.read_exact(&mut [0; 4096]).await.unwrap();
    drop(stream);
    echo.stop.send(true).unwrap();
    tokio::time::timeout(PATIENCE, echo.served)
        .await
        .expect("the stream was given up")
        .unwrap();
}

#[tokio::test]
async fn other_paths_methods_and_codings_are_refused() {
    let echo = echo().await;
    let unknown = echo
        .exchange(&post("/v1/files", &json!({}), "Connection: close"))
        .await;
    assert!(
        unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("not_found_error"),
        "{unknown}"
    );
    let get = b"GET /v1/chat/completions HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n";
    assert!(echo.exchange(get).await.starts_with("HTTP/1.1 405 "));
    let packed = post(
        "/v1/messages",
        &json!({}),
        "Connection: close\r\nContent-Encoding: gzip",
    );
    assert!(echo.exchange(&packed).await.starts_with("HTTP/1.1 415 "));
}

#[tokio::test]
async fn shutdown_finishes_what_has_begun_and_ends_the_idle() {
    let echo = echo().await;
    let mut idle = echo.connect().await;
    idle.write_all(&post("/v1/chat/completions", &chat("echo", false), "X: y"))
        .await
        .unwrap();
    read_one(&mut idle).await;
    // The interim answer says that the request has arrived: until it has, its connection is idle.
    let (mut busy, body) = expecting(&echo).await;

    echo.stop.send(true).unwrap();
    let closed = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 1]))
        .await
        .unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
    busy.write_all(body.as_bytes()).await.unwrap();
    let answer = read_one(&mut busy).await;
    assert!(answer.contains("one two three"), "{answer}");
    let head = parts(&answer).0.to_lowercase();
    assert!(head.contains("connection: close"), "{head}");
    tokio::time::timeout(PATIENCE, echo.served)
        .await
        .expect("it returns")
        .unwrap();
    assert!(TcpStream::connect(echo.address).await.is_err());
}
