//! Framing that two servers could read in two ways: refused, the connection closed, and nothing sent on.

use bytes::Bytes;

use crate::pair::{self, MODEL, code, good};
use crate::support::bodies;
use crate::support::client::{self, H1};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::upstream::{self, Upstream};

pub const TARGET: &str = "/v1/chat/completions";

/// A provider behind a gateway.
pub struct Lab {
    pub upstream: Upstream,
    pub gateway: Gateway,
}

impl Lab {
    pub async fn new() -> Self {
        let upstream = upstream::h1().reply(good()).start().await;
        let gateway = gateway().custom(custom("one").model(MODEL), &upstream);
        Self {
            upstream,
            gateway: gateway.start().await,
        }
    }

    /// A chat request whose further header lines and body are written by hand.
    pub fn request(&self, lines: &[u8], body: &[u8]) -> Vec<u8> {
        let start = format!(
            "POST {TARGET} HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {}\r\n",
            self.gateway.key()
        );
        [start.as_bytes(), lines, b"\r\n", body].concat()
    }

    pub async fn connect(&self) -> H1 {
        client::h1(self.gateway.address()).await
    }

    /// Sends bytes that are to be refused, with another request close behind; at most one answer comes, it is 400, and
    /// the connection ends.
    async fn refuses(&self, what: &str, bytes: Vec<u8>) {
        let smuggled = format!(
            "GET /v1/models HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {}\r\n\r\n",
            self.gateway.key()
        );
        let mut client = self.connect().await;
        client.queue([bytes, smuggled.into_bytes()].concat());
        match client.response("POST").await {
            Ok(response) => {
                assert_eq!(response.status, 400, "{what}: {}", response.text());
                assert!(
                    response.head.closes(),
                    "{what}: the connection is not announced as closing"
                );
                assert!(response.is_whole(), "{what}: {:?}", response.ending);
            }
            Err(error) => assert_ne!(
                error.kind(),
                std::io::ErrorKind::InvalidData,
                "{what}: {error}"
            ),
        }
        client.closed().await;
        assert_eq!(self.upstream.count(), 0, "{what}: sent on");
        assert!(
            self.upstream.complaints().is_empty(),
            "{what}: {:?}",
            self.upstream.complaints()
        );
    }

    /// The gateway is well, and nothing has reached the provider before.
    pub async fn is_well(&self) {
        assert_eq!(
            self.gateway
                .send(&pair::chat(&self.gateway, 0))
                .await
                .status,
            200
        );
        assert_eq!(
            (self.upstream.count(), self.upstream.complaints()),
            (1, Vec::new())
        );
        pair::idle(&self.gateway).await;
    }
}

pub fn body() -> Bytes {
    bodies::chat(MODEL).build()
}

pub fn chunked(body: &[u8]) -> Vec<u8> {
    [
        format!("{:x}\r\n", body.len()).as_bytes(),
        body,
        b"\r\n0\r\n\r\n",
    ]
    .concat()
}

