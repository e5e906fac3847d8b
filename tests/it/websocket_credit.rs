//! The Realtime API on the gateway's key: held for before each response, and charged by what each says.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate::money::Credits;
use tollgate::store::RowState;

use crate::support::gateway::gateway;
use crate::support::sha;
use crate::support::wait;
use crate::support::websocket::{self as ws, CACHED, Client, DONE, Fake, Message, Raw, say};
use crate::talk::{
    CACHED_COST, COST, HOLD, SHORT_HOLD, TARGET, before, charged, create, is_ended, lab, next,
    send, speak,
};

#[tokio::test]
async fn each_response_is_charged_exactly_and_has_a_row_of_its_own() {
    let granted = 3 * HOLD;
    let lab = lab(granted, |it| it).await;
    let offered = [("sec-websocket-extensions", "permessage-deflate")];
    let mut client = lab.open(&offered).await;
    assert_eq!(lab.fake.last().header("sec-websocket-extensions"), None);
    for (done, told) in [("done", DONE), ("cached", CACHED)] {
        let begun = say(&mut client, &create(&format!("created,{done}"))).await;
        assert!(begun.contains("response.created"), "{begun}");
        assert_eq!(next(&mut client).await, Message::text(told));
    }
    client.close(None).await.expect("closed");
    while let Some(Ok(_)) = ws::next(&mut client).await {}
    let rows = lab.rows(3).await;
    for (nth, row) in rows.iter().enumerate() {
        assert_eq!(row.held.nanos(), HOLD, "{row:?}");
        let attempt = i64::try_from(nth + 1).expect("few");
        assert_eq!(row.attempt, attempt);
        assert_eq!((row.status, row.surface.as_str()), (Some(101), "realtime"));
        assert_eq!(row.estimated, None, "{row:?}");
    }
    assert_eq!(
        rows.iter().map(charged).collect::<Vec<_>>(),
        [COST, CACHED_COST, 0]
    );
    assert_eq!(rows[2].state, RowState::Void);
    lab.is_charged(granted, COST + CACHED_COST).await;
    let line = &lab.gateway.access_lines(1).await[0];
    assert_eq!(line["cost_nano"], COST + CACHED_COST, "{line}");
}

#[tokio::test]
async fn without_credit_for_one_response_it_is_not_opened() {
    let lab = lab(HOLD - 1, |it| it).await;
    let key = format!("Bearer {}", lab.gateway.key());
    let fields = [("authorization", key.as_str())];
    let opened = ws::open(lab.gateway.address(), TARGET, &fields).await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(refused)) = opened else {
        panic!("it was opened");
    };
    assert_eq!(refused.status(), 402);
    assert!(lab.fake.seen().is_empty());
}

#[tokio::test]
async fn when_the_credit_ends_the_client_is_told_and_nothing_more_goes_on() {
    let lab = lab(HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let asked = create("created,done,created");
    send(&mut client, &asked).await;
    next(&mut client).await;
    assert_eq!(next(&mut client).await, Message::text(DONE));
    is_ended(&mut client, "insufficient_credit").await;
    let _ = client.send(Message::text(create("done"))).await;
    while let Some(Ok(_)) = ws::next(&mut client).await {}
    assert_eq!(lab.rows(1).await.iter().map(charged).sum::<i64>(), COST);
    lab.is_charged(HOLD, COST).await;
    assert_eq!(lab.fake.heard(), [asked]);
}

#[tokio::test]
async fn the_limit_of_a_request_is_that_of_the_whole_conversation() {
    let lab = lab(10 * HOLD, |it| it).await;
    let most = Credits::from_nanos(HOLD + COST).to_string();
    let mut client = lab.open(&[("tollgate-max-cost", most.as_str())]).await;
    for _ in 0..2 {
        send(&mut client, &create("created,done")).await;
        next(&mut client).await;
        assert_eq!(next(&mut client).await, Message::text(DONE));
    }
    is_ended(&mut client, "spend_cap_reached").await;
    lab.rows(2).await;
    lab.is_charged(10 * HOLD, 2 * COST).await;
}

#[tokio::test]
async fn responses_at_one_time_are_each_held_for_before_they_are_asked_for() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let asked = create("created");
    for _ in 0..2 {
        send(&mut client, &asked).await;
        next(&mut client).await;
    }
    send(&mut client, &asked).await;
    is_ended(&mut client, "insufficient_credit").await;
    let rows = lab.rows(2).await;
    for row in &rows {
        assert_eq!(row.estimated.as_deref(), Some("cut"), "{row:?}");
        assert!(charged(row) > 0 && charged(row) <= HOLD, "{row:?}");
    }
    assert_eq!(lab.fake.heard(), [asked.clone(), asked]);
    lab.is_charged(2 * HOLD, rows.iter().map(charged).sum())
        .await;
}

