//! Sessions stay at one replica, so that its prompt cache is warm: by their name, or by how their bodies begin. Health
//! comes before that, and no account's names move another's traffic.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::health_passive::{LONG, health};
use crate::pair::{MODEL, chat, error};
use crate::replicas::{Replicas, endpoints, house, upstreams};
use crate::support::client::Request;
use crate::support::gateway::{Metrics, gateway};
use crate::support::upstream::{Reply, payload};

/// Turns of a session.
const TURNS: usize = 50;

/// What a session says to begin with: as long as an agent's instructions are at the least.
fn instructions(session: usize) -> String {
    format!(
        "Session {session}. {}",
        "Answer in one short sentence. ".repeat(40)
    )
}

/// The body of a turn: all that was said before, and one message more. `model` is last, as stock SDKs send it.
fn turn(session: usize, turn: usize, members: &[(&str, Value)]) -> Bytes {
    let mut messages = vec![json!({"role": "system", "content": instructions(session)})];
    for number in 0..=turn {
        messages.push(json!({"role": "user", "content": format!("Question {number}?")}));
        if number < turn {
            messages.push(json!({"role": "assistant", "content": "An answer. ".repeat(20)}));
        }
    }
    let mut text = format!("{{\"messages\":{}", Value::from(messages));
    for (name, value) in members {
        text.push_str(&format!(",\"{name}\":{value}"));
    }
    text.push_str(&format!(",\"model\":\"{MODEL}\"}}"));
    text.into()
}

