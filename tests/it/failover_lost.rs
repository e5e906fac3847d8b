//! A provider that takes the request and does not answer: resets, closes and silence, before, in and after the body.
//! What was delivered whole is sent again in mode `on` only; what was not, in `safe` too.

use std::time::{Duration, Instant};

use crate::pair::{self, MODEL, MODES, Pair, Reached, attempts, chat, code, error, good};
use crate::support::client::Response;
use crate::support::upstream::{self, Behaviour, End, Reply, behave, fault};

const MIB: usize = 1 << 20;

/// More than every buffer between the gateway and a provider that does not read.
const LARGE: usize = 20 * MIB;

const BROKEN: &str = "one:twice-served;broken";
const SILENT: &str = "one:twice-served;timeout";
const SECOND: &str = "two:twice-served;ok;status=200";

/// Each mode meets `fault` at the first provider with a body of `size` bytes; `again` says whether the second is tried.
async fn check(
    pair: &Pair,
    what: &str,
    fault: &Behaviour,
    size: usize,
    failed: &str,
    again: [bool; 3],
) {
    for (mode, again) in MODES.into_iter().zip(again) {
        let context = format!("{what}, {mode}, {size} bytes");
        let (response, reached) = pair.meet(fault.clone(), mode, size).await;
        if again {
            assert_eq!(response.status, 200, "{context}: {}", response.text());
            assert_eq!(reached, Reached(1, 1), "{context}");
            assert_eq!(attempts(&response), [failed, SECOND], "{context}");
            let second = pair.second.deliveries().pop().expect("a delivery");
            assert!(second.complete && second.length >= size as u64, "{context}");
        } else {
            let expected = if failed == SILENT {
                (504, "upstream_timeout")
            } else {
                (502, "all_candidates_failed")
            };
            assert_eq!(
                (response.status, code(&response).as_str()),
                expected,
                "{context}"
            );
            assert_eq!(
                response.header("x-should-retry"),
                Some("false"),
                "{context}"
            );
            assert_eq!(reached, Reached(1, 0), "{context}");
            assert_eq!(attempts(&response), [failed], "{context}");
        }
        // A connection of its own for each case: one that was used before has rules of its own.
        pair.first.cut_connections(End::Abandon).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_after_the_body() {
    let pair = Pair::start(|gateway| gateway).await;
    let faults = [
        ("a reset", fault::reset_after_body()),
        ("a close", fault::close_after_body()),
        ("a reset in the header", fault::reset_in_head()),
        ("no HTTP", fault::malformed("what?\r\n\r\n")),
    ];
    for (what, fault) in faults {
        for size in [0, 64 * 1024 + 1] {
            check(&pair, what, &fault, size, BROKEN, [true, false, false]).await;
        }
    }
    check(
        &pair,
        "a reset",
        &fault::reset_after_body(),
        LARGE,
        BROKEN,
        [true, false, false],
    )
    .await;
}

/// No provider acts on a part of a body.
const IN_PART: [bool; 3] = [true, true, false];

#[tokio::test]
async fn a_connection_that_is_reset_before_the_body() {
    let pair = Pair::start(|gateway| gateway).await;
    check(
        &pair,
        "a reset",
        &fault::reset_before_body(),
        LARGE,
        BROKEN,
        IN_PART,
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_is_closed_before_the_body() {
    let pair = Pair::start(|gateway| gateway).await;
    check(
        &pair,
        "a close",
        &fault::close_before_body(),
        LARGE,
        BROKEN,
        IN_PART,
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_is_reset_in_the_body() {
    let pair = Pair::start(|gateway| gateway).await;
    let fault = fault::reset_in_body(MIB as u64);
    check(&pair, "a reset", &fault, LARGE, BROKEN, IN_PART).await;
}

#[tokio::test]
async fn a_small_body_counts_as_delivered_once_it_is_on_its_way() {
    let pair = Pair::start(|gateway| gateway).await;
    check(
        &pair,
        "a reset before the body",
        &fault::reset_before_body(),
        0,
        BROKEN,
        [true, false, false],
    )
    .await;
}

#[tokio::test]
async fn a_provider_that_is_silent_after_the_body() {
    let pair = Pair::start(|gateway| gateway.config("timeouts.first_byte", "300ms")).await;
    for size in [0, 64 * 1024 + 1] {
        let asked = Instant::now();
        check(
            &pair,
            "silence",
            &fault::silent_after_body(),
            size,
            SILENT,
            [true, false, false],
        )
        .await;
        assert!(asked.elapsed() >= Duration::from_millis(900));
    }
    // The silent connections were given up.
    pair.first.wait_open_at_most(0).await;
    pair::idle(&pair.gateway).await;
}

#[tokio::test]
async fn a_provider_that_is_silent_before_the_body() {
    let times = |gateway: crate::support::gateway::Builder| {
        gateway
            .config("timeouts.first_byte", "300ms")
            .config("timeouts.idle", "300ms")
    };
    let pair = Pair::start(times).await;
    check(
        &pair,
        "silence",
        &fault::silent_before_body(),
        0,
        SILENT,
        [true, false, false],
    )
    .await;
    check(
        &pair,
        "silence",
        &fault::silent_before_body(),
        LARGE,
        SILENT,
        [true, true, false],
    )
    .await;
}

#[tokio::test]
async fn a_black_hole_is_given_up_like_a_silent_provider() {
    let first = upstream::black_hole().await;
    let pair = Pair::with_first(first, |gateway| {
        gateway.config("timeouts.first_byte", "300ms")
    })
    .await;
    let (response, reached) = pair.send(&chat(&pair.gateway, 0)).await;
    assert_eq!((response.status, reached), (200, Reached(0, 1)));
    assert_eq!(attempts(&response), [SILENT, SECOND]);
    let (response, _) = pair
        .send(&chat(&pair.gateway, 0).header("tollgate-failover", "safe"))
        .await;
    assert_eq!(
        (response.status, code(&response).as_str()),
        (504, "upstream_timeout")
    );
}

#[tokio::test]
async fn the_time_to_the_first_byte_is_a_providers_own_where_it_says_so() {
    let own = |gateway: crate::support::gateway::Builder| {
        gateway.config("providers.one.timeouts.first_byte", "200ms")
    };
    let pair = Pair::start(own).await;
    let slow = || {
        behave()
            .read()
            .step(upstream::Step::Pause(Duration::from_millis(600)))
            .send(good())
    };
    pair.second.push(slow());
    let (response, reached) = pair.meet(slow(), "on", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
    assert_eq!(attempts(&response), [SILENT, SECOND]);
}

#[tokio::test]
async fn the_time_to_the_first_byte_begins_when_the_request_has_been_sent() {
    let pair = Pair::start(|gateway| gateway.config("timeouts.first_byte", "1s")).await;
    let pause = || upstream::Step::Pause(Duration::from_millis(700));
    // What is not read in the second pause is more than what waits in buffers on its way.
    let slowly = behave().read_until(MIB as u64).step(pause());
    let slowly = slowly
        .read_until(4 * MIB as u64)
        .step(pause())
        .read()
        .send(good());
    let (response, reached) = pair.meet(slowly, "on", LARGE).await;
    assert_eq!(
        (response.status, reached),
        (200, Reached(1, 0)),
        "{:?}",
        attempts(&response)
    );
    let delivery = pair.first.delivery();
    let upload = delivery.complete_at.expect("a whole body") - delivery.at;
    assert!(
        upload > Duration::from_secs(1),
        "too fast to prove anything: {upload:?}"
    );
}

/// The price of finding answers that come before the body was read: a provider that takes nothing for longer than the
/// write timeout, in the middle of a body that no socket buffer holds, is not sent the rest of it.
#[tokio::test]
async fn a_provider_that_stops_taking_the_body_for_long_is_given_up() {
    let pair = Pair::start(|gateway| gateway).await;
    let pausing = behave()
        .read_until(MIB as u64)
        .step(upstream::Step::Pause(Duration::from_millis(2500)))
        .read()
        .send(good());
    // The times are the default ones, ten minutes; the body is not waited for that long. What was delivered in part only
    // may go elsewhere in mode `safe` too.
    for (mode, expected) in [
        ("safe", (200, Reached(1, 1))),
        ("off", (504, Reached(1, 0))),
    ] {
        let (response, reached) = pair.meet(pausing.clone(), mode, LARGE).await;
        let told = attempts(&response);
        assert_eq!((response.status, reached), expected, "{mode}: {told:?}");
    }
    let deliveries = pair.first.deliveries();
    assert!(deliveries.iter().all(|delivery| !delivery.complete));
}

/// Only what was not taken is given up. A provider that has the whole of a large body may think about it.
#[tokio::test]
async fn a_provider_that_thinks_about_a_large_body_is_not_given_up() {
    let pair = Pair::start(|gateway| gateway).await;
    let thinking = behave()
        .read()
        .step(upstream::Step::Pause(Duration::from_millis(4500)))
        .send(good());
    let (response, reached) = pair.meet(thinking, "on", LARGE).await;
    assert_eq!((response.status, reached), (200, Reached(1, 0)));
}

/// How often a fault is met.
#[derive(Clone, Copy)]
enum Met {
    Once,
    Always,
}

/// Meets `fault` at the first provider on a connection that was used before.
async fn on_a_kept_connection(
    pair: &Pair,
    fault: Behaviour,
    met: Met,
    mode: &str,
) -> (Response, Reached) {
    loop {
        pair.warm().await;
        let before = pair.first.deliveries();
        let kept = before.last().expect("the first request").connection;
        match met {
            Met::Once => pair.first.push(fault.clone()),
            Met::Always => pair.first.otherwise(fault.clone()),
        }
        let request = chat(&pair.gateway, 0).header("tollgate-failover", mode);
        let answered = pair.send(&request).await;
        pair.first.otherwise(good());
        // Pingora may lose a connection that it kept (it takes it out of its pool while another thread still has a hand
        // on it) and open another one.
        if pair.first.deliveries_since(before.len())[0].connection == kept {
            return answered;
        }
    }
}

/// A kept connection that is reset before it has answered anything: the provider had closed it already, so that the
/// same provider is asked once more, over a fresh one, in every mode.
#[tokio::test]
async fn a_kept_connection_that_was_reset_is_replaced_once() {
    let pair = Pair::start(|gateway| gateway).await;
    for mode in MODES {
        let (response, reached) =
            on_a_kept_connection(&pair, fault::reset_after_body(), Met::Once, mode).await;
        assert_eq!((response.status, reached), (200, Reached(2, 0)), "{mode}");
        let told = [BROKEN.to_owned(), format!("one:{MODEL};ok;status=200")];
        assert_eq!(attempts(&response), told, "{mode}");
        let deliveries = pair.first.deliveries();
        let last = &deliveries[deliveries.len() - 2..];
        assert_ne!(last[0].connection, last[1].connection, "{mode}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_reset_is_not_replaced_twice() {
    let pair = Pair::start(|gateway| gateway).await;
    let expected = [
        ("on", (200, Reached(2, 1))),
        ("safe", (502, Reached(2, 0))),
        ("off", (502, Reached(2, 0))),
    ];
    for (mode, expected) in expected {
        let (response, reached) =
            on_a_kept_connection(&pair, fault::reset_after_body(), Met::Always, mode).await;
        let told = attempts(&response);
        assert_eq!((response.status, reached), expected, "{mode}: {told:?}");
    }
}

/// What a provider has got and not answered is sent elsewhere in mode `on` only, also when its connection was a kept one.
#[tokio::test]
async fn a_kept_connection_that_did_not_just_vanish_was_delivered_to() {
    let pair = Pair::start(|gateway| gateway).await;
    let faults = [
        ("closed in order", fault::close_after_body()),
        ("reset in the header", fault::reset_in_head()),
    ];
    for (what, fault) in faults {
        for (mode, then) in [
            ("on", Reached(1, 1)),
            ("safe", Reached(1, 0)),
            ("off", Reached(1, 0)),
        ] {
            let (response, reached) =
                on_a_kept_connection(&pair, fault.clone(), Met::Once, mode).await;
            assert_eq!(reached, then, "{what}, {mode}: {:?}", attempts(&response));
        }
    }
}

#[tokio::test]
async fn idle_connections_that_were_cut_cost_no_request() {
    let pair = Pair::start(|gateway| gateway).await;
    for end in [End::Abandon, End::Reset] {
        for mode in MODES {
            pair.warm().await;
            pair.first.cut_connections(end).await;
            let request = chat(&pair.gateway, 0).header("tollgate-failover", mode);
            let (response, reached) = pair.send(&request).await;
            assert_eq!(
                (response.status, reached),
                (200, Reached(1, 0)),
                "{end:?}, {mode}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_is_tried_once_the_answer_has_begun() {
    let pair = Pair::start(|gateway| gateway).await;
    for mode in MODES {
        let begun = fault::reset_in_answer(Reply::json(200, vec![b' '; 1000]), 10);
        let (response, reached) = pair.meet(begun, mode, 0).await;
        assert_eq!((response.status, reached), (200, Reached(1, 0)), "{mode}");
        assert!(!response.is_whole(), "{mode}");
    }
}

#[tokio::test]
async fn after_a_lost_connection_an_error_of_the_next_candidate_is_the_answer() {
    let pair = Pair::start(|gateway| gateway).await;
    pair.second.push(error(404));
    let (response, reached) = pair.meet(fault::close_after_body(), "on", 0).await;
    assert_eq!((response.status, reached), (404, Reached(1, 1)));
    assert_eq!(response.body, error(404).body());
}
