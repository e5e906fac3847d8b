use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::runtime::Handle;

use super::*;
use crate::config;
use crate::credentials::Keys;
use crate::upstream::dns::{Resolver, Ways};
use crate::upstream::health;
use crate::upstream::measured::Measured;
use crate::upstream::peer::Transport;
use crate::upstream::{EndpointParts, Times, hash};

/// The back-off after which an ejected endpoint waits for a probe.
const BACKOFF: Duration = Duration::from_secs(1);

fn settings() -> health::Settings {
    health::Settings {
        failures: 1,
        backoff: BACKOFF,
        backoff_max: BACKOFF,
        ..health::Settings::default()
    }
}

/// Four replicas with room for two requests each.
fn four(balance: Balance) -> Upstream {
    let measured = Measured::default();
    let resolver = Resolver::new(Handle::current(), Ways::of(&config::Dns::default()));
    let endpoint = |at: u16| {
        Endpoint::new(EndpointParts {
            name: &format!("replica-{at}"),
            tls: false,
            sni: "",
            authority: HeaderValue::from_static("a"),
            weight: 1,
            requests_max: 2,
            host: resolver.host("127.0.0.1", 8_000 + at),
            ca: None,
            transport: Transport::of(&config::Upstream::default()),
            seen: measured.endpoint("house", false, "", "127.0.0.1", 8_000 + at),
        })
    };
    let second = Duration::from_secs(1);
    let times = Times {
        connect: second,
        first_byte: second,
        first_byte_stream: second,
        idle: second,
    };
    Upstream::new(
        "house",
        (0..4).map(endpoint).collect(),
        Default::default(),
        Keys::default(),
        true,
        times,
        Arc::default(),
    )
    .with_balance(balance)
}

fn session(number: u64) -> Draw {
    Draw {
        turn: usize::try_from(number).expect("small"),
        affinity: hash::mix(number),
        chance: hash::mix(!number),
    }
}

/// Where a request of that session goes first.
async fn first(upstream: &Upstream, number: u64) -> usize {
    let mut walk = Walk::default();
    let (picked, _places) = upstream
        .pick(&mut walk, &session(number), Instant::now())
        .await
        .unwrap_or_else(|nowhere| panic!("{nowhere:?}"));
    picked.index
}

fn eject(upstream: &Upstream, at: usize) {
    let health = upstream.endpoints[at].seen().health();
    let now = Instant::now();
    assert!(health.failed(&settings(), now, now, || 0.0).is_some());
    assert_eq!(health.rank(now), Rank::Ejected);
}

#[tokio::test]
async fn sessions_of_an_ejected_replica_go_elsewhere_and_its_probe_is_one_of_them() {
    let upstream = four(Balance::Affinity);
    let mut homes = Vec::new();
    for number in 0..64 {
        homes.push(first(&upstream, number).await);
    }
    let ejected = homes[0];
    eject(&upstream, ejected);
    for (number, home) in (0..).zip(&homes) {
        let now = first(&upstream, number).await;
        assert!(now != ejected && (*home == ejected || now == *home));
    }
    // It waits for a probe. Sessions that belong elsewhere are not moved for that.
    let health = upstream.endpoints[ejected].seen().health();
    while health.rank(Instant::now()) != Rank::Probe {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (number, home) in (0..).zip(&homes).filter(|(_, home)| **home != ejected) {
        assert_eq!(first(&upstream, number).await, *home);
    }
    assert_eq!(health.state(), health::State::Ejected);
    assert_eq!(first(&upstream, 0).await, ejected, "the probe");
    assert_eq!(health.state(), health::State::Probing);
    let now = Instant::now();
    health.succeeded(&settings(), now, now);
    for (number, home) in (0..).zip(&homes) {
        assert_eq!(first(&upstream, number).await, *home, "they come back");
    }
}

#[tokio::test]
async fn without_sessions_the_next_request_is_the_probe() {
    for balance in [Balance::RoundRobin, Balance::LeastInflight] {
        let upstream = four(balance);
        eject(&upstream, 2);
        for number in 0..16 {
            assert_ne!(first(&upstream, number).await, 2);
        }
        let health = upstream.endpoints[2].seen().health();
        while health.rank(Instant::now()) != Rank::Probe {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(first(&upstream, 1).await, 2);
        assert_ne!(first(&upstream, 1).await, 2, "one only");
    }
}

#[tokio::test]
async fn every_replica_is_tried_once_and_those_that_are_ejected_last() {
    for balance in [
        Balance::RoundRobin,
        Balance::LeastInflight,
        Balance::Affinity,
    ] {
        let upstream = four(balance);
        eject(&upstream, 1);
        for number in 0..16 {
            let (mut walk, draw) = (Walk::default(), session(number));
            let mut order = Vec::new();
            while let Ok((picked, _places)) = upstream.pick(&mut walk, &draw, Instant::now()).await
            {
                order.push(picked.index);
                let well_left = order.len() < 3;
                assert_eq!(upstream.has_endpoint_left(&walk, true), well_left);
                assert_eq!(upstream.has_endpoint_left(&walk, false), order.len() < 4);
                assert!(!upstream.has_address_left(&walk));
                walk.leave();
            }
            assert_eq!(order.pop(), Some(1), "{balance:?}");
            order.sort_unstable();
            assert_eq!(order, [0, 2, 3], "{balance:?}");
        }
    }
}

#[tokio::test]
async fn a_full_replica_is_passed_over_and_a_full_provider_refuses() {
    let upstream = four(Balance::Affinity);
    let home = first(&upstream, 7).await;
    let mut held = Vec::new();
    let mut places = Vec::new();
    for _ in 0..8 {
        let (picked, place) = upstream
            .pick(&mut Walk::default(), &session(7), Instant::now())
            .await
            .unwrap_or_else(|nowhere| panic!("{nowhere:?}"));
        held.push(picked.index);
        places.push(place);
    }
    assert_eq!(held[..2], [home, home]);
    assert!(held[2..].iter().all(|at| *at != home));
    let nowhere = upstream
        .pick(&mut Walk::default(), &session(7), Instant::now())
        .await;
    assert_eq!(nowhere.err(), Some(Nowhere::Full));
    drop(places.remove(0));
    assert_eq!(first(&upstream, 7).await, home);
}
