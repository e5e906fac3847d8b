//! Providers that speak HTTP/2: how many connections they see, and what becomes of streams that they refuse, reset or
//! break.

use crate::pair::{self, MODES, Pair, Reached, attempts, chat, error, good};
use crate::support::client::{self, Windows};
use crate::support::gateway::Builder;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Behaviour, Settings, Upto, behave, fault, frame};

const AGAIN: [&str; 2] = ["one:twice-served;broken", "one:twice-served;ok;status=200"];

/// The first provider speaks HTTP/2 over TLS, the second HTTP/1.1.
pub async fn pair(settings: Settings, configure: impl FnOnce(Builder) -> Builder) -> Pair {
    let authority = Authority::new();
    let first = upstream::h2_tls(&authority)
        .settings(settings)
        .reply(good())
        .start()
        .await;
    Pair::with_first(first, |gateway| configure(gateway.trust(&authority))).await
}

/// Sends `count` requests that are all at the first provider at the same time; returns its connections so far.
async fn at_once(pair: &Pair, count: usize) -> usize {
    let gate = upstream::gate();
    pair.first
        .otherwise(behave().read().hold(&gate).send(good()));
    let client = client::h2c(pair.gateway.address(), Windows::default()).await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (client, request) = (client.clone(), chat(&pair.gateway, 0));
        requests.spawn(async move { client.send(&request).await.status });
    }
    gate.held(count).await;
    let connections = pair.first.connections();
    gate.open();
    assert!(
        requests
            .join_all()
            .await
            .into_iter()
            .all(|status| status == 200)
    );
    connections
}

#[tokio::test]
async fn concurrent_requests_share_connections() {
    let pair = pair(Settings::default(), |gateway| gateway).await;
    let cold = at_once(&pair, 32).await;
    assert!(cold <= 16, "{cold} connections for 32 requests");
    let warm = at_once(&pair, 32).await;
    assert!(warm <= 16, "{warm} connections for two times 32 requests");
    assert_eq!(pair.reached(), Reached(64, 0));
}

#[tokio::test]
async fn no_more_requests_share_a_connection_than_the_provider_takes() {
    let few = Settings {
        streams_max: 4,
        ..Settings::default()
    };
    let pair = pair(few, |gateway| gateway).await;
    let gate = upstream::gate();
    pair.first
        .otherwise(behave().read().hold(&gate).send(good()));
    let client = client::h2c(pair.gateway.address(), Windows::default()).await;
    let mut requests = tokio::task::JoinSet::new();
    for count in 1..=12 {
        let (client, request) = (client.clone(), chat(&pair.gateway, 0));
        requests.spawn(async move { client.send(&request).await.status });
        // One after another: until a connection's settings have come, more are put on it.
        gate.held(count).await;
    }
    assert_eq!(pair.first.connections(), 3);
    gate.open();
    assert_eq!(requests.join_all().await, [200; 12]);
}

/// Meets `faults` in each mode; says how often each provider is to be reached, and the status.
async fn check(what: &str, faults: &[Behaviour], expected: [(u16, Reached); 3]) {
    for (mode, expected) in MODES.into_iter().zip(expected) {
        let pair = pair(Settings::default(), |gateway| gateway).await;
        // As the first request on a connection, and behind one that went well.
        for used in [false, true] {
            if used {
                pair.warm().await;
            }
            faults
                .iter()
                .for_each(|fault| pair.first.push(fault.clone()));
            let request = chat(&pair.gateway, 1000).header("tollgate-failover", mode);
            let (response, reached) = pair.send(&request).await;
            let told = attempts(&response);
            assert_eq!(
                (response.status, reached),
                expected,
                "{what}, {mode}, used: {used}: {told:?}"
            );
        }
    }
}

/// What an upstream has got and not answered is sent elsewhere in mode `on` only.
const DELIVERED: [(u16, Reached); 3] = [
    (200, Reached(1, 1)),
    (502, Reached(1, 0)),
    (502, Reached(1, 0)),
];

#[tokio::test]
async fn a_stream_that_is_refused_is_resent_once_in_every_mode() {
    check(
        "refused",
        &[fault::refused_stream()],
        [(200, Reached(2, 0)); 3],
    )
    .await;
    let pair = pair(Settings::default(), |gateway| gateway).await;
    let (response, _) = pair.meet(fault::refused_stream(), "off", 0).await;
    assert_eq!(attempts(&response), AGAIN);
}

#[tokio::test]
async fn a_stream_above_a_goaway_is_resent_once_in_every_mode() {
    check(
        "a GOAWAY below",
        &[fault::goaway_below()],
        [(200, Reached(2, 0)); 3],
    )
    .await;
}

#[tokio::test]
async fn a_second_refusal_is_the_providers_failure() {
    let twice = [fault::refused_stream(), fault::refused_stream()];
    check(
        "refused twice",
        &twice,
        [
            (200, Reached(2, 1)),
            (200, Reached(2, 1)),
            (502, Reached(2, 0)),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_stream_below_a_goaway_is_answered_and_later_ones_go_elsewhere() {
    let pair = pair(Settings::default(), |gateway| gateway).await;
    for _ in 0..3 {
        let before = pair.first.connections();
        let (response, reached) = pair.meet(fault::goaway_then(good()), "safe", 0).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 0)),
            "{:?}",
            attempts(&response)
        );
        let (response, reached) = pair.send(&chat(&pair.gateway, 0)).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 0)),
            "{:?}",
            attempts(&response)
        );
        assert!(pair.first.connections() > before);
    }
}

