//! How conversations on the gateway's key end that it ends itself, or that nobody does.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rusqlite::Connection;
use tokio::io::AsyncWriteExt as _;
use tollgate::store::RowState;

use crate::support::gateway::gateway;
use crate::support::wait;
use crate::support::websocket::{self as ws, Client, DONE, Message, say};
use crate::talk::{COST, HOLD, Lab, charged, create, is_closed, is_ended, lab, next, send, speak};

const FINE: &str = r#"{"type":"session.update","session":{"type":"realtime","instructions":"x"}}"#;

/// What is not served on the gateway's key.
const MCP: &str = r#"{"type":"session.update","session":{"tools":[{"type":"mcp"}]}}"#;

const REFUSED: &str = "not_on_gateway_credential";

/// Nothing comes any more, and nothing more than this was heard.
async fn is_over(mut client: Client, lab: &Lab, heard: &[&str]) {
    while let Some(Ok(_)) = ws::next(&mut client).await {}
    // What was sent on may still be on its way to the fake.
    let arrived = async {
        while lab.fake.heard().len() < heard.len() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    wait::within("what was sent on", arrived).await;
    assert_eq!(lab.fake.heard(), heard);
}

#[tokio::test]
async fn what_no_response_tells_the_cost_of_does_not_go_on() {
    for text in [
        r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"whisper-1"}}}}}"#,
        r#"{"type":"response.create","response":{"tools":[{"type":"mcp","server_label":"x"}]}}"#,
        MCP,
        "no JSON",
    ] {
        let lab = lab(2 * HOLD, |it| it).await;
        let mut client = lab.open(&[]).await;
        assert_eq!(say(&mut client, FINE).await, FINE);
        send(&mut client, text).await;
        is_ended(&mut client, REFUSED).await;
        is_over(client, &lab, &[FINE]).await;
        assert_eq!(lab.rows(1).await[0].state, RowState::Void);
        lab.is_charged(2 * HOLD, 0).await;
    }
}

#[tokio::test]
async fn what_was_sent_before_it_in_one_piece_goes_on_and_nothing_behind_it() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    // Its provider answers none of them: one that does may find the connection closed.
    let quiet = FINE.replace("\"x\"", "\"quiet\"");
    let long = quiet.replace("session.update", "conversation.item.create") + &" ".repeat(20_000);
    let fine = [quiet.as_str(), &long, &quiet];
    for text in fine.into_iter().chain([MCP, &quiet]) {
        client.feed(Message::text(text)).await.expect("fed");
    }
    client.flush().await.expect("sent");
    let mut told = Vec::new();
    while let Some(Ok(message)) = ws::next(&mut client).await {
        told.push(message.to_string());
    }
    assert!(told.iter().any(|it| it.contains(REFUSED)), "{told:?}");
    is_over(client, &lab, &fine).await;
    lab.rows(1).await;
    lab.is_charged(2 * HOLD, 0).await;
}

/// However much of it the client sends, the end of a frame that does not come is not waited for any longer.
#[tokio::test]
async fn a_frame_of_the_server_that_does_not_end_is_waited_for_once() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    send(&mut client, r#"{"type":"response.cancel","x":"endless"}"#).await;
    // Its beginning has passed when what stands before it has.
    assert_eq!(next(&mut client).await, Message::text("{}"));
    send(&mut client, MCP).await;
    let (mut write, mut read) = client.split();
    let sending = async {
        while write.send(Message::text(FINE)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let ending = async { while let Some(Ok(_)) = read.next().await {} };
    let ended = async {
        tokio::select! {
            () = sending => {}
            () = ending => {}
        }
    };
    wait::within("its end", ended).await;
    lab.rows(1).await;
    lab.is_charged(2 * HOLD, 0).await;
}

#[tokio::test]
async fn what_is_used_besides_responses_ends_it() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    send(&mut client, &speak("transcribed,created")).await;
    let told = next(&mut client).await.into_text().expect("text");
    assert!(told.contains("transcription.completed"), "{told}");
    is_ended(&mut client, REFUSED).await;
    lab.rows(1).await;
    lab.is_charged(2 * HOLD, 0).await;
}

#[tokio::test]
async fn between_fragments_of_a_message_it_is_closed_without_a_word() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let asked = r#"{"type":"response.cancel","x":"fragment"}"#;
    send(&mut client, asked).await;
    // The fragment has passed when an answer to a ping behind it has.
    client.send(Message::Ping("x".into())).await.expect("sent");
    assert_eq!(next(&mut client).await, Message::Pong("x".into()));
    send(&mut client, MCP).await;
    is_closed(&mut client, 1008, REFUSED).await;
    lab.rows(1).await;
}

#[tokio::test]
async fn in_a_frame_of_the_server_its_end_is_waited_for() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let asked = r#"{"type":"response.cancel","x":"late"}"#;
    send(&mut client, asked).await;
    send(&mut client, MCP).await;
    let whole = next(&mut client).await.into_text().expect("text");
    assert_eq!(whole.trim(), "{}");
    is_ended(&mut client, REFUSED).await;
    is_over(client, &lab, &[asked]).await;
    lab.rows(1).await;
}

