//! The ledger of a running gateway, as its operator sees it. What requests are charged is in `credit_*`.

use std::time::Duration;

use serde_json::json;
use tollgate::money::Credits;

use crate::pair::MODEL;
use crate::support::gateway::{Gateway, gateway};
use crate::support::upstream::{self, Reply, behave, payload};
use crate::support::wait;
use crate::till::{COST, Till, USAGE};

/// What `/readyz` says of it.
async fn ledger(gateway: &Gateway) -> serde_json::Value {
    gateway.ask_admin("/readyz").await.json()["ledger"].clone()
}

#[tokio::test]
async fn a_gateway_is_ready_with_its_ledger_open() {
    let gateway = gateway().start().await;
    assert_eq!(ledger(&gateway).await, json!("up"));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_ledger_up", &[]), 1.0);
    assert_eq!(metrics.sum("tollgate_holds_open", &[]), 0.0);
    for name in [
        "tollgate_credit_charged_dollars_total",
        "tollgate_usage_rows_lost_total",
        "tollgate_ledger_commit_seconds_count",
        "tollgate_ledger_batch_rows_count",
    ] {
        assert!(metrics.has(name, &[]), "{name}");
    }
    let reasons = [
        "unsent",
        "unreadable",
        "cut",
        "cancelled",
        "timeout",
        "lost",
        "recovered",
        "dropped",
    ];
    for reason in reasons {
        let labels = [("reason", reason)];
        assert!(
            metrics.has("tollgate_usage_estimated_total", &labels),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_second_gateway_on_the_same_store_waits_for_the_ledger_and_takes_over() {
    let first = gateway().start().await;
    let store = first.folder().join("tollgate.db");
    let second = gateway()
        .config("store.path", store.to_str().expect("UTF-8"))
        .start()
        .await;
    assert_eq!(second.ask_admin("/readyz").await.status, 200);
    assert_eq!(ledger(&second).await, json!("waiting"));
    assert_eq!(second.metrics().await.sum("tollgate_ledger_up", &[]), 0.0);
    second
        .log_until("the reason", |line| {
            line.contains("another process has the ledger of this store")
        })
        .await;

    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));
    let taken = async {
        while ledger(&second).await != json!("up") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait::within("the ledger taken over", taken).await;
}

#[tokio::test]
async fn a_gateway_that_was_killed_leaves_the_ledger_to_the_next() {
    let first = gateway().start().await;
    let store = first.folder().join("tollgate.db");
    first.signal("KILL");
    first.ended().await;
    let second = gateway()
        .config("store.path", store.to_str().expect("UTF-8"))
        .start()
        .await;
    assert_eq!(ledger(&second).await, json!("up"));
}

#[tokio::test]
async fn an_account_is_closed_when_its_requests_have_ended_and_not_before() {
    let till = Till::new().await;
    let gate = upstream::gate();
    let answer = Reply::json(200, payload::chat_json(MODEL, USAGE));
    till.upstream.push(behave().read().hold(&gate).send(answer));
    let request = till.chat();
    let close = || till.gateway.run(&["accounts", "close", "default"]);
    let (response, ()) = tokio::join!(till.send(&request), async {
        gate.held(1).await;
        let held = async {
            while till.account().await.held == Credits::ZERO {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        wait::within("a hold in the store", held).await;
        let refused = close();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("1 open hold(s)"), "{refused:?}");
        gate.open();
    });
    assert_eq!(response.status, 200);
    till.rows(1).await;
    assert_eq!(close().code, Some(0));
    let closed = async {
        while till.send(&request).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("an account that is closed", closed).await;
    let rows = till.rows(till.upstream.count()).await;
    let spent = i64::try_from(rows.len()).expect("a number") * COST;
    till.is_charged(spent).await;
}