#[tokio::test]
async fn a_stream_that_was_reset_was_delivered() {
    check(
        "a reset",
        &[behave().read().reset_stream(frame::INTERNAL_ERROR)],
        DELIVERED,
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_was_cancelled_was_delivered() {
    check(
        "a cancelled stream",
        &[behave().read().reset_stream(frame::CANCEL)],
        DELIVERED,
    )
    .await;
}

#[tokio::test]
async fn a_stream_whose_connection_closed_was_delivered() {
    check("a lost connection", &[fault::close_after_body()], DELIVERED).await;
}

#[tokio::test]
async fn a_stream_whose_header_broke_was_delivered() {
    check(
        "half a header",
        &[behave().read().send_upto(good(), Upto::HalfHead).close()],
        DELIVERED,
    )
    .await;
}

#[tokio::test]
async fn a_stream_within_a_goaway_was_delivered() {
    for code in [frame::NO_ERROR, frame::INTERNAL_ERROR] {
        let fault = behave()
            .read()
            .frames(move |stream| frame::goaway(stream, code))
            .close();
        check("a GOAWAY above it, then the end", &[fault], DELIVERED).await;
    }
}

/// Pingora marks these for a retry by itself.
#[tokio::test]
async fn what_breaks_http2_was_delivered_all_the_same() {
    let faults = [
        ("a frame that is none", fault::invalid_frame()),
        (
            "a call for HTTP/1.1",
            behave().read().reset_stream(frame::HTTP_1_1_REQUIRED),
        ),
    ];
    let expected = [
        (200, Reached(1, 1)),
        (502, Reached(1, 0)),
        (502, Reached(1, 0)),
    ];
    for (what, fault) in faults {
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let pair = pair(Settings::default(), |gateway| gateway).await;
            let (response, reached) = pair.meet(fault.clone(), mode, 1000).await;
            assert_eq!(
                (response.status, reached),
                expected,
                "{what}, {mode}: {:?}",
                attempts(&response)
            );
        }
    }
}

#[tokio::test]
async fn silence_is_given_up_and_the_stream_with_it() {
    let times = |gateway: Builder| gateway.config("timeouts.first_byte", "300ms");
    let pair = pair(Settings::default(), times).await;
    for (mode, expected) in [
        ("on", (200, Reached(1, 1))),
        ("safe", (504, Reached(1, 0))),
        ("off", (504, Reached(1, 0))),
    ] {
        let (response, reached) = pair.meet(fault::silent_after_body(), mode, 1000).await;
        assert_eq!(
            (response.status, reached),
            expected,
            "{mode}: {:?}",
            attempts(&response)
        );
        let gone = |all: &[upstream::Delivery]| {
            all.iter()
                .all(|one| one.gone_at.is_some() || one.complete_at.is_none())
        };
        pair.first.wait_until("the stream's reset", gone).await;
    }
    pair::idle(&pair.gateway).await;
}

/// A provider that takes no body and says nothing, while its connection lives.
#[tokio::test]
async fn a_stream_without_window_credit_is_given_up() {
    let times = |gateway: Builder| {
        gateway
            .config("timeouts.first_byte", "500ms")
            .config("timeouts.idle", "500ms")
    };
    let narrow = Settings {
        stream_window: 65_535,
        ..Settings::default()
    };
    let pair = pair(narrow, times).await;
    for (mode, expected) in [
        ("on", (200, Reached(1, 1))),
        ("safe", (200, Reached(1, 1))),
        ("off", (504, Reached(1, 0))),
    ] {
        let (response, reached) = pair.meet(fault::silent_before_body(), mode, 4 << 20).await;
        assert_eq!(
            (response.status, reached),
            expected,
            "{mode}: {:?}",
            attempts(&response)
        );
    }
    pair::idle(&pair.gateway).await;
}

#[tokio::test]
async fn an_error_and_a_good_answer_come_over_h2_as_over_h1() {
    let pair = pair(Settings::default(), |gateway| gateway).await;
    let (response, reached) = pair.meet(error(503), "safe", 100_000).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
    let (response, reached) = pair.meet(error(422), "on", 100_000).await;
    assert_eq!((response.status, reached), (422, Reached(1, 0)));
    assert_eq!(response.body, error(422).body());
    assert_eq!(pair.first.connections(), 1);
}

/// Pingora asks such a provider over HTTP/1.1 from then on, and this one speaks HTTP/2 only.
#[tokio::test]
async fn what_breaks_http2_once_does_not_cut_a_provider_off() {
    let pair = pair(Settings::default(), |gateway| gateway).await;
    for _ in 0..2 {
        let (response, _) = pair.meet(fault::invalid_frame(), "off", 1000).await;
        assert_eq!(response.status, 502);
        for _ in 0..3 {
            let (response, reached) = pair.meet(good(), "off", 1000).await;
            assert_eq!(
                (response.status, reached),
                (200, Reached(1, 0)),
                "{:?}",
                attempts(&response)
            );
        }
    }
}
