//! How long things may take: by configuration, provider, access key and request header, the narrowest of which holds;
//! and how a peer that died without a word is told from one that thinks.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ask::{Dialect, refused};
use crate::pair::{self, MODEL, Pair, Reached, attempts, chat, code, error, good};
use crate::streaming::{CLIENTS, Lab, UPSTREAMS, events};
use crate::support::bodies;
use crate::support::client::{Ending, Request, Response};
use crate::support::gateway::{Builder, Gateway};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Reply, Step, Upto, behave, fault};
use crate::support::wait;

/// A chat request by the access key of that name.
fn by(gateway: &Gateway, key: &str) -> Request {
    let body = bodies::chat(MODEL).build();
    crate::support::client::post("/v1/chat/completions", body).bearer(gateway.key_named(key))
}

/// The same for a stream.
fn stream_by(key: &str) -> Request {
    let body = bodies::chat(MODEL).member("stream", "true");
    let body = body.member("stream_options", r#"{"include_usage":true}"#);
    crate::support::client::post("/v1/chat/completions", body.build()).bearer(key)
}

fn stream(gateway: &Gateway) -> Request {
    stream_by(gateway.key())
}

/// Answers after so many milliseconds.
fn after(millis: u64) -> Behaviour {
    let pause = Step::Pause(Duration::from_millis(millis));
    behave().read().step(pause).send(good())
}

/// Sends a request that nobody answers; checks that it is given up after some half a second, and that the provider
/// sees the end of it.
async fn is_given_up(pair: &Pair, request: &Request, context: &str) -> Response {
    let before = pair.first.count();
    pair.first.push(fault::silent_after_body());
    let asked = Instant::now();
    let response = pair.gateway.send(request).await;
    let took = asked.elapsed();
    assert!(
        took >= Duration::from_millis(490) && took < Duration::from_secs(5),
        "{context}: {took:?}"
    );
    pair.first
        .wait_until("the end seen upstream", |all| all[before].gone_at.is_some())
        .await;
    response
}

#[tokio::test]
async fn the_total_is_bounded_by_configuration_provider_key_and_header() {
    let timed_out = |response: &Response, context: &str| {
        let told = (response.status, code(response));
        assert_eq!(told, (504, "upstream_timeout".to_owned()), "{context}");
    };
    for setting in ["timeouts.total", "providers.one.timeouts.total"] {
        let pair = Pair::start(|gateway| gateway.config(setting, "500ms")).await;
        let plain = chat(&pair.gateway, 0);
        timed_out(&is_given_up(&pair, &plain, setting).await, setting);
        // No header makes it longer.
        let longer = plain.header("tollgate-timeout", "1h");
        timed_out(&is_given_up(&pair, &longer, setting).await, setting);
        assert_eq!(pair.second.count(), 0);
    }
    let pair = Pair::start(|gateway| {
        gateway.key("hasty", &["--timeout", "total=500ms"]).key(
            "patient",
            &["--timeout", "total=1h", "--timeout", "idle=1h"],
        )
    })
    .await;
    let hasty = by(&pair.gateway, "hasty");
    timed_out(&is_given_up(&pair, &hasty, "key").await, "key");
    let longer = hasty.header("tollgate-timeout", "30s");
    timed_out(
        &is_given_up(&pair, &longer, "key, header").await,
        "key, header",
    );
    for value in ["0.5", "500ms", " 500 ms ", "0.5s"] {
        let asked = by(&pair.gateway, "patient").header("tollgate-timeout", value);
        timed_out(&is_given_up(&pair, &asked, value).await, value);
    }
    // It is said to the gateway, and to nobody else.
    let deliveries = pair.first.deliveries();
    let header = |delivery: &upstream::Delivery| delivery.header("tollgate-timeout").is_some();
    assert!(!deliveries.iter().any(header));
}

#[tokio::test]
async fn a_timeout_that_cannot_be_read_is_refused() {
    let pair = Pair::start(|gateway| gateway).await;
    for value in [
        "", "0", "0s", "-1", "soon", "1x", "1h30m", "1e3", "1,5", "\u{bd}",
    ] {
        let asked = chat(&pair.gateway, 0).header("tollgate-timeout", value);
        let response = pair.gateway.send(&asked).await;
        let message = refused(&response, Dialect::OpenAi, 400, "invalid_request");
        assert!(message.contains("Tollgate-Timeout"), "{value}: {message}");
    }
    let twice = chat(&pair.gateway, 0)
        .header("tollgate-timeout", "5")
        .header("tollgate-timeout", "6");
    let response = pair.gateway.send(&twice).await;
    refused(&response, Dialect::OpenAi, 400, "invalid_request");
    assert_eq!(pair.reached(), Reached(0, 0));
}

#[tokio::test]
async fn a_key_is_not_made_with_a_time_that_makes_no_sense() {
    let pair = Pair::start(|gateway| gateway).await;
    for time in ["total", "total=", "total=soon", "total=0", "body=5s", "=5s"] {
        let made = pair
            .gateway
            .run(&["keys", "create", "--name", "x", "--timeout", time]);
        assert_ne!(made.code, Some(0), "{time}");
        assert!(!made.stdout.contains("tg-"), "{time}");
    }
    let arguments = ["--timeout", "total=90s", "--timeout", "first_byte=1.5s"];
    let made = ["keys", "create", "--name", "x"].iter().chain(&arguments);
    let made = pair.gateway.run(&made.copied().collect::<Vec<_>>());
    assert!(
        made.stdout.contains("first_byte 1500 ms; total 90000 ms"),
        "{}",
        made.stdout
    );
}

#[tokio::test]
async fn the_first_byte_of_a_stream_has_a_time_of_its_own() {
    let times = |plain: &'static str, streamed: &'static str| {
        move |gateway: Builder| {
            gateway
                .config("timeouts.first_byte", plain)
                .config("timeouts.first_byte_stream", streamed)
        }
    };
    for (plain, streamed) in [("300ms", "20s"), ("20s", "300ms")] {
        let pair = Pair::start(times(plain, streamed)).await;
        for (request, time) in [
            (chat(&pair.gateway, 0), plain),
            (stream(&pair.gateway), streamed),
        ] {
            pair.first.push(after(1_200));
            let (response, reached) = pair.send(&request).await;
            let expected = Reached(1, usize::from(time == "300ms"));
            assert_eq!((response.status, reached), (200, expected), "{time}");
        }
    }
    // What is said of one holds for the other where nothing is said of that.
    let pair = Pair::start(|gateway| gateway.config("timeouts.first_byte", "300ms")).await;
    pair.first.push(after(1_200));
    let (response, reached) = pair.send(&stream(&pair.gateway)).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
}

#[tokio::test]
async fn each_time_can_be_a_keys_own() {
    let pair = Pair::start(|gateway| {
        gateway
            .key("plain", &["--timeout", "first_byte=300ms"])
            .key("streamed", &["--timeout", "first_byte_stream=300ms"])
            .key("idle", &["--timeout", "idle=300ms"])
    })
    .await;
    for (key, plain, streamed) in [
        ("plain", Reached(1, 1), Reached(1, 0)),
        ("streamed", Reached(1, 0), Reached(1, 1)),
    ] {
        let stream = stream_by(pair.gateway.key_named(key));
        for (request, expected) in [(by(&pair.gateway, key), plain), (stream, streamed)] {
            pair.first.push(after(1_200));
            let (response, reached) = pair.send(&request).await;
            assert_eq!((response.status, reached), (200, expected), "{key}");
        }
    }
    let stalled = fault::stalled(Reply::json(200, "[1,").claimed(100), 3);
    pair.first.push(stalled);
    let (response, _) = pair.send(&by(&pair.gateway, "idle")).await;
    assert!(response.status == 200 && !response.is_whole());
}

#[tokio::test]
async fn the_first_byte_of_a_stream_can_be_a_providers_own() {
    let own = "providers.one.timeouts.first_byte_stream";
    let pair = Pair::start(|gateway| gateway.config(own, "300ms")).await;
    for (request, expected) in [
        (chat(&pair.gateway, 0), Reached(1, 0)),
        (stream(&pair.gateway), Reached(1, 1)),
    ] {
        pair.first.push(after(1_200));
        let (response, reached) = pair.send(&request).await;
        assert_eq!((response.status, reached), (200, expected));
    }
    // It is not the next one's.
    pair.first.push(error(503));
    pair.second.push(after(1_200));
    let (response, reached) = pair.send(&stream(&pair.gateway)).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up_in_the_providers_time() {
    let first = upstream::unreachable().await;
    let pair = Pair::with_first(first, |gateway| {
        gateway
            .config("timeouts.connect", "60s")
            .config("providers.one.timeouts.connect", "300ms")
    })
    .await;
    let asked = Instant::now();
    let (response, reached) = pair.send(&chat(&pair.gateway, 0)).await;
    let took = asked.elapsed();
    assert_eq!((response.status, reached), (200, Reached(0, 1)));
    assert_eq!(
        attempts(&response)[0],
        format!("one:{MODEL};connect_failed")
    );
    assert!(
        took >= Duration::from_millis(290) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up_in_the_keys_time() {
    let first = upstream::unreachable().await;
    let pair = Pair::with_first(first, |gateway| {
        gateway
            .config("timeouts.connect", "60s")
            .key("hasty", &["--timeout", "connect=300ms"])
    })
    .await;
    let (response, reached) = pair.send(&by(&pair.gateway, "hasty")).await;
    assert_eq!((response.status, reached), (200, Reached(0, 1)));
    let told = attempts(&response);
    assert_eq!(told[0], format!("one:{MODEL};connect_failed"));
}

#[tokio::test]
async fn the_deadline_of_a_header_covers_all_attempts() {
    let pair = Pair::start(|gateway| gateway.config("timeouts.first_byte", "400ms")).await;
    pair.second.push(fault::silent_after_body());
    let request = chat(&pair.gateway, 0).header("tollgate-timeout", "600ms");
    let response = is_given_up(&pair, &request, "two attempts").await;
    assert_eq!(code(&response), "upstream_timeout");
    assert_eq!(pair.reached(), Reached(1, 1));
}

#[tokio::test]
async fn a_request_whose_time_is_over_before_it_is_there_goes_nowhere() {
    let pair = Pair::start(|gateway| gateway).await;
    let slowly = chat(&pair.gateway, 600)
        .header("tollgate-timeout", "200ms")
        .pieces(100)
        .pause(Duration::from_millis(100));
    let response = pair.gateway.send(&slowly).await;
    refused(&response, Dialect::OpenAi, 504, "upstream_timeout");
    assert_eq!(pair.reached(), Reached(0, 0));
}

#[tokio::test]
async fn a_silent_stream_is_cut_by_no_time_but_its_own() {
    let short = |gateway: Builder| {
        gateway
            .config("timeouts.connect", "300ms")
            .config("timeouts.first_byte", "300ms")
            .config("timeouts.client", "300ms")
            .config("timeouts.idle", "30s")
            .config("upstream.h2_ping", "500ms")
            .config("upstream.idle_time", "300ms")
    };
    for speaks in UPSTREAMS {
        let lab = Lab::with(speaks, short).await;
        for protocol in CLIENTS {
            let context = format!("{protocol:?} to {speaks:?}");
            let gate = upstream::gate();
            let all = events(2);
            let reply = Reply::sse(all.clone(), Duration::ZERO).hold_before(1, &gate);
            lab.upstream.push(reply);
            let mut client = lab.client(protocol).await;
            let request = lab.stream("/v1/chat/completions");
            let mut incoming = client.begin(&request).await.expect("a head");
            gate.held(1).await;
            // Longer than all of the others, some of them several times.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            gate.open();
            let mut got = Vec::new();
            while let Some(piece) = incoming.next().await.expect("no cut") {
                got.extend_from_slice(&piece);
            }
            assert_eq!(Bytes::from(got), Bytes::from(all.concat()), "{context}");
        }
        pair::idle(&lab.gateway).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_silent_for_too_long_is_cut() {
    for speaks in UPSTREAMS {
        let lab = Lab::with(speaks, |gateway| gateway.config("timeouts.idle", "500ms")).await;
        let event = Bytes::from_static(b"data: {}\n\n");
        let reply = Reply::sse([event.clone()], Duration::ZERO);
        lab.upstream.push(fault::stalled(reply, event.len()));
        let response = lab.gateway.send(&lab.stream("/v1/chat/completions")).await;
        assert!(matches!(response.ending, Ending::Cut(_)), "{response:?}");
        lab.upstream
            .wait_until("the end seen upstream", |all| all[0].gone_at.is_some())
            .await;
    }
}

/// How long a peer may stay unnoticed that answers no PING: the time between two, and what one is waited for (5 s),
/// with room for a slow machine.
const NOTICED: Duration = Duration::from_secs(1 + 6 + 5);

#[tokio::test]
async fn a_provider_that_answers_no_ping_is_found_while_everything_else_is_patient() {
    let authority = Authority::new();
    let first = upstream::h2_tls(&authority).reply(good()).start().await;
    let pair = Pair::with_first(first, |gateway| {
        gateway.trust(&authority).config("upstream.h2_ping", "1s")
    })
    .await;
    // Before it answers: the next candidate is tried.
    let asked = Instant::now();
    let (response, reached) = pair.meet(behave().read().freeze(), "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
    assert!(asked.elapsed() < NOTICED, "{:?}", asked.elapsed());
    // In the middle of its answer: that has no good end.
    let part = Upto::Bytes(3);
    let reply = Reply::json(200, "[1,2]");
    let asked = Instant::now();
    let frozen = behave().read().send_upto(reply, part).freeze();
    let (response, reached) = pair.meet(frozen, "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 0)));
    assert!(!response.is_whole());
    assert!(asked.elapsed() < NOTICED, "{:?}", asked.elapsed());
}

/// The row of `/proc/net/tcp` for a connection to this port: whose timer runs (2: keep-alive), and when it fires, in
/// hundredths of a second (Documentation/networking/proc_net_tcp.rst of the Linux kernel).
fn timer(port: u16) -> Option<(u8, u64)> {
    let rows = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let remote = format!("0100007F:{port:04X}");
    let row = rows
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|row| row.get(2) == Some(&remote.as_str()) && row.get(3) == Some(&"01"))?;
    let (kind, when) = row.get(5)?.split_once(':')?;
    Some((
        u8::from_str_radix(kind, 16).ok()?,
        u64::from_str_radix(when, 16).ok()?,
    ))
}

#[tokio::test]
async fn tcp_asks_whether_a_silent_provider_is_alive() {
    let pair = Pair::start(|gateway| gateway.config("upstream.keepalive_time", "7s")).await;
    pair.first.push(fault::silent_after_body());
    let port = pair.first.address().port();
    let mut client = crate::support::client::h1(pair.gateway.address()).await;
    let request = chat(&pair.gateway, 0);
    tokio::select! {
        _ = client.begin(&request) => panic!("answered"),
        () = wait::until("a keep-alive timer of at most 7 s", || {
            timer(port).is_some_and(|(kind, when)| kind == 2 && when <= 701)
        }) => {}
    }
}
