//! Conversations on the gateway's key wait for the ledger as tasks do: nobody else waits with them.

use futures_util::FutureExt as _;

use crate::support::gateway::signal;
use crate::support::websocket::{self as ws, DONE, Message, say};
use crate::talk::{COST, HOLD, TARGET, charged, create, lab, next, send};
use crate::upgrade::upgrade;

#[tokio::test]
async fn while_one_waits_for_the_ledger_of_another_process_others_of_its_thread_go_on() {
    let lab = lab(4 * HOLD, |it| it.config("server.threads", 1)).await;
    let mut paid = lab.open(&[]).await;
    send(&mut paid, &create("created")).await;
    next(&mut paid).await;
    let fields = [
        ("tollgate-key", lab.gateway.key()),
        ("authorization", "Bearer sk-of-the-customer"),
    ];
    let other = ws::open(lab.gateway.address(), TARGET, &fields).await;
    let (mut other, _) = other.expect("opened");
    let owner = upgrade(&lab.gateway).await;
    // Nobody has the ledger who could answer.
    signal(owner, "STOP");
    send(&mut paid, &create("created,done")).await;
    for nth in 0..50 {
        let text = format!("x{nth}");
        assert_eq!(say(&mut other, &text).await, text);
    }
    assert!(ws::next(&mut paid).now_or_never().is_none(), "it waits");
    signal(owner, "CONT");
    let begun = next(&mut paid).await.into_text().expect("text");
    assert!(begun.contains("response.created"), "{begun}");
    assert_eq!(next(&mut paid).await, Message::text(DONE));
    drop((paid, other));
    let rows = lab.rows(3).await;
    let costs: Vec<_> = rows.iter().map(charged).collect();
    assert!(costs.contains(&COST), "{rows:?}");
    lab.is_charged(4 * HOLD, costs.iter().sum()).await;
    assert_eq!(lab.gateway.ended().await, Some(0));
}
