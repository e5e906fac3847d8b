//! Clients that go away in the middle of their body: the provider that has a part of it sees the end at once, and one that
//! has none never hears of it. Those that leave while they are answered are in `streaming`.

use std::time::{Duration, Instant};

use crate::pair::{self, good};
use crate::streaming::{CANCELLED, CLIENTS, Lab, UPSTREAMS};
use crate::support::client::{Client, Protocol, Request};
use crate::support::gateway::{Builder, Metrics};
use crate::support::upstream::{Delivery, behave};

/// A body that would take some ten seconds.
fn slow_upload(lab: &Lab) -> Request {
    pair::chat(&lab.gateway, 20 << 20)
        .pieces(100 << 10)
        .pause(Duration::from_millis(50))
}

/// A client that leaves in the middle of its body, of which the provider has a part.
async fn leaves_while_sending(lab: &Lab, protocol: Protocol, reset: bool) -> (Delivery, Duration) {
    let count = lab.upstream.count();
    let request = slow_upload(lab);
    lab.upstream.push(behave().read().send(good()));
    let mut client = lab.client(protocol).await;
    tokio::select! {
        _ = client.begin(&request) => panic!("answered"),
        _ = lab.upstream.wait_for(count + 1) => {}
    }
    let left = Instant::now();
    match client {
        Client::H1(client) if reset => client.reset(),
        client => drop(client),
    }
    let gone = |all: &[Delivery]| all[count].gone_at.is_some();
    let what = "the end of the exchange";
    let mut deliveries = lab.upstream.wait_until(what, gone).await;
    let delivery = deliveries.remove(count);
    let gone_at = delivery.gone_at.expect("seen");
    (delivery, gone_at.saturating_duration_since(left))
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_its_body_ends_the_exchange_at_the_provider() {
    for speaks in UPSTREAMS {
        // One that may not be kept is on its way to the provider while it comes.
        let streamed = |gateway: Builder| gateway.config("limits.replay_request", "64KiB");
        let lab = Lab::with(speaks, streamed).await;
        for protocol in CLIENTS {
            for reset in [false, true] {
                let (delivery, took) = leaves_while_sending(&lab, protocol, reset).await;
                let context = format!("{protocol:?} to {speaks:?}, reset: {reset}");
                assert!(!delivery.complete, "{context}: {delivery:?}");
                assert!(took < CANCELLED, "{context}: {took:?}");
            }
        }
        // Nobody was asked again, and nothing is left of them.
        pair::idle(&lab.gateway).await;
        assert_eq!(lab.upstream.count(), 2 * CLIENTS.len());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_body_that_is_kept_leaves_nothing() {
    let lab = Lab::new(Protocol::H1).await;
    for protocol in CLIENTS {
        let request = slow_upload(&lab);
        let mut client = lab.client(protocol).await;
        let kept = |metrics: &Metrics| metrics.sum("tollgate_replay_bytes", &[]) > 0.0;
        tokio::select! {
            _ = client.begin(&request) => panic!("answered"),
            _ = lab.gateway.metrics_until("a body", kept) => {}
        }
        drop(client);
        pair::idle(&lab.gateway).await;
    }
    assert_eq!(lab.upstream.count(), 0);
}
