//! SIGTERM: no new connections, what is under way ends, and the process with it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::gateway;
use crate::support::upstream::{self, Reply, gate};

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let gateway = gateway().start().await;
    let idle = client::h1(gateway.address()).await;
    let began = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(idle);
}

#[tokio::test]
async fn a_stream_under_way_ends_whole_and_the_process_right_after_it() {
    let hold = gate();
    let reply = Reply::sse(
        [Bytes::from("data: 1\n\n"), Bytes::from("data: [DONE]\n\n")],
        Duration::ZERO,
    );
    let upstream = upstream::h1()
        .reply(reply.hold_before(1, &hold))
        .start()
        .await;
    let gateway = gateway().provider("openai", &upstream).start().await;
    let request = gateway.post(
        "/v1/chat/completions",
        bodies::chat("openai:gpt-4o")
            .member("stream", "true")
            .build(),
    );
    let mut connection = client::h1(gateway.address()).await;
    let answer = {
        let mut stream = connection.begin(&request).await.expect("sent");
        assert_eq!(
            stream.next().await.expect("a piece").as_deref(),
            Some(&b"data: 1\n\n"[..])
        );
        gateway.signal("TERM");
        gateway
            .log_until("the end announced", |line| line.contains("stopping"))
            .await;
        hold.open();
        stream.collect().await
    };
    assert!(answer.is_whole(), "{:?}", answer.ending);
    assert_eq!(gateway.ended().await, Some(0));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let hold = gate();
    let reply = Reply::sse(
        [Bytes::from("data: 1\n\n"), Bytes::from("data: 2\n\n")],
        Duration::ZERO,
    );
    let upstream = upstream::h1()
        .reply(reply.hold_before(1, &hold))
        .start()
        .await;
    let gateway = gateway()
        .config("server.drain", "200ms")
        .provider("openai", &upstream)
        .start()
        .await;
    let request = gateway.post(
        "/v1/chat/completions",
        bodies::chat("openai:gpt-4o").build(),
    );
    let mut connection = client::h1(gateway.address()).await;
    let mut stream = connection.begin(&request).await.expect("sent");
    assert!(stream.next().await.expect("a piece").is_some());
    gateway.signal("TERM");
    assert!(!stream.collect().await.is_whole());
    assert_eq!(gateway.ended().await, Some(0));
}
