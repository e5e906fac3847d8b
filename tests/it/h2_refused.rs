//! HTTP/2 streams that a provider has not looked at: over which connection they are sent again, and what does not count
//! as a refusal.

use crate::h2_upstream::pair;
use crate::pair::{MODES, Reached, attempts, chat, good};
use crate::support::client::{self, Windows};
use crate::support::upstream::{self, Settings, behave, fault, frame};

const BROKEN: &str = "one:twice-served;broken";
const OK: &str = "one:twice-served;ok;status=200";
const SECOND: &str = "two:twice-served;ok;status=200";

#[tokio::test]
async fn a_refused_stream_is_resent_over_a_connection_of_its_own() {
    for mode in MODES {
        let pair = pair(Settings::default(), |gateway| gateway).await;
        pair.warm().await;
        let (response, reached) = pair.meet(fault::refused_stream(), mode, 1000).await;
        assert_eq!((response.status, reached), (200, Reached(2, 0)), "{mode}");
        assert_eq!(attempts(&response), [BROKEN, OK], "{mode}");
        let used = |from: usize| {
            let deliveries = pair.first.deliveries_since(from);
            let connections = deliveries.iter().map(|delivery| delivery.connection);
            connections.collect::<Vec<_>>()
        };
        // The warm connection refused; it is still the one that is shared, and the other was for this request only.
        assert_eq!(used(0), [0, 0, 1], "{mode}");
        pair.warm().await;
        assert_eq!(used(3), [0], "{mode}");
        pair.first.wait_open_at_most(1).await;
    }
}

#[tokio::test]
async fn a_goaway_on_a_shared_connection_does_not_use_up_the_resend() {
    let (goaway, refused) = (fault::goaway_below, fault::refused_stream);
    for mode in MODES {
        let pair = pair(Settings::default(), |gateway| gateway).await;
        pair.warm().await;
        pair.first.push(goaway());
        let (response, reached) = pair.meet(refused(), mode, 1000).await;
        let told = attempts(&response);
        assert_eq!(
            (response.status, reached),
            (200, Reached(3, 0)),
            "{mode}: {told:?}"
        );
        assert_eq!(told, [BROKEN, BROKEN, OK], "{mode}");
    }
    // Two refusals behind it are the provider's failure all the same.
    let expected = [
        (200, Reached(3, 1)),
        (200, Reached(3, 1)),
        (502, Reached(3, 0)),
    ];
    for (mode, expected) in MODES.into_iter().zip(expected) {
        let pair = pair(Settings::default(), |gateway| gateway).await;
        pair.warm().await;
        pair.first.push(goaway());
        pair.first.push(refused());
        let (response, reached) = pair.meet(refused(), mode, 1000).await;
        let told = attempts(&response);
        assert_eq!((response.status, reached), expected, "{mode}: {told:?}");
        let last = if mode == "off" { BROKEN } else { SECOND };
        assert_eq!(told.last().map(String::as_str), Some(last), "{mode}");
    }
}

/// A provider that is told to calm down by its own client ends a connection while a request on it is still answered.
/// The next request finds that it cannot be put on it, and is not sent elsewhere for that.
#[tokio::test]
async fn a_shared_connection_that_is_closing_costs_no_candidate() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    for mode in MODES {
        let pair = pair(Settings::default(), |gateway| gateway).await;
        let gate = upstream::gate();
        let closing = behave()
            .read()
            .frames(|stream| frame::goaway(stream, ENHANCE_YOUR_CALM))
            .hold(&gate)
            .send(good());
        pair.first.push(closing);
        let client = client::h2c(pair.gateway.address(), Windows::default()).await;
        let (held, request) = (client.clone(), chat(&pair.gateway, 0));
        let answer = tokio::spawn(async move { held.send(&request).await.status });
        gate.held(1).await;
        let request = chat(&pair.gateway, 0).header("tollgate-failover", mode);
        let (response, reached) = pair.send(&request).await;
        let told = attempts(&response);
        assert_eq!(response.status, 200, "{mode}: {told:?}");
        // Where it was quicker than the GOAWAY, it is counted at the first twice.
        assert_eq!(reached.1, 0, "{mode}: {told:?}");
        gate.open();
        let _ = answer.await;
    }
}
