//! In how many TCP segments a request reaches an HTTP/1.1 upstream: header and body in one, where one holds both.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread::{self, JoinHandle};

use pingora::protocols::l4::ext::get_tcp_info;
use serde_json::json;

use crate::support::client::{self, H1, post};
use crate::support::gateway::{Gateway, gateway};

const ANSWER: &str = r#"{"id":"x","choices":[]}"#;

/// Takes requests over one connection, answers each when it is whole, and says in how many segments each has come.
fn counting(listener: TcpListener, requests: usize) -> JoinHandle<Vec<u32>> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut segments = vec![0];
        for _ in 0..requests {
            take_request(&mut stream);
            segments.push(get_tcp_info(stream.as_raw_fd()).unwrap().tcpi_data_segs_in);
            let length = ANSWER.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all((head + ANSWER).as_bytes()).unwrap();
        }
        segments.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

/// Reads a request to the end of its body.
fn take_request(stream: &mut TcpStream) {
    let (mut request, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "closed within a request");
        request.extend_from_slice(&piece[..count]);
        let Some(end) = memchr::memmem::find(&request, b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if request.len() >= end + 4 + length {
            return;
        }
    }
}

/// A gateway whose one provider is at `listener`, and has the model `m`.
async fn before(listener: &TcpListener) -> Gateway {
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let provider = json!({
        "provider": "local",
        "preset": "openai-compatible",
        "base_url": format!("{origin}/v1"),
        "models": {"m": {"price": {"input": "1", "output": "2"}, "context": 1_000_000}},
    });
    gateway()
        .catalog("local", provider)
        .credentials("local", 1)
        .start()
        .await
}

/// Asks for `model`, which stands behind a message of `size` bytes.
async fn ask(client: &mut H1, gateway: &Gateway, model: &str, size: usize) {
    let body = json!({"messages": ["x".repeat(size)], "model": model}).to_string();
    let request = post("/v1/chat/completions", body).bearer(gateway.key());
    let response = client.send(&request).await;
    assert_eq!((response.status, response.text().as_str()), (200, ANSWER));
}

#[tokio::test]
async fn a_request_that_fits_comes_in_one_segment_also_over_a_connection_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // One that is larger than a segment has more, and leaves nothing behind for the next.
    let sizes = [10, 1_000, 20_000, 200_000, 300, 40_000];
    let gateway = before(&listener).await;
    let upstream = counting(listener, sizes.len());
    let mut client = client::h1(gateway.address()).await;
    for size in sizes {
        ask(&mut client, &gateway, "local:m", size).await;
    }
    let segments = upstream.join().unwrap();
    for (size, segments) in sizes.into_iter().zip(segments) {
        let fits = size < 60_000;
        assert!(
            segments == 1 || !fits && segments > 1,
            "{size} bytes came in {segments} segments"
        );
    }
}

#[tokio::test]
async fn a_long_body_with_another_model_comes_in_no_more_segments_than_one_as_it_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = before(&listener).await;
    // What comes first over a connection is sent in smaller segments.
    let models = ["m", "local:m"].repeat(6);
    let upstream = counting(listener, models.len());
    let mut client = client::h1(gateway.address()).await;
    for model in &models {
        ask(&mut client, &gateway, model, 100_000).await;
    }
    let segments = upstream.join().unwrap();
    let fewest = |of: usize| segments.iter().skip(of).step_by(2).min();
    assert!(fewest(1) <= fewest(0), "{segments:?}");
}
