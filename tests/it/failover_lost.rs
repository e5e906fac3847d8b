//! A provider that takes the request and does not answer: resets, closes and silence, before, in and after the body.
//! What was delivered whole is sent again in mode `on` only; what was not, in `safe` too.

use std::time::{Duration, Instant};

use crate::pair::{self, MODEL, MODES, Pair, Reached, attempts, chat, code, error, good};
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

#[tokio::test]
async fn a_connection_that_is_lost_before_or_in_the_body() {
    let pair = Pair::start(|gateway| gateway).await;
    let faults = [
        ("a reset before the body", fault::reset_before_body()),
        ("a close before the body", fault::close_before_body()),
        ("a reset in the body", fault::reset_in_body(MIB as u64)),
    ];
    for (what, fault) in faults {
        check(&pair, what, &fault, LARGE, BROKEN, [true, true, false]).await;
    }
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
    let pair = Pair::start(|gateway| gateway.config("timeouts.total", "6s")).await;
    let pausing = behave()
        .read_until(MIB as u64)
        .step(upstream::Step::Pause(Duration::from_millis(2500)))
        .read()
        .send(good());
    let (response, reached) = pair.meet(pausing, "on", LARGE).await;
    assert_eq!(
        (response.status, reached),
        (504, Reached(1, 0)),
        "{:?}",
        attempts(&response)
    );
    assert!(!pair.first.delivery().complete);
}

/// Meets `fault` on a connection to the first that has been used before, once or however often it is asked.
async fn on_a_kept_connection(
    pair: &Pair,
    fault: Behaviour,
    times: usize,
    mode: &str,
) -> (Response, Reached) {
    loop {
        pair.warm().await;
        let before = pair.first.deliveries();
        let kept = before.last().expect("the first request").connection;
        let left = Mutex::new(times);
        pair.first.each(move |_| {
            let mut left = left.lock().expect("no panic");
            *left = left.saturating_sub(1);
            if *left == 0 { good().into() } else { fault.clone() }
        });
        let request = chat(&pair.gateway, 0).header("tollgate-failover", mode);
        let met = pair.send(&request).await;
        pair.first.otherwise(good());
        // Pingora may lose a connection that it had kept (it takes it out of its pool while another thread still looks
        // at it), and open another one.
        if pair.first.deliveries_since(before.len())[0].connection == kept {
            return met;
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
