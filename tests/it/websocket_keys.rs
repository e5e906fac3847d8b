//! An open WebSocket whose access key does not stand any more.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;

use crate::support::gateway::{Gateway, gateway};
use crate::support::wait;
use crate::support::websocket::{self as ws, Client, Fake, Message, say};
use crate::talk::{self, COST, HOLD, TARGET, create, is_closed, is_ended, lab, next, send, speak};

const CODE: &str = "invalid_access_key";

/// The client is told why, and then it is closed.
async fn end(client: &mut Client, words: &str) {
    let event = next(client).await.into_text().expect("text");
    assert!(event.contains(CODE) && event.contains(words), "{event}");
    is_closed(client, 1008, CODE).await;
}

/// Opens one, once the gateway has seen the key.
async fn open(gateway: &Gateway, key: &str, target: &str) -> Client {
    let key = format!("Bearer {key}");
    let fields = [("authorization", key.as_str())];
    loop {
        if let Ok((client, _)) = ws::open(gateway.address(), target, &fields).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two ways to take a key away, an end by itself, and one that stays.
#[tokio::test]
async fn where_nothing_is_charged_it_ends_within_seconds_and_says_why() {
    let fake = Fake::start().await;
    let file = json!({
        "provider": "one", "preset": "openai-compatible", "base_url": fake.base_url(), "rank": 2000,
        "surfaces": {"realtime": {"path": "/realtime"}},
        "models": {"m": {"price": {"input": "1", "output": "2"}}},
    });
    let gateway = gateway()
        .catalog("one", file)
        .stored("default", "one", "main", &[])
        .key("disabled", &[])
        .key("revoked", &[])
        .start()
        .await;
    let made = gateway.run(&["keys", "create", "--name", "late", "--expires", "6s"]);
    let late = made.stdout.lines().find(|line| line.starts_with("tg-"));
    let late = late.unwrap_or_else(|| panic!("no key: {made:?}"));
    let mut clients = Vec::new();
    for (says, key) in [
        ("has expired", late),
        ("was disabled", gateway.key_named("disabled")),
        ("was revoked", gateway.key_named("revoked")),
    ] {
        for target in [TARGET, "/one/v1/else"] {
            let mut client = wait::within("an open one", open(&gateway, key, target)).await;
            assert_eq!(say(&mut client, "x").await, "x");
            clients.push((says, target == TARGET, client));
        }
    }
    let mut stays = open(&gateway, gateway.key(), TARGET).await;
    for action in ["disable", "revoke"] {
        let key = gateway.key_named(&format!("{action}d"));
        assert_eq!(gateway.run(&["keys", action, key]).code, Some(0));
    }
    for (says, is_realtime, mut client) in clients {
        match is_realtime {
            true => end(&mut client, says).await,
            // Nobody knows what its messages are.
            false => is_closed(&mut client, 1008, CODE).await,
        }
    }
    assert_eq!(say(&mut stays, "still here").await, "still here");
}

#[tokio::test]
async fn where_it_is_charged_what_is_under_way_is_cut_and_paid_for() {
    let lab = lab(4 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    send(&mut client, &create("created,done")).await;
    next(&mut client).await;
    assert_eq!(next(&mut client).await, Message::text(ws::DONE));
    send(&mut client, &create("created")).await;
    next(&mut client).await;
    let revoked = lab.gateway.run(&["keys", "revoke", lab.gateway.key()]);
    assert_eq!(revoked.code, Some(0));
    is_ended(&mut client, CODE).await;
    let rows = lab.rows(2).await;
    assert_eq!(talk::charged(&rows[0]), COST);
    assert_eq!(rows[1].estimated.as_deref(), Some("cut"));
    lab.is_charged(4 * HOLD, COST + talk::charged(&rows[1]))
        .await;
}

/// Also where the provider sends all the time, and the client nothing.
#[tokio::test]
async fn whatever_passes_it_is_noticed() {
    let lab = lab(4 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let pieces = vec!["output_text.delta"; 50].join(",");
    send(&mut client, &create("created")).await;
    let revoked = lab.gateway.run(&["keys", "revoke", lab.gateway.key()]);
    assert_eq!(revoked.code, Some(0));
    let more = speak(&pieces);
    let ended = async {
        loop {
            let _ = client.send(Message::text(more.as_str())).await;
            for _ in 0..50 {
                if let Message::Close(Some(close)) = next(&mut client).await {
                    return close.reason.to_string();
                }
            }
        }
    };
    assert_eq!(wait::within("its end", ended).await, CODE);
}
