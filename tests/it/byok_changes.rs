//! Stored provider keys that change while requests run: rotated, switched off, removed, added. What is said to work
//! within a second does, and no request is lost to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::byok::{asking, credentials, operators, own};
use crate::pair::{Pair, chat, error};
use crate::support::bodies;
use crate::support::client;
use crate::support::gateway::{Gateway, stored_key};
use crate::support::upstream::{self, behave};
use crate::support::wait;

/// A change works within a second; the machine is shared.
const SOON: Duration = Duration::from_secs(5);

/// The key by its names.
const MAIN: &str = "default/one/main";

const ROTATED: &str = "sk-one-default-main-rotated-secret";

async fn start(keys: &[&str]) -> Pair {
    Pair::start(|mut gateway| {
        for name in keys {
            gateway = gateway.stored("default", "one", name, &[]);
        }
        gateway.key("own-only", &["--credential-steps", "byok"])
    })
    .await
}

/// `tollgate provider-keys …`, by another process.
fn change(gateway: &Gateway, arguments: &[&str], input: &str) {
    let mut all = vec!["provider-keys"];
    all.extend(arguments);
    let finished = gateway.run_with(&all, input);
    assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
}

/// Asks until the first provider is asked with `key`, and says how long that took.
async fn until_used(pair: &Pair, key: &str) -> Duration {
    let begun = Instant::now();
    let asking = async {
        loop {
            let before = pair.first.count();
            assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
            if credentials(&pair.first, before) == [key] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("another key", asking).await;
    begun.elapsed()
}

#[tokio::test]
async fn what_is_changed_works_within_a_second() {
    let pair = start(&["main"]).await;
    assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    for (arguments, input, expected) in [
        (vec!["rotate", MAIN], ROTATED, ROTATED.to_owned()),
        (vec!["disable", MAIN], "", operators()),
        (vec!["enable", MAIN], "", ROTATED.to_owned()),
        (
            vec!["add", "--provider", "one", "--name", "b", "--position", "0"],
            "sk-added",
            "sk-added".to_owned(),
        ),
        (
            vec!["update", "default/one/b", "--position", "9"],
            "",
            ROTATED.to_owned(),
        ),
        (vec!["remove", MAIN], "", "sk-added".to_owned()),
        (vec!["remove", "default/one/b"], "", operators()),
    ] {
        change(&pair.gateway, &arguments, input);
        let took = until_used(&pair, &expected).await;
        assert!(took < SOON, "{arguments:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_key_is_rotated_under_load_and_no_request_notices() {
    let pair = Arc::new(start(&["main"]).await);
    let stop = Arc::new(AtomicBool::new(false));
    let load = |_| {
        let (pair, stop) = (Arc::clone(&pair), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut client = client::h1(pair.gateway.address()).await;
            let request = asking(&pair.gateway, "own-only");
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.send(&request).await.status, 200);
                sent += 1;
            }
            sent
        })
    };
    let loads: Vec<_> = (0..4).map(load).collect();
    let mut keys = vec![own("main")];
    for turn in 0..4 {
        let next = format!("sk-one-rotation-{turn}");
        let seen = pair.first.count();
        change(&pair.gateway, &["rotate", MAIN], &next);
        let used = || credentials(&pair.first, seen).contains(&next);
        wait::until("the next key", used).await;
        keys.push(next);
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for load in loads {
        sent += load.await.expect("a client without a failure");
    }
    let used = credentials(&pair.first, 0);
    assert_eq!(used.len(), sent);
    // Each key had its time; four connections may overlap by a request at a change.
    let at = |key: &String| {
        keys.iter()
            .position(|known| known == key)
            .expect("a known key")
    };
    let mut latest = 0;
    for key in &used {
        assert!(at(key) + 1 >= latest, "{key} long after it was rotated");
        latest = latest.max(at(key));
    }
    assert_eq!(latest, 4);
}

#[tokio::test]
async fn a_request_under_way_ends_with_the_key_it_began_with() {
    let pair = start(&["main", "second"]).await;
    let gate = upstream::gate();
    pair.first
        .push(behave().read().hold(&gate).send(error(403)));
    let request = asking(&pair.gateway, "own-only");
    let (response, ()) = tokio::join!(pair.gateway.send(&request), async {
        gate.held(1).await;
        change(&pair.gateway, &["rotate", "default/one/second"], ROTATED);
        change(&pair.gateway, &["remove", MAIN], "");
        until_used(&pair, ROTATED).await;
        gate.open();
    });
    assert_eq!(response.status, 200);
    let used = credentials(&pair.first, 0);
    assert_eq!(
        (&used[0], used.last()),
        (&own("main"), Some(&own("second")))
    );
}

#[tokio::test]
async fn what_is_known_of_a_key_outlives_changes_of_others_and_not_its_own() {
    let pair = start(&["main", "second"]).await;
    pair.first.push(error(401));
    assert_eq!(pair.gateway.send(&chat(&pair.gateway, 0)).await.status, 200);
    // Another one comes, and is first.
    change(
        &pair.gateway,
        &["add", "--provider", "one", "--name", "z", "--position", "0"],
        "sk-z",
    );
    until_used(&pair, "sk-z").await;
    change(&pair.gateway, &["disable", "default/one/z"], "");
    until_used(&pair, &own("second")).await;
    // Rotated, it is another key, of which nothing is known.
    change(&pair.gateway, &["rotate", MAIN], ROTATED);
    until_used(&pair, ROTATED).await;
}

#[tokio::test]
async fn a_key_can_be_stored_for_a_provider_that_a_reload_has_added() {
    let pair = start(&["main"]).await;
    let add = ["provider-keys", "add", "--provider", "later"];
    let refused = pair.gateway.run_with(&add, "sk-later");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("no provider `later`"),
        "{refused:?}"
    );
    let later = json!({
        "provider": "later",
        "preset": "openai-compatible",
        "base_url": format!("{}/v1", pair.first.origin()),
        "models": {"soon": {}},
    });
    pair.gateway.write_catalog("later", &later);
    assert_eq!(pair.gateway.post_admin("/reload").await.status, 200);
    change(&pair.gateway, &add[1..], "sk-later");
    let body = bodies::chat("later:soon").build();
    let request = client::post("/v1/chat/completions", body);
    let request = request.bearer(pair.gateway.key_named("own-only"));
    let asking = async {
        while pair
            .gateway
            .send(&request)
            .await
            .header("tollgate-credential")
            != Some("byok")
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("the key", asking).await;
    // This one may be asked without a key, and was until there was one.
    let last = pair.first.deliveries().pop().expect("a delivery");
    assert_eq!(last.header("authorization"), Some("Bearer sk-later"));
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_keys_in_use() {
    let pair = start(&["main"]).await;
    let file = pair.gateway.folder().join("tollgate.db");
    let away = pair.gateway.folder().join("away.db");
    std::fs::rename(&file, &away).expect("moved");
    for _ in 0..5 {
        assert_eq!(
            pair.gateway
                .send(&asking(&pair.gateway, "own-only"))
                .await
                .status,
            200
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    std::fs::rename(&away, &file).expect("moved");
    change(&pair.gateway, &["rotate", MAIN], ROTATED);
    until_used(&pair, ROTATED).await;
    let all = credentials(&pair.first, 0);
    assert_eq!(all[..5], vec![stored_key("default", "one", "main"); 5]);
}