/// Where the turns of a session go; `replicas` may change between them.
async fn places(
    replicas: &Replicas,
    turns: std::ops::Range<usize>,
    request: impl Fn(usize) -> Request,
) -> Vec<usize> {
    let mut places = Vec::new();
    for number in turns {
        let before = replicas.counts();
        let response = replicas.gateway.send(&request(number)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        places.push(replicas.reached(&before));
    }
    places
}

fn post(replicas: &Replicas, body: Bytes) -> Request {
    replicas.gateway.post("/v1/chat/completions", body)
}

/// A whole session, whose replica dies after it, and as much again.
async fn a_session_whose_replica_dies(members: &[(&str, Value)]) {
    let mut replicas = Replicas::start(4, "affinity").await;
    let request = |replicas: &Replicas, number| post(replicas, turn(1, number, members));
    let before = places(&replicas, 0..TURNS, |n| request(&replicas, n)).await;
    let home = before[0];
    assert_eq!(before, vec![home; TURNS], "it stays");
    // Its port is closed, and its connections with it.
    let successor = upstreams(1).await.remove(0);
    drop(std::mem::replace(&mut replicas.all[home], successor));
    let after = places(&replicas, TURNS..2 * TURNS, |n| request(&replicas, n)).await;
    assert_ne!(after[0], home);
    assert_eq!(after, vec![after[0]; TURNS], "it moves once");
}

/// What the session above is kept from: each replica would read nearly all of it anew.
#[tokio::test]
async fn the_same_session_is_spread_where_replicas_take_turns() {
    let replicas = Replicas::start(4, "round_robin").await;
    let request = |n| {
        let body = turn(1, n, &[("prompt_cache_key", json!("session-1"))]);
        post(&replicas, body)
    };
    let all = places(&replicas, 0..TURNS, request).await;
    assert!(all.windows(2).all(|two| two[0] != two[1]), "{all:?}");
    let mut counts = replicas.counts();
    counts.sort_unstable();
    assert_eq!(counts, [12, 12, 13, 13]);
}

#[tokio::test]
async fn a_session_with_a_key_stays_at_one_replica_and_moves_once_when_that_dies() {
    a_session_whose_replica_dies(&[("prompt_cache_key", json!("session-1"))]).await;
}

#[tokio::test]
async fn a_session_without_a_name_stays_by_how_its_bodies_begin_and_moves_once() {
    a_session_whose_replica_dies(&[]).await;
}

#[tokio::test]
async fn every_name_of_a_session_keeps_it_together_and_the_first_counts() {
    let replicas = Replicas::start(4, "affinity").await;
    // Bodies that have nothing in common, so that only the name can hold them together.
    let body = |number: usize, members: &[(&str, Value)]| turn(number, number % 5, members);
    for name in [
        "Tollgate-Affinity",
        "X-Claude-Code-Session-Id",
        "session_id",
    ] {
        let request = |n| post(&replicas, body(n, &[])).header(name, "one");
        let all = places(&replicas, 0..8, request).await;
        assert_eq!(all, vec![all[0]; 8], "{name}");
    }
    for name in ["session_id", "prompt_cache_key"] {
        let request = |n| post(&replicas, body(n, &[(name, json!("one"))]));
        let all = places(&replicas, 0..8, request).await;
        assert_eq!(all, vec![all[0]; 8], "{name}");
    }
    let request = |n: usize| {
        post(&replicas, body(n, &[("prompt_cache_key", json!(n))]))
            .header("tollgate-affinity", "one")
            .header("session_id", &n.to_string())
    };
    let all = places(&replicas, 0..8, request).await;
    assert_eq!(all, vec![all[0]; 8]);
    for replica in &replicas.all {
        for delivery in replica.deliveries() {
            assert_eq!(delivery.header("tollgate-affinity"), None);
        }
    }
}

#[tokio::test]
async fn sessions_are_spread_over_all_replicas() {
    let replicas = Replicas::start(4, "affinity").await;
    for session in 0..60 {
        let body = turn(session, 0, &[]);
        assert_eq!(
            replicas.gateway.send(&post(&replicas, body)).await.status,
            200
        );
    }
    // Of sixty, fifteen each; fewer than four would be one chance in many thousands, and the hash does not vary.
    assert!(
        replicas.counts().iter().all(|count| *count >= 4),
        "{:?}",
        replicas.counts()
    );
}

#[tokio::test]
async fn health_comes_before_sessions() {
    let replicas = Replicas::start(4, "affinity").await;
    let request = |n| post(&replicas, turn(1, n, &[]));
    let home = places(&replicas, 0..1, request).await[0];
    replicas.all[home].push(error(503));
    let before = replicas.counts();
    let response = replicas.gateway.send(&request(1)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let after = replicas.counts();
    let others: usize = (0..4)
        .filter(|at| *at != home)
        .map(|at| after[at] - before[at])
        .sum();
    assert_eq!(
        (after[home] - before[home], others),
        (1, 1),
        "another replica answered"
    );
}

/// A replica that answers every request with 200 and an error is no good home, however quick it is.
#[tokio::test]
async fn a_home_that_answers_with_errors_of_200_loses_the_session() {
    const FAILURES: usize = 3;
    let body = payload::openai_error("out of memory", "server_error", "oom");
    let replicas = Replicas::with(upstreams(4).await, "affinity", |gateway| {
        health(gateway, FAILURES as i64, LONG)
    })
    .await;
    let request = |n| post(&replicas, turn(1, n, &[]));
    let home = places(&replicas, 0..1, request).await[0];
    replicas.all[home].otherwise(Reply::json(200, body));
    let failing = places(&replicas, 1..1 + FAILURES, request).await;
    assert_eq!(failing, [home; FAILURES]);
    let ejected = |metrics: &Metrics| {
        let labels = [("provider", "house"), ("state", "ejected")];
        metrics.sum("tollgate_endpoint_state", &labels) == 1.0
    };
    let what = "the home's ejection";
    replicas.gateway.metrics_until(what, ejected).await;
    let after = places(&replicas, 1 + FAILURES..TURNS, request).await;
    assert_ne!(after[0], home);
    assert_eq!(after, vec![after[0]; after.len()], "it moves once");
}

#[tokio::test]
async fn accounts_choose_for_themselves_only() {
    let all = upstreams(4).await;
    let gateway = gateway()
        .custom(house(&all, "affinity"), &all[0])
        .key("other", &["--account", "other"])
        .start()
        .await;
    let replicas = Replicas { all, gateway };
    // The same names of sixteen sessions at two accounts: at one place by chance only.
    let mut homes: HashMap<&str, Vec<usize>> = HashMap::new();
    for name in ["test", "other"] {
        let key = replicas.gateway.key_named(name);
        let request = |n: usize| {
            crate::support::client::post("/v1/chat/completions", turn(0, 0, &[]))
                .bearer(key)
                .header("tollgate-affinity", &format!("session-{n}"))
        };
        homes.insert(name, places(&replicas, 0..16, request).await);
    }
    assert_ne!(homes["test"], homes["other"]);
}

#[tokio::test]
async fn a_session_stays_over_a_reload() {
    let replicas = Replicas::start(4, "affinity").await;
    let request = |_| chat(&replicas.gateway, 0).header("tollgate-affinity", "one");
    let before = places(&replicas, 0..3, request).await;
    // The same replicas in another order.
    let mut endpoints = endpoints(&replicas.all);
    endpoints.reverse();
    let file = json!({"provider": "house", "endpoints": endpoints});
    replicas.gateway.write_catalog("z-reversed", &file);
    replicas.gateway.signal("HUP");
    let reloaded = |metrics: &Metrics| metrics.sum("tollgate_reloads_total", &[]) >= 1.0;
    replicas.gateway.metrics_until("a reload", reloaded).await;
    let after = places(&replicas, 0..3, request).await;
    assert_eq!(before, after);
    assert_eq!(after, vec![after[0]; 3]);
}