#[tokio::test]
async fn two_lengths_are_refused() {
    let lab = Lab::new().await;
    let body = body();
    let length = body.len();
    let lines = [
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"),
        format!(
            "Content-Length: {length}\r\nContent-Length: {}\r\n",
            length - 1
        ),
        format!("Content-Length: 0\r\ncontent-length: {length}\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        format!("Content-Length: {length}, 0\r\n"),
        format!("Content-Length:\r\nContent-Length: {length}\r\n"),
    ];
    for line in lines {
        lab.refuses(&line, lab.request(line.as_bytes(), &body))
            .await;
    }
    lab.is_well().await;
}

#[tokio::test]
async fn a_length_beside_a_transfer_coding_is_refused() {
    let lab = Lab::new().await;
    let body = chunked(&body());
    let length = body.len();
    let lines = [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!("Transfer-Encoding: chunked\r\nCONTENT-LENGTH:{length}\r\n"),
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n".to_owned(),
        format!("Transfer-Encoding: identity\r\nContent-Length: {length}\r\n"),
        format!("Transfer-Encoding:\r\nContent-Length: {length}\r\n"),
    ];
    for line in lines {
        lab.refuses(&line, lab.request(line.as_bytes(), &body))
            .await;
    }
    lab.is_well().await;
}

#[tokio::test]
async fn other_transfer_codings_are_refused() {
    let lab = Lab::new().await;
    let body = chunked(&body());
    let lines: [&[u8]; 14] = [
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked;a=b\r\n",
        b"Transfer-Encoding: \"chunked\"\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: ,chunked\r\n",
    ];
    for line in lines {
        lab.refuses(&String::from_utf8_lossy(line), lab.request(line, &body))
            .await;
    }
    let old = lab.request(b"Transfer-Encoding: chunked\r\n", &body);
    let old = String::from_utf8(old)
        .expect("text")
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    lab.refuses("HTTP/1.0 with a transfer coding", old.into_bytes())
        .await;
    lab.is_well().await;
}

#[tokio::test]
async fn a_length_that_is_no_number_is_refused() {
    let lab = Lab::new().await;
    let body = body();
    let length = body.len();
    let values = [
        format!("-{length}"),
        format!("+{length}"),
        format!("{length}.0"),
        format!("{length} 0"),
        format!("{length}x"),
        format!("0x{length:x}"),
        format!("\"{length}\""),
        format!("1844674407370955161{length}"),
        format!("{length};"),
        String::new(),
        "abc".to_owned(),
        "\u{661}\u{660}".to_owned(),
    ];
    for value in values {
        let line = format!("Content-Length: {value}\r\n");
        lab.refuses(&line, lab.request(line.as_bytes(), &body))
            .await;
    }
    lab.is_well().await;
}

#[tokio::test]
async fn a_header_that_is_none_is_refused() {
    let lab = Lab::new().await;
    let body = body();
    let length = format!("Content-Length: {}\r\n", body.len());
    let lines: [&[u8]; 15] = [
        b"X-Folded: a\r\n b\r\n",
        b"X-Folded: a\r\n\tb\r\n",
        b" X-Folded: a\r\n",
        b"X-Null: a\0b\r\n",
        b"X-Null\0: a\r\n",
        b"X-Control: a\x01b\r\n",
        b"X-Return: a\rb\r\n",
        b"X-Return: a\rContent-Length: 3\r\n",
        b"X-Feed: a\nb: c\r\n",
        b"X-Feed: a\n",
        b"X-Space : a\r\n",
        b"X Space: a\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"X-Feed: a\n\nGET /v1/models HTTP/1.1\r\n",
    ];
    for line in lines {
        let lines = [line, length.as_bytes()].concat();
        lab.refuses(&String::from_utf8_lossy(line), lab.request(&lines, &body))
            .await;
    }
    let whole = lab.request(length.as_bytes(), b"");
    let feeds = String::from_utf8(whole)
        .expect("text")
        .replace("\r\n", "\n");
    lab.refuses("line feeds only", [feeds.as_bytes(), &body].concat())
        .await;
    lab.is_well().await;
}

#[tokio::test]
async fn chunks_that_are_none_are_refused() {
    let lab = Lab::new().await;
    let body = body();
    let size = format!("{:x}", body.len());
    let text = String::from_utf8(body.to_vec()).expect("text");
    let bodies = [
        format!("zz\r\n{text}\r\n0\r\n\r\n"),
        format!("-{size}\r\n{text}\r\n0\r\n\r\n"),
        format!("+{size}\r\n{text}\r\n0\r\n\r\n"),
        format!("0x{size}\r\n{text}\r\n0\r\n\r\n"),
        format!(" {size}\r\n{text}\r\n0\r\n\r\n"),
        format!("{size} {size}\r\n{text}\r\n0\r\n\r\n"),
        format!("10000000000000000{size}\r\n{text}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff\r\n{text}\r\n0\r\n\r\n"),
        // The line ends.
        format!("{size}\n{text}\r\n0\r\n\r\n"),
        format!("{size}\r\n{text}\n0\r\n\r\n"),
        format!("{size}\r\n{text}X\r\n0\r\n\r\n"),
        format!("{size}\r\n{text}0\r\n\r\n"),
        format!("{size}\r\n{text}\r\n0\n\n"),
        format!("{size}\rX{text}\r\n0\r\n\r\n"),
        // Extensions in which a line seems to end.
        format!("{size};a\n{text}\r\n0\r\n\r\n"),
        format!("{size};\rb\r\n{text}\r\n0\r\n\r\n"),
    ];
    for bad in bodies {
        let what = bad.replace(&text, "…");
        lab.refuses(
            &format!("{what:?}"),
            lab.request(b"Transfer-Encoding: chunked\r\n", bad.as_bytes()),
        )
        .await;
    }
    lab.is_well().await;
}

/// Pingora takes a missing size for 0: the body is empty then, and what stands there instead is no request.
#[tokio::test]
async fn a_chunk_without_a_size_ends_the_body() {
    let lab = Lab::new().await;
    let text = chunked(&body());
    let mut client = lab.connect().await;
    client.queue(lab.request(
        b"Transfer-Encoding: chunked\r\n",
        &[b"\r\n\r\n", &text[..]].concat(),
    ));
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(
        (response.status, code(&response).as_str()),
        (400, "invalid_request"),
        "{}",
        response.text()
    );
    if let Ok(response) = client.response("POST").await {
        assert_eq!(response.status, 400);
    }
    client.closed().await;
    assert_eq!(lab.upstream.count(), 0);
    lab.is_well().await;
}

#[tokio::test]
async fn a_body_that_ends_before_its_end_is_not_sent_on() {
    let lab = Lab::new().await;
    let body = body();
    let length = format!("Content-Length: {}\r\n", body.len() + 1);
    let cut = [
        lab.request(length.as_bytes(), &body),
        lab.request(
            b"Transfer-Encoding: chunked\r\n",
            &chunked(&body)[..body.len()],
        ),
        lab.request(
            b"Transfer-Encoding: chunked\r\n",
            &chunked(&body)[..body.len() + 6],
        ),
    ];
    for bytes in cut {
        let mut client = lab.connect().await;
        client.raw(bytes).await.expect("sent");
        client.half_close().await.expect("sent");
        if let Ok(response) = client.response("POST").await {
            assert_eq!(response.status, 400, "{}", response.text());
        }
        client.closed().await;
        assert_eq!(lab.upstream.count(), 0);
    }
    lab.is_well().await;
}