#[tokio::test]
async fn what_is_no_frame_ends_it() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let stream = client.get_mut();
    stream.write_all(b"\x8f\x80nothing").await.expect("sent");
    is_ended(&mut client, "invalid_request").await;
    is_over(client, &lab, &[]).await;
    lab.rows(1).await;
}

/// No row can be written.
const FAIL: &str =
    "CREATE TRIGGER broken BEFORE INSERT ON usage BEGIN SELECT RAISE(FAIL, 'broken'); END";

#[tokio::test]
async fn what_begins_by_itself_and_is_not_written_down_within_a_second_is_ended() {
    let lab = lab(4 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let store = Connection::open(lab.store.file()).expect("the store");
    store.execute_batch(FAIL).expect("a trigger");
    // What was held when it was opened is on the disk; what is held for the next is not.
    send(&mut client, &speak("created,done,created")).await;
    let mut told = Vec::new();
    while told.len() < 1_000 {
        send(&mut client, &speak("output_audio.delta")).await;
        let Some(Ok(message)) = ws::next(&mut client).await else {
            break;
        };
        let is_end = message.is_close();
        told.push(message.to_string());
        if is_end {
            break;
        }
    }
    store.execute_batch("DROP TRIGGER broken").expect("none");
    assert!(!told.iter().any(|it| it.contains(".delta")), "{told:?}");
    let end = told
        .get(told.len().saturating_sub(2))
        .map_or("", String::as_str);
    assert!(end.contains("store_unavailable"), "{told:?}");
    let rows = lab.rows(2).await;
    assert_eq!(
        (charged(&rows[0]), rows[0].estimated.as_deref()),
        (COST, None)
    );
    assert_eq!(rows[1].estimated.as_deref(), Some("cut"));
    lab.is_charged(4 * HOLD, COST + charged(&rows[1])).await;
}

#[tokio::test]
async fn nothing_is_asked_for_that_cannot_be_written_down() {
    let lab = lab(4 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let asked = create("created");
    send(&mut client, &asked).await;
    next(&mut client).await;
    let store = Connection::open(lab.store.file()).expect("the store");
    store.execute_batch(FAIL).expect("a trigger");
    send(&mut client, &asked).await;
    is_ended(&mut client, "store_unavailable").await;
    store.execute_batch("DROP TRIGGER broken").expect("none");
    is_over(client, &lab, &[&asked]).await;
    let rows = lab.rows(2).await;
    assert_eq!(rows[0].estimated.as_deref(), Some("cut"));
    assert_eq!(rows[1].state, RowState::Void, "{rows:?}");
    lab.is_charged(4 * HOLD, charged(&rows[0])).await;
}

/// Rows that are held, and expected to cost something or nothing.
fn held(store: &Connection, comparison: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM usage WHERE state = 0 AND estimate {comparison} 0");
    let count = store.query_row(&sql, [], |row| row.get(0));
    count.expect("rows")
}

#[tokio::test]
async fn a_gateway_that_is_killed_has_charged_what_was_done_and_what_was_under_way() {
    for under_way in [false, true] {
        let lab = lab(4 * HOLD, |it| it).await;
        let mut client = lab.open(&[]).await;
        send(&mut client, &create("created,done")).await;
        next(&mut client).await;
        assert_eq!(next(&mut client).await, Message::text(DONE));
        if under_way {
            send(&mut client, &create("created")).await;
            next(&mut client).await;
        }
        let store = Connection::open(lab.store.file()).expect("the store");
        let comparison = if under_way { ">" } else { "=" };
        let settled = async {
            while held(&store, comparison) != 1 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        wait::within("what was done on the disk", settled).await;
        lab.gateway.signal("KILL");
        lab.gateway.ended().await;
        assert!(!matches!(client.next().await, Some(Ok(_))));
        let file = lab.store.file().to_str().expect("UTF-8").to_owned();
        let _next = gateway().config("store.path", file).start().await;
        let rows = lab.rows(2).await;
        let [done, recovered] = [charged(&rows[0]), charged(&rows[1])];
        assert_eq!((done, rows[0].estimated.as_deref()), (COST, None));
        assert_eq!(rows[1].estimated.as_deref(), Some("recovered"));
        assert_eq!(recovered > 0, under_way, "{rows:?}");
        lab.is_charged(4 * HOLD, COST + recovered).await;
    }
}

#[tokio::test]
async fn at_the_end_of_a_drain_it_is_cut_and_charged() {
    let lab = lab(4 * HOLD, |it| it.config("server.drain", "700ms")).await;
    let mut client = lab.open(&[]).await;
    send(&mut client, &create("created,done")).await;
    for _ in 0..2 {
        next(&mut client).await;
    }
    lab.gateway.signal("TERM");
    lab.gateway
        .log_until("the end announced", |line| line.contains("stopping"))
        .await;
    send(&mut client, &create("created,output_audio.delta")).await;
    for _ in 0..2 {
        next(&mut client).await;
    }
    assert!(!matches!(ws::next(&mut client).await, Some(Ok(_))));
    assert_eq!(lab.gateway.ended().await, Some(0));
    let rows = lab.rows(2).await;
    assert_eq!(charged(&rows[0]), COST);
    // Which side is taken for the one that left is chance.
    assert!(rows[1].estimated.is_some(), "{rows:?}");
    assert_eq!(rows[1].counts.output, 1);
    lab.is_charged(4 * HOLD, COST + charged(&rows[1])).await;
}
