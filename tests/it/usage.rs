//! What a request used, as the access log and the metrics tell it: of every surface, streamed and not, compressed and
//! cut short. That the client's bytes are the provider's is shown beside it.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::pair::MODEL;
use crate::streaming::Lab;
use crate::support::bodies;
use crate::support::client::Protocol;
use crate::support::upstream::payload::Usage;
use crate::support::upstream::{Reply, fault, payload};

const USAGE: Usage = Usage {
    input: 31,
    output: 17,
};

/// What the log says of the one request that is made, and the answer that the client got.
async fn told(lab: &Lab, target: &str, body: Bytes) -> (Value, Bytes) {
    let before = lab.gateway.access_log().len();
    let response = lab.gateway.send(&lab.gateway.post(target, body)).await;
    let lines = lab.gateway.access_lines(before + 1).await;
    (lines[before].clone(), response.body)
}

fn joined(events: &[Bytes]) -> Bytes {
    events.concat().into()
}

#[tokio::test]
async fn each_surface_is_metered_streamed_and_not() {
    for protocol in [Protocol::H1, Protocol::H2Tls] {
        let lab = Lab::new(protocol).await;
        let chat = payload::chat_sse(MODEL, 3, Some(USAGE));
        let messages = payload::messages_sse(MODEL, 3, USAGE);
        for (target, body, answer) in [
            (
                "/v1/chat/completions",
                bodies::chat(MODEL),
                Reply::json(200, payload::chat_json(MODEL, USAGE)),
            ),
            (
                "/v1/chat/completions",
                bodies::chat(MODEL),
                Reply::sse(chat.clone(), Duration::ZERO),
            ),
            (
                "/v1/messages",
                bodies::chat(MODEL),
                Reply::json(200, payload::messages_json(MODEL, USAGE)),
            ),
            (
                "/v1/messages",
                bodies::chat(MODEL),
                Reply::sse(messages.clone(), Duration::ZERO),
            ),
            (
                "/v1/responses",
                bodies::chat(MODEL),
                Reply::json(200, payload::responses_json(MODEL, USAGE)),
            ),
        ] {
            lab.upstream.push(answer);
            let (line, _) = told(&lab, target, body.build()).await;
            assert_eq!(line["usage"], "reported", "{target}: {line}");
            assert_eq!(
                (&line["tokens_in"], &line["tokens_out"]),
                (&json!(31), &json!(17)),
                "{line}"
            );
        }
        let metrics = lab.gateway.metrics().await;
        let count = |kind| {
            metrics.sum(
                "tollgate_tokens_total",
                &[("provider", "one"), ("kind", kind)],
            )
        };
        assert_eq!((count("input"), count("output")), (5.0 * 31.0, 5.0 * 17.0));
    }
}

#[tokio::test]
async fn a_compressed_answer_is_metered_and_passes_as_it_is() {
    let lab = Lab::new(Protocol::H1).await;
    let events = joined(&payload::chat_sse(MODEL, 50, Some(USAGE)));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&events).expect("packed");
    let mut brotli = Vec::new();
    brotli::CompressorWriter::new(&mut brotli, 4096, 5, 22)
        .write_all(&events)
        .expect("packed");
    for (coding, packed) in [
        ("gzip", gzip.finish().expect("packed")),
        ("br", brotli),
        ("zstd", zstd::encode_all(&events[..], 3).expect("packed")),
    ] {
        let pieces: Vec<Bytes> = packed.chunks(40).map(Bytes::copy_from_slice).collect();
        lab.upstream
            .push(Reply::sse(pieces, Duration::ZERO).header("content-encoding", coding));
        let (line, body) = told(&lab, "/v1/chat/completions", bodies::chat(MODEL).build()).await;
        assert_eq!(
            (&line["usage"], &line["tokens_in"]),
            (&json!("reported"), &json!(31)),
            "{coding}"
        );
        assert_eq!(body, packed, "{coding}");
    }
}

#[tokio::test]
async fn what_is_not_told_or_broke_off_is_said_to_be_so() {
    let lab = Lab::new(Protocol::H1).await;
    let without = payload::chat_sse(MODEL, 3, None);
    lab.upstream.push(Reply::sse(without, Duration::ZERO));
    let (line, _) = told(&lab, "/v1/chat/completions", bodies::chat(MODEL).build()).await;
    assert_eq!(line["usage"], "missing", "{line}");
    let messages = Reply::sse(payload::messages_sse(MODEL, 3, USAGE), Duration::ZERO);
    let begun = joined(&payload::messages_sse(MODEL, 3, USAGE)[..2]).len();
    lab.upstream.push(fault::truncated(messages, begun));
    let (line, _) = told(&lab, "/v1/messages", bodies::chat(MODEL).build()).await;
    assert_eq!(
        line["tokens_in"], 31,
        "what came before the end is told: {line}"
    );
    let refused = Reply::json(
        400,
        payload::openai_error("no", "invalid_request_error", "no"),
    );
    lab.upstream.push(refused);
    let (line, _) = told(&lab, "/v1/chat/completions", bodies::chat(MODEL).build()).await;
    assert_eq!(line.get("usage"), None, "an error uses nothing: {line}");
}
