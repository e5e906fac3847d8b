//! A store that fails while requests come: what is charged gets 503 `store_unavailable`, what costs the operator nothing
//! goes on, nothing hangs, nothing is lost, and all mends itself. How the ledger sees it is tested beside it.

use std::time::Duration;

use rusqlite::Connection;
use tollgate::money::Credits;
use tollgate::store::{RowState, UsageRow};

use crate::pair::{MODEL, code};
use crate::support::bodies;
use crate::support::client::{self, Request, Response};
use crate::support::disk::{HangingDisk, ReadOnly, SmallDisk};
use crate::support::upstream::{self, Reply, behave, payload};
use crate::support::wait;
use crate::till::{COST, GRANT, Till, USAGE};

/// Every write of a usage row fails, at once.
const FAIL: &str =
    "CREATE TRIGGER broken BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'broken'); END";

const MEND: &str = "DROP TRIGGER broken";

/// A connection of another process.
fn other(till: &Till) -> Connection {
    Connection::open(till.store.file()).expect("the store")
}

/// A request on a provider key of the client's own.
fn own(till: &Till) -> Request {
    client::post("/v1/chat/completions", bodies::chat(MODEL).build())
        .header("tollgate-key", till.gateway.key())
        .bearer("sk-of-the-client")
}

fn is_unavailable(response: &Response) {
    let told = (response.status, code(response));
    assert_eq!(told, (503, "store_unavailable".to_owned()));
    assert!(response.header("retry-after").is_some(), "{response:?}");
}

/// Whether `/readyz` says that the ledger can be written. It is ready in any case.
async fn is_up(till: &Till) -> bool {
    let answer = till.gateway.ask_admin("/readyz").await;
    assert_eq!(answer.status, 200);
    answer.json()["ledger"] == "up"
}

/// The store fails now: nothing is sent that the operator would have to pay for, the rest goes on.
async fn is_down(till: &Till) {
    assert!(!is_up(till).await);
    let metrics = till.gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_ledger_up", &[]), 0.0);
    let sent = till.upstream.count();
    is_unavailable(&till.send(&till.chat()).await);
    is_unavailable(&till.send(&till.stream()).await);
    assert_eq!(till.upstream.count(), sent);
    let response = till.send(&own(till)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("tollgate-credential"), Some("request"));
}

/// The store is written again, without anybody's help, and requests are charged.
async fn mends(till: &Till) {
    let mended = async {
        while !is_up(till).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait::within("a ledger that is up again", mended).await;
    let response = till.send(&till.chat()).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

/// The row of an answer that was thrown away: the operator pays.
fn is_given_up(row: &UsageRow) {
    assert_eq!(row.state, RowState::Settled, "{row:?}");
    assert_eq!(row.flags.names().collect::<Vec<_>>(), ["given_up"]);
    assert_eq!(row.cost.paid(), Credits::ZERO, "{row:?}");
    assert!(row.cost.absorbed > Credits::ZERO, "{row:?}");
}

#[tokio::test]
async fn a_store_that_another_process_has_locked() {
    let till = Till::new().await;
    let other = other(&till);
    other.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    // Its answer is there while the hold is tried to be written, for two seconds.
    is_unavailable(&till.send(&till.chat()).await);
    assert_eq!(till.upstream.count(), 1);
    is_down(&till).await;
    other.execute_batch("ROLLBACK").expect("no lock");
    mends(&till).await;
    let rows = till.rows(3).await;
    is_given_up(&rows[0]);
    let credentials: Vec<_> = rows.iter().map(|row| row.credential.as_str()).collect();
    assert_eq!(credentials, ["gateway", "request", "gateway"]);
    till.is_charged(COST).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_any_more() {
    let till = Till::new().await;
    let name = till.store.file().file_name().expect("a name");
    let mut log = name.to_owned();
    log.push("-wal");
    let Some(read_only) = ReadOnly::set(&till.store.file().with_file_name(log)) else {
        return;
    };
    is_unavailable(&till.send(&till.chat()).await);
    is_down(&till).await;
    drop(read_only);
    mends(&till).await;
    is_given_up(&till.rows(3).await[0]);
    till.is_charged(COST).await;
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let file = disk.path().join("tollgate.db");
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.config("store.path", file.to_str().expect("UTF-8"))
    })
    .await;
    disk.fill();
    // What has room in the log's file as it is goes through.
    let mut served = 0;
    loop {
        let response = till.send(&till.chat()).await;
        if response.status != 200 {
            is_unavailable(&response);
            break;
        }
        served += 1;
        assert!(served < 900, "the disk is full");
    }
    is_down(&till).await;
    disk.empty();
    mends(&till).await;
    // Those that were served, the one that was not, that of the client's own key, and the last.
    let rows = till.rows(served + 3).await;
    is_given_up(&rows[served]);
    let charged = i64::try_from(served + 1).expect("a number") * COST;
    till.is_charged(charged).await;
}

#[tokio::test]
async fn a_disk_that_hangs() {
    let Some(disk) = HangingDisk::mount() else {
        return;
    };
    let file = disk.path().join("tollgate.db");
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.config("store.path", file.to_str().expect("UTF-8"))
    })
    .await;
    assert_eq!(till.send(&till.chat()).await.status, 200);
    till.rows(1).await;
    // From here on this process must not look into the store.
    let hanging = disk.hang();
    // Waits for five seconds.
    is_unavailable(&till.send(&till.chat()).await);
    is_down(&till).await;
    drop(hanging);
    mends(&till).await;
    let rows = till.rows(4).await;
    is_given_up(&rows[1]);
    till.is_charged(2 * COST).await;
}