#[tokio::test]
async fn a_response_that_the_client_left_is_estimated_as_what_it_was() {
    // What was sent is text, a token for four bytes, or sound; what has come of the answer is one token.
    let [text, audio] = ["output_text.delta", "output_audio.delta"];
    let asked = |piece: &str| create(&format!("created,{piece},output_item.done"));
    let tokens = |text: &str| i64::try_from(text.len().div_ceil(4)).expect("short") * 1_000;
    let spoken = speak(&format!("created,{text},output_item.done"));
    for (said, cost) in [
        (asked(text), tokens(&asked(text)) + 2_000),
        (asked(audio), tokens(&asked(audio)) + 5_000),
        (spoken, 3_000 + 2_000),
    ] {
        let lab = lab(2 * HOLD, |it| it).await;
        let mut client = lab.open(&[]).await;
        send(&mut client, &said).await;
        for _ in 0..3 {
            next(&mut client).await;
        }
        drop(client);
        let row = lab.rows(1).await.remove(0);
        assert_eq!(row.estimated.as_deref(), Some("cancelled"));
        assert_eq!((row.counts.output, charged(&row)), (1, cost), "{said}");
        lab.is_charged(2 * HOLD, cost).await;
    }
}

#[tokio::test]
async fn what_was_said_before_counts_as_what_it_was() {
    let lab = lab(3 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    for said in ["created,done", "created,output_text.delta"] {
        send(&mut client, &speak(said)).await;
        for _ in 0..2 {
            next(&mut client).await;
        }
    }
    drop(client);
    let rows = lab.rows(2).await;
    // Nine tokens of text, twenty-one of sound, and one that was sent since.
    let left = 9_000 + (21 + 1) * 3_000 + 2_000;
    assert_eq!([charged(&rows[0]), charged(&rows[1])], [COST, left]);
    lab.is_charged(3 * HOLD, COST + left).await;
}

#[tokio::test]
async fn what_begins_by_itself_is_held_for_and_charged_too() {
    let lab = lab(2 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    for _ in 0..3 {
        send(&mut client, &speak("created,output_audio.delta,done")).await;
        for _ in 0..2 {
            next(&mut client).await;
        }
        assert_eq!(next(&mut client).await, Message::text(DONE));
    }
    // Two at one time are two holds, and there is credit for one besides what was spent.
    send(&mut client, &speak("created,created,done,done")).await;
    for _ in 0..2 {
        let begun = next(&mut client).await.into_text().expect("text");
        assert!(begun.contains("response.created"), "{begun}");
    }
    is_ended(&mut client, "insufficient_credit").await;
    let rows = lab.rows(4).await;
    let costs: Vec<_> = rows.iter().map(charged).collect();
    assert_eq!(costs[..3], [COST; 3]);
    assert_eq!(rows[3].estimated.as_deref(), Some("cut"));
    lab.is_charged(2 * HOLD, costs.iter().sum()).await;
}

#[tokio::test]
async fn a_response_that_failed_before_it_said_anything_costs_nothing() {
    let lab = lab(3 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    for asked in [
        "created,failed",
        "created,output_audio.delta,failed",
        "created,untold",
    ] {
        send(&mut client, &create(asked)).await;
        for _ in asked.split(',') {
            next(&mut client).await;
        }
    }
    client.close(None).await.expect("closed");
    let rows = lab.rows(4).await;
    assert_eq!(rows[0].state, RowState::Void, "nothing was served");
    for row in &rows[1..3] {
        assert_eq!(row.estimated.as_deref(), Some("unsent"), "{row:?}");
        assert!(charged(row) > 0, "{row:?}");
    }
    assert_eq!(rows[1].counts.output, 1);
    assert_eq!(rows[3].state, RowState::Void);
    let cost = rows.iter().map(charged).sum();
    lab.is_charged(3 * HOLD, cost).await;
}

#[tokio::test]
async fn however_many_talk_at_one_time_the_balance_is_never_below_zero() {
    let granted = 4 * HOLD + 7 * COST;
    let lab = lab(granted, |it| it).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(lab.open(&[]).await);
    }
    // How many responses were done, and whether there was no credit for one more.
    let talk = async |mut client: Client| {
        for done in 0..5 {
            let _ = client.send(Message::text(create("created,done"))).await;
            if !says(&mut client, "response.created").await {
                return (done, true);
            }
            assert_eq!(next(&mut client).await, Message::text(DONE));
        }
        let _ = client.close(None).await;
        (5, says(&mut client, "insufficient_credit").await)
    };
    let talking = clients.into_iter().map(talk);
    let ended = futures_util::future::join_all(talking).await;
    let done: usize = ended.iter().map(|(done, _)| done).sum();
    let poor = ended.iter().filter(|(_, poor)| *poor).count();
    assert!(poor > 0, "{ended:?}");
    // Whoever had credit for one more has a hold that is void.
    lab.rows(done + 4 - poor).await;
    let spent = i64::try_from(done).expect("few") * COST;
    lab.is_charged(granted, spent).await;
}

/// Whether the next message says that.
async fn says(client: &mut Client, what: &str) -> bool {
    match ws::next(client).await {
        Some(Ok(Message::Text(text))) => text.contains(what),
        _ => false,
    }
}

#[tokio::test]
async fn what_has_no_price_or_asks_for_another_kind_of_session_is_not_opened() {
    let fake = Fake::start().await;
    let file = json!({
        "provider": "one", "preset": "openai-compatible", "base_url": fake.base_url(), "rank": 2000,
        "surfaces": {"realtime": {"path": "/realtime"}},
        "models": {
            "silent": {"context": 1000, "max_output": 100, "price": {"input": "1", "output": "2"}},
            "endless": {"context": 1000, "price": {"input": "1", "output": "2", "audio_input": "3", "audio_output": "5"}},
            "m": {"context": 1000, "max_output": 100, "price": {"input": "1", "output": "2", "audio_input": "3", "audio_output": "5"}},
        },
    });
    let gateway = gateway()
        .catalog("one", file)
        .credentials("one", 1)
        .prepaid("default", "100")
        .start()
        .await;
    let key = format!("Bearer {}", gateway.key());
    for (query, status, code) in [
        ("model=one:silent", 403, "model_not_priced"),
        ("model=one:unknown", 404, "model_not_found"),
        ("model=one:endless", 403, "not_on_gateway_credential"),
        (
            "model=one:m&intent=transcription",
            403,
            "not_on_gateway_credential",
        ),
    ] {
        let target = format!("/v1/realtime?{query}");
        let fields = [("authorization", key.as_str())];
        let opened = ws::open(gateway.address(), &target, &fields).await;
        let Err(tokio_tungstenite::tungstenite::Error::Http(refused)) = opened else {
            panic!("{query} was opened");
        };
        assert_eq!(refused.status(), status, "{query}");
        let body =
            String::from_utf8_lossy(refused.body().as_deref().unwrap_or_default()).into_owned();
        assert!(body.contains(code), "{query}: {body}");
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn what_is_held_fits_how_long_the_server_says_that_responses_may_be() {
    // Two short ones at one time, though not two of any length.
    let credit = 2 * SHORT_HOLD + COST;
    let lab = lab(credit, |it| it).await;
    let mut client = lab.open(&[]).await;
    let asked = [create("session,short"), create("short")];
    for (text, answers) in asked.iter().zip([2, 1]) {
        send(&mut client, text).await;
        for _ in 0..answers {
            next(&mut client).await;
        }
    }
    send(&mut client, &create("short")).await;
    is_ended(&mut client, "insufficient_credit").await;
    let rows = lab.rows(3).await;
    let held: Vec<_> = rows.iter().map(|row| row.held.nanos()).collect();
    assert_eq!(held, [HOLD, SHORT_HOLD, SHORT_HOLD]);
    assert_eq!(rows[0].state, RowState::Void);
    assert_eq!(lab.fake.heard(), asked);
    let cost = rows.iter().map(charged).sum();
    lab.is_charged(credit, cost).await;
}

#[tokio::test]
async fn a_response_that_is_longer_than_what_is_held_is_cut_at_its_beginning() {
    let lab = lab(HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    send(&mut client, &create("session,short,done")).await;
    for _ in 0..3 {
        next(&mut client).await;
    }
    // There is enough for a short one, and this one says no end.
    send(&mut client, &speak("created,output_audio.delta")).await;
    let begun = next(&mut client).await.into_text().expect("text");
    assert!(begun.contains("response.created"), "{begun}");
    is_ended(&mut client, "insufficient_credit").await;
    let page = lab.rows(3).await;
    let cost: i64 = page.iter().map(charged).sum();
    assert!(cost > COST && cost < HOLD, "{page:?}");
    lab.is_charged(HOLD, cost).await;
}

/// A message as a client's frames, each of a size and with a mask of its own, and a ping between them.
fn frames(text: &[u8], sizes: &[usize], to: &mut Vec<u8>) {
    let (mut left, mut opcode) = (text, 0x01);
    let mut sizes = sizes.iter();
    loop {
        let size = sizes
            .next()
            .map_or(left.len(), |size| left.len().min(*size));
        let (now, later) = left.split_at(size);
        let last = later.is_empty();
        to.push(opcode | if last { 0x80 } else { 0 });
        match now.len() {
            short @ 0..126 => to.push(0x80 | u8::try_from(short).expect("short")),
            middle @ 126..65_536 => {
                to.push(0x80 | 126);
                to.extend(u16::try_from(middle).expect("middle").to_be_bytes());
            }
            long => {
                to.push(0x80 | 127);
                to.extend((long as u64).to_be_bytes());
            }
        }
        let mask = u32::try_from(to.len())
            .expect("short")
            .wrapping_mul(0x9e37_79b9)
            .to_be_bytes();
        to.extend(mask);
        let masked = now.iter().zip(mask.iter().cycle());
        to.extend(masked.map(|(byte, mask)| byte ^ mask));
        if last {
            return;
        }
        to.extend([0x89, 0x83, 1, 2, 3, 4, b'h', b'e', b'y']);
        (left, opcode) = (later, 0);
    }
}

#[tokio::test]
async fn every_byte_of_the_frames_passes_both_ways() {
    let raw = Raw::start(ws::OPENED.as_bytes().to_vec(), false).await;
    let gateway = before(&raw.base_url(), HOLD).start().await;
    let mut stream = TcpStream::connect(gateway.address())
        .await
        .expect("connected");
    let head = format!(
        "GET {TARGET} HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Authorization: Bearer {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        gateway.key()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(
            wait::within("a head", stream.read_u8())
                .await
                .expect("read"),
        );
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    let mut sent = Vec::new();
    for length in [0, 100, 5_000, 70_000, 300_000] {
        let text = format!(
            r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#,
            "Ab/+".repeat(length / 4)
        );
        for sizes in [&[][..], &[1, 0, 50], &[300, 66_000, 7]] {
            frames(text.as_bytes(), sizes, &mut sent);
        }
    }
    let (mut read, mut write) = stream.into_split();
    let expected = sha::hex(&sent);
    let mut got = vec![0; sent.len()];
    let sending = tokio::spawn(async move {
        for piece in sent.chunks(9_999) {
            write.write_all(piece).await.expect("sent");
        }
        write
    });
    wait::within("all of it", read.read_exact(&mut got))
        .await
        .expect("read");
    assert_eq!(sha::hex(&got), expected);
    drop((sending.await.expect("sent"), read));
    let line = &gateway.access_lines(1).await[0];
    assert_eq!(
        (&line["bytes_in"], &line["cost_nano"]),
        (&json!(got.len()), &json!(0)),
        "{line}"
    );
}

/// One beside the conversation may be as small as its client likes.
#[tokio::test]
async fn what_has_come_of_a_response_is_charged_though_another_is_done_meanwhile() {
    let lab = lab(3 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    let pieces = vec!["output_text.delta"; 50].join(",");
    send(&mut client, &create(&format!("created,{pieces}"))).await;
    for _ in 0..51 {
        next(&mut client).await;
    }
    send(&mut client, &create("created,done")).await;
    for _ in 0..2 {
        next(&mut client).await;
    }
    drop(client);
    let rows = lab.rows(2).await;
    let left = rows.iter().find(|row| row.estimated.is_some());
    let left = left.expect("one that nobody saw the end of");
    // Fifty less the twenty that the other says it was.
    assert_eq!(left.counts.output, 30, "{left:?}");
    assert!(left.counts.input >= 30, "{left:?}");
    lab.is_charged(3 * HOLD, rows.iter().map(charged).sum())
        .await;
}

/// What nobody looked at in the meantime has been written long since.
#[tokio::test]
async fn after_a_pause_a_response_goes_on_as_before() {
    let lab = lab(4 * HOLD, |it| it).await;
    let mut client = lab.open(&[]).await;
    for _ in 0..2 {
        for events in ["created", "failed"] {
            send(&mut client, &speak(events)).await;
            let told = next(&mut client).await.into_text().expect("text");
            assert!(told.contains("response."), "{told}");
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    drop(client);
    lab.rows(3).await;
    lab.is_charged(4 * HOLD, 0).await;
}