#[tokio::test]
async fn an_answer_that_comes_after_the_store_has_failed_is_thrown_away() {
    let till = Till::new().await;
    let gate = upstream::gate();
    let events = payload::chat_sse(MODEL, 3, Some(USAGE));
    let held = behave()
        .read()
        .hold(&gate)
        .send(Reply::sse(events, Duration::ZERO));
    till.upstream.push(held);
    let store = other(&till);
    store.execute_batch(FAIL).expect("a trigger");
    let request = till.stream();
    let sent = tokio::join!(till.send(&request), async {
        gate.held(1).await;
        let down = async {
            while is_up(&till).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        wait::within("a ledger that is down", down).await;
        gate.open();
    });
    is_unavailable(&sent.0);
    is_down(&till).await;
    store.execute_batch(MEND).expect("no trigger");
    mends(&till).await;
    is_given_up(&till.rows(3).await[0]);
    till.is_charged(COST).await;
}

#[tokio::test]
async fn a_request_that_was_held_before_goes_on_and_is_charged_when_that_is_possible() {
    let till = Till::new().await;
    let gate = upstream::gate();
    let events = payload::chat_sse(MODEL, 3, Some(USAGE));
    let reply = Reply::sse(events, Duration::ZERO).hold_before(2, &gate);
    till.upstream.push(reply);
    let store = other(&till);
    let request = till.stream();
    let (response, ()) = tokio::join!(till.send(&request), async {
        // The first of its answer is on the way, so what is held is on the disk.
        gate.held(1).await;
        store.execute_batch(FAIL).expect("a trigger");
        is_unavailable(&till.send(&till.chat()).await);
        is_down(&till).await;
        gate.open();
    });
    assert_eq!(response.status, 200);
    assert!(response.text().contains("[DONE]"), "{}", response.text());
    let before = till.account().await.balance;
    assert_eq!(before, GRANT.parse().expect("an amount"));
    store.execute_batch(MEND).expect("no trigger");
    mends(&till).await;
    let rows = till.rows(4).await;
    assert_eq!(rows[0].cost.charged, crate::till::nanos(COST));
    assert_eq!(
        (rows[0].estimated.as_deref(), rows[0].state),
        (None, RowState::Settled)
    );
    is_given_up(&rows[1]);
    till.is_charged(2 * COST).await;
}

#[tokio::test]
async fn nothing_goes_on_without_the_store_where_the_operator_wants_it_so() {
    let till = Till::with(upstream::h1(), |gateway| {
        gateway.config("credit.byok_without_store", false)
    })
    .await;
    assert_eq!(till.send(&own(&till)).await.status, 200);
    // Written before the store fails, so that it fails with the hold of the next.
    till.rows(1).await;
    let store = other(&till);
    store.execute_batch(FAIL).expect("a trigger");
    is_unavailable(&till.send(&till.chat()).await);
    let sent = till.upstream.count();
    for request in [own(&till), till.chat()] {
        let response = till.send(&request).await;
        is_unavailable(&response);
        let attempts = crate::pair::attempts(&response);
        assert_eq!(attempts, [format!("one:{MODEL};no_store")]);
    }
    assert_eq!(till.upstream.count(), sent);
    store.execute_batch(MEND).expect("no trigger");
    mends(&till).await;
    assert_eq!(till.send(&own(&till)).await.status, 200);
    till.rows(4).await;
    till.is_charged(COST).await;
}
